"""Covariates from Datasets, mappings and sequences of files."""

import numpy as np
import pytest
import rasterio
import xarray as xr
from map_models import SETTINGS, flatten
from small_rasters import (
    CELL,
    CORNER,
    COVARIATES,
    CRS,
    HEIGHT,
    as_dataset,
    bands_of,
    write_raster,
)

from sptgnn_sklearn import predict_map
from sptgnn_sklearn.maps.open_rasters import open_covariates, split_bands


def test_equal_sources_give_equal_maps(model, stack, table):
    """A Dataset, a mapping of files and a sequence of files of the same values give one map."""
    numbers, land_use = stack
    names = [name for name in COVARIATES if name != "land_use"]
    by_name = {name: (numbers, name) for name in names} | {"land_use": land_use}
    by_number = {name: (numbers, i + 1) for i, name in enumerate(names)} | {"land_use": land_use}
    maps = [
        flatten(predict_map(model, source, **SETTINGS))["mean"]
        for source in (stack, by_name, by_number, as_dataset(bands_of(table)))
    ]
    for other in maps[1:]:
        np.testing.assert_array_equal(other, maps[0])


@pytest.mark.parametrize(
    ("labels", "long_name", "expected"),
    [
        (["red", "green"], None, ["red", "green"]),
        ([1, 2], ("red", "green"), ["red", "green"]),
        ([1, 2], ("red", None), ["red", "photo_2"]),
        ([1, 2], ("red",), ["photo_1", "photo_2"]),
    ],
)
def test_band_names_come_from_coordinates_or_descriptions(labels, long_name, expected):
    """Bands without a name of their own have that of the file and their number."""
    array = xr.DataArray(np.zeros((2, 3, 3)), dims=("band", "y", "x"), coords={"band": labels})
    array.attrs = {} if long_name is None else {"long_name": long_name}
    assert list(split_bands(array, "photo")) == expected


def test_single_band_has_the_name_of_the_file(tmp_path, table):
    path = write_raster(tmp_path / "slope.tif", bands_of(table)["cov_0"])
    assert open_covariates(path).names == ["slope"]


def test_crs_of_any_file_is_that_of_all(tmp_path, table):
    """A file without a CRS takes over that of another one."""
    a = write_raster(tmp_path / "a.tif", bands_of(table)["cov_0"], crs=None)
    b = write_raster(tmp_path / "b.tif", bands_of(table)["cov_1"])
    assert open_covariates([a]).grid.crs is None
    assert CRS.split(":")[1] in open_covariates([a, b]).grid.crs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 20}, "shape 40 x 56 against 20 x 56"),
        ({"shift": 300.0}, r"transform \(2000, .* against \(2000, 0, 440300"),
        ({"crs": "EPSG:32635"}, "CRS EPSG:32636 against EPSG:32635"),
    ],
)
def test_rasters_that_do_not_align_are_named(model, table, tmp_path, change, message):
    """The error names both files and the difference in shape, transform or CRS."""
    bands = bands_of(table)
    first = write_raster(tmp_path / "first.tif", bands["cov_0"])
    shifted = rasterio.Affine(CELL, 0, CORNER[0] + change.get("shift", 0), 0, -CELL, CORNER[1])
    second = write_raster(
        tmp_path / "second.tif",
        bands["cov_1"][: change.get("rows", HEIGHT)],
        crs=change.get("crs", CRS),
        transform=shifted,
    )
    with pytest.raises(ValueError, match=message) as error:
        predict_map(model, {"cov_0": first, "cov_1": second}, **SETTINGS)
    assert "first.tif" in str(error.value)
    assert "second.tif" in str(error.value)


def test_ambiguous_bands_raise(stack):
    """Several bands for one column, an unknown band, and one name twice."""
    with pytest.raises(ValueError, match=r"has the bands 1 to 3, named .*'cov_0'"):
        open_covariates({"cov_0": stack[0]})
    with pytest.raises(ValueError, match="has no band 'cov_7' but the bands 1 to 3"):
        open_covariates({"cov_0": (stack[0], "cov_7")})
    with pytest.raises(ValueError, match="has no band 4 but the bands 1 to 3"):
        open_covariates({"cov_0": (stack[0], 4)})
    with pytest.raises(ValueError, match=r"\['elevation', 'cov_0', 'cov_1'\]"):
        open_covariates([stack[0], stack[0]])


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (3, TypeError, "xarray.Dataset.*found int"),
        ({"cov_0": None}, TypeError, r"source\['cov_0'\]=None"),
        ([3], TypeError, "source holds 3"),
        ([], ValueError, "source has no raster"),
        ({"cov_0": 1.0}, ValueError, "source has no raster"),
    ],
)
def test_other_sources_raise(source, error, message):
    with pytest.raises(error, match=message):
        open_covariates(source)


def test_files_that_cannot_be_opened_are_named(tmp_path):
    """A missing file, and one that is not a raster."""
    (tmp_path / "text.tif").write_text("no raster")
    for name in ("nowhere.tif", "text.tif"):
        with pytest.raises(ValueError, match=f"{name}' cannot be opened"):
            open_covariates(tmp_path / name)


def test_files_with_too_many_bands_raise(tmp_path):
    """Headers of damaged files may declare any number of bands, and each takes time to open."""
    path = write_raster(tmp_path / "many.tif", np.zeros((4097, 2, 2), "uint8"))
    with pytest.raises(ValueError, match=r"many.tif' .*4097 bands.* 4096"):
        open_covariates(path)


def test_rasters_of_one_crs_in_another_form_align(model, table, tmp_path):
    """A file with ESRI's text and one with a code give the map of two files with the code."""
    import pyproj

    bands = bands_of(table)
    names = ("elevation", "cov_0", "cov_1", "land_use")
    texts = [
        CRS,
        pyproj.CRS(CRS).to_wkt("WKT1_ESRI"),
        "+proj=utm +zone=36 +datum=WGS84 +units=m +no_defs",
        CRS,
    ]
    same, mixed = {}, {}
    for name, text in zip(names, texts, strict=True):
        same[name] = write_raster(tmp_path / f"{name}.tif", bands[name])
        mixed[name] = write_raster(tmp_path / f"{name}-2.tif", bands[name], crs=text)
    expected = flatten(predict_map(model, same, **SETTINGS))["mean"]
    np.testing.assert_array_equal(flatten(predict_map(model, mixed, **SETTINGS))["mean"], expected)


def test_band_dimension_of_length_one_does_not_count(model, table):
    """A Dataset with it equals one without, and a DataArray equals its variable."""
    flat = as_dataset(bands_of(table))
    expected = flatten(predict_map(model, flat, **SETTINGS))["mean"]
    for source in (
        flat.expand_dims("band"),
        flat.expand_dims(band=[1]),
        flat.expand_dims(["time", "band"]),
        flat.expand_dims("band", axis=-1),
        flat.assign(cov_0=flat["cov_0"].expand_dims("band")),
        flat.to_dataarray("band"),
        flat.to_dataarray("band").transpose("y", "x", "band"),
        flat.to_dataarray("band").expand_dims("time"),
    ):
        result = flatten(predict_map(model, source, **SETTINGS))["mean"]
        np.testing.assert_array_equal(result, expected)


def test_two_other_dimensions_raise(table):
    array = as_dataset({"cov_0": bands_of(table)["cov_0"]})["cov_0"]
    with pytest.raises(ValueError, match=r"source has the dimensions .*'time', 'band'"):
        open_covariates(array.expand_dims(time=2, band=2))
