"""Units of contents, which have no total."""

import pytest

from sptgnn_sklearn.estimation.units import check_summable, is_concentration

CONTENTS = [
    *("%", "% ", "vol.-%", "‰", "ppm", "pH", "percent", "g/kg", "g kg-1", "g kg^-1", "g·kg⁻¹"),
    *("mg/kg", "mg kg⁻¹", "g/100g", "g / 100 g", "cmol/kg", "kg/Mg", "g/cm3", "g cm-3", "kg m⁻³"),
    *("t/m3", "mg/l", "µg/g"),
]
SUMS = ["t/ha", "Mg ha-1", "Mg C ha⁻¹", "kg/m2", "kg m⁻²", "kg m-2", "t/ha/yr", "kg", "t", "mm"]


@pytest.mark.parametrize("unit", CONTENTS)
def test_contents(unit):
    """Shares and amounts per mass or volume raise."""
    assert is_concentration(unit)
    with pytest.raises(ValueError, match="estimate_stock"):
        check_summable(unit)


@pytest.mark.parametrize("unit", SUMS)
def test_amounts_per_area(unit):
    """Amounts, and amounts per area, may be added up; so may values of an unknown unit."""
    assert not is_concentration(unit)
    check_summable(unit)
    check_summable(None)
