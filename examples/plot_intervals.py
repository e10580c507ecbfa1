"""
Coverage of prediction intervals
================================

Compare intervals from MAPIE, calibrated on rows that were set aside, with those that the regressor
calibrates within ``fit``, and check their coverage on new samples.
"""

# %%
# Three kinds of intervals
# ------------------------
# Uncalibrated quantiles of the network (``calibration=None``); MAPIE's split conformal method,
# which needs rows that were not used for training; and the default calibration within ``fit``, on
# the held-out locations of each ensemble member, which sets no rows aside.

import matplotlib.pyplot as plt
import numpy as np
from mapie.conformity_scores import StdConformityScore
from mapie.regression import SplitConformalRegressor

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey

survey = make_soil_survey(1100, random_state=2)
# MAPIE validates X itself and accepts numeric arrays only.
X = survey.data.drop(columns=["date", "land_use"]).to_numpy()
y = survey.target.to_numpy()
train, conformal, new = slice(0, 300), slice(300, 500), slice(500, None)
train_and_conformal = slice(0, 500)

levels = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
settings = {"elevation": 2, "crs": "EPSG:4326", "n_estimators": 3, "random_state": 0}
raw = SpTGNNRegressor(calibration=None, **settings).fit(X[train], y[train])
calibrated = SpTGNNRegressor(**settings).fit(X[train_and_conformal], y[train_and_conformal])
mapie = SplitConformalRegressor(
    raw, confidence_level=levels, conformity_score=StdConformityScore(), prefit=True
).conformalize(X[conformal], y[conformal])

tails = np.sort(np.r_[(1 - levels) / 2, (1 + levels) / 2])
quantiles = raw.predict_quantiles(X[new], tails)
half = len(levels)
intervals = {
    "uncalibrated": np.stack([quantiles[:, :half][:, ::-1], quantiles[:, half:]], axis=1),
    "MAPIE": mapie.predict_interval(X[new])[1],
    "default": np.stack([calibrated.predict_interval(X[new], level) for level in levels], axis=2),
}

# %%
# Results
# -------
# Left, observed against nominal coverage: intervals on the diagonal are well calibrated, those
# below it are too narrow. Right, the mean width. Among calibrated intervals, narrower ones are
# better.

figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
axes[0].plot([0.45, 1], [0.45, 1], color="#444444", linewidth=1)
styles = (("--", "#999999"), ("-.", "#D55E00"), ("-", "#0072B2"))
for (name, limits), (style, color) in zip(intervals.items(), styles, strict=True):
    low, high = limits[:, 0], limits[:, 1]
    coverage = ((low <= y[new, None]) & (y[new, None] <= high)).mean(axis=0)
    width = (high - low).mean(axis=0)
    line = {"linestyle": style, "color": color, "marker": "o", "markersize": 4, "label": name}
    axes[0].plot(levels, coverage, **line)
    axes[1].plot(levels, width, **line)
    print(f"{name:12s} coverage of 90 % intervals {coverage[-2]:.1%}, width {width[-2]:.1f} g/kg")
axes[0].set(xlabel="nominal coverage", ylabel=f"observed coverage of {len(y[new])} new samples")
axes[1].set(xlabel="nominal coverage", ylabel="mean width (g/kg)")
axes[0].legend(frameon=False)
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
