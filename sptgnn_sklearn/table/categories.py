"""Categorical columns: levels, integer codes and one-hot indicators."""

from __future__ import annotations

import math
from decimal import Decimal
from hashlib import blake2b
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd

__all__ = [
    "MISSING_CODE",
    "UNKNOWN_CAMPAIGN",
    "UNSEEN_CODE",
    "campaign_keys",
    "category_codes",
    "category_levels",
    "encode_categories",
    "frequent_levels",
    "has_too_many_levels",
    "level_name",
    "one_hot",
    "site_labels",
]

MISSING_CODE = -1
UNSEEN_CODE = -2
UNKNOWN_CAMPAIGN = 0
_COMMON_LEVELS = 32


def level_name(value: Any) -> str:
    """Return a level as text; 1.0 as "1", as missing values turn integers into floats."""
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value)


def site_labels(values: Any) -> np.ndarray:
    """Return ids in which 1, 1.0 and "1" are one site.

    Parameters
    ----------
    values : array-like of shape (n,)
        Ids. Only if they mix text and numbers, all become text.

    Returns
    -------
    ndarray of shape (n,) of object
        Missing ids stay as they are.

    Examples
    --------
    >>> from sptgnn_sklearn.table.categories import site_labels
    >>> site_labels([1, "1", 2.0, None]).tolist(), site_labels([1, 2]).tolist()
    (['1', '1', '2', None], [1, 2])
    """
    labels = np.array(pd.Series(values, dtype=object), dtype=object)
    known = ~pd.isna(labels)
    text = np.array([isinstance(value, str) for value in labels[known]], dtype=bool)
    numbers = np.array([isinstance(value, Number) for value in labels[known]], dtype=bool)
    if text.any() and numbers.any() and (text | numbers).all():
        labels[known] = [level_name(value) for value in labels[known]]
    return labels


def campaign_keys(labels: np.ndarray) -> np.ndarray:
    """Return a key of each campaign, which depends on its label alone.

    Parameters
    ----------
    labels : ndarray of shape (n,) of object
        From `site_labels`; None is missing.

    Returns
    -------
    ndarray of shape (n,) of uint64
        Hashes of the labels as text; `UNKNOWN_CAMPAIGN` (0) for missing ones.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.table.categories import campaign_keys
    >>> first, second, third = campaign_keys(np.array(["A", None, 7.0], dtype=object))
    >>> bool(first > 0), int(second), bool(third == campaign_keys(np.array(["7"]))[0])
    (True, 0, True)
    """
    codes, levels = pd.factorize(np.array([None if x is None else level_name(x) for x in labels]))
    hashes = [
        int.from_bytes(blake2b(str(level).encode(), digest_size=8).digest(), "little") or 1
        for level in levels
    ]
    keys = np.array([*hashes, UNKNOWN_CAMPAIGN], dtype=np.uint64)
    return keys[codes]  # the code of missing labels is -1


def category_levels(column: pd.Series) -> tuple[str, ...]:
    """Return the levels that occur in a column, as sorted text."""
    return encode_categories(column)[0]


def category_codes(column: pd.Series, levels: tuple[str, ...]) -> np.ndarray:
    """Return the position of each entry among known levels.

    Parameters
    ----------
    column : Series of length n
    levels : tuple of str
        From `category_levels`.

    Returns
    -------
    codes : ndarray of shape (n,) of int
        `MISSING_CODE` (-1) for a missing entry, `UNSEEN_CODE` (-2) for one that is not a level.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.categories import category_codes
    >>> category_codes(pd.Series(["b", None, "z"]), ("a", "b")).tolist()
    [1, -1, -2]
    """
    return _positions(*_distinct(column), levels)


def encode_categories(column: pd.Series) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the levels and the codes of a training column, reading it once.

    Parameters
    ----------
    column : Series of length n

    Returns
    -------
    levels : tuple of str
        As from `category_levels`.
    codes : ndarray of shape (n,) of int
        As from `category_codes` with these levels.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.categories import encode_categories
    >>> levels, codes = encode_categories(pd.Series(["b", None, "a"]))
    >>> levels, codes.tolist()
    (('a', 'b'), [1, -1, 0])
    """
    codes, names = _distinct(column)
    levels = tuple(sorted(set(names)))
    return levels, _positions(codes, names, levels)


def one_hot(codes: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return indicators (n, n_levels) of the given codes; rows with other codes are all zeros."""
    return (codes[:, None] == levels[None, :]).astype(np.float64)


def has_too_many_levels(n_levels: int, n_rows: int) -> bool:
    """Return whether text likely holds names or ids: over 32 levels, in under 2 rows each."""
    return n_levels > max(_COMMON_LEVELS, n_rows / 2)


def frequent_levels(codes: np.ndarray, max_levels: int) -> np.ndarray:
    """Return the codes of the most frequent levels in ascending order; ties favor small codes."""
    levels, counts = np.unique(codes[codes >= 0], return_counts=True)
    return np.sort(levels[np.argsort(-counts, kind="stable")[:max_levels]])


def _distinct(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return a code per row (-1 is missing) and the text of each distinct value."""
    codes, values = pd.factorize(column.astype(object))
    return codes, [level_name(value) for value in values]


def _positions(codes: np.ndarray, names: list[str], levels: tuple[str, ...]) -> np.ndarray:
    position = {level: code for code, level in enumerate(levels)}
    lookup = [position.get(name, UNSEEN_CODE) for name in names]
    # Code -1 of missing entries indexes the last element.
    return np.array([*lookup, MISSING_CODE], dtype=np.int64)[codes]
