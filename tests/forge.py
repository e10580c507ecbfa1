"""Reading of forged model files and checkpoints, which are refused or used without harm.

    PYTHONPATH=. python tests/forge.py models --n 50000 --seed 0
    PYTHONPATH=. python tests/forge.py checkpoints --n 10000 --seed 0

Each run goes on after the recorded files of its seed. Counts of outcomes by field class and by
mutation class are in benchmarks/records/fuzz/forged-*.json. Files are read in a process with
limited memory and time. A model that is loaded predicts, and is fitted again with its parameters,
of which those that only take time are limited.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
import xgboost
from forger import N_ROWS, Forger, Y, fit_resumable, query_rows, small_encoders, write_valid
from fuzz import MAX_CHARACTERS, RECORDS, Worker

import sptgnn_sklearn
from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor, TerraMindImages
from sptgnn_sklearn.training.divergence import TrainingDivergedError
from sptgnn_sklearn.utils.safe_file import FileError, read

EXTRA_MEMORY = 2**30  # bytes that a process may allocate after its start
TIMEOUT = 20.0
BATCH = 100  # files between two records
_LIMITS = {
    "n_estimators": 2,
    "max_epochs": 1,
    "n_member_groups": 1,
    "n_jobs": 1,
    "hidden_size": 16,
    "n_heads": 4,
    "n_layers": 2,
    "n_experts": 4,
    "max_depth": 3,
    "max_leaves": 8,
    "max_bin": 256,
    "num_parallel_tree": 2,
}
# XGBoost checks its parameters itself.
_PACKAGES = tuple(
    str(Path(module.__file__).parent) for module in (sptgnn_sklearn, sklearn, xgboost)
)
_OUTCOMES = (
    *("refused", "not predicted", "not fitted", "used"),
    *("warned", "warned to other weights", "resumed", "resumed to other weights"),
)


def outcome(kind: str, path: Path, *, refit: bool = True) -> str:
    """Read a forged file, and use what it holds.

    Returns
    -------
    str
        "refused", "not predicted" and "not fitted" after a documented error, else "used"; for
        checkpoints "warned" or "resumed", with " to other weights" where predictions differ.

    Raises
    ------
    AssertionError
        If predictions are not finite, or a checkpoint that is refused changes them.
    """
    with warnings.catch_warnings(record=True) as caught, small_encoders():
        warnings.simplefilter("always")
        if kind == "checkpoints":
            return _resume(path, caught)
        try:
            model = SpTGNNRegressor.load(path)
        except FileError:
            return "refused"
        try:
            _predict(model, query_rows(path, 5))
        except ValueError as error:
            _require_documented(error)
            return "not predicted"
        if not refit:
            return "used"
        try:
            X = query_rows(path, N_ROWS)
            assert np.isfinite(_limit(model).fit(X, Y).predict(X)).all(), "a mean is not finite"
        except TrainingDivergedError:
            return "not fitted"
        except (ValueError, TypeError) as error:
            _require_documented(error)
            return "not fitted"
        return "used"


def _predict(model: SpTGNNRegressor, X: pd.DataFrame) -> None:
    """Call what a user calls after loading a model."""
    assert np.isfinite(model.predict(X)).all(), "a mean is not finite"
    table = model.predict_uncertainty(X, coverage=0.5)
    assert np.isfinite(table["std"]).all(), "a std is not finite"
    assert not table.drop(columns="epistemic").isna().any(axis=None), "a limit is NaN"
    model.sample_y(X, 2, random_state=0)
    if model.relations_:
        model.kneighbors(X, n_neighbors=1)


def _require_documented(error: Exception) -> None:
    """Raise an error again unless it comes from a check of parameters or tables."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames[-1].filename.startswith(_PACKAGES):
        raise error


def _limit(model: SpTGNNRegressor) -> SpTGNNRegressor:
    """Limit parameters that only take time and memory, which a user can set as well."""
    for name, value in model.get_params(deep=False).items():
        if isinstance(value, NetworkConfig | TerraMindImages) and is_dataclass(value):
            value = replace(
                value, **_limited({f.name: getattr(value, f.name) for f in fields(value)})
            )
        elif isinstance(value, xgboost.XGBRegressor):
            value.set_params(**_limited(value.get_params() | {"n_jobs": 1}))
        model.set_params(**{name: value} | _limited({name: value}))
    return model.set_params(n_jobs=1)


def _limited(params: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _LIMITS[name]
        for name, value in params.items()
        if name in _LIMITS and type(value) in (int, float) and value > _LIMITS[name]
    }


@functools.cache
def _uninterrupted() -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        return fit_resumable(Path(folder)).predict(query_rows(Path("table"), N_ROWS))


def _resume(path: Path, caught: list) -> str:
    expected = _uninterrupted()
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(path, Path(folder) / path.name)
        predicted = fit_resumable(Path(folder)).predict(query_rows(Path("table"), N_ROWS))
    refused = any("checkpoint cannot be read" in str(w.message) for w in caught)
    same = np.array_equal(predicted, expected)
    assert np.isfinite(predicted).all(), "a mean is not finite"
    assert same or not refused, "a refused checkpoint changes predictions"
    return ("warned" if refused else "resumed") + ("" if same else " to other weights")


# Command line ------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=["models", "checkpoints", "worker"])
    parser.add_argument("reader", nargs="?")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=600.0)
    parser.add_argument("--records", type=Path, default=RECORDS)
    options = parser.parse_args(arguments)
    return _work(options.reader) if options.kind == "worker" else _run(options)


def _run(options: argparse.Namespace) -> int:
    record_path = options.records / f"forged-{options.kind}-seed{options.seed}.json"
    end_time = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as valid, tempfile.TemporaryDirectory() as forged:
        forger = Forger(options.kind, Path(valid))
        record: dict[str, Any] = {"done": 0, "pairs": len(forger.pairs), "seconds": 0.0}
        record |= {"peak_mb": 0, "readable": 0, "failures": {}, "fields": {}, "mutations": {}}
        if record_path.exists():
            record = json.loads(record_path.read_text(encoding="utf-8"))
        with Worker(options.kind, timeout=TIMEOUT, script=__file__) as worker:
            while record["done"] < options.n and time.monotonic() < end_time:
                start, end = time.monotonic(), min(record["done"] + BATCH, options.n)
                for number in range(record["done"], end):
                    path, name, mutation = forger.forge(str(options.seed), number, Path(forged))
                    with contextlib.suppress(FileError):
                        read(path, options.kind.removesuffix("s"))
                        record["readable"] += 1
                    result, _ = worker.read(path)
                    if result not in _OUTCOMES:
                        record["failures"][f"{number} {name} {mutation}"] = result[:MAX_CHARACTERS]
                        print(number, name, mutation, result[:MAX_CHARACTERS], file=sys.stderr)
                        result = "failed"
                    for part, label in (("fields", name), ("mutations", mutation)):
                        counts = Counter(record[part].get(label, {}))
                        record[part][label] = counts + Counter([result])
                record["done"] = end
                record["seconds"] = round(record["seconds"] + time.monotonic() - start, 1)
                record["peak_mb"] = max(record["peak_mb"], round(worker.peak_mb))
                options.records.mkdir(parents=True, exist_ok=True)
                part = record_path.with_suffix(".part")
                part.write_text(_format(record), encoding="utf-8")
                os.replace(part, record_path)
                print(f"{end} of {options.n}, {len(record['failures'])} failures", flush=True)
        return int(bool(record["failures"]))


def _format(record: dict[str, Any]) -> str:
    """Return JSON with a line for each entry of the first two levels."""
    lines = []
    for key, value in record.items():
        if isinstance(value, dict):
            inner = ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            lines.append(f"  {json.dumps(key)}: {{\n{inner}\n  }}")
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _work(kind: str) -> int:
    """Read the files whose paths are on stdin, and print a line of JSON for each."""
    results = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # keeps output of libraries out of the results
    with tempfile.TemporaryDirectory() as folder:
        for path in write_valid(kind, Path(folder)):  # compiles the loops
            assert outcome(kind, path) in ("used", "resumed")
    allocated = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (allocated + EXTRA_MEMORY, resource.RLIM_INFINITY))
    print("ready", file=results)
    for line in sys.stdin:
        start = time.process_time()
        try:
            result = outcome(kind, Path(line.rstrip("\n")))
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            result = (
                f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}: {error}"
            )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        record = {"outcome": result, "seconds": time.process_time() - start, "peak_mb": peak}
        print(json.dumps(record), file=results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
