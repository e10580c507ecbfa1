"""Conversion of objects to JSON values and arrays, and back, for a fixed set of classes.

Numbers, texts, containers, arrays and tensors are supported, and the classes of a registry, under
the names that they have there. A class that moved, or that got a field with a default, still reads
its older files.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
import torch

from .safe_file import FileError

__all__ = ["Codec", "Registry", "decode", "encode"]

_TYPE_KEY = "$"  # key of the type in a JSON object
_MAX_DEPTH = 60  # of nested values
_MAX_EQUAL_HASHES = 64  # of the keys of a dictionary or set, whose lookup is quadratic in them
_KINDS = "biufmMUS"  # of the numpy dtypes that have an encoding
_MAX_CODE_POINT = 0x10FFFF


class Codec(NamedTuple):
    """Functions from objects of a class to values that have an encoding, and back."""

    kind: type
    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]
    subclasses: bool = False  # whether it also applies to subclasses without an entry of their own


@dataclass(frozen=True)
class Registry:
    """Classes that a file may contain, by name.

    Attributes
    ----------
    classes : dict of str to type
        Dataclasses and named tuples, encoded field by field.
    codecs : dict of str to Codec
        Other classes.
    """

    classes: Mapping[str, type]
    codecs: Mapping[str, Codec]

    @classmethod
    def empty(cls) -> Registry:
        """Return a registry without classes."""
        return cls({}, {})


def encode(value: Any, registry: Registry) -> tuple[Any, dict[str, np.ndarray]]:
    """Convert a value to JSON values and arrays.

    Parameters
    ----------
    value : object
    registry : Registry

    Returns
    -------
    content : JSON values
    arrays : dict of str to ndarray

    Raises
    ------
    TypeError
        If an object has another class; the message has its path inside the value.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.utils.codec import Registry, decode, encode
    >>> content, arrays = encode({"a": (1, np.ones(2))}, Registry.empty())
    >>> decode(content, arrays, Registry.empty())
    {'a': (1, array([1., 1.]))}
    """
    encoder = _Encoder(registry)
    return encoder.encode(value, ""), encoder.arrays


def decode(content: Any, arrays: Mapping[str, np.ndarray], registry: Registry) -> Any:
    """Convert the result of `encode` to the original value.

    Raises
    ------
    FileError
        If the content is not a result of `encode` with this registry.
    """
    try:
        return _Decoder(registry, arrays).decode(content, 0)
    except FileError:
        raise
    # Invalid values can raise any exception in the constructors of the registered classes.
    except Exception as error:
        raise FileError(
            f"The content cannot be read by this version ({type(error).__name__}: {error})."
        ) from error


class _Encoder:
    def __init__(self, registry: Registry):
        self.registry = registry
        self.arrays: dict[str, np.ndarray] = {}
        self.names = {kind: name for name, kind in registry.classes.items()}
        self.codecs = {codec.kind: (name, codec) for name, codec in registry.codecs.items()}
        self.base_codecs = [pair for pair in registry.codecs.items() if pair[1].subclasses]

    def encode(self, value: Any, path: str) -> Any:
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {_TYPE_KEY: "float", "text": repr(value)}
        if type(value) in (list, tuple, set, frozenset):
            return self._sequence(value, path)
        if type(value) is dict:
            pairs = [
                [self.encode(key, f"{path} key"), self.encode(item, f"{path}[{key!r}]")]
                for key, item in value.items()
            ]
            return {_TYPE_KEY: "dict", "items": pairs}
        return self._object(value, path)

    def _sequence(self, value: Any, path: str) -> Any:
        ordered = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        items = [self.encode(item, f"{path}[{i}]") for i, item in enumerate(ordered)]
        return items if type(value) is list else {_TYPE_KEY: type(value).__name__, "items": items}

    def _object(self, value: Any, path: str) -> Any:
        if type(value) in self.names:
            values = (
                {field.name: getattr(value, field.name) for field in fields(value)}
                if is_dataclass(value)
                else value._asdict()
            )
            packed = {key: self.encode(item, f"{path}.{key}") for key, item in values.items()}
            return {_TYPE_KEY: f"={self.names[type(value)]}", "fields": packed}
        entry = self.codecs.get(type(value)) or next(
            (pair for pair in self.base_codecs if isinstance(value, pair[1].kind)), None
        )
        if entry is not None:
            name, codec = entry
            return {_TYPE_KEY: f"!{name}", "packed": self.encode(codec.pack(value), path)}
        if isinstance(value, np.generic) and not isinstance(value, (np.object_, np.void)):
            return {_TYPE_KEY: "scalar", "array": self._array(np.asarray(value))}
        if isinstance(value, np.ndarray):
            if value.dtype.hasobject:
                items = [self.encode(item, f"{path}[{i}]") for i, item in enumerate(value.ravel())]
                return {_TYPE_KEY: "objects", "shape": list(value.shape), "items": items}
            return {_TYPE_KEY: "array", "array": self._array(value)}
        if isinstance(value, torch.Tensor):
            return {_TYPE_KEY: "tensor", "array": self._array(value.detach().cpu().numpy())}
        if isinstance(value, PurePath):
            return {_TYPE_KEY: "path", "text": str(value)}
        raise TypeError(f"{path.strip('.') or 'the object'} of {type(value)} has no codec.")

    def _array(self, array: np.ndarray) -> dict[str, Any]:
        name = f"a{len(self.arrays)}"
        kind = array.dtype.kind
        # safetensors has no dates and texts, so their bytes are stored as integers.
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
        self.registry, self.arrays = registry, dict(arrays)

    def decode(self, content: Any, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise FileError(f"The content has more than {_MAX_DEPTH} levels of nested values.")
        if isinstance(content, list):
            return [self.decode(item, depth + 1) for item in content]
        if not isinstance(content, dict):
            return content
        kind = content[_TYPE_KEY]
        if kind.startswith("="):
            return self._instance(kind[1:], content["fields"], depth)
        if kind.startswith("!"):
            codec = _find_class(kind[1:], self.registry.codecs)
            return codec.unpack(self.decode(content["packed"], depth + 1))
        if kind == "dict":
            pairs = content["items"]
            keys = self._hashable([key for key, _ in pairs], depth)
            return {key: self.decode(v, depth + 1) for key, (_, v) in zip(keys, pairs, strict=True)}
        if kind == "tuple":
            return tuple(self.decode(item, depth + 1) for item in content["items"])
        if kind in _SETS:
            return _SETS[kind](self._hashable(content["items"], depth))
        if kind == "objects":
            objects = np.empty(len(content["items"]), dtype=object)
            for i, item in enumerate(content["items"]):
                objects[i] = self.decode(item, depth + 1)
            return objects.reshape(content["shape"])
        if kind in ("float", "path"):
            return (float if kind == "float" else PurePath)(content["text"])
        array = self._array(content["array"])
        if kind == "array":
            return array
        if kind == "scalar":
            return array[()]
        if kind == "tensor":
            return torch.from_numpy(array)
        raise FileError(f"The content has type {kind!r}, which this version cannot read.")

    def _instance(self, name: str, packed: dict[str, Any], depth: int) -> Any:
        kind = _find_class(name, self.registry.classes)
        return kind(**{key: self.decode(value, depth + 1) for key, value in packed.items()})

    def _hashable(self, items: list[Any], depth: int) -> list[Any]:
        """Decode keys, and refuse equal ones and hashes chosen to make lookups slow."""
        keys = [self.decode(item, depth + 1) for item in items]
        hashes = Counter(map(hash, keys))
        if hashes and max(hashes.values()) > _MAX_EQUAL_HASHES:
            raise FileError("The content has too many keys with the same hash.")
        if len(set(keys)) < len(keys):
            raise FileError("The content has the same key twice.")
        return keys

    def _array(self, header: dict[str, Any]) -> np.ndarray:
        # Each array occurs once, so that the memory of the result is bounded by that of the file.
        stored, dtype = self.arrays.pop(header["name"]), np.dtype(header["dtype"])
        dtype = dtype.newbyteorder("=")
        shape = header["shape"]
        if dtype.kind not in _KINDS or dtype.subdtype is not None:
            raise FileError(f"The content has an array of {dtype}, which is not supported.")
        if not all(type(length) is int and length >= 0 for length in shape):
            raise FileError(f"The content has an array of the invalid shape {shape}.")
        array = (stored if stored.dtype == dtype else stored.view(dtype)).reshape(shape)
        # numpy counts such values wrongly, and then writes beyond the end of its output.
        if dtype.kind == "b" and (array.view(np.uint8) > 1).any():
            raise FileError("The content has truth values other than 0 and 1.")
        if dtype.kind == "U" and stored.size and _largest_code_point(array) > _MAX_CODE_POINT:
            raise FileError("The content has an array of invalid text.")
        return array


def _find_class(name: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise FileError(f"The content has class {name!r}, which this version cannot read.")
    return known[name]


def _largest_code_point(texts: np.ndarray) -> int:
    return int(np.atleast_1d(texts).view(np.uint32).max(initial=0))


_SETS: dict[str, Callable[..., Any]] = {"set": set, "frozenset": frozenset}
