"""A small survey, covariate rasters of the same area, and a regressor that counts its calls."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
import rioxarray  # noqa: F401  (gives arrays their attribute `rio`)
import xarray as xr
from sklearn.base import BaseEstimator, RegressorMixin

from sptgnn_sklearn.datasets import make_soil_survey

CRS = "EPSG:32636"
COVARIATES = ("elevation", "land_use", "cov_0", "cov_1")
HEIGHT, WIDTH, CELL = 40, 56, 2000.0
CORNER = (440_000.0, 5_040_000.0)
LAND_USES = {1: "cropland", 2: "forest", 3: "grassland", 4: "wetland"}
DATE = datetime(2012, 6, 1)


def survey(n=160, crs=CRS):
    """Return samples of the area of the rasters, with four covariates and a date."""
    made = make_soil_survey(n, extent_km=120, range_km=40, crs=crs, random_state=0)
    pair = list(made.data.columns[:2])
    return made.data[[*pair, "date", *COVARIATES]], made.target


def grid_transform(height=HEIGHT):
    """Return the transform of the grid."""
    return rasterio.Affine(CELL, 0, CORNER[0], 0, -CELL, CORNER[1])


def centers():
    """Return cell centers (h * w, 2), row by row."""
    x = CORNER[0] + (np.arange(WIDTH) + 0.5) * CELL
    y = CORNER[1] - (np.arange(HEIGHT) + 0.5) * CELL
    return np.column_stack([axis.ravel() for axis in np.meshgrid(x, y)])


def cell_table():
    """Return the table of all cells, whose predictions a map must equal."""
    world = make_soil_survey(
        extent_km=120, range_km=40, crs=CRS, random_state=0, coordinates=centers()
    ).data
    table = world[["x", "y", "date", *COVARIATES]]
    # Elevation and covariates in the precision of the rasters.
    numbers = {name: table[name].astype("float32") for name in COVARIATES if name != "land_use"}
    return table.assign(date=pd.Timestamp(DATE), **numbers)


def bands_of(table):
    """Return arrays (h, w) of the covariates, with codes for categories."""
    codes = {level: code for code, level in LAND_USES.items()}
    results = {}
    for name in COVARIATES:
        values = table[name]
        values = values.map(codes).astype("uint8") if name == "land_use" else values
        results[name] = values.to_numpy().reshape(HEIGHT, WIDTH)
    return results


def as_dataset(bands, crs=CRS):
    """Return an xarray.Dataset of arrays on the grid."""
    xy = centers().reshape(HEIGHT, WIDTH, 2)
    dataset = xr.Dataset(
        {name: (("y", "x"), values) for name, values in bands.items()},
        coords={"y": xy[:, 0, 1], "x": xy[0, :, 0]},
    )
    return dataset if crs is None else dataset.rio.write_crs(crs)


def write_raster(path, bands, *, names=None, crs=CRS, transform=None, tile=16, **options):
    """Write a GeoTIFF, tiled unless `tile` is None; return its path."""
    bands = np.asarray(bands)
    bands = bands if bands.ndim == 3 else bands[None]
    tiled = {"tiled": True, "blockxsize": tile, "blockysize": tile} if tile else {}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(bands),
        height=bands.shape[1],
        width=bands.shape[2],
        dtype=bands.dtype,
        crs=crs,
        transform=transform or grid_transform(),
        **tiled,
        **options,
    ) as file:
        file.write(bands)
        for i, name in enumerate(names or [], start=1):
            file.set_band_description(i, name)
    return path


def write_stack(folder, bands, **options):
    """Write numeric covariates to one file and categories to another; return their paths."""
    folder = Path(folder)
    numbers = {name: values for name, values in bands.items() if name != "land_use"}
    stacked = np.stack(list(numbers.values()))
    return [
        write_raster(folder / "numbers.tif", stacked, names=list(numbers), **options),
        write_raster(folder / "land_use.tif", bands["land_use"], nodata=0, **options),
    ]


class CountingRegressor(RegressorMixin, BaseEstimator):
    """Regressor that sums columns and counts calls of `predict` and their rows."""

    calls, rows = 0, 0

    def __getstate__(self):
        """Counts and the planned failure are no part of the model, which they do not change."""
        other = {"calls", "rows", "fail_after", "error"}
        return {name: value for name, value in vars(self).items() if name not in other}

    def __setstate__(self, state):
        vars(self).update({"fail_after": None, "error": None} | state)

    def __init__(self, fail_after=None, error=None, factor=1.0):
        self.fail_after = fail_after
        self.error = error
        self.factor = factor

    def fit(self, X, y=None):
        self.feature_names_in_ = np.array(X.columns, dtype=object)
        self.n_features_in_ = X.shape[1]
        self.calls, self.rows = 0, 0
        return self

    def predict(self, X):
        if self.fail_after is not None and self.calls >= self.fail_after:
            raise self.error
        self.calls += 1
        self.rows += len(X)
        assert list(X.columns) == list(self.feature_names_in_)
        return self.factor * (X["a"] + 2 * X["b"] + X["x"] / 1000).to_numpy()
