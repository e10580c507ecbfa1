"""Folds of environmental conditions: separation in the covariates, groups, and errors."""

import numpy as np
import pandas as pd
import pytest
from fold_helpers import dated_samples, split_lists

from sptgnn_sklearn.model_selection import EnvironmentalBlockKFold


@pytest.fixture(scope="module")
def table():
    return dated_samples()


def test_folds_are_separated_in_the_covariates(table):
    """Test and training rows have different covariates; rows of a location stay together."""
    X = table.drop(columns="date")
    folds = np.full(60, -1)
    for fold, (train, test) in enumerate(EnvironmentalBlockKFold(3).split(X)):
        folds[test] = fold
        assert len(train) + len(test) == 60
    assert set(folds) == {0, 1, 2}
    np.testing.assert_array_equal(folds[::2], folds[1::2])
    between = X[["rain", "clay"]].groupby(folds).mean()
    assert (between.std() > 0.3 * X[["rain", "clay"]].std()).any()
    by_rain = [t.tolist() for _, t in EnvironmentalBlockKFold(2, columns=["rain"]).split(X)]
    means = X["rain"].groupby(np.arange(60) // 2).transform("mean")
    low, high = sorted(by_rain, key=lambda rows: means.iloc[rows].mean())
    assert means.iloc[low].max() < means.iloc[high].min()


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (
            {"soil": "loam"},
            {},
            r"\['soil'\] hold text or categories.*columns=",
        ),
        (
            {"rain": 1.0, "clay": np.nan},
            {"columns": ["rain", "clay"]},
            r"columns .*\['rain', 'clay'\] do not vary",
        ),
        ({}, {"columns": ["slope"]}, "^columns='slope'"),
        ({}, {"n_splits": 1}, "^n_splits must be an integer of at least 2"),
        ({}, {"n_blocks": 2}, "n_blocks must be an integer of at least 5"),
        (
            {"rain": [1.0, 1.0, 2.0, 2.0] * 15, "clay": 1.0},
            {"n_splits": 3},
            "^n_splits=3 folds need .* X has 2",
        ),
    ],
)
def test_invalid_columns_and_parameters_raise(table, change, settings, message):
    """The error names the columns or the parameter."""
    X = table.drop(columns="date").assign(**change)
    with pytest.raises(ValueError, match=message):
        list(EnvironmentalBlockKFold(**settings).split(X))


def test_columns_of_mixed_types_raise(table):
    """The error names the column and two of its values."""
    X = table.drop(columns="date").assign(soil=[1, "b"] * 30)
    with pytest.raises(TypeError, match="Column 'soil' holds 1 and 'b'"):
        list(EnvironmentalBlockKFold(2).split(X))


def test_covariates_are_standardized():
    """The unit of a column has no influence; missing values are replaced by the mean."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(0, 100, (40, 2)), columns=["x", "y"])
    X["small"] = np.repeat([0.0, 0.04], 20) + rng.normal(0, 0.001, 40) + 5.0
    X["large"] = rng.normal(0, 1e4, 40)
    X.loc[3, "small"] = np.nan
    result = EnvironmentalBlockKFold(2)._standardize(X, ["x", "y"])
    known = X[["small", "large"]]
    expected = ((known - known.mean()) / known.std(ddof=0)).fillna(0.0)
    np.testing.assert_allclose(result, expected, atol=1e-9)
    splits = [test for _, test in EnvironmentalBlockKFold(2, columns=["small"]).split(X)]
    parts = [set(rows) - {3} for rows in splits]
    assert set(range(20)) - {3} in parts


def test_folds_depend_on_random_state(table):
    """Folds are reproducible by default, with seed 0; other seeds change them."""
    settings = {"n_splits": 3, "columns": ["rain", "clay"]}
    folds = [
        split_lists(EnvironmentalBlockKFold(**settings, random_state=seed), table)
        for seed in range(4)
    ]
    assert split_lists(EnvironmentalBlockKFold(**settings), table) == folds[0]
    assert any(other != folds[0] for other in folds[1:])
    assert EnvironmentalBlockKFold().n_splits == 5
