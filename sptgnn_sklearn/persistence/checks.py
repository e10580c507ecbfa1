"""Checks of values in a model file before objects are built from them.

A checksum can be forged, and compiled loops, XGBoost and numpy's random states do not check their
input. All checks raise a FileError that names the part.
"""

from __future__ import annotations

import math
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any

import numpy as np
import torch

from ..encoders.terramind import ENCODERS, EncoderSource
from ..ensemble.options import RELATIONS
from ..graph.edge_features import EDGE_FEATURES
from ..images.modalities import Modality
from ..network.config import STREAMS, NetworkShape
from ..utils.safe_file import FileError

__all__ = [
    "check_encoder_weights",
    "check_knn_graph",
    "check_modalities",
    "check_network_shape",
    "has_text_keys",
    "in_range",
    "is_array",
    "is_flag",
    "is_int",
    "is_label",
    "is_number",
    "is_real",
    "is_tensor",
    "is_text_tuple",
    "require",
]

MAX_WORKERS = 2**16
_MAX_LAYERS = 64
_WORDS_PER_BLOCK = 12  # weights of a transformer block, in squared widths
_ENCODER_SIZES = {"tiny": (12, 192), "small": (12, 384), "base": (12, 768), "large": (24, 1024)}
_LABEL_TYPES = (str, int, float, np.generic, PurePath, type(None))


def check_network_shape(shape: Any) -> None:
    """Check a network shape before a network is built, whose work it determines.

    Sizes of layers are compared with the stored weights when these are loaded.

    Raises
    ------
    FileError
        If a field is of another type or out of range.
    """
    where = "The network shape"
    require(isinstance(shape, NetworkShape), f"{where} is missing")
    for name in ("n_members", "hidden_size", "n_heads", "n_layers", "top_k"):
        require(is_int(getattr(shape, name), 1, 2**31 - 1), f"{where} has an invalid {name}")
    require(is_int(shape.n_experts, 0, 2**31 - 1), f"{where} has an invalid n_experts")
    if shape.n_layers > _MAX_LAYERS:
        raise FileError(f"The network has {shape.n_layers} layers; at most {_MAX_LAYERS} are read.")
    require(shape.hidden_size % shape.n_heads == 0, f"{where} has an invalid n_heads")
    for name in ("messages", "neighbor_targets"):
        require(is_flag(getattr(shape, name)), f"{where} has an invalid {name}")
    for name in ("dropout", "feature_dropout", "neighbor_dropout", "image_dropout"):
        rate = getattr(shape, name)
        require(is_number(rate, 0.0, 1.0) and rate < 1, f"{where} has an invalid {name}")
    streams = shape.streams
    require(
        isinstance(streams, dict)
        and len(streams) > 0
        and all(isinstance(name, str) and name in STREAMS for name in streams)
        and all(is_int(width, 1, 2**31 - 1) for width in streams.values()),
        f"{where} has invalid streams",
    )
    for name, known in (("relations", RELATIONS), ("edge_features", EDGE_FEATURES)):
        values = getattr(shape, name)
        ordered = isinstance(values, tuple) and values == tuple(v for v in known if v in values)
        require(ordered, f"{where} has invalid {name}")
    own, n_features = shape.own_feature, len(shape.edge_features)
    require(
        isinstance(own, tuple)
        and len(own) == len(shape.relations)
        and all(is_int(feature, -1, n_features - 1) for feature in own),
        f"{where} has an invalid own_feature",
    )


def check_knn_graph(packed: Any) -> None:
    """Check the arguments of `KNNGraph`.

    Raises
    ------
    FileError
        If a space is no matrix of double precision.
    """
    require(isinstance(packed, dict) and set(packed) == {"spaces", "workers"}, "The graph is odd")
    spaces = packed["spaces"]
    require(
        isinstance(spaces, dict) and all(isinstance(name, str) for name in spaces),
        "The graph has invalid spaces",
    )
    for name, space in spaces.items():
        if not isinstance(space, np.ndarray) or space.dtype != np.float64:
            raise FileError("The vectors of the neighbor search are not float64.")
        require(space.ndim == 2 and space.shape[1] > 0, f"The {name} space is no matrix")
        require(not np.isinf(space).any(), f"The {name} space has infinite numbers")
    require(is_int(packed["workers"], 1, MAX_WORKERS), "The graph has invalid workers")


def check_encoder_weights(source: Any, weights: Any) -> None:
    """Check the name and weights of an image encoder before it is built.

    Raises
    ------
    FileError
        If the encoder is unknown, or the file has too few weights for it.
    """
    require(isinstance(source, EncoderSource) and source.name in ENCODERS, "The encoder is unknown")
    check_modalities(source.modalities)
    valid = isinstance(weights, dict) and all(
        isinstance(values, torch.Tensor) and values.dtype == torch.float32
        for values in weights.values()
    )
    require(valid, "The encoder has weights that are not float32")
    depth, width = _ENCODER_SIZES[source.name.rpartition("_")[2]]
    n_bands = sum(len(modality.bands) for modality in source.modalities.values())
    stored = sum(values.numel() for values in weights.values())
    # Half, because implementations of a block differ.
    needed = depth * _WORDS_PER_BLOCK * width**2 // 2 + n_bands * width
    require(stored >= needed, f"The encoder has {stored} weights, too few for {source.name}")


def check_modalities(modalities: Any) -> None:
    """Check the modalities of an image reader or encoder."""
    require(has_text_keys(modalities), "The modalities of images are missing")
    for modality in modalities.values():
        require(isinstance(modality, Modality), "A modality of images is missing")
        n = len(modality.bands) if is_text_tuple(modality.bands) else 0
        valid = (
            isinstance(modality.name, str)
            and n > 0
            and is_flag(modality.named)
            and is_flag(modality.linear)
            and is_number(modality.scale)
            and is_number(modality.offset)
            and all(
                isinstance(values, tuple) and len(values) == n and all(map(is_number, values))
                for values in (modality.mean, modality.std)
            )
        )
        require(valid, f"The modality {modality.name!r} of images is out of range")


def require(condition: bool, message: str) -> None:
    """Raise a FileError with a message unless a condition holds."""
    if not condition:
        raise FileError(f"{message}: the file is damaged or forged; use another copy of it.")


def has_text_keys(value: Any) -> bool:
    """Return whether a value is a dictionary with keys of text."""
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def is_text_tuple(value: Any) -> bool:
    """Return whether a value is a tuple of texts."""
    return isinstance(value, tuple) and all(isinstance(text, str) for text in value)


def is_label(value: Any) -> bool:
    """Return whether a value can be a column label, which is compared and hashed."""
    if isinstance(value, tuple | frozenset):
        return all(map(is_label, value))
    return isinstance(value, _LABEL_TYPES)


def is_flag(value: Any) -> bool:
    """Return whether a value is True or False."""
    return isinstance(value, bool | np.bool_)


def is_int(value: Any, low: float = -math.inf, high: float = math.inf) -> bool:
    """Return whether a value is an integer in a range."""
    return isinstance(value, Integral) and not is_flag(value) and low <= int(value) <= high


def is_real(value: Any) -> bool:
    """Return whether a value is a number."""
    return isinstance(value, Real) and not is_flag(value)


def is_number(value: Any, low: float = -math.inf, high: float = math.inf) -> bool:
    """Return whether a value is a finite number in a range."""
    return is_real(value) and abs(value) < math.inf and low <= value <= high


def is_array(
    value: Any, dtype: str, shape: tuple[int | None, ...], *, finite: bool = False
) -> bool:
    """Return whether a value is an array of a dtype ("f8") or kind ("f") and shape.

    None in the shape is any length.
    """
    return (
        isinstance(value, np.ndarray)
        and dtype in (value.dtype.kind, value.dtype.str[1:])
        and value.ndim == len(shape)
        and all(n in (None, found) for n, found in zip(shape, value.shape, strict=True))
        and (not finite or bool(np.isfinite(value).all()))
    )


def in_range(values: np.ndarray, low: int, high: int) -> bool:
    """Return whether integers are at least `low` and less than `high`."""
    return bool(((values >= low) & (values < high)).all())


def is_tensor(value: Any, n_axes: int) -> bool:
    """Return whether a value is a tensor of single precision on the CPU."""
    return (
        isinstance(value, torch.Tensor)
        and value.dtype == torch.float32
        and value.dim() == n_axes
        and value.device.type == "cpu"
    )
