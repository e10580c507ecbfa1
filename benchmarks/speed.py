"""Time and memory of SpTGNN compared with its baselines, written to JSON records.

    python -m benchmarks.speed plain                   # a plain PyTorch Geometric implementation
    python -m benchmarks.speed trees --data FOLDER     # boosted trees, forest, kriging, GPBoost
    python -m benchmarks.speed growth                  # time and memory by number of rows
    python -m benchmarks.speed predict                 # a million rows, and a random forest
    python -m benchmarks.speed graph                   # neighbor search for a million rows
    python -m benchmarks.speed gpu                     # fits on a GPU

Every fit runs in its own process with two threads, one at a time: see `benchmarks.timed_job`. Only
ratios of times of the same invocation are comparable between machines.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .baselines import MAX_ROWS as BASELINE_MAX_ROWS
from .experiments import PACKAGES, RECORDS_DIR, current_commit
from .speed_report import REPORTS
from .tables import TASKS, read_table
from .timed_job import SPTGNN_MODELS, Job, Split, run_job

_MORE_PACKAGES = ("scipy", "torch-geometric", "gpboost", "quantile-forest", "pykrige")
_N_NEW = 5000  # new rows on which R2 is computed
_TOLERANCE = 0.005  # largest difference in R2 between models that count as equally accurate
_MIN_EXPONENT_ROWS = 5000  # smallest number of rows for the growth exponents
TABLES = ("usgs_ds801_soc", "afsp_soc")
TREES = (
    *SPTGNN_MODELS,
    "xgboost_800",
    "xgboost_800_coarse",
    "gpboost",
    "quantile_forest",
    "regression_kriging",
)
# Models that are skipped on larger tables; GPBoost did not finish 17,000 rows in 14 minutes.
MAX_ROWS = {**BASELINE_MAX_ROWS, "gpboost": 10_000}
SIZES = (1_000, 5_000, 20_000, 50_000, 200_000)

JobResults = dict[str, dict[str, Any]]


def run_in_new_process(job: Job) -> dict[str, Any]:
    """Run a job in a new process with its number of threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    threads = dict.fromkeys(names, str(job.threads))
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / "job.pickle", Path(folder) / "result.json"
        source.write_bytes(pickle.dumps(job))
        command = [sys.executable, "-m", "benchmarks.timed_job", str(source), str(result)]
        subprocess.run(command, env={**os.environ, **threads}, check=True)
        return json.loads(result.read_text(encoding="utf-8"))


class JobRunner:
    """Run jobs one after another.

    Parameters
    ----------
    options : Namespace
        With seed, threads and in_process: whether to run jobs in this process.
    """

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.run_job: Callable[[Job], dict[str, Any]] = (
            run_job if options.in_process else run_in_new_process
        )

    def run(self, split: Split, jobs: dict[str, dict[str, Any]]) -> JobResults:
        """Run named jobs, given as fields of `Job`, on a split and print each result."""
        results = {}
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "split.pickle"
            data.write_bytes(pickle.dumps(split))
            for name, fields in jobs.items():
                job = Job(data=data, seed=self.options.seed, threads=self.options.threads, **fields)
                results[name] = self.run_job(job)
                shown = {key: value for key, value in results[name].items() if key != "curve"}
                print(f"{name}: {shown}", file=sys.stderr, flush=True)
        return results


def compare_plain(options: argparse.Namespace, runner: JobRunner) -> dict[str, Any]:
    """Time the network and the plain implementation to the same R2 on new rows.

    The plain implementation is timed until the first evaluation at which its ensemble is as
    accurate as SpTGNN, within 0.005. If it never is, or has fewer members than SpTGNN, it is timed
    until it is within 0.005 of its own best. Both rules favor it, because it would train longer.
    """
    split = Split.from_survey(options.rows, _N_NEW, options.seed)
    settings = {"n_estimators": options.members, "every": options.every}
    if options.max_epochs:
        settings["max_epochs"] = options.max_epochs
    jobs = {
        "sptgnn_network": {"measurement": "fit", "model": "sptgnn_network"},
        "plain": {"measurement": "plain", "model": "plain", "settings": settings},
    }
    results = runner.run(split, jobs)
    return {"rows": options.rows, "results": results, **time_to_same_accuracy(**results)}


def time_to_same_accuracy(sptgnn_network: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds of the plain implementation until the R2 of SpTGNN or its own best."""
    curve, n_members = plain["curve"], plain["members"]
    goal = sptgnn_network["R2"] - _TOLERANCE
    reached = [point for point in curve if point["R2"] >= goal]
    rule = "the R2 of SpTGNN"
    if n_members < 5 or not reached:
        rule = "its own best R2"
        best = max(point["R2"] for point in curve)
        reached = [point for point in curve if point["R2"] >= best - _TOLERANCE]
    seconds = plain["setup_seconds"] + reached[0]["seconds"] * 5 / n_members
    seconds_to_end = plain["setup_seconds"] + plain["train_seconds"] * 5 / n_members
    memory = (sptgnn_network["fit_mib"], plain["fit_mib"])
    return {
        "timed_until": rule,
        "timed_members": n_members,
        "scaled_to_members": 5,
        "plain_R2": reached[0]["R2"],
        "plain_seconds": round(seconds, 3),
        "plain_seconds_to_end": round(seconds_to_end, 3),
        "time_ratio": round(seconds / sptgnn_network["fit_seconds"], 2),
        "time_ratio_to_end": round(seconds_to_end / sptgnn_network["fit_seconds"], 2),
        "memory_ratio": None if not all(memory) else round(memory[0] / memory[1], 3),
    }


def compare_trees(options: argparse.Namespace, runner: JobRunner) -> dict[str, Any]:
    """Time SpTGNN and its baselines on public tables, with one fold held out."""
    tables = {}
    for name in options.tables:
        task = TASKS[name]
        data = read_table(options.data / f"{name}.parquet", task, ["random"])
        new = data.folds["random"] == 0
        roles = {"elevation": task.elevation, "time": task.time}
        split = Split(data.X[~new], data.y[~new], data.X[new], data.y[new], roles)
        models = [m for m in options.models if len(data.y) <= MAX_ROWS.get(m, len(data.y))]
        results = runner.run(split, {m: {"measurement": "fit", "model": m} for m in models})
        reference = results["xgboost_800"]["fit_seconds"]
        for result in results.values():
            result["times_xgboost"] = round(result["fit_seconds"] / reference, 2)
        tables[name] = {"rows": len(split.y), "new_rows": len(split.y_new), "results": results}
    return {"tables": tables}


def measure_growth(options: argparse.Namespace, runner: JobRunner) -> dict[str, Any]:
    """Time SpTGNN on surveys of several sizes, and fit the growth exponents."""
    sizes = [size for size in options.sizes if size <= options.max_rows]
    by_model: dict[str, dict[str, Any]] = {model: {"sizes": []} for model in options.models}
    for size in sizes:
        split = Split.from_survey(size, _N_NEW, options.seed)
        jobs = {model: {"measurement": "fit", "model": model} for model in options.models}
        for model, result in runner.run(split, jobs).items():
            by_model[model]["sizes"].append({"rows": size, **result})
    for entry in by_model.values():
        large = [result for result in entry["sizes"] if result["rows"] >= options.exponent_from]
        for name in ("fit_seconds", "fit_cpu_seconds", "fit_mib"):
            entry[f"exponent_{name}"] = growth_exponent(large, name)
    return {"exponent_from": options.exponent_from, "models": by_model}


def growth_exponent(results: list[dict[str, Any]], name: str) -> float | None:
    """Return the slope of the logarithm of a quantity on the logarithm of rows."""
    if len(results) < 2 or any(not result[name] for result in results):
        return None
    rows, values = (np.log([result[key] for result in results]) for key in ("rows", name))
    return round(float(np.polyfit(rows, values, 1)[0]), 3)


def compare_prediction(options: argparse.Namespace, runner: JobRunner) -> dict[str, Any]:
    """Time the prediction of many rows by SpTGNN and a random forest of 300 trees."""
    split = Split.from_survey(options.rows, options.queries, options.seed)
    models = (*SPTGNN_MODELS, "random_forest_300")
    results = runner.run(split, {m: {"measurement": "fit", "model": m} for m in models})
    forest = results["random_forest_300"]["predict_seconds"]
    for result in results.values():
        result["times_forest"] = round(result["predict_seconds"] / forest, 3)
    return {"rows": options.rows, "queries": options.queries, "results": results}


def measure_graph(options: argparse.Namespace, runner: JobRunner) -> dict[str, Any]:
    """Time the neighbor search of all rows in three relations."""
    split = Split.from_survey(options.rows, 0, options.seed)
    return {"results": runner.run(split, {"graph": {"measurement": "graph"}})}


def measure_gpu(options: argparse.Namespace, runner: JobRunner) -> dict[str, Any]:
    """Time fits on a GPU in several precisions."""
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit(f"--device {options.device}: torch.cuda.is_available() is False.")
    split = Split.from_survey(options.rows, _N_NEW, options.seed)
    jobs = {
        precision: {
            "measurement": "device",
            "model": "sptgnn_network",
            "settings": {"device": options.device, "precision": precision},
        }
        for precision in options.precisions
    }
    results = runner.run(split, jobs)
    name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else options.device
    return {"rows": options.rows, "device": name, "results": results}


BENCHMARKS = {
    "plain": compare_plain,
    "trees": compare_trees,
    "growth": measure_growth,
    "predict": compare_prediction,
    "graph": measure_graph,
    "gpu": measure_gpu,
}


def record_header(options: argparse.Namespace) -> dict[str, Any]:
    """Return the part of a record that does not depend on the benchmark."""
    return {
        "benchmark": options.benchmark,
        "commit": current_commit(),
        "seed": options.seed,
        "threads": options.threads,
        "machine": machine(),
        "versions": {name: _version(name) for name in (*PACKAGES, *_MORE_PACKAGES)},
    }


def machine() -> dict[str, Any]:
    """Return processor, cores, memory and Python version."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "python": platform.python_version(),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--seed", type=int, default=0)
    common.add_argument("--threads", type=int, default=2)
    common.add_argument("--out", type=Path, default=RECORDS_DIR / "speed", help="record folder")
    common.add_argument(
        "--in-process", action="store_true", help="run all jobs in this process, for trials"
    )
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    subparsers = parser.add_subparsers(dest="benchmark", required=True)
    commands = {
        name: subparsers.add_parser(name, parents=[common], help=function.__doc__.splitlines()[0])
        for name, function in BENCHMARKS.items()
    }
    for name, rows in (("plain", 50_000), ("predict", 20_000), ("graph", 10**6), ("gpu", 50_000)):
        commands[name].add_argument("--rows", type=int, default=rows)
    plain = commands["plain"]
    plain.add_argument("--members", type=int, default=5, help="times of fewer are scaled to five")
    plain.add_argument("--every", type=int, default=3, help="epochs between two evaluations")
    plain.add_argument("--max-epochs", type=int)
    trees = commands["trees"]
    trees.add_argument("--data", type=Path, required=True, help="folder of Parquet files")
    trees.add_argument("--tables", nargs="*", default=list(TABLES), choices=list(TASKS))
    trees.add_argument("--models", nargs="*", default=list(TREES), choices=TREES)
    growth = commands["growth"]
    growth.add_argument("--sizes", nargs="*", type=int, default=list(SIZES))
    growth.add_argument("--max-rows", type=int, default=max(SIZES))
    growth.add_argument(
        "--models", nargs="*", default=list(SPTGNN_MODELS), choices=list(SPTGNN_MODELS)
    )
    growth.add_argument("--exponent-from", type=int, default=_MIN_EXPONENT_ROWS)
    commands["predict"].add_argument("--queries", type=int, default=10**6)
    commands["gpu"].add_argument("--device", default="cuda")
    commands["gpu"].add_argument("--precisions", nargs="*", default=["mixed", "float32", "tf32"])
    options = parser.parse_args(arguments)
    if options.benchmark == "trees" and "xgboost_800" not in options.models:
        parser.error("--models must include xgboost_800, the reference of the time ratios")
    return options


def main(arguments: list[str] | None = None) -> None:
    """Run one benchmark, write its record and print its tables."""
    options = parse_options(arguments)
    benchmark = BENCHMARKS[options.benchmark]
    record = {**record_header(options), **benchmark(options, JobRunner(options))}
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{options.benchmark}-seed{options.seed}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for title, table in REPORTS[options.benchmark](record):
        print(f"\n{title}\n\n{table.to_markdown()}")
    print(f"\nrecord: {path}")


if __name__ == "__main__":
    main()
