"""Digest of a fitted estimator, from the values of its parameters and fitted attributes.

Unlike a hash of its pickle, the digest is the same for an estimator that was fitted again with the
same result, or saved and loaded: addresses, shared references and timings do not count.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Set
from enum import Enum
from functools import partial
from hashlib import blake2b
from numbers import Number
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["estimator_digest"]

# Attributes that do not change predictions: resources, progress and records of fitting.
_IGNORED = frozenset(
    {
        *("_sklearn_version", "callbacks", "checkpoint_dir", "cache_dir", "device", "history"),
        *(
            "history_",
            "memory",
            "n_jobs",
            "oob_prediction_",
            "oob_score_",
            "training",
            "verbose",
            "workers",
        ),
    }
)
_SIZE = 16


def estimator_digest(estimator: Any) -> str:
    """Return a digest that changes with the predictions of an estimator.

    Parameters
    ----------
    estimator : fitted estimator
        Of any library. A search counts as its best estimator.

    Returns
    -------
    str
        Parts that cannot be pickled, such as locks, count by their class alone.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from sptgnn_sklearn.maps.model_digest import estimator_digest
    >>> one, same, other = (LinearRegression().fit([[0.0], [1.0]], [0.0, y]) for y in (1, 1, 2))
    >>> estimator_digest(one) == estimator_digest(same) != estimator_digest(other)
    True
    """
    return _StateDigest().compute(estimator).hex()


class _StateDigest:
    """Digests of nested objects; each object is visited once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, bytes]] = {}  # holds objects, so that ids stay theirs
        self._open: list[int] = []

    def compute(self, value: Any) -> bytes:
        if value is None or isinstance(value, bool | np.bool_ | str | bytes | bytearray | Number):
            return _hash(*_scalar_parts(value))
        key = id(value)
        if key in self._known:
            return self._known[key][1]
        if key in self._open:  # a reference to an object that contains this one
            return _hash("cycle", len(self._open) - self._open.index(key))
        self._open.append(key)
        try:
            digest = self._compute_object(value)
        finally:
            self._open.pop()
        self._known[key] = value, digest
        return digest

    def _compute_object(self, value: Any) -> bytes:
        if isinstance(value, np.ndarray):
            return self._compute_array(value)
        if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach"):
            return self._compute_tensor(value)
        if isinstance(value, pd.Series | pd.Index):
            return _hash(type(value).__name__, str(value.dtype), self.compute(np.asarray(value)))
        if isinstance(value, type | types.BuiltinFunctionType | np.ufunc | Enum | np.dtype):
            return _hash("name", getattr(value, "__module__", ""), _name(value))
        if isinstance(value, np.random.RandomState | np.random.Generator):
            return _hash("random state")  # of fitting; the state of an unseeded one is arbitrary
        if isinstance(value, PurePath):
            return _hash("path", str(value))
        if isinstance(value, types.FunctionType):
            return self._compute_function(value)
        if isinstance(value, types.CodeType):
            return self._compute_code(value)
        if isinstance(value, types.MethodType):
            return _hash("method", value.__name__, self.compute(value.__self__))
        if isinstance(value, partial):
            return _hash("partial", *map(self.compute, (value.func, value.args, value.keywords)))
        if type(value) in (list, tuple):
            return _hash("sequence", *map(self.compute, value))
        if isinstance(value, Set):
            return _hash("set", *sorted(map(self.compute, value)))
        if isinstance(value, Mapping) and type(value).__module__ in ("builtins", "collections"):
            return self._compute_mapping(value)
        if hasattr(value, "best_estimator_"):
            return self.compute(value.best_estimator_)
        if hasattr(value, "save_raw"):  # Booster of XGBoost; its pickle holds settings of training
            return _hash("booster", bytes(value.save_raw()))
        if hasattr(value, "get_booster") and hasattr(value, "n_features_in_"):
            return self.compute([value.get_booster(), value.missing])
        return self._compute_instance(value)

    def _compute_array(self, value: np.ndarray) -> bytes:
        if value.dtype.hasobject:
            return _hash("array", str(value.shape), *map(self.compute, value.ravel().tolist()))
        native = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("="))
        return _hash("array", native.dtype.descr, str(value.shape), native.tobytes())

    def _compute_tensor(self, value: Any) -> bytes:
        import torch

        if not isinstance(value, torch.Tensor):
            return self._compute_instance(value)
        stored = value.detach().cpu().contiguous()
        numbers = stored.reshape(-1).view(torch.uint8) if stored.dim() else stored.reshape(1)
        if numbers.dtype != torch.uint8:
            numbers = numbers.view(torch.uint8)
        return _hash("tensor", str(value.dtype), str(tuple(value.shape)), numbers.numpy().tobytes())

    def _compute_function(self, value: types.FunctionType) -> bytes:
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        parts = [value.__code__, value.__defaults__, value.__kwdefaults__, cells]
        return _hash("function", *map(self.compute, parts))

    def _compute_code(self, value: types.CodeType) -> bytes:
        constants = [item for item in value.co_consts if item != value.co_name]
        parts = [value.co_code, value.co_names, constants]
        return _hash("code", *map(self.compute, parts))

    def _compute_mapping(self, value: Mapping[Any, Any]) -> bytes:
        pairs = [self.compute(key) + self.compute(item) for key, item in value.items()]
        return _hash("mapping", *sorted(pairs))

    def _compute_instance(self, value: Any) -> bytes:
        name = _hash("instance", type(value).__module__, type(value).__qualname__)
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:  # the class depends on what cannot be pickled
            return name
        if isinstance(reduced, str):  # the name of a global object
            return _hash(name, reduced)
        _, arguments, *rest = reduced
        state, items, pairs = (*rest, None, None, None)[:3]
        parts = [
            self.compute([part for part in arguments if part is not type(value)]),
            self._compute_state(state),
            self.compute(None if items is None else list(items)),
            self._compute_mapping({} if pairs is None else dict(pairs)),
        ]
        return _hash(name, *parts)

    def _compute_state(self, state: Any) -> bytes:
        if isinstance(state, tuple) and len(state) == 2:  # attributes and slots
            return _hash("state", *map(self._compute_state, state))
        if isinstance(state, tuple):  # trees of scikit-learn count their calls
            return self.compute([part for part in state if not isinstance(part, int)])
        if not isinstance(state, Mapping):
            return self.compute(state)
        kept = {name: item for name, item in state.items() if name not in _IGNORED}
        return self._compute_mapping(kept)


def _scalar_parts(value: Any) -> tuple[Any, ...]:
    if isinstance(value, bool | np.bool_):
        return "bool", bool(value)
    if isinstance(value, bytes | bytearray):
        return "bytes", bytes(value)
    if isinstance(value, float | np.floating):
        return "float", repr(float(value))
    if isinstance(value, int | np.integer):
        return "int", int(value)
    return type(value).__name__, str(value)


def _name(value: Any) -> str:
    return str(getattr(value, "__qualname__", getattr(value, "__name__", value)))


def _hash(*parts: Any) -> bytes:
    """Return the digest of parts, each with its length, so that their borders count."""
    hasher = blake2b(digest_size=_SIZE)
    for part in parts:
        content = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
        hasher.update(len(content).to_bytes(8, "little"))
        hasher.update(content)
    return hasher.digest()
