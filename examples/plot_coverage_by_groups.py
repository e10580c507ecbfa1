"""
Coverage by groups
==================

Check whether 90 % intervals contain 90 % of new samples in every part of a survey, not only on
average: near and far from the training samples, in each region, and on each land use.
"""

# %%
# Out-of-fold intervals
# ---------------------
# Every row of the Meuse survey is predicted by a Gaussian process that was fitted without the row's
# fold. The first row of the table has all rows. The limits are those of a binomial share: a group
# is consistent if they contain the nominal coverage.

import matplotlib.pyplot as plt
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern, WhiteKernel
from sklearn.linear_model import BayesianRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sptgnn_sklearn.datasets import load_meuse, make_soil_survey
from sptgnn_sklearn.inspection import CoverageTable, coverage_table
from sptgnn_sklearn.metrics import coverage_by_group
from sptgnn_sklearn.model_selection import compare_models
from sptgnn_sklearn.plotting import CoverageDisplay

meuse = load_meuse()
numeric = meuse.data[["x", "y", "elev", "dist"]]
kernel = Matern(nu=1.5) + WhiteKernel()
model = make_pipeline(StandardScaler(), GaussianProcessRegressor(kernel, normalize_y=True))
comparison = compare_models(
    {"Gaussian process": model}, numeric, meuse.target, "random", crs=meuse.crs, progress=False
)
result = CoverageTable.from_comparison(
    comparison,
    "random",
    "Gaussian process",
    ["std", "distance", "region", {"flooding": meuse.data["ffreq"].to_numpy()}],
    n_groups=4,
)
print(result)

# %%
# The same as a figure. Of twenty groups about one is inconsistent by chance; the last line of the
# table therefore corrects the smallest p-value for the number of groups.

CoverageDisplay.from_table(result)
plt.show()

# %%
# A model whose intervals fail in one part
# ----------------------------------------
# The noise of this simulated survey differs between locations, but a linear model assumes that it
# is the same everywhere. Its intervals contain about 90 % of all new samples, too many where there
# is little noise, and too few where there is much.

survey = make_soil_survey(3000, noise_variation=0.8, random_state=0)
X = survey.data.drop(columns=["date", "land_use"]).fillna(0)
y = survey.target
train, new = slice(0, 1000), slice(1000, None)
linear = BayesianRidge().fit(X[train], y[train])
noise = {"noise": survey.truth["noise_sd"][new]}
audit = coverage_table(
    linear, X[new], y[new], ["region", "distance", noise], training_coordinates=X[train]
)
print(audit.worst.to_string())

# %%
# The regions of the table can be drawn on a map, because ``groups`` has the group of each row.

figure, axes = plt.subplots(1, 2, figsize=(10, 5), layout="constrained", width_ratios=[1.2, 1])
CoverageDisplay.from_table(audit, ax=axes[0])
colors = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000"]
regions = X[new].groupby(audit.groups["region"], observed=True)
for color, (region, rows) in zip(colors, regions, strict=False):
    axes[1].scatter(rows["lon"], rows["lat"], s=6, color=color, label=region)
axes[1].legend(title="region", frameon=False, bbox_to_anchor=(1, 1), markerscale=2)
axes[1].set(xlabel="longitude (°)", ylabel="latitude (°)", aspect="equal")
plt.show()

# %%
# Intervals from elsewhere
# ------------------------
# ``coverage_by_group`` needs the measured values, limits and groups only, here those of the
# known mean and noise.

mean, noise_sd = survey.truth["mean"][new], survey.truth["noise_sd"][new]
lower, upper = mean - 1.645 * noise_sd, mean + 1.645 * noise_sd
table = coverage_by_group(y[new], lower, upper, survey.data["land_use"][new])
print(table.round(3).to_string())
