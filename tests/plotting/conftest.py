"""A survey and a network fitted to it; figures are drawn without a screen and closed."""

import matplotlib
import pytest

matplotlib.use("agg")

import matplotlib.pyplot as plt

from sptgnn_sklearn import SpTGNNRegressor


@pytest.fixture(autouse=True)
def close_figures():
    """Close the figures of a test."""
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def model(survey):
    """A network of two members with three relations and a mixture of experts."""
    settings = {"n_estimators": 2, "max_epochs": 3, "n_neighbors": 4, "random_state": 0}
    model = SpTGNNRegressor(time="date", elevation="elevation", base_estimator=None, **settings)
    return model.fit(survey.data, survey.target)
