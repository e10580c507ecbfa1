"""Covariates as coordinates: standardised numbers, indicators of levels, and what has none."""

import numpy as np
import pandas as pd
import pytest

from sptgnn_sklearn.applicability.encoding import EncodedCovariate


def test_numbers_are_standardised_on_the_training_rows():
    """Mean 0 and variance 1 there, the same line elsewhere."""
    covariate = EncodedCovariate.fit(pd.Series([0.0, 0.0, 2.0, 2.0]), "a")
    assert covariate.standardized(pd.Series([0.0, 3.0])).tolist() == [[-1.0], [2.0]]


def test_a_level_is_a_column():
    """Each with its own spread: the rarer a level, the farther it is from the others."""
    column = pd.Series(["crop"] * 8 + ["lake"] * 2, dtype="category")
    covariate = EncodedCovariate.fit(column, "use")
    np.testing.assert_allclose(covariate.scale, [0.4, 0.4])
    found = covariate.standardized(pd.Series(["lake"]))
    np.testing.assert_allclose(found, [[-2.0, 2.0]])


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([True, False, True]),
        pd.to_datetime(pd.Series(["2001-01-01", "2002-01-01", "2003-01-01"])),
        pd.Series([1, 2, 3], dtype="Int64"),
        pd.Series(["1.5", "a", "b"]),
    ],
    ids=["booleans", "dates", "nullable", "text"],
)
def test_kinds_of_columns(column):
    """Whatever a column holds, its coordinates have mean 0 and variance 1."""
    covariate = EncodedCovariate.fit(column, "a")
    found = covariate.standardized(column)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(found.std(axis=0), 1)
    assert covariate.varies


@pytest.mark.parametrize("value", [0.1, 1e30, "sand"])
def test_equal_entries_do_not_vary(value):
    """Not even by the rounding of their mean."""
    assert not EncodedCovariate.fit(pd.Series([value] * 11), "a").varies


def test_names_and_paths_are_refused():
    """A text that is new in every row measures nothing."""
    with pytest.raises(ValueError, match="Column 'path' is text with 40 different values in 40"):
        EncodedCovariate.fit(pd.Series([f"chips/{i}.tif" for i in range(40)]), "path")
