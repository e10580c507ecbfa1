"""
Expected error far from the samples
===================================

Turn out-of-fold errors into a map of expected errors, by the dissimilarity of each map cell to the
samples.
"""

# %%
# A clustered survey
# ------------------
# Most samples lie in clusters, and the map covers the whole area. The survey is simulated, so the
# errors of all map cells are known.

import matplotlib.pyplot as plt
import numpy as np

from sptgnn_sklearn import AreaOfApplicability, XGBoostBaseline, compare_models
from sptgnn_sklearn.applicability import ErrorProfile, sample_distance
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.plotting import ErrorProfileDisplay

settings = {"field_sd": 7, "range_km": 100, "random_state": 0}
survey = make_soil_survey(400, clustered=0.67, **settings)
X, y = survey.data.drop(columns="date"), survey.target
axis = np.linspace(-2.1, 2.1, 24)
lon, lat = (values.ravel() for values in np.meshgrid(30 + axis, axis))
simulated = make_soil_survey(coordinates=np.column_stack([lon, lat]), **settings)
cells = simulated.data[X.columns]

small = {"n_estimators": 60, "max_depth": 3, "learning_rate": 0.1}  # for many fast fits
model = XGBoostBaseline(**small, random_state=0)

# %%
# Out-of-fold errors and dissimilarities
# --------------------------------------
# Random folds hold out single locations, with small dissimilarities to the training rows; blocks
# hold out regions, with larger ones. Both are held out from the same samples, so their errors and
# dissimilarities are joined to one profile over a wide range.

result = compare_models(model, X, y, ["random", "block"], progress=False)
dissimilarity, distance, error = [], [], []
for kind in ("random", "block"):
    held_out = result.select(kind, "XGBoostBaseline")
    area = AreaOfApplicability(estimator=model, cv=held_out["fold"], random_state=0).fit(X, y)
    dissimilarity.append(area.train_di_)
    distance.append(sample_distance(X, cv=held_out["fold"]))
    error.append(held_out["observed"] - held_out["mean"])
    profile = ErrorProfile.from_area(area, held_out)
    print(f"{kind} folds: RMSE {profile.rmse_:.1f} up to a DI of {profile.range_[1]:.2f}")

by_di = ErrorProfile(out_of_bounds="clip").fit(np.concatenate(dissimilarity), np.concatenate(error))
by_km = ErrorProfile(out_of_bounds="clip").fit(np.concatenate(distance), np.concatenate(error))

fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
ErrorProfileDisplay.from_profile(by_di, threshold=area.threshold_, unit="g/kg", ax=axes[0])
ErrorProfileDisplay.from_profile(by_km, label="distance (km)", unit="g/kg", ax=axes[1])

# %%
# Expected and actual errors of the map
# -------------------------------------
# Cells are sorted into three groups by their expected error. The RMSE of each group is compared
# with the mean of the expected errors, and with the RMSE of random folds, which is the same
# for all cells.

expected = by_km.predict(sample_distance(cells, X))
actual = simulated.target - model.fit(X, y).predict(cells)
order = np.argsort(expected)
groups = np.array_split(order, 3)
names = ["low", "middle", "high"]
shown = {
    "expected": [np.sqrt(np.mean(expected[group] ** 2)) for group in groups],
    "actual": [np.sqrt(np.mean(np.asarray(actual)[group] ** 2)) for group in groups],
}
fig, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
image = axes[0].pcolormesh(
    30 + axis, axis, expected.reshape(24, 24), cmap="magma_r", shading="nearest"
)
axes[0].scatter(X["lon"], X["lat"], s=4, color="#0072B2", label="samples")
axes[0].set(xlabel="longitude (°)", ylabel="latitude (°)", aspect="equal")
axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False, markerscale=2)
fig.colorbar(image, label="expected RMSE (g/kg)")
fig.get_layout_engine().set(w_pad=0.1)
for offset, color, (name, values) in zip(
    (-0.2, 0.2), ("#56B4E9", "#0072B2"), shown.items(), strict=True
):
    axes[1].bar(np.arange(3) + offset, values, 0.4, color=color, label=name)
random_rmse = result.table.set_index("folds").loc["random", "RMSE"]
axes[1].axhline(random_rmse, color="0.3", linestyle=":", label="random folds")
axes[1].set(xticks=range(3), xticklabels=names)
axes[1].set(xlabel="expected error of cells", ylabel="RMSE (g/kg)")
axes[1].legend(loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False, ncols=3)
axes[1].spines[["top", "right"]].set_visible(False)
for name, values in shown.items():
    print(name, np.round(values, 1))
