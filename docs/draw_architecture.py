"""Diagram of the imports between packages: ``python docs/draw_architecture.py``.

It is drawn from the source code. ``--png FILE`` writes a PNG as well.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import matplotlib

matplotlib.use("agg")
matplotlib.rcParams["svg.hashsalt"] = "architecture"  # the same bytes at every run
matplotlib.rcParams["svg.fonttype"] = "none"

import matplotlib.pyplot as plt  # noqa: E402

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "sptgnn_sklearn"
TARGET = DOCS / "images" / "architecture.svg"
BLUE, GREEN, GRAY, LINE = "#dde8f6", "#dcefe3", "#eeeeee", "#777777"
WIDTH, HEIGHT, GAP = 1.5, 0.5, 1.15
# Everything that is not listed here is a step of the method.
PUBLIC = {"regressor", "baseline", "cli", "datasets", "model_selection", "metrics", "inspection"}
PUBLIC |= {"applicability", "estimation", "maps", "plotting", "readers"}
HELPERS = {"utils", "meta_estimators"}

Graph = dict[str, set[str]]


def imports(path: Path) -> Iterator[str]:
    """Yield the packages, or modules of the package folder, that a source file imports."""
    folder = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            parts = [*folder[: len(folder) + 1 - node.level], *(node.module or "").split(".")]
            parts = [part for part in parts if part]
            yield from parts[:1] or (alias.name for alias in node.names)


def import_graph() -> Graph:
    """Return what each package, or module of the package folder, imports from the others."""
    graph: Graph = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if not name.startswith("__"):
            graph.setdefault(name, set()).update(set(imports(path)) - {name})
    return graph


def reachable(graph: Graph, start: str) -> set[str]:
    """Return everything that is imported from a package, directly or indirectly."""
    return graph[start].union(*(reachable(graph, name) for name in graph[start]))


def transitive_reduction(graph: Graph) -> Graph:
    """Drop the arrows that a path of other arrows implies."""
    return {
        name: {
            target
            for target in targets
            if not any(target in reachable(graph, other) for other in targets - {target})
        }
        for name, targets in graph.items()
    }


def layers(graph: Graph) -> dict[str, int]:
    """Return the layer of each package: one above the highest package that it imports."""
    depth: dict[str, int] = {}

    def layer(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max(map(layer, graph[name]), default=-1)
        return depth[name]

    return {name: layer(name) for name in graph}


def with_bends(graph: Graph) -> tuple[Graph, dict[str, int]]:
    """Give each arrow that spans several layers a bend in every layer between."""
    depth = layers(graph)
    routed: Graph = {name: set() for name in graph}
    for name, targets in graph.items():
        for target in sorted(targets):
            last = name
            for layer in range(depth[name] - 1, depth[target], -1):
                bend = f"{name}>{target}>{layer}"
                depth[bend] = layer
                routed[last].add(bend)
                routed[bend] = set()
                last = bend
            routed[last].add(target)
    return routed, depth


def positions(routed: Graph, depth: dict[str, int]) -> dict[str, tuple[float, float]]:
    """Return the center of each box and bend, near the mean of what it is connected to."""
    near = {name: set(targets) for name, targets in routed.items()}
    for name, targets in routed.items():
        for target in targets:
            near[target].add(name)
    rows = [sorted(name for name in routed if depth[name] == i) for i in set(depth.values())]
    x = {name: float(i) for row in rows for i, name in enumerate(row)}
    for sweep in range(60):
        for row in rows if sweep % 2 else rows[::-1]:
            wanted = {name: fmean(x[other] for other in sorted(near[name])) for name in row}
            row.sort(key=lambda name: (wanted[name], name))
            for left, name in zip(["", *row], row, strict=False):
                space = (half_width(left) + half_width(name)) if left else 0.0
                x[name] = max(wanted[name], x[left] + space) if left else wanted[name]
            shift = sum(wanted[name] - x[name] for name in row) / len(row)
            for name in row:
                x[name] += shift
    return {name: (x[name], depth[name] * GAP) for name in routed}


def half_width(name: str) -> float:
    """Return half of the horizontal space of a box, or of a bend."""
    return 0.15 if ">" in name else WIDTH / 2 + 0.15


def main() -> None:
    """Write the diagram."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--png", type=Path)
    png = parser.parse_args().png
    routed, depth = with_bends(transitive_reduction(import_graph()))
    center = positions(routed, depth)
    figure, ax = plt.subplots(figsize=(9.5, 8))
    figure.subplots_adjust(0, 0, 1, 1)
    for name, (x, y) in center.items():
        bend = ">" in name
        if not bend:
            color = BLUE if name in PUBLIC else GRAY if name in HELPERS else GREEN
            corner = (x - WIDTH / 2, y - HEIGHT / 2)
            ax.add_patch(
                plt.Rectangle(corner, WIDTH, HEIGHT, facecolor=color, edgecolor="#555555", zorder=2)
            )
            ax.text(x, y, name, ha="center", va="center", family="monospace", size=9, zorder=3)
        else:
            ax.plot([x, x], [y - HEIGHT / 2, y + HEIGHT / 2], color=LINE, linewidth=1, zorder=1)
        for target in sorted(routed[name]):
            end = (center[target][0], center[target][1] + HEIGHT / 2)
            head = {"arrowstyle": "-" if ">" in target else "-|>"}
            line = {"color": LINE, "lw": 1, "shrinkA": 0, "shrinkB": 0}
            ax.annotate("", end, (x, y - HEIGHT / 2), arrowprops=head | line, zorder=1)
    ax.autoscale_view()
    ax.margins(0.03)
    ax.axis("off")
    figure.savefig(TARGET, metadata={"Date": None})
    if png is not None:
        figure.savefig(png, dpi=110)


if __name__ == "__main__":
    main()
