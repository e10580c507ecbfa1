"""
Sharing a model without exact sample locations
==============================================

A saved model contains its training rows, because it predicts from them. With
``training_data=False`` each group of neighboring locations is replaced by its mean. The example
measures how the size of the groups affects predictions.
"""

import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import load_meuse

meuse = load_meuse()
X, y = meuse.data.drop(columns="landuse"), meuse.target
train, test = next(KFold(4, shuffle=True, random_state=0).split(X))  # test rows near training rows
model = SpTGNNRegressor(crs=28992, n_estimators=3, max_epochs=40, random_state=0)
model.fit(X.iloc[train], y.iloc[train])

# %%
# Saving and loading
# ------------------
# The file contains JSON and arrays, no code. A checksum detects any modification.

folder = Path(tempfile.mkdtemp())
model.save(folder / "complete.safetensors")
complete = SpTGNNRegressor.load(folder / "complete.safetensors")
print("largest difference after loading:", np.abs(complete.predict(X) - model.predict(X)).max())

# %%
# Effect of the group size
# ------------------------
# The survey has 155 samples, which are few: `save` warns if the model loses skill.

sizes = [2, 3, 5, 10, 20]
predictions = model.predict(X.iloc[test])
print(f"R2 of the model: {r2_score(y.iloc[test], predictions):.3f}")
changes = []
for size in sizes:
    path = folder / f"shared-{size}.safetensors"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.save(path, training_data=False, min_group_size=size)
    shared = SpTGNNRegressor.load(path).predict(X.iloc[test])
    changes.append(np.sqrt(np.mean((shared - predictions) ** 2)))
    print(f"R2 with groups of {size}: {r2_score(y.iloc[test], shared):.3f}", end="")
    print(" (with a warning)" if caught else "")

# %%
# Results
# -------
# Left, the sample locations and the locations in a file with groups of five. Right, the change of
# the predictions.

figure, (left, right) = plt.subplots(ncols=2, figsize=(9, 4.5), layout="constrained")
ensemble = SpTGNNRegressor.load(folder / "shared-5.safetensors").ensemble_
means = ensemble.features.coordinates(ensemble.knn_graph.spaces["spatial"])
left.scatter(*X.iloc[train][["x", "y"]].T.to_numpy(), s=14, color="0.6", label="samples")
left.scatter(*means.T, s=40, marker="s", color="#0072B2", alpha=0.5, label="in the shared file")
left.set(aspect="equal", xlabel="easting (m)", ylabel="northing (m)", title="groups of five")
left.set_xticks([179_000, 180_000, 181_000])
figure.legend(loc="outside lower left", ncols=2, fontsize="small", frameon=False)
right.plot(sizes, changes, "o-", color="#D55E00")
right.set(
    ylim=(0, None),
    xlabel="locations per group",
    ylabel="RMS change of predictions (%)",
    title="held-out samples",
)
plt.show()

# %%
# The file has means of groups instead of rows, for locations, covariates and measured values, and
# its trees have no split that separates fewer locations than a group has. Share such a model only
# if you would share a table of these means.
