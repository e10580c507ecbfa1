"""Training of members in groups."""

import numpy as np
import pytest
import torch
from joblib import parallel_config
from small_training import training_config, training_set, training_shape

from sptgnn_sklearn.ensemble import fit


@pytest.fixture(autouse=True)
def return_parts(monkeypatch):
    """Return the results of the groups as a list."""
    monkeypatch.setattr(fit, "concatenate_members", lambda parts, _: parts)


def test_member_groups_share_one_progress_bar(monkeypatch, capfd):
    """Groups are silent and one bar counts them; with verbose=2 each prints its own table."""
    monkeypatch.setattr(fit, "train_members", lambda *args: args[2].verbose)
    seeds = np.arange(2)
    with parallel_config("threading"):
        for verbose, expected in ((1, [0, 0]), (2, [2, 2])):
            config = training_config(verbose=verbose)
            result = fit._train(training_shape(), training_set(), config, seeds, "cpu", 2, 2)
            assert result == expected
            assert ("2/2" in capfd.readouterr().err) == (verbose == 1)


def test_parallel_groups_share_the_threads(monkeypatch):
    """A group uses its share of the threads, and resets their number."""
    monkeypatch.setattr(fit, "train_members", lambda *args: torch.get_num_threads())
    monkeypatch.setattr(fit, "cpu_count", lambda: 4)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        arguments = training_shape(), training_set(), training_config(), np.arange(2), "cpu"
        with parallel_config("sequential"):
            assert fit._train(*arguments, n_groups=1, n_jobs=None) == [4]
        assert fit._train_group(2) == 2
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
