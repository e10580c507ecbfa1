"""
From rasters to a map with its area of applicability
====================================================

Predict every cell of a small raster, with its standard deviation and the area of applicability.
"""

# %%
# Samples and rasters
# -------------------
# Rasters are GeoTIFFs or, as here, an ``xarray.Dataset`` with a CRS: one variable per covariate,
# named like its column. High elevations are not sampled, as in many surveys.

import matplotlib.pyplot as plt
import numpy as np
import rioxarray  # noqa: F401 - registers the accessor .rio
import xarray as xr

from sptgnn_sklearn import AreaOfApplicability, SpTGNNRegressor, predict_map, sample_rasters
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.model_selection import SpatialBlockKFold
from sptgnn_sklearn.plotting import plot_map

settings = {"crs": "EPSG:32636", "n_covariates": 3, "extent_km": 200, "range_km": 120}
survey = make_soil_survey(500, **settings, random_state=4)
low = survey.data["elevation"] < survey.data["elevation"].quantile(0.7)
points, y = survey.data.loc[low, ["x", "y"]], survey.target[low]

step = 4_000
x = np.arange(400_000 + step / 2, 600_000, step)
north = np.arange(5_100_000 - step / 2, 4_900_000, -step)
centers = np.column_stack([np.tile(x, len(north)), np.repeat(north, len(x))])
cells = make_soil_survey(coordinates=centers, **settings, random_state=4).data
names = ["elevation", "cov_0", "cov_1", "cov_2"]
rasters = xr.Dataset(
    {name: (("y", "x"), cells[name].to_numpy().reshape(len(north), len(x))) for name in names},
    coords={"y": north, "x": x},
).rio.write_crs(settings["crs"])
print(f"{len(points)} samples, {rasters.sizes['y']} x {rasters.sizes['x']} cells")

# %%
# Covariates of the samples
# -------------------------
# The table of samples has coordinates only. Its covariates are read from the rasters, so that
# samples and cells of the map have values from the same source.

X = sample_rasters(points, rasters, crs=settings["crs"])
print(X.head(3).round(2))

# %%
# Fit the model and compute the area of applicability
# ---------------------------------------------------
# The area uses the folds with which the model is evaluated, and compares the covariates without the
# coordinates.

model = SpTGNNRegressor(crs=settings["crs"], elevation="elevation", n_estimators=3, random_state=0)
model.fit(X, y)
folds = SpatialBlockKFold(5, crs=settings["crs"])
area = AreaOfApplicability(columns=names, cv=folds, importance="equal").fit(X)
soil = predict_map(
    model,
    rasters,
    layers=["mean", "std", "aoa"],
    area=area,
    target="organic carbon",
    units="g/kg",
    verbose=0,
)
print(f"inside the area of applicability: {float(soil['aoa'].mean()):.0%} of the cells")

# %%
# Results
# -------
# Left, the prediction; white cells are outside the area of applicability, because no sample has
# similar covariates. Right, the standard deviation of all cells, which is extrapolated outside the
# area as well.

figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="compressed", sharey=True)
soil["inside"] = soil["mean"].where(soil["aoa"] == 1)
for ax, layer, title in (
    (axes[0], "inside", "inside the area of applicability"),
    (axes[1], "std", "all cells"),
):
    plot_map(soil, layer, ax=ax)
    ax.plot(X["x"], X["y"], "o", color="#444444", markersize=1.5)
    ax.set_title(title)
axes[1].set_ylabel("")
plt.show()
