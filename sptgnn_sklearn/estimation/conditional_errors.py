"""Errors of estimates after further samples, by conditioning joint draws on them."""

from __future__ import annotations

import numpy as np

__all__ = ["ConditionalErrors", "residual_variance"]

_LEAST_VARIANCE = 1e-6  # of a sample that can still be taken, relative to that before


class ConditionalErrors:
    """Errors of estimates and of possible samples, conditioned on samples one after the other.

    A sample makes the error at its location known, and with it the part of all other errors that is
    correlated with it. Errors are rows of joint draws, and conditioning is the removal of a
    direction from the space of the draws: simple kriging of the errors with the covariance of the
    draws.

    Parameters
    ----------
    candidates : ndarray of shape (m, s)
        Draws of the errors at possible samples.
    targets : ndarray of shape (k, s) or None
        Draws of the errors of estimates, whose mean variance is the criterion.
    gram : ndarray of shape (s, s), default=None
        In place of `targets`, the mean of the products of the draws of cells, whose mean variance
        is the criterion.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.estimation.conditional_errors import ConditionalErrors
    >>> rng = np.random.default_rng(0)
    >>> places = rng.normal(size=(3, 50_000))
    >>> errors = ConditionalErrors(places, targets=(places[0] + 2 * places[1])[None])
    >>> errors.gains().round(1).tolist(), round(errors.variance(), 1)
    ([1.0, 4.0, 0.0], 5.0)
    >>> errors.condition(1)
    >>> round(errors.variance(), 1)
    1.0
    """

    def __init__(
        self,
        candidates: np.ndarray,
        targets: np.ndarray | None,
        gram: np.ndarray | None = None,
    ) -> None:
        self._candidates = _centered(candidates)
        self._targets = None if targets is None else _centered(targets)
        self._gram = gram
        self._norms = np.einsum("ij,ij->i", self._candidates, self._candidates)
        self._least = _LEAST_VARIANCE * self._norms
        self._free = candidates.shape[1] - 1  # degrees of freedom of the draws
        self._initial = self._sum_of_squares()

    def variance(self) -> float:
        """Return the mean variance of the errors of the estimates; 0 if they are known."""
        found = self._sum_of_squares()
        return 0.0 if found <= _LEAST_VARIANCE**2 * self._initial else found / self._free

    def _sum_of_squares(self) -> float:
        if self._targets is not None:
            return float(np.sum(self._targets**2) / len(self._targets))
        assert self._gram is not None
        return float(np.trace(self._gram))

    def gains(self) -> np.ndarray:
        """Return by how much (m,) each candidate lowers the variance; 0 for known errors."""
        if self._targets is not None:
            shared = self._candidates @ self._targets.T
            lowered = np.mean(shared**2, axis=1)
        else:
            lowered = np.einsum("ij,ij->i", self._candidates @ self._gram, self._candidates)
        taken = self._norms <= self._least
        found = lowered / np.where(taken, 1.0, self._norms) / self._free
        return np.where(taken, 0.0, found)

    def condition(self, row: int) -> None:
        """Make the error at a candidate known."""
        self.condition_on(self._candidates[[row]])

    def condition_on(self, draws: np.ndarray) -> None:
        """Make errors with some draws (k, s) known, which need not be those of candidates."""
        known = _centered(draws)
        known = known[np.linalg.norm(known, axis=1) > 0]
        if not len(known):
            return
        basis = np.linalg.qr(known.T)[0]
        self._candidates = _without(self._candidates, basis)
        if self._targets is not None:
            self._targets = _without(self._targets, basis)
        if self._gram is not None:
            self._gram = _without(_without(self._gram, basis).T, basis)
        self._norms = np.einsum("ij,ij->i", self._candidates, self._candidates)
        self._free = max(self._free - len(known), 1)


def residual_variance(target: np.ndarray, known: np.ndarray) -> float:
    """Return the variance of a target that known errors leave.

    Parameters
    ----------
    target : ndarray of shape (s,)
        Draws of the error of an estimate.
    known : ndarray of shape (k, s)
        Draws of known errors, fewer than draws.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.estimation.conditional_errors import residual_variance
    >>> first, second = np.random.default_rng(0).normal(size=(2, 5000))
    >>> round(residual_variance(first + second, first[None]), 1)
    1.0
    """
    target, known = _centered(target[None]), _centered(known)
    rest = _without(target, np.linalg.qr(known.T)[0])[0]
    return float(rest @ rest) / (len(rest) - 1 - len(known))


def _centered(draws: np.ndarray) -> np.ndarray:
    return draws - draws.mean(axis=1, keepdims=True)


def _without(draws: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Return draws (n, s) without their projection on a basis (s, k)."""
    return draws - (draws @ basis) @ basis.T
