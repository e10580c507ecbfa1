"""
Is fine-tuning the encoder worth it?
====================================

Train the network on embeddings of an encoder that stays as it is, then tune the encoder with the
network, and watch both on places that were held out.
"""

# %%
# Chips that hold part of the answer
# ----------------------------------
# Each sample has a small Sentinel-2 image. Part of the organic carbon shows in it only.

import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.metrics import r2_score

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey

folder = Path(tempfile.mkdtemp())
survey = make_soil_survey(480, image_dir=folder / "chips", chip_size=16, image_sd=8, random_state=1)
X, y = survey.data.drop(columns=["s1_path", "dem_path"]), survey.target
train, test = slice(0, 360), slice(360, None)

# %%
# Frozen and tuned
# ----------------
# Random weights need no download; ``encoder_weights="pretrained"``, the default, starts from
# published ones. ``fine_tune=True`` tunes all blocks, a number that many of the last ones.

warnings.filterwarnings("ignore", message="weights=None")
shared = {
    "images": {"S2L2A": "s2_path"},
    "encoder_weights": None,
    "cache_dir": folder / "cache",
    "time": "date",
    "n_members": 2,
    "base": None,
    "random_state": 0,
}
models = {
    "frozen": SpTGNNRegressor(fine_tune=False, max_epochs=12, **shared),
    "tuned": SpTGNNRegressor(fine_tune=True, max_epochs=12, **shared),
}
scores = {}
for name, model in models.items():
    scores[name] = r2_score(y[test], model.fit(X[train], y[train]).predict(X[test]))
    print(f"{name}: R2 of {len(y[test])} new samples {scores[name]:.2f}")

# %%
# How to read it
# --------------
# A line is the squared error on held-out places, epoch by epoch, in units of the target's
# variance. Early stopping keeps the best epoch of each member. The tuned line reaches lower than
# the frozen one and then rises: the encoder learns something that the frozen embeddings do not
# show, and soon more than the samples can teach.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", width_ratios=[3, 2])
for (name, model), style in zip(models.items(), ("--", "-"), strict=True):
    losses = [epoch["held_out_mse"] for epoch in model.history_]
    axes[0].plot(range(1, len(losses) + 1), losses, style, label=name)
axes[0].set(xlabel="epoch", ylabel="squared error, held-out places")
axes[0].legend(frameon=False)
bars = axes[1].bar(list(scores), list(scores.values()), color=["#999999", "#0072B2"], width=0.6)
axes[1].bar_label(bars, fmt="%.2f", padding=2)
axes[1].set_ylabel("R² of new samples")
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
