"""`TerraMindImages`: the image columns of X, their encoder, and how the encoder is tuned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from os import PathLike
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, Options, StrOptions

from ..utils.documentation_link import DocumentationLink
from ..utils.parameter_names import ParameterNames

__all__ = ["TerraMindImages", "as_terramind_images"]


@dataclass(repr=False, eq=False)
class TerraMindImages(DocumentationLink, ParameterNames, BaseEstimator):
    """Image columns and the TerraMind encoder that turns them into embeddings.

    Passed as ``SpTGNNRegressor(images=TerraMindImages(...))``. It has `get_params`, so that a
    search reaches each parameter as ``images__fine_tune``.

    Parameters
    ----------
    columns : mapping of str to label, position or ImageColumn
        Columns of chip paths (GeoTIFF or ``.npy``) by modality. TerraMind's modalities are "S2L2A",
        "S2L1C", "S1GRD", "S1RTC", "DEM" and "RGB"; any other name is a new modality, whose patch
        embedding starts from random weights. Rows may lack any image. Requires the extra "images".
    encoder : str, default="terramind_v1_tiny"
        "terramind_v1_tiny", "_small", "_base" or "_large", built by terratorch.
    weights : "pretrained", path or None, default="pretrained"
        "pretrained" downloads the published weights from the Hugging Face hub; a path is a local
        checkpoint; None starts from random weights.
    sha256 : str, default=None
        Expected SHA-256 of the file of weights, in hexadecimal digits. Other files are rejected
        before they are read.
    chip_size : int, default=None
        Height and width of the encoder's input in pixels, a multiple of 16. Larger chips are
        center-cropped, smaller ones padded by reflection. None takes the size of the chips, at most
        224.
    fine_tune : bool or int, default=False
        Whether the encoder is trained with the network: all of it, or its last `fine_tune` blocks.
        Each ensemble member tunes its own copy. False computes embeddings once and caches them.
    learning_rate : float, default=None
        Peak learning rate of the last encoder stage. None is 1e-4, or 1e-3 from random weights.
    layer_decay : float, default=None
        Factor between the learning rates of an encoder stage and of the stage below it. None is
        0.75, or 1 from random weights.
    augment : bool, default=True
        Whether chips are rotated and mirrored at random while the encoder is tuned.
    gradient_checkpointing : bool, default=False
        Recompute the encoder's activations in the backward pass to save memory.
    cache_dir : path, None or False, default=None
        Folder of cached embeddings. None is "sptgnn_sklearn" in the user's cache folder, or the
        environment variable SPTGNN_CACHE. False caches nothing.
    on_error : {"raise", "ignore"}, default="raise"
        What to do with unreadable files; "ignore" warns and treats the image as missing.

    Examples
    --------
    >>> from sptgnn_sklearn import SpTGNNRegressor, TerraMindImages
    >>> images = TerraMindImages({"S2L2A": "s2_path"}, weights=None)
    >>> model = SpTGNNRegressor(images=images).set_params(images__fine_tune=2)
    >>> model.images.fine_tune
    2
    """

    columns: Any
    encoder: str = field(default="terramind_v1_tiny", kw_only=True)
    weights: Any = field(default="pretrained", kw_only=True)
    sha256: str | None = field(default=None, kw_only=True)
    chip_size: int | None = field(default=None, kw_only=True)
    fine_tune: bool | int = field(default=False, kw_only=True)
    learning_rate: float | None = field(default=None, kw_only=True)
    layer_decay: float | None = field(default=None, kw_only=True)
    augment: bool = field(default=True, kw_only=True)
    gradient_checkpointing: bool = field(default=False, kw_only=True)
    cache_dir: Any = field(default=None, kw_only=True)
    on_error: str = field(default="raise", kw_only=True)

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "columns": [Mapping],
        "encoder": [str],
        "weights": [str, PathLike, None],
        "sha256": [str, None],
        "chip_size": [Interval(Integral, 16, None, closed="left"), None],
        "fine_tune": ["boolean", Interval(Integral, 0, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "layer_decay": [Interval(Real, 0, 1, closed="right"), None],
        "augment": ["boolean"],
        "gradient_checkpointing": ["boolean"],
        "cache_dir": [str, PathLike, Options(bool, {False}), None],
        "on_error": [StrOptions({"raise", "ignore"})],
    }

    def validate(self) -> None:
        """Raise ValueError if a parameter is out of range."""
        self._validate_params()

    @property
    def stages(self) -> bool | int:
        """Encoder stages to tune: True for all, else the number of last blocks; False for none."""
        whole = isinstance(self.fine_tune, bool | np.bool_)
        return bool(self.fine_tune) if whole else int(self.fine_tune)

    @property
    def peak_learning_rate(self) -> float:
        """Peak learning rate of the last stage, with the default filled in."""
        return self.learning_rate or (1e-3 if self.weights is None else 1e-4)

    @property
    def stage_decay(self) -> float:
        """Factor between the learning rates of neighboring stages, with the default filled in."""
        return self.layer_decay or (1.0 if self.weights is None else 0.75)


def as_terramind_images(images: Any) -> TerraMindImages | None:
    """Return the parameter `images` as TerraMindImages; a mapping stands for its columns.

    Parameters
    ----------
    images : None, mapping of str to label, position or ImageColumn, or TerraMindImages

    Examples
    --------
    >>> from sptgnn_sklearn.encoders.terramind_images import as_terramind_images
    >>> as_terramind_images({"DEM": "dem_path"}).columns
    {'DEM': 'dem_path'}
    """
    if images is None or isinstance(images, TerraMindImages):
        return images
    return TerraMindImages(images)
