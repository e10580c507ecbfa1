"""Fixtures of the tests of the command line."""

import numpy as np
import pytest

from sptgnn_sklearn.cli import main
from sptgnn_sklearn.datasets import make_soil_survey


@pytest.fixture
def table():
    """Forty samples with an id, another target, a constant column and two missing values."""
    survey = make_soil_survey(40, n_covariates=2, n_informative=2, random_state=0)
    frame = survey.data.assign(soc=survey.target, target_clay=1.0 * np.arange(40), country="NL")
    frame.insert(0, "sample", [f"s{i}" for i in range(40)])
    frame.loc[3, "soc"] = np.nan
    frame.loc[5, "lon"] = np.nan
    return frame


@pytest.fixture
def numeric(table):
    """The numeric columns of the table."""
    return table.drop(columns=["sample", "country", "date", "land_use"])


@pytest.fixture
def working_directory(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys):
    """A function that returns exit code, standard output and standard error."""

    def run_arguments(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run_arguments


@pytest.fixture
def error_message(run):
    """A function that returns the one-line error of an invalid table or option."""

    def run_invalid(*arguments):
        code, _, err = run(*arguments)
        assert code == 2
        assert len(err.splitlines()) == 1, err
        assert err.startswith("sptgnn: error: ")
        return err

    return run_invalid


def surface(easting, northing, seed, length):
    """Return a smooth surface with waves of a length in meters."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(8, 2)) / length
    phases = rng.uniform(0, 2 * np.pi, 8)
    angles = np.multiply.outer(easting - 462_000, waves[:, 0])
    angles = angles + np.multiply.outer(northing - 5_803_000, waves[:, 1])
    return np.cos(angles + phases).sum(axis=-1) / 2


def write_surface(path, crs, cell, seed, length):
    """Write a surface around the points of `soil_points` as a GeoTIFF in another CRS."""
    import rioxarray  # noqa: F401
    import xarray as xr
    from pyproj import Transformer

    corners = np.array([[e, n] for e in (461_900, 464_100) for n in (5_802_900, 5_804_600)])
    x, y = Transformer.from_crs(25833, crs, always_xy=True).transform(*corners.T)
    columns = np.arange(x.min(), x.max(), cell) + cell / 2
    rows = np.arange(y.max(), y.min(), -cell) - cell / 2
    grid = np.meshgrid(columns, rows)
    easting, northing = Transformer.from_crs(crs, 25833, always_xy=True).transform(*grid)
    values = surface(easting, northing, seed, length).astype("float32")
    array = xr.DataArray(values, coords={"y": rows, "x": columns}, dims=("y", "x"))
    array.rio.write_crs(crs).rio.to_raster(path)


@pytest.fixture
def soil_files(working_directory):
    """Points with a target in soil.gpkg, dem.tif and slope.tif in two other CRSs."""
    import geopandas as gpd

    rng = np.random.default_rng(0)
    easting = 462_000 + 2_000 * rng.random(60)
    northing = 5_803_000 + 1_500 * rng.random(60)
    soc = 3 + surface(easting, northing, 1, 600) + 0.1 * rng.normal(size=60)
    points = gpd.GeoDataFrame(
        {"SampleID": [f"S{i:02d}" for i in range(60)], "SOC": soc.round(3)},
        geometry=gpd.points_from_xy(easting, northing),
        crs=25833,
    )
    points.to_file("soil.gpkg")
    write_surface("dem.tif", 25832, 100.0, 1, 600)
    write_surface("slope.tif", 3035, 150.0, 2, 400)
    return points
