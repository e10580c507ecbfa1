"""Neural networks for tables as baselines: TabM, RealMLP, TabICL and TabPFN.

TabM and RealMLP (pytabkit) are trained on the rows. TabICL and TabPFN are pretrained and need a
checkpoint file; nothing is downloaded.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin

_FEW_ROWS = 1000  # below, five cross-validation models are averaged
MISSING_LEVEL = "missing"


def import_extra(name: str) -> Any:
    """Import a module of the extra "bench".

    Raises
    ------
    SystemExit
        If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"{name} cannot be imported ({error}). Install it, for example with the extra 'bench': "
            "pip install 'sptgnn-sklearn[bench]'."
        ) from error


class TextCategories(TransformerMixin, BaseEstimator):
    """Transformer of categories to text with a level for missing values.

    Parameters
    ----------
    impute : bool, default=False
        Whether to replace missing numbers by the median of the training rows.
    """

    def __init__(self, impute=False):
        self.impute = impute

    def fit(self, X: pd.DataFrame, y=None):
        """Compute the medians of the numeric columns."""
        self.medians_ = X.median(numeric_only=True).fillna(0.0)
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return a table without missing categories."""
        names = category_columns(X)
        text = {
            name: X[name].astype(object).where(X[name].notna(), MISSING_LEVEL) for name in names
        }
        X = X.assign(**text)
        return X.fillna(self.medians_) if self.impute else X


def category_columns(X: pd.DataFrame) -> list[str]:
    """Return the names of the columns with text or categories."""
    return [name for name, dtype in X.dtypes.items() if not pd.api.types.is_numeric_dtype(dtype)]


class TrainedNetwork(RegressorMixin, BaseEstimator):
    """TabM (Gorishniy et al. 2025) or RealMLP (Holzmueller et al. 2024) with its tuned defaults.

    Below 1,000 rows the predictions of five models are averaged, one for each fold that stops its
    training; otherwise a fifth of the rows stops the training of one model.

    Parameters
    ----------
    name : {"TabM_D_Regressor", "RealMLP_TD_Regressor"}
        Class of pytabkit.
    threads : int, default=1
    random_state : int, default=0
    """

    def __init__(self, name, threads=1, random_state=0):
        self.name = name
        self.threads = threads
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> TrainedNetwork:
        """Fit on a table with missing values and categories."""
        network = getattr(_import_pytabkit(), self.name)(
            device="cpu",
            n_cv=5 if len(X) < _FEW_ROWS else 1,
            n_threads=self.threads,
            random_state=self.random_state,
        )
        self.filler_ = TextCategories(impute=True).fit(X)
        filled = self.filler_.transform(X)
        self.network_ = network.fit(filled, y, cat_col_names=category_columns(filled))
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Predict the mean."""
        return np.ravel(self.network_.predict(self.filler_.transform(X)))


class PretrainedNetwork(RegressorMixin, BaseEstimator):
    """TabICL (Qu et al. 2026) or TabPFN (Hollmann et al. 2025) from a checkpoint file.

    Parameters
    ----------
    name : {"tabicl", "tabpfn"}
        Package.
    checkpoint : path
    threads : int, default=1
    random_state : int, default=0
    """

    def __init__(self, name, checkpoint, threads=1, random_state=0):
        self.name = name
        self.checkpoint = checkpoint
        self.threads = threads
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> PretrainedNetwork:
        """Load the checkpoint and keep the training rows as context."""
        path = Path(self.checkpoint)
        if not path.is_file():
            raise SystemExit(f"--{self.name}-checkpoint: file {path} does not exist.")
        package = import_extra(self.name)
        settings = {"model_path": path, "device": "cpu", "random_state": self.random_state}
        if self.name == "tabicl":
            network = package.TabICLRegressor(
                allow_auto_download=False, n_jobs=self.threads, **settings
            )
        else:
            network = package.TabPFNRegressor(ignore_pretraining_limits=True, **settings)
        self.filler_ = TextCategories().fit(X)
        self.network_ = network.fit(self.filler_.transform(X), y)
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Predict the mean."""
        return np.asarray(self.network_.predict(self.filler_.transform(X)), dtype=float)


def _import_pytabkit() -> Any:
    try:
        return import_extra("pytabkit")
    except RuntimeError as error:
        # A torchvision built for another torch, which torchmetrics imports.
        if "torchvision::" not in str(error):
            raise
        from sptgnn_sklearn.encoders.terramind import import_registry

        import_registry()  # declares the operators that this torchvision lacks
        return import_extra("pytabkit")
