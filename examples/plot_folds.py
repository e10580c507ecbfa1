"""
Choosing cross-validation folds
===============================

Score one model on a clustered survey with seven kinds of folds, and compare the scores with the
true accuracy of the map.
"""

# %%
# A clustered survey and the map area
# -----------------------------------
# Two thirds of the samples lie in clusters, whereas the map covers the whole area. The survey is
# simulated, so the true values of all map cells, and therefore the accuracy of the map, are known.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, KFold, cross_val_predict

from sptgnn_sklearn import XGBoostBaseline
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.model_selection import (
    BufferedLeaveOneOut,
    EnvironmentalBlockKFold,
    KNNDMKFold,
    LeaveLocationAndTimeOut,
    SpatialBlockKFold,
    spatial_blocks,
    suggest_block_size,
)
from sptgnn_sklearn.plotting import FoldsDisplay, plot_fold_distances

settings = {"field_sd": 7, "range_km": 100, "random_state": 0}
survey = make_soil_survey(400, clustered=0.67, **settings)
X, y = survey.data, survey.target
axis = np.linspace(-2.1, 2.1, 24)
lon, lat = (values.ravel() for values in np.meshgrid(30 + axis, axis))
cells = make_soil_survey(coordinates=np.column_stack([lon, lat]), **settings)

small = {"n_estimators": 60, "max_depth": 3, "learning_rate": 0.1}  # for many fast fits
model = XGBoostBaseline(time="date", **small, random_state=0)
on_map = r2_score(cells.target, clone(model).fit(X, y).predict(cells.data))
print(f"{len(X)} samples; R2 of {len(cells.data)} map cells: {on_map:.2f}")

# %%
# Block size
# ----------
# The range of the variogram of held-out residuals is a suitable block size.

random = KFold(5, shuffle=True, random_state=0)
size = suggest_block_size(X, y - cross_val_predict(model, X, y, cv=random))
print(f"residuals are correlated up to {size:.0f} km")

# %%
# Seven kinds of folds
# --------------------
# All splitters find the coordinates by their column names. ``spatial_blocks`` returns block labels
# for scikit-learn splitters that use groups.

conditions = ["elevation", *(name for name in X if name.startswith("cov_"))]
kinds = {
    "random": random,
    "kNNDM": KNNDMKFold(5, prediction_points=cells.data[["lon", "lat"]]),
    "hexagons": SpatialBlockKFold(5, method="hexagon", spacing=size),
    "squares, as groups": GroupKFold(5),
    "buffered leave-one-out": BufferedLeaveOneOut(size, n_locations=150),
    "locations and years": LeaveLocationAndTimeOut(4, n_periods=2, time="date"),
    "environmental blocks": EnvironmentalBlockKFold(5, columns=conditions),
}
squares = spatial_blocks(X, method="grid", spacing=size)


def score(cv, groups=None):
    """Return the R² of all held-out rows together; some splitters do not test every row."""
    observed, predicted = [], []
    for train, test in cv.split(X, y, groups):
        observed.append(y.iloc[test])
        predicted.append(clone(model).fit(X.iloc[train], y.iloc[train]).predict(X.iloc[test]))
    return r2_score(np.concatenate(observed), np.concatenate(predicted))


groups = {"squares, as groups": squares}
scores = {name: score(cv, groups.get(name)) for name, cv in kinds.items()}
for name, r2 in scores.items():
    print(f"{name:22s} R2 {r2:.2f}")

# %%
# Held-out rows
# -------------
# Each color is a fold. Hexagons and squares hold out most clusters as a whole, and kNNDM splits
# them where the map is close to samples; rows of one environmental block can be anywhere. Buffered
# leave-one-out holds out one location at a time, here the star, and excludes the rows within the
# buffer (orange) from training.

figure, axes = plt.subplots(
    2, 3, figsize=(12.5, 6.2), layout="constrained", sharex=True, sharey=True
)
for ax, name in zip(axes.flat, list(kinds)[1:], strict=True):
    if name != "buffered leave-one-out":
        display = FoldsDisplay.from_cv(X, kinds[name], groups=groups.get(name), ax=ax)
        display.ax_.set_title(name)
        continue
    folds = kinds[name].split(X)
    train, test = min(folds, key=lambda fold: len(fold[0]))  # the fold with most excluded rows
    excluded = np.setdiff1d(np.arange(len(X)), np.r_[train, test])
    for rows, color, label in ((train, "#bbbbbb", "train"), (excluded, "#E69F00", "excluded")):
        ax.scatter(
            X["lon"].iloc[rows],
            X["lat"].iloc[rows],
            s=10,
            color=color,
            label=f"{label}: {len(rows)} rows",
        )
    star = X[["lon", "lat"]].iloc[test].T.to_numpy()
    ax.plot(*star, "*", color="#D55E00", markersize=14, label="test")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, handletextpad=0.1)
    ax.set(xlabel="longitude (°)", ylabel="latitude (°)", aspect="equal", title=name)
for ax in axes.flat:
    ax.label_outer()
plt.show()

# %%
# Which folds estimate the accuracy of the map?
# ---------------------------------------------
# Left, the scores; the line is the accuracy of the map. Right, the distance from held-out samples
# of kNNDM to the nearest training sample (solid). It is closer to the distance of the map cells
# (dashed) than to that between samples (dotted), which random folds have. The other folds estimate
# the accuracy for other purposes: new regions, a given distance, new years, unsampled conditions.

figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", width_ratios=[3, 2])
bars = axes[0].barh(list(scores), list(scores.values()), color="#bbbbbb", height=0.7)
bars[list(scores).index("kNNDM")].set_color("#0072B2")
axes[0].axvline(on_map, color="#D55E00", label="accuracy of the map")
axes[0].bar_label(bars, fmt="%.2f", padding=4)
axes[0].set(xlabel="R² of held-out samples", xlim=(0, 1.2 * max(scores.values())))
axes[0].invert_yaxis()
axes[0].legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1))
axes[0].spines[["top", "right"]].set_visible(False)
plot_fold_distances(X, kinds["kNNDM"], ax=axes[1])
plt.show()

# %%
# This is one simulated survey. With another ``random_state`` the scores change, and blocks can be
# closer than kNNDM. :doc:`/folds` describes each splitter.
