"""
Can it show a change over time?
===============================

Give the dates of sampling to the model, predict the same places year by year, and compare with a
decline that is known.
"""

# %%
# A survey of sixteen years
# -------------------------
# Each place is sampled once, at some date from 2005 to 2020. Organic carbon declines over these
# years, by an amount that is known because the survey is made up.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey

survey = make_soil_survey(800, trend_sd=5, season_sd=0, random_state=0)
X, y = survey.data, survey.target
model = SpTGNNRegressor(time="date", elevation="elevation", n_members=3, random_state=0).fit(X, y)

# %%
# The same places, year by year
# -----------------------------
# Only the date is changed. The mean over all places is compared, because its course is the trend
# and not what differs between places.

years = np.arange(2005, 2021)
yearly = [model.predict(X.assign(date=pd.Timestamp(f"{year}-07-01"))).mean() for year in years]
slope, _ = np.polyfit(X["date"].dt.year + X["date"].dt.day_of_year / 365, survey.truth["trend"], 1)
found = np.polyfit(years, yearly, 1)[0]
print(f"decline in truth {-slope:.2f}, as predicted {-found:.2f} g/kg a year")

# %%
# How to read it
# --------------
# Grey points are the samples, the dashed line is the true trend, and the solid line what the
# model predicts for all places in July of each year. It falls with the true trend, but is
# flatter: the model finds most of the decline and not all of it. Years before the first sample
# and after the last are not asked for, because there a trend would be extrapolated.

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(X["date"], y, "o", color="#bbbbbb", markersize=2.5, label="samples")
order = X["date"].argsort()
truth = y.mean() + survey.truth["trend"] - survey.truth["trend"].mean()
ax.plot(X["date"].iloc[order], truth.iloc[order], "--", color="#D55E00", label="true trend")
ax.plot(
    pd.to_datetime([f"{year}-07-01" for year in years]), yearly, color="#0072B2", label="SpTGNN"
)
ax.set(xlabel="date", ylabel="soil organic carbon (g/kg)")
ax.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.12))
ax.spines[["top", "right"]].set_visible(False)
plt.show()
