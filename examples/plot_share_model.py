"""
How do I give a model away without the farms?
=============================================

A saved model predicts from its training rows, so that a file of it tells where they are. Saved with
``training_data=False`` it keeps what predictions need in a form made for them: node states, search
vectors, and each place as the middle of a cell of a grid. What does the coarser ground cost?
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import load_meuse

meuse = load_meuse()
X, y = meuse.data.drop(columns="landuse"), meuse.target
train, test = next(KFold(4, shuffle=True, random_state=0).split(X))  # near neighbours matter
model = SpTGNNRegressor(crs=28992, n_members=3, max_epochs=40, random_state=0)
model.fit(X.iloc[train], y.iloc[train])

# %%
# The file holds JSON and arrays, no code, and is refused if a single byte of it is changed.

folder = Path(tempfile.mkdtemp())
model.save(folder / "own.safetensors")
own = SpTGNNRegressor.load(folder / "own.safetensors")
print("own copy, largest difference:", np.abs(own.predict(X) - model.predict(X)).max())

# %%
# The survey is some four kilometres long. Cells of 100 m hide a field, cells of a kilometre a farm.

sides = [10, 30, 100, 300, 1000]
skill, change = [], []
for side in sides:
    path = folder / f"shared-{side}.safetensors"
    model.save(path, training_data=False, coordinate_grid=side)
    shared = SpTGNNRegressor.load(path)
    predicted = shared.predict(X.iloc[test])
    skill.append(r2_score(y.iloc[test], predicted))
    change.append(np.sqrt(np.mean((predicted - model.predict(X.iloc[test])) ** 2)))
whole = r2_score(y.iloc[test], model.predict(X.iloc[test]))
print("R2 of the model itself:", round(whole, 3))
for side, r2 in zip(sides, skill, strict=True):
    print(f"R2 with cells of {side} m: {r2:.3f}")

fig, (left, right) = plt.subplots(ncols=2, figsize=(9, 4.5), layout="constrained")
points = own.ensemble_.features.coordinates(own.ensemble_.knn_graph.spaces["spatial"])
path = folder / "shared-300.safetensors"
shared = SpTGNNRegressor.load(path).ensemble_
cells = shared.features.coordinates(shared.knn_graph.spaces["spatial"])
left.scatter(*points.T, s=14, color="0.6", label="where samples were taken")
left.scatter(*cells.T, s=40, marker="s", color="#0072B2", alpha=0.5, label="in the shared file")
left.set(aspect="equal", xlabel="easting, m", ylabel="northing, m", title="Cells of 300 m")
left.set_xticks([179_000, 180_000, 181_000])
fig.legend(loc="outside lower left", ncols=2, fontsize="small", frameon=False)
right.plot(sides, change, "o-", color="#D55E00")
right.set(
    xscale="log",
    ylim=(0, None),
    xlabel="side of a cell, m",
    ylabel="RMS change of predictions, %",
    title="What the grid costs, held-out samples",
)
plt.show()

# %%
# Left out are covariates, exact places (in the splits of trees too) and paths of this machine.
# Measured values stay, at coarse places, because predictions are made from them: share a model
# where you would share a table of values by cell.
