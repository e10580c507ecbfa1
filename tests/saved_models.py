"""A small survey with categories, models that are fitted in a second, and their comparison."""

import numpy as np
import pandas as pd

from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey

_SURVEY = make_soil_survey(n_samples=90, random_state=0)
_IS_HIGH = _SURVEY.data["elevation"] > _SURVEY.data["elevation"].median()
X, Y = _SURVEY.data.assign(soil=np.where(_IS_HIGH, "a", "b")), _SURVEY.target
SMALL_SETTINGS = {"n_estimators": 2, "max_epochs": 2, "n_neighbors": 4, "random_state": 0}
ROLES = {"time": "date", "elevation": "elevation"}


def make_model(network=None, **settings):
    """Return an unfitted small model, without a base model unless one is given."""
    config = NetworkConfig(**{"hidden_size": 8} | (network or {}))
    return SpTGNNRegressor(
        **ROLES | SMALL_SETTINGS | {"base_estimator": None} | settings, network=config
    )


def fit_model(network=None, **settings):
    return make_model(network, **settings).fit(X, Y)


def assert_same_predictions(first, second):
    """Check that means, components, intervals and samples are equal bit for bit."""
    pd.testing.assert_frame_equal(
        first.predict_uncertainty(X, coverage=0.8), second.predict_uncertainty(X, coverage=0.8)
    )
    np.testing.assert_array_equal(
        first.sample_y(X, 3, random_state=0), second.sample_y(X, 3, random_state=0)
    )


NOISE_STD = np.where(np.arange(len(X)) % 3, 0.0, 2.5)


def fit_noisy_model(network=None, **settings):
    """Return a model of rows of which every third has a known measurement error."""
    return make_model(network, noise_std="lab_sd", **settings).fit(X.assign(lab_sd=NOISE_STD), Y)
