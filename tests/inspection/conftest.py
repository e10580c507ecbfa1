"""A survey and a fitted model shared by the tests of inspection."""

import pytest

from sptgnn_sklearn import SpTGNNRegressor


@pytest.fixture(scope="package")
def make_model():
    """Return a function that makes a small unfitted SpTGNNRegressor."""

    def make(**parameters):
        settings = {
            "n_estimators": 2,
            "max_epochs": 30,
            "base_estimator": None,
            "random_state": 0,
        }
        return SpTGNNRegressor(**{**settings, **parameters})

    return make


@pytest.fixture(scope="package")
def model(survey, make_model):
    """Return a model of position, covariates and time with five neighbors per relation."""
    model = make_model(time="date", elevation="elevation", n_neighbors=5)
    return model.fit(survey.data, survey.target)
