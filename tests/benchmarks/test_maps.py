"""The map benchmark."""

import numpy as np
import pytest

from benchmarks import maps

rasterio = pytest.importorskip("rasterio")


def test_rasters_have_a_corner_without_data(tmp_path):
    """Each covariate has a raster of the requested size with an eighth of each side missing."""
    paths = maps.write_rasters(tmp_path, 200)
    assert list(paths) == maps.BANDS
    with rasterio.open(paths["elevation"]) as file:
        values = file.read(1)
        assert file.crs == maps.CRS
    assert values.shape == (200, 200)
    assert np.isnan(values[:25, :25]).all()
    assert np.isfinite(values[25:]).all()
    assert values[25:].std() > 0
