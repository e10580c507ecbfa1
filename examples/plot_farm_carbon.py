"""
Carbon of a farm and its change
===============================

Estimate the mean carbon content, the carbon stock and the change over eight years of the fields of
a farm, with intervals that contain the correlated errors of a map.
"""

# %%
# A survey around a farm
# ----------------------
# The survey has 400 samples of a region of 16 by 16 km, taken over sixteen years. The farm has six
# fields on a grid of cells of 100 m, so that a cell is 1 ha. The carbon content is in percent; the
# survey is simulated, so that the true values of the cells are known.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sptgnn_sklearn import SpTGNNRegressor, predict_probability, sample_y
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.estimation import (
    UncertainValue,
    equivalent_thickness,
    estimate,
    estimate_change,
    estimate_stock,
    estimate_stock_change,
    soil_mass,
    stock,
)

settings = {
    "crs": "EPSG:32636",
    "extent_km": 16,
    "range_km": 6,
    "intercept": 20,
    "covariate_sd": 3,
    "field_sd": 3,
    "trend_sd": 2,
    "season_sd": 0,
    "random_state": 0,
}
survey = make_soil_survey(400, **settings)
percent = survey.target / 10

axis = np.arange(50, 2400, 100)
x, y = np.meshgrid(500_000 + axis, 5_000_000 + axis)
farm = make_soil_survey(coordinates=np.column_stack([x.ravel(), y.ravel()]), **settings)
cells = farm.data
number = (cells["x"] - 500_000) // 800 + 3 * ((cells["y"] - 5_000_000) // 1200)
fields = number.astype(int).map(dict(enumerate("ABCDEF"))).rename("field")

model = SpTGNNRegressor(
    time="date",
    elevation="elevation",
    base_estimator="xgboost",
    n_estimators=3,
    random_state=0,
)
model.fit(survey.data, percent)
print(f"{len(survey.data)} samples, {len(cells)} cells, {fields.nunique()} fields")

# %%
# Mean of each field
# ------------------
# ``std`` is that of the mean of a field. Independent errors of the cells would give the standard
# deviation of a cell over the root of their number; correlated ones count for fewer cells, whose
# number is ``n_effective``. ``p<2.0`` is the probability that the mean of the field is below 2 %.

in_2020 = cells.assign(date="2020-07-01")
means = estimate(model, in_2020, fields, below=2.0)
print(means.round(3).to_string())
print(estimate(model, in_2020, below=2.0).round(3).to_string())  # the whole farm

# %%
# The same numbers come from joint draws of the cells.

draws = pd.DataFrame(sample_y(model, in_2020, 200, random_state=0))
print(draws.groupby(fields.to_numpy()).mean().std(axis=1).round(3).to_dict())

# %%
# Where is the content below 2 %?
# -------------------------------
# The probability for a cell differs from that for the mean of its field, because it varies more.
# A function of the cells of a field, computed for each draw, gives the share of its area.

probability = predict_probability(model, in_2020, below=2.0)


def share_below(values, weights):
    """Return the share of the area with less than 2 %."""
    return np.average(values < 2, weights=weights)


shares = estimate(model, in_2020, fields, statistic=share_below)
print(shares[["estimate", "lower", "upper"]].round(2))
print(f"probability above 0.8 in {(probability > 0.8).sum()} of {len(cells)} cells")

# %%
# Change over eight years
# -----------------------
# Both dates are drawn jointly, because errors that stay the same cancel in a difference. The bounds
# are the standard deviations for errors that are independent between the dates, and for errors that
# stay the same. The true change, in percentage points, is the same in all fields.

change = estimate_change(model, "2012-07-01", "2020-07-01", fields, cells=cells)
true_change = -settings["trend_sd"] / 10 * np.sqrt(12) * 8 / 16
columns = ["estimate", "std", "std_independent", "std_persistent", "probability_of_increase"]
print(change[columns].round(3).to_string())
print(
    f"true change {true_change:.3f}; signal to noise {change['signal_to_noise'].min():.1f} to "
    f"{change['signal_to_noise'].max():.1f}"
)

# %%
# Stocks
# ------
# The layer is 30 cm thick. The bulk density of the farm has been measured with an error that is the
# same in all cells, and is lower where the content is higher. Totals of a farm need the area of the
# cells.

layer = {"thickness": 30, "content_unit": "%", "correlation": -0.5}
layer["bulk_density"] = UncertainValue(1.3, 0.05)
total = estimate_stock(model, in_2020, weights=1.0, statistic="total", **layer)
print(total.round(0))
print(f"2 % at 1.3 g/cm3 are {stock(2.0, 1.3, 30, content_unit='%'):.0f} t/ha in 30 cm")

# %%
# If the soil has become looser, a fixed depth compares different masses of soil.

mass = soil_mass(1.3, 30)
print(f"{mass:.0f} t/ha of soil are {equivalent_thickness(mass, 1.2):.1f} cm at 1.2 g/cm3")
by_method = {
    method: estimate_stock_change(
        model,
        "2012-07-01",
        "2020-07-01",
        cells=cells,
        method=method,
        bulk_density_after=UncertainValue(1.2, 0.05),
        **layer,
    ).loc["all", ["estimate", "std", "lower", "upper"]]
    for method in ("fixed_depth", "equivalent_mass")
}
print(pd.DataFrame(by_method).T.round(1))

# %%
# Results
# -------
# Left: probability of less than 2 % in each cell, with a line around the cells where it is above
# 0.8. Middle: means of the fields in 2020 and their 90 % intervals, crosses at the true means, and
# a line at 2 %. Right: change of the fields; thick lines are the 90 % intervals from joint draws,
# thin ones those for errors that are independent between the dates, and the dashed line is the true
# change.
#
# The predicted decline is smaller than the true one in all fields, because the model takes a part
# of it for noise. This error of the trend is common to all fields. Both kinds of intervals contain
# the true change of every field, and 0 as well: eight years of this decline are not significant
# with 400 samples.

figure, axes = plt.subplots(
    1, 3, figsize=(11, 4), layout="constrained", gridspec_kw={"width_ratios": [1.3, 1, 1]}
)
shape, extent = x.shape, (0, 2.4, 0, 2.4)
image = axes[0].imshow(
    probability.reshape(shape), origin="lower", extent=extent, cmap="cividis_r", vmin=0, vmax=1
)
figure.colorbar(image, ax=axes[0], label="probability of less than 2 %")
km = (axis / 1000, axis / 1000)
if (probability > 0.8).any():
    axes[0].contour(*km, probability.reshape(shape), levels=[0.8], colors="#D55E00")
axes[0].vlines([0.8, 1.6], 0, 2.4, color="white", linewidth=1)
axes[0].hlines(1.2, 0, 2.4, color="white", linewidth=1)
for label, part in cells.groupby(fields):
    center = (part[["x", "y"]].mean() - [500_000, 5_000_000]) / 1000
    axes[0].text(*center, label, color="white", ha="center", va="center", weight="bold")
axes[0].set(xlabel="km", ylabel="km")

static = farm.truth[["covariates", "field", "elevation"]].sum(axis=1) + settings["intercept"]
years = (pd.Timestamp("2020-07-01") - pd.Timestamp("2013-01-01")).days / 365.25
truth = (static / 10 + true_change * years / 8).groupby(fields.to_numpy()).mean()
position = np.arange(len(means))


def draw_intervals(ax, table, half_width=None, **style):
    """Draw horizontal intervals, those of the table or of a given half width."""
    low, high = table["lower"], table["upper"]
    if half_width is not None:
        low, high = table["estimate"] - half_width, table["estimate"] + half_width
    ax.hlines(position, low, high, **style)


draw_intervals(axes[1], means, color="#0072B2", linewidth=3)
axes[1].plot(means["estimate"], position, "o", color="#0072B2")
axes[1].plot(truth, position, "x", color="black", markersize=8)
axes[1].axvline(2, color="#D55E00", linewidth=1)
axes[1].set(xlabel="mean content in 2020 (%)")

draw_intervals(axes[2], change, 1.645 * change["std_independent"], color="#999999", linewidth=1)
draw_intervals(axes[2], change, color="#0072B2", linewidth=3)
axes[2].plot(change["estimate"], position, "o", color="#0072B2")
axes[2].axvline(true_change, color="black", linestyle="--", linewidth=1)
axes[2].axvline(0, color="#999999", linewidth=0.8)
axes[2].set(xlabel="change from 2012 to 2020 (%)")
for ax in axes[1:]:
    ax.invert_yaxis()
    ax.set(yticks=position, yticklabels=means.index)
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
