"""
Do the intervals hold what they say?
====================================

Calibrate intervals by MAPIE on rows that were set aside, beside those that the regressor calibrates
inside ``fit``, and count how often they hold new samples.
"""

# %%
# Three ways to an interval
# -------------------------
# As the network states them (``calibration=None``); with MAPIE's split conformal method, which
# needs rows that were not trained on; and calibrated inside ``fit``, on places that members of
# the ensemble held out, where no row is set aside.

import matplotlib.pyplot as plt
import numpy as np
from mapie.conformity_scores import StdConformityScore
from mapie.regression import SplitConformalRegressor

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey

survey = make_soil_survey(1100, random_state=2)
# MAPIE checks X by itself and takes numbers only.
X = survey.data.drop(columns=["date", "land_use"]).to_numpy()
y = survey.target.to_numpy()
train, aside, new = slice(0, 300), slice(300, 500), slice(500, None)
both = slice(0, 500)

levels = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
settings = {"elevation": 2, "crs": "EPSG:4326", "n_members": 3, "random_state": 0}
raw = SpTGNNRegressor(calibration=None, **settings).fit(X[train], y[train])
own = SpTGNNRegressor(**settings).fit(X[both], y[both])
mapie = SplitConformalRegressor(
    raw, confidence_level=levels, conformity_score=StdConformityScore(), prefit=True
).conformalize(X[aside], y[aside])

tails = np.sort(np.r_[(1 - levels) / 2, (1 + levels) / 2])
quantiles = raw.predict_quantiles(X[new], tails)
half = len(levels)
limits = {
    "as stated": np.stack([quantiles[:, :half][:, ::-1], quantiles[:, half:]], axis=1),
    "MAPIE": mapie.predict_interval(X[new])[1],
    "inside fit": np.stack([own.predict_interval(X[new], level) for level in levels], axis=2),
}

# %%
# How to read it
# --------------
# Left, the share of new samples inside against the share that was promised: on the line is
# right, below it is too narrow. Right, how wide the intervals are. Of two that hold what they
# say, the narrower one is worth more.

figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
axes[0].plot([0.45, 1], [0.45, 1], color="#444444", linewidth=1)
for (name, low_high), style in zip(limits.items(), ("--", "-.", "-"), strict=True):
    low, high = low_high[:, 0], low_high[:, 1]
    inside = ((low <= y[new, None]) & (y[new, None] <= high)).mean(axis=0)
    width = (high - low).mean(axis=0)
    axes[0].plot(levels, inside, style, marker="o", markersize=4, label=name)
    axes[1].plot(levels, width, style, marker="o", markersize=4, label=name)
    print(f"{name:10s} 90 % interval holds {inside[-2]:.1%}, width {width[-2]:.1f} g/kg")
axes[0].set(xlabel="promised share", ylabel=f"share of {len(y[new])} new samples inside")
axes[1].set(xlabel="promised share", ylabel="mean width (g/kg)")
axes[0].legend(frameon=False)
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
