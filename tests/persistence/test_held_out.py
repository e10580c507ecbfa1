"""Out-of-fold predictions restored from a fitted ensemble."""

from dataclasses import replace

import numpy as np
import pytest
from saved_models import fit_model

from sptgnn_sklearn.persistence import held_out
from sptgnn_sklearn.persistence.anonymize import drop_training_rows
from sptgnn_sklearn.persistence.held_out import held_out_from_groups, restore_held_out
from sptgnn_sklearn.uncertainty.local_scale import CalibrationInputs


@pytest.mark.parametrize("members", [2, 5, 7])
@pytest.mark.parametrize("base", [None, "xgboost"])
def test_restored_predictions_are_those_of_the_fit(members, base):
    """Blending and calibrating them gives the stored predictions, and the blend is refitted."""
    model = fit_model(n_estimators=members, base_estimator=base, calibration="quantile")
    ensemble, stored = model.ensemble_, model.ensemble_.training.held_out
    found = restore_held_out(ensemble)
    used = found.predictions.count > 0
    assert used.tolist() == ensemble.held_out_masks().any(axis=0).tolist()
    again = ensemble.postprocessor.apply_held_out(
        found.predictions, CalibrationInputs(found.distance)
    )
    np.testing.assert_allclose(again.mean[0, used], stored.mean[0, used], atol=1e-4)
    np.testing.assert_allclose(again.variance[0, used], stored.variance[0, used], rtol=0.5)
    assert (found.predictions.base is None) == (base is None)


def test_predictions_of_base_models_are_those_of_the_fit(auto_model):
    found = restore_held_out(auto_model.ensemble_)
    np.testing.assert_array_equal(found.predictions.base, auto_model.ensemble_.training.base)
    assert found.kriged is None


def test_processes_of_groups_exclude_the_fold(auto_model):
    """The kriged target and the process do not use targets of the fold; trees do not change."""
    complete = auto_model.ensemble_.to("cpu")
    reduced, rows = drop_training_rows(complete, auto_model._merged.weight)
    mask, base = complete.held_out_masks()[0], complete.training.base
    before = base.copy()
    changed = replace(rows, targets=rows.targets + 100.0 * mask)
    found, other = (held_out_from_groups(complete, reduced, r, base) for r in (rows, changed))
    np.testing.assert_array_equal(found.kriged[mask], other.kriged[mask])
    np.testing.assert_array_equal(found.predictions.base[:, mask], other.predictions.base[:, mask])
    own = complete.held_out_masks()[1]
    assert np.abs(found.kriged[own] - other.kriged[own]).max() > 1e-3
    assert np.abs(found.predictions.base[-1, own] - other.predictions.base[-1, own]).max() > 1e-3
    np.testing.assert_array_equal(found.predictions.base[:-1], base[:-1])
    np.testing.assert_array_equal(base, before)
    assert np.corrcoef(found.predictions.base[-1, mask], base[-1, mask])[0, 1] > 0.5


def test_groups_exclude_the_fold(monkeypatch):
    """Predictions of held-out rows do not depend on the targets of their fold."""
    model = fit_model({"hidden_size": 16}, max_epochs=5)
    complete = model.ensemble_.to("cpu")
    reduced, rows = drop_training_rows(complete, model._merged.weight)
    mask = complete.held_out_masks()[0]
    changed = rows.residuals + 100.0 * mask
    found, other = (
        held_out_from_groups(complete, reduced, replace(rows, residuals=r), None)
        for r in (rows.residuals, changed)
    )
    first, second = found.predictions.mean, other.predictions.mean
    np.testing.assert_array_equal(first[mask], second[mask])
    own = complete.held_out_masks()[1]
    assert np.abs(first[own] - second[own]).max() > 1e-3


def test_large_surveys_are_sampled(monkeypatch):
    """Rows beyond the limit are not predicted."""
    monkeypatch.setattr(held_out, "_MOST_ROWS", 30)
    found = restore_held_out(fit_model(n_estimators=5).ensemble_)
    assert (found.predictions.count > 0).sum() == 30
