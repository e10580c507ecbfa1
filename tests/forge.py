"""Forged model files and checkpoints: one field is changed, and the checksum is valid.

    PYTHONPATH=. python tests/forge.py models --n 2000 --seed 0
    PYTHONPATH=. python tests/forge.py checkpoints --n 500 --seed 0

All pairs of a field class (path of a field, without positions) and a mutation class get equal
shares. Each run goes on after the recorded files of its seed, and appends counts by both classes to
benchmarks/records/fuzz/forged-*.jsonl. Files are read in a process with limited memory and time.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import functools
import json
import os
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from fuzz import MAX_CHARACTERS, RECORDS, Worker
from skorch.callbacks import Callback
from xgboost import XGBRegressor

from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.utils.safe_file import read, write

EXTRA_MEMORY = 2**30  # bytes that a process may allocate after its start
TIMEOUT = 20.0
BATCH = 100  # files per record
_SURVEY = make_soil_survey(n_samples=40, random_state=5)
X = _SURVEY.data.assign(soil=np.where(np.arange(40) % 3, "a", "b"))
Y = _SURVEY.target
_SETTINGS = {"time": "date", "n_estimators": 2, "n_neighbors": 3, "random_state": 0}
_NETWORK = NetworkConfig(hidden_size=4, n_heads=2, n_experts=2)
_MANY = 8  # keys of a dictionary whose names are not part of the field class
_DTYPES = ("<f4", "<f8", "<i8", "<i4", "|u1", "|b1", "<U1", "<M8[s]")
_NUMBERS = (0, -1, 1, 7, 2**31, 2**63, -(10**9), 0.5, 1e30, -1e308, 1e-320)
_NAMES = ("=Blend", "=TargetScaler", "=SourceNodes", "!KNNGraph", "!RandomState", "=Odd", "tuple")
_Path = tuple[Any, ...]


# Valid files -------------------------------------------------------------------------------------


@functools.cache
def small_model() -> SpTGNNRegressor:
    """Return a model with trees, categories and a random state."""
    model = SpTGNNRegressor(
        **_SETTINGS | {"random_state": np.random.RandomState(0)},
        elevation="elevation",
        base_estimator=XGBRegressor(n_estimators=3, max_depth=2),
        network=_NETWORK,
        max_epochs=1,
    )
    return model.fit(X, Y)


class _Stop(Callback):
    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 3:
            raise InterruptedError


def resumable(folder: Path, callbacks: list[Callback] | None = None) -> SpTGNNRegressor:
    """Return an unfitted model with checkpoints in a folder."""
    return SpTGNNRegressor(
        **_SETTINGS,
        base_estimator=None,
        network=_NETWORK,
        max_epochs=4,
        checkpoint_dir=folder,
        callbacks=callbacks,
    )


def write_valid(kind: str, folder: Path) -> Path:
    """Write a valid file of a kind and return its path."""
    if kind == "models":
        small_model().save(folder / "valid.safetensors")
        return folder / "valid.safetensors"
    with contextlib.suppress(InterruptedError):
        resumable(folder, [_Stop()]).fit(X, Y)
    (path,) = folder.iterdir()
    return path


# Mutations ---------------------------------------------------------------------------------------


class Forger:
    """Forged files of one kind, each determined by a seed and a number.

    Parameters
    ----------
    kind : {"models", "checkpoints"}
    folder : Path
        For the valid file.
    """

    def __init__(self, kind: str, folder: Path):
        self.kind = kind
        self.path = write_valid(kind, folder)
        self.content, self.arrays = read(self.path, kind.removesuffix("s"))
        if kind == "models":
            self.state = self.content["state"]
            self._open_trees(self.state)
        else:
            self.state = self.content
        self.fields: dict[str, list[_Path]] = {}
        for path, name in _walk(self.state):
            self.fields.setdefault(name, []).append(path)
        self.pairs = [
            (name, mutation)
            for name, paths in self.fields.items()
            for mutation in MUTATIONS
            if mutation in _applicable(_get(self.state, paths[0]))
        ]

    def forge(self, seed: str, number: int, target: Path) -> tuple[str, str]:
        """Write a forged file and return its field class and mutation class."""
        order = random.Random(seed).sample(self.pairs, len(self.pairs))
        name, mutation = order[number % len(order)]
        rng = random.Random(f"{self.kind}/{seed}/{number}")
        state, arrays = copy.deepcopy(self.state), dict(self.arrays)
        path = rng.choice(self.fields[name])
        MUTATIONS[mutation](state, path, arrays, rng)
        self._close_trees(state, arrays)
        content = {**self.content, "state": state} if self.kind == "models" else state
        write(target, self.kind.removesuffix("s"), content, arrays)
        return name, mutation

    def _open_trees(self, node: Any) -> None:
        """Replace the compressed trees of a regressor by their JSON values."""
        if isinstance(node, dict):
            if node.get("$") == "!XGBRegressor":
                for item in node["packed"]["items"]:
                    if item[0] == "booster" and self.arrays[item[1]["array"]["name"]].size:
                        name = item[1]["array"]["name"]
                        text = zlib.decompress(self.arrays[name].tobytes())
                        item[1] = {"trees": json.loads(text), "name": name}
            for value in node.values():
                self._open_trees(value)
        elif isinstance(node, list):
            for value in node:
                self._open_trees(value)

    def _close_trees(self, node: Any, arrays: dict[str, np.ndarray]) -> None:
        if isinstance(node, dict):
            if set(node) == {"trees", "name"}:
                packed = zlib.compress(json.dumps(node.pop("trees")).encode())
                name = node.pop("name")
                arrays[name] = np.frombuffer(packed, np.uint8)
                header = {"name": name, "dtype": "|u1", "shape": [len(packed)]}
                node.update({"$": "array", "array": header})
            for value in list(node.values()):
                self._close_trees(value, arrays)
        elif isinstance(node, list):
            for value in node:
                self._close_trees(value, arrays)


def _walk(node: Any, path: _Path = (), name: str = "") -> Iterator[tuple[_Path, str]]:
    """Yield the path of every field and its class."""
    if path and name:
        yield path, name
    if isinstance(node, list):
        for i, value in enumerate(node[:3]):
            yield from _walk(value, (*path, i), f"{name}[]")
    elif isinstance(node, dict) and "array" not in node:
        if node.get("$") == "dict":
            many = len(node["items"]) > _MANY
            for i, (key, value) in enumerate(node["items"][:40]):
                label = "*" if (many and "weight" in str(key)) or not isinstance(key, str) else key
                yield from _walk(value, (*path, "items", i, 1), f"{name}.{label}")
        else:
            step = {"fields", "packed", "items", "trees"}
            for key, value in node.items():
                if key in step:
                    yield from _walk(value, (*path, key), name)
                elif key not in ("$", "name"):
                    yield from _walk(value, (*path, key), f"{name}.{key}")


def _get(state: Any, path: _Path) -> Any:
    for key in path:
        state = state[key]
    return state


def _set(state: Any, path: _Path, value: Any) -> None:
    _get(state, path[:-1])[path[-1]] = value


def _is_array(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("array"), dict)


def _applicable(node: Any) -> set[str]:
    if _is_array(node):
        return {"shape", "dtype", "range", "non-finite", "missing", "nested", "swapped"}
    if isinstance(node, dict | list):
        return {"count", "missing", "extra", "nested", "swapped", "renamed"}
    return {"dtype", "range", "non-finite", "missing", "nested", "swapped"}


def _change_array(state: Any, path: _Path, arrays: dict, change: Callable) -> None:
    header = _get(state, path)["array"]
    stored = arrays[header["name"]]
    array = np.ascontiguousarray(
        change(
            stored.reshape(header["shape"])
            if header["dtype"][1:] == stored.dtype.str[1:]
            else stored
        )
    )
    kind = array.dtype.str
    arrays[header["name"]] = (
        np.atleast_1d(array).view(np.uint8)
        if array.dtype.kind in "US"
        else array.view(np.int64)
        if array.dtype.kind in "mM"
        else array
    )
    header.update({"dtype": kind, "shape": list(array.shape)})


def _shape(state: Any, path: _Path, arrays: dict, rng: random.Random) -> None:
    def change(a: np.ndarray) -> np.ndarray:
        options = [a[..., None], a[None], a.ravel(), a.ravel()[:1], a.ravel()[:0], np.tile(a, 3)]
        if a.ndim:
            options += [a[:-1], a[:1], np.concatenate([a, a]), a[..., :1], a[..., :0], a.T]
        return rng.choice(options)

    _change_array(state, path, arrays, change)


def _dtype(state: Any, path: _Path, arrays: dict, rng: random.Random) -> None:
    node = _get(state, path)
    if not _is_array(node):
        options = [None, True, "1", 1, 1.5, [node], {"$": "tuple", "items": [node]}]
        return _set(state, path, rng.choice([o for o in options if type(o) is not type(node)]))
    kind = rng.choice(_DTYPES)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if rng.random() < 0.5:
            return _change_array(state, path, arrays, lambda a: a.astype(kind))
    node["array"]["dtype"] = kind  # other bytes than the array has
    return None


def _range(state: Any, path: _Path, arrays: dict, rng: random.Random) -> None:
    node = _get(state, path)
    if not _is_array(node):
        texts = ["", "x" * 10_000, "1e999", "-3", "1000000000"]
        return _set(state, path, rng.choice(texts if isinstance(node, str) else _NUMBERS))

    def change(a: np.ndarray) -> np.ndarray:
        a, value = a.copy(), rng.choice(_NUMBERS)
        with np.errstate(all="ignore"):
            if a.dtype.kind in "iu":
                value = int(np.clip(value, np.iinfo(a.dtype).min, np.iinfo(a.dtype).max // 2))
            some = rng.random() < 0.5 and a.size
            a.ravel()[rng.randrange(a.size) if some else slice(None)] = value
        return a

    return _change_array(state, path, arrays, change)


def _non_finite(state: Any, path: _Path, arrays: dict, rng: random.Random) -> None:
    node, text = _get(state, path), rng.choice(["nan", "inf", "-inf"])
    if not _is_array(node):
        value: Any = text if isinstance(node, str) else {"$": "float", "text": text}
        return _set(state, path, value)

    def change(a: np.ndarray) -> np.ndarray:
        a = a.copy() if a.dtype.kind == "f" else a.astype(float)
        a.ravel()[rng.randrange(a.size) if a.size and rng.random() < 0.5 else slice(None)] = text
        return a

    return _change_array(state, path, arrays, change)


def _items(node: Any) -> Any:
    """Return the container of the items or fields of a node."""
    if isinstance(node, list):
        return node
    for key in ("items", "fields", "packed"):
        if isinstance(node.get(key), list | dict):
            return _items(node[key]) if key == "packed" else node[key]
    return node


def _count(state: Any, path: _Path, arrays: dict, rng: random.Random) -> None:
    items = _items(_get(state, path))
    if isinstance(items, dict) or (choice := rng.randrange(4)) == 0:
        items.clear()
    elif choice == 1:
        del items[-1:]
    else:
        items.extend(copy.deepcopy(items[-1:]) * (1 if choice == 2 else 2000))


def _missing(state: Any, path: _Path, arrays: dict, rng: random.Random) -> None:
    parent, key = _get(state, path[:-1]), path[-1]
    if isinstance(parent, list) and key == 1 and len(path) > 1 and isinstance(path[-2], int):
        parent, key = _get(state, path[:-2]), path[-2]  # an item of a dictionary
    del parent[key]


def _extra(state: Any, path: _Path, arrays: dict, rng: random.Random) -> None:
    node = _get(state, path)
    items = _items(node)
    value: Any = rng.choice([None, 0, "x", [], 1e9])
    if isinstance(items, dict):
        items["odd"] = value
    elif isinstance(node, dict) and items and isinstance(items[0], list):
        items.append([rng.choice(["odd", 7, None]), value])
    else:
        items.insert(rng.randrange(len(items) + 1), value)


def _nested(state: Any, path: _Path, arrays: dict, rng: random.Random) -> None:
    node = _get(state, path)
    deep: Any = node
    for _ in range(rng.choice([1, 3, 100])):
        deep = rng.choice([[deep], {"$": "tuple", "items": [deep]}])
    collisions = [[i * (2**61 - 1), 0] for i in range(3000)]
    empty: dict[str, Any] = {"$": "dict", "items": []}
    _set(state, path, rng.choice([deep, empty, [], {"$": "dict", "items": collisions}]))


def _swapped(state: Any, path: _Path, arrays: dict, rng: random.Random) -> None:
    node = _get(state, path)
    others = [p for p, _ in _walk(state) if _is_array(_get(state, p)) == _is_array(node)]
    others = [p for p in others if p[: len(path)] != path and path[: len(p)] != p]
    if others:
        other = rng.choice(others)
        value = _get(state, other)
        _set(state, other, node)
        _set(state, path, value)


def _renamed(state: Any, path: _Path, arrays: dict, rng: random.Random) -> None:
    node = _get(state, path)
    if isinstance(node, dict):
        node["$"] = rng.choice(_NAMES)
    else:
        _set(state, path, {"$": rng.choice(["tuple", "set", "frozenset"]), "items": node})


MUTATIONS: dict[str, Callable[[Any, _Path, dict, random.Random], None]] = {
    "shape": _shape,
    "dtype": _dtype,
    "range": _range,
    "non-finite": _non_finite,
    "count": _count,
    "missing": _missing,
    "extra": _extra,
    "nested": _nested,
    "swapped": _swapped,
    "renamed": _renamed,
}


# Outcomes ----------------------------------------------------------------------------------------


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
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if kind == "checkpoints":
            return _resume(path, caught)
        try:
            model = SpTGNNRegressor.load(path)
        except ValueError:
            return "refused"
        try:
            assert np.isfinite(model.predict(X.head(5))).all(), "a prediction is not finite"
        except ValueError:
            return "not predicted"
        if not refit:
            return "used"
        try:
            _shrink(model).fit(X, Y)
            assert np.isfinite(model.predict(X.head(5))).all(), "a prediction is not finite"
        except (ValueError, TypeError):
            return "not fitted"
        return "used"


def _shrink(model: SpTGNNRegressor) -> SpTGNNRegressor:
    """Reduce parameters that a user could set as well and that only take time."""
    return model.set_params(
        n_estimators=2, max_epochs=1, network=_NETWORK, base_estimator=None, n_jobs=1,
        n_member_groups=1,
    )  # fmt: skip


@functools.cache
def _uninterrupted() -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        return resumable(Path(folder)).fit(X, Y).predict(X)


def _resume(path: Path, caught: list) -> str:
    expected = _uninterrupted()
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(path, Path(folder) / path.name)
        predicted = resumable(Path(folder)).fit(X, Y).predict(X)
    refused = any("checkpoint cannot be read" in str(w.message) for w in caught)
    same = np.array_equal(predicted, expected)
    assert np.isfinite(predicted).all(), "a prediction is not finite"
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
    record_path = options.records / f"forged-{options.kind}.jsonl"
    lines = record_path.read_text(encoding="utf-8").splitlines() if record_path.exists() else []
    records = [json.loads(line) for line in lines]
    done = max((r["end"] for r in records if r["seed"] == options.seed), default=0)
    end_time, n_failed = time.monotonic() + 60 * options.minutes, 0
    with tempfile.TemporaryDirectory() as valid, tempfile.TemporaryDirectory() as forged:
        forger = Forger(options.kind, Path(valid))
        target = Path(forged) / forger.path.name
        with Worker(options.kind, timeout=TIMEOUT, script=__file__) as worker:
            while done < options.n and time.monotonic() < end_time:
                end, start = min(done + BATCH, options.n), time.monotonic()
                counts: dict[str, Counter[str]] = {}
                failures: dict[str, str] = {}
                for number in range(done, end):
                    name, mutation = forger.forge(str(options.seed), number, target)
                    result, _ = worker.read(target)
                    if result.split(" ")[0] not in ("refused", "used", "warned", "resumed", "not"):
                        failures[f"{number} {name} {mutation}"] = result[:MAX_CHARACTERS]
                        print(number, name, mutation, result[:MAX_CHARACTERS], file=sys.stderr)
                        result = "failed"
                    for label in (f"field {name}", f"mutation {mutation}"):
                        counts.setdefault(label, Counter())[result] += 1
                record = {
                    "seed": options.seed,
                    "start": done,
                    "end": end,
                    "pairs": len(forger.pairs),
                    "counts": counts,
                    "failures": failures,
                    "seconds": round(time.monotonic() - start, 1),
                    "peak_mb": round(worker.peak_mb),
                }
                options.records.mkdir(parents=True, exist_ok=True)
                with open(record_path, "a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
                print(f"{end} of {options.n}, {len(failures)} failures", flush=True)
                done, n_failed = end, n_failed + len(failures)
    return int(n_failed > 0)


def _work(kind: str) -> int:
    """Read the files whose paths are on stdin, and print a line of JSON for each."""
    results = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # keeps output of libraries out of the results
    with tempfile.TemporaryDirectory() as folder:
        outcome(kind, write_valid(kind, Path(folder)))  # compiles the loops
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
