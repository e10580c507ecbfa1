"""Time and memory of estimates of the zones of a map of a million cells.

    python -m benchmarks.estimates                  # a million cells, 200 draws
    python -m benchmarks.estimates --cells 100000   # a quick look

The cells come in blocks from a generator, so that memory is that of a block. A model of 2,000
samples with dates estimates the means of 100 zones. Writes a record with seconds, CPU seconds and
the peak of resident memory, that of the imports included.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.estimation import estimate

from .experiments import RECORDS_DIR

_N_SAMPLES, _N_ZONES = 2000, 100
_BLOCK_ROWS = 50_000
_SEED = 0


def iterate_cells(n_cells: int) -> Iterator[pd.DataFrame]:
    """Yield the cells of a square grid in blocks, with their zones."""
    side = int(np.ceil(np.sqrt(n_cells)))
    axis = np.linspace(-2.2, 2.2, side)
    for start in range(0, n_cells, _BLOCK_ROWS):
        number = np.arange(start, min(start + _BLOCK_ROWS, n_cells))
        row, column = np.divmod(number, side)
        places = np.column_stack([30 + axis[column], axis[row]])
        cells = make_soil_survey(coordinates=places, random_state=_SEED).data
        across = int(np.sqrt(_N_ZONES))
        yield cells.assign(
            date="2018-07-01", zone=row * across // side * across + column * across // side
        )


def measure(n_cells: int, n_samples: int) -> dict[str, Any]:
    """Estimate the zones once and return seconds and memory."""
    survey = make_soil_survey(_N_SAMPLES, random_state=_SEED)
    model = SpTGNNRegressor(time="date", elevation="elevation", random_state=_SEED)
    model.fit(survey.data, survey.target)
    model.sample_y(survey.data.head(100), 2, random_state=0)
    clock, cpu = time.perf_counter(), time.process_time()
    generated = sum(len(block) for block in iterate_cells(n_cells))
    of_cells = time.perf_counter() - clock, time.process_time() - cpu
    clock, cpu = time.perf_counter(), time.process_time()
    table = estimate(model, iterate_cells(n_cells), "zone", n_samples=n_samples)
    seconds, cpu_seconds = time.perf_counter() - clock, time.process_time() - cpu
    assert int(table["n_cells"].sum()) == generated
    return {
        "cells": n_cells,
        "draws": n_samples,
        "zones": len(table),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "seconds_of_cells": round(of_cells[0], 1),
        "cpu_seconds_of_cells": round(of_cells[1], 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    """Measure, print and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--out", type=Path, default=RECORDS_DIR)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    record = measure(options.cells, options.draws)
    print(json.dumps(record, indent=1))
    name = f"estimates-{options.cells}-cells-{options.draws}-draws.json"
    (options.out / name).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
