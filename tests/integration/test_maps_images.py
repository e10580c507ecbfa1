"""Tests of maps from models with images."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from sklearn.base import BaseEstimator, RegressorMixin
from small_encoder import write_chips
from small_models import make_regressor
from small_rasters import (
    CORNER,
    CRS,
    HEIGHT,
    WIDTH,
    as_dataset,
    bands_of,
    cell_table,
    centers,
    write_raster,
)

from sptgnn_sklearn import extract_chips, predict_map

FINE = 500.0  # meters per pixel of the imagery


class MiddlePixel(RegressorMixin, BaseEstimator):
    """Regressor that predicts the central pixel of the chip."""

    def fit(self, X, y=None):
        self.feature_names_in_ = np.array(X.columns, dtype=object)
        self.n_features_in_ = X.shape[1]
        self.folders = set()
        return self

    def predict(self, X):
        results = []
        for path in X["dem"]:
            if pd.isna(path):
                results.append(-1.0)
                continue
            self.folders.add(Path(path).parent)
            with rasterio.open(path) as chip:
                assert chip.shape == (16, 16)
                results.append(float(chip.read(1)[8, 8]))
        return np.array(results)


@pytest.fixture(scope="module")
def imagery(tmp_path_factory):
    """Elevation in fine pixels that cover the upper half of the map."""
    heights = np.random.default_rng(0).normal(670, 300, (80, 224)).astype("float32")
    transform = rasterio.Affine(FINE, 0, CORNER[0], 0, -FINE, CORNER[1])
    path = tmp_path_factory.mktemp("imagery") / "dem.tif"
    return write_raster(path, heights, transform=transform), heights


@pytest.fixture(scope="module")
def covariate():
    return as_dataset({"cov_0": bands_of(cell_table())["cov_0"]})


def test_chips_are_centered_on_cells(imagery, covariate):
    """The chip is centered on the cell; chips beyond the image are missing."""
    path, heights = imagery
    X = pd.DataFrame({"x": [1.0], "y": [1.0], "cov_0": [0.0], "dem": ["a.tif"]})
    model = MiddlePixel().fit(X)
    part = covariate.isel(y=slice(12, 28), x=slice(0, 20))
    result = predict_map(
        model, part, images={"dem": path}, chip_size=16, crs=CRS, block_size=13, verbose=0
    )["mean"].to_numpy()
    middles = centers().reshape(HEIGHT, WIDTH, 2)[12:28, :20].reshape(-1, 2)
    column, row = ((middles - CORNER) / (FINE, -FINE)).astype(int).T
    inside = row < len(heights)
    expected = np.where(inside, heights[np.minimum(row, len(heights) - 1), column], -1)
    np.testing.assert_array_equal(result.ravel(), expected)
    assert 0 < inside.mean() < 1
    assert model.folders
    assert not any(folder.exists() for folder in model.folders)


def test_images_are_checked_before_mapping(imagery, covariate, tmp_path):
    """Unknown columns, missing files, other areas and unknown sizes raise."""
    X = pd.DataFrame({"x": [1.0], "y": [1.0], "cov_0": [0.0], "dem": ["a.tif"]})
    model = MiddlePixel().fit(X)
    settings = {"crs": CRS, "verbose": 0}
    elsewhere = write_raster(
        tmp_path / "far.tif", np.ones((20, 20)), transform=rasterio.Affine(1, 0, 9, 0, -1, 9)
    )
    for images, message in (
        ({"s2": imagery[0]}, r"images names \['s2'\]"),
        ({"dem": tmp_path / "nowhere.tif"}, r"images\['dem'\]: .*nowhere.tif' cannot be opened"),
        ({"dem": elsewhere}, r"far.tif' covers no cell of the map"),
        ({"dem": 3}, r"must be the path of a raster"),
    ):
        with pytest.raises(ValueError, match=message):
            predict_map(model, covariate, images=images, chip_size=16, **settings)
    with pytest.raises(ValueError, match="chip_size"):
        predict_map(model, covariate, images={"dem": imagery[0]}, **settings)


@pytest.mark.filterwarnings("ignore:weights=None")
def test_map_equals_predictions_from_extracted_chips(imagery, covariate, tmp_path):
    """A map equals predictions from chips extracted beforehand."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=60)
    X = pd.DataFrame(
        {
            "x": rng.uniform(450_000, 540_000, 60),
            "y": rng.uniform(4_970_000, 5_030_000, 60),
            "cov_0": rng.normal(size=60),
            "dem": write_chips(tmp_path, 60, signal=signal),
        }
    )
    model = make_regressor(
        images={"DEM": "dem"},
        weights=None,
        cache_dir=tmp_path / "cache",
        crs=CRS,
        base_estimator=None,
        n_estimators=2,
        max_epochs=10,
        hidden_size=16,
        random_state=0,
    ).fit(X, signal)
    part = covariate.isel(y=slice(18, 22), x=slice(0, 6))  # two rows with chips, two without
    result = predict_map(model, part, images={"dem": imagery[0]}, verbose=0)["mean"].to_numpy()
    east, north = np.meshgrid(part["x"], part["y"])
    rows = pd.DataFrame(
        {"x": east.ravel(), "y": north.ravel(), "cov_0": part["cov_0"].to_numpy().ravel()}
    )
    with tempfile.TemporaryDirectory() as folder, pytest.warns(UserWarning, match="12 of 24 rows"):
        rows = extract_chips(imagery[0], rows, column="dem", size=16, out_dir=folder, crs=CRS)
        expected = model.predict(rows)
    np.testing.assert_allclose(result.ravel(), expected, rtol=1e-5)
    with pytest.warns(UserWarning, match="fitted with images in .'dem'., and the map has none"):
        without_images = predict_map(model, part, verbose=0)["mean"].to_numpy()
    np.testing.assert_allclose(
        without_images.ravel(), model.predict(rows.assign(dem=None)), rtol=1e-5
    )
    assert np.abs(without_images - result)[:2].max() > 1e-3
