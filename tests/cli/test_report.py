"""Tests of ``sptgnn report``: sections, figures, escaped names and reused fits."""

import base64
import re

import numpy as np
import pandas as pd
import pytest
from html_pages import Page
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import BayesianRidge

from sptgnn_sklearn.cli import compare, report

NAME = "<script>alert('clay')</script>"
SECTIONS = [
    *("Data", "Roles of the columns", "Accuracy", "Calibration of the uncertainty", "Residuals"),
    *("Where the model may be used", "Settings and versions", "How to cite"),
]


@pytest.fixture
def fast_models(monkeypatch):
    """Replace the models by fast ones with the same kinds of predictions."""

    def make_fast_models(*_):
        return {"SpTGNN": BayesianRidge(), "XGBoost": DummyRegressor(strategy="median")}

    for module in (compare, report):
        monkeypatch.setattr(module, "make_models", make_fast_models)


@pytest.fixture
def survey_file(working_directory):
    """A table with a hostile column name, gaps and a unit."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "id": [f"S{i:02d}" for i in range(50)],
            "Easting": 463_000 + 1000 * rng.random(50),
            "Northing": 5_804_000 + 1000 * rng.random(50),
            "SOC": rng.gamma(2.0, 2.0, 50),
            NAME: rng.normal(size=50),
        }
    )
    frame["SOC"] += frame[NAME]
    frame.to_csv("soil.csv", index=False)
    return "soil.csv"


def read_page():
    """Return the parsed report."""
    with open("report.html", encoding="utf-8") as file:
        return Page(file.read())


def test_sections_and_figures(survey_file, fast_models, run):
    """A report has all sections, described figures and no address but the citation."""
    command = ("report", survey_file, "--target", "SOC", "--crs", "EPSG:25833", "--splits", 2)
    code, out, err = run(*command)
    assert code == 0, err
    assert "wrote report.html" in out
    page = read_page()
    assert [text for level, text in page.headings if level == "h2"] == SECTIONS
    assert page.headings[0] == ("h1", "Prediction of SOC")
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "iframe", "object", "base"}
    external = [url for url in page.attributes("a", "href") if not url.startswith("#")]
    assert external == ["https://arxiv.org/abs/2606.16580"]
    assert NAME in page.text
    figures = page.attributes("img", "src")
    assert len(figures) == 9  # samples, 4 of accuracy, reliability, 2 of residuals, distances
    for url in figures:
        data = base64.b64decode(url.removeprefix("data:image/png;base64,"), validate=True)
        assert data.startswith(b"\x89PNG")
    texts = page.attributes("img", "alt")
    assert all(len(text) > 40 for text in texts)
    assert any("Map of 50 samples" in text for text in texts)
    scores = re.search(r"Under block folds, SpTGNN has R² (-?\d\.\d\d)", page.text)
    assert scores is not None
    assert re.search(rf"{scores.group(1)}\d ± \d\.\d{{3}}", page.text)
    assert "R² of SpTGNN minus that of XGBoost, random folds: " in page.text
    for word in ("Moran's I", "XGBoost", "numpy", "held-out rows, block folds", "Warnings"):
        assert word in page.text


def test_fits_of_compare_are_reused(survey_file, fast_models, run, error_message):
    """Fits of the same table and options are computed once; a file is replaced with --force."""
    options = (survey_file, "--target", "SOC", "--splits", 2, "--folds", "random")
    assert run("compare", *options)[0] == 0
    code, out, _ = run("report", *options)
    assert code == 0
    assert "note: 4 fits of an earlier run were reused" in out
    scores = pd.read_csv("sptgnn-output/comparison.csv").set_index("model")
    page = read_page()
    assert f"SpTGNN has R² {scores['R2']['SpTGNN']:.2f}" in page.text
    assert "report.html: exists" in error_message("report", *options)
    code, out, err = run("report", *options, "--force", "--seed", 1, "--quiet")
    assert (code, out, err) == (0, "wrote report.html\n", "")


class _Interrupted(BayesianRidge):
    """Interrupts each fit."""

    def fit(self, X, y):
        """Interrupt."""
        raise KeyboardInterrupt


class _Unfit(BayesianRidge):
    """Fails in each fit."""

    def fit(self, X, y):
        """Raise an error."""
        raise ValueError("no fit & <b>today</b>")


def test_interrupts_and_failures(survey_file, run, monkeypatch, working_directory):
    """Ctrl-C writes no report; a model that fails is named in it."""
    models = {"SpTGNN": _Interrupted()}
    for module in (compare, report):
        monkeypatch.setattr(module, "make_models", lambda *_: dict(models))
    command = ("report", survey_file, "--target", "SOC", "--splits", 2, "--folds", "block")
    code, out, _ = run(*command)
    assert code == 130
    assert "stopped after 0 of 2 fits" in out
    assert not (working_directory / "report.html").exists()
    models |= {"SpTGNN": _Unfit(), "XGBoost": BayesianRidge()}
    code, out, err = run(*command)
    assert code == 1, err
    page = read_page()
    assert "SpTGNN failed under block folds: ValueError: no fit & <b>today</b>" in page.text
    assert len(page.attributes("img", "src")) == 3  # samples, XGBoost, distances


def test_area_and_map(soil_files, fast_models, run):
    """With rasters and a map, the report has the area of applicability and the layers."""
    import xarray as xr

    with xr.open_dataset("dem.tif", engine="rasterio") as dem:
        band = dem["band_data"].isel(band=0, drop=True).to_numpy()
        layers = {"mean": (("y", "x"), band), "q95": (("y", "x"), band + 1)}
        soil = xr.Dataset(layers, coords={"y": dem["y"], "x": dem["x"]})
        soil.rio.write_crs(25832).rio.to_raster("soc.tif")
    rasters = ("--rasters", "dem.tif", "slope.tif")
    command = ("report", "soil.gpkg", "--target", "SOC", "--splits", 2, *rasters)
    code, _, err = run(*command, "--map", "soc.tif", "--folds", "block")
    assert code == 0, err
    page = read_page()
    assert ("h2", "Map") in page.headings
    share = re.search(r"(\d+\.\d) % of the cells are inside the area of applicability", page.text)
    assert share is not None and 50 < float(share[1]) <= 100
    assert "geometry.x, geometry.y, dem, slope" in page.text and "cells of the map" in page.text
    assert len(page.attributes("img", "src")) == 10  # two more of the area, two of the map


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "no.safetensors"], "no.safetensors: no such file"),
        (["--map", "no.tif"], "raster 'no.tif' cannot be opened"),
        (["--rasters", "no.tif"], "raster 'no.tif' cannot be opened"),
        (["--results", "soil.csv"], "--results soil.csv: is a file"),
        (["-o", "nowhere/report.html"], "the folder nowhere does not exist"),
        (["--splits", "1"], "--splits 1: must be at least 2"),
        (["--drop", "Eastin"], "did you mean Easting?"),
    ],
)
def test_invalid_options(survey_file, error_message, arguments, words):
    """Files and options are checked before any fit."""
    assert words in error_message("report", survey_file, "--target", "SOC", *arguments)


@pytest.mark.slow
def test_whole_path(soil_files, run):
    """Fit, map and report run one after the other, with the real models."""
    rasters = ("dem.tif", "slope.tif")
    quick = ("--members", 1, "--epochs", 2, "--jobs", 1, "--quiet")
    fitted = run("fit", "soil.gpkg", "--target", "SOC", "--rasters", *rasters, *quick)
    assert fitted[0] == 0
    mapped = run(
        *("map", "model.safetensors", *rasters, "--resample", "bilinear"),
        *("--layers", "mean,std,p<3", "-o", "soc.tif", "--quiet"),
    )
    assert mapped[0] == 0
    code, _, err = run(
        *("report", "soil.gpkg", "--target", "SOC", "--rasters", *rasters, *quick, "--quick"),
        *("--model", "model.safetensors", "--map", "soc.tif"),
    )
    assert code == 0, err
    page = read_page()
    assert "held-out R²" in page.text and "probability" in page.text
    assert len(page.attributes("img", "src")) == 14
