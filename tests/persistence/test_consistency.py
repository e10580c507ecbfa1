"""Parts of a loaded model are compared with each other."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sptgnn_sklearn.ensemble.base_models import BaseModels
from sptgnn_sklearn.persistence import consistency
from sptgnn_sklearn.persistence.consistency import check_model
from sptgnn_sklearn.persistence.model_file import load_model
from sptgnn_sklearn.uncertainty.blending import Blend
from sptgnn_sklearn.utils.safe_file import FileError


@pytest.fixture
def parts(saved):
    return load_model(saved)


@pytest.fixture
def auto_parts(auto_saved):
    return load_model(auto_saved)


@pytest.fixture
def noisy_parts(noisy_model, tmp_path):
    noisy_model.save(tmp_path / "noisy")
    return load_model(tmp_path / "noisy")


def change_ensemble(fitted, **changes):
    return {**fitted, "ensemble_": replace(fitted["ensemble_"], **changes)}


def test_valid_models_pass(parts):
    check_model(*parts)


@pytest.mark.parametrize("name", ["n_neighbors", "device", "history", "training", "postprocessor"])
def test_other_types_of_parts_raise(parts, name):
    params, fitted = parts
    with pytest.raises(FileError):
        check_model(params, change_ensemble(fitted, **{name: 2.5}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("plane_scale", 0.0),
        ("origin", np.zeros((2, 1))),
        ("quantiles", np.zeros((0, 7))),
        ("seasonal", 3),
        ("similarity", "indices2"),
        ("elevation_scale", None),
        ("levels", []),
    ],
    ids=lambda value: str(value)[:20],
)
def test_feature_encoders_of_other_tables_raise(parts, name, value):
    params, fitted = parts
    features = replace(fitted["ensemble_"].features, **{name: value})
    with pytest.raises(FileError):
        check_model(params, change_ensemble(fitted, features=features))


def test_neighbor_lists_are_in_range(parts):
    params, fitted = parts
    training = fitted["ensemble_"].training
    for value in (-2, len(training.neighbors)):
        lists = training.neighbors.copy()
        lists[0, 0, 0] = value
        changed = change_ensemble(fitted, training=replace(training, neighbors=lists))
        with pytest.raises(FileError, match="neighbor lists"):
            check_model(params, changed)


@pytest.mark.parametrize("bounds", [(0,), (0, "1"), (np.nan, 1), 3, {"a": 1, "b": 2}], ids=str)
def test_target_bounds_are_pairs_of_numbers(parts, bounds):
    params, fitted = parts
    check_model({**params, "target_bounds": [0, None]}, fitted)
    with pytest.raises(FileError, match="target_bounds"):
        check_model({**params, "target_bounds": bounds}, fitted)


def change_base(fitted, **changes):
    return change_ensemble(fitted, base=replace(fitted["ensemble_"].base, **changes))


def change_process(fitted, name, **changes):
    process = replace(getattr(fitted["ensemble_"].base, name), **changes)
    return change_base(fitted, **{name: process})


def test_models_with_processes_pass(auto_parts):
    check_model(*auto_parts)


@pytest.mark.parametrize("name", ["kriging", "process"])
@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("parameters", lambda a: a[:-1]),
        ("parameters", lambda a: np.append(a, 0.0)),
        ("parameters", lambda a: a[None]),
        ("parameters", lambda a: a + 20),
        ("parameters", lambda a: a - 20),
        ("parameters", lambda a: a * np.nan),
        ("parameters", lambda a: a.astype(np.float32)),
        ("parameters", lambda a: a.tolist()),
        ("scale", lambda a: 0.0),
        ("scale", lambda a: -1.0),
        ("scale", lambda a: np.inf),
        ("scale", lambda a: "1"),
        ("covariate_scale", lambda a: 0.0),
        ("covariate_scale", lambda a: None),
        ("positions", lambda a: a[:-1]),
        ("positions", lambda a: a[:, :1]),
        ("positions", lambda a: np.full_like(a, np.nan)),
        ("positions", lambda a: a.astype(np.int64)),
        ("values", lambda a: a[:-1]),
        ("values", lambda a: a[:, None]),
        ("values", lambda a: np.full_like(a, np.inf)),
        ("weight", lambda a: -a),
        ("weight", lambda a: 0 * a),
        ("weight", lambda a: 1e-320 * np.ones_like(a)),
        ("weight", lambda a: np.where(np.arange(len(a)) == 3, -1.0, a)),
        ("weight", lambda a: a[:1]),
        ("weight", lambda a: None),
    ],
)
def test_forged_processes_raise(auto_parts, name, field, change):
    """Fields out of range, of other shapes or types."""
    params, fitted = auto_parts
    value = change(getattr(getattr(fitted["ensemble_"].base, name), field))
    with pytest.raises(FileError):
        check_model(params, change_process(fitted, name, **{field: value}))


def test_forged_covariates_raise(auto_parts):
    """A process with as many parameters needs covariates, as many as the table has."""
    params, fitted = auto_parts
    covariates = fitted["ensemble_"].base.process.covariates
    for value in (None, covariates[:, :-1], covariates[:-1], covariates * np.nan, "scores"):
        with pytest.raises(FileError, match="Gaussian process"):
            check_model(params, change_process(fitted, "process", covariates=value))
    process = fitted["ensemble_"].base.process
    with pytest.raises(FileError, match="Kriging has covariates"):
        check_model(params, change_base(fitted, kriging=process))


def test_processes_of_too_many_rows_raise(auto_parts, monkeypatch):
    """Before their matrices are computed."""
    monkeypatch.setattr(consistency, "MOST_ROWS", 89)
    with pytest.raises(FileError, match="Gaussian process"):
        check_model(*auto_parts)


def test_processes_have_as_many_rows_as_the_network(auto_parts):
    params, fitted = auto_parts
    process = fitted["ensemble_"].base.process
    twice = process.take(np.repeat(np.arange(90), 2))
    with pytest.raises(FileError, match="Gaussian process"):
        check_model(params, change_base(fitted, process=twice))


def test_base_models_are_complete(auto_parts):
    """Regressors that use the kriged target need it, and others have none."""
    params, fitted = auto_parts
    base = fitted["ensemble_"].base
    regressors = base.regressors
    without = {name: model for name, model in regressors.items() if "kriging" not in name}
    for changed in (
        replace(base, kriging=None),
        replace(base, kriging=3),
        replace(base, process=None),
        replace(base, process="process"),
        replace(base, regressors=without),
        replace(base, regressors=[*regressors.values()]),
        replace(base, regressors={0: regressors["kriging_boosting"]}),
        replace(base, regressors=regressors | {"kriging_boosting": None}),
        # Without the column of the kriged target.
        replace(base, regressors={"xgboost": regressors["kriging_boosting"]}, kriging=None),
        BaseModels({}),
        regressors["kriging_boosting"],
        None,
    ):
        with pytest.raises(FileError):
            check_model(params, change_ensemble(fitted, base=changed))


def test_forged_processes_beside_other_regressors_raise(auto_parts):
    """The prediction of a row is checked only for regressors without code."""
    params, fitted = auto_parts
    base = fitted["ensemble_"].base
    n_features = base.regressors["kriging_boosting"].n_features_in_
    ridge = Ridge().fit(np.eye(n_features), np.ones(n_features))
    regressors = base.regressors | {"kriging_boosting": ridge}
    process = replace(base.process, weight=np.full(90, 1e-320))
    changed = replace(base, regressors=regressors, process=process)
    with pytest.raises(FileError, match="Gaussian process"):
        check_model(params, change_ensemble(fitted, base=changed))


@pytest.mark.parametrize(
    "weights",
    [
        (),
        (1.0,),
        (0.4, 0.3, 0.3),
        (0.4, 0.3, 0.2, 0.2),
        (0.5, 0.5, 0.1, -0.1),
        (np.nan, 0.4, 0.3, 0.3),
        [0.4, 0.2, 0.2, 0.2],
        ("1", 0.0, 0.0, 0.0),
        (0.4, 0.2, 0.2, 0.1, 0.1),
        None,
    ],
    ids=str,
)
def test_forged_weights_of_the_blend_raise(auto_parts, weights):
    """One for the network and for each base model, which sum to one."""
    params, fitted = auto_parts
    postprocessor = fitted["ensemble_"].postprocessor
    for part in ("blend", "network_only"):
        changed = replace(postprocessor, **{part: Blend(weights, 1.0)})
        if (part, weights) != ("network_only", (1.0,)):
            with pytest.raises(FileError):
                check_model(params, change_ensemble(fitted, postprocessor=changed))


@pytest.mark.parametrize(
    "change",
    [
        lambda a: None,
        lambda a: a[:-1],
        lambda a: a[:, :-1],
        lambda a: a.T.copy(),
        lambda a: a.astype(np.float32),
        lambda a: np.full_like(a, np.nan),
    ],
)
def test_forged_out_of_fold_predictions_raise(auto_parts, change):
    params, fitted = auto_parts
    training = fitted["ensemble_"].training
    changed = replace(training, base=change(training.base))
    with pytest.raises(FileError):
        check_model(params, change_ensemble(fitted, training=changed))


def test_models_with_measurement_errors_pass(noisy_parts):
    params, fitted = noisy_parts
    assert fitted["columns_"].noise_std == "lab_sd"
    check_model(params, fitted)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: -a,
        lambda a: a[:-1],
        lambda a: a[:, None],
        lambda a: np.where(a > 0, np.nan, a),
        lambda a: np.where(a > 0, np.inf, a),
        lambda a: a * 1e9,
        lambda a: a.astype(np.float32),
        lambda a: a.tolist(),
        lambda a: 0.0,
    ],
)
def test_forged_measurement_errors_raise(noisy_parts, change):
    """Variances that are negative, not finite, too large, or of other shapes or types."""
    params, fitted = noisy_parts
    training = fitted["ensemble_"].training
    forged = change_ensemble(fitted, training=replace(training, noise=change(training.noise)))
    with pytest.raises(FileError, match="measurement errors"):
        check_model(params, forged)
    noise = change(fitted["ensemble_"].base.process.known_noise)
    with pytest.raises(FileError, match="Gaussian process"):
        check_model(params, change_process(fitted, "process", known_noise=noise))


@pytest.mark.parametrize("label", ["other", ["lab_sd"], b"lab_sd"])
def test_forged_columns_of_measurement_errors_raise(noisy_parts, label):
    params, fitted = noisy_parts
    schema = replace(fitted["columns_"], noise_std=label)
    features = replace(fitted["ensemble_"].features, schema=schema)
    with pytest.raises(FileError, match="columns_"):
        check_model(params, {**change_ensemble(fitted, features=features), "columns_": schema})
