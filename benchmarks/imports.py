"""CPU seconds and memory of imports, of commands, and of the first fit after an installation.

    python -m benchmarks.imports            the median of five runs of each step
    python -m benchmarks.imports --runs 1   a quick look

Each run is a new process with one thread. Memory is the peak of resident memory; the kernel reports
it for each process, so the benchmark runs on Linux and macOS only. The first fit is measured with
an empty cache of machine code, with the cache of an earlier fit, and with that cache for another
copy of the package, as in a new virtual environment. Writes a JSON record.
"""

# Only the standard library is imported: the memory of this process counts for its children.
from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORD = Path(__file__).parent / "records/speed/imports.json"
PACKAGES = ("numba", "numpy", "pandas", "scikit-learn", "torch", "xgboost")
MIB = 2**20
N_ROWS = 200
WRITE_TABLE = f"""
from sptgnn_sklearn.datasets import make_soil_survey
survey = make_soil_survey({N_ROWS}, random_state=0)
survey.data.assign(SOC=survey.target).to_csv("survey.csv", index=False)
"""
FOLDS = """
import pandas as pd
from sptgnn_sklearn.model_selection import SpatialBlockKFold
list(SpatialBlockKFold().split(pd.read_csv("survey.csv")))
"""
FIT = """
import pandas as pd
from sptgnn_sklearn import SpTGNNRegressor
X = pd.read_csv("survey.csv")
y = X.pop("SOC")
SpTGNNRegressor(time="date", n_estimators=2, max_epochs=2, random_state=0).fit(X, y)
"""
STEPS = {
    "import sklearn": ["-c", "import sklearn"],
    "import torch": ["-c", "import torch"],
    "import sptgnn_sklearn": ["-c", "import sptgnn_sklearn"],
    "SpTGNNRegressor()": ["-c", "from sptgnn_sklearn import SpTGNNRegressor; SpTGNNRegressor()"],
    "sptgnn --help": ["-m", "sptgnn_sklearn", "--help"],
    "sptgnn check": ["-m", "sptgnn_sklearn", "check", "survey.csv", "--target", "SOC"],
    "spatial folds": ["-c", FOLDS],
}


def run(arguments: list[str], folder: Path, package: Path, cache: Path) -> dict[str, float]:
    """Run Python in a new process; return its CPU seconds and its peak of memory in MiB."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # Numba takes its folder in the user's cache from one of these.
    caches = dict.fromkeys(("XDG_CACHE_HOME", "HOME"), str(cache))
    environment = {**os.environ, **threads, **caches, "PYTHONPATH": str(package)}
    environment.pop("NUMBA_CACHE_DIR", None)
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status  # otherwise it counts as running
        errors.seek(0)
        message = errors.read().decode()
    if status:
        raise RuntimeError(f"{arguments} failed:\n{message}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"cpu_s": usage.ru_utime + usage.ru_stime, "peak_mib": peak / MIB}


def summarize(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each quantity."""
    return {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}


def measure(n_runs: int) -> dict[str, dict[str, float]]:
    """Return the medians of all steps."""
    results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy = folder / "copy"
        shutil.copytree(
            ROOT / "sptgnn_sklearn",
            copy / "sptgnn_sklearn",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        # This also writes the bytecode that an installation writes.
        for package in (ROOT, copy):
            run(["-c", WRITE_TABLE + FIT], folder, package, folder / "filled")
        for step, arguments in STEPS.items():
            runs = [run(arguments, folder, ROOT, folder / "filled") for _ in range(n_runs)]
            results[step] = summarize(runs)
            print(step, results[step], flush=True)
        first_fits = {
            "fit, empty cache": [(ROOT, f"empty{i}") for i in range(n_runs)],
            "fit, cache of an earlier fit": [(ROOT, "filled")] * n_runs,
            "fit, another copy of the package": [(copy, "empty0")] * n_runs,
        }
        for step, places in first_fits.items():
            runs = [run(["-c", FIT], folder, package, folder / cache) for package, cache in places]
            results[step] = summarize(runs)
            print(step, results[step], flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5, help="runs of each step (default: 5)")
    parser.add_argument("--record", type=Path, default=RECORD, help="JSON file to write")
    options = parser.parse_args()
    results = measure(options.runs)
    record = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "packages": {name: version(name) for name in PACKAGES},
        "runs": options.runs,
        "n_rows": N_ROWS,
        "results": results,
    }
    options.record.parent.mkdir(parents=True, exist_ok=True)
    options.record.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
