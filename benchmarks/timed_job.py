"""One timed job in its own process: seconds, peak memory and R2.

    python -m benchmarks.timed_job JOB.pickle RESULT.json

`benchmarks.speed` starts these processes one at a time. A warm-up on a few rows precedes the
measurement, so that imports, thread pools and compilation are not timed. Memory is the peak of
resident memory above its level after the warm-up, before the table is read. The kernel reports it
(VmHWM, which is reset between fit and prediction); it is missing on systems without /proc.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import r2_score
from skorch.callbacks import Callback
from torch.profiler import ProfilerActivity, profile

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.ensemble.base_regressor import boosted_trees
from sptgnn_sklearn.graph.knn_graph import build_graph
from sptgnn_sklearn.network import sptgnn as network
from sptgnn_sklearn.spatial.blocks import location_ids
from sptgnn_sklearn.table.features import FeatureEncoder
from sptgnn_sklearn.table.schema import TableSchema

from .baselines import BASELINES, TabularBaseline
from .plain_pyg import EpochEnd, PlainHeteroGNN

MIB = 2**20
_WARM_UP_ROWS = 80
_N_NEIGHBORS = 10
SPTGNN_MODELS: dict[str, dict[str, Any]] = {
    "sptgnn": {},
    "sptgnn_network": {"base_estimator": None},
}


@dataclass(frozen=True)
class Split:
    """Training rows and new rows.

    Attributes
    ----------
    X, X_new : DataFrame
    y, y_new : ndarray
    roles : dict
        Columns of time and elevation.
    """

    X: pd.DataFrame
    y: np.ndarray
    X_new: pd.DataFrame
    y_new: np.ndarray
    roles: dict[str, Any]

    @classmethod
    def from_survey(cls, n_rows: int, n_new: int, seed: int) -> Split:
        """Split one simulated survey."""
        survey = make_soil_survey(n_rows + n_new, random_state=seed)
        X, y = survey.data, np.asarray(survey.target, dtype=float)
        roles = {"time": "date", "elevation": "elevation"}
        return cls(X[:n_rows], y[:n_rows], X[n_rows:], y[n_rows:], roles)


@dataclass(frozen=True)
class Job:
    """Measurement, model and data of one process.

    Attributes
    ----------
    measurement : str
        Key of `MEASUREMENTS`.
    data : Path
        Pickled `Split`.
    model : str
        Key of `SPTGNN_MODELS` or `TimedBaseline.factories`, or "plain".
    settings : dict
        Parameters of the model, or options of the measurement.
    seed, threads : int
    """

    measurement: str
    data: Path
    model: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    threads: int = 2


class TimedBaseline(TabularBaseline):
    """Baselines, and tree ensembles of a fixed size as references for times."""

    factories: ClassVar[Mapping[str, Callable[..., Any]]] = {
        **BASELINES,
        "xgboost_800": lambda n_rows, n_columns, seed, threads: boosted_trees(
            seed, threads, n_estimators=800, learning_rate=0.04, max_depth=6
        ),
        # With the package's settings for wide tables: fewer columns per tree, coarser histograms.
        "xgboost_800_coarse": lambda n_rows, n_columns, seed, threads: boosted_trees(
            seed, threads, n_columns=n_columns, n_estimators=800, learning_rate=0.04, max_depth=6
        ),
        "random_forest_300": lambda n_rows, n_columns, seed, threads: RandomForestRegressor(
            300, min_samples_leaf=2, max_features=1 / 3, n_jobs=threads, random_state=seed
        ),
    }


class PeakMemory:
    """Peak of resident memory above its level at construction, in MiB."""

    def __init__(self) -> None:
        self.start = _process_memory("VmRSS")

    def reset(self) -> None:
        """Reset the peak."""
        if self.start is not None:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def peak(self) -> float | None:
        """Return the peak since the last reset."""
        highest = _process_memory("VmHWM")
        if self.start is None or highest is None:
            return None
        return round(highest - self.start, 1)


class Timer:
    """Wall and CPU time since construction.

    CPU time reveals a busy machine: on an idle one, two threads use up to twice the wall time.
    """

    def __init__(self) -> None:
        self.start = time.perf_counter(), time.process_time()

    def read(self, name: str) -> dict[str, float]:
        """Return both times in seconds, with keys that start with a name."""
        now = time.perf_counter(), time.process_time()
        wall, cpu = (round(b - a, 3) for a, b in zip(self.start, now, strict=True))
        return {f"{name}_seconds": wall, f"{name}_cpu_seconds": cpu}


def _process_memory(name: str) -> float | None:
    path = Path("/proc/self/status")
    if not path.is_file():
        return None
    lines = path.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def make_model(job: Job, roles: dict[str, Any], **settings: Any) -> Any:
    """Return the unfitted model of a job."""
    settings = {**job.settings, **settings}
    if job.model in SPTGNN_MODELS:
        parameters = SPTGNN_MODELS[job.model] | settings
        return SpTGNNRegressor(**roles, random_state=job.seed, **parameters)
    if job.model == "plain":
        return PlainHeteroGNN(**roles, random_state=job.seed, **settings)
    return TimedBaseline(job.model, **roles, threads=job.threads, random_state=job.seed)


def warm_up(job: Job) -> None:
    """Fit the model of a job on a few rows and predict."""
    few = Split.from_survey(_WARM_UP_ROWS, _WARM_UP_ROWS, job.seed)
    short = {"max_epochs": 1} if job.model in (*SPTGNN_MODELS, "plain") else {}
    make_model(job, few.roles, **short).fit(few.X, few.y).predict(few.X_new)


def measure_fit(job: Job) -> dict[str, Any]:
    """Measure fitting a model and predicting the new rows."""
    warm_up(job)
    memory = PeakMemory()
    split = _load_split(job)
    memory.reset()
    timer = Timer()
    model = make_model(job, split.roles).fit(split.X, split.y)
    result = {**timer.read("fit"), "fit_mib": memory.peak()}
    memory.reset()
    timer = Timer()
    mean = np.asarray(model.predict(split.X_new), dtype=float)
    result |= {**timer.read("predict"), "predict_mib": memory.peak()}
    return {
        **result,
        "R2": _finite(r2_score(split.y_new, mean)),
        **({"epochs": len(model.history_)} if job.model in SPTGNN_MODELS else {}),
    }


def measure_plain(job: Job) -> dict[str, Any]:
    """Measure the plain implementation and the learning curve of its ensemble on the new rows.

    `settings` are the parameters of `PlainHeteroGNN`, and `every`, the number of epochs between two
    evaluations. Evaluations are not timed.

    Returns
    -------
    dict
        `curve` has the training seconds, summed over members, and the R2 of the ensemble at equal
        epochs of all members; members that stopped early keep their best network.
    """
    settings = dict(job.settings)
    every = settings.pop("every", 3)
    job = Job(**{**vars(job), "settings": settings})
    warm_up(job)
    memory = PeakMemory()
    split = _load_split(job)
    evaluations: list[dict[int, tuple[float, np.ndarray]]] = []

    def evaluate(end: EpochEnd) -> None:
        if end.epoch == 0:
            evaluations.append({})
        if end.epoch % every == every - 1:
            predicted = model.predict_with([end.network], split.X_new)
            evaluations[-1][end.epoch] = end.seconds, predicted

    model = make_model(job, split.roles, on_epoch_end=evaluate)
    memory.reset()
    model.fit(split.X, split.y)
    peak = memory.peak()
    timer = Timer()
    mean = model.predict(split.X_new)
    predict_times = timer.read("predict")
    epochs = [len(errors) for errors in model.errors_]
    return {
        "members": len(epochs),
        "epochs": epochs,
        "setup_seconds": round(model.setup_seconds_, 3),
        "train_seconds": round(sum(model.train_seconds_), 3),
        "train_cpu_seconds": round(sum(model.train_cpu_seconds_), 3),
        **predict_times,
        "fit_mib": peak,
        "R2": _finite(r2_score(split.y_new, mean)),
        "curve": _learning_curve(evaluations, split.y_new),
    }


def _learning_curve(
    evaluations: list[dict[int, tuple[float, np.ndarray]]], observed: np.ndarray
) -> list[dict[str, float]]:
    curve = []
    for epoch in sorted(set().union(*evaluations)):
        latest = [member[max(e for e in member if e <= epoch)] for member in evaluations if member]
        mean = np.mean([predicted for _, predicted in latest], axis=0)
        seconds = sum(spent for spent, _ in latest)
        score = r2_score(observed, mean)
        curve.append({"epoch": epoch + 1, "seconds": round(seconds, 3), "R2": round(score, 5)})
    return curve


def measure_graph(job: Job) -> dict[str, Any]:
    """Measure the neighbor search of each relation; `settings` are those of `build_graph`."""
    _time_graph(Split.from_survey(_WARM_UP_ROWS, 0, job.seed), job)
    memory = PeakMemory()
    split = _load_split(job)
    memory.reset()
    result = _time_graph(split, job)
    return {**result, "search_mib": memory.peak()}


def _time_graph(split: Split, job: Job) -> dict[str, Any]:
    schema = TableSchema.fit(split.X, **split.roles)
    table = schema.transform(split.X)
    spaces = FeatureEncoder.fit(schema, table).relation_spaces(table)
    location = location_ids(table.coordinates)
    seconds = {}
    for name, space in spaces.items():
        timer = Timer()
        build_graph({name: space}, _N_NEIGHBORS, location, workers=job.threads, **job.settings)
        seconds[name] = timer.read("search")["search_seconds"]
    timer = Timer()
    build_graph(spaces, _N_NEIGHBORS, location, workers=job.threads, **job.settings)
    sizes = {"rows": len(split.X), "n_neighbors": _N_NEIGHBORS}
    return {**sizes, "relations": seconds, **timer.read("search")}


class TrainingTimer(Callback):
    """Training seconds, and with `profiled` those in GPU kernels."""

    def __init__(self, *, cuda: bool, profiled: bool = False):
        self.cuda = cuda
        self.profiler = profile(activities=[ProfilerActivity.CUDA]) if profiled else None

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        self._synchronize()
        if self.profiler is not None:
            self.profiler.start()
        self.start = time.perf_counter()

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        self._synchronize()
        self.seconds = time.perf_counter() - self.start
        if self.profiler is not None:
            self.profiler.stop()
            events = self.profiler.key_averages()
            self.kernel_seconds = sum(event.self_device_time_total for event in events) / 1e6

    def _synchronize(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()


def measure_device(job: Job) -> dict[str, Any]:
    """Measure a fit on a device in one precision, and profile three epochs of another fit.

    `settings` are the parameters of the model, and `precision`: "mixed" is the default of the
    package, with the large matrix products of training in bfloat16; "float32" and "tf32" use that
    precision for all products.
    """
    settings = dict(job.settings)
    precision = settings.pop("precision")
    cuda = settings["device"].startswith("cuda")
    timer = TrainingTimer(cuda=cuda)
    timed = Job(**{**vars(job), "settings": {**settings, "callbacks": [timer]}})
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    context = nullcontext() if precision == "mixed" else _single_precision()
    with context:
        result = measure_fit(timed)
        result["train_seconds"] = round(timer.seconds, 3)
        if cuda:
            result["device_mib"] = round(torch.cuda.max_memory_allocated() / MIB, 1)
            split, profiler = _load_split(job), TrainingTimer(cuda=True, profiled=True)
            short = {**settings, "callbacks": [profiler], "max_epochs": 3}
            profiled = Job(**{**vars(job), "settings": short})
            make_model(profiled, split.roles).fit(split.X, split.y)
            result["share_in_kernels"] = round(profiler.kernel_seconds / profiler.seconds, 3)
    return result


def _single_precision() -> AbstractContextManager[Any]:
    """Disable mixed precision on a GPU."""
    return patch.object(network, "mixed_precision", lambda device: nullcontext())


MEASUREMENTS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "fit": measure_fit,
    "plain": measure_plain,
    "graph": measure_graph,
    "device": measure_device,
}


def run_job(job: Job) -> dict[str, Any]:
    """Run a job in this process."""
    torch.set_num_threads(job.threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about columns and devices are expected here
        return MEASUREMENTS[job.measurement](job)


def _load_split(job: Job) -> Split:
    with job.data.open("rb") as file:
        return pickle.load(file)


def _finite(value: float) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None


def main() -> None:
    """Read a job, run it and write its result."""
    source, result = map(Path, sys.argv[1:])
    with source.open("rb") as file:
        job = pickle.load(file)
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads != str(job.threads):
        raise SystemExit(
            f"OMP_NUM_THREADS is {threads}; set it to the {job.threads} threads of the job before "
            "Python starts."
        )
    result.write_text(json.dumps(run_job(job)), encoding="utf-8")


if __name__ == "__main__":
    main()
