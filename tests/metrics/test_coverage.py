"""Coverage by groups: exact limits, known coverages, weights, missing labels and errors."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, binomtest, norm

from sptgnn_sklearn.metrics import (
    coverage_by_group,
    interval_coverage,
    interval_score,
    tail_coverage,
)
from sptgnn_sklearn.metrics.coverage import binomial_limits


def outcomes(n_inside, n):
    """Return y, lower and upper of n rows, of which the first are inside."""
    y = np.where(np.arange(n) < n_inside, 0.0, 5.0)
    return y, np.full(n, -1.0), np.full(n, 1.0)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize(("n_inside", "n"), [(0, 7), (3, 7), (7, 7), (88, 100), (1, 1), (0, 1)])
def test_limits_are_those_of_clopper_and_pearson(n_inside, n, confidence):
    """Limits and p-values are those of scipy's exact test, also without any row inside."""
    table = coverage_by_group(*outcomes(n_inside, n), ["a"] * n, 0.9, confidence=confidence)
    row = table.iloc[0]
    exact = binomtest(n_inside, n).proportion_ci(confidence, method="exact")
    np.testing.assert_allclose([row["low"], row["high"]], exact, atol=1e-12)
    lower_tail = binomtest(n_inside, n, 0.9, alternative="less").pvalue
    np.testing.assert_allclose(row["p_value"], lower_tail)
    assert row["consistent"] == (exact.low <= 0.9 <= exact.high)


def test_columns_are_those_of_the_metrics():
    """Each group has the values of the metrics of its rows."""
    rng = np.random.default_rng(0)
    y, lower, upper = rng.normal(size=60), rng.uniform(-2, -1, 60), rng.uniform(1, 2, 60)
    groups = rng.choice(["b", "a"], 60)
    table = coverage_by_group(y, lower, upper, groups, 0.8).set_index("group")
    assert table.index.tolist() == ["a", "b"]
    for name, row in table.iterrows():
        part = [values[groups == name] for values in (y, lower, upper)]
        assert row["n"] == row["n_effective"] == len(part[0])
        assert row["coverage"] == interval_coverage(*part)
        assert (row["below"], row["above"]) == tail_coverage(*part)
        assert row["width"] == np.mean(part[2] - part[1])
        assert row["interval_score"] == interval_score(*part, coverage=0.8)


def test_true_intervals_have_nominal_coverage():
    """Of true intervals about 5 % of the groups, and no more, are not consistent."""
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=20_000), rng.uniform(0.5, 2, 20_000)
    y = rng.normal(mean, std)
    half_width = norm.ppf(0.95) * std
    groups = np.repeat(np.arange(200), 100)
    table = coverage_by_group(y, mean - half_width, mean + half_width, groups, 0.9)
    assert abs(table["coverage"].mean() - 0.9) < 0.01
    # The exact limits are conservative: 3.6 % are expected for groups of 100 rows.
    inside = np.arange(101)
    limits = [binomial_limits(k, 100, 0.95) for k in inside]
    missed = [not low <= 0.9 <= high for low, high in limits]
    expected = binom.pmf(inside, 100, 0.9)[missed].sum()
    assert 0.02 < expected < 0.05
    assert abs((~table["consistent"]).mean() - expected) < 0.03


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_only_ratios_of_weights_matter(scale):
    """Equal weights change nothing; Kish's effective number replaces n otherwise."""
    values = outcomes(8, 10)
    same = coverage_by_group(*values, ["a"] * 10, sample_weight=np.full(10, scale))
    expected = coverage_by_group(*values, ["a"] * 10)
    pd.testing.assert_frame_equal(same, expected)
    weight = scale * np.array([1.0] * 9 + [3.0])  # the last row is outside
    row = coverage_by_group(*values, ["a"] * 10, sample_weight=weight).iloc[0]
    assert row["n"] == 10
    np.testing.assert_allclose(row["n_effective"], 12**2 / 18)
    np.testing.assert_allclose(row["coverage"], 8 / 12)
    np.testing.assert_allclose([row["low"], row["high"]], binomial_limits(16 / 3, 8, 0.95))


def test_rows_of_weight_zero_are_dropped():
    """Groups without another row do not occur, and full coverage stays exact."""
    values = outcomes(3, 4)
    table = coverage_by_group(*values, list("aaab"), sample_weight=[0.1, 0.7, 0.2, 0])
    assert table["group"].tolist() == ["a"]
    assert table[["coverage", "high", "p_value"]].to_numpy().tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_labels_are_a_group(missing):
    """They come last, and no row is lost."""
    y, lower, upper = outcomes(2, 4)
    table = coverage_by_group(y, lower, upper, pd.Series(["b", missing, "a", missing]))
    assert table["group"].tolist()[:2] == ["a", "b"] and pd.isna(table["group"].iloc[2])
    assert table["n"].tolist() == [1, 1, 2]
    assert table["coverage"].tolist() == [0, 1, 0.5]


def test_order_of_groups():
    """Categories keep their order, numbers are sorted, and integers stay integers."""
    values = outcomes(3, 3)
    levels = pd.Categorical(["high", "low", "high"], ["low", "middle", "high"])
    assert coverage_by_group(*values, levels)["group"].tolist() == ["low", "high"]
    numbers = coverage_by_group(*values, [10, 9, 10])["group"]
    assert numbers.tolist() == [9, 10] and numbers.dtype == np.int64
    assert len(coverage_by_group(*values, [1, "1", True])) >= 2  # mixed types are not sorted


def test_infinite_limits():
    """An unbounded interval covers everything at an infinite width and score."""
    row = coverage_by_group([1.0], [-np.inf], [np.inf], ["a"]).iloc[0]
    assert row["coverage"] == 1 and row["width"] == row["interval_score"] == np.inf


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": ["a"]}, r"groups .* 2 rows; found shape \(1,\)"),
        ({"groups": [["a"], ["b"]]}, r"groups .*\(2, 1\)"),
        ({"coverage": 90}, r"coverage .*90; did you mean 0\.9"),
        ({"confidence": 95}, r"confidence .*95; did you mean 0\.95"),
        ({"confidence": [0.9, 0.95]}, r"confidence .*one number"),
        ({"lower": [0.0, 3.0]}, r"lower is above upper .*position 1"),
        ({"y": [0.0, np.nan]}, r"y holds NaN .*position 1"),
        ({"sample_weight": [1, -1]}, r"sample_weight .*-1"),
        ({"upper": [1.0]}, r"lengths.*'upper': 1"),
    ],
)
def test_invalid_arguments_raise(changes, message):
    """The error names the parameter and what was found."""
    arguments = {"y": [0.0, 1.0], "lower": [-1.0, 0.0], "upper": [1.0, 2.0], "groups": ["a", "b"]}
    with pytest.raises(ValueError, match=message):
        coverage_by_group(**(arguments | changes))
