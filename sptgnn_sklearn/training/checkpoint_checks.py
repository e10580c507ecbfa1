"""Checks of a stored training state against the state from which the same training starts.

A checkpoint can be forged, and the fused optimizer and numpy's random states do not check the
shapes and positions that they read and write. A state that passes has the keys, types and shapes of
this training, and numbers of epochs and steps, learning rates and scores that follow from each
other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from torch import Tensor, nn

from ..utils.random_states import check_mersenne_twister
from ..utils.safe_file import FileError
from .callbacks import BY_MEMBER, MemberEarlyStopping

__all__ = ["STATE_KEYS", "check_epochs", "check_state"]

STATE_KEYS = (
    "network",
    "ema_network",
    "n_steps",
    "optimizer",
    "scheduler",
    "scheduler_step",
    "early_stopping",
    "generators",
    "rngs",
    "history",
)
_MOMENTS = ("exp_avg", "exp_avg_sq")
_SCHEDULED = ("lr", "betas")  # values of a parameter group that the scheduler changes
_COUNTERS = ("last_epoch", "_step_count", "_last_lr")  # those of the scheduler
# AdamW changes a weight by at most about 15 learning rates a step (Cauchy-Schwarz inequality of the
# two moments, with momentum of 0.85 to 0.95). Its decay shrinks weights, unless the product of rate
# and decay exceeds 2.
_MAX_MOMENT_RATIO = 20.0
_MAX_GROWTH_STEPS = 100  # enough for any overflow of single precision
_MOMENT_ROUNDING = 1e-15  # a square of smaller gradients is zero in single precision
# Flags of torch's scheduler that differ before the first step.
_FLAGS = ("_is_initial", "_get_lr_called_within_step")


def check_epochs(state: Any) -> int:
    """Check the parts of a state, and return the number of epochs in its history.

    Raises
    ------
    FileError
        If a part is missing or there are others, or the history is no list of epochs.
    """
    _require(isinstance(state, dict) and set(state) == set(STATE_KEYS), "its parts differ")
    history = state["history"]
    _require(
        isinstance(history, list)
        and len(history) > 0
        and all(
            isinstance(entry, dict) and entry.get("epoch") == i
            for i, entry in enumerate(history, start=1)
        ),
        "its history is no list of epochs",
    )
    return len(history)


def check_state(
    state: Mapping[str, Any],
    net: NeuralNet,
    early_stopping: MemberEarlyStopping,
    scheduler: Any,
    n_epochs: int,
) -> None:
    """Check a state before any part of it is loaded.

    Parameters
    ----------
    state : mapping of str to object
        That has passed `check_epochs`.
    net : NeuralNet
        At the start of training.
    early_stopping : MemberEarlyStopping
    scheduler : LRScheduler
        skorch's callback, at the start of training.
    n_epochs : int
        Number of epochs of the whole training.

    Raises
    ------
    FileError
        If the state cannot be one of this training.
    """
    module, n_done = net.module_, len(state["history"])
    rows_per_epoch = int((~module.data.held_out).sum(1).max())
    n_steps = n_done * -(-rows_per_epoch // net.batch_size)
    _require(n_done <= n_epochs, "it has more epochs than this training")
    for name in ("n_steps", "scheduler_step"):
        _require(type(state[name]) is int and state[name] == n_steps, f"{name} differs")
    for name in ("network", "ema_network"):
        _check_weights(state[name], module.get_submodule(name), name)
    _check_optimizer(state, net, scheduler, n_steps)
    _check_early_stopping(state, early_stopping, module)
    limits = _largest_weights(net, n_steps)
    for part in (state["network"], state["ema_network"], state["early_stopping"]["best_weights"]):
        for name in part.keys() & limits.keys():
            _require(float(part[name].abs().max()) <= limits[name], "weights are too large")
    generators = module.network.generators or ()
    _require(
        isinstance(state["generators"], list) and len(state["generators"]) == len(generators),
        "its generators differ in number",
    )
    for generator, saved in zip(generators, state["generators"], strict=True):
        _require(_is_like(saved, generator.get_state()), "a generator differs in shape")
        torch.Generator(generator.device).set_state(saved)  # raises for invalid positions
    rngs = state["rngs"]
    _require(
        isinstance(rngs, list) and len(rngs) == len(module.data.held_out),
        "its random states differ in number",
    )
    for rng in rngs:
        check_mersenne_twister(rng)


def _check_weights(found: Any, module: nn.Module, name: str) -> None:
    """Check parameters by shape, and buffers, which training does not change, by value."""
    expected = module.state_dict()
    _require(isinstance(found, dict) and found.keys() == expected.keys(), f"{name} differs in keys")
    _require(
        all(_is_like(found[key], values) for key, values in expected.items()),
        f"{name} differs in shapes",
    )
    _require(all(bool(values.isfinite().all()) for values in found.values()), f"{name} has NaN")
    buffers = {key for key, _ in module.named_buffers()} & expected.keys()
    _require(
        all(torch.equal(found[key], expected[key].cpu()) for key in buffers),
        f"{name} has other constants",
    )


def _largest_weights(net: NeuralNet, n_steps: int) -> dict[str, float]:
    """Return bounds on the absolute weights of each parameter after a number of steps."""
    names = {id(p): name for name, p in net.module_.network.named_parameters()}
    limits = {}
    for group in net.optimizer_.param_groups:
        peak, decay = group["max_lr"], group["weight_decay"]
        growth = max(1.0, peak * decay - 1) ** min(n_steps, _MAX_GROWTH_STEPS)
        for parameter in group["params"]:
            start = float(parameter.detach().abs().max())
            limits[names[id(parameter)]] = growth * (start + _MAX_MOMENT_RATIO * n_steps * peak)
    return limits


def _check_optimizer(
    state: Mapping[str, Any], net: NeuralNet, scheduler: Any, n_steps: int
) -> None:
    found, fresh = state["optimizer"], net.optimizer_.state_dict()
    _require(isinstance(found, dict) and found.keys() == fresh.keys(), "its optimizer differs")
    groups = found["param_groups"]
    _require(
        isinstance(groups, list)
        and len(groups) == len(fresh["param_groups"])
        and all(isinstance(group, dict) for group in groups),
        "its parameter groups differ in number",
    )
    rates = _check_scheduler(state["scheduler"], scheduler.lr_scheduler_, net, n_steps)
    for group, expected, scheduled in zip(groups, fresh["param_groups"], rates, strict=True):
        _require(
            _is_equal(group, {**expected, **dict(zip(_SCHEDULED, scheduled, strict=True))}),
            "a parameter group differs",
        )
    parameters = [p for group in net.optimizer_.param_groups for p in group["params"]]
    names = {id(p): name for name, p in net.module_.network.named_parameters()}
    moments = found["state"]
    _require(
        isinstance(moments, dict) and all(type(key) is int for key in moments),
        "its optimizer has no moments",
    )
    _require(set(moments) <= set(range(len(parameters))), "its optimizer has other moments")
    for index, parameter in enumerate(parameters):
        if index not in moments:  # a parameter without gradient, which stays as it was
            weights = state["network"][names[id(parameter)]]
            _require(torch.equal(weights, parameter.detach().cpu()), "moments are missing")
            continue
        entry = moments[index]
        _require(isinstance(entry, dict) and set(entry) == {"step", *_MOMENTS}, "moments differ")
        step = entry["step"]
        _require(_is_like(step, torch.zeros(())) and float(step) == n_steps, "a step differs")
        for name in _MOMENTS:
            _require(_is_like(entry[name], parameter), "moments differ in shape")
            _require(bool(entry[name].isfinite().all()), "moments are not finite")
        mean, square = (entry[name] for name in _MOMENTS)
        _require(bool((square >= 0).all()), "moments are negative")
        most = _MAX_MOMENT_RATIO * square.sqrt() + _MOMENT_ROUNDING
        _require(bool((mean.abs() <= most).all()), "moments do not match")


def _check_scheduler(found: Any, scheduler: Any, net: NeuralNet, n_steps: int) -> list[tuple]:
    """Check the state of the schedule; return the rate and betas of each group at a step."""
    fresh = scheduler.state_dict()
    _require(isinstance(found, dict) and found.keys() == fresh.keys(), "its scheduler differs")
    before = scheduler.last_epoch, [group["betas"] for group in net.optimizer_.param_groups]
    flag = getattr(scheduler, _FLAGS[1], None)
    try:
        scheduler.last_epoch = n_steps
        if flag is not None:
            setattr(scheduler, _FLAGS[1], True)  # else torch warns
        rates = scheduler.get_lr()
        betas = [group["betas"] for group in net.optimizer_.param_groups]
    finally:
        scheduler.last_epoch = before[0]
        if flag is not None:
            setattr(scheduler, _FLAGS[1], flag)
        for group, pair in zip(net.optimizer_.param_groups, before[1], strict=True):
            group["betas"] = pair
    expected = {**fresh, "last_epoch": n_steps, "_step_count": n_steps + 1, "_last_lr": rates}
    for name, value in expected.items():
        if name in _FLAGS:
            _require(type(found[name]) is bool, f"{name} of its scheduler differs")
        else:
            _require(_is_equal(found[name], value), f"{name} of its scheduler differs")
    return list(zip(rates, betas, strict=True))


def _check_early_stopping(
    state: Mapping[str, Any], early_stopping: MemberEarlyStopping, module: nn.Module
) -> None:
    """Compare the best scores and weights with the history, from which they follow."""
    found, history = state["early_stopping"], state["history"]
    _require(
        isinstance(found, dict) and found.keys() == early_stopping.state().keys(),
        "its early stopping differs",
    )
    n_members = len(early_stopping.best_score)
    best, n_no_change = np.full(n_members, np.inf), 0
    for entry in history:
        loss = entry.get("train_loss")
        _require(isinstance(loss, float) and bool(np.isfinite(loss)), "a loss is not finite")
        if early_stopping.n_iter_no_change is None:
            continue
        scores = entry.get(BY_MEMBER)
        _require(
            isinstance(scores, list)
            and len(scores) == n_members
            and all(isinstance(score, float) for score in scores),
            "scores of an epoch are missing",
        )
        better = np.array(scores) < best
        best[better] = np.array(scores)[better]
        n_no_change = 0 if better.any() else n_no_change + 1
    _require(
        isinstance(found["best_score"], np.ndarray)
        and found["best_score"].dtype == best.dtype
        and np.array_equal(found["best_score"], best),
        "the best scores differ from the history",
    )
    _require(
        type(found["n_no_change"]) is int and found["n_no_change"] == n_no_change,
        "the epochs without improvement differ from the history",
    )
    weights, averaged = (
        found["best_weights"],
        dict(module.get_submodule("ema_network").named_parameters()),
    )
    if early_stopping.n_iter_no_change is None:
        averaged = {}
    _require(
        isinstance(weights, dict)
        and weights.keys() == averaged.keys()
        and all(_is_like(weights[name], value) for name, value in averaged.items())
        and all(bool(value.isfinite().all()) for value in weights.values()),
        "the best weights differ in shape",
    )
    if averaged:
        last = torch.from_numpy(better)
        _require(
            all(torch.equal(weights[k][last], state["ema_network"][k][last]) for k in averaged),
            "the best weights differ from those of the last epoch",
        )


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise FileError(f"It is not one of this training, as {reason}.")


def _is_like(value: Any, expected: Tensor) -> bool:
    """Return whether a value is a tensor of the same type and shape."""
    return (
        isinstance(value, Tensor)
        and value.dtype == expected.dtype
        and value.shape == expected.shape
    )


def _is_equal(value: Any, expected: Any) -> bool:
    """Return whether plain values are equal and of equal types."""
    if isinstance(expected, Mapping):
        return (
            isinstance(value, dict)
            and value.keys() == expected.keys()
            and all(_is_equal(value[key], item) for key, item in expected.items())
        )
    if isinstance(expected, Sequence) and not isinstance(expected, str):
        return (
            type(value) is type(expected)
            and len(value) == len(expected)
            and all(map(_is_equal, value, expected))
        )
    return type(value) is type(expected) and bool(value == expected)
