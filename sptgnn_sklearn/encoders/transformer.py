"""`TerraMindEmbedder`: embeddings of chips for any estimator, as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from os import PathLike
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from ..table.coordinate_columns import as_dataframe, find_column
from ..table.image_columns import image_columns
from ..table.parsing import read_paths
from ..utils.device import choose_device
from .embedder import ChipEmbedder

__all__ = ["TerraMindEmbedder"]


class TerraMindEmbedder(TransformerMixin, BaseEstimator):
    """Turn columns of chip paths into TerraMind embeddings.

    It is what `SpTGNNRegressor` does with its ``images`` before training, for use with other
    regressors: embeddings are computed once and kept on disk. TerraMind [1]_ comes through
    terratorch; the extra "images" has to be installed.

    Parameters
    ----------
    images : mapping of str to label, position or ImageColumn
        Columns of chip paths by modality, as in `SpTGNNRegressor`.
    chip_size : int, default=None
        Pixels on a side that the encoder sees, a multiple of 16. None takes the size of the chips,
        at most 224.
    encoder : str, default="terramind_v1_tiny"
        "terramind_v1_tiny", "_small", "_base" or "_large".
    encoder_weights : "pretrained", path or None, default="pretrained"
        None is random weights.
    encoder_sha256 : str, default=None
        SHA-256 in hexadecimal digits that the file of weights must have.
    cache_dir : path, None or False, default=None
        Where embeddings are kept; None is the user's cache folder, False keeps none.
    on_image_error : {"raise", "ignore"}, default="raise"
        What to do with a file that cannot be used.
    device : str, default="auto"
    n_jobs : int, default=None
        Threads that read files.
    verbose : int, default=0
        1: a progress bar.

    Attributes
    ----------
    embedder_ : ChipEmbedder
    columns_ : dict of str to label
        Column of each modality.
    n_features_in_ : int
    feature_names_in_ : ndarray of str

    References
    ----------
    .. [1] Jakubik et al. TerraMind: large-scale generative multimodality for Earth observation.
       arXiv:2504.11171, 2025.

    Examples
    --------
    Beside XGBoost, with the other columns passed through:

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
        "encoder_weights": [str, PathLike, None],
        "encoder_sha256": [str, None],
        "cache_dir": [str, PathLike, "boolean", None],
        "on_image_error": [StrOptions({"raise", "ignore"})],
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
        encoder_weights="pretrained",
        encoder_sha256=None,
        cache_dir=None,
        on_image_error="raise",
        device="auto",
        n_jobs=None,
        verbose=0,
    ):
        self.images = images
        self.chip_size = chip_size
        self.encoder = encoder
        self.encoder_weights = encoder_weights
        self.encoder_sha256 = encoder_sha256
        self.cache_dir = cache_dir
        self.on_image_error = on_image_error
        self.device = device
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X, y=None):
        """Build the encoder and learn what the columns hold.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Columns other than those of `images` are not looked at.
        y : ignored

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
        columns = image_columns(self.images)
        self.columns_ = {
            name: find_column(frame, column.column, f"images[{name!r}]")
            for name, column in columns.items()
        }
        self.embedder_ = ChipEmbedder.fit(
            self._paths(frame),
            columns,
            self.columns_,
            encoder=self.encoder,
            weights=self.encoder_weights,
            sha256=self.encoder_sha256,
            chip_size=self.chip_size,
            on_error=self.on_image_error,
            cache_dir=self.cache_dir,
            device=choose_device(self.device),
            n_jobs=self.n_jobs,
            verbose=int(self.verbose),
        )
        return self

    def transform(self, X):
        """Compute embeddings.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, width), float32
            NaN in rows without any image. With ``set_output(transform="pandas")`` a DataFrame.
        """
        check_is_fitted(self)
        embedding, _ = self.embedder_.embed(self._paths(self._frame(X, reset=False)))
        return embedding

    def get_feature_names_out(self, input_features=None):
        """Return the names terramind_0, terramind_1, ... of the columns of the output.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Checked against the names of fit.

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

    def _paths(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        return {name: read_paths(frame[label]) for name, label in self.columns_.items()}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        return tags
