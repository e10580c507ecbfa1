"""Checks of single values, before objects are built from them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_training import training_shape

from sptgnn_sklearn.encoders.terramind import EncoderSource
from sptgnn_sklearn.images.modalities import Modality
from sptgnn_sklearn.persistence.checks import (
    check_encoder_weights,
    check_knn_graph,
    check_network_shape,
    is_array,
    is_int,
    is_label,
    is_number,
)
from sptgnn_sklearn.utils.safe_file import FileError


def test_kinds_of_values():
    """Truth values are no numbers; numpy's numbers are."""
    assert [is_int(value, 0, 3) for value in (0, np.int8(3), True, 4, 1.0)] == [True] * 2 + [
        False
    ] * 3
    assert [is_number(value) for value in (1, np.float32(2), np.nan, np.inf, "1", False)] == [
        True
    ] * 2 + [False] * 4
    assert is_label(("a", 1, None))
    assert not is_label(("a", np.zeros(2)))
    assert is_array(np.zeros((2, 3)), "f8", (None, 3), finite=True)
    assert is_array(np.zeros(2, np.float32), "f", (2,))
    assert not is_array(np.zeros(2, np.float32), "f8", (2,))
    assert not is_array(np.array([np.nan]), "f8", (1,), finite=True)


@pytest.mark.parametrize(
    "change",
    [
        {"n_heads": 0},
        {"n_heads": 3},
        {"top_k": 0},
        {"streams": {}},
        {"streams": {"other": 1}},
        {"relations": ["spatial"]},
        {"own_feature": (1,)},
        {"messages": 1},
    ],
    ids=str,
)
def test_invalid_network_shapes_raise(change):
    check_network_shape(training_shape())
    with pytest.raises(FileError, match=next(iter(change))):
        check_network_shape(replace(training_shape(), **change))


@pytest.mark.parametrize(
    "space",
    [np.zeros(3), np.zeros((3, 0)), np.full((3, 2), np.inf), np.zeros((3, 2), np.float32), None],
    ids=["vector", "no columns", "infinite", "single precision", "none"],
)
def test_invalid_spaces_raise(space):
    check_knn_graph({"spaces": {"spatial": np.full((3, 2), np.nan)}, "workers": 1})
    with pytest.raises(FileError):
        check_knn_graph({"spaces": {"spatial": space}, "workers": 1})


def test_encoders_need_the_weights_of_their_size():
    """A small file cannot make a large encoder."""
    source = EncoderSource(
        "terramind_v1_large", {"DEM": Modality("DEM", ("z",), False, (0.0,), (1.0,))}
    )
    with pytest.raises(FileError, match="10 weights, too few"):
        check_encoder_weights(source, {"a": torch.zeros(10)})
    with pytest.raises(FileError, match="unknown"):
        check_encoder_weights(EncoderSource("other", {}), {"a": torch.zeros(10)})
