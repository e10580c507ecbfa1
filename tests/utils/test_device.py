"""Devices and mixed precision."""

import os

import pytest
import torch

from sptgnn_sklearn.utils.device import choose_device, mixed_precision


def test_auto_is_a_gpu_if_there_is_one(monkeypatch):
    for available, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr("torch.cuda.is_available", lambda result=available: result)
        assert choose_device("auto") == expected
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["nowhere", "cuda:99"])
def test_unavailable_devices_raise(name):
    """The message has the parameter and its value."""
    with pytest.raises(ValueError, match=f"device='{name}'"):
        choose_device(name)


def test_cpu_keeps_its_precision():
    with mixed_precision("cpu"):
        assert not torch.is_autocast_enabled("cpu")
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_children_use_one_thread():
    """OpenMP threads do not survive a fork, and waiting for them would not end."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    reader, writer = os.pipe()
    try:
        child = os.fork()
        if child == 0:
            os.write(writer, str(torch.get_num_threads()).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reader, 8) == b"1"
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
        os.close(reader)
        os.close(writer)
