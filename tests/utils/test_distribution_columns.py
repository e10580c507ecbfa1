"""Names and checks of the columns of predictive distributions."""

import numpy as np
import pytest

from sptgnn_sklearn.utils.distribution_columns import (
    DistributionColumns,
    check_coverage,
    check_limits,
    check_shares,
    choose_limits,
    parse_column,
    probability_column,
    quantile_column,
)


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (0.05, "q05"), (0.5, "q50"), (0.95, "q95"), (0.025, "q02.5"), (0.975, "q97.5"),
        (0.001, "q00.1"), (0.07, "q07"), (0.1 + 0.2, "q30"), (np.float32(0.25), "q25"),
    ],
)  # fmt: skip
def test_quantile_columns_are_levels_in_percent(level, name):
    """Names have two digits, so that they sort; the level of a name is that of the column."""
    assert quantile_column(level) == name
    parameter, parsed = parse_column(name)
    assert parameter == "quantiles"
    assert parsed == pytest.approx(float(level), rel=1e-9)


@pytest.mark.parametrize(
    ("limit", "name"),
    [(2, "p<2.0"), (3.5, "p<3.5"), (-1, "p<-1.0"), (1e-7, "p<1e-07"), (np.float64(2.5), "p<2.5")],
)
def test_probability_columns_name_the_limit(limit, name):
    """Both directions; the limit of a name is that of the column, however it is written."""
    assert probability_column(limit) == name
    assert probability_column(limit, above=True) == name.replace("<", ">")
    assert parse_column(name) == ("below", float(limit))
    assert parse_column(name.replace("<", " > ")) == ("above", float(limit))


@pytest.mark.parametrize("name", ["mean", "q", "quality", "p", "p<", "p<two", "p=2", "lower"])
def test_other_names_are_no_columns(name):
    """None is returned, so that the caller can list the names it has."""
    assert parse_column(name) is None


@pytest.mark.parametrize("name", ["q0", "q100", "q-5", "qnan", "p<nan"])
def test_impossible_columns_raise(name):
    """The error contains the name."""
    with pytest.raises(ValueError, match=name):
        parse_column(name)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (90, r"found 90; did you mean 0\.9\?"),
        (97.5, r"did you mean 0\.975\?"),
        ([5, 95], r"did you mean \[0\.05, 0\.95\]\?"),
        (np.int64(95), r"did you mean 0\.95\?"),
        (0, r"found 0\.$"),
        (1, r"found 1\.$"),
        (-0.9, r"found -0\.9\.$"),
        (float("nan"), r"found nan\.$"),
        (900, r"found 900\.$"),
        ([0.5, 95], r"found \[0\.5, 95\]\.$"),
        ("0.9", r"a number .*found '0\.9'"),
        (True, "a number .*found True"),
        (None, "a number .*found None"),
        ([], r"found \[\]"),
        ([[0.5]], r"found \[\[0\.5\]\]"),
    ],
)
def test_shares_outside_of_0_to_1_raise(values, message):
    """Percentages are recognized; the error names the parameter and the value."""
    with pytest.raises(ValueError, match=f"^quantiles must .*{message}"):
        check_shares("quantiles", values)


def test_one_coverage_is_a_number():
    """Numpy numbers are accepted, sequences are not."""
    assert check_coverage(np.float32(0.5)) == 0.5
    with pytest.raises(ValueError, match=r"one number.*found \[0\.9\]"):
        check_coverage([0.9])


@pytest.mark.parametrize("limits", [float("nan"), [1.0, float("nan")], "2", ["2"], [], [[1.0]]])
def test_limits_that_are_no_numbers_raise(limits):
    """NaN, text, nothing and tables; infinite limits are allowed."""
    with pytest.raises(ValueError, match=r"^above must"):
        check_limits("above", limits)
    assert check_limits("above", np.array([1, np.inf])).tolist() == [1.0, np.inf]


def test_probability_needs_one_kind_of_limits():
    """The error names both parameters."""
    for below, above in ((None, None), (1.0, 2.0)):
        with pytest.raises(ValueError, match=f"below={below} and above={above}"):
            choose_limits(below, above)
    limits, is_above, is_single = choose_limits([1, 2], None)
    assert (limits.tolist(), is_above, is_single) == ([1.0, 2.0], False, False)


def test_columns_have_the_order_of_the_parameters():
    """Intervals, quantiles, probabilities below, then above; each in the order given."""
    columns = DistributionColumns.check([0.95, 0.5], (0.9, 0.1), [2, 1], 3)
    assert columns.names == [
        "lower_95", "upper_95", "lower_50", "upper_50", "q90", "q10", "p<2.0", "p<1.0", "p>3.0",
    ]  # fmt: skip
    assert DistributionColumns.check(**columns.parameters) == columns
    assert DistributionColumns.check().parameters == {}
    single = DistributionColumns.check(coverage=0.9)
    assert single.parameters == {"coverage": 0.9}
    assert DistributionColumns.check(coverage=[0.9]).names == ["lower_90", "upper_90"]


@pytest.mark.parametrize(
    "repeated", [{"coverage": [0.9, 0.9]}, {"quantiles": [0.1, 0.1]}, {"below": [2, 2.0]}]
)
def test_repeated_columns_raise(repeated):
    """Two equal columns would hide a mistake."""
    with pytest.raises(ValueError, match="requested twice"):
        DistributionColumns.check(**repeated)
