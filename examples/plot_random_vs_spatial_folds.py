"""
Why did my score fall with spatial folds?
=========================================

Score one model by random and by spatial folds, and see what each kind of folds asks.
"""

# %%
# A clustered survey
# ------------------
# Two thirds of the samples lie in clusters, as they do where roads and projects decide who
# samples.

import matplotlib.pyplot as plt
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_predict

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.model_selection import SpatialBlockKFold
from sptgnn_sklearn.plotting import FoldsDisplay, plot_fold_distances

survey = make_soil_survey(300, clustered=0.67, field_sd=7, random_state=1)
X, y = survey.data, survey.target
folds = {"random": KFold(4, shuffle=True, random_state=0), "spatial": SpatialBlockKFold(4)}

# %%
# One model, two scores
# ---------------------
# Predictions of all folds are put together before they are scored: the R² of a single block
# compares the model with the small variance inside that block.

model = SpTGNNRegressor(time="date", elevation="elevation", n_members=2, random_state=0)
scores = {
    name: r2_score(y, cross_val_predict(model, X, y, cv=splitter))
    for name, splitter in folds.items()
}
for name, score in scores.items():
    print(f"{name:8s} folds: R2 {score:.2f}")

# %%
# What the folds ask
# ------------------
# Above, which samples each fold holds out. Below, how far a held-out sample is from the nearest
# sample that trains (solid). With random folds it is as near as samples are to each other
# (dotted): a neighbour gives the answer away. With spatial folds it is many times farther.

figure, axes = plt.subplots(2, 2, figsize=(10, 8), layout="constrained")
for column, (name, splitter) in enumerate(folds.items()):
    FoldsDisplay.from_cv(X, splitter, ax=axes[0, column])
    axes[0, column].set_title(f"{name} folds: R² {scores[name]:.2f}")
    plot_fold_distances(X, splitter, ax=axes[1, column])
for ax in axes[1]:
    ax.set_xlim(0, 150)
plt.show()

# %%
# Neither score is wrong. The first holds for gaps inside the clusters, the second for places as
# far from all samples as the blocks were. Report the one whose distances are those of your map;
# :doc:`/folds` says which splitter that is.
