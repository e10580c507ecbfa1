"""
Aleatoric and epistemic uncertainty of a map
============================================

Split the uncertainty of a map into noise that more samples would not reduce and model uncertainty
that they would.
"""

# %%
# A survey with a gap
# -------------------
# The eastern third of the region is not sampled, and the measurement noise differs between
# locations. The survey is simulated, so the true noise is known.

import matplotlib.pyplot as plt
import numpy as np

from sptgnn_sklearn import SpTGNNRegressor, predict_probability
from sptgnn_sklearn.datasets import make_soil_survey

settings = {"range_km": 400, "noise_variation": 0.8, "noise_sd": 4, "random_state": 3}
survey = make_soil_survey(750, **settings)
west = survey.data["lon"] < 30.7
X, y = survey.data[west], survey.target[west]

axis = np.linspace(-2.1, 2.1, 36)
lon, lat = np.meshgrid(30 + axis, axis)
grid = make_soil_survey(coordinates=np.column_stack([lon.ravel(), lat.ravel()]), **settings)
cells = grid.data.assign(date="2013-01-01")
print(f"{len(X)} samples, {len(cells)} cells")

# %%
# Two components
# --------------
# Every ensemble member predicts a mean and a variance. The mean of the variances is the aleatoric
# part, the variance of the means the epistemic part; their squared standard deviations sum to the
# total variance.

model = SpTGNNRegressor(time="date", elevation="elevation", n_estimators=3, random_state=0)
model.fit(X, y)
predicted = model.predict_uncertainty(cells)
region = np.where(cells["lon"] < X["lon"].max(), "sampled region", "gap")
print(predicted.groupby(region).mean().round(2))

# %%
# Results
# -------
# The aleatoric map estimates the true noise beside it, on the same color scale. The epistemic map
# shows the disagreement of the members; the table above compares its mean within and outside the
# sampled region. More samples would reduce the epistemic part only.

noise_max = max(predicted["aleatoric"].max(), grid.truth["noise_sd"].max())
panels = {
    "mean": (predicted["mean"], "viridis", {}),
    "true noise": (grid.truth["noise_sd"], "magma_r", {"vmin": 0, "vmax": noise_max}),
    "aleatoric": (predicted["aleatoric"], "magma_r", {"vmin": 0, "vmax": noise_max}),
    "epistemic": (predicted["epistemic"], "magma_r", {}),
}
figure, axes = plt.subplots(2, 2, figsize=(9.5, 8), layout="constrained", sharex=True, sharey=True)
for ax, (name, (values, cmap, limits)) in zip(axes.flat, panels.items(), strict=True):
    values = np.reshape(values, lon.shape)
    image = ax.pcolormesh(lon, lat, values, cmap=cmap, shading="nearest", **limits)
    figure.colorbar(image, ax=ax, label=f"{name} (g/kg)")
    ax.set(title=name, aspect="equal")
axes[1, 1].plot(X["lon"], X["lat"], "o", markersize=1.2, color="#0072B2", label="samples")
axes[1, 1].legend(loc="upper right", markerscale=3)
for ax in axes[1]:
    ax.set_xlabel("longitude (°)")
for ax in axes[:, 0]:
    ax.set_ylabel("latitude (°)")
plt.show()

# %%
# Probability of low values
# -------------------------
# A decision often depends on a limit rather than on a mean. The probability of values below the
# limit includes both parts of the uncertainty. The lines are at probabilities of 0.2 and 0.8;
# between them, more samples are needed before a decision.

limit = 20
probability = predict_probability(model, cells, below=limit)
uncertain = (probability > 0.2) & (probability < 0.8)
print(f"probability between 0.2 and 0.8: {uncertain.mean():.0%} of the cells")

figure, ax = plt.subplots(figsize=(5.5, 4.2), layout="constrained")
image = ax.pcolormesh(
    lon, lat, probability.reshape(lon.shape), cmap="RdBu_r", vmin=0, vmax=1, shading="nearest"
)
figure.colorbar(image, ax=ax, label=f"probability of less than {limit} g/kg")
ax.contour(lon, lat, probability.reshape(lon.shape), levels=[0.2, 0.8], colors="#444444")
ax.set(xlabel="longitude (°)", ylabel="latitude (°)", aspect="equal")
plt.show()
