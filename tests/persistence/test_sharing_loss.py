"""Adaptation to groups, and its measured effect on predictions."""

from dataclasses import replace

import numpy as np
import pytest
from saved_models import X, Y, fit_model

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.persistence.anonymize import drop_training_rows
from sptgnn_sklearn.persistence.sharing_loss import adapt_to_groups
from sptgnn_sklearn.uncertainty.blending import Blend


def adapt(model, size):
    complete, weight = model.ensemble_.to("cpu"), model._merged.weight
    return adapt_to_groups(complete, *drop_training_rows(complete, weight, size), weight)


def test_loss_grows_with_the_groups():
    """A model that predicts from neighbors loses more with larger groups."""
    model = fit_model({"hidden_size": 16}, max_epochs=30, n_neighbors=10)
    losses = [adapt(model, size)[1] for size in (2, 30)]
    assert losses[0].explained_variance < losses[1].explained_variance
    for loss in losses:
        assert 0.5 < loss.std_ratio < 2
        assert loss.explained_variance == pytest.approx((loss.near + loss.far) / 2, abs=0.01)
        assert loss.upper_limit > max(loss.near, loss.far)


@pytest.mark.parametrize("base", [None, "xgboost"])
def test_models_without_neighbors_lose_nothing(base):
    """Without relations the network does not use the rows, and the refitted blend is the same."""
    model = fit_model(relations=(), base_estimator=base)
    adapted, loss = adapt(model, 5)
    before, after = model.ensemble_.postprocessor, adapted.postprocessor
    assert after.blend.weights == pytest.approx(before.blend.weights, abs=1e-4)
    assert after.blend.shrinkage == pytest.approx(before.blend.shrinkage, abs=1e-4)
    if base is None:
        assert loss.explained_variance == pytest.approx(0, abs=1e-6)
        assert loss.std_ratio == pytest.approx(1, abs=1e-6)


def test_kriging_from_groups_counts(auto_model):
    """Base models whose processes know group means only lose some of the explained variance."""
    losses = [adapt(auto_model, size)[1] for size in (2, 20)]
    for loss in losses:
        assert np.isfinite(list(vars(loss).values())).all()
        assert 0.5 < loss.std_ratio < 2
    assert losses[0].explained_variance < losses[1].explained_variance


def test_large_losses_warn(tmp_path, recwarn):
    """The warning has the numbers; no loss is silent."""
    model = fit_model({"hidden_size": 16}, max_epochs=30, n_neighbors=10)
    message = r"0\.\d+ less .* near .*, .* far .* at most 0\.\d+ .* std is multiplied by"
    with pytest.warns(UserWarning, match=message):
        model.save(tmp_path / "m", training_data=False, min_group_size=45)
    recwarn.clear()
    fit_model(relations=()).save(tmp_path / "m", training_data=False)
    assert not recwarn.list


def test_constant_targets_have_no_loss():
    """There is no variance to explain."""
    loss = adapt(fit_model().fit(X, np.full(len(Y), 3.0)), 5)[1]
    assert loss.explained_variance == loss.upper_limit == 0


def test_blends_of_any_weight_are_adapted():
    """Also where one of network and base model has no weight, or predictions are all the mean."""
    model = fit_model(base_estimator="xgboost")
    complete, weight = model.ensemble_, model._merged.weight
    for blend in (Blend((1.0, 0.0), 0.8), Blend((0.0, 1.0), 0.5), Blend((0.5, 0.5), 0.0)):
        changed = replace(complete, postprocessor=replace(complete.postprocessor, blend=blend))
        adapted, loss = adapt_to_groups(changed, *drop_training_rows(changed, weight, 5), weight)
        weights = np.array(adapted.postprocessor.blend.weights)
        assert (weights >= 0).all() and weights.sum() == pytest.approx(1)
        assert np.isfinite(list(vars(loss).values())).all()


@pytest.mark.slow
def test_measured_loss_is_not_optimistic():
    """On average over surveys it is not below the loss at new locations."""
    true, measured = [], []
    for seed in range(6):
        survey = make_soil_survey(700, random_state=seed)
        train, test = np.arange(700) % 2 == 0, np.arange(700) % 2 == 1
        roles = {"elevation": "elevation", "time": "date", "random_state": seed}
        model = SpTGNNRegressor(**roles).fit(survey.data[train], survey.target[train])
        adapted, loss = adapt(model, 5)
        scores = []
        for ensemble in (model.ensemble_, adapted):
            model.ensemble_ = ensemble
            scores.append(model.score(survey.data[test], survey.target[test]))
        true.append(scores[0] - scores[1])
        measured.append(loss.explained_variance)
    assert np.mean(measured) > np.mean(true) - 0.005
