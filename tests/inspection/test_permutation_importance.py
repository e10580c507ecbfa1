"""Permutation importance of groups of columns: known answers, dtypes, and errors."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sptgnn_sklearn import NetworkConfig
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.inspection import grouped_permutation_importance


def test_default_groups_are_the_streams(model, survey, make_model):
    """The groups of an SpTGNNRegressor are its streams, also inside meta-estimators."""
    new = make_soil_survey(n_samples=150, random_state=0)
    result = grouped_permutation_importance(model, new.data, new.target, random_state=0)
    assert set(result.index) == {"position", "covariates", "time"}
    assert result.loc["position", "columns"] == ["lon", "lat"]
    assert result["mean"].is_monotonic_decreasing
    assert result.loc["covariates", "mean"] > 0.1
    pipe = make_pipeline(
        "passthrough", make_model(time="date", max_epochs=1, network=NetworkConfig())
    )
    search = GridSearchCV(pipe, {"sptgnnregressor__network__beta": [0.5]}, cv=2)
    search.fit(survey.data, survey.target)
    through = grouped_permutation_importance(search, new.data, new.target, n_repeats=1)
    assert set(through.index) == set(result.index)


def test_known_importance():
    """Shuffling all columns of a linear model decreases R2 by 2; X is not modified."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=400)
    X = np.column_stack([a, -a, rng.normal(size=400)])
    model = LinearRegression().fit(X, a)
    kept = X.copy()
    result = grouped_permutation_importance(
        model, X, a, groups={"signal": [0, 1], "noise": [2]}, n_repeats=30, random_state=0
    )
    np.testing.assert_array_equal(X, kept)
    # Predictions of a shuffled copy: 1 - R2 is 2 on average.
    assert result.loc["signal", "mean"] == pytest.approx(2.0, abs=0.1)
    assert result.loc["noise", "mean"] == pytest.approx(0.0, abs=1e-6)
    names = grouped_permutation_importance(model, X, a, n_repeats=1).index
    assert set(names) == {"position", "2"}


def test_dtypes_and_index_are_kept():
    """Dates and categories keep their dtype, and X its index with duplicates."""
    X = pd.DataFrame(
        {
            "x": np.arange(30.0),
            "y": 0.0,
            "kind": pd.Categorical(["a", "b", "c"] * 10),
            "day": pd.date_range("2020-01-01", periods=30),
        },
        index=np.repeat(np.arange(15), 2),
    )

    class CheckTypes(LinearRegression):
        def predict(self, X):
            assert isinstance(X["kind"].dtype, pd.CategoricalDtype)
            assert X.index.tolist() == np.repeat(np.arange(15), 2).tolist()
            return X["x"].to_numpy() + X["day"].dt.day.to_numpy() * 0

    fitted = CheckTypes().fit(X[["x"]], X["x"])
    result = grouped_permutation_importance(fitted, X, X["x"].to_numpy(), random_state=0)
    assert result.index[0] == "position"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": {"a": []}}, r"groups .*found 1 groups.*\['a'\]"),
        ({"groups": {}}, "groups .*found 0 groups"),
        ({"groups": {"a": ["clay"]}}, "groups.*clay"),
        ({"n_repeats": 0}, "n_repeats must .* found 0"),
    ],
)
def test_invalid_groups_raise(settings, message):
    """The error names the parameter and what was found."""
    X = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(ValueError, match=message):
        grouped_permutation_importance(LinearRegression().fit(X, X[:, 0]), X, X[:, 0], **settings)
