"""
What is the model unsure of, and why?
=====================================

Take the uncertainty of a map apart: noise that more samples would not remove, and doubt that they
would.
"""

# %%
# A survey with a gap
# -------------------
# The eastern third of the region was not sampled, and the noise of the measurements differs from
# place to place. As the survey is made up, the true noise is known.

import matplotlib.pyplot as plt
import numpy as np

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey

world = {"range_km": 400, "noise_variation": 0.8, "noise_sd": 4, "random_state": 3}
survey = make_soil_survey(750, **world)
west = survey.data["lon"] < 30.7
X, y = survey.data[west], survey.target[west]

axis = np.linspace(-2.1, 2.1, 36)
lon, lat = np.meshgrid(30 + axis, axis)
grid = make_soil_survey(coordinates=np.column_stack([lon.ravel(), lat.ravel()]), **world)
cells = grid.data.assign(date="2013-01-01")
print(f"{len(X)} samples, {len(cells)} cells")

# %%
# Two parts of one uncertainty
# ----------------------------
# Every member of the ensemble states a mean and a variance. The mean of their variances is the
# aleatoric part, the variance of their means the epistemic one; squares add up.

model = SpTGNNRegressor(time="date", elevation="elevation", n_members=3, random_state=0).fit(X, y)
said = model.predict_uncertainty(cells)
sampled = np.where(cells["lon"] < X["lon"].max(), "where sampled", "elsewhere")
print(said.groupby(sampled).mean().round(2))

# %%
# How to read it
# --------------
# The aleatoric map shows where samples scatter about what the columns explain; the true noise
# beside it is what it should find. The epistemic map shows where members disagree, on average
# more in the east, where nobody sampled. It asks for more samples there, the aleatoric one does
# not.

shown = {
    "mean": (said["mean"], "viridis"),
    "true noise": (grid.truth["noise_sd"], "magma_r"),
    "aleatoric": (said["aleatoric"], "magma_r"),
    "epistemic": (said["epistemic"], "magma_r"),
}
figure, axes = plt.subplots(2, 2, figsize=(9.5, 8), layout="constrained", sharex=True, sharey=True)
for ax, (name, (values, cmap)) in zip(axes.flat, shown.items(), strict=True):
    image = ax.pcolormesh(lon, lat, np.reshape(values, lon.shape), cmap=cmap, shading="nearest")
    figure.colorbar(image, ax=ax, label=f"{name} (g/kg)")
    ax.set(title=name, aspect="equal")
axes[1, 1].plot(X["lon"], X["lat"], "o", markersize=1.2, color="#0072B2", label="samples")
axes[1, 1].legend(loc="upper right", markerscale=3)
for ax in axes[1]:
    ax.set_xlabel("longitude (°)")
for ax in axes[:, 0]:
    ax.set_ylabel("latitude (°)")
plt.show()
