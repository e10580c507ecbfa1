"""
Mapping change over time
========================

Fit the model with sampling dates, predict the same locations year by year, and compare the trend
with the known decline of a simulated survey.
"""

# %%
# A survey of sixteen years
# -------------------------
# Each location is sampled once, at a date between 2005 and 2020. Organic carbon declines over these
# years by a known amount.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey

survey = make_soil_survey(800, trend_sd=5, season_sd=0, random_state=0)
X, y = survey.data, survey.target
model = SpTGNNRegressor(time="date", elevation="elevation", n_estimators=3, random_state=0)
model.fit(X, y)

# %%
# The same locations, year by year
# --------------------------------
# Only the date changes. The mean over all locations removes the differences between them and leaves
# the trend.

years = np.arange(2005, 2021)
yearly = [model.predict(X.assign(date=pd.Timestamp(f"{year}-07-01"))).mean() for year in years]
slope, _ = np.polyfit(X["date"].dt.year + X["date"].dt.day_of_year / 365, survey.truth["trend"], 1)
predicted_slope = np.polyfit(years, yearly, 1)[0]
print(f"true decline {-slope:.2f}, predicted {-predicted_slope:.2f} g/kg per year")

# %%
# Results
# -------
# Gray points are the samples, the dashed line is the true trend, and the solid line the mean
# prediction for all locations in July of each year. The predicted trend has the right direction,
# but is flatter: the model recovers most of the decline. Years before the first and after the last
# sample would be extrapolated and are left out.

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
