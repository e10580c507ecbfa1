"""
Random and spatial cross-validation
===================================

Score one model on random and on spatial folds, and compare the prediction distances of both.
"""

# %%
# A clustered survey
# ------------------
# Two thirds of the samples lie in clusters, as is common where accessibility determines the
# sampling locations.

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
# Predictions of all folds are scored together, because the R² of a single block is relative to the
# small variance within that block.

model = SpTGNNRegressor(time="date", elevation="elevation", n_estimators=2, random_state=0)
scores = {
    name: r2_score(y, cross_val_predict(model, X, y, cv=splitter))
    for name, splitter in folds.items()
}
for name, score in scores.items():
    print(f"{name:8s} folds: R2 {score:.2f}")

# %%
# Prediction distances
# --------------------
# Top, the samples that each fold holds out. Bottom, the distance from held-out samples to the
# nearest training sample (solid). With random folds it equals the distance between samples
# (dotted), so a neighbor gives away much of the answer. With spatial folds it is many times larger.

figure, axes = plt.subplots(2, 2, figsize=(10, 8), layout="constrained")
for column, (name, splitter) in enumerate(folds.items()):
    FoldsDisplay.from_cv(X, splitter, ax=axes[0, column])
    axes[0, column].set_title(f"{name} folds: R² {scores[name]:.2f}")
    plot_fold_distances(X, splitter, ax=axes[1, column])
for ax in axes[1]:
    ax.set_xlim(0, 150)
plt.show()

# %%
# Neither score is wrong. The first is valid for gaps within the clusters, the second for locations
# as far from all samples as the held-out blocks. Report the one whose prediction distances match
# your map; :doc:`/folds` helps to choose the splitter.
