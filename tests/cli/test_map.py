"""Tests of ``sptgnn map``: the map is that of Python, and rasters are matched with columns."""

import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from sptgnn_sklearn import SpTGNNRegressor, predict_map, sample_rasters

FAST = ("--members", 1, "--epochs", 2, "--jobs", 1, "--quiet")
LAYERS = ["mean", "std", "q05", "p<3.0"]


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A model with dates and an elevation, saved, and its table."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": 462_000 + 2_000 * rng.random(40),
            "y": 5_803_000 + 1_500 * rng.random(40),
            "Altitude (m)": rng.normal(size=40),
            "Slope": rng.normal(size=40),
            "date": rng.integers(2000, 2020, 40),
        }
    )
    model = SpTGNNRegressor(
        coordinates=("x", "y"),
        crs="EPSG:25833",
        time="date",
        base_estimator=None,
        n_estimators=1,
        max_epochs=1,
        random_state=0,
    )
    path = tmp_path_factory.mktemp("model") / "soc.safetensors"
    model.fit(frame, frame["Slope"] + 0.1 * rng.normal(size=40)).save(path)
    return path


def test_geopackage_and_rasters_to_map(soil_files, run):
    """Points and two rasters of other CRSs give the map of sample_rasters, fit and predict_map."""
    rasters = ("dem.tif", "slope.tif")
    code, out, err = run(
        *("fit", "soil.gpkg", "--target", "SOC", "--rasters", *rasters, *FAST),
        *("-o", "soc.safetensors"),
    )
    assert (code, out, err) == (0, "wrote soc.safetensors\n", "")
    code, out, err = run(
        *("map", "soc.safetensors", *rasters, "-o", "soc.tif", "--resample", "bilinear"),
        *("--layers", ",".join(LAYERS), "--target", "SOC", "--units", "%", "--figure", "soc.png"),
    )
    assert code == 0
    assert "wrote soc.tif: 19 x 24 cells, mean, std, q05, p<3.0\nwrote soc.png\n" in out
    assert "map:" in err and "block" in err  # progress with the time left

    sources = {"dem": "dem.tif", "slope": "slope.tif"}
    X = sample_rasters(soil_files.drop(columns=["SampleID", "SOC"]), sources)
    model = SpTGNNRegressor(elevation="dem", n_estimators=1, max_epochs=2, random_state=0)
    expected = predict_map(
        model.fit(X, soil_files["SOC"]), sources, layers=LAYERS, resample="bilinear", verbose=0
    )
    with xr.open_dataset("soc.tif", engine="rasterio") as written:
        found = written["band_data"].to_numpy()
    for number, layer in enumerate(LAYERS):
        np.testing.assert_allclose(found[number], expected[layer], rtol=1e-5, atol=1e-6)
        assert np.isfinite(found[number]).mean() > 0.8
    with open("soc.png", "rb") as figure:
        assert figure.read(4) == b"\x89PNG"


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_formats_and_names(soil_files, run, error_message, model_file, suffix):
    """Names match without case and units; dates are set, and files are replaced with --force."""
    command = (
        *("map", model_file, "altitude=dem.tif", "SLOPE=dem.tif", "--date", "2015-06-01"),
        *("--layers", "mean", "-o", f"soc.{suffix}", "--quiet"),
    )
    code, out, err = run(*command)
    assert (code, err) == (0, "")
    assert f"wrote soc.{suffix}: 19 x 24 cells, mean\n" in out
    sources = {"Altitude (m)": "dem.tif", "Slope": "dem.tif"}
    model = SpTGNNRegressor.load(model_file)
    expected = predict_map(model, sources, layers=["mean"], date="2015-06-01", verbose=0)
    settings = {"engine": "scipy"} if suffix == "nc" else {"engine": "zarr", "consolidated": False}
    with xr.open_dataset(f"soc.{suffix}", **settings) as written:
        np.testing.assert_array_equal(written["mean"], expected["mean"])
    assert "exists; choose another name" in error_message(*command)
    assert run(*command, "--force")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["dem.tif"],
            "the columns Altitude (m), Slope, and no raster is given for Altitude (m), S",
        ),
        (["altitude=dem.tif"], "is given for Slope; found: Altitude (m) (altitude=dem.tif)"),
        (["altitude=dem.tif", "slop.tif"], "found: Altitude (m) (altitude=dem.tif), slop; did you"),
        (["Slopes=dem.tif"], "the model has no column Slopes; did you mean 'Slope'?"),
        (["slope.tif", "Slope=dem.tif", "altitude=dem.tif"], "two rasters for the column Slope"),
        (["altitude=dem.tif", "slope.tif"], "Set --resample 'Slope=bilinear', or nearest for"),
        (["altitude=dem.tif", "no.tif"], "raster 'no.tif' cannot be opened"),
        (["altitude=dem.tif:2", "slope.tif"], "dem.tif has the bands 1 to 1"),
        ([], "found: no raster. Give rasters as 'Altitude (m)=PATH', or leave these columns out"),
        (["ALL", "--resample", "cubic"], "--resample cubic: must be nearest, bilinear, average"),
        (["ALL", "--resample", "clay=nearest"], "no raster is named clay"),
        (["ALL", "--layers", "meen"], "did you mean 'mean'?"),
        (["ALL", "--layers", "mean,aoa"], "--layers aoa: needs the samples"),
        (["ALL", "--coverage", "90"], "coverage"),
        (["ALL", "--date", "someday"], "--date 'someday' must be a date"),
        (["ALL", "--like", "no.tif"], "raster 'no.tif' cannot be opened"),
        (["ALL", "-o", "soc.png"], "-o soc.png: the name must end in one of .tif"),
        (["ALL", "-o", "dem.tif"], "-o dem.tif: exists"),
        (["ALL", "-o", "dem.tif", "--force"], "would replace"),
        (["ALL", "-o", "nowhere/soc.tif"], "the folder nowhere does not exist"),
        (["ALL", "--figure", "soc.jpg"], "--figure soc.jpg: the name must end in one of"),
    ],
)
def test_invalid_input(soil_files, error_message, model_file, arguments, words):
    """Rasters, columns and options are named."""
    if "slop.tif" in arguments:
        shutil.copy("dem.tif", "slop.tif")
    complete = ["altitude=dem.tif", "slope=slope.tif", "--resample", "bilinear"]
    arguments = [part for text in arguments for part in (complete if text == "ALL" else [text])]
    assert words in error_message("map", model_file, *arguments)


def test_models_without_dates_refuse_one(soil_files, run, error_message):
    """--date needs a model with dates; a model of coordinates needs a grid only."""
    soil_files.drop(columns="SampleID").to_file("bare.gpkg")
    code, _, _ = run("fit", "bare.gpkg", "--target", "SOC", "-o", "bare.safetensors", *FAST)
    assert code == 0
    message = error_message("map", "bare.safetensors", "--date", "2020", "--like", "dem.tif")
    assert "--date 2020: the model was fitted without dates" in message
    assert "set --like RASTER" in error_message("map", "bare.safetensors")
    code, out, _ = run("map", "bare.safetensors", "--like", "dem.tif", "--quiet")
    assert code == 0
    assert "wrote map.tif: 19 x 24 cells" in out


def test_interrupted_maps_continue(soil_files, run, model_file, monkeypatch):
    """Ctrl-C prints the number of finished blocks and exits with 130."""
    module = sys.modules[predict_map.__module__]

    def stop(*_):
        raise KeyboardInterrupt

    command = ("map", model_file, "altitude=dem.tif", "slope=dem.tif", "--date", 2015, "--quiet")
    with monkeypatch.context() as patch:
        patch.setattr(module, "predict_blocks", stop)
        code, out, _ = run(*command)
    assert code == 130
    assert "Stopped: 0 of 1 blocks" in out and "the same command continues" in out
    assert run(*command)[0] == 0
