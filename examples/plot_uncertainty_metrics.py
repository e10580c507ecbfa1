"""
Is the uncertainty honest, and which number says so?
====================================================

Score what a model states, then the same with deviations halved, deviations doubled and means
shifted, and see which score notices.
"""

# %%
# A model that states its uncertainty
# -----------------------------------
# It is scored on new samples of a made-up survey, whose noise differs from place to place.

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
model = SpTGNNRegressor(time="date", elevation="elevation", n_members=3, random_state=0)
model.fit(X[train], y[train])

# %%
# Accuracy
# --------
# How near are the means? R² is also known as the model efficiency coefficient. Lin's coefficient and
# RPIQ are usual in soil science. These numbers know nothing of uncertainty.

said = model.predict_uncertainty(X[new])
mean, std = said["mean"].to_numpy(), said["std"].to_numpy()
for score in (bias, concordance_correlation, r2_score, rpiq):
    print(f"{score.__name__}: {score(y_new, mean):.2f}")

# %%
# Honesty of uncertainty
# ----------------------
# Four statements, of which only the first is the model's own.

statements = {
    "as stated": (mean, std),
    "half as wide": (mean, std / 2),
    "twice as wide": (mean, 2 * std),
    "shifted up by 3 g/kg": (mean + 3, std),
}
reach = norm.ppf(0.95)  # of a 90 % interval, in standard deviations
table = {}
for name, (middle, spread) in statements.items():
    low, high = middle - reach * spread, middle + reach * spread
    below, above = tail_coverage(y_new, low, high)
    table[name] = {
        "inside 90 % interval": interval_coverage(y_new, low, high),
        "below": below,
        "above": above,
        "calibration error": expected_calibration_error(y_new, middle, spread),
        "interval score": interval_score(y_new, low, high, coverage=0.9),
        "CRPS": crps_gaussian(y_new, middle, spread),
    }
table = pd.DataFrame(table).T
print(table.round(3).to_string())
for promised, inside in zip(*reliability_curve(y_new, mean, std, levels=3), strict=True):
    print(f"central {promised:.0%} interval holds {inside:.0%}")

# %%
# A model that states quantiles is scored by these: they need not be those of a normal distribution.

levels = np.arange(1, 200) / 200
quantiles = model.predict_quantiles(X[new], levels)
print(f"CRPS of quantiles: {crps_of_quantiles(y_new, quantiles, levels):.3f} g/kg")
error = calibration_error_of_quantiles(y_new, quantiles, levels)
print(f"calibration error of quantiles: {error:.3f}")

# %%
# An ensemble of your own
# -----------------------
# Where each member states a normal distribution, the ensemble is their mixture. The level of a new
# sample in it is between 0 and 1, and all levels are equally frequent where the ensemble is honest.

numbers = X.drop(columns=["date", "land_use"]).to_numpy()
bag = BaggingRegressor(BayesianRidge(), n_estimators=10, random_state=0)
bag.fit(numbers[train], y[train])
stated = [member.predict(numbers[new], return_std=True) for member in bag.estimators_]
means, stds = (np.array(part) for part in zip(*stated, strict=True))
at = probability_integral_transform(y_new, means, stds)
print("ten linear models")
print(f"CRPS {crps_mixture(y_new, means, stds):.3f} g/kg")
print(f"log score {log_score_mixture(y_new, means, stds):.3f} nats")
print(f"calibration error {calibration_error_of_levels(at):.3f}")

# %%
# In cross-validation and searches
# --------------------------------
# Each has a scorer, of which greater is better. They take any estimator that states quantiles or a
# standard deviation, here a linear one.

scoring = {
    "CCC": concordance_correlation_scorer,
    "RPIQ": rpiq_scorer,
    "CRPS": neg_crps_scorer,
    "calibration": neg_calibration_error_scorer,
    "interval score": make_interval_score_scorer(0.9),
    "coverage": make_interval_coverage_scorer(0.9),
    "tails": make_tail_coverage_scorer(0.9),
}
places = X.drop(columns=["date", "land_use"])
found = cross_validate(BayesianRidge(), places, y, cv=SpatialBlockKFold(4), scoring=scoring)
for name in scoring:
    print(f"{name}: {found[f'test_{name}'].mean():.3f}")

# %%
# The pictures
# ------------
# Left, new samples beside their predictions, with 90 % intervals. Middle, how often central
# intervals hold what they should: on the line is honest, below it too sure. Right, levels of the
# new samples in the ensemble of linear models. Bars of one height are honest; a hump in the middle
# says too wide, horns at both ends too sure.

figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
agreement = ObservedPredictedDisplay.from_estimator(model, X[new], y_new, ax=axes[0], unit="g/kg")
agreement.ax_.set_ylabel("measured (g/kg)")
stated_levels = ReliabilityDisplay.from_estimator(
    model, X[new], y_new, name="as stated", ax=axes[1]
)
half = norm.ppf(levels, mean[:, None], std[:, None] / 2)
ReliabilityDisplay.from_predictions(
    y_new, half, levels, ax=stated_levels.ax_, name="half as wide"
)
axes[2].hist(at, bins=np.linspace(0, 1, 11), color="#999999", edgecolor="white")
axes[2].axhline(len(at) / 10, color="#444444", linewidth=1)
axes[2].set(xlabel="level in the mixture", ylabel="new samples", box_aspect=1)
axes[2].spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Which number notices?
# ---------------------
# Less is better of each. The calibration error sees wrong widths and overlooks the shift: what the
# intervals lose on one side they gain on the other. The tails see it, because misses pile up on one
# side. The interval score and the CRPS see all three. They ask for statements that are honest *and*
# narrow, and so tell which of two honest models is worth more; a model that gives every place the
# spread of the whole survey may be calibrated too.

table["worse tail, off by"] = (table[["below", "above"]] - 0.05).abs().max(axis=1)
shown = {
    "calibration error": "",
    "worse tail, off by": "",
    "interval score": " (g/kg)",
    "CRPS": " (g/kg)",
}
figure, axes = plt.subplots(1, 4, figsize=(12, 2.8), layout="constrained", sharey=True)
for ax, (name, unit) in zip(axes, shown.items(), strict=True):
    bars = ax.barh(table.index, table[name], color=["#0072B2", *["#999999"] * 3])
    ax.bar_label(bars, fmt="{:.3g}", padding=2)
    ax.set(xlabel=name + unit, xlim=(0, 1.25 * table[name].max()))
    ax.spines[["top", "right"]].set_visible(False)
axes[0].invert_yaxis()
plt.show()
