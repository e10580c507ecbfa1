"""Units of the target: which of them may be added up over an area."""

from __future__ import annotations

import re

__all__ = ["check_summable", "is_concentration"]

_SUPERSCRIPTS = str.maketrans("⁻¹²³·−µ", "-123 -u")
_SHARES = frozenset(
    {"%", "‰", "percent", "per cent", "permille", "per mille", "promille", "ppm", "ppb", "ph"}
)
_MASSES = frozenset({"ug", "mg", "g", "dag", "kg", "t", "ton", "tonne"})
_VOLUMES = frozenset({"l", "ml", "dl", "hl", "liter", "litre"})
_LENGTHS = frozenset({"mm", "cm", "dm", "m"})
_TERM = re.compile(r"(?P<per>/?)\s*(?P<number>\d*)\s*(?P<unit>[a-z]+)\^?(?P<power>-?\d?)")


def is_concentration(unit: str) -> bool:
    """Return whether a unit is one of a content: a share, or an amount per mass or volume.

    Parameters
    ----------
    unit : str
        Such as "%", "g/kg", "g kg-1", "mg kg⁻¹", "g/100g", "g/cm3" or "t/ha".

    Examples
    --------
    >>> from sptgnn_sklearn.estimation.units import is_concentration
    >>> [is_concentration(unit) for unit in ("%", "g kg-1", "g/cm3", "t/ha", "kg m-2")]
    [True, True, True, False, False]
    """
    text = unit.translate(_SUPERSCRIPTS).strip().lower()
    if text in _SHARES or "%" in text or "‰" in text:
        return True
    for term in _TERM.finditer(text):
        power = term["power"]
        if not term["per"] and not power.startswith("-"):
            continue
        degree = power.lstrip("-") or "1"
        name = term["unit"]
        if name in _MASSES or name in _VOLUMES or (name in _LENGTHS and degree == "3"):
            return True
    return False


def check_summable(unit: str | None) -> None:
    """Raise a ValueError if a total has no meaning in a unit.

    Examples
    --------
    >>> from sptgnn_sklearn.estimation.units import check_summable
    >>> check_summable("g/kg")
    Traceback (most recent call last):
        ...
    ValueError: statistic='total' of a content in unit='g/kg' has no meaning: a sum over area \
needs stocks, such as t/ha. Use estimate_stock, or statistic='mean'.
    """
    if unit is not None and is_concentration(unit):
        raise ValueError(
            f"statistic='total' of a content in unit={unit!r} has no meaning: a sum over area "
            "needs stocks, such as t/ha. Use estimate_stock, or statistic='mean'."
        )
