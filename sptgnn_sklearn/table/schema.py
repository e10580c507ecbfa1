"""What each column of X means: roles named in the constructor, everything else a covariate.

A `TableSchema` object is learned once from the training table and then splits any table with the same
columns into the plain arrays of a `Table`. Nothing after this module sees a DataFrame.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_datetime64_any_dtype

from ..spatial.coordinate_checks import check_coordinates
from ..spatial.crs import SpatialReference, resolve_crs
from .coordinate_columns import (
    as_dataframe,
    coordinate_labels,
    coordinate_values,
    find_column,
    find_columns,
)
from .image_columns import image_columns
from .parsing import (
    category_codes,
    category_levels,
    decimal_years,
    is_categorical,
    is_missing,
    read_paths,
    to_float,
)

__all__ = ["SampleTable", "TableSchema", "named_roles"]

# A text with so many values, new in every other row, rather is a number or a name.
_SUSPICIOUS_LEVELS = 32
_CHIP_SUFFIXES = (".tif", ".tiff", ".npy")


@dataclass(frozen=True)
class SampleTable:
    """The arrays of one table, one entry per row.

    Attributes
    ----------
    coordinates : ndarray of shape (n, 2)
        First axis (longitude, easting), then second (latitude, northing).
    numeric : ndarray of shape (n, p)
        Numeric and boolean covariates, elevation among them; NaN is missing.
    categories : ndarray of shape (n, c) of int
        Position of the level of each categorical covariate; -1 is missing, -2 a level not seen in
        training.
    elevation : ndarray of shape (n,) or None
        NaN is unknown.
    time : ndarray of shape (n,) or None
        Decimal years; NaN is unknown.
    site : ndarray of shape (n,) of object or None
        Ids of sites; None is unknown.
    images : dict of str to ndarray of shape (n,) of object
        For each modality the paths of chips; None is no image.
    embedding : ndarray of shape (n, d) or None
        What the image encoder says of each row; NaN without any image. `TableSchema.split` leaves it
        out: files are read elsewhere.
    indices : ndarray of shape (n, i) or None
        Spectral indices of the chips; NaN where they cannot be computed.
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
        )


@dataclass(frozen=True)
class TableSchema:
    """The roles of the columns of X, as learned from the training table.

    Use `TableSchema.learn`, then `split`.

    Attributes
    ----------
    coordinates : tuple of two labels
    frame : Frame
        What the coordinates mean.
    numeric : tuple of labels
        Numeric covariates that vary in the training table.
    categorical : dict of label to tuple of str
        Categorical covariates and their levels, sorted.
    spectral : tuple of labels
        Numeric covariates that define spectral similarity; empty means all covariates.
    time, elevation, site : label or None
    images : dict of str to label
        Column of the chips of each modality.
    ignored : tuple of labels
        Columns that are constant or wholly missing in the training table.
    labels : tuple of labels
        All columns of the training table, in their order.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.schema import TableSchema
    >>> X = pd.DataFrame(
    ...     {"lon": [5.0, 6.0], "lat": [52.0, 53.0], "clay": [0.1, None], "use": ["crop", "grass"]}
    ... )
    >>> columns = TableSchema.learn(X)
    >>> columns.coordinates, columns.numeric, columns.categorical
    (('lon', 'lat'), ('clay',), {'use': ('crop', 'grass')})
    >>> table = columns.split(X)
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

    @classmethod
    def fit(
        cls,
        X: Any,
        *,
        coordinates: Sequence[Hashable] | None = None,
        crs: Any = None,
        time: Hashable | None = None,
        elevation: Hashable | None = None,
        spectral: Sequence[Hashable] | None = None,
        site: Hashable | None = None,
        images: Mapping[str, Hashable] | None = None,
    ) -> TableSchema:
        """Learn roles, kinds and levels from the training table.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        coordinates, crs, time, elevation, spectral, site
            Roles, as in `SpTGNNRegressor`: labels of columns or else their positions.
        images : mapping of str to label or position
            Column of the chips of each modality.

        Returns
        -------
        Columns

        Raises
        ------
        ValueError
            If a role names a column that is not there, one column has two exclusive roles, names
            are duplicated, or a column cannot be read in its role.
        TypeError
            If a covariate holds objects, or mixes numbers and text.
        """
        frame = as_dataframe(X)
        pair = coordinate_labels(frame, coordinates)
        reference = resolve_crs(crs, [str(label) for label in pair])
        check_coordinates(coordinate_values(frame, pair), reference, pair, fitting=True)
        time = None if time is None else find_column(frame, time, "time")
        elevation = None if elevation is None else find_column(frame, elevation, "elevation")
        site = None if site is None else find_column(frame, site, "site")
        similar = () if spectral is None else tuple(find_columns(frame, spectral, "spectral"))
        chips = {
            name: find_column(frame, label, f"images[{name!r}]")
            for name, label in (images or {}).items()
        }
        named = {f"images[{name!r}]": label for name, label in chips.items()}
        _check_shared_roles(pair, time=time, site=site, elevation=elevation, **named)
        for label in similar:
            _check_shared_roles(pair, time=time, site=site, spectral=label, **named)

        no_covariates = (*pair, time, site, *chips.values())
        covariates = [label for label in frame.columns if label not in no_covariates]
        numeric, categorical = _kinds(frame, covariates)
        if time is None:
            _warn_date_covariates(frame, covariates)
        for role, label in [("elevation", elevation), *(("spectral", label) for label in similar)]:
            if label in categorical:
                raise ValueError(
                    f"{role}={label!r} must be numeric, but the column holds text or categories. "
                    f"Convert it, for example by pd.to_numeric(X[{label!r}], errors='coerce')."
                )
        ignored: list[Hashable] = [
            label for label in covariates if label not in {*numeric, *categorical}
        ]
        if time is not None and np.isnan(decimal_years(frame[time], time)).all():
            ignored.append(time)
            time = None
        if ignored:
            warnings.warn(
                f"Covariates without any variation in the training rows are ignored: {ignored}. "
                "Drop them from X, or check how they were joined.",
                UserWarning,
                stacklevel=3,
            )
        return cls(
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
        )

    def transform(self, X: Any) -> SampleTable:
        """Split a table with these columns into arrays.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Where this table or that of training has no column names, columns go by position.

        Returns
        -------
        Table

        Raises
        ------
        ValueError
            If a column is missing or holds what its role cannot take; the message names the column,
            the first such rows and the value found.
        """
        frame = self._by_name(as_dataframe(X))
        used = [*self.coordinates, *self.numeric, *self.categorical, self.time, self.site]
        used += self.images.values()
        missing = [label for label in used if label is not None and label not in frame.columns]
        if missing:
            raise ValueError(
                f"X lacks the columns {missing} that were there in fit; "
                f"it has {list(frame.columns)[:20]}."
            )
        xy = coordinate_values(frame, self.coordinates)
        check_coordinates(xy, self.reference, self.coordinates, fitting=False)
        numeric = {label: to_float(frame[label], label) for label in self.numeric}
        codes = {
            label: category_codes(frame[label], levels)
            for label, levels in self.categorical.items()
        }
        _warn_unseen(codes)
        return SampleTable(
            coordinates=xy,
            numeric=_stack_columns(numeric.values(), len(frame), np.float64),
            categories=_stack_columns(codes.values(), len(frame), np.int64),
            elevation=None if self.elevation is None else numeric[self.elevation],
            time=None if self.time is None else decimal_years(frame[self.time], self.time),
            site=None if self.site is None else _sites(frame[self.site], self.site),
            images={name: read_paths(frame[label]) for name, label in self.images.items()},
        )

    def _by_name(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Give the columns the names that they had in training where names were missing."""
        unnamed = tuple(range(len(self.labels)))
        columns = tuple(frame.columns)
        if len(columns) == len(unnamed) and unnamed in (columns, self.labels):
            return frame.set_axis(list(self.labels), axis=1)
        return frame

    @property
    def spectral_positions(self) -> list[int]:
        """Positions of the spectral columns among the numeric ones."""
        return [self.numeric.index(label) for label in self.spectral]


def named_roles(estimator: Any) -> dict[str, Any]:
    """Return the arguments of `TableSchema.learn` that an estimator's parameters stand for.

    Parameters
    ----------
    estimator : estimator
        With the role parameters of `SpTGNNRegressor`.

    Raises
    ------
    ValueError
        If `images` is no mapping of modalities to columns.
    """
    names = ("coordinates", "crs", "time", "elevation", "site")
    roles = {name: getattr(estimator, name) for name in names}
    # A text names a kind of similarity and not a column.
    roles["spectral"] = None if isinstance(estimator.spectral, str) else estimator.spectral
    if estimator.images is not None:
        found = image_columns(estimator.images)
        roles["images"] = {name: column.column for name, column in found.items()}
    return roles


def _check_shared_roles(pair: tuple[Hashable, Hashable], **roles: Hashable | None) -> None:
    seen: dict[Hashable, str] = dict.fromkeys(pair, "coordinates")
    for role, label in roles.items():
        if label is None:
            continue
        if label in seen:
            raise ValueError(
                f"Column {label!r} has two roles, {seen[label]} and {role}: leave one out."
            )
        seen[label] = role


def _kinds(
    frame: pd.DataFrame, covariates: Iterable[Hashable]
) -> tuple[list[Hashable], dict[Hashable, tuple[str, ...]]]:
    """Return the numeric and the categorical columns that say anything; a gap says something."""
    numeric: list[Hashable] = []
    categorical: dict[Hashable, tuple[str, ...]] = {}
    for label in covariates:
        column = frame[label]
        gaps = bool(is_missing(column, label).any())
        if is_categorical(column, label):
            levels = category_levels(column)
            if len(levels) + gaps > 1:
                categorical[label] = levels
                _warn_many_levels(column, label, len(levels))
        else:
            values = to_float(column, label)
            known = values[~np.isnan(values)]
            if len(known) and (known.min() < known.max() or gaps):
                numeric.append(label)
    return numeric, categorical


def _warn_date_covariates(frame: pd.DataFrame, covariates: Iterable[Hashable]) -> None:
    dates = [label for label in covariates if is_datetime64_any_dtype(frame[label].dtype)]
    if dates:
        warnings.warn(
            f"Column {dates[0]!r} holds dates and is taken for a covariate like any other. Give it "
            f"as time={dates[0]!r}, for trend and season, or drop it.",
            UserWarning,
            stacklevel=4,
        )


def _warn_many_levels(column: pd.Series, label: Hashable, n_levels: int) -> None:
    first = str(column.dropna().iloc[0]) if n_levels else ""
    if first.lower().endswith(_CHIP_SUFFIXES) and n_levels > 1:
        warnings.warn(
            f"Column {label!r} holds paths such as {first!r} and is taken for a category. Give "
            'paths of chips by images, such as images={"S2L2A": ' + f"{label!r}" + "}, or drop it.",
            UserWarning,
            stacklevel=5,
        )
    elif n_levels > max(_SUSPICIOUS_LEVELS, len(column) / 2):
        warnings.warn(
            f"Column {label!r} is text with {n_levels} different values in {len(column)} rows. If "
            "these are numbers, convert them (a decimal comma or '<0.1' makes a column text); if "
            "they name samples, drop the column; if they name places, give it as site.",
            UserWarning,
            stacklevel=5,
        )


def _warn_unseen(codes: dict[Hashable, np.ndarray]) -> None:
    unseen = {label: int((found == -2).sum()) for label, found in codes.items()}
    unseen = {label: count for label, count in unseen.items() if count}
    if unseen:
        warnings.warn(
            "Categories that were not in the training rows are treated as unknown "
            f"(column: rows): {unseen}.",
            UserWarning,
            stacklevel=3,
        )


def _sites(column: pd.Series, label: Hashable) -> np.ndarray:
    missing = is_missing(column, label)
    return column.astype(object).mask(missing, None).to_numpy(dtype=object)


def _stack_columns(arrays: Iterable[np.ndarray], n_rows: int, dtype: type) -> np.ndarray:
    columns = list(arrays)
    return np.column_stack(columns).astype(dtype) if columns else np.empty((n_rows, 0), dtype)
