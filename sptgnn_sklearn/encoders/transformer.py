"""`TerraMindEmbedder`: a scikit-learn transformer from chip paths to TerraMind embeddings."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from numbers import Integral
from os import PathLike
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from ..table.column_parsing import read_paths
from ..table.coordinate_columns import as_dataframe, find_column
from ..table.image_columns import image_columns
from ..utils.atomic_fit import atomic_fit
from ..utils.device import choose_device
from ..utils.documentation_link import DocumentationLink
from ..utils.parameter_names import ParameterNames
from .embedder import ChipEmbedder
from .terramind_images import TerraMindImages

__all__ = ["TerraMindEmbedder"]


class TerraMindEmbedder(DocumentationLink, ParameterNames, TransformerMixin, BaseEstimator):
    """Transformer from columns of chip paths to TerraMind embeddings.

    It computes the same embeddings as `SpTGNNRegressor` with ``images``, for use with other
    regressors. Each embedding is computed once and cached on disk. TerraMind [1]_ is built by
    terratorch, which the extra "images" installs.

    Parameters
    ----------
    images : mapping of str to label, position or ImageColumn
        Columns of chip paths by modality, as in `SpTGNNRegressor`.
    chip_size : int, default=None
        Height and width of the encoder's input in pixels, a multiple of 16. None takes the size of
        the chips, at most 224.
    encoder : str, default="terramind_v1_tiny"
        "terramind_v1_tiny", "_small", "_base" or "_large".
    weights : "pretrained", path or None, default="pretrained"
        None starts from random weights.
    sha256 : str, default=None
        Expected SHA-256 of the file of weights, in hexadecimal digits.
    cache_dir : path, None or False, default=None
        Folder of cached embeddings; None is the user's cache folder, False caches nothing.
    on_error : {"raise", "ignore"}, default="raise"
        What to do with unreadable files; "ignore" warns and treats the image as missing.
    device : str, default="auto"
    n_jobs : int, default=None
        Threads that read files.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    embedder_ : ChipEmbedder
    columns_ : dict of str to label
        Column label by modality.
    n_features_in_ : int
    feature_names_in_ : ndarray of str

    References
    ----------
    .. [1] Jakubik et al. TerraMind: large-scale generative multimodality for Earth observation.
       arXiv:2504.11171, 2025.

    Examples
    --------
    Embeddings as features of XGBoost, with the other columns passed through:

    >>> from sklearn.compose import make_column_transformer
    >>> from sklearn.pipeline import make_pipeline
    >>> from xgboost import XGBRegressor
    >>> from sptgnn_sklearn import TerraMindEmbedder
    >>> chips = TerraMindEmbedder({"S2L2A": "s2_path"})
    >>> model = make_pipeline(
    ...     make_column_transformer((chips, ["s2_path"]), remainder="passthrough"), XGBRegressor()
    ... )
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "images": [Mapping],
        "chip_size": [Interval(Integral, 16, None, closed="left"), None],
        "encoder": [str],
        "weights": [str, PathLike, None],
        "sha256": [str, None],
        "cache_dir": [str, PathLike, Options(bool, {False}), None],
        "on_error": [StrOptions({"raise", "ignore"})],
        "device": [str],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        images,
        *,
        chip_size=None,
        encoder="terramind_v1_tiny",
        weights="pretrained",
        sha256=None,
        cache_dir=None,
        on_error="raise",
        device="auto",
        n_jobs=None,
        verbose=0,
    ):
        self.images = images
        self.chip_size = chip_size
        self.encoder = encoder
        self.weights = weights
        self.sha256 = sha256
        self.cache_dir = cache_dir
        self.on_error = on_error
        self.device = device
        self.n_jobs = n_jobs
        self.verbose = verbose

    @atomic_fit
    def fit(self, X, y=None):
        """Determine bands and chip size from X and build the encoder.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Columns other than those of `images` are ignored.
        y : None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a column, a file, the encoder or its weights cannot be used.
        """
        self._validate_params()
        frame = self._frame(X, reset=True)
        images = TerraMindImages(
            self.images,
            encoder=self.encoder,
            weights=self.weights,
            sha256=self.sha256,
            chip_size=self.chip_size,
            cache_dir=self.cache_dir,
            on_error=self.on_error,
        )
        columns = {
            name: find_column(frame, column.column, f"images[{name!r}]")
            for name, column in image_columns(images).items()
        }
        embedder = ChipEmbedder.fit(
            _read_columns(frame, columns),
            images,
            columns,
            device=choose_device(self.device),
            n_jobs=self.n_jobs,
            verbose=int(self.verbose),
        )
        self.columns_, self.embedder_ = columns, embedder
        return self

    def transform(self, X):
        """Compute the embeddings of X.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, width), float32
            NaN in rows without any image. A DataFrame after ``set_output(transform="pandas")``.
        """
        check_is_fitted(self)
        frame = self._frame(X, reset=False)
        embedding, _ = self.embedder_.embed(_read_columns(frame, self.columns_))
        return embedding

    def get_feature_names_out(self, input_features=None):
        """Return the output column names terramind_0, terramind_1, ...

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Checked against the column names seen in `fit`.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        _check_feature_names_in(self, input_features, generate_names=False)
        width = self.embedder_.encoder.width
        return np.array([f"terramind_{i}" for i in range(width)], dtype=object)

    def _frame(self, X: Any, reset: bool) -> pd.DataFrame:
        frame = as_dataframe(X)
        validate_data(
            self, frame if hasattr(X, "columns") else X, skip_check_array=True, reset=reset
        )
        return frame

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        return tags


def _read_columns(frame: pd.DataFrame, columns: Mapping[str, Hashable]) -> dict[str, np.ndarray]:
    """Return the chip paths (n,) of each modality."""
    return {name: read_paths(frame[label]) for name, label in columns.items()}
