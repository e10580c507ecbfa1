"""Coverage of 90 % intervals in groups of rows: local calibration and other methods.

    python -m benchmarks.group_coverage --data FOLDER --tables eberg_texture usgs_ds801_soc
    python -m benchmarks.group_coverage --simulated     # surveys with known noise
    python -m benchmarks.group_coverage --write         # the table of the documentation

Groups of at least 200 rows are quantiles of the width of the intervals and of the distance to the
training rows, regions, and categories. The limit of the worst one is in `benchmarks.worst_group`.
The four smallest public tables are pooled, in standard deviations of their targets.
An interrupted run resumes.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.metrics import interval_coverage, interval_score
from sptgnn_sklearn.uncertainty.calibration import Calibration

from .coverage_report import GLOBAL, LOCAL, MODELS, SMALL_TABLES, write_coverage_report
from .experiments import (
    PREDICTIONS_DIR,
    RECORDS_DIR,
    Experiment,
    ExperimentRecord,
    PredictionStore,
    current_commit,
)
from .local_baselines import IntervalBaseline
from .noise_worlds import NOISE_WORLDS, noise_world_source
from .probabilistic_baselines import QuantileBaseline
from .skill import THREADS
from .table_selection import TableSource, add_table_arguments, selected_tables
from .tables import FOLD_KINDS, TableData, Task
from .worst_group import (
    COVERAGE,
    MARGINS,
    Groupings,
    fold_distances,
    interval_entry,
    labels_of_tested,
    n_quantile_groups,
    place_groupings,
    quantile_labels,
)

SPTGNN_MODELS = (LOCAL, GLOBAL)  # of one fit
SMALL_SURVEYS = Task("small surveys", "target in standard deviations")
_TAILS = ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2)
Predicted = dict[str, np.ndarray]  # "mean" with limits (n, 2), which the store reads; "infinite"


@dataclass(frozen=True)
class FoldedTable:
    """Table with one kind of folds.

    Attributes
    ----------
    data : TableData
    folds : ndarray of shape (n,)
        Fold labels; rows with negative ones are not tested.
    noise : ndarray of shape (n,) or None
        Known standard deviation of the noise.
    """

    data: TableData
    folds: np.ndarray
    noise: np.ndarray | None = None

    @cached_property
    def tested(self) -> np.ndarray:
        """Whether each row (n,) is tested."""
        return self.folds >= 0

    @cached_property
    def distance(self) -> np.ndarray:
        """Distance (m,) of tested rows to the training rows of their fold."""
        return fold_distances(self.data, self.folds)[self.tested]

    @cached_property
    def groupings(self) -> dict[str, np.ndarray]:
        """Groups of the m tested rows that are the same for all models."""
        n_groups = n_quantile_groups(len(self.distance))
        groupings = {"distance": quantile_labels(self.distance, n_groups)}
        groupings |= place_groupings(self.data, self.tested)
        if self.noise is not None:
            groupings["noise"] = quantile_labels(self.noise[self.tested], n_groups)
        return groupings


def predict_sptgnn(
    experiment: Experiment, data: TableData, test: np.ndarray
) -> dict[str, Predicted]:
    """Predict intervals of one fit, with local calibration and with the global rule."""
    task = experiment.task
    model = SpTGNNRegressor(
        elevation=task.elevation,
        time=task.time,
        calibration="local",
        random_state=experiment.seed,
    )
    with mock.patch.object(Calibration, "fit", wraps=Calibration.fit) as fit:
        model.fit(data.X[~test], data.y[~test])
    errors, _ = fit.call_args.args
    X = data.X[test]
    limits = {LOCAL: model.predict_interval(X, COVERAGE)}
    quantile = Calibration.fit(errors, "quantile")
    postprocessor = model.ensemble_.postprocessor
    model.ensemble_.postprocessor = replace(postprocessor, calibration=quantile)
    limits[GLOBAL] = model.predict_interval(X, COVERAGE)
    return {
        name: {"mean": found, "infinite": np.zeros(len(found), dtype=bool)}
        for name, found in limits.items()
    }


def predict_baseline(
    experiment: Experiment, data: TableData, test: np.ndarray
) -> dict[str, Predicted]:
    """Predict intervals of a baseline."""
    task, name = experiment.task, experiment.model
    roles: dict[str, Any] = {"time": task.time, "elevation": task.elevation}
    roles |= {"threads": THREADS, "random_state": experiment.seed}
    if name in IntervalBaseline.factories:
        model = IntervalBaseline(name, **roles).fit(data.X[~test], data.y[~test])
        limits, infinite = model.predict_interval(data.X[test], COVERAGE)
    else:
        model = QuantileBaseline(name, **roles).fit(data.X[~test], data.y[~test])
        limits = model.predict_quantiles(data.X[test], np.array(_TAILS))
        infinite = np.zeros(len(limits), dtype=bool)
    return {name: {"mean": limits, "infinite": infinite}}


def predict_folds(
    experiment: Experiment, data: TableData, folds: np.ndarray, store: PredictionStore
) -> Predicted:
    """Return the intervals of all tested rows, fitting the folds that are not stored."""
    tested = folds >= 0
    pooled: Predicted = {"mean": np.empty((len(folds), 2)), "infinite": np.empty(len(folds), bool)}
    for label in labels_of_tested(folds):
        test = folds == label
        result = None if store.refit else store.load(experiment, label, test.sum())
        if result is None:
            start = time.perf_counter()
            predict = predict_sptgnn if experiment.model in SPTGNN_MODELS else predict_baseline
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # warnings about columns would repeat in each fold
                predicted = predict(experiment, data, test)
            for model, found in predicted.items():
                store.save(replace(experiment, model=model), label, found)
            seconds = time.perf_counter() - start
            print(f"{experiment.name} fold {label}: {seconds:.1f} s", file=sys.stderr, flush=True)
            result = predicted[experiment.model]
        for name, values in pooled.items():
            values[test] = result[name]
    return {name: values[tested] for name, values in pooled.items()}


def make_entry(
    experiment: Experiment,
    y: np.ndarray,
    predicted: Predicted,
    groupings: Groupings,
    folds: np.ndarray,
) -> dict[str, Any]:
    """Return the entry of an experiment; groupings include those of the width."""
    limits = predicted["mean"]
    parts = []
    for label in np.unique(folds):
        rows = folds == label
        low, high = limits[rows].T
        parts.append(
            {
                "fold": int(label),
                "rows": int(rows.sum()),
                "coverage": interval_coverage(y[rows], low, high),
                "interval_score": interval_score(y[rows], low, high, COVERAGE),
            }
        )
    return {
        "folds": experiment.folds,
        "model": experiment.model,
        "commit": current_commit(),
        "infinite": float(predicted["infinite"].mean()),
        **interval_entry(y, limits, groupings, MARGINS[experiment.folds]),
        "parts": parts,
    }


def run_model(experiment: Experiment, table: FoldedTable, store: PredictionStore) -> dict[str, Any]:
    """Fit the folds that are not stored and return the entry of the experiment."""
    predicted = predict_folds(experiment, table.data, table.folds, store)
    width = np.ptp(predicted["mean"], axis=1)
    groupings = {"width": quantile_labels(width, n_quantile_groups(len(width)))}
    groupings |= table.groupings
    y, folds = table.data.y[table.tested], table.folds[table.tested]
    return make_entry(experiment, y, predicted, groupings, folds)


def run_pooled(
    experiment: Experiment, tables: Sequence[tuple[Task, FoldedTable]], store: PredictionStore
) -> dict[str, Any]:
    """Return the entry of several tables together, in standard deviations of their targets.

    Quantile groups are those within each table, and the tables stand for regions.
    """
    n_rows = [int(table.tested.sum()) for _, table in tables]
    n_groups = n_quantile_groups(sum(n_rows))
    parts: dict[str, list[np.ndarray]] = {}
    for (task, table), n in zip(tables, n_rows, strict=True):
        found = predict_folds(replace(experiment, task=task), table.data, table.folds, store)
        scale = table.data.y.std()
        width = np.ptp(found["mean"], axis=1)
        for name, values in {
            "y": table.data.y[table.tested] / scale,
            "mean": found["mean"] / scale,
            "infinite": found["infinite"],
            "folds": table.folds[table.tested],
            "width": quantile_labels(width, n_groups),
            "distance": quantile_labels(table.distance, n_groups),
            "table": np.repeat(task.table, n),
        }.items():
            parts.setdefault(name, []).append(values)
    pooled = {name: np.concatenate(values) for name, values in parts.items()}
    groupings = {name: pooled[name] for name in ("width", "distance", "table")}
    return make_entry(experiment, pooled["y"], pooled, groupings, pooled["folds"])


def make_tested(source: TableSource, data: TableData, folds: str) -> FoldedTable:
    """Return a table with one kind of folds."""
    world = NOISE_WORLDS.get(source.task.table)
    noise = None if world is None else world.noise_sd(data.X)
    return FoldedTable(data, data.folds[folds], noise)


def run_source(
    source: TableSource, seed: int, options: argparse.Namespace, store: PredictionStore
) -> None:
    """Run the experiments of a table that are not on record and print its entries."""
    record = ExperimentRecord(options.out, source.task, seed)
    kinds = [kind for kind in options.folds if kind in source.fold_kinds]
    pending = {
        kind: [
            experiment
            for model in options.models
            if record.find(experiment := Experiment(source.task, kind, model, seed)) is None
            or options.refit
        ]
        for kind in kinds
    }
    data = source.load() if any(pending.values()) else None
    for kind, experiments in pending.items():
        if data is not None and experiments:
            table = make_tested(source, data, kind)
            for experiment in experiments:
                # One fit stores the intervals of both calibrations, so only the first refits.
                refit = options.refit and experiment.model != SPTGNN_MODELS[1]
                record.add(run_model(experiment, table, replace(store, refit=refit)))
    print_record(record)


def run_small(
    sources: Sequence[TableSource], seed: int, options: argparse.Namespace, store: PredictionStore
) -> None:
    """Pool the small tables and print the entries."""
    record = ExperimentRecord(options.out, SMALL_SURVEYS, seed)
    loaded = [(source, source.load()) for source in sources]
    for kind in options.folds:
        tables = [(source.task, make_tested(source, data, kind)) for source, data in loaded]
        for model in options.models:
            experiment = Experiment(SMALL_SURVEYS, kind, model, seed)
            if record.find(experiment) is None or options.refit:
                record.add(run_pooled(experiment, tables, store))
    print_record(record)


def print_record(record: ExperimentRecord) -> None:
    """Print the entries of a record, one a line."""
    for entry in record.entries():
        print(format_entry(record.header["table"], entry), flush=True)


def format_entry(table: str, entry: dict[str, Any]) -> str:
    """Return an entry as one line of text."""
    line = (
        f"{table} {entry['folds']:6} {entry['model']:20} 90 % {entry['coverage']:.3f}  "
        f"interval score {entry['interval_score']:.3f}"
    )
    if entry["worst"] is not None:
        worst = entry["worst"]
        line += (
            f"  worst {worst['coverage']:.3f} ({worst['by']} {worst['group']}, {worst['n']} rows), "
            f"limit {entry['limit']:.3f}, {'passes' if entry['passes'] else 'fails'}"
        )
    return line


def main() -> None:
    """Run the experiments that are not on record and print all entries."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_table_arguments(parser, NOISE_WORLDS)
    parser.add_argument("--folds", nargs="*", default=list(FOLD_KINDS), choices=FOLD_KINDS)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=MODELS, metavar="M")
    parser.add_argument("--seeds", nargs="*", type=int, help="default: 0, simulated surveys 0 1")
    parser.add_argument("--refit", action="store_true", help="refit what is on record")
    parser.add_argument("--write", action="store_true", help="write the documentation's table")
    parser.add_argument("--out", type=Path, default=RECORDS_DIR / "group-coverage")
    parser.add_argument("--predictions", type=Path, default=PREDICTIONS_DIR / "intervals")
    options = parser.parse_args()
    if options.write:
        write_coverage_report(options.out)
        return
    store = PredictionStore(options.predictions, options.refit)
    if options.simulated is not None:
        for seed in options.seeds or (0, 1):
            for name in options.simulated or NOISE_WORLDS:
                run_source(noise_world_source(name, seed), seed, options, store)
        return
    sources = selected_tables(options)
    small = [source for source in sources if source.task.table in SMALL_TABLES]
    for seed in options.seeds or (0,):
        for source in sources:
            run_source(source, seed, options, store)
        if len(small) == len(SMALL_TABLES):
            run_small(small, seed, options, replace(store, refit=False))


if __name__ == "__main__":
    main()
