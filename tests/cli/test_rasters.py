"""Tests of rasters as options: columns of a table, and names of bands."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from sptgnn_sklearn import sample_rasters
from sptgnn_sklearn.cli.rasters import match_rasters, read_rasters
from sptgnn_sklearn.table.infer_roles import TableError


@pytest.fixture
def two_bands(soil_files):
    """A raster with the bands ndvi and use in bands.tif."""
    with xr.open_dataset("dem.tif", engine="rasterio") as dem:
        band = dem["band_data"].isel(band=0, drop=True)
        use = (band > band.median()).astype("float32")
        bands = xr.concat([band, use], "band").transpose("band", "y", "x")
        bands.attrs["long_name"] = ("ndvi", "use")
        bands.rio.write_crs(25832).rio.to_raster("bands.tif")
    return soil_files


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (["dem.tif"], {"dem": "dem.tif"}),
        (["height=dem.tif"], {"height": "dem.tif"}),
        (["bands.tif"], {"ndvi": ("bands.tif", 1), "use": ("bands.tif", 2)}),
        (["a=bands.tif:2", "depth=15"], {"a": ("bands.tif", 2), "depth": 15.0}),
    ],
)
def test_entries(two_bands, entries, expected):
    """Entries are paths with or without a name, bands and numbers."""
    found: dict[str, Any] = {}
    for raster in read_rasters(entries):
        found |= raster.bands
    assert found == expected


def test_file_names_beside_descriptions(two_bands):
    """A file with one described band matches by its name, too."""
    with xr.open_dataset("bands.tif", engine="rasterio") as bands:
        band = bands["band_data"].isel(band=0, drop=True)
        band.attrs["long_name"] = "Band 1"
        band.rio.to_raster("Slope.tif")
    rasters = read_rasters(["Slope.tif", "bands.tif"])
    sources, unused = match_rasters(rasters, ["slope (deg)", "NDVI"])
    assert sources == {"slope (deg)": "Slope.tif", "NDVI": ("bands.tif", 1)}
    assert unused == ["use"]
    with pytest.raises(TableError, match=r"for ndwi; found: .*did you mean 'ndwi'\?"):
        match_rasters(rasters, ["ndwi"])


@pytest.mark.parametrize("kind", ["geometry", "columns", "degrees"])
def test_points_in_any_crs(two_bands, run, kind):
    """Values are those of sample_rasters for points in other CRSs; others have none."""
    expected = sample_rasters(two_bands, ["dem.tif", "bands.tif"])
    table, options = two_bands, []
    if kind == "degrees":
        table = table.to_crs(4326)
    if kind != "geometry":
        xy = {"columns": ("Easting", "Northing"), "degrees": ("lon", "lat")}[kind]
        frame = pd.DataFrame(table.drop(columns="geometry"))
        frame[xy[0]], frame[xy[1]] = table.geometry.x, table.geometry.y
        frame.loc[3, xy[0]] = np.nan
        frame.to_csv("soil.csv", index=False)
        options = ["--crs", "EPSG:25833"] if kind == "columns" else []
    path = "soil.gpkg" if kind == "geometry" else "soil.csv"
    code, out, err = run(
        *("check", path, "--target", "SOC", "--rasters", "dem.tif", "bands.tif", *options),
        *("--categorical", "use"),
    )
    assert code == 0, err
    assert "numbers      2: dem, ndvi" in out and "categories   1: use" in out
    assert "without raster" not in out
    from sptgnn_sklearn.cli.rasters import add_raster_columns

    if kind == "columns":
        found = add_raster_columns(
            pd.read_csv("soil.csv"), ["dem.tif"], ("Easting", "Northing"), "EPSG:25833"
        )
        wanted = expected["dem"].mask(expected.index == 3)
        np.testing.assert_array_equal(found["dem"], wanted)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rasters", "SOC=dem.tif"], "the table has a column SOC; rename the raster"),
        (["--rasters", "dem.tif", "dem=slope.tif"], "both are named dem"),
        (["--rasters", "a=bands.tif"], "bands.tif has 2 bands (ndvi, use); choose one, such as"),
        (["--rasters", "a=bands.tif:3"], "bands.tif has the bands 1 to 2"),
        (["--rasters", "a="], "a=: must be PATH or NAME=PATH"),
        (["--rasters", "no.tif"], "raster 'no.tif' cannot be opened"),
        (["--rasters", "soil.csv"], "raster 'soil.csv' cannot be opened"),
        (["--rasters", "dem.tif", "--coordinates", "eastin", "n"], "did you mean"),
        (["--rasters", "dem.tif", "--crs", "nonsense"], "--crs nonsense"),
    ],
)
def test_invalid_rasters(two_bands, error_message, arguments, words):
    """Entries are named with what to do."""
    frame = pd.DataFrame(two_bands.drop(columns="geometry"))
    frame.assign(easting=two_bands.geometry.x, northing=two_bands.geometry.y).to_csv(
        "soil.csv", index=False
    )
    assert words in error_message("check", "soil.csv", "--target", "SOC", *arguments)


def test_predictions_at_points(two_bands, run):
    """``predict --rasters`` fills the columns of the model at new points."""
    settings = ("--members", 1, "--epochs", 1, "--jobs", 1, "--quiet")
    code, out, err = run(
        "fit", "soil.gpkg", "--target", "SOC", "--rasters", "height=dem.tif", *settings
    )
    assert code == 0, err
    two_bands[["SampleID", "geometry"]].to_crs(4326).to_file("new.geojson")
    code, out, err = run(
        "predict", "model.safetensors", "new.geojson", "--rasters", "Height=dem.tif"
    )
    assert code == 0, err
    assert "wrote predictions.csv: 60 rows" in out
    assert pd.read_csv("predictions.csv")["mean"].notna().all()


def test_covariates_without_raster_are_listed(two_bands, run):
    """With ``--rasters``, the columns that a map could not have are known before the fit."""
    table = pd.DataFrame(two_bands.drop(columns="geometry"))
    table["Easting"], table["Northing"] = two_bands.geometry.x, two_bands.geometry.y
    table["pH-Wert"] = np.linspace(5, 7, len(table))
    table.to_csv("soil.csv", index=False)
    command = (
        "check",
        "soil.csv",
        "--target",
        "SOC",
        "--rasters",
        "dem.tif",
        "--crs",
        "EPSG:25833",
    )
    code, out, err = run(*command)
    assert code == 0, err
    assert "without raster: pH-Wert; a map needs" in out
    assert "without raster" not in run(*command, "--drop", "pH-Wert")[1]
