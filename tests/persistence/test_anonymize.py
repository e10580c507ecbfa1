"""Models without training data: no covariates, rows or exact coordinates remain."""

import numpy as np
import pytest
from saved_models import ROLES, SMALL_SETTINGS, X, Y, fit_model
from sklearn.neighbors import KNeighborsRegressor

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.utils.safe_file import read


def test_training_rows_are_removed(model, tmp_path):
    """Predictions are close to those of the whole model; methods that need rows raise."""
    path = tmp_path / "shared"
    model.save(path, training_data=False)
    shared = SpTGNNRegressor.load(path)
    _, arrays = read(path, "model")
    for label in model.columns_.numeric:
        training_values = np.sort(X[label].to_numpy(dtype=float))
        features = model.ensemble_.training.node_features
        assert not any(a.shape == features.shape for a in arrays.values()), label
        assert not any(
            a.shape == training_values.shape and np.allclose(np.sort(a), training_values)
            for a in arrays.values()
        )
    features, space = shared.ensemble_.features, shared.ensemble_.knn_graph.spaces["spatial"]
    cells = features.coordinates(space) / 0.01
    np.testing.assert_allclose(cells % 1, 0.5, atol=1e-4)
    with pytest.raises(ValueError, match="training_data=False"):
        shared.to_hetero_data()
    with pytest.raises(ValueError, match="training_data=False"):
        shared.kneighbors()
    assert not hasattr(shared, "oob_prediction_")
    assert "held-out R²" in shared._repr_html_()
    assert np.isfinite(shared.predict(X)).all()
    change = np.std(shared.predict(X) - model.predict(X)) / np.std(model.predict(X))
    assert change < 0.3
    shared.attention_weights(X.head(2))


def test_splits_by_coordinates_are_rounded(model, tmp_path):
    """They lie on edges of the grid; other splits do not change."""
    path = tmp_path / "shared"
    model.save(path, training_data=False, coordinate_grid=0.05)
    splits = {}
    for name, one in (("whole", model), ("shared", SpTGNNRegressor.load(path))):
        nodes = one.ensemble_.base.get_booster().trees_to_dataframe()
        splits[name] = nodes[nodes["Feature"] != "Leaf"]
    coordinate = splits["whole"]["Feature"].isin(["f0", "f1"])
    on_edge = splits["shared"]["Split"][coordinate] / 0.05
    np.testing.assert_allclose(on_edge, on_edge.round(), atol=1e-3)
    assert not np.allclose(splits["whole"]["Split"][coordinate] / 0.05, on_edge)
    np.testing.assert_array_equal(
        splits["whole"]["Split"][~coordinate], splits["shared"]["Split"][~coordinate]
    )


def test_unknown_units_need_a_grid(tmp_path):
    """Without a CRS there is no default cell size; sizes must be positive."""
    plane = X.rename(columns={"lon": "x", "lat": "y"})
    model = SpTGNNRegressor(**ROLES, **SMALL_SETTINGS, base_estimator=None).fit(plane, Y)
    with pytest.raises(ValueError, match="coordinate_grid has no default"):
        model.save(tmp_path / "m", training_data=False)
    model.save(tmp_path / "m", training_data=False, coordinate_grid=0.1)
    for invalid in (0, -1.0, np.nan):
        with pytest.raises(ValueError, match=f"coordinate_grid={invalid}"):
            model.save(tmp_path / "m", training_data=False, coordinate_grid=invalid)
    with pytest.raises(ValueError, match=r"coordinate_grid=1\.0 .*training_data=False"):
        model.save(tmp_path / "m", coordinate_grid=1.0)


def test_base_estimators_that_may_contain_rows_raise(tmp_path):
    """Only XGBoost's trees are known to contain none."""
    model = fit_model(base_estimator=KNeighborsRegressor())
    with pytest.raises(ValueError, match=r"base_estimator=[\s\S]*KNeighborsRegressor"):
        model.save(tmp_path / "m", training_data=False)
