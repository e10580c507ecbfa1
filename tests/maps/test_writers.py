"""Maps on disk: GeoTIFF, NetCDF and Zarr, their descriptions, and checks of the written file."""

import numpy as np
import pytest
import rasterio
import xarray as xr
from map_models import SETTINGS, fit_counting, map_in_blocks, read_content
from small_rasters import CRS, grid_transform, write_raster

from sptgnn_sklearn import predict_map
from sptgnn_sklearn.maps import writers as writers_module


def test_geotiff_is_cloud_optimized(columns, tmp_path):
    """Tiles, overviews, names, georeference and nodata value; the result is read from it."""
    path = tmp_path / "soil.tif"
    big = np.random.default_rng(0).normal(size=(2, 600, 700)).astype("float32")
    sources = {
        name: write_raster(tmp_path / f"big-{name}.tif", big[i], tile=256)
        for i, name in enumerate("ab")
    }
    settings = {"nodata_output": -5, "crs": CRS, "verbose": 0}
    result = predict_map(fit_counting(columns), sources, path=path, **settings)
    in_memory = predict_map(fit_counting(columns), sources, **settings)
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.descriptions == ("mean",)
        assert file.tags()["title"] == "Prediction map"
        assert (file.crs, file.transform, file.nodata) == (CRS, grid_transform(), -5)
        assert file.block_shapes == [(512, 512)]
        assert file.overviews(1)
        np.testing.assert_array_equal(file.read(1), in_memory["mean"])
    assert list(result) == ["mean"]
    np.testing.assert_array_equal(result["mean"], in_memory["mean"])
    assert not path.with_name("soil.tif.parts").exists()


def test_zarr_store_equals_the_map_in_memory(rasters, columns, tmp_path):
    """Values, CRS, transform and nodata value."""
    whole = map_in_blocks(fit_counting(columns), rasters, nodata_output=-5)
    path = tmp_path / "soil.zarr"
    result = map_in_blocks(fit_counting(columns), rasters, path, nodata_output=-5)
    assert result["mean"].rio.nodata == -5
    np.testing.assert_array_equal(result["mean"], whole["mean"])
    with xr.open_zarr(path, consolidated=False, decode_coords="all") as store:
        assert store.rio.crs == CRS
        assert store.rio.transform() == grid_transform()
        np.testing.assert_array_equal(np.isnan(store["mean"]), whole["mean"] == -5)
    assert not (tmp_path / "soil.zarr.parts").exists()


DESCRIPTION = {"target": "organic carbon & <SOC>", "units": "g/kg", "tags": {"model_file": "m.st"}}
TAGS = {
    "title": "Prediction map of organic carbon & <SOC>",
    "target": "organic carbon & <SOC>",
    "crs_name": CRS,
    "model_file": "m.st",
}


@pytest.mark.parametrize("suffix", [".tif", ".nc", ".zarr"])
def test_maps_describe_themselves(rasters, columns, tmp_path, suffix):
    """Names, units and provenance, read by xarray, are those of the map in memory."""
    model = fit_counting(columns)
    path = tmp_path / f"soil{suffix}"
    whole = map_in_blocks(model, rasters, **DESCRIPTION)
    result = map_in_blocks(model, rasters, path, **DESCRIPTION)
    assert result.attrs == whole.attrs
    assert TAGS.items() <= whole.attrs.items()
    assert whole.attrs["source"].startswith("sptgnn_sklearn")
    assert whole.attrs["source"].endswith("CountingRegressor")
    assert len(whole.attrs["model"]) == 32
    for found in (whole["mean"], result["mean"]):
        assert found.attrs["long_name"] == "predicted mean of organic carbon & <SOC>"
        assert found.attrs["units"] == "g/kg"
        assert np.isnan(found.rio.nodata)
    np.testing.assert_array_equal(result["mean"], whole["mean"])
    assert result.rio.crs == whole.rio.crs == CRS
    assert result.rio.transform() == grid_transform()


def test_geotiff_has_tags_for_gis(model, stack, tmp_path):
    """Band descriptions, units, long names, software, and NaN as the nodata value."""
    path = tmp_path / "soil.tif"
    layers = ["q05", "p<2", "upper"]
    predict_map(model, stack, layers=layers, coverage=0.8, path=path, units="%", **SETTINGS)
    with rasterio.open(path) as file:
        assert file.descriptions == ("q05", "p<2.0", "upper")
        assert file.units == ("%", "1", "%")
        names = [file.tags(band)["long_name"] for band in file.indexes]
        assert names == ["5 % quantile", "probability below 2", "upper limit of the 80 % interval"]
        assert all(np.isnan(value) for value in file.nodatavals)
        tags = file.tags()
    assert tags["TIFFTAG_SOFTWARE"].startswith("sptgnn_sklearn")
    assert (tags["coverage"], tags["date"], tags["crs_name"]) == ("0.8", "2012-06-01", CRS)


def test_netcdf_follows_cf_and_is_read_by_gdal(rasters, columns, tmp_path):
    """Coordinates, grid mapping and fill values; GDAL finds the same grid and values."""
    path = tmp_path / "soil.nc"
    whole = map_in_blocks(fit_counting(columns), rasters)
    map_in_blocks(fit_counting(columns), rasters, path)
    with xr.open_dataset(path, decode_coords="all") as dataset:
        assert dataset.attrs["Conventions"].startswith("CF-")
        np.testing.assert_array_equal(dataset["mean"], whole["mean"])
        assert dataset["mean"].encoding["grid_mapping"] == "spatial_ref"
    with rasterio.open(f"netcdf:{path}:mean") as file:
        np.testing.assert_array_equal(file.read(1), whole["mean"])
        assert file.crs == CRS
        np.testing.assert_allclose(file.transform[:6], grid_transform()[:6])
        assert np.isnan(file.nodata)
    again = tmp_path / "again.nc"
    map_in_blocks(fit_counting(columns), rasters, again)
    assert again.read_bytes() == path.read_bytes()


def test_large_netcdf_files_are_refused(rasters, columns, tmp_path, monkeypatch):
    monkeypatch.setattr("sptgnn_sklearn.maps.map_path.MAX_NETCDF_CELLS", 100)
    with pytest.raises(ValueError, match="40 x 56 cells is too large for a NetCDF file"):
        map_in_blocks(fit_counting(columns), rasters, tmp_path / "soil.nc")


@pytest.mark.parametrize("suffix", [".tif", ".nc", ".zarr"])
def test_resumed_maps_are_the_same_files(rasters, columns, tmp_path, suffix):
    """With descriptions, which may change between the runs, without a time of writing."""
    path = tmp_path / f"soil{suffix}"
    failing = fit_counting(columns, fail_after=5, error=RuntimeError())
    with pytest.raises(RuntimeError):
        map_in_blocks(failing, rasters, path)
    map_in_blocks(fit_counting(columns), rasters, path, **DESCRIPTION)
    map_in_blocks(fit_counting(columns), rasters, tmp_path / f"whole{suffix}", **DESCRIPTION)
    assert read_content(path) == read_content(tmp_path / f"whole{suffix}")


def test_incomplete_map_is_detected(rasters, columns, tmp_path, monkeypatch):
    """A map that lost a block while the blocks were joined is not renamed to its path."""
    path = tmp_path / "soil.tif"
    vrt = writers_module._vrt

    def lose_a_block(*arguments):
        lines = vrt(*arguments).splitlines()
        lost = next(i for i, line in enumerate(lines) if "r16_c16.tif" in line)
        return "\n".join(lines[:lost] + lines[lost + 1 :])

    monkeypatch.setattr(writers_module, "_vrt", lose_a_block)
    with pytest.raises(OSError, match=r"rows 16 to 31 .*12 of 12 blocks"):
        map_in_blocks(fit_counting(columns), rasters, path)
    assert not path.exists()
    monkeypatch.undo()
    again = fit_counting(columns)
    map_in_blocks(again, rasters, path)
    assert again.calls == 0
    map_in_blocks(fit_counting(columns), rasters, tmp_path / "whole.tif")
    assert read_content(path) == read_content(tmp_path / "whole.tif")


def test_existing_map_needs_overwrite(rasters, columns, tmp_path):
    """A map is kept until another one is complete."""
    path = tmp_path / "soil.tif"
    map_in_blocks(fit_counting(columns), rasters, path)
    before = read_content(path)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        map_in_blocks(fit_counting(columns), rasters, path)
    failing = fit_counting(columns, fail_after=2, error=RuntimeError())
    with pytest.raises(RuntimeError):
        map_in_blocks(failing, rasters, path, overwrite=True)
    assert read_content(path) == before
    map_in_blocks(fit_counting(columns, factor=2.0), rasters, path, overwrite=True)
    assert read_content(path) != before


def test_paths_are_checked_before_prediction(rasters, columns, tmp_path):
    """An unknown suffix and a folder that does not exist."""
    model = fit_counting(columns)
    with pytest.raises(ValueError, match=r"soil.png' must end in one of \['.nc', '.tif', '.tiff'"):
        map_in_blocks(model, rasters, tmp_path / "soil.png")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        map_in_blocks(model, rasters, tmp_path / "nowhere" / "soil.tif")
    assert model.calls == 0
