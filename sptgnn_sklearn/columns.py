"""What each column of X means: roles named in the constructor, everything else a covariate.

A `Columns` object is learned once from the training table and then splits any table with the same
columns into the plain arrays of a `Table`. Nothing after this module sees a DataFrame.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd

from .geography import Frame, check_coordinates, resolve_frame

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
_YEARS = (1500.0, 2500.0)


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
    time : ndarray of shape (n,) or None
        Decimal years; NaN is unknown.
    site : ndarray of shape (n,) of object or None
    """

    coordinates: np.ndarray
    numeric: np.ndarray
    categories: np.ndarray
    elevation: np.ndarray | None = None
    time: np.ndarray | None = None
    site: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.coordinates)

    def take(self, rows: np.ndarray) -> Table:
        """Return the table of the given rows, in the given order."""
        return Table(
            *(None if array is None else array[rows] for array in vars(self).values()),
        )


@dataclass(frozen=True)
class Columns:
    """The roles of the columns of X, as learned from the training table.

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
    ignored : tuple of labels
        Covariates that are constant or wholly missing in the training table.
    """

    coordinates: tuple[Hashable, Hashable]
    frame: Frame
    numeric: tuple[Hashable, ...]
    categorical: dict[Hashable, tuple[str, ...]] = field(default_factory=dict)
    spectral: tuple[Hashable, ...] = ()
    time: Hashable | None = None
    elevation: Hashable | None = None
    site: Hashable | None = None
    ignored: tuple[Hashable, ...] = ()

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
    ) -> Columns:
        """Learn roles, kinds and levels from the training table.

        Raises
        ------
        ValueError
            If a role names a column that is not there, one column has two exclusive roles, names
            are duplicated, or a column cannot be read in its role.
        """
        frame = as_frame(X)
        pair = _coordinate_labels(frame, coordinates)
        reference = resolve_frame(crs, [str(label) for label in pair])
        check_coordinates(_coordinate_values(frame, pair), reference, pair, fitting=True)
        time = _find(frame, time, "time")
        elevation = _find(frame, elevation, "elevation")
        site = _find(frame, site, "site")
        spectral_labels = tuple(_find(frame, label, "spectral") for label in spectral or ())
        _refuse_shared_roles(pair, time=time, elevation=elevation, site=site)

        numeric, categorical, ignored = [], {}, []
        for label in frame.columns:
            if label in (*pair, time, site):
                continue
            if _is_categorical(frame[label], label):
                levels = _levels(frame[label])
                if len(levels) > 1 or (levels and frame[label].isna().any()):
                    categorical[label] = levels
                    continue
            else:
                values = _numbers(frame[label], label)
                known = values[~np.isnan(values)]
                if len(known) and (known.min() < known.max() or len(known) < len(values)):
                    numeric.append(label)
                    continue
            ignored.append(label)
        if time is not None:
            decimal_years(frame[time], time)
        if ignored:
            warnings.warn(
                f"Covariates without any variation in the training rows are ignored: {ignored}. "
                "Drop them from X, or check how they were joined.",
                UserWarning,
                stacklevel=2,
            )
        lost = [label for label in spectral_labels if label in categorical]
        if lost:
            raise ValueError(f"spectral={lost} are categorical; spectral columns must be numeric.")
        return cls(
            coordinates=pair,
            frame=reference,
            numeric=tuple(numeric),
            categorical=categorical,
            spectral=tuple(label for label in spectral_labels if label in numeric),
            time=time,
            elevation=elevation if elevation in numeric else None,
            site=site,
            ignored=tuple(ignored),
        )

    def split(self, X: Any) -> Table:
        """Split a table with these columns into arrays.

        Raises
        ------
        ValueError
            If a column is missing or holds what its role cannot take; the message names the column,
            the first such rows and the value found.
        """
        frame = as_frame(X)
        used = [*self.coordinates, *self.numeric, *self.categorical]
        used += [label for label in (self.time, self.site) if label is not None]
        missing = [label for label in used if label not in frame.columns]
        if missing:
            raise ValueError(
                f"X lacks the columns {missing} that were there in fit; "
                f"it has {list(frame.columns)[:20]}."
            )
        xy = _coordinate_values(frame, self.coordinates)
        check_coordinates(xy, self.frame, self.coordinates, fitting=False)
        numeric = [_numbers(frame[label], label) for label in self.numeric]
        codes = [_codes(frame[label], label, self.categorical[label]) for label in self.categorical]
        self._warn_unseen(codes)
        return Table(
            coordinates=xy,
            numeric=_stack(numeric, len(frame), np.float64),
            categories=_stack(codes, len(frame), np.int64),
            elevation=None
            if self.elevation is None
            else numeric[self.numeric.index(self.elevation)],
            time=None if self.time is None else decimal_years(frame[self.time], self.time),
            site=None if self.site is None else frame[self.site].to_numpy(dtype=object),
        )

    def _warn_unseen(self, codes: list[np.ndarray]) -> None:
        unseen = {
            label: int((column == -2).sum())
            for label, column in zip(self.categorical, codes, strict=True)
            if (column == -2).any()
        }
        if unseen:
            warnings.warn(
                "Categories that were not in the training rows are treated as unknown "
                f"(column: rows): {unseen}.",
                UserWarning,
                stacklevel=3,
            )

    @property
    def spectral_positions(self) -> list[int]:
        """Positions of the spectral columns among the numeric ones."""
        return [self.numeric.index(label) for label in self.spectral]


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
    """Return X as a DataFrame with unique column labels; positions label a bare array."""
    if not isinstance(X, pd.DataFrame):
        X = X.to_pandas() if hasattr(X, "to_pandas") else pd.DataFrame(np.asarray(X))
    if not X.columns.is_unique:
        twice = list(dict.fromkeys(X.columns[X.columns.duplicated()]))
        raise ValueError(f"X has duplicated column names: {twice}. Rename or drop them.")
    return X


def decimal_years(column: pd.Series, label: Hashable) -> np.ndarray:
    """Read dates, date strings or years as decimal years; missing dates are NaN.

    Raises
    ------
    ValueError
        If an entry is neither a date nor a year between 1500 and 2500.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.columns import decimal_years
    >>> decimal_years(pd.Series(["2001-01-01", None, "2000-07-02"]), "date").tolist()
    [2001.0, nan, 2000.5]
    """
    missing = column.isna().to_numpy()
    if not pd.api.types.is_datetime64_any_dtype(column):
        years = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        if np.array_equal(np.isnan(years), missing):
            wrong = ~missing & ~((years >= _YEARS[0]) & (years <= _YEARS[1]))
            if wrong.any():
                raise ValueError(_message(column, label, wrong, "a date or a decimal year"))
            return years
        text = column.astype(object).where(~column.isna(), None)
        parsed = pd.to_datetime(text, errors="coerce", format="mixed", utc=True)
        wrong = parsed.isna().to_numpy() & ~missing
        if wrong.any():
            raise ValueError(_message(column, label, wrong, "a date or a decimal year"))
        column = parsed
    start = column.dt.dayofyear - 1 + (column.dt.hour + column.dt.minute / 60) / 24
    length = 365 + column.dt.is_leap_year.astype(float)
    return (column.dt.year + start / length).to_numpy(dtype=float, na_value=np.nan)


def _find(frame: pd.DataFrame, label: Hashable | None, role: str) -> Hashable | None:
    """Return the column that a role names by label or by position."""
    if label is None:
        return None
    if label in frame.columns:
        return label
    if isinstance(label, (int, np.integer)) and -frame.shape[1] <= label < frame.shape[1]:
        return frame.columns[label]
    raise ValueError(
        f"{role}={label!r} names a column that X does not have; "
        f"its columns are {list(frame.columns)[:20]}."
    )


def _coordinate_labels(
    frame: pd.DataFrame, coordinates: Sequence[Hashable] | None
) -> tuple[Hashable, Hashable]:
    if coordinates is not None:
        if isinstance(coordinates, str) or len(coordinates) != 2:
            raise ValueError(
                "coordinates must name two columns, (x, y) or (longitude, latitude); "
                f"found {coordinates!r}."
            )
        first, second = (_find(frame, label, "coordinates") for label in coordinates)
        if first == second:
            raise ValueError(f"coordinates={tuple(coordinates)!r} names one column twice.")
        return first, second
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
    return np.column_stack([_numbers(frame[label], label, allow_inf=True) for label in pair])


def _refuse_shared_roles(pair: tuple[Hashable, Hashable], **roles: Hashable | None) -> None:
    seen: dict[Hashable, str] = dict.fromkeys(pair, "coordinates")
    for role, label in roles.items():
        if label is None:
            continue
        if label in seen:
            raise ValueError(f"Column {label!r} has two roles: {seen[label]} and {role}.")
        seen[label] = role


def _is_categorical(column: pd.Series, label: Hashable) -> bool:
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype) or isinstance(dtype, pd.StringDtype):
        return True
    if dtype != object:
        return pd.api.types.is_string_dtype(dtype)
    known = column[~column.isna()]
    if all(isinstance(value, (Number, Decimal, np.bool_)) for value in known):
        return False
    odd = [not isinstance(value, (str, Number, np.bool_)) for value in known]
    if any(odd):
        raise TypeError(
            f"Column {label!r} holds {type(known[odd].iloc[0]).__name__} objects; "
            "an argument must be a string or a number."
        )
    return True


def _levels(column: pd.Series) -> tuple[str, ...]:
    return tuple(sorted({str(value) for value in column[~column.isna()].unique()}))


def _codes(column: pd.Series, label: Hashable, levels: tuple[str, ...]) -> np.ndarray:
    missing = column.isna().to_numpy()
    # Levels are few and rows are many: map the distinct values, then spread them.
    codes, values = pd.factorize(column.astype(object))
    position = {level: code for code, level in enumerate(levels)}
    lookup = np.array([position.get(str(value), -2) for value in values] + [-1], dtype=np.int64)
    return np.where(missing, -1, lookup[codes])


def _numbers(column: pd.Series, label: Hashable, allow_inf: bool = False) -> np.ndarray:
    """Return a column as float64 with NaN for missing, or say which entry is not a number."""
    dtype = column.dtype
    if pd.api.types.is_complex_dtype(dtype):
        raise ValueError(f"Complex data not supported: column {label!r} is complex.")
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return decimal_years(column, label)
    if pd.api.types.is_timedelta64_dtype(dtype):
        return (column / pd.Timedelta(days=1)).to_numpy(dtype=float, na_value=np.nan)
    if isinstance(dtype, pd.CategoricalDtype):
        column = column.astype(object)
    if pd.api.types.is_object_dtype(column.dtype) or pd.api.types.is_string_dtype(column.dtype):
        numbers = pd.to_numeric(column.map(_as_float, na_action="ignore"), errors="coerce")
        wrong = numbers.isna().to_numpy() & ~column.isna().to_numpy()
        if wrong.any():
            raise ValueError(_message(column, label, wrong, "a number"))
        column = numbers
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if not allow_inf and np.isinf(values).any():
        raise ValueError(_message(column, label, np.isinf(values), "a finite number"))
    return values


def _as_float(value: Any) -> Any:
    return float(value) if isinstance(value, (Decimal, np.bool_, bool)) else value


def _stack(arrays: list[np.ndarray], n_rows: int, dtype: type) -> np.ndarray:
    return np.column_stack(arrays).astype(dtype) if arrays else np.empty((n_rows, 0), dtype)


def _message(column: pd.Series, label: Hashable, wrong: np.ndarray, wanted: str) -> str:
    rows = np.flatnonzero(wrong)
    found = column.iloc[int(rows[0])]
    return (
        f"Column {label!r} must hold {wanted} in each row; row {rows[0]} holds {found!r} "
        f"({len(rows)} such rows, first {rows[:5].tolist()}). Mend or drop these rows."
    )
