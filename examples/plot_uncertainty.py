"""
Aleatoric and epistemic uncertainty of a map
============================================

Split the uncertainty of a map into noise that more samples would not reduce and model uncertainty
that they would.
"""

# %%
# A survey with a gap
# -------------------
# The eastern third of the region is not sampled, and the measurement noise differs between
# locations. The survey is simulated, so the true noise is known.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import rioxarray  # noqa: F401 - registers the accessor .rio
import xarray as xr

from sptgnn_sklearn import SpTGNNRegressor, predict_probability
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.plotting import plot_map, shared_norm

settings = {"range_km": 400, "noise_variation": 0.8, "noise_sd": 4, "random_state": 3}
survey = make_soil_survey(750, **settings)
west = survey.data["lon"] < 30.7
X, y = survey.data[west], survey.target[west]

axis = np.linspace(-2.1, 2.1, 36)
lon, lat = np.meshgrid(30 + axis, axis)
grid = make_soil_survey(coordinates=np.column_stack([lon.ravel(), lat.ravel()]), **settings)
cells = grid.data.assign(date="2013-01-01")
print(f"{len(X)} samples, {len(cells)} cells")

# %%
# Two components
# --------------
# Every ensemble member predicts a mean and a variance. The mean of the variances is the aleatoric
# part, the variance of the means the epistemic part; their squared standard deviations sum to the
# total variance.

model = SpTGNNRegressor(time="date", elevation="elevation", n_estimators=5, random_state=0)
model.fit(X, y)
predicted = model.predict_uncertainty(cells)
gap_start = X["lon"].max()
region = np.where(cells["lon"] < gap_start, "sampled region", "gap")
noise = predicted.assign(true_noise=np.asarray(grid.truth["noise_sd"]))
print(noise[["true_noise", "aleatoric", "epistemic"]].groupby(region).mean().round(2))

# %%
# Maps
# ----
# True noise and the aleatoric part have one color scale. The aleatoric part is highest where the
# noise is, in the north-west, but its differences are smaller. The epistemic part has its own
# scale, because it is smaller.

layers = {
    "true noise": grid.truth["noise_sd"],
    "aleatoric": predicted["aleatoric"],
    "epistemic": predicted["epistemic"],
}
maps = xr.Dataset(
    {name: (("lat", "lon"), np.reshape(values, lon.shape)) for name, values in layers.items()},
    coords={"lat": axis, "lon": 30 + axis},
).rio.write_crs("EPSG:4326")
norm = shared_norm(maps[["true noise", "aleatoric"]], vmin=0)
figure, axes = plt.subplots(1, 3, figsize=(12, 3.9), layout="compressed", sharey=True)
for ax, name in zip(axes, layers, strict=True):
    options = {"vmin": 0} if name == "epistemic" else {"norm": norm}
    plot_map(maps, name, ax=ax, cmap="magma_r", label=f"{name} (g/kg)", **options)
    ax.label_outer()
figure.get_layout_engine().set(wspace=0.08)
axes[2].plot(X["lon"], X["lat"], "o", markersize=1.5, color="#0072B2")
axes[2].set_title("samples: blue dots", fontsize="medium")
plt.show()

# %%
# Averages from west to east
# --------------------------
# Single cells of the epistemic map depend on a few ensemble members. Averages over bands of equal
# longitude show the pattern: the epistemic part rises in the gap (gray). The aleatoric part
# declines with the true noise, and lies above it, because it also contains variation at small
# distances that no covariate explains. More samples would reduce the epistemic part only.

band = pd.cut(cells["lon"], 12).map(lambda interval: interval.mid).astype(float)
by_longitude = noise.groupby(band).mean()
lines = {
    "true_noise": ("--", "#444444"),
    "aleatoric": ("-", "#D55E00"),
    "epistemic": ("-", "#0072B2"),
}
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharex=True)
for ax, names in zip(axes, (["true_noise", "aleatoric"], ["epistemic"]), strict=True):
    for name in names:
        style, color = lines[name]
        label = name.replace("_", " ")
        ax.plot(by_longitude[name], linestyle=style, color=color, label=label)
    ax.axvspan(gap_start, 30 + axis.max(), color="#dddddd", zorder=0)
    ax.set(xlabel="longitude (°)", ylabel="mean of the band (g/kg)", xlim=(28, 30 + axis.max()))
    ax.set_ylim(0, 1.1 * by_longitude[names].max(axis=None))
    ax.legend(frameon=False, loc="lower left")
    ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Probability of low values
# -------------------------
# A decision often depends on a limit rather than on a mean. The probability of values below the
# limit includes both parts of the uncertainty. The lines are at probabilities of 0.2 and 0.8;
# between them, more samples are needed before a decision.

limit = 20
probability = predict_probability(model, cells, below=limit)
uncertain = (probability > 0.2) & (probability < 0.8)
print(f"probability between 0.2 and 0.8: {uncertain.mean():.0%} of the cells")

maps["p<20.0"] = ("lat", "lon"), probability.reshape(lon.shape)
figure, ax = plt.subplots(figsize=(5.5, 4.2), layout="compressed")
plot_map(maps, "p<20.0", ax=ax, cmap="RdBu_r", label=f"probability of less than {limit} g/kg")
ax.contour(lon, lat, maps["p<20.0"], levels=[0.2, 0.8], colors="#444444")
plt.show()
