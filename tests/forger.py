"""Valid model files and checkpoints, and forged ones in which one field is changed.

All pairs of a field class (path of a field, without positions) and a mutation class get equal
shares. Forged files have valid checksums.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import json
import pickle
import random
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from skorch.callbacks import Callback
from small_encoder import WIDTH, small_stages, write_chips
from xgboost import XGBRegressor

from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor, TerraMindImages
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.uncertainty.local_scale import ErrorSmoother
from sptgnn_sklearn.utils.safe_file import read, write

N_ROWS = 40
_SURVEY = make_soil_survey(n_samples=N_ROWS, random_state=5)
X = _SURVEY.data.assign(soil=np.where(np.arange(N_ROWS) % 3, "a", "b"))
Y = _SURVEY.target
NETWORK = NetworkConfig(hidden_size=4, n_heads=2, n_experts=2)
_SETTINGS = {"time": "date", "n_estimators": 2, "n_neighbors": 3, "random_state": 0}
_N_CHECKPOINT_ROWS = 20
_MANY = 8  # keys of a dictionary whose names are not part of the field class
_DTYPES = ("<f4", "<f8", "<i8", "<i4", "|u1", "|b1", "<U1", "<M8[s]")
_NUMBERS = (0, -1, 1, 7, 2**31, 2**63, -(10**9), 0.5, 1e30, -1e308, 1e-320)
_NAMES = (
    "=Blend",
    "=GaussianProcess",
    "=TargetScaler",
    "=SourceNodes",
    "!KNNGraph",
    "!RandomState",
    "=Odd",
    "tuple",
)
_Path = tuple[Any, ...]


# Valid files -------------------------------------------------------------------------------------


@functools.cache
def _chip_folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory()


@functools.cache
def table_with_images() -> pd.DataFrame:
    """Return the rows with chips of elevation, two of which are missing."""
    table = X.assign(dem=write_chips(Path(_chip_folder().name), N_ROWS)).drop(columns="soil")
    table.loc[[1, 5], "dem"] = None
    return table


@contextlib.contextmanager
def small_encoders() -> Iterator[None]:
    """Replace TerraMind by an encoder of a few weights."""

    def build(name, modalities, weights=None, sha256=None):
        return small_stages(**{name: len(m.bands) for name, m in modalities.items()})

    with (
        mock.patch("sptgnn_sklearn.encoders.terramind.build_encoder", build),
        mock.patch("sptgnn_sklearn.persistence.checks._ENCODER_SIZES", {"tiny": (3, WIDTH)}),
    ):
        yield


def small_model() -> SpTGNNRegressor:
    """Return a model with trees, categories and a random state."""
    model = SpTGNNRegressor(
        **_SETTINGS | {"random_state": np.random.RandomState(0)},
        elevation="elevation",
        base_estimator=XGBRegressor(n_estimators=3, max_depth=2),
        network=NETWORK,
        max_epochs=1,
    )
    return model.fit(X, Y)


def image_model(fine_tune: bool | int) -> SpTGNNRegressor:
    """Return a model with an image encoder."""
    images = TerraMindImages(
        {"DEM": "dem"}, weights=None, chip_size=16, cache_dir=False, fine_tune=fine_tune
    )
    model = SpTGNNRegressor(
        **_SETTINGS, base_estimator=None, images=images, network=NETWORK, max_epochs=1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # random weights
        return model.fit(table_with_images(), Y)


def blended_model() -> SpTGNNRegressor:
    """Return a model with several base models, two of them with a Gaussian process."""
    base = ["kriging_extra_trees", XGBRegressor(n_estimators=2, max_depth=2), "gaussian_process"]
    model = SpTGNNRegressor(
        **_SETTINGS,
        base_estimator=base,
        noise_std="lab_sd",
        calibration="local",
        network=NETWORK,
        max_epochs=1,
    )
    model.fit(table_with_errors(), Y)
    # Errors of so few rows have no local scale, but files of others have.
    post = model.ensemble_.postprocessor
    local = post.calibration.local
    smoother = ErrorSmoother("std", 0.4, 30.0, 1.0 * local.spaces["std"].count)
    calibration = dataclasses.replace(
        post.calibration, local=dataclasses.replace(local, smoothers=(smoother,))
    )
    model.ensemble_.postprocessor = dataclasses.replace(post, calibration=calibration)
    return model


def table_with_errors() -> pd.DataFrame:
    """Return the rows with a measurement error of every other one."""
    return X.assign(lab_sd=np.arange(N_ROWS) % 2 * 0.5)


def table_with_spectra() -> pd.DataFrame:
    """Return the rows with more covariates than rows."""
    waves = np.sin(np.outer(np.arange(N_ROWS) + 1.0, np.linspace(0.1, 3.0, N_ROWS + 5)))
    return X.join(pd.DataFrame(waves).add_prefix("band_"))


def spectral_model() -> SpTGNNRegressor:
    """Return a model with a projection of its covariates."""
    model = SpTGNNRegressor(
        **_SETTINGS,
        elevation="elevation",
        base_estimator="linear_score",
        network=NETWORK,
        max_epochs=1,
    )
    return model.fit(table_with_spectra(), Y)


def query_rows(path: Path, n: int) -> pd.DataFrame:
    """Return the first rows of the table that the model of a file was fitted on."""
    if path.stem.startswith("image"):
        return table_with_images().head(n)
    tables = {"spectra": table_with_spectra, "blended": table_with_errors}
    return tables.get(path.stem, lambda: X)().head(n)


class _Stop(Callback):
    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 3:
            raise InterruptedError


def fit_resumable(folder: Path, callbacks: list[Callback] | None = None) -> SpTGNNRegressor:
    """Fit a model with checkpoints in a folder; an existing checkpoint is resumed."""
    model = SpTGNNRegressor(
        **_SETTINGS,
        base_estimator=None,
        network=NETWORK,
        max_epochs=4,
        checkpoint_dir=folder,
        callbacks=callbacks,
    )
    return model.fit(X.head(_N_CHECKPOINT_ROWS), Y[:_N_CHECKPOINT_ROWS])


def write_valid(kind: str, folder: Path) -> list[Path]:
    """Write the valid files of a kind, "models" or "checkpoints", and return their paths."""
    if kind == "checkpoints":
        with contextlib.suppress(InterruptedError):
            fit_resumable(folder, [_Stop()])
        return list(folder.iterdir())
    with small_encoders():
        models = {
            "table": small_model(),
            "blended": blended_model(),
            "spectra": spectral_model(),
            "image-frozen": image_model(False),
            "image-tuned": image_model(1),
        }
    for name, model in models.items():
        model.save(folder / f"{name}.safetensors")
    return [folder / f"{name}.safetensors" for name in models]


# Mutations ---------------------------------------------------------------------------------------


class _ValidFile:
    """Content of a valid file, with its trees as JSON values.

    Parameters
    ----------
    kind : {"models", "checkpoints"}
    path : Path
    """

    def __init__(self, kind: str, path: Path):
        self.kind, self.path = kind, path
        self.content, self.arrays = read(path, kind.removesuffix("s"))
        self.state = self.content["state"] if kind == "models" else self.content
        _open_trees(self.state, self.arrays)
        self.packed = pickle.dumps(self.state)  # faster than deepcopy
        self.fields: dict[str, list[_Path]] = {}
        for location, name in _walk(self.state):
            self.fields.setdefault(name, []).append(location)

    def forge(self, name: str, mutation: str, rng: random.Random, target: Path) -> None:
        """Write the file with one field of a class changed."""
        state, arrays = pickle.loads(self.packed), dict(self.arrays)
        # Items of one list can be of different kinds.
        paths = [p for p in self.fields[name] if mutation in _applicable(_get(state, p))]
        MUTATIONS[mutation](state, rng.choice(paths), arrays, rng)
        _close_trees(state, arrays)
        content = {**self.content, "state": state} if self.kind == "models" else state
        write(target, self.kind.removesuffix("s"), content, arrays)


class Forger:
    """Forged files of one kind, each determined by a seed and a number.

    Parameters
    ----------
    kind : {"models", "checkpoints"}
    folder : Path
        For the valid files.

    Attributes
    ----------
    pairs : list of tuple
        A valid file, a field class and a mutation class. A field class belongs to the first file
        that has it.
    """

    def __init__(self, kind: str, folder: Path):
        self.kind = kind
        self.pairs: list[tuple[_ValidFile, str, str]] = []
        known: set[str] = set()
        for path in write_valid(kind, folder):
            valid = _ValidFile(kind, path)
            for name, paths in valid.fields.items():
                mutations = () if name in known else _applicable(_get(valid.state, paths[0]))
                self.pairs += [(valid, name, mutation) for mutation in sorted(mutations)]
            known |= set(valid.fields)

    def forge(self, seed: str, number: int, folder: Path) -> tuple[Path, str, str]:
        """Write a forged file and return its path, field class and mutation class."""
        order = random.Random(seed).sample(range(len(self.pairs)), len(self.pairs))
        valid, name, mutation = self.pairs[order[number % len(order)]]
        rng = random.Random(f"{self.kind}/{seed}/{number}")
        target = folder / valid.path.name
        valid.forge(name, mutation, rng, target)
        return target, name, mutation


def _open_trees(node: Any, arrays: dict[str, np.ndarray]) -> None:
    """Replace the compressed trees of a regressor by their JSON values."""
    if isinstance(node, dict):
        if node.get("$") == "!XGBRegressor":
            for item in node["packed"]["items"]:
                if item[0] == "booster" and arrays[item[1]["array"]["name"]].size:
                    name = item[1]["array"]["name"]
                    text = zlib.decompress(arrays[name].tobytes())
                    item[1] = {"trees": json.loads(text), "name": name}
        for value in node.values():
            _open_trees(value, arrays)
    elif isinstance(node, list):
        for value in node:
            _open_trees(value, arrays)


def _close_trees(node: Any, arrays: dict[str, np.ndarray]) -> None:
    """Compress the trees again."""
    if isinstance(node, dict):
        if set(node) == {"trees", "name"}:
            packed = zlib.compress(json.dumps(node.pop("trees")).encode())
            name = node.pop("name")
            arrays[name] = np.frombuffer(packed, np.uint8)
            header = {"name": name, "dtype": "|u1", "shape": [len(packed)]}
            node.update({"$": "array", "array": header})
        for value in list(node.values()):
            _close_trees(value, arrays)
    elif isinstance(node, list):
        for value in node:
            _close_trees(value, arrays)


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
