"""Skill of models that are saved without training data, on tables with fixed folds.

    python -m benchmarks.sharing --data FOLDER
    python -m benchmarks.sharing --data FOLDER --tables eberg_texture --folds all

Each fold is one fit and one line of the record: R2, RMSE and mean predicted std of the complete and
the shared model on the test rows, in standardized units of the target, the loss of R2 by each part
of the grouping alone, and the loss measured when saving. An interrupted run resumes.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import r2_score

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.ensemble.fitted import Ensemble
from sptgnn_sklearn.persistence.anonymize import drop_training_rows
from sptgnn_sklearn.persistence.sharing_loss import adapt_to_groups
from sptgnn_sklearn.table.schema import SampleTable

from .experiments import RECORDS_DIR, current_commit
from .table_selection import add_table_arguments, selected_tables
from .tables import TableData, Task
from .text_table import TextTable

_COLUMNS = ("complete", "shared", "loss", "nodes", "trees", "quantiles", "measured", "limit")


def run_fold(
    task: Task, data: TableData, label: int, min_group_size: int = 5, seed: int = 0
) -> dict[str, Any]:
    """Fit the training rows of a block fold, and score the complete and the shared model."""
    test = data.folds["block"] == label
    model = SpTGNNRegressor(elevation=task.elevation, time=task.time, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about columns, the same in each fold
        model.fit(data.X[~test], data.y[~test])
        table = model.columns_.transform(data.X[test])
    y = model.target_.transform(data.y[test])
    complete, weight = model.ensemble_.to("cpu"), model._merged.weight
    start = time.perf_counter()
    reduced, rows = drop_training_rows(complete, weight, min_group_size)
    shared, loss = adapt_to_groups(complete, reduced, rows, weight)
    seconds = time.perf_counter() - start
    before, after = score(complete, table, y), score(shared, table, y)
    parts = {
        "nodes": replace(shared, base=complete.base, features=complete.features),
        "trees": replace(complete, base=reduced.base),
        "quantiles": replace(complete, features=reduced.features),
    }
    return {
        "table": task.table,
        "fold": int(label),
        "min_group_size": min_group_size,
        "seed": seed,
        "rows": int((~test).sum()),
        "groups": len(rows.groups),
        "commit": current_commit(),
        "complete": before,
        "shared": after,
        "loss": before["R2"] - after["R2"],
        "loss_by_part": {
            name: before["R2"] - score(part, table, y)["R2"] for name, part in parts.items()
        },
        "measured": dict(vars(loss)),
        "n_neighbors": [complete.n_neighbors, shared.n_neighbors],
        "network_weight": [e.postprocessor.blend.network_weight for e in (complete, shared)],
        "seconds": round(seconds, 2),
    }


def score(ensemble: Ensemble, table: SampleTable, y: np.ndarray) -> dict[str, float]:
    """Score predictions of the rows of a table in standardized units of the target."""
    mean, std = ensemble.predict(table).total
    rmse = float(np.sqrt(np.mean((y - mean) ** 2)))
    return {"R2": float(r2_score(y, mean)), "rmse": rmse, "mean_std": float(std.mean())}


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a record of JSON lines; none if it does not exist."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def format_entries(entries: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table of the folds, and of the means of tables with several."""
    rows = []
    for table in dict.fromkeys(entry["table"] for entry in entries):
        found = [entry for entry in entries if entry["table"] == table]
        values = np.array([_figures(entry) for entry in found])
        names = [f"{table} {entry['fold']}" for entry in found]
        if len(found) > 1:
            names, values = [*names, f"{table} mean"], np.vstack([values, values.mean(axis=0)])
        for name, line in zip(names, values, strict=True):
            rows.append([name, *(f"{value:.3f}" for value in line)])
    return TextTable(["table fold", *_COLUMNS, "rmse/std before", "after"], rows).to_markdown()


def _figures(entry: dict[str, Any]) -> list[float]:
    return [
        entry["complete"]["R2"],
        entry["shared"]["R2"],
        entry["loss"],
        *entry["loss_by_part"].values(),
        entry["measured"]["explained_variance"],
        entry["measured"]["upper_limit"],
        *(entry[kind]["rmse"] / entry[kind]["mean_std"] for kind in ("complete", "shared")),
    ]


def main() -> None:
    """Run the folds that are not on record and print the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_table_arguments(parser)
    parser.add_argument("--folds", default="first", choices=("first", "all"), help="block folds")
    parser.add_argument("--min-group-size", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RECORDS_DIR / "sharing")
    options = parser.parse_args()
    path = options.out / f"groups-of-{options.min_group_size}-seed{options.seed}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    for source in selected_tables(options):
        data = source.load()
        labels = np.unique(data.folds["block"])
        known = {(entry["table"], entry["fold"]) for entry in read_lines(path)}
        for label in labels if options.folds == "all" else labels[:1]:
            if (source.task.table, int(label)) in known:
                continue
            entry = run_fold(source.task, data, label, options.min_group_size, options.seed)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
            print(f"{entry['table']} fold {label}: loss {entry['loss']:.4f}", flush=True)
    tables = [source.task.table for source in selected_tables(options)]
    entries = [entry for entry in read_lines(path) if entry["table"] in tables]
    print(format_entries(sorted(entries, key=lambda e: (tables.index(e["table"]), e["fold"]))))


if __name__ == "__main__":
    main()
