"""Fixtures of the image tests."""

import pytest


@pytest.fixture
def raster(tmp_path):
    """A raster of two named bands with a nodata value."""
    from numbered_rasters import make_raster, numbered

    return make_raster(tmp_path / "dem.tif", numbered(2), nodata=-1, descriptions=("B4", "B8"))


@pytest.fixture
def cut(tmp_path):
    """`extract_chips` with a default column, size and folder."""
    from sptgnn_sklearn.images.extraction import extract_chips

    def call(raster, X, **options):
        settings = {"column": "path", "size": 4, "out_dir": tmp_path / "chips"} | options
        return extract_chips(raster, X, **settings)

    return call
