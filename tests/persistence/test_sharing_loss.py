"""Measured effect of the grouping on predictions."""

import numpy as np
import pytest
from saved_models import X, Y, fit_model

from sptgnn_sklearn.persistence.anonymize import drop_training_rows
from sptgnn_sklearn.persistence.sharing_loss import measure_sharing_loss


def measure(model, size):
    complete = model.ensemble_.to("cpu")
    reduced, rows = drop_training_rows(complete, model._merged.weight, size)
    return measure_sharing_loss(complete, reduced, rows)


def test_loss_grows_with_the_groups():
    """A model that predicts from neighbors loses more with larger groups."""
    model = fit_model({"hidden_size": 16}, max_epochs=30, n_neighbors=10)
    losses = [measure(model, size) for size in (2, 30)]
    assert losses[0].explained_variance < losses[1].explained_variance
    assert all(0.5 < loss.std_ratio < 2 for loss in losses)


def test_models_without_neighbors_lose_nothing():
    """Without relations the network does not use the rows."""
    loss = measure(fit_model(relations=()), 5)
    assert loss.explained_variance == pytest.approx(0, abs=1e-6)
    assert loss.std_ratio == pytest.approx(1, abs=1e-6)


def test_large_losses_warn(tmp_path, recwarn):
    """The warning has the numbers; a small loss is silent."""
    model = fit_model({"hidden_size": 16}, max_epochs=30, n_neighbors=10)
    with pytest.warns(UserWarning, match=r"explains about 0\.\d+ less .* std is multiplied by"):
        model.save(tmp_path / "m", training_data=False, min_group_size=45)
    recwarn.clear()
    fit_model(relations=()).save(tmp_path / "m", training_data=False)
    assert not recwarn.list


def test_constant_targets_have_no_loss():
    """There is no variance to explain."""
    assert measure(fit_model().fit(X, np.full(len(Y), 3.0)), 5).explained_variance == 0
