"""
Satellite image chips as model input
====================================

Use columns of image paths in boosted trees and in the graph network, and compare their accuracy
with and without images.
"""

# %%
# A survey with image chips
# -------------------------
# Every sample has small GeoTIFFs: Sentinel-2 (12 bands), Sentinel-1 radar and elevation. Part of
# the organic carbon is visible only in them, as dark bare soil between the plants. The survey is
# simulated, so the information in the images is known. The example uses Sentinel-2; other
# modalities are further entries of ``images``.

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

import matplotlib

matplotlib.use("agg")  # the figure is written to a file

import matplotlib.pyplot as plt
import numpy as np
import rasterio
from sklearn.compose import make_column_transformer
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from xgboost import XGBRegressor

from sptgnn_sklearn import SpTGNNRegressor, TerraMindEmbedder, TerraMindImages
from sptgnn_sklearn.datasets import make_soil_survey

folder = Path(tempfile.mkdtemp())
survey = make_soil_survey(480, image_dir=folder / "chips", image_sd=8, random_state=1)
X, y = survey.data, survey.target
train, test = slice(0, 320), slice(320, None)
X = X.drop(columns=["s1_path", "dem_path"])
print(X[["lon", "lat", "elevation", "land_use", "s2_path"]].head(3).to_string())

# %%
# Four models
# -----------
# ``TerraMindEmbedder`` transforms paths into numeric columns for any regressor. ``SpTGNNRegressor``
# uses the same paths as an additional feature stream. The encoder has random weights here, so the
# example needs no download; its embeddings still separate bright from dark chips. The default,
# ``weights="pretrained"``, uses the published weights, and ``fine_tune`` trains the encoder with
# the network: :doc:`plot_fine_tuning`.

warnings.filterwarnings("ignore", message="weights=None")
images = {"S2L2A": "s2_path"}
encoder = {"weights": None, "cache_dir": folder / "cache"}
settings = {"time": "date", "elevation": "elevation", "n_estimators": 3, "random_state": 0}

numeric = ["lon", "lat", "elevation", *(name for name in X if name.startswith("cov_"))]
embedder = TerraMindEmbedder(images, **encoder)
trees = XGBRegressor(n_estimators=300, learning_rate=0.05, max_depth=4, colsample_bytree=0.5)

models = {
    "trees, table only": make_pipeline(make_column_transformer(("passthrough", numeric)), trees),
    "trees, embeddings": make_pipeline(
        make_column_transformer((embedder, ["s2_path"]), ("passthrough", numeric)), trees
    ),
    "SpTGNN, table only": make_pipeline(
        make_column_transformer(
            ("passthrough", [name for name in X if name != "s2_path"]),
            verbose_feature_names_out=False,
        ).set_output(transform="pandas"),
        SpTGNNRegressor(**settings),
    ),
    "SpTGNN, images": SpTGNNRegressor(**settings, images=TerraMindImages(images, **encoder)),
}
scores = {}
for name, model in models.items():
    scores[name] = r2_score(y[test], model.fit(X[train], y[train]).predict(X[test]))
    print(f"{name:24s} R2 of {len(y[test])} new samples: {scores[name]:.2f}")

# %%
# Results
# -------
# Left, chips of samples with a low, a medium and a high contribution of the images to organic
# carbon; vegetation and illumination vary too. Right, the scores: this contribution cannot be
# predicted from the table alone.

options = argparse.ArgumentParser(description="Score models with and without images.")
options.add_argument("--out", type=Path, default=Path(sys.argv[0]).parent / "output")
out = options.parse_args().out
out.mkdir(parents=True, exist_ok=True)

contribution = survey.truth["imagery"]
shown = contribution.sort_values().index[[20, len(contribution) // 2, -20]]
figure, axes = plt.subplots(1, 4, figsize=(11, 3), width_ratios=[1, 1, 1, 2], layout="constrained")
for ax, row in zip(axes, shown, strict=False):
    with rasterio.open(X.loc[row, "s2_path"]) as chip:
        colors = chip.read([4, 3, 2]).transpose(1, 2, 0) / 3000
    ax.imshow(np.clip(colors, 0, 1), extent=(0, 320, 0, 320))
    ax.set_title(f"contribution {contribution[row]:+.1f} g/kg", fontsize=9)
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
