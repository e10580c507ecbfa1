"""
Using SpTGNN in a scikit-learn pipeline
=======================================

Select features from forty covariates before the regressor in a Pipeline, and keep coordinates,
uncertainty and early stopping.
"""

# %%
# Steps that keep column names
# ----------------------------
# The regressor finds coordinates, dates and elevation by column name.
# ``set_output(transform="pandas")`` preserves names through the preceding steps, and
# ``verbose_feature_names_out=False`` leaves them unchanged. Features are selected among the
# covariates only; columns with a role pass through.

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


def make_model(n_selected):
    """Return a pipeline that selects `n_selected` covariates."""
    selection = make_pipeline(SimpleImputer(), SelectKBest(f_regression, k=n_selected))
    columns = make_column_transformer(
        (selection, covariates), ("passthrough", roles), verbose_feature_names_out=False
    )
    return make_pipeline(
        columns.set_output(transform="pandas"),
        SpTGNNRegressor(
            time="date",
            elevation="elevation",
            base_estimator=None,
            n_estimators=2,
            max_epochs=15,
            random_state=0,
        ),
    )


# %%
# Cross-validation
# ----------------
# Imputation and selection are fitted to the training rows of each fold only. For early stopping,
# the network holds out locations of these rows itself, so no validation set has to be passed
# through the steps.

scores = {}
for n_selected in (3, 10, 40):
    folds = cross_val_score(make_model(n_selected), X, y, cv=SpatialBlockKFold(2))
    scores[n_selected] = folds.mean()
    print(f"{n_selected} covariates: R2 {folds.mean():.2f}, by block {folds.round(2)}")

# %%
# Uncertainty of a Pipeline
# -------------------------
# A Pipeline exposes only ``predict``. The functions ``predict_uncertainty`` and
# ``predict_interval`` find the regressor inside it. Left, R² by the number of selected covariates.
# Right, held-out samples with their 90 % intervals.

best = max(scores, key=scores.get)
model = make_model(best).fit(X[:240], y[:240])
predicted = predict_uncertainty(model, X[240:], coverage=0.9)
low, high = predict_interval(model, X[240:], coverage=0.5).T
print(f"coverage of 50 % intervals: {np.mean((low <= y[240:]) & (y[240:] <= high)):.0%}")

figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
axes[0].bar([str(n) for n in scores], list(scores.values()), color="#0072B2", width=0.6)
axes[0].set(xlabel="selected covariates of 40", ylabel="mean R² of held-out blocks")
axes[0].spines[["top", "right"]].set_visible(False)
ObservedPredictedDisplay.from_predictions(
    y[240:],
    predicted["mean"],
    predicted["lower"],
    predicted["upper"],
    coverage=0.9,
    ax=axes[1],
    unit="g/kg",
)
plt.show()
