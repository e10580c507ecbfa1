"""
Next samples of a survey
========================

Propose the locations of further samples, and compute how many of them a change needs to be
detected.
"""

# %%
# A survey with a gap
# -------------------
# Most of the 150 samples lie in the western half of an area of 40 by 40 km. The model predicts the
# carbon content of 1,600 cells in 2020. The settings are small, so that the example is fast.

import matplotlib.pyplot as plt
import numpy as np

from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.estimation import minimum_detectable_change, propose_samples

settings = {
    "crs": "EPSG:32636",
    "extent_km": 40,
    "range_km": 20,
    "season_sd": 0,
    "n_covariates": 3,
    "random_state": 0,
}
many = make_soil_survey(260, **settings)
x_km = (many.data["x"] - 500_000) / 1000
kept = (x_km < 0) | (np.arange(260) % 8 == 0)
X, y = many.data[kept], many.target[kept]

axis = np.arange(-19_500, 20_000, 1000.0)
x, y_axis = np.meshgrid(500_000 + axis, 5_000_000 + axis)
places = np.column_stack([x.ravel(), y_axis.ravel()])
cells = make_soil_survey(coordinates=places, **settings).data.assign(date="2020-07-01")

model = SpTGNNRegressor(
    time="date",
    elevation="elevation",
    base_estimator="gaussian_process",
    network=NetworkConfig(hidden_size=16),
    n_estimators=3,
    random_state=0,
)
model.fit(X, y)
print(f"{len(X)} samples, {(X['x'] < 500_000).mean():.0%} of them in the west, {len(cells)} cells")

# %%
# Propose further samples
# -----------------------
# The greedy method takes one cell after the other, each time the one whose sample lowers the error
# of the mean of the area most. ``samples`` are those that exist. Spatial coverage (k-means) and
# random samples use no model. ``std`` is the error of the mean, by the joint draws of the model,
# whatever the method; ``relative_std`` is relative to that without further samples.

methods = ("greedy", "kmeans", "random")
proposals = {
    method: propose_samples(model, cells, 12, method=method, samples=X, random_state=0)
    for method in methods
}
print(proposals["greedy"].head(4).round(3).to_string())
for method, table in proposals.items():
    last = table.iloc[-1]
    print(f"{method:>8}: relative std {last['relative_std']:.2f} after {len(table)} samples")

# %%
# How many samples does a change need?
# ------------------------------------
# The change of the mean from 2020 to 2028 that a test at 5 % would detect with a probability of
# 0.8, if as many locations are sampled at both dates: at the same locations or at others.

detectable = minimum_detectable_change(
    model, 2020.5, 2028.5, cells=cells, n_locations=[10, 25, 50, 100], random_state=0
)
change = detectable["minimum_detectable_change"].loc["all"].unstack()
print(change.round(2).to_string())

# %%
# Results
# -------
# Left: standard deviation of the cells, existing samples (dots) and twelve proposals of the greedy
# method (triangles). They lie in the east, where samples are few. Middle: the expected error of the
# mean of the area with the samples of each method. Spatial coverage spreads its samples over the
# west as well, where they add little. Right: the detectable change falls with the number of
# locations. Revisits detect hardly smaller changes here, because errors at one place that are eight
# years apart are hardly correlated in this model.

std = model.predict(cells, return_std=True)[1].reshape(x.shape)
figure, axes = plt.subplots(
    1, 3, figsize=(12, 3.8), layout="constrained", gridspec_kw={"width_ratios": [1.3, 1, 1]}
)
image = axes[0].pcolormesh(axis / 1000, axis / 1000, std, cmap="cividis")
figure.colorbar(image, ax=axes[0], label="standard deviation (g/kg)")
axes[0].scatter(
    (X["x"] - 500_000) / 1000,
    (X["y"] - 5_000_000) / 1000,
    s=12,
    color="white",
    edgecolor="black",
    linewidth=0.5,
    label="samples",
)
greedy = proposals["greedy"]
axes[0].scatter(
    (greedy["x"] - 500_000) / 1000,
    (greedy["y"] - 5_000_000) / 1000,
    marker="^",
    s=50,
    color="#D55E00",
    edgecolor="white",
    label="proposals",
)
axes[0].set(xlabel="km", ylabel="km", aspect="equal")
figure.legend(loc="outside lower left", ncols=2, frameon=False)

colors = {"greedy": "#D55E00", "kmeans": "#0072B2", "random": "#999999"}
for method, table in proposals.items():
    axes[1].plot(np.arange(1, 13), table["std"], "o-", color=colors[method], label=method, ms=4)
axes[1].set(xlabel="number of further samples", ylabel="std of the mean (g/kg)", ylim=(0, None))
axes[1].legend(frameon=False)

for again, color, label in ((False, "#0072B2", "other locations"), (True, "#D55E00", "revisits")):
    axes[2].plot(change.index, change[again], "o-", color=color, label=label, ms=4)
axes[2].set(xlabel="locations at each date", ylabel="detectable change (g/kg)", ylim=(0, None))
axes[2].legend(frameon=False)
for ax in axes[1:]:
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
