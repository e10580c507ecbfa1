"""Blend, calibration and local scale of model files."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from saved_models import X, fit_model

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.persistence.postprocessor_checks import (
    check_local_scale,
    check_postprocessor,
)
from sptgnn_sklearn.uncertainty.blending import Blend
from sptgnn_sklearn.uncertainty.local_scale import ErrorSmoother
from sptgnn_sklearn.utils.safe_file import FileError

ROW = SimpleNamespace(positions=np.zeros((1, 2)), covariates=np.zeros((1, 3)))


@pytest.fixture(scope="module")
def model():
    return fit_model(calibration="local")


@pytest.fixture
def local(model):
    """Local calibration with a smoother, whether or not the errors have a local scale."""
    found = model.ensemble_.postprocessor.calibration.local
    total = np.ones(len(found.spaces["std"].count))
    return replace(found, smoothers=(ErrorSmoother("std", 0.4, 30.0, total),))


def test_fitted_postprocessors_pass(model):
    check_postprocessor(model.ensemble_.postprocessor)
    check_local_scale(None, ROW)


def test_local_calibration_round_trips(model, local, tmp_path):
    """The file gives the same intervals and effective numbers; without rows there are none."""
    ensemble = model.ensemble_
    calibration = replace(ensemble.postprocessor.calibration, local=local)
    changed = fit_model(calibration="local")
    changed.ensemble_.postprocessor = replace(ensemble.postprocessor, calibration=calibration)
    changed.save(tmp_path / "model.safetensors")
    again = SpTGNNRegressor.load(tmp_path / "model.safetensors")
    expected = changed.predict_uncertainty(X, coverage=0.5)
    assert {"n_effective", "certified"} <= set(expected)
    assert again.predict_uncertainty(X, coverage=0.5).equals(expected)


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("space", {"offset": np.zeros(2)}),
        ("space", {"axes": np.zeros((0, 1))}),
        ("space", {"centers": np.full((3, 1), np.nan)}),
        ("space", {"count": np.zeros(3)}),
        ("space", {"low": 2.0, "high": 1.0}),
        ("space", {"low": "low"}),
        ("smoother", {"space": "nowhere"}),
        ("smoother", {"bandwidth": 0.0}),
        ("smoother", {"prior": -1.0}),
        ("smoother", {"total": np.ones(1)}),
        ("local", {"smoothers": ()}),
        ("local", {"spaces": {1: 2}}),
    ],
)
def test_odd_local_calibrations_are_refused(local, part, changes):
    width = local.spaces["covariates"].offset.size
    row = SimpleNamespace(positions=np.zeros((1, 2)), covariates=np.zeros((1, width)))
    row.positions = np.zeros((1, local.spaces["location"].offset.size))
    check_local_scale(local, row)
    if part == "space":
        spaces = {**local.spaces, "std": replace(local.spaces["std"], **changes)}
        local = replace(local, spaces=spaces)
    elif part == "smoother":
        local = replace(local, smoothers=(replace(local.smoothers[0], **changes),))
    else:
        local = replace(local, **changes)
    if changes == {"smoothers": ()}:
        check_local_scale(local, row)
        return
    with pytest.raises(FileError, match="local calibration"):
        check_local_scale(local, row)


def test_blends_must_sum_to_one(model):
    found = replace(model.ensemble_.postprocessor, blend=Blend((0.5, 0.2)))
    with pytest.raises(FileError, match="blend"):
        check_postprocessor(found)
