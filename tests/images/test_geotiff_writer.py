"""Writing of GeoTIFF chips and the import of rasterio."""

import os
import sys

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")
from numbered_rasters import GRID, UTM, numbered, points

from sptgnn_sklearn.images.geotiff_writer import (
    MAX_BANDS,
    check_band_count,
    import_rasterio,
    write_chip,
)


def test_interrupted_write_leaves_no_file(raster, cut, tmp_path, monkeypatch):
    """A chip gets its name only when it is complete."""

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        cut(raster, points((20, 30)))
    assert not os.listdir(tmp_path / "chips")


def test_without_rasterio_the_extra_is_named(raster, cut, monkeypatch):
    """The ImportError names the extra to install."""
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(
        ImportError, match=r"^Images need rasterio and terratorch: pip install 'spt"
    ):
        cut(raster, points((20, 30)))
    with pytest.raises(ImportError, match=r"^Images need rasterio"):
        import_rasterio()


def test_write_chip_round_trip(tmp_path):
    """Pixels, names, mask and transform are read back unchanged."""
    path, mask = tmp_path / "a.tif", np.eye(3, dtype=bool)
    write_chip(
        path, numbered(2, 3, 3), crs=UTM, transform=GRID, descriptions=(None, "B"), mask=mask
    )
    assert os.listdir(tmp_path) == ["a.tif"]
    with rasterio.open(path) as chip:
        np.testing.assert_array_equal(chip.read(), numbered(2, 3, 3))
        np.testing.assert_array_equal(chip.dataset_mask() > 0, mask)
        assert chip.descriptions == (None, "B")
        assert chip.transform == GRID


def test_band_count_limit():
    """Rasters with more than MAX_BANDS bands raise with their name."""
    check_band_count(MAX_BANDS, "s2.tif")
    with pytest.raises(ValueError, match=rf"s2\.tif has {MAX_BANDS + 1} bands"):
        check_band_count(MAX_BANDS + 1, "s2.tif")
