"""Objects as JSON values and arrays: restored exactly, and unknown ones rejected."""

import json
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from sptgnn_sklearn.utils.codec import Codec, Registry, decode, encode
from sptgnn_sklearn.utils.safe_file import FileError


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Base:
    def __init__(self, text):
        self.text = text


@dataclass
class Derived(Base):
    text: str


class Other(Base):
    pass


CODEC = Codec(Base, lambda value: value.text, Base, subclasses=True)
REGISTRY = Registry({"Point": Point, "Derived": Derived}, {"base": CODEC})


def test_values_of_all_kinds_are_restored():
    """Containers, numbers, texts, dates, arrays of objects, tensors and paths."""
    kinds: dict[Any, Any] = {
        "plain": [None, True, 3, 2.5, "ü", float("inf"), float("-inf")],
        3: (1, (2,), {"a"}, frozenset({1})),
        "arrays": [
            np.arange(3, dtype=np.int8),
            np.float32(1.5),
            np.array("2020-01-02", dtype="datetime64[D]"),
            np.array(["a", "bcd"]),
            np.array([1, "x", None], dtype=object).reshape(3, 1),
            np.empty((0, 4)),
            torch.arange(4).reshape(2, 2),
            np.arange(3, dtype=">i4"),
        ],
        "path": PurePath("a") / "b",
        "classless": {},
    }
    content, arrays = encode(kinds, Registry.empty())
    again = decode(json.loads(json.dumps(content)), arrays, Registry.empty())
    assert repr(again) == repr(kinds).replace("dtype='>i4'", "dtype=int32")


def test_registered_classes_are_restored():
    """Named tuples and dataclasses by field; a subclass with an entry does not use the base's."""
    content, arrays = encode([Point(1.0, 2.0), Derived("a"), Other("b")], REGISTRY)
    assert [item["$"] for item in content] == ["=Point", "=Derived", "!base"]
    point, derived, other = decode(content, arrays, REGISTRY)
    assert point == Point(1.0, 2.0)
    assert derived == Derived("a")
    assert (type(other), other.text) == (Base, "b")


def test_new_fields_with_defaults_read_older_files():
    assert decode({"$": "=Point", "fields": {"x": 3.0}}, {}, REGISTRY) == Point(3.0, 0.0)


@pytest.mark.parametrize(
    "unsupported",
    [object(), np.zeros(2, dtype=[("a", int)]), 1j],
    ids=["object", "structured", "complex"],
)
def test_objects_without_a_codec_raise(unsupported):
    """The message has the path of the object."""
    with pytest.raises(TypeError, match="no codec") as error:
        encode({"deep": [unsupported]}, Registry.empty())
    if not isinstance(unsupported, np.ndarray):
        assert "['deep'][0]" in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        {"$": "odd", "array": {"name": "a", "dtype": "<f8", "shape": [2]}},
        {"$": "!odd"},
        {"$": "=odd", "fields": {}},
        {"$": "=Point", "fields": {"z": 1}},
        {"no": "type"},
        {"$": "array", "array": {"name": "a", "dtype": "|O", "shape": [2]}},
        {"$": "array", "array": {"name": "a", "dtype": "<f8", "shape": [3]}},
        {"$": "array", "array": {"name": "b", "dtype": "<f8", "shape": [2]}},
    ],
    ids=str,
)
def test_other_contents_raise(content):
    """Types, classes, fields, shapes and arrays that do not exist."""
    with pytest.raises(FileError, match="content"):
        decode(content, {"a": np.zeros(2)}, REGISTRY)


def test_deep_contents_raise():
    """Nesting is limited, so that it cannot exhaust the stack."""
    content: list[Any] = []
    for _ in range(500):
        content = [content]
    with pytest.raises(FileError, match="60 levels"):
        decode(content, {}, Registry.empty())
