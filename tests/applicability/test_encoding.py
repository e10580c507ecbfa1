"""Encoding of covariates: standardized numbers, one-hot levels, and errors."""

import numpy as np
import pandas as pd
import pytest

from sptgnn_sklearn.applicability.encoding import EncodedCovariate


def test_numbers_are_standardized_on_the_training_rows():
    """New rows use the mean and standard deviation of the training rows."""
    covariate = EncodedCovariate.fit(pd.Series([0.0, 0.0, 2.0, 2.0]), "a")
    assert covariate.standardize(pd.Series([0.0, 3.0])).tolist() == [[-1.0], [2.0]]


def test_categories_are_one_hot_encoded():
    """Each level has its own scale: rare levels are farther from the others."""
    column = pd.Series(["crop"] * 8 + ["lake"] * 2, dtype="category")
    covariate = EncodedCovariate.fit(column, "use")
    np.testing.assert_allclose(covariate.scale, [0.4, 0.4])
    result = covariate.standardize(pd.Series(["lake"]))
    np.testing.assert_allclose(result, [[-2.0, 2.0]])


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
def test_all_types_of_columns(column):
    """Coordinates of any type have mean 0 and variance 1 over the training rows."""
    covariate = EncodedCovariate.fit(column, "a")
    result = covariate.standardize(column)
    np.testing.assert_allclose(result.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(result.std(axis=0), 1)
    assert covariate.varies


@pytest.mark.parametrize("value", [0.1, 1e30, "sand"])
def test_constant_columns_do_not_vary(value):
    """The rounding of the mean does not count as variation."""
    assert not EncodedCovariate.fit(pd.Series([value] * 11), "a").varies


def test_names_and_paths_raise():
    """Text that is different in each row gives no useful distance."""
    with pytest.raises(ValueError, match=r"'path' .* 40 different values in 40"):
        EncodedCovariate.fit(pd.Series([f"chips/{i}.tif" for i in range(40)]), "path")
