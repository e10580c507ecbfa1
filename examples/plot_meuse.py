"""
Organic matter of the Meuse floodplain
======================================

Predict the organic matter of topsoil in a floodplain from 153 samples, score the prediction
honestly beside boosted trees and the training mean, and say how far it can be trusted.
"""

# %%
# The survey
# ----------
# Every sample has coordinates in metres, a height, its distance from the river, and classes of
# flooding, soil, lime and land use. The table is a DataFrame: nothing has to be encoded or scaled.

import argparse
import sys
import warnings
from pathlib import Path

import matplotlib

matplotlib.use("agg")  # the figure goes to a file

from sklearn.dummy import DummyRegressor
from sklearn.model_selection import KFold

from sptgnn_sklearn.baseline import XGBoostBaseline
from sptgnn_sklearn.datasets import load_meuse
from sptgnn_sklearn.model_selection import SpatialBlockKFold
from sptgnn_sklearn.model_selection.comparison import compare_models
from sptgnn_sklearn.plotting import plot_comparison
from sptgnn_sklearn.regressor import SpTGNNRegressor

meuse = load_meuse()
X, y, crs = meuse.data, meuse.target, meuse.crs
print(f"{len(X)} samples; columns: {', '.join(X.columns)}")

# %%
# Two questions, two kinds of folds
# ---------------------------------
# Random folds leave out samples whose neighbours stay: how well are gaps in the survey filled?
# Block folds leave out whole stretches of the floodplain: how well does the model do where nobody
# sampled?

models = {
    "SpTGNN": SpTGNNRegressor(elevation="elev", crs=crs, random_state=0),
    "XGBoost": XGBoostBaseline(crs=crs, random_state=0),
    "training mean": DummyRegressor(),
}
folds = {
    "random": KFold(5, shuffle=True, random_state=0),
    "block": SpatialBlockKFold(5, crs=crs),
}

# Some land uses occur once, so a fold that leaves them out meets them as unknown. That is wanted.
warnings.filterwarnings("ignore", message="Categories that were not in the training rows")

result = compare_models(models, X, y, folds, crs=crs, n_jobs=2)
print(f"\nOrganic matter in %, {len(y)} samples, 5 folds\n\n{result.to_markdown()}\n")

# %%
# The held-out predictions
# ------------------------
# Each point was predicted by a model that had not seen it. On the right, a point is orange where
# its 90 % interval, the vertical bar, does not hold the measured value.

options = argparse.ArgumentParser(description="Score SpTGNN on the Meuse survey and draw it.")
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
# New places
# ----------
# Two samples of the survey were never analysed for organic matter. A model of all others predicts
# them, with its uncertainty taken apart: aleatoric is what more samples would not remove, epistemic
# is the disagreement of the members.

model = models["SpTGNN"].fit(X, y)
everything = load_meuse(target="zinc").frame
missing = everything.loc[everything["om"].isna(), X.columns]
print("\nThe two samples without a measurement, organic matter in %:\n")
print(missing[["x", "y", "elev", "landuse"]].join(model.predict_uncertainty(missing)).round(2))
