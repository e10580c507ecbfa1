"""Draw docs/images/architecture.svg: ``python docs/draw_architecture.py``."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "architecture"  # the same bytes at every run
matplotlib.rcParams["svg.fonttype"] = "none"

import matplotlib.pyplot as plt  # noqa: E402

TARGET = Path(__file__).parent / "images" / "architecture.svg"
WIDTH, HEIGHT = 2.3, 0.86
# Of each box: place (column, row), heading, modules, colour.
BOXES = {
    "table": (0, 3, "table", "columns, values, rows", "#e8eef7"),
    "images": (0, 2, "chips", "images/", "#e8eef7"),
    "features": (1, 3, "streams and spaces", "features", "#e8eef7"),
    "graph": (2, 3, "graph", "graph, search, edges", "#e4f2ea"),
    "holdout": (1, 2, "held-out places", "holdout, blocks", "#fdf1df"),
    "base": (1, 1, "tabular base", "base", "#fdf1df"),
    "network": (2, 2, "network", "network, aggregation", "#e4f2ea"),
    "training": (3, 2, "training", "training, losses", "#e4f2ea"),
    "judgement": (3, 1, "judgement", "judgement, calibration", "#fdf1df"),
    "ensemble": (3, 0, "ensemble", "ensemble, inference", "#e8eef7"),
    "regressor": (2, 0, "the estimator", "regressor", "#e8eef7"),
}
ARROWS = [
    ("table", "features"),
    ("images", "features"),
    ("features", "graph"),
    ("graph", "network"),
    ("holdout", "network"),
    ("network", "training"),
    ("base", "judgement"),
    ("training", "judgement"),
    ("judgement", "ensemble"),
    ("ensemble", "regressor"),
]


def main() -> None:
    """Write the picture."""
    figure, ax = plt.subplots(figsize=(9, 4.4))
    figure.subplots_adjust(0, 0, 1, 1)
    center = {name: (2.9 * box[0], 1.35 * box[1]) for name, box in BOXES.items()}
    for name, (_, _, heading, modules, color) in BOXES.items():
        x, y = center[name]
        corner = (x - WIDTH / 2, y - HEIGHT / 2)
        box = plt.Rectangle(corner, WIDTH, HEIGHT, facecolor=color, edgecolor="#666666")
        ax.add_patch(box)
        ax.text(x, y + 0.13, heading, ha="center", va="center", weight="bold", size=10)
        ax.text(x, y - 0.2, modules, ha="center", va="center", family="monospace", size=7.5)
    for start, end in ARROWS:
        (x0, y0), (x1, y1) = center[start], center[end]
        # Arrows end at the edge of a box: sideways to the next column, else up or down.
        if abs(x1 - x0) > 0.1:
            side = 1 if x1 > x0 else -1
            x0, x1 = x0 + side * WIDTH / 2, x1 - side * WIDTH / 2
        else:
            y0, y1 = y0 - HEIGHT / 2, y1 + HEIGHT / 2
        ax.annotate(
            "", (x1, y1), (x0, y0), arrowprops={"arrowstyle": "-|>", "color": "#444444", "lw": 1.2}
        )
    ax.set(xlim=(-1.3, 10), ylim=(-0.65, 4.75))
    ax.axis("off")
    figure.savefig(TARGET, metadata={"Date": None})


if __name__ == "__main__":
    main()
