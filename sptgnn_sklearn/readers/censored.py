"""Numbers of columns with limits of detection, such as "<0.5"."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from ..table.table_checks import parse_censored

__all__ = ["replace_censored"]

_CENSORED_FACTORS = {"half": 0.5, "limit": 1.0, "drop": np.nan}
_NOT_DETECTED = re.compile(
    r"\s*(n\.?\s?d\.?|not detected|b\.?d\.?l\.?|udl|[<≤]?\s*(lod|loq|dl|mdl))\s*", re.IGNORECASE
)


def replace_censored(
    column: pd.Series, rule: str | None = None, *, limit: float | None = None
) -> pd.Series:
    """Return a text column of numbers and limits of detection as numbers.

    Parameters
    ----------
    column : Series of length n
        Text such as "3.2", "<3", ">200" and "n.d." (not detected; also "bdl", "<LOD", "<LOQ").
    rule : {"half", "limit", "drop"}, default=None
        Values below a limit become half of it or the limit itself, those above it the limit; "drop"
        makes both missing. None raises an error if there are any.
    limit : float, default=None
        Limit of detection of entries such as "n.d.", in which it is not given. "n.d." may also mean
        "not determined": such entries are missing data.

    Returns
    -------
    Series of length n
        The column itself if most entries are not numbers, or some are neither numbers nor limits.

    Raises
    ------
    ValueError
        If there are limits and no rule, or entries such as "n.d." and neither `limit` nor the rule
        "drop".

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.readers import replace_censored
    >>> replace_censored(pd.Series(["3.2", "<3", "4", ">9", None]), "half").tolist()
    [3.2, 1.5, 4.0, 9.0, nan]
    >>> replace_censored(pd.Series(["3.2", "n.d.", "4"]), "half", limit=1).tolist()
    [3.2, 0.5, 4.0]
    """
    if rule not in (None, *_CENSORED_FACTORS):
        raise ValueError(f"rule={rule!r} must be one of {list(_CENSORED_FACTORS)} or None.")
    text = column.astype(object).map(lambda value: value if isinstance(value, str) else "")
    limits = text.map(parse_censored)
    undetected = text.map(lambda value: _NOT_DETECTED.fullmatch(value) is not None).to_numpy(bool)
    censored = limits.notna().to_numpy(dtype=bool) | undetected
    commas = text.str.replace(",", ".", regex=False).mask(text == "", column)
    values = pd.to_numeric(commas, errors="coerce").astype(float)
    known = column.notna().to_numpy(dtype=bool)
    numbers = values.notna().to_numpy(dtype=bool)
    if not censored.any() or (known & ~numbers & ~censored).any() or numbers.sum() < 2:
        return column
    if 2 * numbers.sum() <= known.sum() and rule is None:
        return column
    if undetected.any() and limit is None and rule != "drop":
        first = int(undetected.argmax())
        raise ValueError(
            f"{column.name}: {text.iloc[first]!r} in data row {first + 1} gives no limit of "
            f"detection ({int(undetected.sum())} such rows); set limit=, or rule='drop' if it "
            "means missing data."
        )
    if rule is None:
        first = int(censored.argmax())
        raise ValueError(
            f"{column.name}: numbers, but also limits of detection such as {text.iloc[first]!r} in "
            f"data row {first + 1} ({int(censored.sum())} such rows); set rule='half', 'limit' or "
            "'drop'."
        )
    replaced = []
    for row in np.flatnonzero(censored):
        sign, bound = ("<", limit or 0.0) if undetected[row] else limits.iloc[row]
        factor = 1.0 if sign == ">" and rule != "drop" else _CENSORED_FACTORS[rule]
        replaced.append(bound * factor)
    values[censored] = np.array(replaced)
    return values
