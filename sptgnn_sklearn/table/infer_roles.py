"""Inference of column roles from names and values, with a reason for each.

`SpTGNNRegressor` uses every column without a role as a covariate. Tables from files also hold other
measured properties, ids and several pairs of coordinates. `infer_roles` assigns a role to each
column, or drops it, and gives the reason, so that users can check and override it.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from .column_parsing import decimal_years
from .coordinate_columns import locate_coordinates
from .geo_frames import GEOMETRY_LABELS

__all__ = [
    "Roles",
    "TableError",
    "find_coordinate_pair",
    "find_ids",
    "find_similar_column",
    "infer_roles",
    "resolve_column",
]

_NO_COLUMN = "none"
_TIMES = re.compile(
    r"(sampl\w*_?|obs\w*_?|collect\w*_?)?(date|datetime|time|year)(_?sampled)?"
    r"|((proben?)?(entnahme|nahme)_?)?(datum|jahr)|(proben?)?(entnahme|nahme)_am"
    r"|date_(de_(la_)?|d_)?(prelevement|echantillonnage)|annee"
)
_ELEVATIONS = re.compile(
    r"((dem|dtm|dsm|srtm|terrain|mean)_)?(elevation|elev|altitude|alt|height)"
    r"(_(dem|dtm|dsm|srtm|terrain|mean|m|masl))*|dem|dtm|srtm|dem(sr[te]|top)[0-9x]"
    r"|(gelande|gelaende|meeres)?(hohe|hoehe)(_(m|nn|nhn|u|ue|uber|ueber|meer))*"
    r"|(ho|hoe)henmodell|dgm[0-9]*"
)
_SITES = re.compile(r"(site|profile|plot|location|station|borehole|pedon|point)_?(id|no|nr|code)?")
_IDS = re.compile(r"(\w*_)?(id|fid|oid|objectid|index|idx|uuid|key|serial|nr|rowid|row|labno)")
_DROPPED_PREFIXES = ("target_", "meta_")
# Names of coordinates in snake case without units, beyond those that the estimators recognize.
_COORDINATE_NAMES = (
    *(("x", "y"), ("x_m", "y_m"), ("x_coord", "y_coord"), ("xcoord", "ycoord")),
    *(("coord_x", "coord_y"), ("x_coordinate", "y_coordinate"), ("point_x", "point_y")),
    *(("pointx", "pointy"), ("gps_x", "gps_y"), ("coords_x1", "coords_x2")),
    *(
        ("easting", "northing"),
        ("eastings", "northings"),
        ("east", "north"),
        ("easting_m", "northing_m"),
    ),
    *(("utm_easting", "utm_northing"), ("easting_utm", "northing_utm"), ("utm_e", "utm_n")),
    *(("utm_x", "utm_y"), ("x_utm", "y_utm"), ("rechtswert", "hochwert"), ("ostwert", "nordwert")),
    *(("longitude", "latitude"), ("lon", "lat"), ("long", "lat"), ("lng", "lat")),
    *(("decimal_longitude", "decimal_latitude"), ("gps_longitude", "gps_latitude")),
    *(("gps_lon", "gps_lat"), ("gps_long", "gps_lat"), ("lon_dd", "lat_dd"), ("long_dd", "lat_dd")),
    *(("longitude_dd", "latitude_dd"), ("longitude_deg", "latitude_deg"), ("lon_deg", "lat_deg")),
)
_SHORT_COORDINATE_NAMES = ("e", "n")  # "n" is also nitrogen
_MIN_SHORT_COORDINATE = 1000.0
_UNIT = re.compile(r"[\[(][^\])]*[\])]")
_MAX_LEVELS_OF_ANY_TABLE = 32  # more levels are allowed in tables of more than 320 rows
_MAX_ROWS_PER_SITE = 10  # on average; a column "site" may also hold the names of regions


_UNIQUE, _NUMBERED = "different in every row", "row numbers or ids"
_ID_REASONS = (_UNIQUE, _NUMBERED)


class TableError(ValueError):
    """Invalid table or options; the message is shown to the user."""


@dataclass(frozen=True)
class Roles:
    """Role of each column, with reasons.

    Attributes
    ----------
    target : str
    coordinates : tuple of two str
    time, elevation, site : str or None
    covariates : tuple of str
        Including elevation.
    dropped : dict of str to str
        Reason for each column that is not used.
    reasons : dict of str to str
        Reason for coordinates, time, elevation and site, also if there is no such column.
    noise_std : str or None
        Standard deviations of measurement errors.
    campaign : str or None
        Laboratories or campaigns.
    """

    target: str
    coordinates: tuple[str, str]
    time: str | None
    elevation: str | None
    site: str | None
    covariates: tuple[str, ...] = ()
    dropped: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    noise_std: str | None = None
    campaign: str | None = None

    @property
    def ids(self) -> list[str]:
        """Columns that identify rows or sites."""
        found = [label for label, reason in self.dropped.items() if reason.startswith(_ID_REASONS)]
        return [*found, *([self.site] if self.site is not None else [])]

    @property
    def used(self) -> list[str]:
        """Columns of X for an estimator."""
        no_covariates = (self.time, self.site, self.noise_std, self.campaign)
        extra = [label for label in no_covariates if label is not None]
        return [*self.coordinates, *extra, *self.covariates]

    def describe(self, frame: pd.DataFrame) -> list[str]:
        """Return one line per role, and one per reason for dropping columns.

        Examples
        --------
        See `infer_roles`.
        """
        lines = [f"coordinates  {', '.join(self.coordinates)} ({self.reasons['coordinates']})"]
        for role in ("time", "elevation", "site"):
            label = getattr(self, role)
            lines.append(f"{role:<11}  {label or '–'} ({self.reasons[role]})")
        for role in ("noise_std", "campaign"):
            if getattr(self, role) is not None:
                lines.append(f"{role:<11}  {getattr(self, role)} (as set)")
        text = [label for label in self.covariates if _is_text(frame[label])]
        numbers = [label for label in self.covariates if label not in text]
        for kind, labels in (("numbers", numbers), ("categories", text)):
            lines.append(f"{kind:<11}  {len(labels)}: {_list_labels(labels)}")
        by_reason: dict[str, list[str]] = {}
        for label, reason in self.dropped.items():
            by_reason.setdefault(reason, []).append(label)
        for reason, labels in by_reason.items():
            lines.append(f"not used     {_list_labels(labels)} ({reason})")
        return lines


def infer_roles(
    frame: pd.DataFrame,
    target: str,
    *,
    coordinates: Sequence[str] | None = None,
    time: str | None = None,
    elevation: str | None = None,
    site: str | None = None,
    noise_std: str | None = None,
    campaign: str | None = None,
    drop: Sequence[str] = (),
) -> Roles:
    r"""Infer the role of each column of a table.

    Parameters
    ----------
    frame : DataFrame
    target : str
        Column to predict.
    coordinates : pair of str, default=None
        Columns of longitude and latitude, or easting and northing. None uses recognized names;
        further pairs with such names are dropped.
    time, elevation, site : str, default=None
        Columns of these roles. None uses recognized names, ``"none"`` assigns no column.
    noise_std : str, default=None
        Column of standard deviations of measurement errors. None and ``"none"`` assign no column:
        names do not tell which property a standard deviation belongs to, and of what it is.
    campaign : str, default=None
        Column of laboratories or campaigns. None and ``"none"`` assign no column.
    drop : sequence of str, default=()
        Columns that are not used.

    Returns
    -------
    Roles
        Also dropped are columns whose names begin with target_ or meta_ and that have no role,
        integers that number the rows or are unique ids, text with too many levels for a category,
        and columns without variation.

    Raises
    ------
    TableError
        If a column is not in the table, or no columns have recognized names of coordinates.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.infer_roles import infer_roles
    >>> frame = pd.DataFrame(
    ...     {
    ...         "sample_id": ["a", "b", "c"],
    ...         "lon": [5.0, 5.1, 5.2],
    ...         "lat": [50.0, 50.1, 50.2],
    ...         "soc": [12.0, 17.0, 9.0],
    ...         "elev": [3.0, 4.0, 9.0],
    ...         "landuse": ["crop", "wood", "crop"],
    ...     }
    ... )
    >>> print("\n".join(infer_roles(frame, "soc").describe(frame)))
    coordinates  lon, lat (recognized names)
    time         – (no recognized name)
    elevation    elev (recognized name; also a covariate)
    site         – (no recognized name)
    numbers      1: elev
    categories   1: landuse
    not used     sample_id (different in every row)
    """
    resolve_column(frame, target, "--target")
    dropped = {resolve_column(frame, label, "--drop"): "as set" for label in drop}
    reasons: dict[str, str] = {}
    given_labels = (*(coordinates or ()), time, elevation, site, noise_std, campaign)
    named = [label for label in given_labels if label is not None]
    for label in map(str, frame.columns):
        if label.lower().startswith(_DROPPED_PREFIXES) and label not in (target, *named):
            dropped.setdefault(label, f"name begins with {label.split('_')[0]}_")
    dropped.pop(target, None)
    rest = frame.drop(columns=[target, *dropped])
    set_roles: dict[str, str | None] = {"noise_std": noise_std, "campaign": campaign}
    for role, given_label in set_roles.items():
        if given_label == _NO_COLUMN and given_label not in rest.columns:
            set_roles[role] = None
        elif given_label is not None:
            option = f"--{role.replace('_', '-')}"
            column = resolve_column(rest, given_label, option)
            set_roles[role], rest = column, rest.drop(columns=[column])

    pair = _infer_coordinates(rest, coordinates, reasons)
    rest = rest.drop(columns=list(pair))
    while second := find_coordinate_pair(rest):
        dropped |= dict.fromkeys(second, "second pair of coordinates")
        rest = rest.drop(columns=list(second))
    roles: dict[str, str | None] = {}
    for role, given in (("time", time), ("elevation", elevation), ("site", site)):
        roles[role], reasons[role] = _infer_role(rest, role, given)
        if role != "elevation" and roles[role] is not None:
            rest = rest.drop(columns=[roles[role]])
    # Rows that occur twice repeat the ids of samples.
    distinct = _distinct_rows(frame)
    for label in map(str, rest.columns):
        reason = _covariate_problem(rest[label], label, distinct)
        if reason and label != roles["elevation"]:
            dropped[label] = reason
    covariates = tuple(label for label in map(str, rest.columns) if label not in dropped)
    return Roles(
        target,
        pair,
        **roles,
        covariates=covariates,
        dropped=dropped,
        reasons=reasons,
        **set_roles,
    )


def resolve_column(frame: pd.DataFrame, label: str, option: str) -> str:
    """Return the label if the table has such a column, or raise an error with similar names.

    Raises
    ------
    TableError
        If the column does not exist.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.infer_roles import resolve_column
    >>> resolve_column(pd.DataFrame({"SOC_gkg": [1.0]}), "soc_gkg", "--target")
    Traceback (most recent call last):
        ...
    sptgnn_sklearn...TableError: --target soc_gkg: no such column; did you mean SOC_gkg?
    """
    if label in frame.columns:
        return label
    names = {form: column for column in map(str, frame.columns) for form in _forms(column)}
    close = [
        name for form in _forms(label) for name in difflib.get_close_matches(form, names, 3, 0.5)
    ]
    start = f"{_snake_case(label)}_"
    close += [form for form in names if form.startswith(start)]
    close = list(dict.fromkeys(names[form] for form in close))[:3]
    known = (
        f"did you mean {' or '.join(close)}?"
        if close
        else f"the columns are {_list_labels([*map(str, frame)])}."
    )
    raise TableError(f"{option} {label}: no such column; {known}")


def find_similar_column(frame: pd.DataFrame, label: str, where: str) -> str:
    """Return the column with this name, or with one that differs in case, blanks or unit only.

    Parameters
    ----------
    frame : DataFrame
    label : str
    where : str
        First words of the message, such as the name of a file.

    Raises
    ------
    TableError
        If there is no such column, or more than one.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.infer_roles import find_similar_column
    >>> find_similar_column(pd.DataFrame({"Elevation (m)": [1.0]}), "elevation", "new.csv:")
    'Elevation (m)'
    """
    if label not in frame.columns:
        same = [
            column
            for column in map(str, frame.columns)
            if _snake_case(column) == _snake_case(label)
        ]
        if len(same) == 1:
            return same[0]
    return resolve_column(frame, label, where)


def find_ids(frame: pd.DataFrame) -> list[str]:
    """Return the columns that identify rows, by their values or, of sites, by their names.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.infer_roles import find_ids
    >>> find_ids(pd.DataFrame({"sample": ["a", "b"], "site": [7, 7], "clay": [0.1, 0.2]}))
    ['sample', 'site']
    """
    distinct = _distinct_rows(frame)
    return [
        label
        for label in map(str, frame.columns)
        if _SITES.fullmatch(_snake_case(label))
        or _IDS.fullmatch(_snake_case(label))
        or (_covariate_problem(frame[label], label, distinct) or "").startswith(_ID_REASONS)
    ]


def _infer_coordinates(
    rest: pd.DataFrame, coordinates: Sequence[str] | None, reasons: dict[str, str]
) -> tuple[str, str]:
    if coordinates is not None:
        first, second = (resolve_column(rest, label, "--coordinates") for label in coordinates)
        if first == second:
            raise TableError(f"--coordinates {first} {second}: give two different columns.")
        reasons["coordinates"] = "as set"
        return first, second
    pair = find_coordinate_pair(rest)
    if pair is None:
        raise TableError(
            "no columns have recognized names of coordinates; set --coordinates LONGITUDE LATITUDE "
            f"or EASTING NORTHING. The columns are {_list_labels([*map(str, rest)])}."
        )
    is_geometry = pair == GEOMETRY_LABELS
    reasons["coordinates"] = "points of the geometry" if is_geometry else "recognized names"
    return pair


def find_coordinate_pair(rest: pd.DataFrame) -> tuple[str, str] | None:
    """Return the pair of columns with recognized names of coordinates, or None."""
    # With fewer than three columns, any two are used without the warning that is caught here.
    probe = rest.head(0).assign(**{"\0": 0.0, "\1": 0.0, "\2": 0.0})
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            first, second = locate_coordinates(probe)[2]
        except UserWarning:
            return _pair_by_snake_case(rest)
    return str(first), str(second)


def _pair_by_snake_case(rest: pd.DataFrame) -> tuple[str, str] | None:
    """Return columns such as "X coord" and "Y coord" or "E [m]" and "N [m]", or None."""
    names = {_snake_case(label): label for label in reversed([*map(str, rest.columns)])}
    for first, second in (*_COORDINATE_NAMES, _SHORT_COORDINATE_NAMES):
        if first in names and second in names:
            pair = names[first], names[second]
            if (first, second) != _SHORT_COORDINATE_NAMES or _are_projected(rest[list(pair)]):
                return pair
    return None


def _are_projected(pair: pd.DataFrame) -> bool:
    values = pair.apply(pd.to_numeric, errors="coerce")
    return bool((values.median() > _MIN_SHORT_COORDINATE).all())


def _infer_role(rest: pd.DataFrame, role: str, given: str | None) -> tuple[str | None, str]:
    also = "; also a covariate" if role == "elevation" else ""
    if given == _NO_COLUMN and given not in rest.columns:
        return None, "as set"
    if given is not None:
        return resolve_column(rest, given, f"--{role}"), f"as set{also}"
    pattern, find_problem = _RULES[role]
    problems = []
    for label in map(str, rest.columns):
        if pattern.fullmatch(_snake_case(label)):
            problem = find_problem(rest[label])
            if problem is None:
                return label, f"recognized name{also}"
            problems.append(f"not {label}: {problem}")
    return None, "; ".join(problems) or "no recognized name"


def _time_problem(column: pd.Series) -> str | None:
    try:
        known = np.isfinite(decimal_years(column, column.name))
    except (TypeError, ValueError) as error:
        return str(error)
    return None if known.any() else "empty"


def _elevation_problem(column: pd.Series) -> str | None:
    return None if pd.api.types.is_numeric_dtype(column) else "not numeric"


def _site_problem(column: pd.Series) -> str | None:
    rows, sites = column.count(), column.nunique()
    if sites < rows <= _MAX_ROWS_PER_SITE * sites:
        return None
    return "different in every row" if sites == rows else f"only {sites} values in {rows} rows"


_RULES: Mapping[str, tuple[re.Pattern[str], Callable[[pd.Series], str | None]]] = {
    "time": (_TIMES, _time_problem),
    "elevation": (_ELEVATIONS, _elevation_problem),
    "site": (_SITES, _site_problem),
}


def _distinct_rows(frame: pd.DataFrame) -> np.ndarray:
    """Return which rows differ from all earlier ones."""
    try:
        return ~frame.duplicated().to_numpy()
    except TypeError:  # cells that cannot be hashed, such as lists
        return np.ones(len(frame), dtype=bool)


def _covariate_problem(column: pd.Series, label: str, distinct: np.ndarray) -> str | None:
    """Return why a column is not used as a covariate, or None."""
    single = column[distinct]
    levels, rows = single.nunique(), single.count()
    if single.nunique(dropna=False) <= 1:
        return "constant"
    copies = len(column) - len(single)
    apart = f", apart from {copies} duplicate rows" if copies else ""
    if _is_text(column):
        unique = levels == rows and rows == len(single)
        if unique or levels > max(_MAX_LEVELS_OF_ANY_TABLE, rows / 10):
            wrong = (pd.to_numeric(column, errors="coerce").isna() & column.notna()).to_numpy(bool)
            if 0 < wrong.sum() < column.count() / 2:
                first = int(wrong.argmax())
                return (
                    f"numbers, but also text such as {column.iloc[first]!r} in data row {first + 1}"
                )
            return f"{_UNIQUE}{apart}" if unique else f"text with {levels} levels"
    elif pd.api.types.is_integer_dtype(column) and levels == rows:
        steps = np.abs(np.diff(single.dropna().to_numpy(dtype=float)))
        if _IDS.fullmatch(_snake_case(label)) or (steps == 1).all():
            return f"{_NUMBERED}{apart}"
    return None


def _is_text(column: pd.Series) -> bool:
    dtype = column.dtype
    return isinstance(dtype, pd.CategoricalDtype) or not (
        pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_datetime64_any_dtype(dtype)
    )


def _snake_case(label: str) -> str:
    """Return a label in snake case without units: "Elevation (m)" becomes "elevation"."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", _UNIT.sub(" ", label).strip() or label)
    # Accents are often lost in the names of files; letters of all scripts distinguish columns.
    letters = unicodedata.normalize("NFKD", words.lower())
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[\W_]+", "_", letters).strip("_") or label.strip()


def _forms(label: str) -> tuple[str, str]:
    return label.lower(), _snake_case(label)


def _list_labels(labels: Sequence[str], most: int = 12) -> str:
    more = f" and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(labels[:most]) + more if labels else "–"
