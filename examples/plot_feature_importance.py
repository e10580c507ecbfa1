"""
What drives the predictions, and where do they fail?
====================================================

Shuffle groups of columns, leave out parts of the model, and look for districts whose errors lie to
one side.
"""

# %%
# A survey and two models
# -----------------------
# Part of the soil of this made-up survey follows from no covariate, only from the place. Trees on
# covariates cannot know it; that is what the residuals are going to show.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import cross_val_predict, cross_val_score

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
# The network alone: without the trees that it starts from by default, what it is made of shows.
model = SpTGNNRegressor(**roles, base=None, n_members=2, max_epochs=8, random_state=0)
folds = SpatialBlockKFold(3, n_blocks=30)

# %%
# Which columns matter?
# ---------------------
# Shuffle a group of columns of rows that were held out, and see what the score loses. The columns
# of a group move together.

train, test = next(folds.split(X))
model.fit(X.iloc[train], y.iloc[train])
matter = grouped_permutation_importance(model, X.iloc[test], y.iloc[test], random_state=0)
print(matter[["mean", "std"]].round(3))

# %%
# Which parts of the model matter?
# --------------------------------
# The same folds without this and that. A difference that is smaller than its spread over folds says
# nothing. These folds hold out blocks, far from all samples, and so ask little of the graph:
# neighbours that are far away may even mislead.

changes = {
    "no graph": {"relations": ()},
    "no covariates": {"streams": ("position", "time")},
}
parts = ablation(model, X, y, cv=folds, ingredients=changes)
print(parts.round(3))

# %%
# Are errors alike nearby?
# ------------------------
# Moran's I of held-out errors, as a number and, with its sign turned, as a score that a search can
# raise. Without structure it is about zero.

trees = XGBoostBaseline(time="date", use_coordinates=False, n_estimators=100, random_state=0)
errors = y - cross_val_predict(trees, X, y, cv=folds)
print(f"trees on covariates: Moran's I of errors {morans_i(errors, X[['lon', 'lat']]):.2f}")
for name, scorer in (
    ("as it comes", neg_abs_residual_morans_i_scorer),
    ("of twenty neighbours", make_residual_morans_i_scorer(n_neighbors=20)),
):
    print(f"score {name}: {cross_val_score(trees, X, y, cv=folds, scoring=scorer).mean():.2f}")

# %%
# How to read it
# --------------
# Left and middle, what the score loses without a group of columns, and what it gains or loses
# without a part of the model; bars are one standard deviation. Right, the errors of trees: coloured
# points differ from what chance would put beside each other, with one in twenty of them in error.
# Red districts have more carbon than was predicted, blue ones less: something is missing there.
# The first call of ``local_morans_i`` compiles what it needs, and takes a while.

local = local_morans_i(errors, X[["lon", "lat"]])
figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained", width_ratios=(1, 1, 1.3))
axes[0].barh(matter.index, matter["mean"], xerr=matter["std"], color="#0072B2")
axes[0].set(xlabel="loss of R² when shuffled", title="columns")
axes[0].invert_yaxis()
without = parts.drop("as given")
axes[1].barh(without.index, without["difference"], xerr=without["difference_std"], color="#009E73")
axes[1].axvline(0, color="#444444", linewidth=0.8)
axes[1].set(xlabel="change of R²", title="parts of the model")
axes[1].invert_yaxis()
kinds = {
    "more than predicted": ("high-high", "#D55E00"),
    "less than predicted": ("low-low", "#0072B2"),
}
axes[2].scatter(X["lon"], X["lat"], s=8, color="#cccccc", linewidths=0, label="as chance would")
for name, (quadrant, colour) in kinds.items():
    rows = np.asarray(local["significant"] & (local["quadrant"] == quadrant))
    axes[2].scatter(X["lon"][rows], X["lat"][rows], s=22, color=colour, label=name)
axes[2].set(xlabel="longitude (°)", ylabel="latitude (°)", aspect="equal", title="errors of trees")
axes[2].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
plt.show()
