"""
Satellite chips beside the table
================================

Give columns of image paths to a model, and see what trees and the graph network make of them.
"""

# %%
# A survey with chips
# -------------------
# Every sample has small GeoTIFFs: Sentinel-2 (12 bands), Sentinel-1 radar and heights. Part of the
# organic carbon shows in them only: dark, bare soil between the plants. The survey is made up, so
# that what the images hold is known. Sentinel-2 is enough here; more columns are more entries of
# ``images``.

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

import matplotlib

matplotlib.use("agg")  # the figure goes to a file

import matplotlib.pyplot as plt
import numpy as np
import rasterio
from sklearn.compose import make_column_transformer
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from xgboost import XGBRegressor

from sptgnn_sklearn import SpTGNNRegressor, TerraMindEmbedder
from sptgnn_sklearn.datasets import make_soil_survey

folder = Path(tempfile.mkdtemp())
survey = make_soil_survey(480, image_dir=folder / "chips", image_sd=8, random_state=1)
X, y = survey.data, survey.target
train, test = slice(0, 320), slice(320, None)
X = X.drop(columns=["s1_path", "dem_path"])
images = {"S2L2A": "s2_path"}
print(X[["lon", "lat", "elevation", "land_use", "s2_path"]].head(3).to_string())

# %%
# Four models
# -----------
# ``TerraMindEmbedder`` turns paths into columns of numbers for any regressor. In
# ``SpTGNNRegressor`` the same paths are one more stream. Here the encoder's weights are random, so
# that the example needs no download; embeddings tell light from dark all the same. With published
# weights (``encoder_weights="pretrained"``, the default) it brings what TerraMind learned of the
# world, and ``fine_tune`` trains it with the network: see
# :ref:`sphx_glr_auto_examples_plot_fine_tuning.py`.

warnings.filterwarnings("ignore", message="weights=None")
start = {"encoder_weights": None, "cache_dir": folder / "cache"}
roles = {"time": "date", "elevation": "elevation", "random_state": 0}

plain = ["lon", "lat", "elevation", *(name for name in X if name.startswith("cov_"))]
chips = TerraMindEmbedder(images, **start)
trees = XGBRegressor(n_estimators=300, learning_rate=0.05, max_depth=4, colsample_bytree=0.5)

models = {
    "trees, table only": make_pipeline(make_column_transformer(("passthrough", plain)), trees),
    "trees, embeddings": make_pipeline(
        make_column_transformer((chips, ["s2_path"]), ("passthrough", plain)), trees
    ),
    "SpTGNN, table only": make_pipeline(
        make_column_transformer(
            ("passthrough", [name for name in X if name != "s2_path"]),
            verbose_feature_names_out=False,
        ).set_output(transform="pandas"),
        SpTGNNRegressor(**roles, n_members=3),
    ),
    "SpTGNN, chips": SpTGNNRegressor(**roles, **start, images=images, n_members=3),
}
scores = {}
for name, model in models.items():
    scores[name] = r2_score(y[test], model.fit(X[train], y[train]).predict(X[test]))
    print(f"{name:24s} R2 of {len(y[test])} new samples: {scores[name]:.2f}")

# %%
# What the chips look like, and what they are worth
# -------------------------------------------------
# Left, chips of samples whose images say little, average and much organic carbon; differences in
# vegetation and light are in the way. Right, the scores: the table alone cannot know.

options = argparse.ArgumentParser(description="Score models with and without images.")
options.add_argument("--out", type=Path, default=Path(sys.argv[0]).parent / "output")
out = options.parse_args().out
out.mkdir(parents=True, exist_ok=True)

told = survey.truth["imagery"]
shown = told.sort_values().index[[20, len(told) // 2, -20]]
figure, axes = plt.subplots(1, 4, figsize=(11, 3), width_ratios=[1, 1, 1, 2], layout="constrained")
for ax, row in zip(axes, shown, strict=False):
    with rasterio.open(X.loc[row, "s2_path"]) as chip:
        colours = chip.read([4, 3, 2]).transpose(1, 2, 0) / 3000
    ax.imshow(np.clip(colours, 0, 1), extent=(0, 320, 0, 320))
    ax.set_title(f"imagery says {told[row]:+.1f} g/kg", fontsize=9)
    ax.set(xticks=[0, 320], yticks=[], xlabel="m")
axes[3].barh(
    list(scores), list(scores.values()), color=["#999999", "#999999", "#0072B2", "#0072B2"]
)
axes[3].invert_yaxis()
axes[3].set_xlabel("R² of new samples")
axes[3].bar_label(axes[3].containers[0], fmt="%.2f", padding=3)
axes[3].set_xlim(0, 1.15 * max(scores.values()))
axes[3].spines[["top", "right"]].set_visible(False)
figure.savefig(out / "imagery.png", dpi=130)
print(f"wrote {out / 'imagery.png'}")
