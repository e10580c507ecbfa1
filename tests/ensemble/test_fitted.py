"""Tests of the fitted ensemble: cached features, copies on devices, distances and finite checks."""

import pickle

import numpy as np
import pytest
from small_models import make_regressor

from sptgnn_sklearn.ensemble.fitted import mean_neighbor_distance

SMALL = {"base_estimator": None, "n_estimators": 2, "hidden_size": 8, "n_experts": 2}


@pytest.fixture(scope="module")
def fitted(survey):
    model = make_regressor(time="date", max_epochs=1, n_neighbors=3, random_state=0, **SMALL)
    return model.fit(survey.data, survey.target)


def test_mean_neighbor_distance_ignores_missing_neighbors():
    """Missing neighbors are ignored; without any neighbor the distance is infinite."""
    training = np.array([[0.0], [10.0], [20.0]])
    source_index = np.array([[0, 1], [2, -1], [-1, -1]])
    result = mean_neighbor_distance(np.array([[1.0], [1.0], [1.0]]), training, source_index)
    np.testing.assert_allclose(result, [5.0, 19.0, np.inf])


def test_source_features_are_cached_but_not_pickled(fitted, survey):
    """Source features are computed once per process."""
    fitted.predict(survey.data)
    ready = fitted.ensemble_.source_features
    fitted.predict(survey.data)
    assert fitted.ensemble_.source_features is ready
    loaded = pickle.loads(pickle.dumps(fitted))
    assert "source_features" not in vars(loaded.ensemble_)
    loaded.predict(survey.data)
    assert "source_features" in vars(loaded.ensemble_)


def test_copies_on_devices_are_kept(fitted):
    """A copy on another device is made once; the ensemble itself stays where it is."""
    ensemble = fitted.ensemble_
    copy = ensemble.to("meta")
    assert ensemble.to("meta") is copy
    assert ensemble.to("cpu") is ensemble
    assert {str(values.device) for values in copy.network.parameters()} == {"meta"}


def test_derived_attributes(fitted):
    """Relations, streams and members are those of the network."""
    ensemble = fitted.ensemble_
    assert ensemble.n_members == 2
    assert ensemble.relations == fitted.relations_ == ("spatial", "spectral")
    assert ensemble.streams == ("covariates", "position", "time")
    assert ensemble.held_out_masks().shape == (2, 150)


@pytest.mark.parametrize("method", ["predict", "predict_interval", "sample_y", "expert_weights"])
def test_every_prediction_checks_for_finite_numbers(survey, method):
    """Weights that are not finite raise instead of returning NaN."""
    model = make_regressor(time="date", max_epochs=1, n_neighbors=3, random_state=0, **SMALL)
    model.fit(survey.data, survey.target)
    for weights in model.ensemble_.network.parameters():
        weights.data.fill_(np.nan)
    model.ensemble_.__dict__.pop("source_features", None)
    with pytest.raises(ValueError, match=r"150 of 150 rows have no finite"):
        getattr(model, method)(survey.data)
