"""What each column of X means: roles named in the constructor, everything else a covariate.

A `Columns` object is learned once from the training table and then splits any table with the same
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

from .geography import Frame, check_coordinates, resolve_frame
from .images.imagery import read_paths
from .images.modalities import image_columns
from .values import (
    category_codes,
    category_levels,
    decimal_years,
    is_categorical,
    missing_entries,
    numbers,
)

__all__ = ["Columns", "Table", "as_frame", "find_column", "locate_coordinates", "named_roles"]

# Pairs that are recognised without being named, in this order: a table that carries both planar and
# geographic coordinates is measured in the planar ones, which need no conversion.
_COORDINATE_PAIRS = (
    ("x", "y"),
    ("easting", "northing"),
    ("eastings", "northings"),
    ("utm_x", "utm_y"),
    ("x_coord", "y_coord"),
    ("coord_x", "coord_y"),
    ("xcoord", "ycoord"),
    ("lon", "lat"),
    ("longitude", "latitude"),
    ("long", "lat"),
    ("lng", "lat"),
    ("decimallongitude", "decimallatitude"),
    ("lon_wgs84", "lat_wgs84"),
    ("longitude_wgs84", "latitude_wgs84"),
)
# Squares of distances must not overflow in single precision.
_FARTHEST = 1e15
# A text with so many values, new in every other row, rather is a number or a name.
_MANY_LEVELS = 32
_CHIP_SUFFIXES = (".tif", ".tiff", ".npy")


@dataclass(frozen=True)
class Table:
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
        What the image encoder says of each row; NaN without any image. `Columns.split` leaves it
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

    def take(self, rows: np.ndarray) -> Table:
        """Return the table of the given rows, in the given order."""
        return Table(
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
class Columns:
    """The roles of the columns of X, as learned from the training table.

    Use `Columns.learn`, then `split`.

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
    >>> from sptgnn_sklearn.columns import Columns
    >>> X = pd.DataFrame(
    ...     {"lon": [5.0, 6.0], "lat": [52.0, 53.0], "clay": [0.1, None], "use": ["crop", "grass"]}
    ... )
    >>> columns = Columns.learn(X)
    >>> columns.coordinates, columns.numeric, columns.categorical
    (('lon', 'lat'), ('clay',), {'use': ('crop', 'grass')})
    >>> table = columns.split(X)
    >>> table.numeric.ravel().tolist(), table.categories.ravel().tolist()
    ([0.1, nan], [0, 1])
    """

    coordinates: tuple[Hashable, Hashable]
    frame: Frame
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
    def learn(
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
    ) -> Columns:
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
        frame = as_frame(X)
        pair = _coordinate_labels(frame, coordinates)
        reference = resolve_frame(crs, [str(label) for label in pair])
        check_coordinates(_coordinate_values(frame, pair), reference, pair, fitting=True)
        time = None if time is None else find_column(frame, time, "time")
        elevation = None if elevation is None else find_column(frame, elevation, "elevation")
        site = None if site is None else find_column(frame, site, "site")
        similar = () if spectral is None else tuple(_find_all(frame, spectral, "spectral"))
        chips = {
            name: find_column(frame, label, f"images[{name!r}]")
            for name, label in (images or {}).items()
        }
        named = {f"images[{name!r}]": label for name, label in chips.items()}
        _refuse_shared_roles(pair, time=time, site=site, elevation=elevation, **named)
        for label in similar:
            _refuse_shared_roles(pair, time=time, site=site, spectral=label, **named)

        no_covariates = (*pair, time, site, *chips.values())
        covariates = [label for label in frame.columns if label not in no_covariates]
        numeric, categorical = _kinds(frame, covariates)
        if time is None:
            _tell_of_dates(frame, covariates)
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
            frame=reference,
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

    def split(self, X: Any) -> Table:
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
        frame = self._by_name(as_frame(X))
        used = [*self.coordinates, *self.numeric, *self.categorical, self.time, self.site]
        used += self.images.values()
        missing = [label for label in used if label is not None and label not in frame.columns]
        if missing:
            raise ValueError(
                f"X lacks the columns {missing} that were there in fit; "
                f"it has {list(frame.columns)[:20]}."
            )
        xy = _coordinate_values(frame, self.coordinates)
        check_coordinates(xy, self.frame, self.coordinates, fitting=False)
        numeric = {label: numbers(frame[label], label) for label in self.numeric}
        codes = {
            label: category_codes(frame[label], levels)
            for label, levels in self.categorical.items()
        }
        _warn_unseen(codes)
        return Table(
            coordinates=xy,
            numeric=_stack(numeric.values(), len(frame), np.float64),
            categories=_stack(codes.values(), len(frame), np.int64),
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
    """Return the arguments of `Columns.learn` that an estimator's parameters stand for.

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


def locate_coordinates(
    X: Any, coordinates: Sequence[Hashable] | None = None, crs: Any = None
) -> tuple[np.ndarray, Frame, tuple[Hashable, Hashable]]:
    """Read the coordinates from X by name or position.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_samples, n_features)
    coordinates : pair of labels or positions, default=None
        None looks for the usual names and falls back to the first two columns.
    crs : anything pyproj knows, default=None

    Returns
    -------
    xy : ndarray of shape (n_samples, 2)
    frame : Frame
    labels : tuple
        The two columns read.

    Raises
    ------
    ValueError
        If the columns are not there or do not hold coordinates.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.columns import locate_coordinates
    >>> xy, frame, labels = locate_coordinates(pd.DataFrame({"lat": [52.0], "lon": [5.0]}))
    >>> xy.tolist(), frame.unit, labels
    ([[5.0, 52.0]], 'km', ('lon', 'lat'))
    """
    frame = as_frame(X)
    pair = _coordinate_labels(frame, coordinates)
    reference = resolve_frame(crs, [str(label) for label in pair])
    xy = _coordinate_values(frame, pair)
    check_coordinates(xy, reference, pair, fitting=False)
    return xy, reference, pair


def as_frame(X: Any) -> pd.DataFrame:
    """Return X as a DataFrame with unique column labels; positions label a bare array.

    Parameters
    ----------
    X : DataFrame, array-like of shape (n_samples, n_features) or any table with `to_pandas`

    Raises
    ------
    ValueError
        If column names are duplicated, or a table of another library holds what pandas does not
        know.

    Examples
    --------
    >>> from sptgnn_sklearn.columns import as_frame
    >>> as_frame([[5.0, 52.0, 0.1]]).columns.tolist()
    [0, 1, 2]
    """
    if not isinstance(X, pd.DataFrame):
        X = _to_pandas(X) if hasattr(X, "to_pandas") else pd.DataFrame(np.asarray(X))
    if not X.columns.is_unique:
        twice = list(dict.fromkeys(X.columns[X.columns.duplicated()]))
        raise ValueError(f"X has duplicated column names: {twice}. Rename or drop them.")
    # Files of other machines hold numbers in another order of bytes, from which pandas takes none.
    turned = {
        label: dtype.newbyteorder("=")
        for label, dtype in X.dtypes.items()
        if isinstance(dtype, np.dtype) and not dtype.isnative
    }
    return X.astype(turned) if turned else X


def _to_pandas(X: Any) -> pd.DataFrame:
    try:
        return X.to_pandas()
    # Every library of tables has its own errors over columns that pandas does not know.
    except Exception as error:
        raise ValueError(
            f"X cannot be made a pandas DataFrame ({error}): drop the columns of that kind, or "
            "convert X yourself."
        ) from error


def find_column(frame: pd.DataFrame, label: Any, role: str) -> Hashable:
    """Return the column that a role names by label or by position.

    Parameters
    ----------
    frame : DataFrame
    label : label or position
    role : str
        The parameter that names it, for messages.

    Raises
    ------
    ValueError
        If there is no such column.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.columns import find_column
    >>> find_column(pd.DataFrame({"lon": [5.0], "lat": [52.0]}), 1, "elevation")
    'lat'
    """
    if isinstance(label, Hashable) and not isinstance(label, bool):
        if label in frame.columns:
            return label
        if isinstance(label, int | np.integer) and -frame.shape[1] <= label < frame.shape[1]:
            return frame.columns[int(label)]
    raise ValueError(
        f"{role}={label!r} names a column that X does not have; "
        f"its columns are {list(frame.columns)[:20]}."
    )


def _find_all(frame: pd.DataFrame, labels: Sequence[Hashable], role: str) -> list[Hashable]:
    """Return the distinct columns that a role names."""
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise ValueError(f"{role} must be a sequence of columns; found {labels!r}.")
    return list(dict.fromkeys(find_column(frame, label, role) for label in labels))


def _coordinate_labels(
    frame: pd.DataFrame, coordinates: Sequence[Hashable] | None
) -> tuple[Hashable, Hashable]:
    if coordinates is not None:
        found = _find_all(frame, coordinates, "coordinates")
        if len(found) != 2 or len(coordinates) != 2:
            raise ValueError(
                "coordinates must name two columns, (x, y) or (longitude, latitude); "
                f"found {coordinates!r}."
            )
        return found[0], found[1]
    if frame.shape[1] < 2:
        raise ValueError(
            f"X has {frame.shape[1]} feature(s) (shape={frame.shape}) while a minimum of 2 is "
            "required: the two coordinates."
        )
    by_name = {str(label).strip().lower(): label for label in frame.columns}
    for first, second in _COORDINATE_PAIRS:
        if first in by_name and second in by_name:
            return by_name[first], by_name[second]
    pair = frame.columns[0], frame.columns[1]
    if frame.shape[1] > 2 and any(isinstance(label, str) for label in pair):
        warnings.warn(
            f"No columns with a usual coordinate name; the first two, {pair[0]!r} and {pair[1]!r}, "
            "are taken as coordinates. Name them: coordinates=(x_column, y_column).",
            UserWarning,
            stacklevel=4,
        )
    return pair


def _coordinate_values(frame: pd.DataFrame, pair: tuple[Hashable, Hashable]) -> np.ndarray:
    return np.column_stack([numbers(frame[label], label, _FARTHEST) for label in pair])


def _refuse_shared_roles(pair: tuple[Hashable, Hashable], **roles: Hashable | None) -> None:
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
        gaps = bool(missing_entries(column, label).any())
        if is_categorical(column, label):
            levels = category_levels(column)
            if len(levels) + gaps > 1:
                categorical[label] = levels
                _warn_many_levels(column, label, len(levels))
        else:
            values = numbers(column, label)
            known = values[~np.isnan(values)]
            if len(known) and (known.min() < known.max() or gaps):
                numeric.append(label)
    return numeric, categorical


def _tell_of_dates(frame: pd.DataFrame, covariates: Iterable[Hashable]) -> None:
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
    elif n_levels > max(_MANY_LEVELS, len(column) / 2):
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
    missing = missing_entries(column, label)
    return column.astype(object).mask(missing, None).to_numpy(dtype=object)


def _stack(arrays: Iterable[np.ndarray], n_rows: int, dtype: type) -> np.ndarray:
    columns = list(arrays)
    return np.column_stack(columns).astype(dtype) if columns else np.empty((n_rows, 0), dtype)
