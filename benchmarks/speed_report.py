"""Tables of the time and memory records of `benchmarks.speed`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .text_table import TextTable

LABELS = {
    "sptgnn": "SpTGNN",
    "sptgnn_network": "SpTGNN, base_estimator=None",
    "plain": "plain PyTorch Geometric",
    "xgboost_800": "XGBoost, 800 trees",
    "xgboost_800_coarse": "XGBoost, 800 trees, 64 bins above 60 columns",
    "gpboost": "GPBoost",
    "quantile_forest": "quantile forest",
    "regression_kriging": "regression kriging",
    "random_forest_300": "random forest, 300 trees",
}

SpeedRecord = dict[str, Any]
TitledTables = list[tuple[str, TextTable]]


def plain_tables(record: SpeedRecord) -> TitledTables:
    """SpTGNN compared with the plain PyTorch Geometric implementation."""
    sptgnn, plain = record["results"]["sptgnn_network"], record["results"]["plain"]
    epochs = ", ".join(map(str, plain["epochs"]))
    rows = [
        [
            LABELS["sptgnn_network"],
            _format(sptgnn["fit_seconds"], 1),
            "1.0",
            _format(sptgnn["fit_mib"], 0),
            _format(sptgnn["R2"], 3),
        ],
        [
            f"{LABELS['plain']}, until {record['timed_until']}",
            _format(record["plain_seconds"], 1),
            _format(record["time_ratio"], 1),
            _format(plain["fit_mib"], 0),
            _format(record["plain_R2"], 3),
        ],
        [
            f"{LABELS['plain']}, until the end of training ({epochs} epochs)",
            _format(record["plain_seconds_to_end"], 1),
            _format(record["time_ratio_to_end"], 1),
            _format(plain["fit_mib"], 0),
            _format(plain["R2"], 3),
        ],
    ]
    columns = ["model", "fit, s", "relative to SpTGNN", "peak memory, MiB", "R2, new rows"]
    title = f"Five ensemble members, {record['rows']:,} rows"
    if record["timed_members"] < 5:
        title += f" (plain: time of {record['timed_members']} scaled to five)"
    return [(title, TextTable(columns, rows))]


def trees_tables(record: SpeedRecord) -> TitledTables:
    """SpTGNN compared with tree ensembles and kriging on public tables."""
    columns = ["model", "fit, s", "relative to XGBoost", "predict, s", "peak memory, MiB", "R2"]
    tables = []
    for table, entry in record["tables"].items():
        rows = [
            [
                LABELS[model],
                _format(result["fit_seconds"], 1),
                _format(result["times_xgboost"], 2),
                _format(result["predict_seconds"], 2),
                _format(result["fit_mib"], 0),
                _format(result["R2"], 3),
            ]
            for model, result in entry["results"].items()
        ]
        title = f"{table}: {entry['rows']:,} training rows, {entry['new_rows']:,} predicted rows"
        tables.append((title, TextTable(columns, rows)))
    return tables


def growth_tables(record: SpeedRecord) -> TitledTables:
    """Time and memory by number of rows."""
    columns = ["rows", "fit, s", "CPU time, s", "peak memory, MiB", "epochs", "R2, new rows"]
    tables = []
    for model, entry in record["models"].items():
        rows = [
            [
                f"{result['rows']:,}",
                _format(result["fit_seconds"], 1),
                _format(result["fit_cpu_seconds"], 1),
                _format(result["fit_mib"], 0),
                str(result["epochs"]),
                _format(result["R2"], 3),
            ]
            for result in entry["sizes"]
        ]
        exponents = [
            _format(entry[f"exponent_{name}"], 2)
            for name in ("fit_seconds", "fit_cpu_seconds", "fit_mib")
        ]
        rows.append(["exponent", *exponents, "–", "–"])
        title = f"{LABELS[model]}; exponents from {record['exponent_from']:,} rows"
        tables.append((title, TextTable(columns, rows)))
    return tables


def predict_tables(record: SpeedRecord) -> TitledTables:
    """Prediction of many rows compared with a random forest."""
    columns = ["model", "predict, s", "relative to random forest", "peak memory, MiB", "R2"]
    rows = [
        [
            LABELS[model],
            _format(result["predict_seconds"], 1),
            _format(result["times_forest"], 2),
            _format(result["predict_mib"], 0),
            _format(result["R2"], 3),
        ]
        for model, result in record["results"].items()
    ]
    title = f"Prediction of {record['queries']:,} rows from {record['rows']:,} training rows"
    return [(title, TextTable(columns, rows))]


def graph_tables(record: SpeedRecord) -> TitledTables:
    """Time of the neighbor search by relation."""
    result = record["results"]["graph"]
    rows = [[name, _format(value, 1), "–"] for name, value in result["relations"].items()]
    total = [_format(result["search_seconds"], 1), _format(result["search_mib"], 0)]
    rows.append(["all relations in one call", *total])
    title = f"Search for {result['n_neighbors']} neighbors of {result['rows']:,} rows"
    return [(title, TextTable(["relation", "seconds", "peak memory, MiB"], rows))]


def gpu_tables(record: SpeedRecord) -> TitledTables:
    """Time and memory on a GPU by precision."""
    columns = ["precision", "fit, s", "training, s", "share of training in GPU kernels"]
    columns += ["predict, s", "GPU memory, MiB", "R2, new rows"]
    rows = [
        [
            precision,
            _format(result["fit_seconds"], 1),
            _format(result["train_seconds"], 1),
            _format(result.get("share_in_kernels"), 2),
            _format(result["predict_seconds"], 2),
            _format(result.get("device_mib"), 0),
            _format(result["R2"], 4),
        ]
        for precision, result in record["results"].items()
    ]
    return [(f"{record['device']}, {record['rows']:,} rows", TextTable(columns, rows))]


# Functions that turn a record into titled tables, by benchmark.
REPORTS: dict[str, Callable[[SpeedRecord], TitledTables]] = {
    "plain": plain_tables,
    "trees": trees_tables,
    "growth": growth_tables,
    "predict": predict_tables,
    "graph": graph_tables,
    "gpu": gpu_tables,
}


def speed_tables(folder: Path) -> str:
    """Return the tables of all records in a folder as reStructuredText; empty without records."""
    parts = []
    for benchmark, report in REPORTS.items():
        for path in sorted(folder.glob(f"{benchmark}-*.json")):
            record = json.loads(path.read_text(encoding="utf-8"))
            machine = f"{record['machine']['processor']}, {record['threads']} threads"
            parts += [table.to_rst(f"{title} ({machine})") for title, table in report(record)]
    return "\n".join(parts)


def _format(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
