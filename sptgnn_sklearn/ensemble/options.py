"""Options of the ensemble: checks of the estimator's parameters and the objects made from them."""

from __future__ import annotations

import warnings
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from ..encoders.terramind_images import TerraMindImages, as_terramind_images
from ..network.config import NetworkConfig
from ..spatial.blocks import location_ids
from ..table.schema import SampleTable
from ..training.config import TrainingConfig

__all__ = [
    "RELATIONS",
    "check_parameters",
    "reachable_neighbors",
    "similarity_kind",
    "training_config",
]

RELATIONS = ("spatial", "spectral", "elevation")


def check_parameters(model: Any) -> tuple[NetworkConfig, TerraMindImages | None]:
    """Check parameters of SpTGNNRegressor against each other.

    Parameters
    ----------
    model : SpTGNNRegressor
        Its parameters have passed ``_parameter_constraints``.

    Returns
    -------
    network : NetworkConfig
        The parameter `network`, or the defaults.
    images : TerraMindImages or None

    Raises
    ------
    ValueError
        If values are unknown or exclude each other; the message names the parameter.
    """
    odd = [name for name in model.relations if name not in RELATIONS]
    if odd:
        raise ValueError(f"relations has the unknown values {odd}; choose from {RELATIONS}.")
    if model.target_bounds is not None:
        sides = [side for side in model.target_bounds if side is not None]
        numbers = all(isinstance(side, Real) for side in sides)
        if len(model.target_bounds) != 2 or not numbers or sides != sorted(set(sides)):
            raise ValueError(
                f"target_bounds={model.target_bounds!r} must be (low, high) with low below high; "
                "None leaves a side open."
            )
    if model.callbacks:
        from ..training.callbacks import check_callbacks

        check_callbacks(model.callbacks)
    network = NetworkConfig() if model.network is None else model.network
    network.validate()
    images = as_terramind_images(model.images)
    if images is None:
        if isinstance(model.spectral, str) and model.spectral in ("embeddings", "indices"):
            raise ValueError(f"spectral={model.spectral!r} needs images, but images=None.")
    else:
        images.validate()
        if images.fine_tune and "imagery" not in network.streams:
            raise ValueError(
                f"fine_tune={images.fine_tune} needs the stream 'imagery', but "
                f"streams={network.streams!r}."
            )
    if model.checkpoint_dir is not None and model.random_state is None:
        raise ValueError(
            "checkpoint_dir requires random_state: a checkpoint is only valid for an identical "
            "fit. Set random_state to an integer."
        )
    return network, images


def training_config(
    model: Any, network: NetworkConfig, images: TerraMindImages | None
) -> TrainingConfig:
    """Return the training configuration of SpTGNNRegressor."""
    encoder: dict[str, Any] = {}
    if images is not None:
        encoder = {
            "encoder_learning_rate": images.peak_learning_rate,
            "layer_decay": images.stage_decay,
            "augment": images.augment,
        }
    return TrainingConfig(
        max_epochs=model.max_epochs,
        batch_size=model.batch_size,
        learning_rate=model.learning_rate,
        weight_decay=network.weight_decay,
        n_iter_no_change=model.n_iter_no_change,
        beta=network.beta,
        moran_weight=network.moran_weight,
        callbacks=tuple(model.callbacks or ()),
        verbose=int(model.verbose),
        checkpoints=None if model.checkpoint_dir is None else Path(model.checkpoint_dir),
        **encoder,
    )


def similarity_kind(spectral: Any) -> str | None:
    """Return what spectral similarity is computed from; a list of columns counts as covariates."""
    return spectral if spectral is None or isinstance(spectral, str) else "covariates"


def reachable_neighbors(table: SampleTable, n_neighbors: int) -> int:
    """Return `n_neighbors`, reduced with a warning to the number of other locations."""
    others = len(np.unique(location_ids(table.coordinates, table.site))) - 1
    if 0 < others < n_neighbors:
        warnings.warn(
            f"n_neighbors={n_neighbors} is larger than the number of other locations, {others}; "
            f"n_neighbors={others} is used. Scores and intervals from fewer than about 50 "
            "locations are hardly reliable.",
            UserWarning,
            stacklevel=4,
        )
    return max(1, min(n_neighbors, others))
