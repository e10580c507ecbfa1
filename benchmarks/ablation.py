"""Ablation study: SpTGNN with one parameter changed, on the same tables and folds.

    python -m benchmarks.ablation --data FOLDER --tables meuse eberg_texture --seeds 0 1 2
    python -m benchmarks.ablation --simulated --folds random    # known sources of variation

An interrupted run resumes.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor
from sptgnn_sklearn.ensemble.base_models import LARGEST_SMALL_SURVEY

from .experiments import (
    PREDICTIONS_DIR,
    RECORDS_DIR,
    Experiment,
    ExperimentRecord,
    PredictionStore,
    fit_and_predict,
    run_experiment,
)
from .report import Results, ablation_differences
from .skill import SPTGNN_MODELS, run_model
from .table_selection import add_table_arguments, selected_tables
from .tables import FOLD_KINDS, TableData, Task
from .variants import SMALL_SURVEYS, VARIANTS

# Variants that are models of the accuracy benchmark too and share its predictions.
SHARED_MODELS = {
    variant: model
    for variant, changed in VARIANTS.items()
    for model, parameters in SPTGNN_MODELS.items()
    if changed == parameters
}


def applicable_variants(task: Task) -> list[str]:
    """Return the variants that differ from the default on a table."""
    required_role = {"no elevation relation": task.elevation, "no time": task.time}
    return [name for name in VARIANTS if required_role.get(name, "none required") is not None]


def make_variant(name: str, task: Task, seed: int) -> SpTGNNRegressor:
    """Return the unfitted model of a variant."""
    model = SpTGNNRegressor(
        elevation=task.elevation, time=task.time, network=NetworkConfig(), random_state=seed
    )
    return model.set_params(**VARIANTS[name])


def run_variant(experiment: Experiment, data: TableData, store: PredictionStore) -> dict[str, Any]:
    """Run the experiment of a variant and return its entry."""
    if experiment.model in SHARED_MODELS:
        shared = replace(experiment, model=SHARED_MODELS[experiment.model])
        return {**run_model(shared, data, store), "model": experiment.model}
    make = partial(make_variant, experiment.model, experiment.task, experiment.seed)
    return run_experiment(experiment, data, partial(fit_and_predict, make, data), store)


def main() -> None:
    """Run the experiments that are not on record and print the differences from the default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_table_arguments(parser)
    parser.add_argument("--folds", nargs="*", default=list(FOLD_KINDS), choices=FOLD_KINDS)
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--refit", action="store_true", help="refit what is on record")
    parser.add_argument("--out", type=Path, default=RECORDS_DIR / "ablation")
    parser.add_argument("--predictions", type=Path, default=PREDICTIONS_DIR)
    options = parser.parse_args()
    unknown = set(options.variants) - set(VARIANTS)
    if unknown:
        parser.error(f"unknown --variants {sorted(unknown)}; choose from {list(VARIANTS)}.")
    store = PredictionStore(options.predictions, options.refit)
    for seed in options.seeds:
        for source in selected_tables(options):
            task = source.task
            record = ExperimentRecord(options.out, task, seed)
            experiments = [
                Experiment(task, folds, name, seed)
                for folds in options.folds
                for name in applicable_variants(task)
                if name in options.variants
            ]
            pending = [e for e in experiments if options.refit or record.find(e) is None]
            if not pending:
                continue
            data = source.load()
            small = len(data.y) <= LARGEST_SMALL_SURVEY
            for experiment in pending:
                if experiment.model in SMALL_SURVEYS and not small:
                    continue
                entry = run_variant(experiment, data, store)
                record.add(entry)
                print(f"{experiment.name}: R2 {entry['R2']:.3f}", flush=True)
    results = Results(options.out, {source.task.table for source in selected_tables(options)})
    for folds in options.folds:
        print(f"\n{folds} folds, R2 of the variant minus that of the default\n")
        print(ablation_differences(results, folds, VARIANTS).to_markdown())


if __name__ == "__main__":
    main()
