"""Figure for print of figures.rst: ``.venv/bin/python docs/draw_print_figure.py``."""

from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern, WhiteKernel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sptgnn_sklearn.datasets import load_meuse
from sptgnn_sklearn.model_selection import compare_models
from sptgnn_sklearn.plotting import ObservedPredictedDisplay, plot_map, style

# Shown on the page from here.
meuse = load_meuse()
X = meuse.data[["x", "y", "elev", "dist"]]
kernel = Matern(nu=1.5) + WhiteKernel()
model = make_pipeline(StandardScaler(), GaussianProcessRegressor(kernel, normalize_y=True))
result = compare_models({"kriging": model}, X, meuse.target, "block", crs=meuse.crs, progress=False)
held_out = result.select("block", "kriging")

with style("paper", width="double", height=80):
    figure, axes = plt.subplots(1, 2, layout="constrained")
    label = "predicted organic matter (%)"
    plot_map(X, held_out["mean"], crs=meuse.crs, ax=axes[0], label=label, north_arrow=True)
    ObservedPredictedDisplay.from_predictions(
        *held_out[["observed", "mean", "lower", "upper"]].to_numpy().T,
        coverage=0.9,
        ax=axes[1],
        unit="%",
    )
    for ax, letter in zip(axes, "ab", strict=True):
        ax.set_title(letter, loc="left", weight="bold")
    figure.savefig(Path("docs/images/print_figure.png"))
