"""
Feature importance, ablation and local Moran's I
================================================

Permute groups of columns, refit without parts of the model, and map clusters of residuals with the
same sign.
"""

# %%
# A survey and two models
# -----------------------
# This simulated survey contains a spatial field that is independent of the covariates. Trees on the
# covariates cannot predict it, so it remains in their residuals.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import KFold, cross_val_predict, cross_val_score

from sptgnn_sklearn import SpTGNNRegressor, XGBoostBaseline
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.inspection import ablation, grouped_permutation_importance, local_morans_i
from sptgnn_sklearn.metrics import (
    make_residual_morans_i_scorer,
    morans_i,
    neg_abs_residual_morans_i_scorer,
)
from sptgnn_sklearn.model_selection import SpatialBlockKFold

survey = make_soil_survey(300, field_sd=8, range_km=100, random_state=0)
X, y = survey.data, survey.target
roles = {"time": "date", "elevation": "elevation"}
# Without a base model, the score depends on the parts of the network alone.
model = SpTGNNRegressor(**roles, base_estimator=None, n_estimators=2, max_epochs=8, random_state=0)
folds = SpatialBlockKFold(3, n_blocks=30)

# %%
# Permutation importance
# ----------------------
# The columns of a group are permuted together in held-out rows; the importance is the decrease of
# R².

train, test = next(folds.split(X))
model.fit(X.iloc[train], y.iloc[train])
importance = grouped_permutation_importance(model, X.iloc[test], y.iloc[test], random_state=0)
print(importance[["mean", "std"]].round(3))

# %%
# Ablation
# --------
# The model is refitted on the same folds with one part changed. A difference smaller than its
# spread over folds is not significant. Random folds have training samples close to each held-out
# one, as in a dense survey; folds of blocks are far from all samples. The graph is worth its place
# in the first case only: over the distances of the second, neighbors have little in common.

changes = {
    "no graph": {"relations": ()},
    "no covariates": {"network__streams": ("position", "time")},
}
kinds = {"random folds": KFold(3, shuffle=True, random_state=0), "blocks": folds}
parts = {name: ablation(model, X, y, cv=cv, ingredients=changes) for name, cv in kinds.items()}
for name, table in parts.items():
    print(f"{name}\n{table.round(3)}\n")

# %%
# Spatial autocorrelation of the residuals
# ----------------------------------------
# Moran's I of held-out residuals, as a number and as a scorer that a search can maximize. Without
# autocorrelation it is close to zero.

trees = XGBoostBaseline(time="date", use_coordinates=False, n_estimators=100, random_state=0)
residuals = y - cross_val_predict(trees, X, y, cv=folds)
print(f"trees on covariates: Moran's I {morans_i(residuals, X[['lon', 'lat']]):.2f}")
for name, scorer in (
    ("default", neg_abs_residual_morans_i_scorer),
    ("20 neighbors", make_residual_morans_i_scorer(n_neighbors=20)),
):
    print(f"score, {name}: {cross_val_score(trees, X, y, cv=folds, scoring=scorer).mean():.2f}")

# %%
# Results
# -------
# Left, the decrease of R² when a group of columns is permuted. Middle, the change of R² when a part
# of the model is left out, with one standard deviation: without the graph the model is worse under
# random folds, and better in the blocks. Right, residuals of the trees: colored points belong to
# significant clusters, at a false discovery rate of 5 %. Orange clusters have more carbon than
# predicted, blue ones less, so a covariate may be missing there. The first call of
# ``local_morans_i`` compiles its loops and takes longer.

local = local_morans_i(residuals, X[["lon", "lat"]])
figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained", width_ratios=(1, 1, 1.3))
axes[0].barh(importance.index, importance["mean"], xerr=importance["std"], color="#0072B2")
axes[0].set(xlabel="decrease of R²", title="permutation importance")
axes[0].invert_yaxis()
for offset, color, (name, table) in zip(
    (-0.2, 0.2), ("#009E73", "#E69F00"), parts.items(), strict=True
):
    change = table.loc[list(changes)]
    position = np.arange(len(change)) + offset
    axes[1].barh(
        position, change["difference"], 0.38, xerr=change["difference_std"], color=color, label=name
    )
axes[1].axvline(0, color="#444444", linewidth=0.8)
axes[1].set(xlabel="change of R²", title="ablation")
axes[1].set_yticks(range(len(changes)), list(changes))
axes[1].invert_yaxis()
axes[1].legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
axes[1].locator_params(axis="x", nbins=4)
kinds = {
    "more than predicted": ("high-high", "#D55E00"),
    "less than predicted": ("low-low", "#0072B2"),
}
axes[2].scatter(X["lon"], X["lat"], s=8, color="#cccccc", linewidths=0, label="not significant")
for name, (quadrant, color) in kinds.items():
    rows = np.asarray(local["significant"] & (local["quadrant"] == quadrant))
    axes[2].scatter(X["lon"][rows], X["lat"][rows], s=22, color=color, label=name)
axes[2].set(xlabel="longitude (°)", ylabel="latitude (°)", aspect="equal", title="local Moran's I")
axes[2].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
plt.show()
