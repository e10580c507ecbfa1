"""
An interactive map of predictions
=================================

Write a map with its interval and its area of applicability as one HTML page, to zoom, switch layers
and read values.
"""

# %%
# Predict a map
# -------------
# The survey and its rasters are simulated, as in :doc:`plot_map`. The layers ``lower`` and
# ``upper`` are the limits of a 90 % interval.

import argparse
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import rioxarray  # noqa: F401 - registers the accessor .rio
import xarray as xr

from sptgnn_sklearn import AreaOfApplicability, SpTGNNRegressor, predict_map
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.model_selection import SpatialBlockKFold
from sptgnn_sklearn.plotting import plot_map, shared_norm, style, write_interactive_map

settings = {"crs": "EPSG:32636", "n_covariates": 3, "extent_km": 200, "range_km": 120}
survey = make_soil_survey(400, **settings, random_state=4)
low = survey.data["elevation"] < survey.data["elevation"].quantile(0.8)
names = ["elevation", "cov_0", "cov_1", "cov_2"]
X, y = survey.data.loc[low, ["x", "y", *names]], survey.target[low]

step = 2_000
x = np.arange(400_000 + step / 2, 600_000, step)
north = np.arange(5_100_000 - step / 2, 4_900_000, -step)
centers = np.column_stack([np.tile(x, len(north)), np.repeat(north, len(x))])
cells = make_soil_survey(coordinates=centers, **settings, random_state=4).data
rasters = xr.Dataset(
    {name: (("y", "x"), cells[name].to_numpy().reshape(len(north), len(x))) for name in names},
    coords={"y": north, "x": x},
).rio.write_crs(settings["crs"])

model = SpTGNNRegressor(crs=settings["crs"], elevation="elevation", n_estimators=2, random_state=0)
model.fit(X, y)
folds = SpatialBlockKFold(5, crs=settings["crs"])
soil = predict_map(
    model,
    rasters,
    layers=["mean", "lower", "upper", "std", "aoa"],
    coverage=0.9,
    area=AreaOfApplicability(columns=names, cv=folds, importance="equal").fit(X),
    target="organic carbon",
    units="g/kg",
    verbose=0,
)

# %%
# The page
# --------
# The file contains the map and the program that draws it. It opens from a folder or an e-mail, and
# loads nothing from a network. A click shows the values of all layers; mean and limits share one
# color scale.

options = argparse.ArgumentParser()
options.add_argument("--out", type=Path, default=Path(sys.argv[0]).parent / "output")
folder = options.parse_args().out
folder.mkdir(parents=True, exist_ok=True)
write_interactive_map(soil, folder / "interactive_map.html", title="Organic carbon")

# %%
# The same map for print
# ----------------------
# ``style("paper")`` sets fonts and the width of two columns of a journal. The panels share one
# color scale and one color bar. :doc:`/figures` has more on both.

norm = shared_norm(soil[["lower", "mean", "upper"]])
with style("paper", width="double", height=62):
    figure, axes = plt.subplots(1, 3, layout="compressed", sharey=True)
    for ax, layer in zip(axes, ("lower", "mean", "upper"), strict=True):
        last = layer == "upper"
        plot_map(soil, layer, ax=ax, norm=norm, colorbar=last, label="organic carbon (g/kg)")
        ax.set_title(soil[layer].attrs["long_name"].removesuffix(" of organic carbon"))
        ax.label_outer()
plt.show()
