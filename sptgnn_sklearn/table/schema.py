"""Roles of the columns of X, and the arrays that a table is split into.

Columns with a role are named by parameters of the estimator; all others are covariates. A
`TableSchema` is fitted to the training table and then turns any table with the same columns into a
`SampleTable` of plain arrays. All later steps use these arrays and no DataFrame.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils._param_validation import HasMethods, StrOptions

from ..spatial.coordinate_checks import check_coordinates
from ..spatial.crs import SpatialReference, resolve_crs
from ..spatial.longitudes import longitude_start, wrap_longitudes
from .categories import (
    UNSEEN_CODE,
    campaign_keys,
    category_codes,
    encode_categories,
    has_too_many_levels,
    site_labels,
)
from .column_parsing import (
    decimal_years,
    is_categorical,
    is_missing,
    read_noise_std,
    read_paths,
    to_float,
)
from .coordinate_columns import (
    as_dataframe,
    coordinate_labels,
    coordinate_values,
    find_column,
    find_columns,
)
from .geo_frames import GEOMETRY_LABELS, geometry_crs
from .image_columns import image_columns
from .table_checks import holds_date_text, holds_dates, partly_numeric_levels

__all__ = ["ROLE_CONSTRAINTS", "SIMILARITIES", "SampleTable", "TableSchema", "named_roles"]

# Features that can define spectral similarity.
SIMILARITIES = ("embeddings", "indices", "covariates")
# Parameter constraints of the roles, shared by all estimators. Labels may have any type, and
# `image_columns` checks the columns that a mapping or an object such as TerraMindImages names.
ROLE_CONSTRAINTS: dict[str, Any] = {
    "coordinates": ["array-like", None],
    "crs": "no_validation",
    "time": "no_validation",
    "elevation": "no_validation",
    "spectral": ["array-like", StrOptions(set(SIMILARITIES)), None],
    "site": "no_validation",
    "images": [Mapping, HasMethods("get_params"), None],
    "noise_std": "no_validation",
    "campaign": "no_validation",
}
_CHIP_SUFFIXES = (".tif", ".tiff", ".npy")


@dataclass(frozen=True)
class SampleTable:
    """Arrays of a table of samples, one entry per row.

    Attributes
    ----------
    coordinates : ndarray of shape (n, 2)
        First axis (longitude, easting), then second (latitude, northing).
    numeric : ndarray of shape (n, p)
        Numeric and boolean covariates, including elevation; NaN is missing.
    categories : ndarray of shape (n, c) of int
        Level index of each categorical covariate; -1 is missing, -2 a level that did not occur in
        training.
    elevation : ndarray of shape (n,) or None
        NaN is unknown.
    time : ndarray of shape (n,) or None
        Decimal years; NaN is unknown.
    site : ndarray of shape (n,) of object or None
        Site ids; None is unknown.
    images : dict of str to ndarray of shape (n,) of object
        Paths of image chips by modality; None is no image.
    embedding : ndarray of shape (n, d) or None
        Image embeddings; NaN in rows without any image. `TableSchema.transform` reads no image
        files and leaves this None.
    indices : ndarray of shape (n, i) or None
        Spectral indices of the image chips; NaN where they cannot be computed.
    noise_std : ndarray of shape (n,) or None
        Standard deviations of measurement errors, in the unit of the target; 0 is none or unknown.
    campaign : ndarray of shape (n,) of uint64 or None
        Keys of the campaigns, from `campaign_keys`; 0 is unknown.
    """

    coordinates: np.ndarray
    numeric: np.ndarray
    categories: np.ndarray
    elevation: np.ndarray | None = None
    time: np.ndarray | None = None
    site: np.ndarray | None = None
    images: dict[str, np.ndarray] = field(default_factory=dict)
    embedding: np.ndarray | None = None
    indices: np.ndarray | None = None
    noise_std: np.ndarray | None = None
    campaign: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.coordinates)

    def take(self, rows: np.ndarray) -> SampleTable:
        """Return the table of the given rows, in the given order."""
        return SampleTable(
            coordinates=self.coordinates[rows],
            numeric=self.numeric[rows],
            categories=self.categories[rows],
            elevation=None if self.elevation is None else self.elevation[rows],
            time=None if self.time is None else self.time[rows],
            site=None if self.site is None else self.site[rows],
            images={name: paths[rows] for name, paths in self.images.items()},
            embedding=None if self.embedding is None else self.embedding[rows],
            indices=None if self.indices is None else self.indices[rows],
            noise_std=None if self.noise_std is None else self.noise_std[rows],
            campaign=None if self.campaign is None else self.campaign[rows],
        )


@dataclass(frozen=True)
class TableSchema:
    """Roles, kinds and levels of the columns of X, fitted to the training table.

    Use `TableSchema.fit_transform` for the training table and `transform` for others.

    Attributes
    ----------
    coordinates : tuple of two labels
    reference : SpatialReference
        Coordinate reference system of the coordinates.
    numeric : tuple of labels
        Numeric covariates that vary in the training table.
    categorical : dict of label to tuple of str
        Categorical covariates and their sorted levels.
    spectral : tuple of labels
        Numeric covariates that define spectral similarity; empty means all covariates.
    time, elevation, site, noise_std, campaign : label or None
    images : dict of str to label
        Column of image chips of each modality.
    ignored : tuple of labels
        Columns that are constant or entirely missing in the training table.
    labels : tuple of labels
        All columns of the training table, in their order.
    longitude_start : float
        Lowest longitude of a geographic CRS: 0 if the training rows are 0 to 360, else -180.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.schema import TableSchema
    >>> X = pd.DataFrame(
    ...     {"lon": [5.0, 6.0], "lat": [52.0, 53.0], "clay": [0.1, None], "use": ["crop", "grass"]}
    ... )
    >>> schema, table = TableSchema.fit_transform(X)
    >>> schema.coordinates, schema.numeric, schema.categorical
    (('lon', 'lat'), ('clay',), {'use': ('crop', 'grass')})
    >>> table.numeric.ravel().tolist(), table.categories.ravel().tolist()
    ([0.1, nan], [0, 1])
    """

    coordinates: tuple[Hashable, Hashable]
    reference: SpatialReference
    numeric: tuple[Hashable, ...]
    categorical: dict[Hashable, tuple[str, ...]] = field(default_factory=dict)
    spectral: tuple[Hashable, ...] = ()
    time: Hashable | None = None
    elevation: Hashable | None = None
    site: Hashable | None = None
    images: dict[str, Hashable] = field(default_factory=dict)
    ignored: tuple[Hashable, ...] = ()
    labels: tuple[Hashable, ...] = ()
    longitude_start: float = -180.0
    noise_std: Hashable | None = None
    campaign: Hashable | None = None

    @classmethod
    def fit(cls, X: Any, **roles: Any) -> TableSchema:
        """Fit roles, kinds and levels to the training table.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        **roles
            `coordinates`, `crs`, `time`, `elevation`, `spectral`, `site`, `noise_std` and
            `campaign` as in `SpTGNNRegressor`, by label or position of columns; `images` as a
            mapping of modality to label or position.

        Returns
        -------
        TableSchema

        Raises
        ------
        ValueError
            If a role names a column that does not exist, a column has two exclusive roles, names
            are duplicated, or a column cannot be read in its role.
        TypeError
            If a covariate holds objects, or mixes numbers and text.
        """
        return _fit_columns(as_dataframe(X), **roles)[0]

    @classmethod
    def fit_transform(cls, X: Any, **roles: Any) -> tuple[TableSchema, SampleTable]:
        """Fit to the training table and return its arrays, parsing each column once.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        **roles
            As in `fit`.

        Returns
        -------
        schema : TableSchema
            As from `fit`.
        table : SampleTable
            As from `schema.transform`.

        Raises
        ------
        ValueError, TypeError
            As `fit` and `transform` do.
        """
        frame = as_dataframe(X)
        schema, parsed = _fit_columns(frame, **roles)
        return schema, schema._to_table(frame, parsed)

    def transform(self, X: Any) -> SampleTable:
        """Split a table with the columns of fit into arrays.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Columns are matched by position if this table or the training table has no names.

        Returns
        -------
        SampleTable

        Raises
        ------
        ValueError
            If a column is missing or cannot be read in its role; the message gives the column, the
            first such rows and the value found.
        """
        frame = self._with_training_labels(as_dataframe(X))
        used = [*self.coordinates, *self.numeric, *self.categorical, self.time, self.site]
        used += [*self.images.values(), self.noise_std, self.campaign]
        missing = [label for label in used if label is not None and label not in frame.columns]
        if missing:
            raise ValueError(
                f"X lacks the columns {missing} of fit; it has {list(frame.columns)[:20]}."
            )
        geometry_crs(frame, self.coordinates, self.reference.crs)  # raises if it differs
        xy = coordinate_values(frame, self.coordinates)
        check_coordinates(xy, self.reference, self.coordinates, fitting=False)
        xy = wrap_longitudes(xy, self.reference, self.longitude_start)
        numeric = {label: to_float(frame[label], label) for label in self.numeric}
        codes = {
            label: category_codes(frame[label], levels)
            for label, levels in self.categorical.items()
        }
        _warn_unseen(codes)
        time = None if self.time is None else decimal_years(frame[self.time], self.time)
        return self._to_table(frame, _ParsedColumns(xy, numeric, codes, time))

    @property
    def spectral_positions(self) -> list[int]:
        """Positions of the spectral columns among the numeric ones."""
        return [self.numeric.index(label) for label in self.spectral]

    def _with_training_labels(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the frame with the labels of fit if either table is labeled by position."""
        unnamed = tuple(range(len(self.labels)))
        columns = tuple(frame.columns)
        if len(columns) == len(unnamed) and unnamed in (columns, self.labels):
            return frame.set_axis(list(self.labels), axis=1)
        return frame

    def _to_table(self, frame: pd.DataFrame, parsed: _ParsedColumns) -> SampleTable:
        return SampleTable(
            coordinates=parsed.coordinates,
            numeric=_stack_columns(parsed.numeric.values(), len(frame), np.float64),
            categories=_stack_columns(parsed.codes.values(), len(frame), np.int64),
            elevation=None if self.elevation is None else parsed.numeric[self.elevation],
            time=parsed.time,
            site=None if self.site is None else _sites(frame[self.site], self.site),
            images={name: read_paths(frame[label]) for name, label in self.images.items()},
            noise_std=None
            if self.noise_std is None
            else read_noise_std(frame[self.noise_std], self.noise_std),
            campaign=None
            if self.campaign is None
            else campaign_keys(_sites(frame[self.campaign], self.campaign)),
        )


@dataclass(frozen=True)
class _ParsedColumns:
    """Arrays of single columns, in the order of a schema."""

    coordinates: np.ndarray
    numeric: dict[Hashable, np.ndarray]
    codes: dict[Hashable, np.ndarray]
    time: np.ndarray | None


def named_roles(estimator: Any) -> dict[str, Any]:
    """Return an estimator's role parameters as arguments of `TableSchema.fit`.

    Parameters
    ----------
    estimator : estimator
        With the role parameters of `SpTGNNRegressor`.

    Raises
    ------
    ValueError
        If `images` is not a mapping of modalities to columns.
    """
    names = ("coordinates", "crs", "time", "elevation", "site", "noise_std", "campaign")
    roles = {name: getattr(estimator, name) for name in names}
    # A string names a kind of similarity rather than columns.
    roles["spectral"] = None if isinstance(estimator.spectral, str) else estimator.spectral
    if estimator.images is not None:
        found = image_columns(estimator.images)
        roles["images"] = {name: column.column for name, column in found.items()}
    return roles


def _fit_columns(
    frame: pd.DataFrame,
    *,
    coordinates: Sequence[Hashable] | None = None,
    crs: Any = None,
    time: Hashable | None = None,
    elevation: Hashable | None = None,
    spectral: Sequence[Hashable] | None = None,
    site: Hashable | None = None,
    images: Mapping[str, Hashable] | None = None,
    noise_std: Hashable | None = None,
    campaign: Hashable | None = None,
) -> tuple[TableSchema, _ParsedColumns]:
    """Return the schema of a training table and the arrays parsed to find it.

    Warnings name the line of the caller of an estimator's `fit`, which `atomic_fit` wraps.
    """
    pair = coordinate_labels(frame, coordinates, stacklevel=6)
    reference = resolve_crs(geometry_crs(frame, pair, crs), [str(label) for label in pair])
    xy = coordinate_values(frame, pair)
    check_coordinates(xy, reference, pair, fitting=True, stacklevel=6)
    start = longitude_start(xy, reference)
    xy = wrap_longitudes(xy, reference, start)
    time = None if time is None else find_column(frame, time, "time")
    elevation = None if elevation is None else find_column(frame, elevation, "elevation")
    site = None if site is None else find_column(frame, site, "site")
    noise_std = None if noise_std is None else find_column(frame, noise_std, "noise_std")
    campaign = None if campaign is None else find_column(frame, campaign, "campaign")
    similar = () if spectral is None else tuple(find_columns(frame, spectral, "spectral"))
    chips = {
        name: find_column(frame, label, f"images[{name!r}]")
        for name, label in (images or {}).items()
    }
    named: dict[str, Hashable] = {f"images[{name!r}]": label for name, label in chips.items()}
    named |= {"noise_std": noise_std, "campaign": campaign}
    _check_shared_roles(pair, time=time, site=site, elevation=elevation, **named)
    for label in similar:
        _check_shared_roles(pair, time=time, site=site, spectral=label, **named)

    roles = (*pair, time, site, noise_std, campaign, *chips.values())
    no_covariates = (*roles, *GEOMETRY_LABELS)
    covariates = [label for label in frame.columns if label not in no_covariates]
    numeric, categorical, codes = _parse_covariates(frame, covariates, time is None)
    if time is None:
        _warn_date_covariates(frame, numeric, categorical)
    for role, label in [("elevation", elevation), *(("spectral", label) for label in similar)]:
        if label in categorical:
            raise ValueError(
                f"{role}={label!r} must be numeric, but the column holds text or categories. "
                f"Convert it, for example by pd.to_numeric(X[{label!r}], errors='coerce')."
            )
    ignored: list[Hashable] = [
        label for label in covariates if label not in {*numeric, *categorical}
    ]
    years = None if time is None else decimal_years(frame[time], time)
    if years is not None and np.isnan(years).all():
        ignored.append(time)
        time = years = None
    if ignored:
        warnings.warn(
            f"Covariates without any variation in the training rows are ignored: {ignored}. "
            "Drop them from X, or check how they were joined.",
            UserWarning,
            stacklevel=5,
        )
    schema = TableSchema(
        coordinates=pair,
        reference=reference,
        numeric=tuple(numeric),
        categorical=categorical,
        spectral=tuple(label for label in similar if label in numeric),
        time=time,
        elevation=elevation if elevation in numeric else None,
        site=site,
        images=chips,
        ignored=tuple(ignored),
        labels=tuple(frame.columns),
        longitude_start=start,
        noise_std=noise_std,
        campaign=campaign,
    )
    return schema, _ParsedColumns(xy, numeric, codes, years)


def _check_shared_roles(pair: tuple[Hashable, Hashable], **roles: Hashable | None) -> None:
    seen: dict[Hashable, str] = dict.fromkeys(pair, "coordinates")
    for role, label in roles.items():
        if label is None:
            continue
        if label in seen:
            raise ValueError(
                f"Column {label!r} has two roles, {seen[label]} and {role}: remove one of them."
            )
        seen[label] = role


def _parse_covariates(
    frame: pd.DataFrame, covariates: Iterable[Hashable], warns_of_dates: bool
) -> tuple[dict[Hashable, np.ndarray], dict[Hashable, tuple[str, ...]], dict[Hashable, np.ndarray]]:
    """Return values of numeric, and levels and codes of categorical columns that vary.

    A column of one value with gaps varies. Levels that are dates are left to another warning.
    """
    numeric: dict[Hashable, np.ndarray] = {}
    categorical: dict[Hashable, tuple[str, ...]] = {}
    codes: dict[Hashable, np.ndarray] = {}
    for label in covariates:
        column = frame[label]
        gaps = bool(is_missing(column, label).any())
        if is_categorical(column, label):
            levels, column_codes = encode_categories(column)
            if len(levels) + gaps > 1:
                categorical[label], codes[label] = levels, column_codes
                if not (warns_of_dates and holds_date_text(levels)):
                    _warn_unlikely_levels(column, label, levels)
        else:
            values = to_float(column, label)
            known = values[~np.isnan(values)]
            if len(known) and (known.min() < known.max() or gaps):
                numeric[label] = values
    return numeric, categorical, codes


def _warn_date_covariates(
    frame: pd.DataFrame,
    numeric: Mapping[Hashable, np.ndarray],
    categorical: Mapping[Hashable, tuple[str, ...]],
) -> None:
    dates = [
        *(label for label, values in numeric.items() if holds_dates(frame[label], values)),
        *(label for label, levels in categorical.items() if holds_date_text(levels)),
    ]
    if dates:
        label = next(label for label in frame.columns if label in dates)
        warnings.warn(
            f"Column {label!r} holds dates and is used as an ordinary covariate. Set "
            f"time={label!r} to model trend and season, or drop it.",
            UserWarning,
            stacklevel=6,
        )


def _warn_unlikely_levels(column: pd.Series, label: Hashable, levels: tuple[str, ...]) -> None:
    n_levels = len(levels)
    chosen = isinstance(column.dtype, pd.CategoricalDtype)
    numbers = None if chosen else partly_numeric_levels(levels)
    first = str(column.dropna().iloc[0]) if n_levels else ""
    if first.lower().endswith(_CHIP_SUFFIXES) and n_levels > 1:
        warnings.warn(
            f"Column {label!r} holds paths such as {first!r} and is used as a category. If these "
            f'are image chips, set for example images={{"S2L2A": {label!r}}}; otherwise drop it.',
            UserWarning,
            stacklevel=7,
        )
    elif numbers is not None:
        warnings.warn(
            f"Column {label!r} is text with {n_levels} distinct values in {len(column)} rows, of "
            f"which {numbers[0]} begin with a number (such as {numbers[1]!r}), and is used as a "
            "category. If these are numbers, convert them: those below a limit of detection, such "
            "as '<3', for example to half the limit, others by "
            f"pd.to_numeric(X[{label!r}], errors='coerce').",
            UserWarning,
            stacklevel=7,
        )
    elif has_too_many_levels(n_levels, len(column)):
        warnings.warn(
            f"Column {label!r} is text with {n_levels} distinct values in {len(column)} rows. "
            "Convert numbers that are stored as text (decimal commas, '<0.1'), drop sample ids, "
            f"and set site={label!r} if the values identify sampling locations.",
            UserWarning,
            stacklevel=7,
        )


def _warn_unseen(codes: dict[Hashable, np.ndarray]) -> None:
    unseen = {
        label: int((column_codes == UNSEEN_CODE).sum()) for label, column_codes in codes.items()
    }
    unseen = {label: count for label, count in unseen.items() if count}
    if unseen:
        warnings.warn(
            "Categories that did not occur in the training rows are treated as unknown "
            f"(column: rows): {unseen}.",
            UserWarning,
            stacklevel=3,
        )


def _sites(column: pd.Series, label: Hashable) -> np.ndarray:
    missing = is_missing(column, label)
    return site_labels(column.astype(object).mask(missing, None).to_numpy(dtype=object))


def _stack_columns(arrays: Iterable[np.ndarray], n_rows: int, dtype: type) -> np.ndarray:
    columns = list(arrays)
    return np.column_stack(columns).astype(dtype) if columns else np.empty((n_rows, 0), dtype)
