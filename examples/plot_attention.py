"""
Which samples did a prediction look at?
=======================================

Draw the neighbours of one new place on a map, by relation, with the attention that each received.
"""

# %%
# A model and a new place
# -----------------------
# Three relations join a place to training samples: near on the ground, alike in covariates,
# alike in height. The place is taken from the middle of the survey.

import matplotlib.pyplot as plt
import numpy as np

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.plotting import plot_graph

survey = make_soil_survey(400, field_sd=7, random_state=0)
X, y = survey.data, survey.target
middle = [np.hypot(X["lon"] - 30, X["lat"]).argmin()]
new, train, y_train = X.iloc[middle], X.drop(middle), y.drop(middle)

model = SpTGNNRegressor(time="date", elevation="elevation", n_members=2, random_state=0)
model.fit(train, y_train)

# %%
# The graph that was built in fit
# -------------------------------
# Eight training samples and their three nearest neighbours in each relation. Spatial lines are
# short; those of covariates reach across the survey, where conditions are alike far away.

figure, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
plot_graph(model, train, rows=range(20, 399, 50), n_neighbors=3, ax=ax)
plt.show()

# %%
# ``attention`` is a table
# ------------------------
# A line for each relation and neighbour, with its weight and its distance. The weights of a
# relation sum to 1; what the network leaves to nobody is the line of neighbour -1.

looks = model.attention(new)
nobody = looks[looks["neighbor"] == -1].set_index("relation")["weight"]
print("left to nobody:", nobody.round(2).to_dict())
looks.head(11).round(3)

# %%
# How to read it
# --------------
# The star is the new place, grey points are training samples, lines go to its neighbours.
# Spatial neighbours lie around it; spectral neighbours may be anywhere, and those of height are
# drawn a little towards it. Thicker lines and darker points have more weight. Weights say where
# the network looks, not by how much a neighbour moves the prediction.

figure, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained", sharey=True)
seen = looks[looks["neighbor"] >= 0]
place = new[["lon", "lat"]].to_numpy()[0]
most = seen["weight"].max()
for ax, relation in zip(axes, model.relations_, strict=True):
    of_relation = seen[seen["relation"] == relation].sort_values("weight")
    ends = train[["lon", "lat"]].to_numpy()[of_relation["neighbor"]]
    ax.scatter(train["lon"], train["lat"], s=6, color="#cccccc", linewidths=0)
    for end, weight in zip(ends, of_relation["weight"], strict=True):
        ax.plot(*np.c_[place, end], color="#0072B2", alpha=0.6, linewidth=4 * weight / most)
    points = ax.scatter(
        *ends.T,
        c=of_relation["weight"],
        cmap="YlGnBu",
        vmin=0,
        vmax=most,
        s=40,
        edgecolors="#444444",
    )
    ax.plot(*place, marker="*", markersize=15, color="#D55E00", markeredgecolor="white")
    ax.set(title=f"{relation}: {nobody[relation]:.2f} to nobody", xlabel="longitude (°)")
    ax.set_aspect("equal")
axes[0].set_ylabel("latitude (°)")
figure.colorbar(points, ax=axes, label="weight", shrink=0.7)
plt.show()
