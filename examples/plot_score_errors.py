"""
How certain is a score?
=======================

Standard errors of cross-validation scores, paired differences between models, and weights for
clustered samples.
"""

# %%
# A clustered survey
# ------------------
# Half of the samples lie in clusters.

import matplotlib.pyplot as plt
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sptgnn_sklearn import XGBoostBaseline, compare_models
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.model_selection import (
    inverse_intensity_weights,
    score_differences,
    score_intervals,
)

survey = make_soil_survey(300, clustered=0.5, field_sd=4, random_state=0)
X, y = survey.data.drop(columns=["date", "land_use"]), survey.target
models = {
    "trees": XGBoostBaseline(n_estimators=100),
    "line": make_pipeline(StandardScaler(), RidgeCV()),
}

# %%
# Scores with errors
# ------------------
# Blocks of locations are left out in turn, and the scores of the others compared: another survey of
# the same area and size would change R² by about its standard error.

result = compare_models(models, X, y, ["random", "block"])
print(result)

# %%
# Both models predict the same samples, so their difference is more certain than their scores.

print(result.differences("line").query("score in ['R2', 'RMSE']").round(3).to_string(index=False))

# %%
# Weights
# -------
# Scores of random folds are those of an average sample, and half of the samples are in clusters.
# Weights by the inverse of the sampling intensity make them scores of an average location. The
# functions for errors of scores need out-of-fold predictions only.

weights = inverse_intensity_weights(X)
trees, line = (result.select("random", name) for name in models)
for name, weight in {"samples": None, "area": weights}.items():
    scores = score_intervals(y, trees["mean"], X, sample_weight=weight)
    gain = score_differences(y, trees["mean"], line["mean"], X, sample_weight=weight)
    print(
        f"{name:8s} RMSE {scores.loc['RMSE', 'estimate']:.2f} "
        f"({scores.loc['RMSE', 'low']:.2f} to {scores.loc['RMSE', 'high']:.2f}), trees minus line "
        f"{gain.loc['RMSE', 'estimate']:.2f} ± {gain.loc['RMSE', 'std_error']:.2f}"
    )

# %%
# The area of a circle is the weight of a sample. On the right, 90 % intervals of R².

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
left.scatter(X["lon"], X["lat"], s=20 * weights, alpha=0.6, color="#0072B2")
left.set(xlabel="longitude (°)", ylabel="latitude (°)", aspect="equal")
left.set_title("weights by the inverse intensity")
r2 = result.scores().query("score == 'R2'")
labels = r2["folds"] + " folds, " + r2["model"]
reach = [r2["estimate"] - r2["low"], r2["high"] - r2["estimate"]]
right.errorbar(r2["estimate"], labels, xerr=reach, fmt="o", capsize=4, color="#0072B2")
right.set(xlabel="R²", title="90 % intervals")
right.invert_yaxis()
plt.show()

# %%
# :doc:`/folds` lists what these errors include and what they do not.
