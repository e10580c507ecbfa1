"""
Does it work behind preprocessing steps?
========================================

Choose among forty covariates before the regressor in a Pipeline, and keep coordinates,
uncertainty and early stopping.
"""

# %%
# Steps that keep names
# ---------------------
# The regressor finds coordinates, dates and heights by name. ``set_output(transform="pandas")``
# keeps names through the steps before it, and ``verbose_feature_names_out=False`` keeps them
# unchanged. Only the covariates are chosen from; columns with a role pass through.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.impute import SimpleImputer
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from sptgnn_sklearn import SpTGNNRegressor, predict_interval, predict_uncertainty
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.model_selection import SpatialBlockKFold
from sptgnn_sklearn.plotting import ObservedPredictedDisplay

survey = make_soil_survey(300, n_covariates=40, covariate_sd=8, missing=0.05, random_state=0)
X, y = survey.data, survey.target
covariates = [name for name in X if name.startswith("cov_")]
roles = ["lon", "lat", "elevation", "date", "land_use"]


def pipeline(n_kept):
    """Return the regressor behind a choice of so many covariates."""
    choice = make_pipeline(SimpleImputer(), SelectKBest(f_regression, k=n_kept))
    columns = make_column_transformer(
        (choice, covariates), ("passthrough", roles), verbose_feature_names_out=False
    )
    return make_pipeline(
        columns.set_output(transform="pandas"),
        SpTGNNRegressor(
            time="date",
            elevation="elevation",
            base=None,
            n_members=2,
            max_epochs=15,
            random_state=0,
        ),
    )


# %%
# Steps are fitted anew in each fold
# ----------------------------------
# In a Pipeline means and choice are learnt from the training rows of each fold only. The early
# stopping of the network holds out places of these rows by itself, so that no set has to be
# handed through the steps.

scores = {}
for n_kept in (3, 10, 40):
    folds = cross_val_score(pipeline(n_kept), X, y, cv=SpatialBlockKFold(2))
    scores[n_kept] = folds.mean()
    print(f"{n_kept} covariates: R2 {folds.mean():.2f}, by block {folds.round(2)}")

# %%
# Uncertainty through the Pipeline
# --------------------------------
# A Pipeline hands on ``predict`` only. The functions ``predict_uncertainty`` and
# ``predict_interval`` find the regressor inside. Left, whether the choice pays. Right, held-out
# samples with their 90 % intervals.

best = max(scores, key=scores.get)
model = pipeline(best).fit(X[:240], y[:240])
said = predict_uncertainty(model, X[240:], coverage=0.9)
low, high = predict_interval(model, X[240:], coverage=0.5).T
print(f"50 % intervals hold {np.mean((low <= y[240:]) & (y[240:] <= high)):.0%}")

figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
axes[0].bar([str(n) for n in scores], list(scores.values()), color="#0072B2", width=0.6)
axes[0].set(xlabel="covariates kept of 40", ylabel="mean R² of held-out blocks")
axes[0].spines[["top", "right"]].set_visible(False)
ObservedPredictedDisplay.from_predictions(
    y[240:], said["mean"], said["lower"], said["upper"], ax=axes[1], unit="g/kg", coverage=0.9
)
plt.show()
