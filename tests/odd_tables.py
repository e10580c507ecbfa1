"""Hypothesis strategies for unusual tables, targets and weights, and the allowed outcomes."""

from __future__ import annotations

import contextlib
import datetime
import pathlib
import re
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import sklearn
from hypothesis import strategies as st
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LinearRegression
from small_models import make_regressor

import sptgnn_sklearn
from sptgnn_sklearn import SpTGNNRegressor

SECONDS = 60  # time limit of one case
MOST_ROWS = 25
_HOMES = tuple(str(pathlib.Path(package.__file__).parent) for package in (sptgnn_sklearn, sklearn))
_SMALLEST = {
    "base_estimator": "gaussian_process",
    "n_estimators": 1,
    "hidden_size": 4,
    "n_heads": 1,
    "n_experts": 0,
    "max_epochs": 1,
    "n_neighbors": 2,
    "random_state": 0,
}
# Subjects of documented errors.
_SUBJECT = re.compile(
    r"column|row|sample|feature|target|\by\b|\bX\b|weight|dimension|coordinates|"
    + "|".join(SpTGNNRegressor()._parameter_constraints)
)
# Warnings of the package and of scikit-learn about tables that are valid.
_WARNING = re.compile(
    r"n_neighbors=\d+ is larger than|Covariates without any variation|"
    r"Categories that did not occur|"
    r"Columns .* are the coordinates, and|Column .* holds dates and is used|Columns .*: check crs|"
    r"No columns have recognized|Column .* is text with|X does not have valid feature|"
    r"Column .* holds paths|X has feature names, but|Column .* equals the target|"
    r"Columns .*, with medians|Column .* holds \S+ in \d+ of"
)


@dataclass
class Case:
    """Arguments of one fit and one prediction.

    Attributes
    ----------
    X, y, weight, queries
    parameters : dict
        Parameters of the estimator beyond those of the smallest network.
    description : list of str
        Kinds of columns, targets, ... that were drawn.
    invalid : bool
        Whether the case contains invalid input.
    """

    X: Any
    y: Any
    weight: Any
    queries: Any
    parameters: dict[str, Any] = field(default_factory=dict)
    description: list[str] = field(default_factory=list)
    invalid: bool = False

    def __repr__(self) -> str:
        return f"Case({'; '.join(self.description)}; {self.parameters})"


# Values ------------------------------------------------------------------------------------------


def _column(
    pool: list[Any], make: Callable[[list[Any]], Any]
) -> Callable[[int, np.random.Generator], Any]:
    """Return a function of a number of rows that makes a column with entries from a pool."""
    return lambda n, rng: make([pool[i] for i in rng.integers(len(pool), size=n)])


def _typed(dtype: Any) -> Callable[[list[Any]], Any]:
    return lambda values: pd.Series(values, dtype=dtype)


def _objects(values: list[Any]) -> Any:
    column = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        column[i] = value
    return pd.Series(column, dtype=object)


def _arrow(kind: pa.DataType) -> Callable[[list[Any]], Any]:
    return _typed(pd.ArrowDtype(kind))


def _sparse(fill: float) -> Callable[[list[Any]], Any]:
    return lambda values: pd.Series(pd.arrays.SparseArray(values, fill_value=fill))


def _spread(values: list[Any], scale: float = 1.0) -> Any:
    """Return numbers that differ slightly from row to row."""
    return pd.Series(np.array(values, dtype=float) + scale * np.arange(len(values)))


_NUMBERS = [0.0, -0.0, 1.0, -1.5, 0.1, 3.0, 2.5, 100.0]
_GAPPY = [*_NUMBERS, None]
_INTEGERS = [0, 1, 2, 3, 100]
_DAY = datetime.date(2001, 2, 3)
_DATES = [pd.Timestamp("2001-05-03"), pd.Timestamp("1999-12-31 23:59:59.999999"), pd.NaT]
_TIMESTAMPS = [datetime.datetime(2001, 5, 3), datetime.datetime(1970, 1, 1), None]

# Valid kinds of columns.
VALID_COLUMNS: dict[str, Callable[[int, np.random.Generator], Any]] = {
    "floats": _column([*_NUMBERS, np.nan], _typed("float64")),
    "spread": _column(_NUMBERS, _spread),
    "single": _column([*_NUMBERS, np.nan], _typed("float32")),
    "half": _column([*_NUMBERS, np.nan], _typed("float16")),
    "long double": _column([*_NUMBERS, np.nan], _typed(np.longdouble)),
    "huge": _column([1e30, -1e30, 9.9e29, 0.0], _typed("float64")),
    "tiny": _column([5e-324, -5e-324, 2.2e-308, 0.0, -0.0], _typed("float64")),
    "mixed magnitudes": _column([1e30, 1e-300, 1.0, -1e15], _typed("float64")),
    "far from zero": _column([1e15, 1e15 + 1, 1e15 + 2], _typed("float64")),
    "constant": _column([3.0], _typed("float64")),
    "empty": _column([np.nan], _typed("float64")),
    "nothing": _column([None], _objects),
    "big-endian": _column(_NUMBERS, lambda v: pd.Series(np.array(v, dtype=">f8"))),
    "integers": _column(_INTEGERS, _typed("int64")),
    "extreme integers": _column([2**63 - 1, -(2**63), 0], _typed("int64")),
    "unsigned": _column([2**64 - 1, 0, 1], _typed("uint64")),
    "bytes": _column([0, 1, 255], _typed("uint8")),
    "flags": _column([True, False], _typed("bool")),
    "nullable floats": _column(_GAPPY, _typed("Float64")),
    "nullable integers": _column([*_INTEGERS, None], _typed("Int64")),
    "nullable bytes": _column([0, 255, None], _typed("UInt8")),
    "nullable flags": _column([True, False, None], _typed("boolean")),
    "arrow floats": _column(_GAPPY, _arrow(pa.float64())),
    "arrow halves": _column(_GAPPY, _arrow(pa.float32())),
    "arrow integers": _column([*_INTEGERS, None], _arrow(pa.int16())),
    "arrow flags": _column([True, False, None], _arrow(pa.bool_())),
    "arrow decimals": _column([Decimal("1.50"), Decimal("-2"), None], _arrow(pa.decimal128(12, 2))),
    "arrow nulls": _column([None], _arrow(pa.null())),
    "arrow text": _column(["a", "b", None], _typed("string[pyarrow]")),
    "arrow large text": _column(["a", "b", None], _arrow(pa.large_string())),
    "arrow dates": _column([_DAY, None], _arrow(pa.date32())),
    "arrow times": _column(_TIMESTAMPS, _arrow(pa.timestamp("us"))),
    "arrow zoned times": _column(_TIMESTAMPS, _arrow(pa.timestamp("s", tz="Asia/Tokyo"))),
    "arrow durations": _column(
        [datetime.timedelta(1), datetime.timedelta(0), None], _arrow(pa.duration("us"))
    ),
    "arrow categories": _column(
        ["a", "b", None],
        lambda v: pd.Series(
            pd.arrays.ArrowExtensionArray(pa.array(v, pa.string()).dictionary_encode())
        ),
    ),
    "sparse": _column([0.0, 0.0, 1.0, np.nan], _sparse(0.0)),
    "sparse gaps": _column([np.nan, np.nan, 1.0, 2.0], _sparse(np.nan)),
    "sparse integers": _column([0, 0, 1], _sparse(0)),
    "sparse flags": _column([False, True], _sparse(False)),
    "decimals": _column([Decimal("1.5"), Decimal("-0"), Decimal("NaN"), None], _objects),
    "fractions": _column([Fraction(1, 3), Fraction(0), 2], _objects),
    "mixed numbers": _column([Decimal(1), 2.5, np.int8(3), True, pd.NA, None], _objects),
    "numbers as text": _column(["1", " 2.5 ", "-1e3", None], _typed("str")),
    "text": _column(["sand", "clay", "", " ", "\N{SNOWMAN}", None], _typed("str")),
    "text objects": _column(["sand", "clay", "nan", None, np.nan], _objects),
    "odd text": _column(["a", "\x00", "\ud800", "b" * 500], _objects),
    "categories": _column(
        ["a", "b", None], lambda v: pd.Series(pd.Categorical(v, ["unused", "b", "a", "never"]))
    ),
    "ordered": _column(
        ["low", "high"], lambda v: pd.Series(pd.Categorical(v, ["low", "mid", "high"], True))
    ),
    "codes": _column([1.0, 2.0, 2.5, None], lambda v: pd.Series(pd.Categorical(v))),
    "categories of dates": _column(_DATES, lambda v: pd.Series(pd.Categorical(v))),
    "categories of flags": _column([True, False, None], lambda v: pd.Series(pd.Categorical(v))),
    "intervals": _column(
        [pd.Interval(0, 1), pd.Interval(1, 2), None], lambda v: pd.Series(v, dtype="interval")
    ),
    "dates": _column(_DATES, _typed("datetime64[ns]")),
    "coarse dates": _column(_DATES, _typed("datetime64[s]")),
    "zoned dates": _column(
        _DATES, lambda v: pd.Series(v, dtype="datetime64[us]").dt.tz_localize("Etc/GMT-14")
    ),
    "date objects": _column([_DAY, datetime.date(1999, 12, 31), None], _objects),
    "periods": _column([pd.Period("2001-03"), pd.NaT], _typed("period[M]")),
    "several zones": _column(
        [
            pd.Timestamp("2001-05-03", tz="UTC"),
            pd.Timestamp("2001-05-03", tz="Asia/Tokyo"),
            pd.Timestamp("2001-05-03"),
        ],
        _objects,
    ),
    "durations": _column([pd.Timedelta("1D"), pd.NaT], _typed("timedelta64[ns]")),
}
# Invalid kinds of columns, which must raise an error.
INVALID_COLUMNS: dict[str, Callable[[int, np.random.Generator], Any]] = {
    "infinite": _column([1.0, np.inf, -np.inf], _typed("float64")),
    "beyond": _column([1e300, 1.0, -1e300], _typed("float64")),
    "marked": _column([-3.4028235e38, 1.0], _typed("float32")),
    "complex": _column([1j, 0j, 1 + 0j], _typed("complex128")),
    "complex single": _column([1j, 0j], _typed("complex64")),
    "arrow infinities": _column([1.0, float("inf")], _arrow(pa.float64())),
    "arrow binary": _column([b"a", b"b", None], _arrow(pa.binary())),
    "arrow lists": _column([[1], [2, 3], None], _arrow(pa.list_(pa.int64()))),
    "arrow structs": _column([{"a": 1}, {"a": 2}, None], _arrow(pa.struct([("a", pa.int64())]))),
    "arrow clock": _column([datetime.time(1), datetime.time(2), None], _arrow(pa.time64("us"))),
    "arrow far dates": _column([datetime.date(1, 1, 1), _DAY], _arrow(pa.date32())),
    "infinite objects": _column([1.0, float("inf"), Decimal("Infinity")], _objects),
    "signaling": _column([Decimal("sNaN"), Decimal(1)], _objects),
    "endless integers": _column([10**400, -(10**400), 1], _objects),
    "complex objects": _column([1j, 1.0], _objects),
    "stray text": _column([1.0, 2.0, "<0.1"], _objects),
    "dates and numbers": _column([_DAY, 1.0], _objects),
    "lists": _column([[1], [2], None], _objects),
    "arrays": _column([np.zeros(2), np.ones(3), None], _objects),
    "mappings": _column([{}, {"a": 1}], _objects),
    "classes": _column([int, object(), None], _objects),
    "octets": _column([b"a", b"b"], _objects),
    "clocks": _column([datetime.time(1), datetime.time(2)], _objects),
    "far dates": _column([datetime.date(1, 1, 1), datetime.date(9999, 12, 31), _DAY], _objects),
    "far coarse dates": _column(
        [np.datetime64("0001-01-01"), np.datetime64("9999-12-31")], _typed("datetime64[s]")
    ),
}

_UNIT = np.linspace(0.0, 1.0, MOST_ROWS)
_SHUFFLED = np.random.default_rng(0).permutation(MOST_ROWS)
_CLOUD = np.random.default_rng(1).uniform(size=(MOST_ROWS, 2))


def _tile(values: list[float], n: int) -> np.ndarray:
    return np.resize(np.array(values, dtype=float), n)


# The two coordinates of n rows.
COORDINATES: dict[str, Callable[[int], tuple[Any, Any]]] = {
    "cloud": lambda n: (5 + _CLOUD[:n, 0], 50 + _CLOUD[:n, 1]),
    "line": lambda n: (5 + _UNIT[:n], np.full(n, 50.0)),
    "one location": lambda n: (np.full(n, 5.0), np.full(n, 50.0)),
    "two locations": lambda n: (_tile([5, 6], n), np.full(n, 50.0)),
    "three locations": lambda n: (_tile([5, 6, 7], n), np.full(n, 50.0)),
    "date line": lambda n: (_tile([180, -180, 179.5, -179.5, 179], n), 10 * _CLOUD[:n, 1]),
    "poles": lambda n: (360 * _CLOUD[:n, 0] - 180, _tile([90, -90, 90, 89.9], n)),
    "round the globe": lambda n: (_tile([0, 90, 180, -90], n), _tile([0.0], n)),
    "signed zeros": lambda n: (_tile([0.0, -0.0, 1.0], n), _tile([-0.0, 0.0], n)),
    "integers": lambda n: (_SHUFFLED[:n], _SHUFFLED[::-1][:n]),
    "next to each other": lambda n: (5 + np.spacing(5.0) * np.arange(n), np.full(n, 50.0)),
    "subnormal": lambda n: (5e-324 * _SHUFFLED[:n], 5e-324 * np.arange(n)),
    "far": lambda n: (1e15 * (2 * _CLOUD[:n, 0] - 1), 1e15 * _CLOUD[:n, 1]),
    "nullable": lambda n: (
        pd.array(5 + _CLOUD[:n, 0], dtype="Float64"),
        pd.array(50 + _CLOUD[:n, 1], dtype="double[pyarrow]"),
    ),
    "decimals": lambda n: (
        [Decimal(i) / 7 for i in range(n)],
        [Decimal(int(i)) for i in _SHUFFLED[:n]],
    ),
    "text": lambda n: ([str(i / 4) for i in range(n)], [str(i) for i in _SHUFFLED[:n]]),
}
# Invalid values of a coordinate in the last row.
INVALID_COORDINATES: dict[str, Any] = {
    "gap": np.nan,
    "infinity": np.inf,
    "minus infinity": -np.inf,
    "beyond": 1e300,
    "word": "north",
    "nothing": None,
    "complex": 1j,
    "date": _DAY,
}

_NAMES = [("lon", "lat"), ("x", "y"), ("Easting", " northing "), ("r", "h"), (0, 1), ("a", 7)]
_LABELS = ["clay", "sand", "ph", "lat2", "", "a b", "\N{SNOWMAN}", "X", "y2"]


def _one_in(number: int) -> st.SearchStrategy[bool]:
    """Draw True with probability 1 / n."""
    return st.integers(0, number - 1).map(lambda drawn: drawn == number // 2)


@st.composite
def frames(draw, n: int) -> tuple[pd.DataFrame, list[str]]:
    """Draw a table of n rows and the kinds of its columns."""
    locations = draw(st.sampled_from(list(COORDINATES)) if draw(_one_in(2)) else st.just("cloud"))
    first, second = COORDINATES[locations](n)
    names = draw(st.sampled_from(_NAMES if draw(_one_in(6)) else _NAMES[:4]))
    description = [f"{n} rows", locations, f"names {names}"]
    pair = [pd.Series(first), pd.Series(second)]
    if n and draw(_one_in(12)):
        invalid = draw(st.sampled_from(list(INVALID_COORDINATES)))
        which = draw(st.integers(0, 1))
        pair[which] = pair[which].astype(object)
        pair[which].iloc[-1] = INVALID_COORDINATES[invalid]
        description.append(f"{invalid} in coordinate {which}")
    columns = dict(zip(names, pair, strict=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    labels = draw(st.lists(st.sampled_from(_LABELS), max_size=5, unique=True))
    for label in labels:
        kinds = INVALID_COLUMNS if draw(_one_in(25)) else VALID_COLUMNS
        kind = draw(st.sampled_from(list(kinds)))
        columns[label] = kinds[kind](n, rng)
        description.append(f"{label!r}: {kind}")
    numeric = [label for label in labels if columns[label].dtype == np.float64]
    if numeric and draw(st.booleans()):
        with np.errstate(all="ignore"):
            columns["linear"] = 3 * columns[numeric[0]] - 1
        description.append(f"linear in {numeric[0]!r}")
    if draw(st.booleans()):
        columns = {label: columns[label] for label in draw(st.permutations(list(columns)))}
        description.append(f"order {list(columns)}")
    frame = pd.DataFrame(columns)
    if n and draw(_one_in(4)):
        with contextlib.suppress(ValueError):  # pandas cannot select rows of big-endian columns
            frame = frame.iloc[rng.integers(n, size=n)]
            description.append("rows repeated")
    return frame, description


INDEXES: dict[str, Callable[[int], pd.Index]] = {
    "plain": pd.RangeIndex,
    "duplicates": lambda n: pd.Index(np.arange(n) // 3),
    "text": lambda n: pd.Index([f"row {i}" for i in range(n)]),
    "levels": lambda n: pd.MultiIndex.from_arrays([np.arange(n) // 5, np.arange(n) % 5]),
    "dates": lambda n: pd.DatetimeIndex(["2001-01-01"] * n),
    "gaps": lambda n: pd.Index([np.nan] * n, dtype=float),
    "categories": lambda n: pd.CategoricalIndex(np.resize(["a", "b"], n)),
}


def _read_only(frame: pd.DataFrame) -> np.ndarray:
    values = frame.to_numpy()
    values = values.copy()
    values.setflags(write=False)
    return values


def _polars(frame: pd.DataFrame) -> Any:
    import polars

    plain = (int, float, str, datetime.datetime, type(None))
    if not all(isinstance(value, plain) for label in frame for value in frame[label].tolist()):
        raise TypeError("polars may panic on other objects, which is not an exception")
    return polars.DataFrame(
        {str(label): polars.Series(frame[label].tolist(), strict=False) for label in frame}
    )


# Containers of a table; a table that does not fit in one stays a DataFrame.
CONTAINERS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "array": lambda frame: frame.to_numpy(),
    "Fortran array": lambda frame: np.asfortranarray(frame.to_numpy()),
    "strided array": lambda frame: np.repeat(frame.to_numpy(), 2, axis=1)[:, ::2],
    "reversed array": lambda frame: frame.to_numpy()[::-1].copy()[::-1],
    "read-only array": _read_only,
    "objects": lambda frame: frame.to_numpy(dtype=object),
    "text array": lambda frame: frame.to_numpy().astype(str),
    "lists": lambda frame: frame.to_numpy().tolist(),
    "arrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "polars": _polars,
    "masked array": lambda frame: np.ma.masked_invalid(frame.to_numpy(dtype=float)),
    "matrix in three dimensions": lambda frame: frame.to_numpy()[:, :, None],
    "one column": lambda frame: frame.iloc[:, 0],
    "scipy": lambda frame: __import__("scipy.sparse").sparse.csr_array(frame.to_numpy(dtype=float)),
    "structured": lambda frame: frame.to_records(index=False),
}


@st.composite
def containers(draw, frame: pd.DataFrame) -> tuple[Any, str]:
    """Draw the container of a table: mostly a DataFrame, with any kind of index."""
    if not draw(_one_in(5)):
        index = draw(st.sampled_from(list(INDEXES)))
        return frame.set_axis(INDEXES[index](len(frame)), axis=0), f"index {index}"
    kind = draw(st.sampled_from(list(CONTAINERS)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return CONTAINERS[kind](frame), kind
    except Exception:  # the library does not support some values
        return frame, f"no {kind}"


def _text_labels(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_axis([str(label) for label in frame.columns], axis=1)


def _duplicate_label(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_axis([*frame.columns[:-1], frame.columns[0]], axis=1)


# Changes of the column names.
RELABELED: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "twice": _duplicate_label,
    "text": _text_labels,
    "tuples": lambda frame: frame.set_axis(
        pd.MultiIndex.from_tuples([("a", str(label)) for label in frame.columns]), axis=1
    ),
    "positions": lambda frame: frame.set_axis(range(frame.shape[1]), axis=1),
    "from one": lambda frame: frame.set_axis(range(1, frame.shape[1] + 1), axis=1),
    "fractions": lambda frame: frame.set_axis(np.arange(frame.shape[1]) / 2, axis=1),
    "a gap": lambda frame: frame.set_axis([np.nan, *frame.columns[1:]], axis=1),
    "nothing": lambda frame: frame.set_axis([*frame.columns[:-1], None], axis=1),
    "dates": lambda frame: frame.set_axis(pd.date_range("2001", periods=frame.shape[1]), axis=1),
    "first column only": lambda frame: frame.iloc[:, :1],
    "no column": lambda frame: frame.iloc[:, :0],
}

_Y = np.random.default_rng(2).normal(size=MOST_ROWS).round(3)
# Valid and invalid targets.
TARGETS: dict[str, Callable[[int], Any]] = {
    "numbers": lambda n: _Y[:n],
    "list": lambda n: _Y[:n].tolist(),
    "skewed": lambda n: np.exp(3 * _Y[:n]),
    "constant": lambda n: np.full(n, 7.5),
    "zeros": lambda n: np.zeros(n),
    "signed zeros": lambda n: _tile([0.0, -0.0], n),
    "integers": lambda n: np.arange(n),
    "flags": lambda n: _Y[:n] > 0,
    "bytes": lambda n: np.arange(n, dtype=np.uint8),
    "half": lambda n: _Y[:n].astype(np.float16),
    "long double": lambda n: _Y[:n].astype(np.longdouble),
    "huge": lambda n: 1e29 * _Y[:n],
    "tiny": lambda n: 1e-29 * _Y[:n],
    "one far away": lambda n: np.where(np.arange(n) == 1, 1e25, _Y[:n]),
    "hardly varying": lambda n: 1e15 + np.arange(n),
    "all but one": lambda n: (np.arange(n) == 2).astype(float),
    "read-only": lambda n: np.frombuffer(_Y[:n].tobytes()),
    "strided": lambda n: np.repeat(_Y[:n], 2)[::2],
    "backwards": lambda n: _Y[:n][::-1],
    "big-endian": lambda n: _Y[:n].astype(">f8"),
    "series": lambda n: pd.Series(_Y[:n], index=np.arange(n) // 2),
    "nullable": lambda n: pd.Series(_Y[:n], dtype="Float64"),
    "nullable integers": lambda n: pd.array(np.arange(n), dtype="Int64"),
    "arrow": lambda n: pd.Series(_Y[:n], dtype="double[pyarrow]"),
    "arrow array": lambda n: pa.array(_Y[:n]),
    "decimals": lambda n: [Decimal(i) / 7 for i in range(n)],
    "fractions": lambda n: _objects([Fraction(i, 7) for i in range(n)]),
    "number objects": lambda n: _Y[:n].astype(object),
    "sparse": lambda n: pd.Series(pd.arrays.SparseArray(_tile([0, 0, 1], n), fill_value=0.0)),
    "numbers as text": lambda n: _Y[:n].astype(str),
    "coded": lambda n: pd.Series(np.resize([1.0, 2.0], n), dtype="category"),
    "column": lambda n: _Y[:n, None],
    "frame": lambda n: pd.DataFrame({"soc": _Y[:n]}),
    "masked": lambda n: np.ma.masked_array(_Y[:n], mask=False),
}
INVALID_TARGETS: dict[str, Callable[[int], Any]] = {
    "none": lambda n: None,
    "gap": lambda n: np.where(np.arange(n) == 1, np.nan, _Y[:n]),
    "nullable gap": lambda n: pd.array([None, *range(1, n)][:n], dtype="Int64"),
    "arrow gap": lambda n: pd.Series([None, *_Y[1:n]][:n], dtype="double[pyarrow]"),
    "masked gap": lambda n: np.ma.masked_array(_Y[:n], mask=np.arange(n) == 1),
    "infinity": lambda n: np.where(np.arange(n) == 1, -np.inf, _Y[:n]),
    "beyond": lambda n: 1e300 * _Y[:n],
    "subnormal": lambda n: 5e-324 * np.arange(n),
    "text": lambda n: np.resize(["a", "b"], n),
    "octets": lambda n: np.resize([b"a", b"b"], n),
    "categories": lambda n: pd.Series(np.resize(["a", "b"], n), dtype="category"),
    "complex": lambda n: _Y[:n] + 1j,
    "complex objects": lambda n: _objects([1j] * n),
    "dates": lambda n: pd.date_range("2001", periods=n),
    "zoned dates": lambda n: pd.Series(pd.date_range("2001", periods=n, tz="UTC")),
    "arrow dates": lambda n: pd.Series([_DAY] * n, dtype="date32[pyarrow]"),
    "date objects": lambda n: _objects([_DAY] * n),
    "durations": lambda n: pd.timedelta_range("1D", periods=n),
    "periods": lambda n: pd.Series(pd.period_range("2001", periods=n, freq="M")),
    "intervals": lambda n: pd.Series([pd.Interval(0, 1)] * n),
    "lists": lambda n: _objects([[1.0]] * n),
    "ragged": lambda n: [[1.0], [2.0, 3.0]] * (n // 2) + [[1.0]] * (n % 2),
    "mappings": lambda n: _objects([{}] * n),
    "signaling": lambda n: _objects([Decimal("sNaN")] * n),
    "endless": lambda n: _objects([10**400] * n),
    "two columns": lambda n: np.column_stack([_Y[:n], _Y[:n]]),
    "too short": lambda n: _Y[: max(n - 1, 0)],
    "too long": lambda n: np.append(_Y[:n], 1.0),
    "scalar": lambda n: 1.0,
    "iterator": lambda n: iter(_Y[:n].tolist()),
    "one text": lambda n: "a" * n,
    "arrow lists": lambda n: pd.Series([[1]] * n, dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
}
# Valid and invalid sample weights.
WEIGHTS: dict[str, Callable[[int], Any]] = {
    "ones": np.ones,
    "integers": lambda n: np.arange(1, n + 1),
    "flags": lambda n: np.arange(n) != 1,
    "some zero": lambda n: (np.arange(n) % 4 != 1).astype(float),
    "five left": lambda n: (np.arange(n) < 5).astype(float),
    "scalar": lambda n: 2.0,
    "huge": lambda n: np.full(n, 1e15),
    "tiny": lambda n: np.full(n, 1e-15),
    "uneven": lambda n: np.where(np.arange(n) < 5, 1.0, 1e-300),
    "more uneven": lambda n: _tile([5e-324, 1.0, 1e14], n),
    "one above all": lambda n: np.where(np.arange(n) == 1, 1e14, 1.0),
    "list": lambda n: [1] * n,
    "series": lambda n: pd.Series(np.ones(n), index=np.arange(n) // 2),
    "nullable": lambda n: pd.Series(np.ones(n), dtype="Float64"),
    "arrow": lambda n: pd.Series(np.ones(n), dtype="double[pyarrow]"),
    "objects": lambda n: np.ones(n, dtype=object),
    "read-only": lambda n: np.frombuffer(np.ones(n).tobytes()),
    "half": lambda n: np.ones(n, dtype=np.float16),
    "decimals": lambda n: _objects([Decimal(1)] * n),
    "sparse": lambda n: pd.Series(pd.arrays.SparseArray(np.ones(n))),
}
INVALID_WEIGHTS: dict[str, Callable[[int], Any]] = {
    "negative": lambda n: np.where(np.arange(n) == 1, -1.0, 1.0),
    "gap": lambda n: np.where(np.arange(n) == 1, np.nan, 1.0),
    "nullable gap": lambda n: pd.Series([None] * n, dtype="Float64"),
    "infinity": lambda n: np.full(n, np.inf),
    "beyond": lambda n: np.full(n, np.finfo(float).max),
    "beneath": lambda n: np.full(n, 5e-324),
    "nothing but one": lambda n: np.where(np.arange(n) == 1, 1.0, 1e-300),
    "zeros": np.zeros,
    "text": lambda n: np.resize(["a"], n),
    "complex": lambda n: np.ones(n) + 1j,
    "two columns": lambda n: np.ones((n, 2)),
    "column": lambda n: np.ones((n, 1)),
    "too short": lambda n: np.ones(max(n - 1, 0)),
    "dates": lambda n: pd.date_range("2001", periods=n),
    "word": lambda n: "balanced",
    "lists": lambda n: _objects([[1.0]] * n),
    "mapping": lambda n: {"a": 1},
}


def _matching_columns(frame: pd.DataFrame, role: str) -> list[Any]:
    """Return the columns whose dtype allows a role."""
    kinds = {
        "time": "datetime64|period|timestamp|date32",
        "elevation": "float|int|Sparse|Int|Float|double",
        "site": "str|string|int|category",
    }
    return [
        label
        for label, dtype in frame.dtypes.items()
        if label in _LABELS and re.match(kinds[role], str(dtype))
    ]


@st.composite
def estimator_parameters(draw, frame: pd.DataFrame) -> dict[str, Any]:
    """Draw parameters; sometimes a role is given to an arbitrary column."""
    parameters: dict[str, Any] = {}
    any_label = [*frame.columns, 0, 1, -1, 2]
    for role in ("time", "elevation", "site"):
        if (
            frame.columns.is_unique
            and (matching := _matching_columns(frame, role))
            and draw(_one_in(2))
        ):
            label = draw(st.sampled_from(matching))
            if label not in parameters.values():
                parameters[role] = label
        elif draw(_one_in(40)):
            parameters[role] = draw(st.sampled_from(any_label))
    if draw(_one_in(40)):
        parameters["coordinates"] = draw(st.tuples(*2 * [st.sampled_from(any_label)]))
    if draw(_one_in(40)):
        parameters["spectral"] = draw(st.lists(st.sampled_from(any_label), max_size=2))
    choices: dict[str, list[Any]] = {
        "crs": ["EPSG:28992", 32631],
        "spectral": ["covariates"],
        "relations": [(), ("spatial",), ("spectral", "elevation"), ("elevation",)],
        "streams": [("covariates",), ("position",), ("time",), (), ("imagery",)],
        "n_estimators": [2],
        "n_experts": [1, 2],
        "n_layers": [2],
        "top_k": [1],
        "base_estimator": ["xgboost", LinearRegression()],
        "target_transform": ["auto", "log1p"],
        "target_bounds": [(0, None), (None, 1.0), (-1.0, 1.0)],
        "calibration": [None, "scale"],
        "n_iter_no_change": [None],
        "messages": [False],
        "neighbor_targets": [False],
        "n_neighbors": [1, 30],
        "batch_size": [1, 4],
        "beta": [0.0, 1.0],
        "moran_weight": [0.0, 1.0],
        "n_jobs": [1],
    }
    for name in draw(st.lists(st.sampled_from(list(choices)), max_size=4, unique=True)):
        parameters[name] = draw(st.sampled_from(choices[name]))
    return parameters


def _reverse_columns(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[:, ::-1]


# The table of a prediction, made from the training table.
QUERIES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "same": lambda frame: frame,
    "other order of columns": _reverse_columns,
    "other order of rows": lambda frame: frame.iloc[::-1],
    "one row": lambda frame: frame.iloc[:1],
    "no rows": lambda frame: frame.iloc[:0],
    "twice": lambda frame: pd.concat([frame, frame]),
    "extra column": lambda frame: frame.assign(extra=1.0),
    "missing column": lambda frame: frame.iloc[:, :-1],
    "missing first column": lambda frame: frame.iloc[:, 1:],
    "no columns": lambda frame: frame.iloc[:, :0],
    "duplicated column": _duplicate_label,
    "objects": lambda frame: frame.astype(object),
    "text": lambda frame: frame.astype(str),
    "array": lambda frame: frame.to_numpy(),
    "numbers without names": lambda frame: frame.to_numpy(dtype=float),
    "zeros": lambda frame: np.zeros(frame.shape),
    "other names": lambda frame: frame.add_suffix("_"),
    "categories": lambda frame: frame.astype("category"),
    "one list": lambda frame: frame.iloc[0].tolist(),
    "read-only": _read_only,
}


@st.composite
def cases(draw) -> Case:
    """Draw a case: mostly valid input with an unusual property."""
    n = draw(st.integers(0 if draw(_one_in(8)) else 6, MOST_ROWS))
    frame, description = draw(frames(n))
    queries, query_description = frame, "queries equal the table"
    if draw(_one_in(2)):
        change = draw(st.sampled_from(list(QUERIES)))
        with contextlib.suppress(Exception):  # not every table can be changed this way
            queries, query_description = QUERIES[change](frame), f"queries: {change}"
    elif draw(_one_in(3)):
        queries, query_columns = draw(frames(draw(st.integers(1, 6))))
        query_description = f"queries of other columns: {', '.join(query_columns)}"
    if draw(_one_in(12)):
        change = draw(st.sampled_from(list(RELABELED)))
        shared = queries is frame
        with contextlib.suppress(Exception):
            frame = RELABELED[change](frame)
            description.append(f"names: {change}")
        queries = frame if shared else queries
    parameters = draw(estimator_parameters(frame))
    X, container = draw(containers(frame))
    if queries is frame:
        queries = X
    elif isinstance(queries, pd.DataFrame) and queries.columns.is_unique:
        queries, query_container = draw(containers(queries))
        query_description += f" ({query_container})"
    target_kind = draw(st.sampled_from(["numbers", *TARGETS]))
    y, invalid = TARGETS[target_kind](n), False
    if draw(_one_in(15)):
        target_kind = draw(st.sampled_from(list(INVALID_TARGETS)))
        y, invalid = INVALID_TARGETS[target_kind](n), n > 1
    weight, weight_kind = None, "none"
    if draw(_one_in(4)):
        weight_kind = draw(st.sampled_from(list(WEIGHTS)))
        weight = WEIGHTS[weight_kind](n)
        if draw(_one_in(5)):
            weight_kind = draw(st.sampled_from(list(INVALID_WEIGHTS)))
            weight, invalid = INVALID_WEIGHTS[weight_kind](n), n > 1
    description += [container, query_description, f"y: {target_kind}", f"weight: {weight_kind}"]
    return Case(X, y, weight, queries, parameters, description, invalid)


# Outcomes ----------------------------------------------------------------------------------------


def outcome(case: Case) -> str:
    """Fit and predict; return the outcome.

    Returns
    -------
    str
        "predicted", or "error in fit" or "error in predict" for a documented error.

    Raises
    ------
    AssertionError
        For any other outcome.
    """
    before = _states(case)
    model = make_regressor(**{**_SMALLEST, **case.parameters})
    stage = "fit"
    with _time_limit(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.fit(case.X, case.y, sample_weight=case.weight)
            stage = "predict"
            result = model.predict(case.queries), model.predict_uncertainty(case.queries)
            stage = "predicted"
        except (TypeError, ValueError) as error:
            _check_error(error)
    _check_warnings(caught)
    for name, old, new in zip(("X", "y", "weight", "queries"), before, _states(case), strict=True):
        assert old == new, f"{name} was changed: {old}\n{new}"
    if stage != "predicted":
        return f"error in {stage}"
    assert not case.invalid, "invalid input raised no error"
    _check_answer(*result, case.queries)
    _check_out_of_fold(model, case.weight)
    return stage


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: Any) -> None:
        raise AssertionError(f"more than {SECONDS} s passed")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _within(filename: str) -> str:
    """Return a file name relative to its project, for records of other machines."""
    parts = Path(filename).parts
    tops = [i for i, part in enumerate(parts) if part in ("site-packages", "sptgnn_sklearn")]
    return "/".join(parts[tops[0] :]) if tops else parts[-1]


def _check_error(error: Exception) -> None:
    """Check that an error was raised by the checks of tables and describes the problem."""
    raised = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{_within(raised.filename)}:{raised.lineno}"
    if not raised.filename.startswith(_HOMES):
        raise AssertionError(f"an error of another library ({where}): {error}") from error
    if not _SUBJECT.search(str(error)):
        raise AssertionError(f"an error without a subject ({where}): {error}") from error


def _check_warnings(caught: list[warnings.WarningMessage]) -> None:
    for warning in caught:
        known = warning.category is UserWarning and _WARNING.match(str(warning.message))
        # Old versions of libraries warn of their own future.
        foreign = issubclass(warning.category, DeprecationWarning) and not str(
            warning.filename
        ).startswith(_HOMES)
        assert known or foreign or warning.category is DataConversionWarning, (
            f"{warning.category.__name__} of {_within(warning.filename)}:{warning.lineno}: "
            f"{warning.message}"
        )


def _states(case: Case) -> list[str]:
    """Return the comparable state of the arguments; NaN equal NaN."""
    return [_state(values) for values in (case.X, case.y, case.weight, case.queries)]


def _state(values: Any) -> str:
    if isinstance(values, pd.DataFrame):
        columns = [_state(values.iloc[:, i]) for i in range(values.shape[1])]
        labels = list(values.columns), list(values.index), values.dtypes.tolist()
        return f"{labels} {columns}"
    if isinstance(values, Iterator):
        return ""
    values = values.tolist() if hasattr(values, "tolist") else values
    return re.sub(r" at 0x[0-9a-f]+", "", repr(values))


def _check_answer(mean: np.ndarray, table: pd.DataFrame, queries: Any) -> None:
    n = queries.shape[0] if hasattr(queries, "shape") else len(queries)
    assert mean.shape == (n,), f"{mean.shape} predictions of {n} rows"
    assert mean.dtype == np.float64, str(mean.dtype)
    assert list(table.columns) == ["mean", "std", "aleatoric", "epistemic"]
    if isinstance(queries, pd.DataFrame):
        pd.testing.assert_index_equal(table.index, queries.index)
    else:
        pd.testing.assert_index_equal(table.index, pd.RangeIndex(n))
    # A single member has no epistemic part.
    values = table.dropna(axis=1, how="all").to_numpy()
    assert values.shape[1] >= 3, f"NaN in all rows:\n{table}"
    assert np.isfinite(mean).all() and np.isfinite(values).all(), f"not finite: {mean}\n{table}"
    assert (values[:, 1:] >= 0).all(), f"a deviation below 0:\n{table}"
    np.testing.assert_array_equal(mean, values[:, 0])


def _check_out_of_fold(model: SpTGNNRegressor, weight: Any) -> None:
    gaps = ~np.isfinite(model.oob_prediction_)
    if weight is None or np.ndim(weight) == 0:
        assert not gaps.any(), "an out-of-fold prediction is not finite"
    else:
        absent = np.asarray(pd.Series(np.asarray(weight)).astype(float)) == 0
        np.testing.assert_array_equal(gaps, absent)
