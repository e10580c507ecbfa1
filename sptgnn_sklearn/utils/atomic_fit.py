"""Decorator that makes ``fit`` all or nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

__all__ = ["atomic_fit"]


def atomic_fit(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate ``fit`` so that an estimator changes only if the whole fit succeeds.

    The fit runs on a shallow copy, whose attributes replace those of the estimator at the end, in
    one assignment. If fit raises anything, also KeyboardInterrupt, the estimator stays as it was:
    not fitted, or with all attributes of the previous fit.

    Parameters
    ----------
    fit : function ``(self, X, ...) -> self``

    Returns
    -------
    function
        It returns the estimator itself, also if `fit` returns the copy.

    Notes
    -----
    Attributes that others set on the estimator during the fit, such as a callback, are kept.

    Examples
    --------
    >>> from sptgnn_sklearn.utils.atomic_fit import atomic_fit
    >>> class Estimator:
    ...     @atomic_fit
    ...     def fit(self, X):
    ...         self.n_features_in_ = len(X[0])
    ...         self.reciprocal_ = 1 / X[0][0]
    ...         return self
    >>> model = Estimator()
    >>> model.fit([[0]])
    Traceback (most recent call last):
        ...
    ZeroDivisionError: division by zero
    >>> vars(model)
    {}
    >>> vars(model.fit([[2]]))
    {'n_features_in_': 1, 'reciprocal_': 0.5}
    """

    @wraps(fit)
    def fit_copy(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = dict(vars(self))
        copy = object.__new__(type(self))
        vars(copy).update(before)
        fit(copy, *args, **kwargs)
        set_by_others = {
            name: value
            for name, value in vars(self).items()
            if name not in before or value is not before[name]
        }
        # A single assignment, because Ctrl-C may be pressed at any time.
        self.__dict__ = {**vars(copy), **set_by_others}
        return self

    return fit_copy
