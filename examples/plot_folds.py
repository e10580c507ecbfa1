"""
Which folds for which question?
===============================

Score one model on one clustered survey by seven kinds of folds, and hold the scores against what
the model is worth on the whole map.
"""

# %%
# A survey and the map that it is for
# -----------------------------------
# Two thirds of the samples lie in clusters; the map has cells everywhere. The survey is made up, so
# the truth of every cell is known, and with it the score that folds can only guess.

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

world = {"field_sd": 7, "range_km": 100, "random_state": 0}
survey = make_soil_survey(400, clustered=0.67, **world)
X, y = survey.data, survey.target
axis = np.linspace(-2.1, 2.1, 24)
lon, lat = (values.ravel() for values in np.meshgrid(30 + axis, axis))
cells = make_soil_survey(coordinates=np.column_stack([lon, lat]), **world)

small = {"n_estimators": 60, "max_depth": 3, "learning_rate": 0.1}  # many fits are to come
model = XGBoostBaseline(time="date", **small, random_state=0)
on_map = r2_score(cells.target, clone(model).fit(X, y).predict(cells.data))
print(f"{len(X)} samples; R2 of {len(cells.data)} cells of the map: {on_map:.2f}")

# %%
# How large are blocks?
# ---------------------
# As large as errors are alike: the range of the variogram of held-out residuals.

random = KFold(5, shuffle=True, random_state=0)
size = suggest_block_size(X, y - cross_val_predict(model, X, y, cv=random))
print(f"errors are alike up to {size:.0f} km")

# %%
# Seven kinds of folds
# --------------------
# All know the coordinates by the names of their columns. ``spatial_blocks`` gives labels of blocks
# for splitters of scikit-learn that take groups.

conditions = ["elevation", *(name for name in X if name.startswith("cov_"))]
kinds = {
    "random": random,
    "matched to the map": KNNDMKFold(5, prediction_points=cells.data[["lon", "lat"]]),
    "hexagons": SpatialBlockKFold(5, method="hexagon", spacing=size),
    "squares, as groups": GroupKFold(5),
    "one place, buffered": BufferedLeaveOneOut(size, n_locations=150),
    "places and years": LeaveLocationAndTimeOut(4, n_periods=2, time="date"),
    "conditions": EnvironmentalBlockKFold(5, columns=conditions),
}
squares = spatial_blocks(X, method="grid", spacing=size)


def score(cv, groups=None):
    """Return the R² of all held-out rows together; some folds do not test every row."""
    observed, predicted = [], []
    for train, test in cv.split(X, y, groups):
        observed.append(y.iloc[test])
        predicted.append(clone(model).fit(X.iloc[train], y.iloc[train]).predict(X.iloc[test]))
    return r2_score(np.concatenate(observed), np.concatenate(predicted))


groups = {"squares, as groups": squares}
scores = {name: score(cv, groups.get(name)) for name, cv in kinds.items()}
for name, found in scores.items():
    print(f"{name:20s} R2 {found:.2f}")

# %%
# What each kind holds out
# ------------------------
# A colour is a fold. Matched folds and blocks hold out whole clusters; rows of alike conditions may
# lie anywhere. The buffered kind holds out one place at a time, here the star, and does not train
# on what lies within the buffer either (orange).

figure, axes = plt.subplots(2, 3, figsize=(13, 5.6), layout="constrained")
for ax, name in zip(axes.flat, list(kinds)[1:], strict=True):
    if name != "one place, buffered":
        display = FoldsDisplay.from_cv(X, kinds[name], groups=groups.get(name), ax=ax)
        display.ax_.set_title(name)
        continue
    folds = kinds[name].split(X)
    train, test = min(folds, key=lambda fold: len(fold[0]))  # the one with most rows left out
    left_out = np.setdiff1d(np.arange(len(X)), np.r_[train, test])
    for rows, colour, label in ((train, "#bbbbbb", "train"), (left_out, "#E69F00", "left out")):
        places = X.iloc[rows]
        ax.scatter(
            places["lon"], places["lat"], s=14, color=colour, label=f"{label}: {len(rows)} rows"
        )
    ax.plot(*X[["lon", "lat"]].iloc[test].T.to_numpy(), "*", color="#D55E00", markersize=14)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, handletextpad=0.1)
    ax.set(xlabel="longitude (°)", ylabel="latitude (°)", aspect="equal", title=name)
plt.show()

# %%
# Which one guesses the score of the map?
# ---------------------------------------
# Left, the scores; the line is what the map is worth. Right, how far a held-out sample of the
# matched folds is from the nearest one that trains (solid). The line is nearer to that of the map's
# cells (dashed) than to that of the samples among each other (dotted), which is all that random
# folds ask. The other kinds answer other questions: new districts, a given distance, new years,
# conditions that nobody sampled.

figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", width_ratios=[3, 2])
bars = axes[0].barh(list(scores), list(scores.values()), color="#999999", height=0.7)
bars[list(scores).index("matched to the map")].set_color("#0072B2")
axes[0].axvline(on_map, color="#D55E00", label="on the map")
axes[0].bar_label(bars, fmt="%.2f", label_type="center", color="white")
axes[0].set(xlabel="R² of held-out samples", xlim=(0, 1.4 * max(scores.values())))
axes[0].invert_yaxis()
axes[0].legend(frameon=False, loc="upper right")
axes[0].spines[["top", "right"]].set_visible(False)
plot_fold_distances(X, kinds["matched to the map"], ax=axes[1])
plt.show()

# %%
# One survey is one draw. With another ``random_state`` the bars move, and blocks may come nearer
# than matched folds; random folds flatter again. :doc:`/folds` says more about each splitter.
