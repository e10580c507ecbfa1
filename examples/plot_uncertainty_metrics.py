"""
Metrics of predictive uncertainty
=================================

Score the predictive distributions of a model, then modified ones with half the standard deviation,
twice the standard deviation, and a shifted mean, and compare which metrics detect the changes.
"""

# %%
# A model with predictive uncertainty
# -----------------------------------
# The model is scored on new samples of a simulated survey whose noise differs between locations.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.ensemble import BaggingRegressor
from sklearn.linear_model import BayesianRidge
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_validate

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.metrics import (
    bias,
    calibration_error_of_levels,
    calibration_error_of_quantiles,
    concordance_correlation,
    concordance_correlation_scorer,
    crps_gaussian,
    crps_mixture,
    crps_of_quantiles,
    expected_calibration_error,
    interval_coverage,
    interval_score,
    log_score_mixture,
    make_interval_coverage_scorer,
    make_interval_score_scorer,
    make_tail_coverage_scorer,
    neg_calibration_error_scorer,
    neg_crps_scorer,
    probability_integral_transform,
    reliability_curve,
    rpiq,
    rpiq_scorer,
    tail_coverage,
)
from sptgnn_sklearn.model_selection import SpatialBlockKFold
from sptgnn_sklearn.plotting import ObservedPredictedDisplay, ReliabilityDisplay

survey = make_soil_survey(1000, noise_variation=0.6, random_state=0)
X, y = survey.data, survey.target
train, new = slice(0, 500), slice(500, None)
y_new = y[new].to_numpy()
model = SpTGNNRegressor(time="date", elevation="elevation", n_estimators=3, random_state=0)
model.fit(X[train], y[train])

# %%
# Accuracy
# --------
# Metrics of the predicted means. R² is also called model efficiency in soil science, where Lin's
# concordance correlation and RPIQ are common too.

predicted = model.predict_uncertainty(X[new])
mean, std = predicted["mean"].to_numpy(), predicted["std"].to_numpy()
for metric in (r2_score, bias, concordance_correlation, rpiq):
    print(f"{metric.__name__}: {metric(y_new, mean):.2f}")

# %%
# Calibration and sharpness
# -------------------------
# Four predictive distributions, of which the first is the model's own.

distributions = {
    "as predicted": (mean, std),
    "half as wide": (mean, std / 2),
    "twice as wide": (mean, 2 * std),
    "shifted up by 3 g/kg": (mean + 3, std),
}
half_width = norm.ppf(0.95)  # of a 90 % interval, in standard deviations
table = {}
for name, (center, spread) in distributions.items():
    low, high = center - half_width * spread, center + half_width * spread
    below, above = tail_coverage(y_new, low, high)
    table[name] = {
        "coverage of 90 % interval": interval_coverage(y_new, low, high),
        "below": below,
        "above": above,
        "calibration error": expected_calibration_error(y_new, center, spread),
        "interval score": interval_score(y_new, low, high, coverage=0.9),
        "CRPS": crps_gaussian(y_new, center, spread),
    }
table = pd.DataFrame(table).T
print(table.round(3).to_string())
for nominal, observed in zip(*reliability_curve(y_new, mean, std, levels=3), strict=True):
    print(f"central {nominal:.0%} interval: observed coverage {observed:.0%}")

# %%
# Predicted quantiles are scored directly, because they need not follow a normal distribution.

levels = np.arange(1, 200) / 200
quantiles = model.predict_quantiles(X[new], levels)
print(f"CRPS of quantiles: {crps_of_quantiles(y_new, quantiles, levels):.3f} g/kg")
error = calibration_error_of_quantiles(y_new, quantiles, levels)
print(f"calibration error of quantiles: {error:.3f}")

# %%
# Other ensembles
# ---------------
# An ensemble whose members predict normal distributions is a mixture. The probability integral
# transform (PIT) of a new sample is between 0 and 1, and uniformly distributed if the ensemble is
# well calibrated.

numeric = X.drop(columns=["date", "land_use"])
bagging = BaggingRegressor(BayesianRidge(), n_estimators=10, random_state=0)
bagging.fit(numeric[train].to_numpy(), y[train])
predictions = [
    member.predict(numeric[new].to_numpy(), return_std=True) for member in bagging.estimators_
]
means, stds = (np.array(part) for part in zip(*predictions, strict=True))
pit = probability_integral_transform(y_new, means, stds)
print("ten linear models")
print(f"CRPS {crps_mixture(y_new, means, stds):.3f} g/kg")
print(f"log score {log_score_mixture(y_new, means, stds):.3f} nats")
print(f"calibration error {calibration_error_of_levels(pit):.3f}")

# %%
# Cross-validation and searches
# -----------------------------
# Each metric has a scorer, for which greater is better. Scorers accept any estimator that predicts
# quantiles or a standard deviation, here a linear model.

scoring = {
    "CCC": concordance_correlation_scorer,
    "RPIQ": rpiq_scorer,
    "CRPS": neg_crps_scorer,
    "calibration": neg_calibration_error_scorer,
    "interval score": make_interval_score_scorer(0.9),
    "coverage": make_interval_coverage_scorer(0.9),
    "tails": make_tail_coverage_scorer(0.9),
}
scores = cross_validate(BayesianRidge(), numeric, y, cv=SpatialBlockKFold(4), scoring=scoring)
for name in scoring:
    print(f"{name}: {scores[f'test_{name}'].mean():.3f}")

# %%
# Plots
# -----
# Left, observed against predicted values with 90 % intervals. Middle, observed against nominal
# coverage of central intervals: a curve on the diagonal is well calibrated, one below it
# overconfident. Right, the PIT histogram of the linear models. A flat histogram is well calibrated;
# a hump in the middle means too wide distributions, peaks at both ends overconfident ones.

figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
ObservedPredictedDisplay.from_estimator(model, X[new], y_new, ax=axes[0], unit="g/kg")
ReliabilityDisplay.from_estimator(model, X[new], y_new, name="as predicted", ax=axes[1])
narrow = norm.ppf(levels, mean[:, None], std[:, None] / 2)
ReliabilityDisplay.from_predictions(y_new, narrow, levels, name="half as wide", ax=axes[1])
axes[2].hist(pit, bins=np.linspace(0, 1, 11), color="#999999", edgecolor="white")
axes[2].axhline(len(pit) / 10, color="#444444", linewidth=1)
axes[2].set(xlabel="probability integral transform", ylabel="new samples", box_aspect=1)
axes[2].spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Which metric detects which error?
# ---------------------------------
# Lower is better for all of them. The calibration error detects wrong widths, but not the shift,
# because the coverage lost on one side is gained on the other. Tail coverage detects the shift,
# because most misses are on one side. The interval score and the CRPS detect all three. They reward
# calibration *and* sharpness, and can rank two calibrated models: predicting the spread of the
# whole survey everywhere may be calibrated too, but is not sharp.

table["worse tail, error"] = (table[["below", "above"]] - 0.05).abs().max(axis=1)
units = {
    "calibration error": "",
    "worse tail, error": "",
    "interval score": " (g/kg)",
    "CRPS": " (g/kg)",
}
figure, axes = plt.subplots(1, 4, figsize=(12, 2.8), layout="constrained", sharey=True)
for ax, (name, unit) in zip(axes, units.items(), strict=True):
    bars = ax.barh(table.index, table[name], color=["#0072B2", *["#999999"] * 3])
    ax.bar_label(bars, fmt="{:.3g}", padding=2)
    ax.set(xlabel=name + unit, xlim=(0, 1.25 * table[name].max()))
    ax.spines[["top", "right"]].set_visible(False)
axes[0].invert_yaxis()
plt.show()
