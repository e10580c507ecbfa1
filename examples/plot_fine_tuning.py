"""
Fine-tuning the image encoder
=============================

Train the network on embeddings of a frozen encoder and with a fine-tuned encoder, and compare both
on held-out locations.
"""

# %%
# Chips that contain part of the target
# -------------------------------------
# Each sample has a small Sentinel-2 image. Part of the organic carbon is visible only in it.

import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.base import clone
from sklearn.metrics import r2_score

from sptgnn_sklearn import SpTGNNRegressor, TerraMindImages
from sptgnn_sklearn.datasets import make_soil_survey

folder = Path(tempfile.mkdtemp())
survey = make_soil_survey(480, image_dir=folder / "chips", chip_size=16, image_sd=8, random_state=1)
X, y = survey.data.drop(columns=["s1_path", "dem_path"]), survey.target
train, test = slice(0, 360), slice(360, None)

# %%
# Frozen and fine-tuned encoder
# -----------------------------
# Random weights need no download; the default, ``weights="pretrained"``, uses the published
# weights. ``fine_tune=True`` tunes all blocks, an int the last ones.

warnings.filterwarnings("ignore", message="weights=None")
images = TerraMindImages({"S2L2A": "s2_path"}, weights=None, cache_dir=folder / "cache")
frozen = SpTGNNRegressor(
    images=images,
    time="date",
    n_estimators=2,
    max_epochs=12,
    base_estimator=None,
    random_state=0,
)
tuned = clone(frozen).set_params(images__fine_tune=True)
models = {"frozen": frozen, "fine-tuned": tuned}
scores = {}
for name, model in models.items():
    scores[name] = r2_score(y[test], model.fit(X[train], y[train]).predict(X[test]))
    print(f"{name}: R2 of {len(y[test])} new samples {scores[name]:.2f}")

# %%
# Results
# -------
# Left, the squared error on held-out locations by epoch, in units of the target variance. Early
# stopping keeps the best epoch of each ensemble member. With fine-tuning the error first falls
# below that of the frozen encoder, because the encoder learns features that the frozen embeddings
# lack, and then rises by overfitting.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", width_ratios=[3, 2])
colors = ["#999999", "#0072B2"]
for (name, model), color in zip(models.items(), colors, strict=True):
    losses = [epoch["held_out_mse"] for epoch in model.history_]
    axes[0].plot(range(1, len(losses) + 1), losses, color=color, label=name)
axes[0].set(xlabel="epoch", ylabel="squared error, held-out locations")
axes[0].legend(frameon=False)
bars = axes[1].bar(list(scores), list(scores.values()), color=colors, width=0.6)
axes[1].bar_label(bars, fmt="%.2f", padding=2)
axes[1].set_ylabel("R² of new samples")
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
