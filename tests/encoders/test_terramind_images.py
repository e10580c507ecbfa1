"""TerraMindImages: parameters of the image columns and their encoder."""

import numpy as np
import pytest
from sklearn.base import clone

from sptgnn_sklearn import TerraMindImages
from sptgnn_sklearn.encoders.terramind_images import as_terramind_images
from sptgnn_sklearn.table.image_columns import ImageColumn, image_columns

COLUMNS = {"S2L2A": "s2", "DEM": ImageColumn("dem", scale=2)}


def test_mapping_stands_for_its_columns():
    """A mapping gets the default parameters; None and TerraMindImages are returned unchanged."""
    images = as_terramind_images(COLUMNS)
    assert images.get_params() == TerraMindImages(COLUMNS).get_params()
    assert as_terramind_images(images) is images
    assert as_terramind_images(None) is None
    assert image_columns(images) == image_columns(COLUMNS)


def test_parameters_can_be_set_and_cloned():
    """As in any estimator, for grids such as ``images__fine_tune``."""
    images = clone(TerraMindImages(COLUMNS, weights=None)).set_params(fine_tune=2, chip_size=64)
    images.validate()
    assert (images.weights, images.stages, images.chip_size) == (None, 2, 64)


@pytest.mark.parametrize(
    ("parameters", "rate", "decay"),
    [
        ({}, 1e-4, 0.75),
        ({"weights": None}, 1e-3, 1.0),
        ({"weights": None, "learning_rate": 0.02, "layer_decay": 0.5}, 0.02, 0.5),
    ],
)
def test_default_learning_rates_depend_on_the_weights(parameters, rate, decay):
    """Random weights take a higher rate, equal in all stages; given values are kept."""
    images = TerraMindImages(COLUMNS, **parameters)
    assert (images.peak_learning_rate, images.stage_decay) == (rate, decay)


@pytest.mark.parametrize(
    ("fine_tune", "stages"),
    [(False, False), (True, True), (np.bool_(True), True), (0, False), (1, 1), (12, 12)],
)
def test_stages(fine_tune, stages):
    """True is all stages, and 1 is one block."""
    result = TerraMindImages(COLUMNS, fine_tune=fine_tune).stages
    assert result == stages and (result is True) == (stages is True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("columns", ["s2"]),
        ("encoder", 3),
        ("weights", 3),
        ("sha256", b"0"),
        ("chip_size", 8),
        ("fine_tune", -1),
        ("learning_rate", 0.0),
        ("layer_decay", 1.5),
        ("augment", "yes"),
        ("cache_dir", 3),
        ("cache_dir", True),
        ("on_error", "skip"),
    ],
)
def test_invalid_parameters_raise(name, value):
    """Errors name the parameter."""
    with pytest.raises(ValueError, match=rf"'{name}' parameter"):
        TerraMindImages(**{"columns": COLUMNS, name: value}).validate()
