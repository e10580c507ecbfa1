"""Raster metadata and window reading, for files, datasets and arrays."""

import numpy as np
import pandas as pd
import pytest

rasterio = pytest.importorskip("rasterio")
from numbered_rasters import as_array, make_raster, numbered, points, read_raster

from sptgnn_sklearn.images.raster import array_transform, open_raster


@pytest.mark.parametrize(
    ("kind", "value"),
    [("UInt16", -9999), ("UInt16", 0.5), ("UInt16", float("nan")), ("Float32", -1.7e308)],
)
def test_nodata_out_of_range_is_ignored(kind, value, tmp_path, cut):
    """A nodata value that the dtype cannot represent has no effect."""
    path = make_raster(tmp_path / "a.tif", numbered(dtype=kind.lower()))
    array = as_array(path).assign_attrs(_FillValue=value)
    view = tmp_path / "a.vrt"
    view.write_text(
        '<VRTDataset rasterXSize="50" rasterYSize="60"><SRS>EPSG:32636</SRS>'
        "<GeoTransform>500000, 10, 0, 5000000, 0, -10</GeoTransform>"
        f'<VRTRasterBand dataType="{kind}" band="1"><NoDataValue>{value}</NoDataValue>'
        '<SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename>'
        "<SourceBand>1</SourceBand>"
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    for source in (array, view):
        (result,) = cut(source, points((0, 0)))["path"]
        with rasterio.open(result) as chip:
            assert (chip.nodata is None) == (kind == "UInt16")
            assert (chip.dataset_mask() > 0).sum() == 4
            assert chip.read()[0, 2:, 2:].tolist() == [[10_000, 10_001], [10_100, 10_101]]


def test_transform_of_a_strided_array(raster, cut):
    """The coordinates of an array override the transform stored for the whole."""
    (result,) = cut(as_array(raster)[:, ::2, ::2], points((20, 30)))["path"]
    np.testing.assert_array_equal(read_raster(result), numbered(2)[:, 16:24:2, 26:34:2])
    with rasterio.open(result) as chip:
        assert tuple(chip.transform)[:6] == (20, 0, 500_255, 0, -20, 4_999_845)


def test_bands_by_name_and_number(raster, cut):
    """Bands are in the requested order, with their names."""
    (result,) = cut(raster, points((20, 30)), bands=["b08", 1])["path"]
    with rasterio.open(result) as chip:
        assert chip.descriptions == ("B8", "B4")
        assert chip.read()[:, 2, 2].tolist() == [22_030, 12_030]
    (result,) = cut(as_array(raster), points((20, 30)), bands=["B8"])["path"]
    assert read_raster(result)[:, 2, 2].tolist() == [22_030]


def test_damaged_blocks_raise_with_the_window(tmp_path, cut):
    """Unreadable blocks raise OSError with the window instead of giving zeros."""
    path = make_raster(tmp_path / "a.tif", numbered(1, 256, 256), compress="deflate")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = b"\x55" * (len(content) - len(content) // 2)
    path.write_bytes(content)
    X = points(*((row, row) for row in range(0, 256, 16)))
    for n_jobs in (None, 2):
        with pytest.raises(OSError, match=r"raster a.tif cannot be read in rows \d+ to \d+, col"):
            cut(path, X, n_jobs=n_jobs)


def test_two_dimensional_and_boolean_array(tmp_path, raster, cut):
    """An array may lack the band dimension; booleans become bytes."""
    array = as_array(raster)[0]
    (result,) = cut(array > 12_029, points((20, 30)))["path"]
    assert read_raster(result).dtype == "uint8"
    np.testing.assert_array_equal(read_raster(result)[0], numbered()[0, 18:22, 28:32] > 12_029)


def test_invalid_rasters_raise(tmp_path, cut):
    """Unreadable, ungeoreferenced and closed rasters, and too many bands, raise."""
    X = points((20, 30))
    degrees = pd.DataFrame({"lon": [33.0], "lat": [45.0]})
    no_crs = make_raster(tmp_path / "no_crs.tif", numbered(), crs=None, nodata=0)
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(ValueError, match=r"text.tif' cannot be opened"):
        cut(tmp_path / "text.tif", X)
    with pytest.raises(ValueError, match=r"none.tif' cannot be opened: .*No such file"):
        cut(tmp_path / "none.tif", X)
    with pytest.raises(ValueError, match=r"must be a path, .* found list"):
        cut([1, 2], X)
    with pytest.raises(ValueError, match=r"raster no_crs.tif has no CRS, but X is in EPSG:4326"):
        cut(no_crs, degrees)
    # Coordinates without a CRS are taken to be in the raster's plane.
    assert read_raster(cut(no_crs, X)["path"][0])[0, 2, 2] == 12_030
    bare = tmp_path / "bare.npy.tif"
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        make_raster(bare, numbered(), crs=None, transform=None)
    with pytest.raises(ValueError, match=r"raster bare.npy.tif is not georeferenced"):
        cut(bare, X)
    with rasterio.open(no_crs) as dataset:
        pass
    with pytest.raises(ValueError, match="closed"):
        cut(dataset, X)
    many = make_raster(tmp_path / "many.tif", np.zeros((4097, 2, 2), "uint8"), nodata=0)
    with pytest.raises(ValueError, match=r"many.tif has 4097 bands; at most 4096"):
        cut(many, X)


def test_invalid_arrays_raise(raster, cut):
    """Extra dimensions, and uneven, infinite or missing coordinates, raise."""
    xarray = pytest.importorskip("xarray")
    array = as_array(raster)
    with pytest.raises(ValueError, match="unevenly spaced"):
        cut(array.isel(x=[0, 1, 5]), points((20, 30)))
    with pytest.raises(ValueError, match="coordinates in 'x' that are NaN or infinite"):
        cut(array.assign_coords(x=np.full(array.sizes["x"], np.inf)), points((20, 30)))
    with pytest.raises(ValueError, match=r"found int32 in \('time', 'band', 'y', 'x'\)"):
        cut(array.expand_dims("time"), points((20, 30)))
    with pytest.raises(ValueError, match="array without spatial dimensions"):
        cut(xarray.DataArray(np.zeros((2, 3)), dims=("a", "b")), points((20, 30)))


def test_lazy_dask_array(raster, cut):
    """A chunked array gives the same pixels."""
    pytest.importorskip("dask")
    (result,) = cut(as_array(raster, chunks={"x": 16, "y": 16}), points((20, 30)))["path"]
    np.testing.assert_array_equal(read_raster(result), numbered(2)[:, 18:22, 28:32])


def test_open_raster_reads_metadata_and_windows(raster):
    """Metadata of the selected bands, and the pixels of a window without a mask."""
    source, opener = open_raster(raster, ["B8"])
    assert (source.shape, source.bands, source.descriptions) == ((60, 50), (2,), ("B8",))
    assert (source.nodata, source.block, source.dtype) == (-1, (16, 16), np.dtype("int32"))
    assert str(raster) in source.identity
    with opener() as read_window:
        pixels, mask = read_window((10, 14, 20, 25))
    np.testing.assert_array_equal(pixels, numbered(2)[1:, 10:14, 20:25])
    assert mask is None


def test_identity_follows_the_file_and_not_the_pixels(raster, tmp_path):
    """A rewritten file has another identity; arrays and files in memory have none."""
    before = open_raster(raster, None)[0].identity
    assert open_raster(raster, None)[0].identity == before
    make_raster(raster, numbered(2), nodata=-1, descriptions=("B4", "B8"))
    assert open_raster(raster, None)[0].identity != before
    assert open_raster(as_array(raster), None)[0].identity is None


def test_array_transform_prefers_exact_stored_values(raster):
    """The stored transform is returned if coordinates agree, else one from the coordinates."""
    array = as_array(raster)
    assert array_transform(array, "x", "y") == array.rio.transform()
    strided = array[:, ::2, ::2]
    assert tuple(array_transform(strided, "x", "y"))[:6] == (20, 0, 499_995, 0, -20, 5_000_005)
