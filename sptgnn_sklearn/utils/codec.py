"""Objects as plain values and arrays, and back: nothing is built that is not named in advance.

Numbers, texts, lists, tuples, mappings, arrays and tensors are known; classes are those of a
registry, which a file names by short names of their own. A class may move to another module, or get
a new field that has a default, and files from before can still be read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
import torch

from .safe_file import FileError

__all__ = ["Codec", "Registry", "decode", "encode"]

_TYPE_KEY = "$"  # the key that tells what a mapping stands for
_DEEPEST = 60  # values within values


class Codec(NamedTuple):
    """How objects of a class become plain values, arrays and objects of known classes."""

    kind: type
    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]
    subclasses: bool = False  # whether it serves these too


@dataclass(frozen=True)
class Registry:
    """Classes that may be in a file, by the names that they have there.

    Attributes
    ----------
    classes : dict of str to type
        Dataclasses and named tuples, field by field.
    codecs : dict of str to Codec
        All others.
    """

    classes: Mapping[str, type]
    codecs: Mapping[str, Codec]

    @classmethod
    def empty(cls) -> Registry:
        """Return the registry for values of no class."""
        return cls({}, {})


def encode(value: Any, registry: Registry) -> tuple[Any, dict[str, np.ndarray]]:
    """Take a value apart into what JSON can hold, and arrays.

    Parameters
    ----------
    value : object
    registry : Registry

    Returns
    -------
    plain : plain values
    arrays : dict of str to ndarray

    Raises
    ------
    TypeError
        If an object is of no known class; the message says where it is.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.utils.codec import Registry, decode, encode
    >>> plain, arrays = encode({"a": (1, np.ones(2))}, Registry.empty())
    >>> decode(plain, arrays, Registry.empty())
    {'a': (1, array([1., 1.]))}
    """
    encoder = _Encoder(registry)
    return encoder.encode(value, ""), encoder.arrays


def decode(plain: Any, arrays: Mapping[str, np.ndarray], registry: Registry) -> Any:
    """Put together again what `encode` took apart.

    Raises
    ------
    FileError
        If the plain values are none that `encode` makes with this registry.
    """
    try:
        return _Decoder(registry, arrays).decode(plain, 0)
    except FileError:
        raise
    # Values of wrong kinds make constructors fail in as many ways as there are constructors.
    except Exception as error:
        raise FileError(
            f"The content is not what this version reads ({type(error).__name__}: {error})."
        ) from error


class _Encoder:
    def __init__(self, registry: Registry):
        self.registry = registry
        self.arrays: dict[str, np.ndarray] = {}
        self.names = {kind: name for name, kind in registry.classes.items()}
        self.codecs = {codec.kind: (name, codec) for name, codec in registry.codecs.items()}
        self.broad = [pair for pair in registry.codecs.items() if pair[1].subclasses]

    def encode(self, value: Any, at: str) -> Any:
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {_TYPE_KEY: "float", "text": repr(value)}
        if type(value) in (list, tuple, set, frozenset):
            return self._sequence(value, at)
        if type(value) is dict:
            pairs = [
                [self.encode(key, f"{at} key"), self.encode(item, f"{at}[{key!r}]")]
                for key, item in value.items()
            ]
            return {_TYPE_KEY: "dict", "items": pairs}
        return self._object(value, at)

    def _sequence(self, value: Any, at: str) -> Any:
        ordered = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        items = [self.encode(item, f"{at}[{i}]") for i, item in enumerate(ordered)]
        return items if type(value) is list else {_TYPE_KEY: type(value).__name__, "items": items}

    def _object(self, value: Any, at: str) -> Any:
        found = self.codecs.get(type(value)) or next(
            (pair for pair in self.broad if isinstance(value, pair[1].kind)), None
        )
        if found is not None:
            name, codec = found
            return {_TYPE_KEY: f"!{name}", "packed": self.encode(codec.pack(value), at)}
        if type(value) in self.names:
            given = (
                {field.name: getattr(value, field.name) for field in fields(value)}
                if is_dataclass(value)
                else value._asdict()
            )
            packed = {key: self.encode(item, f"{at}.{key}") for key, item in given.items()}
            return {_TYPE_KEY: f"={self.names[type(value)]}", "fields": packed}
        if isinstance(value, np.generic) and not isinstance(value, (np.object_, np.void)):
            return {_TYPE_KEY: "scalar", "array": self._array(np.asarray(value))}
        if isinstance(value, np.ndarray):
            if value.dtype.hasobject:
                items = [self.encode(item, f"{at}[{i}]") for i, item in enumerate(value.ravel())]
                return {_TYPE_KEY: "objects", "shape": list(value.shape), "items": items}
            return {_TYPE_KEY: "array", "array": self._array(value)}
        if isinstance(value, torch.Tensor):
            return {_TYPE_KEY: "tensor", "array": self._array(value.detach().cpu().numpy())}
        if isinstance(value, PurePath):
            return {_TYPE_KEY: "path", "text": str(value)}
        raise TypeError(f"{at.strip('.') or 'the object'} is of {type(value)}, which has no codec.")

    def _array(self, array: np.ndarray) -> dict[str, Any]:
        name = f"a{len(self.arrays)}"
        kind = array.dtype.kind
        # Dates and texts have no place in the format, so they go as numbers of the same bytes.
        stored = array if kind in "biuf" else np.ascontiguousarray(array)
        if kind in "mM":
            stored = stored.view(np.int64)
        elif kind in "US":
            stored = np.atleast_1d(stored).view(np.uint8)
        elif kind not in "biuf":
            raise TypeError(f"Arrays of {array.dtype} have no codec.")
        self.arrays[name] = stored.astype(stored.dtype.newbyteorder("="), copy=False)
        return {"name": name, "dtype": array.dtype.newbyteorder("=").str, "shape": [*array.shape]}


class _Decoder:
    def __init__(self, registry: Registry, arrays: Mapping[str, np.ndarray]):
        self.registry, self.arrays = registry, arrays

    def decode(self, plain: Any, depth: int) -> Any:
        if depth > _DEEPEST:
            raise FileError("The content is nested too deeply.")
        if isinstance(plain, list):
            return [self.decode(item, depth + 1) for item in plain]
        if not isinstance(plain, dict):
            return plain
        kind = plain[_TYPE_KEY]
        if kind.startswith("="):
            return self._instance(kind[1:], plain["fields"], depth)
        if kind.startswith("!"):
            if kind[1:] not in self.registry.codecs:
                raise FileError(f"The content names {kind[1:]!r}, which this version cannot read.")
            return self.registry.codecs[kind[1:]].unpack(self.decode(plain["packed"], depth + 1))
        if kind == "dict":
            return {self.decode(k, depth + 1): self.decode(v, depth + 1) for k, v in plain["items"]}
        if kind in _SEQUENCES:
            return _SEQUENCES[kind](self.decode(item, depth + 1) for item in plain["items"])
        if kind == "objects":
            found = np.empty(len(plain["items"]), dtype=object)
            found[:] = [self.decode(item, depth + 1) for item in plain["items"]]
            return found.reshape(plain["shape"])
        if kind in ("float", "path"):
            return (float if kind == "float" else PurePath)(plain["text"])
        array = self._array(plain["array"])
        if kind == "array":
            return array
        if kind == "scalar":
            return array[()]
        if kind == "tensor":
            return torch.from_numpy(array)
        raise FileError(f"The content names {kind!r}, which this version cannot read.")

    def _instance(self, name: str, given: dict[str, Any], depth: int) -> Any:
        if name not in self.registry.classes:
            raise FileError(f"The content names {name!r}, which this version cannot read.")
        values = {key: self.decode(value, depth + 1) for key, value in given.items()}
        return self.registry.classes[name](**values)

    def _array(self, about: dict[str, Any]) -> np.ndarray:
        stored, dtype = self.arrays[about["name"]], np.dtype(about["dtype"])
        if dtype.hasobject:
            raise FileError("The content asks for an array of objects.")
        array = stored if stored.dtype == dtype else stored.view(dtype)
        return array.reshape(about["shape"])


_SEQUENCES: dict[str, Callable[..., Any]] = {"tuple": tuple, "set": set, "frozenset": frozenset}
