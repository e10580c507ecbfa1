"""
Which expert is active where?
=============================

The mixture of experts routes every row to two of its four experts. Map the expert weights and
compare them between land uses.
"""

# %%
# Expert weights
# --------------
# ``expert_weights`` returns one column per ensemble member and expert. Experts of different members
# are unrelated, so the example uses one member.

import matplotlib.pyplot as plt

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.plotting import plot_experts, plot_training

survey = make_soil_survey(500, random_state=0)
X, y = survey.data, survey.target
model = SpTGNNRegressor(time="date", elevation="elevation", n_estimators=2, random_state=0)
model.fit(X, y)

shares = model.expert_weights(X)[0]
print(shares.head(3).round(2))
print("mean weight:", shares.mean().round(2).tolist())

# %%
# Results
# -------
# Left, samples colored by the expert with the largest weight. Patches mean that the experts divide
# the region; mixed colors mean that other features determine the routing. Right, mean weights by
# land use; similar bars mean that land use has little influence on the routing.

figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
plot_experts(model, X, member=0, ax=axes[0])
axes[0].set_title("expert with the largest weight")
colors = [points.get_facecolor()[0] for points in axes[0].collections]
by_land_use = shares.groupby(X["land_use"], observed=True).mean()
by_land_use.plot.barh(stacked=True, ax=axes[1], color=colors, legend=False, width=0.7)
axes[1].set(xlabel="mean weight", ylabel="", xlim=(0, 1))
axes[1].spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Number of epochs
# ----------------
# Rings mark the epoch that each member keeps, the one with the lowest error on its held-out
# locations. Rings at the right edge suggest a larger ``max_epochs``.

plot_training(model)
plt.show()
