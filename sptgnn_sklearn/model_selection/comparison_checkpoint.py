"""Checkpoint of `compare_models`: the predictions of each finished fit, in one file per fit.

The file name is a digest of everything that the predictions depend on: the parameters of the model,
the table, the target, the rows of the fold and the versions of the libraries. Another table or
model thus never finds the files of this one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.base import clone

from ..table.coordinate_columns import as_dataframe
from ..utils.safe_file import FileError, read, write
from .splits import Split

__all__ = ["ComparisonCheckpoint"]

_FILE_KIND = "comparison"
_VERSIONED = ("sptgnn-sklearn", "numpy", "scikit-learn", "xgboost", "torch")


@dataclass(frozen=True)
class ComparisonCheckpoint:
    """Folder with the predictions of finished fits.

    Attributes
    ----------
    folder : Path
    table : str
        Digest of the table, the target and the versions of the libraries.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sklearn.dummy import DummyRegressor
    >>> from sptgnn_sklearn.model_selection.comparison_checkpoint import ComparisonCheckpoint
    >>> X, y, split = np.zeros((4, 2)), np.arange(4.0), (np.arange(2), np.arange(2, 4))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = ComparisonCheckpoint.open(folder, X, y)
    ...     path = checkpoint.path(DummyRegressor(), split, 0.9)
    ...     checkpoint.save(path, np.ones((2, 4)), 0.5)
    ...     checkpoint.load(path, 2)[1]
    0.5
    """

    folder: Path
    table: str

    @classmethod
    def open(cls, folder: str | os.PathLike[str], X: Any, y: np.ndarray) -> ComparisonCheckpoint:
        """Create the folder if needed, and digest the table.

        Raises
        ------
        ValueError
            If the path is that of a file, or the folder cannot be created.
        """
        path = Path(folder)
        if path.exists() and not path.is_dir():
            raise ValueError(f"checkpoint must be a folder; {str(path)!r} is a file.")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"checkpoint folder {str(path)!r} cannot be created: {error}"
            ) from error
        frame = as_dataframe(X)
        columns = [
            # Contiguous, because a digest depends on the strides.
            (str(label), str(column.dtype), np.ascontiguousarray(column.to_numpy()))
            for label, column in frame.items()
        ]
        return cls(path, joblib.hash((columns, y, _versions())))

    def path(self, model: Any, split: Split, coverage: float) -> Path:
        """Return the path of the file of a fit.

        Parameters
        ----------
        model : estimator
        split : pair of ndarray
            Training and test rows.
        coverage : float
            Nominal coverage of its intervals.

        Raises
        ------
        ValueError
            If the model cannot be pickled.
        """
        try:
            digest = joblib.hash((clone(model), *split, coverage, self.table))
        except Exception as error:  # pickle raises errors of many types
            raise ValueError(
                f"checkpoint needs models that can be pickled; {type(model).__name__} cannot "
                f"({error}): define its functions in a module."
            ) from error
        return self.folder / f"{digest}.safetensors"

    def load(self, path: Path, n_rows: int) -> tuple[np.ndarray, float] | None:
        """Return the predictions (n_rows, 4) and the seconds of a fit; None if it is not finished.

        Raises
        ------
        FileError
            If the file is damaged or was not written by `save`.
        """
        if not path.exists():
            return None
        try:
            content, arrays = read(path, _FILE_KIND)
            predicted, seconds = arrays["predicted"], float(arrays["seconds"][0])
            if content != path.stem or predicted.shape != (n_rows, 4):
                raise FileError(f"{str(path)!r} holds another fit.")
        except (FileError, OSError, KeyError, IndexError, TypeError) as error:
            raise FileError(
                f"The checkpoint file {str(path)!r} is damaged or not one of compare_models: "
                f"delete it to repeat its fit ({error})."
            ) from error
        return predicted, seconds

    def save(self, path: Path, predicted: np.ndarray, seconds: float) -> None:
        """Write the predictions (n, 4) and the seconds of a fit atomically."""
        arrays = {"predicted": np.asarray(predicted, dtype=float), "seconds": np.array([seconds])}
        write(path, _FILE_KIND, path.stem, arrays)


def _versions() -> list[str]:
    found = []
    for name in _VERSIONED:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} none")
    return found
