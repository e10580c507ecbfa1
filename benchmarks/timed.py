"""One measured piece of work in a process of its own: seconds, memory and R2.

    python -m benchmarks.timed JOB.pickle RESULT.json

`benchmarks.speed` starts these, one at a time. Before anything is measured, the same work is done
on a few rows, so that imports, thread pools and first calls are paid for. Memory is the peak of
resident memory above the level right after that, before the table is read. It is read from the
kernel (VmHWM, which is reset between fit and prediction), not sampled, and there is none on record
where there is no /proc.
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
from skorch.callbacks import Callback
from torch.profiler import ProfilerActivity, profile

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.ensemble.base_regressor import boosted_trees
from sptgnn_sklearn.graph.knn_graph import build_graph
from sptgnn_sklearn.metrics import model_efficiency
from sptgnn_sklearn.network import sptgnn as network
from sptgnn_sklearn.spatial.blocks import location_ids
from sptgnn_sklearn.table.features import FeatureEncoder
from sptgnn_sklearn.table.schema import TableSchema

from .opponents import OPPONENTS, OnTable
from .plain import PlainHeteroGNN, Step

MIB = 2**20
_WARM_ROWS = 80
_N_NEIGHBORS = 10
OURS: dict[str, dict[str, Any]] = {"sptgnn": {}, "sptgnn_network": {"base": None}}


@dataclass(frozen=True)
class Split:
    """Rows to fit and rows to predict.

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
    def survey(cls, n_rows: int, n_new: int, seed: int) -> Split:
        """Rows of one simulated survey."""
        made = make_soil_survey(n_rows + n_new, random_state=seed)
        X, y = made.data, np.asarray(made.target, dtype=float)
        roles = {"time": "date", "elevation": "elevation"}
        return cls(X[:n_rows], y[:n_rows], X[n_rows:], y[n_rows:], roles)


@dataclass(frozen=True)
class Job:
    """What is measured.

    Attributes
    ----------
    work : str
        One of `WORK`.
    model : str
        One of ours, a key of `Timed.makers`, or "plain".
    data : Path
        A pickled `Split`.
    settings : dict
        Parameters of the model, or options of the work.
    seed, threads : int
    """

    work: str
    data: Path
    model: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    threads: int = 2


class Timed(OnTable):
    """Opponents, and those of a fixed size that times are compared with."""

    makers: ClassVar[Mapping[str, Callable[..., Any]]] = {
        **OPPONENTS,
        "xgboost_800": lambda rows, columns, seed, threads: boosted_trees(
            seed, threads, n_estimators=800, learning_rate=0.04, max_depth=6
        ),
        # The settings of our own base on wide tables: fewer columns a tree, coarser cuts.
        "xgboost_800_coarse": lambda rows, columns, seed, threads: boosted_trees(
            seed, threads, n_columns=columns, n_estimators=800, learning_rate=0.04, max_depth=6
        ),
        "random_forest_300": lambda rows, columns, seed, threads: RandomForestRegressor(
            300, min_samples_leaf=2, max_features=1 / 3, n_jobs=threads, random_state=seed
        ),
    }


class Memory:
    """Peak of resident memory above where it was when this was made, in MiB."""

    def __init__(self) -> None:
        self.start = _status("VmRSS")

    def reset(self) -> None:
        """Forget the peak so far."""
        if self.start is not None:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def peak(self) -> float | None:
        """Return the peak since the last reset."""
        highest = _status("VmHWM")
        if self.start is None or highest is None:
            return None
        return round(highest - self.start, 1)


class Clock:
    """Wall time, and time of the processor, since this was made.

    The latter is for telling a busy machine: idle, two threads take up to twice the wall time.
    """

    def __init__(self) -> None:
        self.start = time.perf_counter(), time.process_time()

    def read(self, what: str) -> dict[str, float]:
        """Return both in seconds, under names that start with what was done."""
        now = time.perf_counter(), time.process_time()
        wall, processor = (round(b - a, 3) for a, b in zip(self.start, now, strict=True))
        return {f"{what}_seconds": wall, f"{what}_cpu_seconds": processor}


def _status(name: str) -> float | None:
    path = Path("/proc/self/status")
    if not path.is_file():
        return None
    lines = path.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def make(job: Job, roles: dict[str, Any], **settings: Any) -> Any:
    """Return the unfitted model of a job."""
    settings = {**job.settings, **settings}
    if job.model in OURS:
        return SpTGNNRegressor(**roles, random_state=job.seed, **OURS[job.model] | settings)
    if job.model == "plain":
        return PlainHeteroGNN(**roles, random_state=job.seed, **settings)
    return Timed(job.model, **roles, threads=job.threads, random_state=job.seed)


def warm_up(job: Job) -> None:
    """Do the work of a model once on a few rows."""
    few = Split.survey(_WARM_ROWS, _WARM_ROWS, job.seed)
    short = {"max_epochs": 1} if job.model in (*OURS, "plain") else {}
    make(job, few.roles, **short).fit(few.X, few.y).predict(few.X_new)


def fit(job: Job) -> dict[str, Any]:
    """Fit a model and predict the new rows."""
    warm_up(job)
    memory = Memory()
    split = _load(job)
    memory.reset()
    clock = Clock()
    model = make(job, split.roles).fit(split.X, split.y)
    found = {**clock.read("fit"), "fit_mib": memory.peak()}
    memory.reset()
    clock = Clock()
    mean = np.asarray(model.predict(split.X_new), dtype=float)
    found |= {**clock.read("predict"), "predict_mib": memory.peak()}
    return {
        **found,
        "R2": _finite(model_efficiency(split.y_new, mean)),
        **({"epochs": len(model.history_)} if job.model in OURS else {}),
    }


def plain(job: Job) -> dict[str, Any]:
    """Fit the plain implementation and follow the R2 of its ensemble on the new rows.

    `settings` are those of `PlainHeteroGNN`, and `every`, the epochs from one look to the next. The
    time of looks does not count.

    Returns
    -------
    dict
        `curve` has seconds of training, summed over members, and the R2 of the ensemble, at equal
        epochs of all members; members that have stopped keep their best.
    """
    settings = dict(job.settings)
    every = settings.pop("every", 3)
    job = Job(**{**vars(job), "settings": settings})
    warm_up(job)
    memory = Memory()
    split = _load(job)
    looks: list[dict[int, tuple[float, np.ndarray]]] = []

    def watch(step: Step) -> None:
        if step.epoch == 0:
            looks.append({})
        if step.epoch % every == every - 1:
            found = model.predict_with([step.network], split.X_new)
            looks[-1][step.epoch] = step.seconds, found

    model = make(job, split.roles, watch=watch)
    memory.reset()
    model.fit(split.X, split.y)
    peak = memory.peak()
    clock = Clock()
    mean = model.predict(split.X_new)
    predicted = clock.read("predict")
    epochs = [len(errors) for errors in model.errors_]
    return {
        "members": len(epochs),
        "epochs": epochs,
        "setup_seconds": round(model.setup_seconds_, 3),
        "train_seconds": round(sum(model.train_seconds_), 3),
        "train_cpu_seconds": round(sum(model.train_cpu_seconds_), 3),
        **predicted,
        "fit_mib": peak,
        "R2": _finite(model_efficiency(split.y_new, mean)),
        "curve": _curve(looks, split.y_new),
    }


def _curve(
    looks: list[dict[int, tuple[float, np.ndarray]]], observed: np.ndarray
) -> list[dict[str, float]]:
    curve = []
    for epoch in sorted(set().union(*looks)):
        now = [look[max(e for e in look if e <= epoch)] for look in looks if look]
        mean = np.mean([found for _, found in now], axis=0)
        seconds = sum(spent for spent, _ in now)
        score = model_efficiency(observed, mean)
        curve.append({"epoch": epoch + 1, "seconds": round(seconds, 3), "R2": round(score, 5)})
    return curve


def graph(job: Job) -> dict[str, Any]:
    """Build the graph of all rows in each relation; `settings` are those of `build_graph`."""
    _graph(Split.survey(_WARM_ROWS, 0, job.seed), job)
    memory = Memory()
    split = _load(job)
    memory.reset()
    found = _graph(split, job)
    return {**found, "search_mib": memory.peak()}


def _graph(split: Split, job: Job) -> dict[str, Any]:
    columns = TableSchema.fit(split.X, **split.roles)
    table = columns.transform(split.X)
    spaces = FeatureEncoder.fit(columns, table).relation_spaces(table)
    place = location_ids(table.coordinates)
    seconds = {}
    for name, space in spaces.items():
        clock = Clock()
        build_graph({name: space}, _N_NEIGHBORS, place, workers=job.threads, **job.settings)
        seconds[name] = clock.read("search")["search_seconds"]
    clock = Clock()
    build_graph(spaces, _N_NEIGHBORS, place, workers=job.threads, **job.settings)
    about = {"rows": len(split.X), "neighbours": _N_NEIGHBORS}
    return {**about, "relations": seconds, **clock.read("search")}


class Training(Callback):
    """Seconds of training, and of those the ones in which a GPU computes, if `profiled`."""

    def __init__(self, *, cuda: bool, profiled: bool = False):
        self.cuda = cuda
        self.profiler = profile(activities=[ProfilerActivity.CUDA]) if profiled else None

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        self._wait()
        if self.profiler is not None:
            self.profiler.start()
        self.start = time.perf_counter()

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        self._wait()
        self.seconds = time.perf_counter() - self.start
        if self.profiler is not None:
            self.profiler.stop()
            events = self.profiler.key_averages()
            self.in_kernels = sum(event.self_device_time_total for event in events) / 1e6

    def _wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()


def device(job: Job) -> dict[str, Any]:
    """Fit on a device with one precision, and once more for three epochs under the profiler.

    `settings` are those of the model, and `precision`: "mixed" is what the package does, the large
    products of training in bfloat16; "float32" and "tf32" have all of them in that.
    """
    settings = dict(job.settings)
    precision = settings.pop("precision")
    cuda = settings["device"].startswith("cuda")
    training = Training(cuda=cuda)
    watched = Job(**{**vars(job), "settings": {**settings, "callbacks": [training]}})
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    as_it_is = nullcontext() if precision == "mixed" else _single_precision()
    with as_it_is:
        found = fit(watched)
        found["train_seconds"] = round(training.seconds, 3)
        if cuda:
            found["device_mib"] = round(torch.cuda.max_memory_allocated() / MIB, 1)
            split, training = _load(job), Training(cuda=True, profiled=True)
            short = {**settings, "callbacks": [training], "max_epochs": 3}
            make(Job(**{**vars(job), "settings": short}), split.roles).fit(split.X, split.y)
            found["share_in_kernels"] = round(training.in_kernels / training.seconds, 3)
    return found


def _single_precision() -> AbstractContextManager[Any]:
    """Products of the network in single precision, on a GPU too."""
    return patch.object(network, "mixed_precision", lambda device: nullcontext())


WORK: dict[str, Callable[[Job], dict[str, Any]]] = {
    "fit": fit,
    "plain": plain,
    "graph": graph,
    "device": device,
}


def measure(job: Job) -> dict[str, Any]:
    """Do the work of a job in this process."""
    torch.set_num_threads(job.threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tables and devices, which are what they are
        return WORK[job.work](job)


def _load(job: Job) -> Split:
    with job.data.open("rb") as file:
        return pickle.load(file)


def _finite(value: float) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None


def main() -> None:
    """Read the job, do it and write what was found."""
    source, result = map(Path, sys.argv[1:])
    with source.open("rb") as file:
        job = pickle.load(file)
    if os.environ.get("OMP_NUM_THREADS") != str(job.threads):
        raise SystemExit("OMP_NUM_THREADS has to be that of the job before anything is imported.")
    result.write_text(json.dumps(measure(job)), encoding="utf-8")


if __name__ == "__main__":
    main()
