"""Forged checkpoints: a warning and the result of an uninterrupted fit, never another result."""

import copy

import forge
import numpy as np
import pytest
import torch
from forger import write_valid

from sptgnn_sklearn.training.checkpoint_checks import check_epochs
from sptgnn_sklearn.utils.codec import Registry, decode, encode
from sptgnn_sklearn.utils.safe_file import FileError, read, write


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    (path,) = write_valid("checkpoints", tmp_path_factory.mktemp("checkpoint"))
    return path


@pytest.fixture(scope="module")
def state(valid):
    return decode(*read(valid, "checkpoint"), Registry.empty())


def moments(state):
    return state["optimizer"]["state"][0]


def first_group(state):
    return state["optimizer"]["param_groups"][0]


def shift_rng(state, position):
    rng = list(state["rngs"][0])
    rng[2] = position
    state["rngs"][0] = tuple(rng)


FORGERIES = {
    "moments of one number": lambda s: moments(s).update(exp_avg=torch.zeros(1)),
    "moments of another type": lambda s: moments(s).update(exp_avg=moments(s)["exp_avg"].double()),
    "negative moments": lambda s: moments(s)["exp_avg_sq"].fill_(-1),
    "step without value": lambda s: moments(s).update(step=torch.zeros(0)),
    "other step": lambda s: moments(s).update(step=torch.tensor(7.0)),
    "no moments": lambda s: s["optimizer"]["state"].clear(),
    "rate": lambda s: first_group(s).update(lr=1e30),
    "betas": lambda s: first_group(s).update(betas=(0.0, 0.0)),
    "weight decay": lambda s: first_group(s).update(weight_decay=-9.0),
    "position of a random state": lambda s: shift_rng(s, 10**9),
    "negative position": lambda s: shift_rng(s, -1),
    "generator too short": lambda s: s["generators"].__setitem__(0, s["generators"][0][:100]),
    "generator of ones": lambda s: s["generators"][0].fill_(255),
    "longer history": lambda s: s["history"].extend(s["history"]),
    "no history": lambda s: s["history"].clear(),
    "steps": lambda s: s.update(n_steps=-1),
    "schedule": lambda s: s["scheduler"].update(total_steps=0),
    "no schedule": lambda s: s["scheduler"].clear(),
    "network without weights": lambda s: s["network"].clear(),
    "moments that do not match": lambda s: moments(s)["exp_avg"].fill_(1e9),
    "weights out of reach": lambda s: next(iter(s["network"].values())).fill_(1e6),
    "best weights out of reach": lambda s: next(
        iter(s["early_stopping"]["best_weights"].values())
    ).fill_(-1e30),
    "averaged weights out of reach": lambda s: next(iter(s["ema_network"].values())).fill_(1e6),
    "weights that are not finite": lambda s: next(iter(s["network"].values())).fill_(np.nan),
    "constants": lambda s: s["ema_network"]["edge_scale.floor"].add_(1),
    "best weights": lambda s: s["early_stopping"].update(best_weights={}),
    "best scores": lambda s: s["early_stopping"].update(best_score=np.zeros(2)),
    "no early stopping": lambda s: s.update(early_stopping=None),
    "one part less": lambda s: s.pop("rngs"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_states_are_ignored_with_a_warning(forgery, valid, state, tmp_path):
    """`forge.outcome` raises if predictions differ from those of an uninterrupted fit."""
    changed = copy.deepcopy(state)
    FORGERIES[forgery](changed)
    write(tmp_path / valid.name, "checkpoint", *encode(changed, Registry.empty()))
    assert forge.outcome("checkpoints", tmp_path / valid.name) == "warned"


def test_valid_states_are_resumed(valid):
    assert forge.outcome("checkpoints", valid) == "resumed"


@pytest.mark.parametrize("changed", [[1], "x", {}, {"history": []}, None], ids=str)
def test_other_contents_are_no_state(changed, state):
    assert check_epochs(state) == len(state["history"])
    with pytest.raises(FileError):
        check_epochs(changed)
