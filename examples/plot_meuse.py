"""
Organic matter of the Meuse floodplain
======================================

Predict topsoil organic matter in a floodplain from 153 samples, and evaluate the predictions and
their intervals with random and block folds, compared with boosted trees and the training mean.
"""

# %%
# The survey
# ----------
# Every sample has coordinates in meters, elevation, distance from the river, and classes of
# flooding, soil, lime and land use. The table is a DataFrame; it needs no encoding or scaling.

import argparse
import sys
import warnings
from pathlib import Path

import matplotlib

matplotlib.use("agg")  # the figure is written to a file

from sklearn.dummy import DummyRegressor
from sklearn.model_selection import KFold

from sptgnn_sklearn import SpTGNNRegressor, XGBoostBaseline
from sptgnn_sklearn.datasets import load_meuse
from sptgnn_sklearn.model_selection import SpatialBlockKFold, compare_models
from sptgnn_sklearn.plotting import plot_comparison

meuse = load_meuse()
X, y, crs = meuse.data, meuse.target, meuse.crs
print(f"{len(X)} samples; columns: {', '.join(X.columns)}")

# %%
# Random and block folds
# ----------------------
# With random folds the neighbors of held-out samples stay in the training set; the score is valid
# for gaps within the survey. Block folds hold out whole sections of the floodplain; the score is
# valid away from the samples.

models = {
    "SpTGNN": SpTGNNRegressor(elevation="elev", crs=crs, random_state=0),
    "XGBoost": XGBoostBaseline(crs=crs, random_state=0),
    "training mean": DummyRegressor(),
}
folds = {
    "random": KFold(5, shuffle=True, random_state=0),
    "block": SpatialBlockKFold(5, crs=crs),
}

# Some land uses occur once and are unknown in the fold that holds them out.
warnings.filterwarnings("ignore", message="Categories that did not occur in the training rows")

result = compare_models(models, X, y, folds, crs=crs, n_jobs=2)
print(f"\nOrganic matter in %, {len(y)} samples, 5 folds\n\n{result.to_markdown()}\n")

# %%
# Held-out predictions
# --------------------
# Each point was predicted by a model that was not trained on it. On the right, points are orange if
# their 90 % interval, the vertical bar, does not contain the observed value.

options = argparse.ArgumentParser(description="Evaluate SpTGNN on the Meuse survey and plot it.")
options.add_argument("--out", type=Path, default=Path(sys.argv[0]).parent / "output")
folder = options.parse_args().out
folder.mkdir(parents=True, exist_ok=True)

figure = plot_comparison(
    result,
    "SpTGNN",
    name="organic matter",
    unit="%",
    title="Meuse floodplain: organic matter of held-out topsoil samples, by SpTGNN",
)
figure.savefig(folder / "meuse.png", dpi=130, bbox_inches="tight")
(folder / "meuse.md").write_text(result.to_markdown() + "\n", encoding="utf-8")
print(f"wrote {folder / 'meuse.png'}\nwrote {folder / 'meuse.md'}")

# %%
# New locations
# -------------
# Organic matter was not measured in two samples of the survey. A model of all others predicts them
# with uncertainty: the aleatoric part would not decrease with more samples; the epistemic part is
# the disagreement of the ensemble members.

model = models["SpTGNN"].fit(X, y)
all_samples = load_meuse(target="zinc").frame
unmeasured = all_samples.loc[all_samples["om"].isna(), X.columns]
print("\nThe two samples without a measurement, organic matter in %:\n")
print(
    unmeasured[["x", "y", "elev", "landuse"]].join(model.predict_uncertainty(unmeasured)).round(2)
)
