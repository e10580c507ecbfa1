"""Rasters of the small survey and models fitted to it."""

import numpy as np
import pandas as pd
import pytest
from map_models import make_network
from small_rasters import HEIGHT, WIDTH, bands_of, cell_table, survey, write_raster, write_stack


@pytest.fixture(scope="session")
def model():
    """A network with coordinates, time, elevation and a categorical covariate."""
    X, y = survey()
    return make_network().fit(X, y)


@pytest.fixture(scope="session")
def table():
    """X of all cells."""
    return cell_table()


@pytest.fixture(scope="session")
def stack(tmp_path_factory, table):
    """Paths of the covariates of all cells."""
    return write_stack(tmp_path_factory.mktemp("rasters"), bands_of(table))


@pytest.fixture
def columns():
    """A row with the columns of the counting regressor."""
    return pd.DataFrame({"x": [1.0], "y": [1.0], "a": [1.0], "b": [2.0]})


@pytest.fixture
def rasters(tmp_path):
    """Rasters of the columns a and b; a lacks one of twelve blocks and one more cell."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, HEIGHT, WIDTH)).astype("float32")
    a[:16, :16] = np.nan
    a[20, 20] = np.nan
    return {
        "a": write_raster(tmp_path / "a.tif", a),
        "b": write_raster(tmp_path / "b.tif", b),
    }
