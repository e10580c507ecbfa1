"""Arguments of sampling designs: weights, corrections and types of columns."""

import numpy as np
import pandas as pd
import pytest
from small_samples import CLUSTER_SIZES, SAMPLE, design_arguments

from sptgnn_sklearn.estimation.design_arguments import (
    read_design,
    read_labels,
    read_numbers,
    sizes_by_label,
)


def test_weights_of_equal_probabilities():
    """Weights are population over sample, of units, clusters and units in clusters."""
    np.testing.assert_array_equal(read_design(4).weights, 1)
    np.testing.assert_array_equal(read_design(4, population_size=6).weights, 1.5)
    stratified = read_design(16, **design_arguments("str")[1])
    np.testing.assert_allclose(stratified.weights, [10] * 6 + [6.25] * 4 + [15] * 6)
    np.testing.assert_allclose(np.unique(stratified.unsampled), [1 - 4 / 25, 0.9, 1 - 6 / 90])
    two_stages = read_design(16, clusters=SAMPLE["cluster"], cluster_sizes=CLUSTER_SIZES)
    np.testing.assert_allclose(two_stages.weights[:6], [2, 2, 2, 2, 2, 3])


def test_known_scale_and_size():
    """Relative weights have no scale; sizes of strata add up to that of the population."""
    assert (read_design(4).has_scale, read_design(4).size) == (False, None)
    assert not read_design(16, clusters=SAMPLE["cluster"]).has_scale
    assert read_design(16, **design_arguments("str")[1]).size == 175
    assert read_design(16, **design_arguments("cl")[1]).size is None
    assert read_design(16, **design_arguments("pp")[1]).has_scale
    assert read_design(16, population_size=200.0, weights=SAMPLE["pi"]).size == 200


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 0],
        np.array([[1.0], [2.0], [0.0]]),
        pd.Series([1, 2, 0], index=[7, 8, 9], dtype="Int64"),
        pd.DataFrame({"a": ["1", "2", "0"]}),
        (1.0, "2", False),
        pd.Index([1, 2, 0]),
    ],
)
def test_read_numbers(values):
    """Columns of all kinds are read by position."""
    np.testing.assert_array_equal(read_numbers("weights", values, 3), [1.0, 2.0, 0.0])


def test_read_labels_of_categories():
    """Categories keep their order; those without rows are left out."""
    column = pd.Categorical(["b", "a", "b"], categories=["c", "b", "a"], ordered=True)
    codes, labels = read_labels("by", column)
    assert (codes.tolist(), list(labels)) == ([0, 1, 0], ["b", "a"])


def test_sizes_of_columns_are_refused():
    """A column of the sample has labels of rows, which are not those of the strata."""
    column = pd.Series([60.0] * 3 + [25.0] * 2)
    with pytest.raises(ValueError, match=r"stratum_sizes has strata \[0, 3, 4\] without"):
        sizes_by_label("stratum_sizes", column, pd.Index([1, 2]), "strata")
