"""Parts of error and warning messages."""

from __future__ import annotations

import numpy as np

__all__ = ["format_rows"]


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
