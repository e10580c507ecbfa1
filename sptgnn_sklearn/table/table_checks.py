"""Checks of values that are valid numbers but unlikely measurements.

No-data codes, copies of the target among the covariates, queries far from the survey, text that
holds numbers, and names of laboratory properties.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from ..spatial.coordinate_checks import MIN_PROJECTED, in_degrees
from ..spatial.distances import to_local_plane
from ..utils.messages import format_rows
from .column_parsing import URL_PATTERN, decimal_years, has_date_values

__all__ = [
    "NoDataCode",
    "check_no_data_target",
    "find_no_data_codes",
    "holds_date_text",
    "holds_dates",
    "is_laboratory_name",
    "parse_censored",
    "partly_numeric_levels",
    "warn_unlikely_queries",
    "warn_unlikely_values",
]


def _repeated_digits() -> list[float]:
    """Return -99, -999, ..., -88, -99.99 and so on, which no instrument measures by itself."""
    whole = [float(digit * n) for digit in ("9", "8", "7") for n in range(2, 11)]
    decimal = [float("9" * n + ".9" + "9" * k) for n in range(2, 6) for k in range(4)]
    return [-value for value in (*whole, *decimal)]


# Codes that are rarely measured. The second group is rarely used for missing data either.
_CODES = np.unique(
    [
        *_repeated_digits(),
        *(-10000.0, -32767.0, -32768.0, -2147483647.0, -2147483648.0),
        *(-1e10, -1e20, -1e30, 1e20, 1e30, 2147483647.0, 4294967295.0),
        *(9999.0, 99999.0, 999999.0, 9999999.0, 99999999.0, 999999999.0),
    ]
)
_AMBIGUOUS_CODES = np.array([99.0, 255.0, 999.0, 32767.0, 65535.0])
# How far a code lies from the nearest other value, in half ranges of the other values.
_FAR_BELOW, _FAR_BELOW_REPEATED, _FAR_ABOVE, _FAR_AMBIGUOUS = 1.5, 1.0, 5.0, 10.0
_MIN_RANK_ROWS = 20
_MAX_SCREEN_ROWS = 2000
_COPY_CORRELATION = 0.99
_FAR_RADII = 10.0  # distance from the center of the survey, in radii of the survey
_NUMBER_TEXT = r"[-+]?(?:\d+(?:[.,]\d+)?|[.,]\d+)(?:[eE][-+]?\d+)?"
_CENSORED = re.compile(rf"\s*([<>≤≥]=?)\s*({_NUMBER_TEXT})\s*")
# Integers followed by words, as in "1 Sand" and "2Bt", are class labels.
_FLAGGED = re.compile(
    rf"\s*[<>≤≥~≈]?=?\s*(?:{_NUMBER_TEXT}\s*(?:[*†‡#!?%]+|\([^)]*\)|(?:[mµk]?g|[cmk]?m|ppm|pct)\b.*)?"
    r"|[-+]?\d+[.,]\d+\s*[^\d.,].*)\s*"
)
_PLAIN_INTEGER = re.compile(r"\s*[-+]?\d+(?:\.0*)?\s*")
_DATE_TEXT = re.compile(
    r"\s*\d{4}[-/.]\d{1,2}[-/.]\d{1,2}\b|.*[A-Za-z]{3}.*\b\d{4}\b|.*\b\d{4}\b.*:"
)
_COMPACT_DAYS = (15_000_101.0, 25_001_231.0)
_MIN_COMPACT_DAYS = 5
_LABORATORY_NAMES = frozenset(
    [
        *("ph", "clay", "silt", "sand", "loam", "texture_clay", "texture_silt", "texture_sand"),
        *("soc", "toc", "oc", "orgc", "corg", "organic_carbon", "soil_organic_carbon"),
        *("som", "om", "organic_matter", "soil_organic_matter", "tc", "tic", "ic", "ct", "carbon"),
        *("n", "nt", "tn", "ntot", "nitrogen", "total_nitrogen", "cn", "c_n", "cn_ratio"),
        *("p", "ptot", "phosphorus", "olsen_p", "k", "ktot", "potassium", "ca", "calcium"),
        *("mg", "magnesium", "na", "sodium", "fe", "iron", "al", "aluminium", "aluminum"),
        *("mn", "zn", "zinc", "cu", "copper", "cd", "cadmium", "pb", "lead", "cr", "ni", "nickel"),
        *("hg", "mo", "sulfur", "cec", "ecec", "base_saturation", "ec", "ece", "esp", "sar"),
        *("caco3", "carbonate", "carbonates", "lime", "bd", "bulk_density", "awc", "pwp"),
        # German and French
        *("ton", "schluff", "humus", "ph_wert", "phosphor", "kalium", "stickstoff", "kalk"),
        *("argile", "limon", "sable", "azote", "phosphore", "calcaire", "carbone"),
        *("matiere_organique", "carbone_organique"),
    ]
)
_LABORATORY_SUFFIX = re.compile(
    r"_?(\d+(_\d+)*(_?cm)?|cm|pct|percent|perc|m?g_?k?g|m?g_?100_?g|t_?ha|kg_?m[23]|g_?cm3|t_?m3"
    r"|cmolc?(_?kg)?|ppm|[dmu]s_?c?m|h2o|kcl|ca_?cl_?2?|water|tot|total|avail|exch|olsen|mehlich3?|lab"
    r"|mean|top|topsoil|sub|subsoil|wt|w|gehalt|cal|dl)$"
)


class NoDataCode(NamedTuple):
    """A usual no-data code that lies far outside of all other values.

    Attributes
    ----------
    value : float
    rows : ndarray of shape (n,) of bool
        Rows that hold the code.
    nearest : float
        Nearest other value.
    """

    value: float
    rows: np.ndarray
    nearest: float

    def describe(self) -> str:
        """Return value, rows and nearest other value as text."""
        side = "below" if self.value < self.nearest else "above"
        return (
            f"holds {self.value:.12g} in {format_rows(self.rows)}, far {side} all other values "
            f"(next: {self.nearest:.6g})"
        )


def find_no_data_codes(values: np.ndarray) -> list[NoDataCode]:
    """Return the no-data codes among numbers, such as -9999, far outside of all others.

    Parameters
    ----------
    values : ndarray of shape (n,)
        NaN is missing.

    Returns
    -------
    list of NoDataCode
        A negative code counts if its distance from the nearest other value is above 1.5 times the
        distance from there to the median of the others (once, if the code occurs repeatedly); a
        positive one if it is above 5 times, and 99, 255, 999, 32767 and 65535 if above 10 times.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.table.table_checks import find_no_data_codes
    >>> [code.value for code in find_no_data_codes(np.array([3.0, 7.0, -9999.0, 5.0, -9999.0]))]
    [-9999.0]
    >>> find_no_data_codes(np.array([-120.0, -99.0, -80.0, -60.0]))
    []
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return []
    candidates = np.concatenate([_CODES, _AMBIGUOUS_CODES])
    present = candidates[np.isin(candidates, known)]
    if not len(present):
        return []
    others = known[~np.isin(known, present)]
    if not len(others):
        return []
    lowest, middle, highest = others.min(), np.median(others), others.max()
    n_distinct = len(np.unique(others[:1000]))
    found = []
    for code in present:
        if lowest <= code <= highest:
            continue
        rows = values == code
        nearest = lowest if code < lowest else highest
        factor = _required_factor(code, rows.sum(), n_distinct)
        if np.isfinite(factor) and abs(code - nearest) > factor * abs(middle - nearest):
            found.append(NoDataCode(float(code), rows, float(nearest)))
    return found


def _required_factor(code: float, count: int, n_distinct: int) -> float:
    if code in _AMBIGUOUS_CODES:
        return _FAR_AMBIGUOUS if n_distinct > 2 else np.inf
    if code > 0:
        return _FAR_ABOVE
    if n_distinct < 2 and code > -999:
        return np.inf
    return _FAR_BELOW_REPEATED if count > 1 else _FAR_BELOW


def check_no_data_target(
    y: np.ndarray, name: str = "The target y", remedy: str = "drop rows whose value means no data"
) -> None:
    """Raise an error if the target holds a no-data code far outside of all other values.

    Parameters
    ----------
    y : ndarray of shape (n,)
    name : str, default="The target y"
        First words of the message.
    remedy : str, default="drop rows whose value means no data"

    Raises
    ------
    ValueError
        With the code, its rows and the nearest other value. A single 255 or the like can be a
        measurement and raises only if it is repeated.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.table.table_checks import check_no_data_target
    >>> check_no_data_target(np.array([1.0, 2.0, 4.0, -999.0]))
    Traceback (most recent call last):
        ...
    ValueError: The target y holds -999 in 1 of 4 rows (row position 3), far below all other \
values (next: 1): drop rows whose value means no data; if it is a measurement, change the unit of y.
    """
    for code in find_no_data_codes(y):
        if code.rows.sum() > 1 or code.value not in _AMBIGUOUS_CODES:
            raise ValueError(
                f"{name} {code.describe()}: {remedy}; if it is a measurement, change the unit of y."
            )


def warn_unlikely_values(schema: Any, table: Any, y: np.ndarray, *, stacklevel: int = 4) -> None:
    """Warn of no-data codes in covariates, and of covariates that are copies of the target.

    Parameters
    ----------
    schema : TableSchema
    table : SampleTable
        Training rows.
    y : ndarray of shape (n,)
        Target.
    stacklevel : int, default=4
        Of warnings, as in `warnings.warn`: 4 is the caller of a `fit` that `atomic_fit` wraps.

    Warns
    -----
    UserWarning
        Per column: a no-data code far outside of its other values; equality with the target; or an
        absolute rank correlation with the target above 0.99 in 20 or more rows.
    """
    columns = list(zip(schema.numeric, table.numeric.T, strict=True))
    for label, values in columns:
        for code in find_no_data_codes(values):
            warnings.warn(
                f"Column {label!r} {code.describe()}: if it means no data, set it to NaN, for "
                f"example by X[{label!r}].replace({code.value:.12g}, np.nan).",
                UserWarning,
                stacklevel=stacklevel,
            )
    if np.ptp(y) == 0:
        return
    for label, values in columns:
        if np.array_equal(values, y):
            message = f"Column {label!r} of X equals the target y in every row: drop it"
        else:
            correlation = _copy_correlation(values, y)
            if not abs(correlation) > _COPY_CORRELATION:
                continue
            message = (
                f"Column {label!r} of X has a rank correlation of {correlation:.4f} with the "
                "target y: if it is the target in another unit, or computed from it, drop it"
            )
        warnings.warn(
            f"{message}, for example by X.drop(columns={label!r}).",
            UserWarning,
            stacklevel=stacklevel,
        )


def _copy_correlation(values: np.ndarray, y: np.ndarray) -> float:
    """Return Spearman's rank correlation, or 0 if a sample of the rows shows that it is low."""
    known = np.flatnonzero(~np.isnan(values))
    if len(known) > _MAX_SCREEN_ROWS:
        sample = known[:: len(known) // _MAX_SCREEN_ROWS]
        if abs(_rank_correlation(values[sample], y[sample])) < _COPY_CORRELATION - 0.05:
            return 0.0
    return _rank_correlation(values[known], y[known])


def _rank_correlation(values: np.ndarray, y: np.ndarray) -> float:
    if len(y) < _MIN_RANK_ROWS or values.min() == values.max() or y.min() == y.max():
        return 0.0
    return float(np.corrcoef(rankdata(values), rankdata(y))[0, 1])


def warn_unlikely_queries(features: Any, table: Any, *, stacklevel: int = 3) -> None:
    """Warn of queries far from the survey, and of no-data codes outside the training values.

    Parameters
    ----------
    features : FeatureEncoder
        Fitted to the training rows.
    table : SampleTable
        Queries.
    stacklevel : int, default=3
        Of warnings, as in `warnings.warn`.

    Warns
    -----
    UserWarning
        If most rows are farther from the center of the survey than ten times the distance of its
        farthest row, or have coordinates of another unit; and per covariate with a no-data code far
        outside of the values of fit.
    """
    schema = features.schema
    # Tools that probe a model pass rows of zeros.
    probe = (table.coordinates == 0).all(axis=1) & (np.nan_to_num(table.numeric) == 0).all(axis=1)
    reason = _far_reason(features, table.coordinates[~probe])
    if reason:
        crs = schema.reference.crs or "unknown CRS, unit of fit"
        first, second = schema.coordinates
        warnings.warn(
            f"Most rows of X are far from all training rows ({reason}), so their predictions are "
            f"extrapolations: check that {first!r} and {second!r} are in the coordinate reference "
            f"system of fit ({crs}).",
            UserWarning,
            stacklevel=stacklevel,
        )
    if not len(features.quantiles):
        return
    ranges = zip(schema.numeric, table.numeric.T, features.quantiles.T, strict=True)
    for label, values, quantiles in ranges:
        outside = values[(values < quantiles[0]) | (values > quantiles[-1])]
        codes = np.unique(outside[np.isin(outside, _CODES)])
        # The code of one query is compared with the values of fit.
        for code in find_no_data_codes(np.concatenate([quantiles, codes])) if len(codes) else []:
            warnings.warn(
                f"Column {label!r} holds {code.value:.12g}, far outside of its values in fit "
                f"({quantiles[0]:.6g} to {quantiles[-1]:.6g}): if it means no data, set it to NaN.",
                UserWarning,
                stacklevel=stacklevel,
            )


def _far_reason(features: Any, xy: np.ndarray) -> str | None:
    """Return why most queries cannot be in the survey, or None."""
    radius, reference = features.radius, features.schema.reference
    if not radius or not len(xy):
        return None
    distance = np.linalg.norm(to_local_plane(xy, reference, features.origin), axis=1)
    unit = "CRS units" if reference.unit == "unit" else reference.unit
    if np.median(distance) > _FAR_RADII * radius:
        return (
            f"{np.median(distance):.3g} {unit} from the center of the survey, whose radius is "
            f"{radius:.3g} {unit}"
        )
    if reference.geographic or np.median(distance) < 2 * radius:
        return None
    # A large survey near the origin of its CRS: another unit is not ten radii away.
    if in_degrees(xy).all() and np.abs(features.origin).max() > MIN_PROJECTED:
        return "they look like degrees"
    for factor, name in ((1000.0, "1000 times smaller"), (0.001, "1000 times larger")):
        scaled = np.linalg.norm(xy * factor - features.origin, axis=1)
        if (scaled <= radius).mean() > 0.5:
            return f"they are {name} than those of fit"
    return None


def partly_numeric_levels(levels: Sequence[str]) -> tuple[int, str] | None:
    """Return how many levels of a text column begin with a number, and an unusual one.

    Parameters
    ----------
    levels : sequence of str
        Distinct values.

    Returns
    -------
    tuple of int and str, or None
        The unusual level is not a plain number, if there is one. None if the levels are integers
        only, which may be codes of classes, or not mostly numbers, possibly with a flag or unit.

    Examples
    --------
    >>> from sptgnn_sklearn.table.table_checks import partly_numeric_levels
    >>> partly_numeric_levels(["<3", "4", "5.5", "12*"])
    (4, '<3')
    >>> partly_numeric_levels(["1", "2", "3"]), partly_numeric_levels(["<5", "5-20", ">20"])
    (None, None)
    """
    numbers = [level for level in levels if _FLAGGED.fullmatch(level)]
    measured = [level for level in numbers if not _CENSORED.fullmatch(level)]
    unusual = [level for level in levels if not _is_number_text(level)]
    if 2 * len(measured) <= len(levels) or len(measured) < 2:
        return None
    if all(_PLAIN_INTEGER.fullmatch(level) for level in levels):
        return None
    # Words among integers, as in "1", "2", "water", are classes.
    if not unusual or any(_FLAGGED.fullmatch(level) for level in unusual):
        return len(numbers), (unusual or list(levels))[0]
    decimals = [level for level in measured if not _PLAIN_INTEGER.fullmatch(level)]
    return (len(numbers), unusual[0]) if decimals else None


def _is_number_text(text: str) -> bool:
    return re.fullmatch(rf"\s*{_NUMBER_TEXT}\s*", text) is not None and "," not in text


def parse_censored(text: str) -> tuple[str, float] | None:
    """Return the sign and the limit of a value outside a limit of detection, or None.

    Examples
    --------
    >>> from sptgnn_sklearn.table.table_checks import parse_censored
    >>> parse_censored("<0.1"), parse_censored("sand")
    (('<', 0.1), None)
    """
    match = _CENSORED.fullmatch(text)
    if match is None:
        return None
    sign = match[1][0].replace("≤", "<").replace("≥", ">")
    return sign, float(match[2].replace(",", "."))


def holds_date_text(levels: Iterable[str]) -> bool:
    """Return whether all levels of a text column are unambiguous dates.

    Examples
    --------
    >>> from sptgnn_sklearn.table.table_checks import holds_date_text
    >>> holds_date_text(["2001-05-03", "2001-06-12"]), holds_date_text(["03/04/2001"])
    (True, False)
    """
    levels = list(levels)
    if not levels or not all(_DATE_TEXT.match(level) for level in levels):
        return False
    if any(URL_PATTERN.match(level) for level in levels):
        return False
    try:
        years = decimal_years(pd.Series(levels, dtype=object), "")
    except (TypeError, ValueError):
        return False
    return bool(np.isfinite(years).all())


def holds_dates(column: pd.Series, values: np.ndarray) -> bool:
    """Return whether a numeric covariate holds dates.

    Parameters
    ----------
    column : Series of length n
        Datetimes, periods, date objects, or integers of the form YYYYMMDD.
    values : ndarray of shape (n,)
        The column as numbers.

    Examples
    --------
    >>> import datetime
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.table_checks import holds_dates
    >>> column = pd.Series([datetime.date(2001, 5, 3), None])
    >>> holds_dates(column, np.array([2001.3, np.nan]))
    True
    """
    if has_date_values(column.dropna()):
        return True
    known = np.unique(values[~np.isnan(values)])
    few = len(known) < _MIN_COMPACT_DAYS
    if few or known[0] < _COMPACT_DAYS[0] or known[-1] > _COMPACT_DAYS[1]:
        return False
    try:
        return bool(np.isfinite(decimal_years(pd.Series(known), "")).all())
    except ValueError:
        return False


def is_laboratory_name(label: Hashable) -> bool:
    """Return whether a column has the name of a property that is measured in a laboratory.

    Examples
    --------
    >>> from sptgnn_sklearn.table.table_checks import is_laboratory_name
    >>> [is_laboratory_name(name) for name in ("pH_H2O", "Clay_0_30cm", "SOM_pct", "slope")]
    [True, True, True, False]
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", str(label).strip())
    plain = unicodedata.normalize("NFKD", spaced.lower()).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    while name:
        if name in _LABORATORY_NAMES:
            return True
        shorter = _LABORATORY_SUFFIX.sub("", name)
        if shorter == name:
            return False
        name = shorter
    return False
