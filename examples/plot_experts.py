"""
Which expert serves where?
==========================

The mixture sends every row to two of its four experts. See on a map who serves which places, and
for which land use.
"""

# %%
# Shares of experts
# -----------------
# ``expert_weights`` gives a column for each member and expert. Experts of different members have
# nothing to do with each other, so one member is looked at.

import matplotlib.pyplot as plt

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.plotting import plot_experts, plot_training

survey = make_soil_survey(500, random_state=0)
X, y = survey.data, survey.target
model = SpTGNNRegressor(time="date", elevation="elevation", n_members=2, random_state=0)
model.fit(X, y)

shares = model.expert_weights(X)[0]
print(shares.head(3).round(2))
print("mean share:", shares.mean().round(2).tolist())

# %%
# How to read it
# --------------
# Left, each sample has the colour of the expert with the largest share. Patches say that experts
# divide the region among them; a mixture of colours says that they divide something else. Right,
# mean shares by land use: bars that look alike mean that land use does not decide who serves.

figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
plot_experts(model, X, member=0, ax=axes[0])
axes[0].set_title("expert with the largest share")
colours = [points.get_facecolor()[0] for points in axes[0].collections]
by_use = shares.groupby(X["land_use"], observed=True).mean()
by_use.plot.barh(stacked=True, ax=axes[1], color=colours, legend=False, width=0.7)
axes[1].set(xlabel="mean share", ylabel="", xlim=(0, 1))
axes[1].spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Was there enough training?
# --------------------------
# The loss falls to the end. Rings mark the epoch that each member keeps, where it errs least on the
# places that it left out: rings at the right edge would ask for more ``max_epochs``.

plot_training(model)
plt.show()
