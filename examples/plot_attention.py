"""
Attention to neighboring samples
================================

Map the neighbors of a new location in each relation, with their attention weights.
"""

# %%
# A model and a new location
# --------------------------
# Three relations connect a location to training samples: by distance, by similar covariates and by
# similar elevation. The new location is taken from the middle of the survey.

import matplotlib.pyplot as plt
import numpy as np

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.plotting import plot_graph

survey = make_soil_survey(400, field_sd=7, random_state=0)
X, y = survey.data, survey.target
middle = [np.hypot(X["lon"] - 30, X["lat"]).argmin()]
X_new, X_train, y_train = X.iloc[middle], X.drop(middle), y.drop(middle)

model = SpTGNNRegressor(time="date", elevation="elevation", n_estimators=2, random_state=0)
model.fit(X_train, y_train)

# %%
# The training graph
# ------------------
# Eight training samples and their three nearest neighbors in each relation. Spatial edges are
# short; spectral edges span the survey, because similar covariates also occur far away.

figure, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
plot_graph(model, X_train, rows=range(20, 399, 50), n_neighbors=3, ax=ax)
plt.show()

# %%
# ``attention_weights`` returns a table
# -------------------------------------
# There is one row for each relation and neighbor, with weight and distance. The weights of a
# relation sum to 1; neighbor -1 is the attention not assigned to any neighbor.

attention = model.attention_weights(X_new)
unassigned = attention[attention["neighbor"] == -1].set_index("relation")["weight"]
print("unassigned:", unassigned.round(2).to_dict())
attention.head(11).round(3)

# %%
# Results
# -------
# The star is the new location, gray points are training samples, and lines connect the location to
# its neighbors. Spatial neighbors surround it, spectral neighbors can be anywhere, and those by
# elevation are slightly attracted to it. Thicker lines and darker points have larger weights. The
# weights do not measure how much a neighbor changes the prediction.

figure, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained", sharey=True)
neighbors = attention[attention["neighbor"] >= 0]
location = X_new[["lon", "lat"]].to_numpy()[0]
largest = neighbors["weight"].max()
for ax, relation in zip(axes, model.relations_, strict=True):
    edges = neighbors[neighbors["relation"] == relation].sort_values("weight")
    ends = X_train[["lon", "lat"]].to_numpy()[edges["neighbor"]]
    ax.scatter(X_train["lon"], X_train["lat"], s=6, color="#cccccc", linewidths=0)
    for end, weight in zip(ends, edges["weight"], strict=True):
        ax.plot(*np.c_[location, end], color="#0072B2", alpha=0.6, linewidth=4 * weight / largest)
    points = ax.scatter(
        *ends.T,
        c=edges["weight"],
        cmap="YlGnBu",
        vmin=0,
        vmax=largest,
        s=40,
        edgecolors="#444444",
    )
    ax.plot(*location, marker="*", markersize=15, color="#D55E00", markeredgecolor="white")
    ax.set(title=f"{relation} (unassigned: {unassigned[relation]:.2f})", xlabel="longitude (°)")
    ax.set_aspect("equal")
axes[0].set_ylabel("latitude (°)")
figure.colorbar(points, ax=axes, label="attention weight", shrink=0.7)
plt.show()
