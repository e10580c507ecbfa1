"""
Estimating a regional mean from a probability sample
====================================================

Estimate the mean carbon content of a region and of its zones from a stratified random sample, and
make the estimates more precise with a map that is biased.
"""

# %%
# A region and a sample
# ---------------------
# The region is a grid of 4,900 cells, of which the true values are known here. The map is that of a
# model of an older survey of 300 points in the west, whose laboratory method measured 10 % too
# much. The new sample is a stratified random one: 20 cells from each of four strata.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sptgnn_sklearn import XGBoostBaseline
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.estimation import design_estimate, model_assisted_estimate

edge = np.linspace(27.8, 32.2, 70)
grid = np.stack(np.meshgrid(edge, edge - 30), axis=-1).reshape(-1, 2)
region = make_soil_survey(coordinates=grid, trend_sd=0, season_sd=0, random_state=0)
cells = region.data.assign(soc=region.target)
cells["stratum"] = pd.qcut(cells["elevation"], 4, labels=["plain", "low", "high", "top"])
cells["zone"] = np.where(cells["lon"] < 30, "west", "east")

old = cells[cells["zone"] == "west"].sample(300, random_state=0)
model = XGBoostBaseline(time="date", elevation="elevation", random_state=0)
model.fit(old[region.data.columns], 1.1 * old["soc"])
cells["prediction"] = model.predict(cells[region.data.columns])


def draw_sample(random_state):
    """Return 20 random cells of each stratum."""
    return cells.groupby("stratum", observed=True).sample(20, random_state=random_state)


sample = draw_sample(0)

# %%
# The sample alone
# ----------------
# Stratum sizes are numbers of cells. ``fpc=True`` because cells are a finite population.

sizes = cells["stratum"].value_counts()
alone = design_estimate(
    sample["soc"], strata=sample["stratum"], stratum_sizes=sizes, fpc=True, coverage=0.9
)
print(alone)

# %%
# With the map
# ------------
# The residuals at the new sample are those of a model that was not fitted to it, so that their mean
# estimates the bias of the map.


def correct_map(sample, **zones):
    """Return the mean of the map, corrected by a sample."""
    return model_assisted_estimate(
        sample["soc"],
        sample["prediction"],
        cells["prediction"],
        strata=sample["stratum"],
        stratum_sizes=sizes,
        fpc=True,
        coverage=0.9,
        **zones,
    )


assisted = correct_map(sample)
print(assisted)
print(f"true mean {cells['soc'].mean():.2f}, mean of the map {cells['prediction'].mean():.2f}")

# %%
# Zones need not be strata. Each has the mean of the map, corrected by its own residuals.

zones = correct_map(sample, by=sample["zone"], cell_by=cells["zone"])
print(zones[["n", "estimate", "std", "sample_estimate", "sample_std", "gain"]].round(2))

# %%
# Other samples
# -------------
# Intervals hold the true mean in 90 % of all samples that could have been drawn, although the map
# is biased.

repeated = [correct_map(draw_sample(seed)) for seed in range(200)]
inside = [result.lower <= cells["soc"].mean() <= result.upper for result in repeated]
print(f"{100 * np.mean(inside):.0f} % of 200 intervals hold the true mean")

# %%
# Results
# -------
# Points are estimates with their standard errors, lines are the true means, and crosses the means
# of the map.

figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
groups = {"region": cells, **dict(list(cells.groupby("zone")))}
for position, (name, group) in enumerate(groups.items()):
    row = vars(assisted) if name == "region" else zones.loc[name]
    for shift, prefix, color in ((-0.15, "sample_", "#999999"), (0.15, "", "#0072B2")):
        text = ("with the map" if not prefix else "sample alone") if not position else None
        center, std = row[f"{prefix}estimate"], row[f"{prefix}std"]
        ax.errorbar(center, position + shift, xerr=std, fmt="o", color=color, label=text)
    ax.vlines(group["soc"].mean(), position - 0.3, position + 0.3, color="black")
    ax.plot(group["prediction"].mean(), position, "x", color="#D55E00")
ax.set(xlabel="mean soil organic carbon (g/kg)", yticks=range(3), yticklabels=list(groups))
ax.legend(frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, 1.18))
ax.spines[["top", "right"]].set_visible(False)
plt.show()
