"""Parts of error and warning messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import numpy as np

__all__ = ["did_you_mean", "format_rows"]


def did_you_mean(
    name: object, names: Iterable[object], synonyms: Mapping[str, str] | None = None
) -> str:
    """Return the end of an error message about a name: the nearest known names, or a full stop.

    Parameters
    ----------
    name : object
        A name that is unknown; others than strings have no nearest name.
    names : iterable
        Known names; case does not count.
    synonyms : mapping of str to str, default=None
        Known names by other names for them.

    Examples
    --------
    >>> from sptgnn_sklearn.utils.messages import did_you_mean
    >>> did_you_mean("easting", ["Easting", "Northing", "clay"]), did_you_mean("pH", ["clay"])
    ("; did you mean 'Easting'?", '.')
    """
    known = {known.lower(): known for known in names if isinstance(known, str)}
    known |= {other: mine for other, mine in (synonyms or {}).items() if other not in known}
    if not isinstance(name, str):
        return "."
    close = difflib.get_close_matches(name.strip().lower(), known, 2, 0.6)
    meant = dict.fromkeys(repr(known[key]) for key in close)
    return f"; did you mean {' or '.join(meant)}?" if meant else "."


def format_rows(rows: np.ndarray, value: str = "") -> str:
    """Return the number of rows in a mask, their first positions and the first value, as text.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.utils.messages import format_rows
    >>> format_rows(np.array([False, True, True]), "'sand'")
    "2 of 3 rows (row positions 1, 2, value 'sand')"
    """
    positions = np.flatnonzero(rows)
    first = ", ".join(str(position) for position in positions[:5])
    more = ", ..." if len(positions) > 5 else ""
    word = "row position" if len(positions) == 1 else "row positions"
    value = value and f", value {value}"
    return f"{len(positions)} of {len(rows)} rows ({word} {first}{more}{value})"
