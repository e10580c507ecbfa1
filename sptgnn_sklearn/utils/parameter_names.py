"""Errors about parameter names that an estimator does not have."""

from __future__ import annotations

from typing import Any

from .messages import did_you_mean

__all__ = ["ParameterNames"]

# Names in other libraries.
_SYNONYMS = {
    "n_members": "n_estimators",
    "ensemble_size": "n_estimators",
    "epochs": "max_epochs",
    "n_epochs": "max_epochs",
    "lr": "learning_rate",
    "seed": "random_state",
    "k": "n_neighbors",
    "n_neighbours": "n_neighbors",
    "patience": "n_iter_no_change",
    "hidden_dim": "hidden_size",
    "date": "time",
}


class ParameterNames:
    """Mixin whose ``set_params`` offers similar names for an unknown parameter.

    It precedes `BaseEstimator` among the bases of a class. Nested parameters are checked by the
    objects that have them.

    Examples
    --------
    >>> from sptgnn_sklearn import XGBoostBaseline
    >>> XGBoostBaseline().set_params(max_dept=3)
    Traceback (most recent call last):
        ...
    ValueError: Invalid parameter 'max_dept' for estimator XGBoostBaseline; did you mean ...
    """

    def set_params(self, **params: Any) -> Any:
        """Set parameters, also nested ones such as ``network__hidden_size``.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is unknown; the message has similar names, or else all names.
        """
        known = list(self.get_params(deep=False))  # type: ignore[attr-defined]
        for name in params:
            own = name.partition("__")[0]
            if own not in known:
                synonyms = {other: mine for other, mine in _SYNONYMS.items() if mine in known}
                hint = did_you_mean(own, known, synonyms)
                listed = f" Valid parameters are: {known!r}." if hint == "." else ""
                raise ValueError(
                    f"Invalid parameter {own!r} for estimator {type(self).__name__}{hint}{listed}"
                )
        return super().set_params(**params)  # type: ignore[misc]
