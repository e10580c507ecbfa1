"""
Selecting covariates
====================

Select covariates by the score of held-out blocks, and see which ones random folds select instead.
"""

# %%
# A survey with useless covariates
# --------------------------------
# Two covariates determine the target, together with a spatial field that no covariate explains. The
# other covariates have no effect: three are noise, and two are smooth surfaces that only say where
# a sample is, such as the distance to a corner of the area.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import KFold

from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.model_selection import ForwardSelection, spatial_blocks

rng = np.random.default_rng(0)
settings = {"covariate_sd": 0.0, "elevation_sd": 0.0, "trend_sd": 0.0, "season_sd": 0.0}
survey = make_soil_survey(300, field_sd=4.0, range_km=120, random_state=0, **settings)
place = survey.data[["lon", "lat"]]
offset = place - place.min()
names = ["clay", "rain", "noise_a", "noise_b", "noise_c"]
X = pd.DataFrame(rng.normal(size=(300, 5)), columns=names)
X["corner"] = np.hypot(offset["lon"], offset["lat"])
X["west_east"] = offset["lon"] ** 2
y = survey.target + 3 * X["clay"] + 3 * X["rain"]

# %%
# Two kinds of folds
# ------------------
# A random forest has no column roles, so the folds are passed as labels. For
# :class:`~sptgnn_sklearn.SpTGNNRegressor` and :class:`~sptgnn_sklearn.XGBoostBaseline` blocks of
# their coordinates are the default, and the coordinates stay. ``tol="standard_error"`` adds a
# covariate only if its gain exceeds the standard error of this gain.

blocks = spatial_blocks(place, n_blocks=10)
kinds = {"random": KFold(5, shuffle=True, random_state=0), "block": blocks}
forest = RandomForestRegressor(20, min_samples_leaf=3, random_state=0)
selections = {
    kind: ForwardSelection(forest, cv=cv, tol="standard_error").fit(X, y)
    for kind, cv in kinds.items()
}
for kind, selection in selections.items():
    print(f"{kind} folds select {', '.join(selection.selected_columns_)}")

# %%
# Scores of the steps
# -------------------
# Each point is one set of covariates, and the line connects the best sets of each step. The scores
# are those of pooled held-out predictions, with standard errors over folds.

fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
for ax, (kind, selection) in zip(axes, selections.items(), strict=True):
    table = selection.results_
    best = table.loc[table.groupby("step")["score"].idxmax()]
    ax.scatter(table["n_columns"], table["score"], s=12, color="0.6")
    ax.errorbar(
        best["n_columns"],
        best["score"],
        best["standard_error"],
        marker="o",
        capsize=3,
        color="#0072B2",
    )
    for _, row in best.iterrows():
        label = " + ".join(row["added"]) + ("" if row["selected"] else " (not added)")
        at = row["n_columns"], row["score"]
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
        ax.annotate(label, at, (6, 10), textcoords="offset points", bbox=box)
    ax.set(title=f"{kind} folds", xlabel="number of covariates", xticks=best["n_columns"])
    ax.set_xlim(right=best["n_columns"].max() + 2)
    ax.margins(y=0.15)
axes[0].set_ylabel("pooled R²")

# %%
# The estimate of accuracy
# ------------------------
# The score of the selected set is optimistic, because the set was selected by it. For an estimate,
# cross-validate the selection as a whole; a fitted selection is a regressor.

print(selections["block"].results_.query("selected")[["step", "added", "score"]].round(3))
