"""Thumbnails of the examples: ``python docs/draw_thumbnails.py``.

A reduced figure is illegible at the size of a thumbnail, so each example has a drawing of its
subject. The function of an example has its name, and draws into axes of 0 to 10 by 0 to 7.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch, Polygon, Rectangle
from PIL import Image
from scipy.ndimage import gaussian_filter

from sptgnn_sklearn.plotting.drawing import COLORS, LINE_COLOR, UNCERTAINTY_COLORMAP, VALUE_COLORMAP

TARGET = Path(__file__).parent / "images" / "thumbnails"
BLUE, ORANGE, GREEN, PINK, SKY, RED = COLORS[:6]
LIGHT = "#d9dde1"
DIVERGING = "RdBu_r"
N_COLORS = 64
RIGHT = np.array([5.1, 0])  # from the left to the right half

Drawing = Callable[[Axes], None]


def field(seed: int, smooth: float = 9, shape: tuple[int, int] = (70, 100)) -> np.ndarray:
    """Return a smooth random surface between 0 and 1."""
    values = gaussian_filter(np.random.default_rng(seed).normal(size=shape), smooth, mode="wrap")
    return (values - values.min()) / np.ptp(values)


def places(n: int, seed: int = 0, box: tuple[float, float, float, float] = (0.5, 9.5, 0.5, 6.5)):
    """Return points in a box (left, right, bottom, top) that keep a distance from each other."""
    rng, found = np.random.default_rng(seed), []
    least = 0.6 * np.sqrt((box[1] - box[0]) * (box[3] - box[2]) / n)
    while len(found) < n:
        point = rng.uniform((box[0], box[2]), (box[1], box[3]))
        if all(np.hypot(*(point - other)) > least for other in found):
            found.append(point)
    return np.array(found)


def raster(ax: Axes, values: np.ndarray, box=(0, 10, 0, 7), **options) -> None:
    """Draw a raster in a box (left, right, bottom, top)."""
    options = {"cmap": VALUE_COLORMAP, "interpolation": "nearest", **options}
    ax.imshow(values, extent=box, origin="lower", aspect="auto", **options)


def values_at(surface: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the values of a surface over the whole drawing at points."""
    rows, columns = surface.shape
    return surface[(points[:, 1] / 7 * rows).astype(int), (points[:, 0] / 10 * columns).astype(int)]


def dots(ax: Axes, points: np.ndarray, color, size: float = 90, **options) -> None:
    """Draw points with a white edge."""
    options = {"edgecolor": "white", "linewidth": 1, "zorder": 3, **options}
    ax.scatter(*points.T, s=size, c=color, **options)


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow."""
    style = {"arrowstyle": "-|>", "lw": 3, "color": LINE_COLOR, "mutation_scale": 22}
    ax.annotate("", end, start, arrowprops={**style, "shrinkA": 0, "shrinkB": 0})


def box(ax: Axes, left: float, bottom: float, width: float, height: float, color: str) -> None:
    """Draw a rounded box."""
    shape = FancyBboxPatch((left, bottom), width, height, boxstyle="round,pad=0.1", color=color)
    ax.add_patch(shape)


def baseline(ax: Axes) -> None:
    """Draw the two axes of a diagram."""
    ax.plot([1, 1, 9.4], [6.5, 0.9, 0.9], color=LINE_COLOR, linewidth=2)


def plot_quickstart(ax: Axes) -> None:
    baseline(ax)
    ax.plot([1, 9], [0.9, 6.5], color=LIGHT, linewidth=3)
    x = np.array([2, 3.3, 4.4, 5.6, 6.8, 8])
    y = 0.9 + (x - 1) * 0.7 + np.array([0.4, -0.3, 0.5, -0.5, 0.3, -0.1])
    ax.errorbar(x, y, 0.9, fmt="o", color=BLUE, markersize=11, elinewidth=4, ecolor=SKY)


def plot_meuse(ax: Axes) -> None:
    from sptgnn_sklearn.datasets import load_meuse

    survey = load_meuse()
    points = survey.data[["y", "x"]].to_numpy() * [1, -1]  # turned to fit the width
    points = (points - points.min(axis=0)) / np.ptp(points[:, 0])
    dots(
        ax, np.array([0.6, 0.35]) + 8.8 * points * [1, 0.96], survey.target, 70, cmap=VALUE_COLORMAP
    )


def plot_read_table(ax: Axes) -> None:
    texts = (
        ("id", "clay", "SOC"),
        ("A1", "31", "1,9"),
        ("A2", "-9999", "<0.5"),
        ("A3", "18", "n.d."),
    )
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            odd = text in ("-9999", "<0.5", "n.d.")
            color = BLUE if i == 0 else ORANGE if odd else "#f0f2f4"
            left, bottom = 0.6 + 3 * j, 5.1 - 1.45 * i
            ax.add_patch(Rectangle((left, bottom), 2.85, 1.3, color=color))
            ink = "white" if i == 0 else "black"
            ax.text(left + 1.42, bottom + 0.6, text, size=19, color=ink, ha="center", va="center")


def plot_random_vs_spatial_folds(ax: Axes) -> None:
    points = places(36, 1, (0.4, 4.5, 0.5, 6.5))
    colors = np.array([BLUE, ORANGE, GREEN])
    dots(ax, points, colors[np.random.default_rng(3).integers(3, size=36)], 100)
    dots(ax, points + RIGHT, colors[np.digitize(points[:, 1], [2.5, 4.5])], 100)
    ax.plot([5, 5], [0.5, 6.5], color=LIGHT, linewidth=3)


def plot_folds(ax: Axes) -> None:
    points = places(70, 2)
    block = np.digitize(points[:, 0], [3.4, 6.7]) + 3 * (points[:, 1] > 3.5)
    for i in range(6):
        corner = (0.1 + 3.3 * (i % 3), 0.1 + 3.4 * (i // 3))
        ax.add_patch(Rectangle(corner, 3.2, 3.3, color=COLORS[i], alpha=0.25))
    dots(ax, points, [COLORS[i] for i in block], 75)


def plot_score_errors(ax: Axes) -> None:
    ax.plot([5, 5], [0.4, 6.6], color=LIGHT, linewidth=3)
    for y, center, half, color in (
        (5.5, 7, 1.6, BLUE),
        (3.5, 5.6, 2, ORANGE),
        (1.5, 3, 1.3, GREEN),
    ):
        ax.errorbar(center, y, xerr=half, fmt="o", color=color, markersize=17, elinewidth=6)


def plot_forward_selection(ax: Axes) -> None:
    baseline(ax)
    x = np.arange(1.8, 9.3, 1.2)
    y = np.array([2, 3.8, 4.9, 5.4, 5.0, 4.5, 4.1])
    ax.plot(x, y, "o-", color=BLUE, linewidth=4, markersize=12)
    ax.plot(x[3], y[3], "o", color=ORANGE, markersize=20)


def plot_tuning(ax: Axes) -> None:
    x, y = np.meshgrid(np.arange(6), np.arange(4))
    score = np.exp(-((x - 3.6) ** 2) / 5 - (y - 1.7) ** 2 / 2.5)
    raster(ax, score, (0.5, 9.5, 0.5, 6.5))
    ax.add_patch(Rectangle((6.5, 3.5), 1.5, 1.5, fill=False, edgecolor=RED, linewidth=6))


def plot_residuals(ax: Axes) -> None:
    points = places(40, 4, (0.4, 4.5, 0.5, 6.5))
    clustered = np.sin(points[:, 0] + points[:, 1])
    dots(ax, points, clustered, 100, cmap=DIVERGING, edgecolor=LINE_COLOR)
    mixed = np.random.default_rng(0).permutation(clustered)
    dots(ax, points + RIGHT, mixed, 100, cmap=DIVERGING, edgecolor=LINE_COLOR)
    ax.plot([5, 5], [0.5, 6.5], color=LIGHT, linewidth=3)


def plot_map(ax: Axes) -> None:
    surface = field(7)
    outside = field(11, 12) > 0.68
    raster(ax, np.where(outside, np.nan, surface))
    points = places(40, 6)
    kept = ~values_at(outside, points)
    ax.plot(*points[kept].T, "o", color="black", markersize=6, markeredgecolor="white")


def plot_change_over_time(ax: Axes) -> None:
    baseline(ax)
    x = np.linspace(1.4, 9, 60)
    y = 5.6 - 0.45 * (x - 1.4) + 0.25 * np.sin(2.2 * x)
    width = 0.5 + 0.12 * (x - 1.4)
    ax.fill_between(x, y - width, y + width, color=SKY, alpha=0.5, linewidth=0)
    ax.plot(x, y, color=BLUE, linewidth=4)


def plot_pipeline(ax: Axes) -> None:
    for left, color in ((0.5, GREEN), (3.9, ORANGE), (7.3, BLUE)):
        box(ax, left, 2.5, 2.1, 2, color)
    arrow(ax, (2.8, 3.5), (3.7, 3.5))
    arrow(ax, (6.2, 3.5), (7.1, 3.5))


def plot_uncertainty(ax: Axes) -> None:
    raster(ax, field(8, 6)[:, :48], (0.2, 4.85, 0.3, 6.7), cmap=UNCERTAINTY_COLORMAP)
    points = places(9, 9, (5.6, 9.4, 0.8, 6.2))
    x, y = np.meshgrid(np.linspace(5.15, 9.8, 60), np.linspace(0.3, 6.7, 80))
    distance = np.min([np.hypot(x - a, y - b) for a, b in points], axis=0)
    raster(ax, distance, (5.15, 9.8, 0.3, 6.7), cmap=UNCERTAINTY_COLORMAP)
    dots(ax, points, "black", 55)


def plot_intervals(ax: Axes) -> None:
    rng = np.random.default_rng(2)
    x = np.linspace(0.7, 9.3, 14)
    center = 1.8 + 0.36 * x
    observed = center + rng.normal(0, 0.75, 14)
    observed[9] = center[9] - 2.0
    outside = np.abs(observed - center) > 1.5
    ax.vlines(x, center - 1.5, center + 1.5, color=SKY, linewidth=9)
    dots(ax, np.column_stack([x, observed]), np.where(outside, RED, BLUE), 120)


def plot_coverage_by_groups(ax: Axes) -> None:
    heights = [5.2, 5.0, 3.4, 5.4, 4.9]
    colors = [BLUE, BLUE, RED, BLUE, BLUE]
    ax.bar(np.arange(5) * 1.8 + 1.4, heights, 1.3, bottom=0.5, color=colors)
    ax.plot([0.4, 9.6], [5.6, 5.6], "--", color=LINE_COLOR, linewidth=4)


def plot_uncertainty_metrics(ax: Axes) -> None:
    baseline(ax)
    t = np.linspace(0, 1, 50)
    x = 1.2 + 8 * t
    for curve, color in ((t, LINE_COLOR), (t**2.2, RED), (t**0.45, ORANGE)):
        ax.plot(x, 1 + 5.4 * curve, color=color, linewidth=5)


def plot_error_profile(ax: Axes) -> None:
    baseline(ax)
    rng = np.random.default_rng(1)
    x = rng.uniform(1.4, 8.2, 45)
    y = 1.2 + np.abs(rng.normal(0, 0.35 + 0.055 * x**1.6, 45))
    dots(ax, np.column_stack([x, y])[y < 6.5], SKY, 70)
    x = np.linspace(1.3, 9, 50)
    ax.plot(x, 1.3 + 0.027 * x**2, color=BLUE, linewidth=5, zorder=4)


def plot_model_assisted(ax: Axes) -> None:
    strata = np.digitize(field(13, 14), [0.4, 0.62])
    raster(ax, strata, (0.2, 6.6, 0.3, 6.7), cmap="Greens", vmin=-1, vmax=4)
    dots(ax, places(24, 3, (0.6, 6.2, 0.7, 6.3)), "black", 60)
    ax.errorbar(7.6, 3.6, 2.4, fmt="o", color=ORANGE, markersize=15, elinewidth=6)
    ax.errorbar(9.0, 3.9, 1.1, fmt="o", color=BLUE, markersize=15, elinewidth=6)


def plot_farm_carbon(ax: Axes) -> None:
    corners = (
        ((0.3, 0.4), (3.4, 0.4), (3.9, 3.4), (0.3, 3.0)),
        ((3.6, 0.4), (6.6, 0.4), (6.6, 3.9), (4.1, 3.5)),
        ((6.8, 0.4), (9.7, 0.4), (9.7, 2.9), (6.8, 3.9)),
        ((0.3, 3.2), (4.0, 3.7), (4.6, 6.6), (0.3, 6.6)),
        ((4.2, 3.75), (6.7, 4.1), (9.7, 3.2), (9.7, 6.6), (4.8, 6.6)),
    )
    for points, value in zip(corners, (0.85, 0.4, 0.6, 0.25, 0.7), strict=True):
        ax.add_patch(Polygon(points, color=plt.get_cmap("YlGn")(value)))
    for x, y in ((1.9, 1.7), (5.2, 1.9), (8.2, 1.8), (2.2, 5.0), (7.2, 5.1)):
        ax.errorbar(x, y, 0.75, fmt="o", color="black", markersize=9, elinewidth=4)


def plot_next_samples(ax: Axes) -> None:
    """Samples in one half, and proposals in the other."""
    surface = np.tile(np.linspace(0, 1, 100) ** 1.5, (70, 1)) + 0.25 * field(5)
    raster(ax, surface, cmap=UNCERTAINTY_COLORMAP)
    dots(ax, places(26, 3, (0.4, 5.2, 0.5, 6.5)), "white", 60, edgecolor=LINE_COLOR)
    dots(ax, places(5, 4, (6.2, 9.4, 0.7, 6.3)), SKY, 190, marker="^")


def plot_extract_chips(ax: Axes) -> None:
    raster(ax, field(15, 4), cmap="gist_earth")
    for x, y in ((2, 2), (5.1, 4.7), (8, 2.4)):
        square = Rectangle((x - 1, y - 1), 2, 2, fill=False, edgecolor="white", linewidth=5)
        ax.add_patch(square)
        dots(ax, np.array([[x, y]]), RED, 130)


def plot_imagery(ax: Axes) -> None:
    for i, (name, seed) in enumerate((("gray", 3), ("terrain", 8), ("gist_earth", 15))):
        left, bottom = 0.6 + 2.1 * i, 2.4 - 0.95 * i
        sides = (left, left + 4.4, bottom, bottom + 4.2)
        raster(ax, field(seed, 4, (40, 40)), sides, cmap=name, zorder=2 * i)
        frame = {"fill": False, "edgecolor": "white", "linewidth": 5, "zorder": 2 * i + 1}
        ax.add_patch(Rectangle((left, bottom), 4.4, 4.2, **frame))


def plot_fine_tuning(ax: Axes) -> None:
    for i in range(6):
        box(ax, 0.5 + 1.3 * i, 1.6, 0.75, 3.8, LIGHT if i < 4 else ORANGE)
    arrow(ax, (8.1, 3.5), (9.6, 3.5))


def plot_feature_importance(ax: Axes) -> None:
    lengths = [8.6, 6.4, 4.7, 2.6, 1.3]
    ax.barh(np.arange(5)[::-1] * 1.3 + 0.9, lengths, 0.95, left=0.6, color=BLUE)
    ax.plot([0.6, 0.6], [0.2, 6.8], color=LINE_COLOR, linewidth=3)


def plot_attention(ax: Axes) -> None:
    center = np.array([5, 3.5])
    others = places(11, 12)
    others = others[np.hypot(*(others - center).T) > 1.3]
    weights = np.exp(-np.hypot(*(others - center).T))
    for point, weight in zip(others, weights / weights.max(), strict=True):
        ax.plot(*np.column_stack([center, point]), color=SKY, linewidth=2 + 12 * weight)
    dots(ax, others, BLUE, 170)
    ax.plot(*center, "*", color=ORANGE, markersize=36, markeredgecolor="white")


def plot_experts(ax: Axes) -> None:
    experts = np.argmax([field(seed, 11) for seed in (21, 22, 23, 24)], axis=0)
    cmap = matplotlib.colors.ListedColormap([BLUE, ORANGE, GREEN, PINK])
    raster(ax, experts, cmap=cmap, vmin=0, vmax=3)


def plot_dask(ax: Axes) -> None:
    for i, share in enumerate((1, 0.75, 0.45, 0.9)):
        y = 5.5 - 1.55 * i
        ax.plot([2.3, 4], [3.5, y + 0.4], color=LINE_COLOR, linewidth=3, zorder=0)
        ax.add_patch(Rectangle((4, y), 5.4, 0.9, color=LIGHT))
        ax.add_patch(Rectangle((4, y), 5.4 * share, 0.9, color=GREEN))
    ax.add_patch(Circle((1.7, 3.5), 1.1, color=BLUE))


def plot_share_model(ax: Axes) -> None:
    points = places(28, 5)
    centers = np.array([(1.8, 1.8), (5, 1.9), (8.2, 1.8), (1.9, 5.2), (5.1, 5.1), (8.2, 5.2)])
    group = np.argmin(np.hypot(*(points[:, None] - centers).transpose(2, 0, 1)), axis=1)
    for i in range(len(centers)):
        own = points[group == i]
        for point in own:
            ax.plot(*np.column_stack([own.mean(axis=0), point]), color=LIGHT, linewidth=3)
        dots(ax, own.mean(axis=0)[None], BLUE, 420)
    dots(ax, points, "#8b949c", 45)


def plot_tutorial(ax: Axes) -> None:
    dots(ax, places(16, 1, (0.3, 2.5, 1.2, 5.8)), BLUE, 75)
    arrow(ax, (2.9, 3.5), (3.7, 3.5))
    surface = field(7)
    raster(ax, surface[:, :40], (3.9, 6.2, 1, 6))
    arrow(ax, (6.4, 3.5), (7.2, 3.5))
    cmap = matplotlib.colors.ListedColormap(["#f0f2f4", RED])
    raster(ax, surface[:, :40] > 0.6, (7.4, 9.7, 1, 6), cmap=cmap)


def plot_interactive_map(ax: Axes) -> None:
    raster(ax, field(17))
    box(ax, 0.5, 4.2, 0.9, 2.1, "white")
    for y, text in ((5.8, "+"), (4.6, "–")):
        ax.text(0.95, y, text, size=26, ha="center", va="center", weight="bold")
    box(ax, 3.6, 3.7, 4.6, 2, "white")
    ax.add_patch(Polygon([(5.4, 3.7), (6.4, 3.7), (5.9, 2.6)], color="white"))
    ax.plot([4, 7.8], [5.1, 5.1], color=BLUE, linewidth=7)
    ax.plot([4, 6.6], [4.3, 4.3], color=LIGHT, linewidth=7)
    dots(ax, np.array([[5.9, 2.3]]), RED, 170)


DRAWINGS: dict[str, Drawing] = {
    name: value for name, value in dict(globals()).items() if name.startswith("plot_")
}


def main() -> None:
    """Write the thumbnails of all examples, or of the named ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=sorted(DRAWINGS))
    TARGET.mkdir(exist_ok=True)
    for name in parser.parse_args().names:
        figure = plt.figure(figsize=(4, 2.8))
        ax = figure.add_axes((0, 0, 1, 1))
        DRAWINGS[name](ax)
        ax.set(xlim=(0, 10), ylim=(0, 7))
        ax.axis("off")
        path = TARGET / f"{name}.png"
        figure.savefig(path, dpi=150)
        plt.close(figure)
        with Image.open(path) as image:
            reduced = image.convert("RGB").quantize(N_COLORS, dither=Image.Dither.NONE)
        reduced.save(path, optimize=True)


if __name__ == "__main__":
    main()
