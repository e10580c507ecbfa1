"""AdamW parameter groups and the one-cycle learning rate schedule."""

from __future__ import annotations

from typing import Any

import torch
from skorch.callbacks import LRScheduler
from torch import nn

from ..network.sptgnn import SpTGNN

_ENCODER_DECAY = 0.05  # weight decay, as is usual in fine-tuning of vision transformers


def split_parameters(network: SpTGNN) -> tuple[list[tuple[str, nn.Parameter]], ...]:
    """Return the named parameters of the graph network and of the image encoders."""
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
    """Return parameter groups for AdamW with their learning rates and weight decays.

    Biases, gains, offsets and slopes have no weight decay. Learning rates of an encoder's stages
    decrease from the last to the first (layer-wise decay; Howard & Ruder 2018, section 3.2).
    """
    no_decay = ("bias", "gain", "offset", "slope_change")
    graph_network, encoders = split_parameters(network)
    groups = [
        {
            "params": [p for name, p in graph_network if name.endswith(no_decay) is excluded],
            "weight_decay": 0.0 if excluded else weight_decay,
            "lr": learning_rate,
        }
        for excluded in (False, True)
    ]
    stages: dict[int, list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in encoders:
        stages.setdefault(int(name.split(".")[2]), []).append((name, parameter))
    for stage, parameters in stages.items():
        below_last = max(stages) - stage
        for excluded in (False, True):
            # With the member axis, matrices have three axes; norms and biases have fewer.
            chosen = [p for _, p in parameters if (p.dim() < 3) is excluded]
            if chosen:
                groups.append(
                    {
                        "params": chosen,
                        "weight_decay": 0.0 if excluded else _ENCODER_DECAY,
                        "lr": encoder_learning_rate * layer_decay**below_last,
                    }
                )
    return groups


def one_cycle(peaks: list[float], total_steps: int) -> LRScheduler:
    """Return the one-cycle schedule of all groups with their peak rates (Smith & Topin 2019)."""
    return LRScheduler(
        policy=torch.optim.lr_scheduler.OneCycleLR,
        max_lr=peaks,
        # OneCycleLR divides by the length of its phases, so very short runs need a longer cycle.
        total_steps=max(total_steps + 1, 12),
        pct_start=0.2,
        step_every="batch",
    )
