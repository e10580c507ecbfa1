"""Which column of an unknown table is what: guessed by name, and said aloud.

`SpTGNNRegressor` takes every column without a role for a covariate. In a table from a file that is
too trusting: it holds other measured properties, ids, and coordinates twice. `infer_roles` decides
about each column and gives its reason, so that a wrong guess is seen and can be overruled.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from .coordinate_columns import locate_coordinates
from .parsing import decimal_years

__all__ = ["Roles", "TableError", "infer_roles", "resolve_column", "usual_pair"]

NO_COLUMN = "none"
_TIMES = re.compile(r"(sampl\w*_?|obs\w*_?|collect\w*_?)?(date|datetime|time|year)(_?sampled)?")
_ELEVATIONS = re.compile(
    r"((dem|dtm|dsm|srtm|terrain|mean)_)?(elevation|elev|altitude|alt|height)"
    r"(_(dem|dtm|dsm|srtm|terrain|mean|m|masl))*|dem|dtm|srtm|dem(sr[te]|top)[0-9x]"
)
_SITES = re.compile(r"(site|profile|plot|location|station|borehole|pedon|point)_?(id|no|nr|code)?")
_IDS = re.compile(r"(\w*_)?(id|fid|oid|objectid|index|idx|uuid|key|serial|nr|rowid|row|labno)")
_NO_COVARIATES = ("target_", "meta_")
_LEVELS_OF_A_CATEGORY = 32  # fewer are never too many
_MOST_ROWS_OF_A_SITE = 10  # on average; a name such as "site" may also be that of a whole region


class TableError(ValueError):
    """A table, or what was said about it, cannot be used; the message is for the user."""


@dataclass(frozen=True)
class Roles:
    """What each column is, and why.

    Attributes
    ----------
    target : str
    coordinates : tuple of two str
    time, elevation, site : str or None
    covariates : tuple of str
        Elevation is one of them.
    dropped : dict of str to str
        Reason for each column that is not used.
    reasons : dict of str to str
        Reason for coordinates, time, elevation and site, also where there is no such column.
    """

    target: str
    coordinates: tuple[str, str]
    time: str | None
    elevation: str | None
    site: str | None
    covariates: tuple[str, ...] = ()
    dropped: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def used(self) -> list[str]:
        """Columns of the X that an estimator is given."""
        extra = [label for label in (self.time, self.site) if label is not None]
        return [*self.coordinates, *extra, *self.covariates]

    def describe(self, frame: pd.DataFrame) -> list[str]:
        """Return one line for each role, and one for each reason to drop columns.

        Examples
        --------
        See `infer_roles`.
        """
        lines = [f"coordinates  {', '.join(self.coordinates)} ({self.reasons['coordinates']})"]
        for role in ("time", "elevation", "site"):
            label = getattr(self, role)
            lines.append(f"{role:<11}  {label or '–'} ({self.reasons[role]})")
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
    drop: Sequence[str] = (),
) -> Roles:
    r"""Decide what each column of a table is.

    Parameters
    ----------
    frame : DataFrame
    target : str
        Column to predict.
    coordinates : pair of str, default=None
        Columns of longitude and latitude, or easting and northing. None looks for usual names;
        further pairs of such names are not used.
    time, elevation, site : str, default=None
        Columns of these roles. None looks for usual names, ``"none"`` does without.
    drop : sequence of str, default=()
        Columns that are not used.

    Returns
    -------
    Roles
        Not used are also: columns whose names begin with target_ or meta_ unless a role was given
        to them, whole numbers that count the rows or are unique ids, texts with too many levels to
        be categories, and columns without variation.

    Raises
    ------
    TableError
        If a column is not in the table, or there are no columns with usual names of coordinates.

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
    coordinates  lon, lat (usual names)
    time         – (no usual name)
    elevation    elev (usual name; a covariate too)
    site         – (no usual name)
    numbers      1: elev
    categories   1: landuse
    not used     sample_id (different in every row)
    """
    resolve_column(frame, target, "--target")
    dropped = {resolve_column(frame, label, "--drop"): "as you said" for label in drop}
    reasons: dict[str, str] = {}
    named = [label for label in (*(coordinates or ()), time, elevation, site) if label is not None]
    for label in map(str, frame.columns):
        if label.lower().startswith(_NO_COVARIATES) and label not in (target, *named):
            dropped.setdefault(label, f"name begins with {label.split('_')[0]}_")
    dropped.pop(target, None)
    rest = frame.drop(columns=[target, *dropped])

    pair = _infer_coordinates(rest, coordinates, reasons)
    rest = rest.drop(columns=list(pair))
    while second := usual_pair(rest):
        dropped |= dict.fromkeys(second, "second pair of coordinates")
        rest = rest.drop(columns=list(second))
    roles: dict[str, str | None] = {}
    for role, given in (("time", time), ("elevation", elevation), ("site", site)):
        roles[role], reasons[role] = _role(rest, role, given)
        if role != "elevation" and roles[role] is not None:
            rest = rest.drop(columns=[roles[role]])
    for label in map(str, rest.columns):
        reason = _no_covariate(rest[label], label)
        if reason and label != roles["elevation"]:
            dropped[label] = reason
    covariates = tuple(label for label in map(str, rest.columns) if label not in dropped)
    return Roles(target, pair, **roles, covariates=covariates, dropped=dropped, reasons=reasons)


def resolve_column(frame: pd.DataFrame, label: str, option: str) -> str:
    """Return the label if the table has such a column, or name those that come close.

    Raises
    ------
    TableError
        If there is no such column.

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
    lower = {column.lower(): column for column in map(str, frame.columns)}
    close = [lower[name] for name in difflib.get_close_matches(label.lower(), lower, 3, 0.5)]
    known = (
        f"did you mean {' or '.join(close)}?"
        if close
        else f"there are {_list_labels([*map(str, frame)])}."
    )
    raise TableError(f"{option} {label}: no such column; {known}")


def _infer_coordinates(
    rest: pd.DataFrame, coordinates: Sequence[str] | None, reasons: dict[str, str]
) -> tuple[str, str]:
    if coordinates is not None:
        first, second = (resolve_column(rest, label, "--coordinates") for label in coordinates)
        if first == second:
            raise TableError(f"--coordinates {first} {second}: two columns are needed.")
        reasons["coordinates"] = "as you said"
        return first, second
    pair = usual_pair(rest)
    if pair is None:
        raise TableError(
            "no columns have usual names of coordinates; say --coordinates LONGITUDE LATITUDE, or "
            f"EASTING NORTHING. There are {_list_labels([*map(str, rest)])}."
        )
    reasons["coordinates"] = "usual names"
    return pair


def usual_pair(rest: pd.DataFrame) -> tuple[str, str] | None:
    """Return the pair of columns that estimators would take for coordinates by their names."""
    # Of fewer than three columns they take any two, without the warning that tells a mere guess.
    probe = rest.head(0).assign(**{"\0": 0.0, "\1": 0.0, "\2": 0.0})
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            first, second = locate_coordinates(probe)[2]
        except UserWarning:
            return None
    return str(first), str(second)


def _role(rest: pd.DataFrame, role: str, given: str | None) -> tuple[str | None, str]:
    also = "; a covariate too" if role == "elevation" else ""
    if given == NO_COLUMN and given not in rest.columns:
        return None, "as you said"
    if given is not None:
        return resolve_column(rest, given, f"--{role}"), f"as you said{also}"
    pattern, objection_to = _USUAL[role]
    objections = []
    for label in map(str, rest.columns):
        if pattern.fullmatch(_plain(label)):
            objection = objection_to(rest[label])
            if objection is None:
                return label, f"usual name{also}"
            objections.append(f"not {label}: {objection}")
    return None, "; ".join(objections) or "no usual name"


def _no_time(column: pd.Series) -> str | None:
    try:
        known = np.isfinite(decimal_years(column, column.name))
    except (TypeError, ValueError) as error:
        return str(error)
    return None if known.any() else "empty"


def _no_elevation(column: pd.Series) -> str | None:
    return None if pd.api.types.is_numeric_dtype(column) else "holds no numbers"


def _no_site(column: pd.Series) -> str | None:
    rows, sites = column.count(), column.nunique()
    if sites < rows <= _MOST_ROWS_OF_A_SITE * sites:
        return None
    return "different in every row" if sites == rows else f"only {sites} for {rows} rows"


_USUAL: Mapping[str, tuple[re.Pattern[str], Callable[[pd.Series], str | None]]] = {
    "time": (_TIMES, _no_time),
    "elevation": (_ELEVATIONS, _no_elevation),
    "site": (_SITES, _no_site),
}


def _no_covariate(column: pd.Series, label: str) -> str | None:
    """Return why a column cannot be a covariate, or None."""
    levels, rows = column.nunique(), column.count()
    if column.nunique(dropna=False) <= 1:
        return "the same in every row"
    if _is_text(column):
        if levels == rows and rows == len(column):
            return "different in every row"
        if levels > max(_LEVELS_OF_A_CATEGORY, rows / 10):
            numbers = pd.to_numeric(column, errors="coerce").notna().sum()
            if numbers > rows / 2:
                wrong = column[pd.to_numeric(column, errors="coerce").isna() & column.notna()]
                return f"text, though most are numbers: one is {wrong.iloc[0]!r}"
            return f"text with {levels} levels"
    elif pd.api.types.is_integer_dtype(column) and levels == rows:
        steps = np.abs(np.diff(column.dropna().to_numpy(dtype=float)))
        if _IDS.fullmatch(_plain(label)) or (steps == 1).all():
            return "counts or names the rows"
    return None


def _is_text(column: pd.Series) -> bool:
    dtype = column.dtype
    return isinstance(dtype, pd.CategoricalDtype) or not (
        pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_datetime64_any_dtype(dtype)
    )


def _plain(label: str) -> str:
    """Lower case, with words joined by underscores: "SamplingDate" is "sampling_date"."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", label.strip())
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")


def _list_labels(labels: Sequence[str], most: int = 12) -> str:
    more = f" and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(labels[:most]) + more if labels else "–"
