"""What each ingredient is worth: SpTGNN with one thing changed, on the same tables and folds.

    python -m benchmarks.ablation --data FOLDER --tables meuse eberg_texture --seeds 0 1 2
    python -m benchmarks.ablation --worlds --folds random    # where the truth is known

A run that was cut off goes on where it stopped.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sptgnn_sklearn import SpTGNNRegressor

from .cells import PREDICTIONS, RECORDS, Cell, Folder, Record, fit_and_predict, run_cell
from .report import Results, ablations
from .skill import fill
from .sources import add_arguments, chosen
from .tables import FOLDS, Data, Task
from .variants import VARIANTS

SAME = {"default": "sptgnn", "no base": "sptgnn_network"}


def variants(task: Task) -> list[str]:
    """Variants that differ from the default on a table."""
    needs = {"no elevation relation": task.elevation, "no time": task.time}
    return [name for name in VARIANTS if needs.get(name, "nothing") is not None]


def fill_variant(cell: Cell, data: Data, folder: Folder) -> dict[str, Any]:
    """Return the entry of a variant; two of them are models of the benchmark of skill."""
    if cell.model in SAME:
        entry = fill(replace(cell, model=SAME[cell.model]), data, folder)
        return {**entry, "model": cell.model}
    make = partial(
        SpTGNNRegressor,
        elevation=cell.task.elevation,
        time=cell.task.time,
        random_state=cell.seed,
        **VARIANTS[cell.model],
    )
    return run_cell(cell, data, partial(fit_and_predict, make, data), folder)


def main() -> None:
    """Read the options, fill the cells that are not on record, and print the study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--folds", nargs="*", default=list(FOLDS), choices=FOLDS)
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--fresh", action="store_true", help="fit again what is on record")
    parser.add_argument("--out", type=Path, default=RECORDS / "ablation")
    parser.add_argument("--predictions", type=Path, default=PREDICTIONS)
    options = parser.parse_args()
    unknown = set(options.variants) - set(VARIANTS)
    if unknown:
        parser.error(f"--variants {sorted(unknown)} are not known; choose from {list(VARIANTS)}.")
    folder = Folder(options.predictions, options.fresh)
    for seed in options.seeds:
        for source in chosen(options):
            task = source.task
            record = Record(options.out, task, seed)
            cells = [
                Cell(task, folds, name, seed)
                for folds in options.folds
                for name in variants(task)
                if name in options.variants
            ]
            missing = [cell for cell in cells if options.fresh or record.find(cell) is None]
            if not missing:
                continue
            data = source.load()
            for cell in missing:
                entry = fill_variant(cell, data, folder)
                record.add(entry)
                print(f"{cell.place}: R2 {entry['R2']:.3f}", flush=True)
    results = Results(options.out, {source.task.table for source in chosen(options)})
    for folds in options.folds:
        print(f"\n{folds} folds, R2 of the variant minus that of the default\n")
        print(ablations(results, folds, VARIANTS).to_markdown())


if __name__ == "__main__":
    main()
