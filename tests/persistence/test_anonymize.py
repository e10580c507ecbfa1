"""Models without training data: rows are replaced by means of groups of locations."""

import copy
import warnings

import numpy as np
import pytest
import torch
from saved_models import NOISE_STD, ROLES, SMALL_SETTINGS, X, Y, fit_model, make_model
from sklearn.neighbors import KNeighborsRegressor

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.persistence.anonymize import drop_training_rows
from sptgnn_sklearn.persistence.xgboost_json import booster_to_json
from sptgnn_sklearn.utils.safe_file import read

# Models of 90 rows, trained for two epochs, lose skill by the grouping.
pytestmark = pytest.mark.filterwarnings("ignore:Without training data")


def test_training_rows_are_removed(model, tmp_path):
    """Predictions are close to those of the whole model; methods that need rows raise."""
    path = tmp_path / "shared"
    model.save(path, training_data=False)
    shared = SpTGNNRegressor.load(path)
    _, arrays = read(path, "model")
    n = len(X)
    # Only the sorted errors, and quantiles of as many levels, have one entry per row.
    per_row = {name for name, array in arrays.items() if n in array.shape}
    assert len(per_row) <= 2
    _, whole = read_complete(model, tmp_path)
    assert len({name for name, array in whole.items() if n in array.shape}) > 10
    with pytest.raises(ValueError, match="training_data=False"):
        shared.to_hetero_data()
    with pytest.raises(ValueError, match="training_data=False"):
        shared.kneighbors()
    assert not hasattr(shared, "oob_prediction_")
    assert "held-out R²" in shared._repr_html_()
    assert np.isfinite(shared.predict(X)).all()
    change = np.std(shared.predict(X) - model.predict(X)) / np.std(model.predict(X))
    assert change < 0.7
    assert shared.attention_weights(X.head(2))["neighbor"].max() < len(shared._merged.rows)


def test_processes_know_means_of_groups(auto_model, tmp_path):
    """Means of targets and positions, each location once, with as many rows as noise."""
    auto_model.save(tmp_path / "m", training_data=False)
    complete, shared = auto_model.ensemble_, SpTGNNRegressor.load(tmp_path / "m").ensemble_
    _, rows = drop_training_rows(complete.to("cpu"), auto_model._merged.weight)
    group = rows.groups.group[rows.groups.location]
    assert len(np.unique(rows.groups.location)) == len(X)  # one row each
    inside = [group == label for label in range(len(rows.groups))]
    targets = complete.standardized_targets
    positions = np.array([complete.base.kriging.positions[part].mean(axis=0) for part in inside])
    metric = complete.features.coordinates
    for name in ("kriging", "process"):
        before, after = getattr(complete.base, name), getattr(shared.base, name)
        np.testing.assert_allclose(before.values, targets, atol=1e-6)  # single precision
        np.testing.assert_allclose(after.values, [targets[part].mean() for part in inside])
        np.testing.assert_allclose(metric(after.positions), metric(positions), rtol=1e-9)
        np.testing.assert_array_equal(after.weight, [part.sum() for part in inside])
        np.testing.assert_array_equal(after.parameters, before.parameters)
        assert (after.scale, after.covariate_scale) == (before.scale, before.covariate_scale)
    scores = complete.base.process.covariates
    expected = np.array([scores[part].mean(axis=0) for part in inside])
    # Means of scores are stored as quantiles of the table, which rounds them.
    assert shared.base.kriging.covariates is None
    error = shared.base.process.covariates - expected
    assert np.median(np.abs(error)) < 0.1


def stored_numbers(path):
    """Return all numbers of a model file with float arrays and trees, in single precision."""
    _, arrays = read(path, "model")
    numbers = [array.ravel() for array in arrays.values() if array.dtype.kind == "f"]
    base = SpTGNNRegressor.load(path).ensemble_.base
    for name, regressor in base.regressors.items():
        n_trees = 150 if name == "kriging_extra_trees" else 1
        for tree in booster_to_json(regressor)["learner"]["gradient_booster"]["model"]["trees"]:
            numbers.append(np.array(tree["split_conditions"]) * n_trees)
    return np.concatenate(numbers).astype(np.float32)


def test_no_target_or_coordinate_of_a_row_is_stored(auto_model, auto_saved, tmp_path):
    """Also not standardized, in scaled coordinates, or in leaves of trees."""
    auto_model.save(tmp_path / "m", training_data=False)
    complete, shared = (stored_numbers(path) for path in (auto_saved, tmp_path / "m"))
    ensemble, kriging = auto_model.ensemble_, auto_model.ensemble_.base.kriging
    values = {
        "target": Y.to_numpy(),
        "standardized target": ensemble.standardized_targets,
        "coordinate": X[["lon", "lat"]].to_numpy(),
        "position": kriging.positions,
        "scaled position": kriging.positions / kriging.scale,
        "tree feature": ensemble.features.tree_features(auto_model.columns_.transform(X))[:, :2],
    }
    found = {}
    for name, array in values.items():
        single = array.ravel().astype(np.float32)
        single = single[single != 0]
        assert not np.isin(single, shared).any(), name
        found[name] = np.isin(single, complete).mean()
    assert found["standardized target"] == found["position"] == 1


def read_complete(model, folder):
    model.save(folder / "complete")
    return read(folder / "complete", "model")


def test_group_size_and_diameter_are_kept(model):
    """Larger groups and larger diameters give fewer mean rows."""
    ensemble, weight = model.ensemble_.to("cpu"), model._merged.weight
    counts = []
    for size, grid in ((2, None), (5, None), (20, None), (2, 1.0)):
        reduced, rows = drop_training_rows(ensemble, weight, size, grid)
        groups = rows.groups
        assert np.bincount(groups.group).min() >= size
        assert len(reduced.context.targets) == len(groups)
        if grid is not None:
            extents = [
                np.ptp(rows.positions[groups.group[groups.location] == g], axis=0).max()
                for g in range(len(groups))
            ]
            assert min(extents) > 111.0 * grid
        counts.append(len(groups))
    assert counts[0] > counts[1] > counts[2] and counts[3] < counts[0]


def test_samples_of_a_site_are_one_location(tmp_path):
    """Groups count locations: samples at one location, or of one site, are one."""
    repeated = X.iloc[np.repeat(np.arange(30), 3)].reset_index(drop=True)
    repeated["clay_depth"] = np.tile([5.0, 15.0, 30.0], 30)
    model = SpTGNNRegressor(**ROLES, **SMALL_SETTINGS, base_estimator=None)
    model.fit(repeated, np.repeat(Y[:30], 3) + np.tile([0.0, 1.0, 2.0], 30))
    _, rows = drop_training_rows(model.ensemble_.to("cpu"), model._merged.weight, 5)
    assert len(rows.groups) <= 6
    assert np.bincount(rows.groups.group).min() >= 5


def test_unknown_units_need_no_grid(tmp_path):
    """The default diameter is that of the survey; sizes must be positive and reachable."""
    plane = X.rename(columns={"lon": "x", "lat": "y"})
    model = SpTGNNRegressor(**ROLES, **SMALL_SETTINGS, base_estimator=None).fit(plane, Y)
    model.save(tmp_path / "m", training_data=False)
    for wrong in (0, -1.0, np.nan):
        with pytest.raises(ValueError, match=f"coordinate_grid={wrong}"):
            model.save(tmp_path / "m", training_data=False, coordinate_grid=wrong)
    for wrong in (1, 0, 2.5):
        with pytest.raises(ValueError, match=f"min_group_size={wrong}"):
            model.save(tmp_path / "m", training_data=False, min_group_size=wrong)
    with pytest.raises(ValueError, match="min_group_size=91 needs as many locations; found 90"):
        model.save(tmp_path / "m", training_data=False, min_group_size=91)
    with pytest.raises(ValueError, match=r"coordinate_grid=1\.0 .*training_data=False"):
        model.save(tmp_path / "m", coordinate_grid=1.0)


# No category has 60 locations.
@pytest.mark.filterwarnings("ignore:Categories")
@pytest.mark.parametrize("n_layers", [1, 2])
def test_one_group_is_enough(n_layers, tmp_path):
    """A model of a single mean row loads and predicts."""
    model = fit_model({"n_layers": n_layers})
    model.save(tmp_path / "m", training_data=False, min_group_size=60)
    shared = SpTGNNRegressor.load(tmp_path / "m")
    assert len(shared._merged.rows) == 1
    assert np.isfinite(shared.predict(X)).all()


@pytest.mark.parametrize(
    "settings",
    [
        {"network": {"streams": ("position",)}},
        {"relations": ()},
        {"relations": ("spectral",)},
        {"spectral": ["elevation"]},
        {"base_estimator": "xgboost", "network": {"streams": ("time",)}},
        {"base_estimator": "gaussian_process", "relations": ()},
        {"base_estimator": "gaussian_process", "relations": ("spectral",)},
    ],
    ids=str,
)
def test_models_without_some_inputs_are_grouped(settings, tmp_path):
    """Rows are restored from whichever streams and relations are in use."""
    model = fit_model(**settings)
    model.save(tmp_path / "m", training_data=False)
    shared = SpTGNNRegressor.load(tmp_path / "m")
    assert np.isfinite(shared.predict(X)).all()


def test_base_estimators_that_may_contain_rows_raise(tmp_path):
    """Only XGBoost's trees are known to contain none, and processes are grouped."""
    for base in (KNeighborsRegressor(), ["gaussian_process", KNeighborsRegressor()]):
        model = fit_model(base_estimator=base)
        with pytest.raises(ValueError, match=r"base_estimator=[\s\S]*KNeighborsRegressor"):
            model.save(tmp_path / "m", training_data=False)


@pytest.mark.parametrize(
    "settings", [{}, {"network": {"streams": ("position",)}}, {"spectral": ["elevation"]}]
)
@pytest.mark.parametrize("repeats", [1, 3])
def test_names_of_rare_levels_are_not_stored(settings, repeats, tmp_path):
    """Names at fewer than k locations are replaced; samples of one location count once."""
    table = X.iloc[np.repeat(np.arange(90), repeats)].reset_index(drop=True)
    levels = np.where(np.arange(len(table)) % 2, "loam_common", "sand_common").astype(object)
    levels[: 4 * repeats] = "Smiths_farm"  # four locations
    table["kind"] = levels
    model = make_model(base_estimator="xgboost", **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(table, np.repeat(Y, repeats) + 0.01 * np.arange(len(table)))
        model.save(tmp_path / "complete")
        model.save(tmp_path / "m", training_data=False)
    assert b"Smiths_farm" in (tmp_path / "complete").read_bytes()
    content = (tmp_path / "m").read_bytes()
    assert b"Smiths_farm" not in content
    if "spectral" not in settings and repeats == 1:
        assert b"loam_common" in content
    shared = SpTGNNRegressor.load(tmp_path / "m")
    assert len(shared.columns_.categorical["kind"]) == 3
    with pytest.warns(UserWarning, match=r"did not occur .*'kind'"):
        assert np.isfinite(shared.predict(table.head(8))).all()


def test_levels_without_a_column_lose_their_name(tmp_path):
    """They are the same to the model as unseen levels, so that predictions do not depend on it."""
    table = X.assign(kind=[f"unit{i % 40:02d}" for i in range(90)])
    model = make_model().fit(table, Y)
    model.save(tmp_path / "m", training_data=False, min_group_size=2)
    shared = SpTGNNRegressor.load(tmp_path / "m")
    kept = [name for name in shared.columns_.categorical["kind"] if name.startswith("unit")]
    assert kept == [f"unit{i:02d}" for i in range(32)]


def test_fine_tuned_encoders_raise(model):
    """Image features of the training chips by the tuned encoders are not kept."""
    ensemble = copy.copy(model.ensemble_)
    ensemble.network = copy.copy(ensemble.network)
    ensemble.network.image_encoders = torch.nn.Identity()
    with pytest.raises(ValueError, match=r"fine-tuned .* fine_tune=False"):
        drop_training_rows(ensemble, model._merged.weight)


def test_neighbors_contribute_mean_residuals(model):
    """A target minus the prediction for its mean row is the mean residual of the group."""
    reduced, rows = drop_training_rows(model.ensemble_, model._merged.weight)
    residuals = (reduced.context.targets - reduced.context.baseline).mean(0).numpy()
    np.testing.assert_allclose(residuals, rows.groups.mean(rows.residuals), atol=1e-5)


def test_measurement_errors_of_rows_are_removed(noisy_model, tmp_path):
    """Processes know the mean variance of the errors; nothing has one value per row or group."""
    path = tmp_path / "shared"
    noisy_model.save(path, training_data=False)
    complete, shared = noisy_model.ensemble_, SpTGNNRegressor.load(path).ensemble_
    assert shared.training is None
    noise = complete.training.noise
    distinct = np.unique(noise[noise > 0])
    for name in ("kriging", "process"):
        before, after = getattr(complete.base, name), getattr(shared.base, name)
        np.testing.assert_array_equal(before.known_noise, noise)
        assert after.known_noise is None
        expected = np.exp(before.parameters[-1]) + noise.mean()
        assert np.exp(after.parameters[-1]) == pytest.approx(expected)
        np.testing.assert_array_equal(after.parameters[:-1], before.parameters[:-1])
    _, arrays = read(path, "model")
    for array in arrays.values():
        if array.dtype.kind == "f" and array.dtype.itemsize == 8:
            for value in (*distinct, *np.sqrt(distinct), *np.unique(NOISE_STD[NOISE_STD > 0])):
                assert not np.isclose(array, value, rtol=1e-9, atol=0).any()


def test_shared_models_are_calibrated_without_measurement_errors(noisy_model, tmp_path):
    """The standard deviation of a shared model is that of values without the known errors."""
    noisy_model.save(tmp_path / "shared", training_data=False)
    shared = SpTGNNRegressor.load(tmp_path / "shared")
    table = X.assign(lab_sd=0.0)
    std = [model.predict(table, return_std=True)[1].mean() for model in (noisy_model, shared)]
    assert std[1] == pytest.approx(std[0], rel=0.3)
    mean, wider = shared.predict(X.assign(lab_sd=3.0), return_std=True)
    np.testing.assert_array_equal(mean, shared.predict(table))
    np.testing.assert_allclose(wider**2, shared.predict(table, return_std=True)[1] ** 2 + 9)
