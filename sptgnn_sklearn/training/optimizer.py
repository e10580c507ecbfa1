"""What the optimiser is told: learning rates, decays and their course, group by group."""

from __future__ import annotations

from typing import Any

import torch
from skorch.callbacks import LRScheduler
from torch import nn

from ..network.sptgnn import SpTGNN

_ENCODER_DECAY = 0.05  # weight decay of encoders, as in the fine-tuning of vision transformers


def split_parameters(network: SpTGNN) -> tuple[list[tuple[str, nn.Parameter]], ...]:
    """Return the named parameters of the graph network, and of the image encoders."""
    named = list(network.named_parameters())
    return (
        [pair for pair in named if not pair[0].startswith("image_encoders.")],
        [pair for pair in named if pair[0].startswith("image_encoders.")],
    )


def parameter_groups(
    network: SpTGNN,
    *,
    learning_rate: float,
    weight_decay: float,
    encoder_learning_rate: float,
    layer_decay: float,
) -> list[dict[str, Any]]:
    """Return groups for AdamW, with their learning rates and decays.

    Offsets, gains and slopes are not shrunk, which would only bias them. The stages of an encoder
    learn the slower the lower they are (layer-wise decay; Howard & Ruder 2018, section 3.2).
    """
    spared = ("bias", "gain", "offset", "slope_change")
    own, encoders = split_parameters(network)
    groups = [
        {
            "params": [p for name, p in own if name.endswith(spared) is flag],
            "weight_decay": 0.0 if flag else weight_decay,
            "lr": learning_rate,
        }
        for flag in (False, True)
    ]
    stages: dict[int, list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in encoders:
        stages.setdefault(int(name.split(".")[2]), []).append((name, parameter))
    for stage, members in stages.items():
        below_last = max(stages) - stage
        for flag in (False, True):
            # Member axis included, matrices have three axes; norms and offsets have fewer.
            chosen = [p for _, p in members if (p.dim() < 3) is flag]
            if chosen:
                groups.append(
                    {
                        "params": chosen,
                        "weight_decay": 0.0 if flag else _ENCODER_DECAY,
                        "lr": encoder_learning_rate * layer_decay**below_last,
                    }
                )
    return groups


def one_cycle(peaks: list[float], total_steps: int) -> LRScheduler:
    """Return one rise and fall of all rates to their peaks (Smith & Topin 2019)."""
    return LRScheduler(
        policy=torch.optim.lr_scheduler.OneCycleLR,
        max_lr=peaks,
        # The policy divides by the length of its phases: a run of a few steps gets a longer cycle.
        total_steps=max(total_steps + 1, 12),
        pct_start=0.2,
        step_every="batch",
    )
