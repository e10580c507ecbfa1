"""Tables of time and memory on record; see `benchmarks.speed`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .grid import Grid

NAMES = {
    "sptgnn": "SpTGNN",
    "sptgnn_network": "SpTGNN, base=None",
    "plain": "plain torch-geometric",
    "xgboost_800": "XGBoost, 800 trees",
    "xgboost_800_coarse": "XGBoost, 800 trees, 64 bins above 60 columns",
    "gpboost": "GPBoost",
    "quantile_forest": "quantile forest",
    "regression_kriging": "regression kriging",
    "random_forest_300": "random forest, 300 trees",
}

Record = dict[str, Any]
Titled = list[tuple[str, Grid]]


def plain(record: Record) -> Titled:
    """Ours beside the plain implementation."""
    ours, other = record["cells"]["sptgnn_network"], record["cells"]["plain"]
    epochs = ", ".join(map(str, other["epochs"]))
    then = [
        f"plain torch-geometric, to {record['timed_to']}",
        _number(record["plain_seconds"], 1),
        _number(record["times_faster"], 1),
        _number(other["fit_mib"], 0),
        _number(record["plain_R2_then"], 3),
    ]
    end = [
        f"plain torch-geometric, to its end ({epochs} epochs)",
        _number(record["plain_seconds_to_its_end"], 1),
        _number(record["times_faster_than_to_its_end"], 1),
        _number(other["fit_mib"], 0),
        _number(other["R2"], 3),
    ]
    own = ["SpTGNN, base=None", _number(ours["fit_seconds"], 1), "1.0"]
    own += [_number(ours["fit_mib"], 0), _number(ours["R2"], 3)]
    columns = ["model", "fit, s", "times ours", "peak memory, MiB", "R2, new rows"]
    title = f"Five members at {record['rows']:,} rows"
    if record["timed_members"] < 5:
        title += f" (plain: time of {record['timed_members']} scaled to five)"
    return [(title, Grid(columns, [own, then, end]))]


def trees(record: Record) -> Titled:
    """Ours beside trees and kriging on public tables."""
    columns = ["model", "fit, s", "times XGBoost", "predict, s", "peak memory, MiB", "R2"]
    found = []
    for table, entry in record["tables"].items():
        rows = [
            [
                NAMES[model],
                _number(cell["fit_seconds"], 1),
                _number(cell["times_xgboost"], 2),
                _number(cell["predict_seconds"], 2),
                _number(cell["fit_mib"], 0),
                _number(cell["R2"], 3),
            ]
            for model, cell in entry["cells"].items()
        ]
        title = f"{table}: {entry['rows']:,} rows fitted, {entry['new_rows']:,} predicted"
        found.append((title, Grid(columns, rows)))
    return found


def growth(record: Record) -> Titled:
    """Time and memory by rows."""
    columns = ["rows", "fit, s", "of processor", "peak memory, MiB", "epochs", "R2, new rows"]
    found = []
    for model, entry in record["models"].items():
        rows = [
            [
                f"{cell['rows']:,}",
                _number(cell["fit_seconds"], 1),
                _number(cell["fit_cpu_seconds"], 1),
                _number(cell["fit_mib"], 0),
                str(cell["epochs"]),
                _number(cell["R2"], 3),
            ]
            for cell in entry["sizes"]
        ]
        slopes = [
            _number(entry[f"exponent_{name}"], 2)
            for name in ("fit_seconds", "fit_cpu_seconds", "fit_mib")
        ]
        rows.append(["exponent", *slopes, "–", "–"])
        title = f"{NAMES[model]}; exponents from {record['exponent_from']:,} rows up"
        found.append((title, Grid(columns, rows)))
    return found


def predict(record: Record) -> Titled:
    """Many predictions beside those of a forest."""
    columns = ["model", "predict, s", "times forest", "peak memory, MiB", "R2"]
    rows = [
        [
            NAMES[model],
            _number(cell["predict_seconds"], 1),
            _number(cell["times_forest"], 2),
            _number(cell["predict_mib"], 0),
            _number(cell["R2"], 3),
        ]
        for model, cell in record["cells"].items()
    ]
    return [(f"{record['queries']:,} rows from {record['rows']:,}", Grid(columns, rows))]


def graph(record: Record) -> Titled:
    """The time of neighbour search."""
    cell = record["cells"]["graph"]
    columns = ["relation", "seconds", "peak memory, MiB"]
    rows = [[name, _number(value, 1), "–"] for name, value in cell["relations"].items()]
    rows.append(["all at once", _number(cell["search_seconds"], 1), _number(cell["search_mib"], 0)])
    return [(f"{cell['neighbors']} neighbours of {cell['rows']:,} rows", Grid(columns, rows))]


def gpu(record: Record) -> Titled:
    """Fits on a GPU by precision."""
    columns = ["precision", "fit, s", "of which training, s", "training in kernels, share"]
    columns += ["predict, s", "memory of the GPU, MiB", "R2, new rows"]
    rows = [
        [
            precision,
            _number(cell["fit_seconds"], 1),
            _number(cell["train_seconds"], 1),
            _number(cell.get("share_in_kernels"), 2),
            _number(cell["predict_seconds"], 2),
            _number(cell.get("device_mib"), 0),
            _number(cell["R2"], 4),
        ]
        for precision, cell in record["cells"].items()
    ]
    return [(f"{record['device']}, {record['rows']:,} rows", Grid(columns, rows))]


GRIDS: dict[str, Callable[[Record], Titled]] = {
    f.__name__: f for f in (plain, trees, growth, predict, graph, gpu)
}


def speed(folder: Path) -> str:
    """Return all tables of the records of a folder as reStructuredText; empty without records."""
    parts = []
    for what, grids in GRIDS.items():
        for path in sorted(folder.glob(f"{what}-*.json")):
            record = json.loads(path.read_text(encoding="utf-8"))
            machine = record["machine"]
            where = f"{machine['processor']}, {record['threads']} threads"
            parts += [grid.to_rst(f"{title} ({where})") for title, grid in grids(record)]
    return "\n".join(parts)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
