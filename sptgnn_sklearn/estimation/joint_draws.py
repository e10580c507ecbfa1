"""Joint draws of a model at cells that come in several blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from ..meta_estimators import innermost_estimator, sample_y
from ..utils.messages import format_rows
from ..utils.validation import require_count
from .cells import ModelColumns

__all__ = [
    "DRAWS_PER_KNOWN_ERROR",
    "JointDraws",
    "check_draw_count",
    "check_samples_jointly",
    "derive_seed",
    "read_seed",
]

DRAWS_PER_KNOWN_ERROR = 5  # least number, as each known error takes a degree of freedom
_MAX_DIFFERENCE = 1e-3  # of two draws of a row with one seed, in standard deviations of its draws


class JointDraws:
    """Predictions and joint draws of a fitted model, block by block.

    Parameters
    ----------
    model : fitted regressor with ``sample_y``
        Optionally inside meta-estimators.
    n_samples : int
    seed : int
        The draws of all blocks are those of one joint draw of all cells, as `SpTGNNRegressor` draws
        with one seed.
    """

    def __init__(self, model: Any, n_samples: int, seed: int) -> None:
        check_samples_jointly(model)
        self.columns = ModelColumns.from_model(model)
        self._model, self.n_samples, self._seed = model, n_samples, seed
        self._first: tuple[Any, np.ndarray] | None = None
        self._is_checked = False

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the predicted means (n,) of cells."""
        found = np.asarray(self._model.predict(self.columns.select(frame)), dtype=np.float64)
        if found.size != len(frame):
            raise ValueError(
                f"predict of {self.columns.name} returns shape {found.shape} for {len(frame)} "
                "cells: models of several targets are not supported."
            )
        return self._check_finite("predict", found.reshape(len(frame)))

    def draw(self, *frames: pd.DataFrame) -> np.ndarray:
        """Return joint draws (n, n_samples) of the cells of one or more tables, in the unit of y.

        Raises
        ------
        ValueError
            If draws are not finite, or a row is drawn differently in another call.
        """
        parts = [self.columns.select(frame) for frame in frames]
        X = parts[0]
        if len(parts) > 1:
            is_table = isinstance(X, pd.DataFrame)
            X = pd.concat(parts, ignore_index=True) if is_table else np.concatenate(parts)
        draws = self._sample(X, sum(len(frame) for frame in frames))
        if self._first is None:
            last = X.iloc[[-1]] if isinstance(X, pd.DataFrame) else X[-1:]
            self._first = last, draws[-1]
        elif not self._is_checked:
            self._check_joint(*self._first)
            self._is_checked = True
        return self._check_finite("sample_y", draws)

    def _sample(self, X: Any, n_rows: int) -> np.ndarray:
        draws = sample_y(self._model, X, self.n_samples, random_state=self._seed)
        draws = np.asarray(draws, dtype=np.float64)
        if draws.shape != (n_rows, self.n_samples):
            raise ValueError(
                f"sample_y of {self.columns.name} returns shape {draws.shape}; expected "
                f"{(n_rows, self.n_samples)}."
            )
        return draws

    def _check_joint(self, row: Any, expected: np.ndarray) -> None:
        """Raise a ValueError unless a row of the first block has the same draws alone."""
        again = self._sample(row, 1)[0]
        allowed = _MAX_DIFFERENCE * expected.std() + 1e-6 * np.abs(expected).max()
        if np.abs(again - expected).max() > allowed:
            raise ValueError(
                f"sample_y of {self.columns.name} draws a row differently in another call with the "
                "same seed, so that errors would not be correlated between blocks: pass all cells "
                "as one table, with block_rows=len(cells)."
            )

    def _check_finite(self, method: str, values: np.ndarray) -> np.ndarray:
        missing = ~np.isfinite(values)
        if missing.any():
            rows = missing if missing.ndim == 1 else missing.any(axis=1)
            raise ValueError(
                f"{method} of {self.columns.name} is not finite in {format_rows(rows)} of a block "
                "of cells: drop these cells, or give them a weight of 0."
            )
        return values


def check_samples_jointly(model: Any) -> None:
    """Raise a TypeError unless a model has joint draws.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from sptgnn_sklearn.estimation.joint_draws import check_samples_jointly
    >>> check_samples_jointly(LinearRegression())
    Traceback (most recent call last):
        ...
    TypeError: LinearRegression has no sample_y: the error of a mean needs joint draws of its \
cells. Use SpTGNNRegressor, optionally inside a Pipeline, a search or a TransformedTargetRegressor.
    """
    inner = innermost_estimator(model)
    if not hasattr(inner, "sample_y"):
        raise TypeError(
            f"{type(inner).__name__} has no sample_y: the error of a mean needs joint draws of its "
            "cells. Use SpTGNNRegressor, optionally inside a Pipeline, a search or a "
            "TransformedTargetRegressor."
        )


def read_seed(random_state: Any) -> int:
    """Return an int seed, with which all blocks are drawn.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.estimation.joint_draws import read_seed
    >>> read_seed(3), read_seed(np.random.RandomState(0))
    (3, 209652396)
    """
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool):
        if not 0 <= random_state < 2**32:
            raise ValueError(f"random_state must be from 0 to 2**32 - 1; found {random_state}.")
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def derive_seed(seed: int, stream: int) -> int:
    """Return another seed, of draws that are independent of those of `seed`.

    Examples
    --------
    >>> from sptgnn_sklearn.estimation.joint_draws import derive_seed
    >>> derive_seed(0, 1) == derive_seed(0, 1), derive_seed(0, 1) == derive_seed(0, 2)
    (True, False)
    """
    return int(np.random.SeedSequence([seed, stream]).generate_state(1)[0] % (2**31 - 1))


def check_draw_count(n_samples: Any) -> int:
    """Return the number of draws, or raise a ValueError.

    Examples
    --------
    >>> from sptgnn_sklearn.estimation.joint_draws import check_draw_count
    >>> check_draw_count(1)
    Traceback (most recent call last):
        ...
    ValueError: n_samples must be an integer of at least 2; found 1.
    """
    require_count("n_samples", n_samples, least=2)
    return int(n_samples)
