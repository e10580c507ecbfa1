"""Models and folds of `compare_models`, in each form in which they may be given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import GroupKFold

from ..utils.messages import did_you_mean
from ..utils.validation import require_count
from .block_kfold import SpatialBlockKFold
from .splits import Split, read_folds

__all__ = ["FOLD_NAMES", "named_folds", "named_models"]

FOLD_NAMES = ("random", "block", "spatial")
_N_SPLITS = 5


def named_models(models: Any) -> dict[str, Any]:
    """Return models by name.

    Parameters
    ----------
    models : estimator, mapping of str to estimator or sequence of (str, estimator)
        A single estimator has the name of its class.

    Raises
    ------
    ValueError
        If there is no model, a name is not a string or occurs twice, or a model is not an estimator
        with ``fit`` and ``predict``.

    Examples
    --------
    >>> from sklearn.dummy import DummyRegressor
    >>> from sptgnn_sklearn.model_selection.comparison_inputs import named_models
    >>> named_models(DummyRegressor()), named_models([("mean", DummyRegressor())])
    ({'DummyRegressor': DummyRegressor()}, {'mean': DummyRegressor()})
    """
    if hasattr(models, "fit") or isinstance(models, type):
        models = {type(models).__name__: models}
    elif isinstance(models, list | tuple):
        pairs = [pair for pair in models if isinstance(pair, list | tuple) and len(pair) == 2]
        if len(pairs) < len(models):
            other = next(entry for entry in models if entry not in pairs)
            raise ValueError(
                f"models as a list must hold (name, estimator) pairs; found {other!r}: write "
                f"{{'A': {type(other).__name__}()}} or [('A', {type(other).__name__}())]."
            )
        names = [name for name, _ in pairs]
        repeated = [name for name in names if names.count(name) > 1]
        if repeated:
            raise ValueError(f"models has the name {repeated[0]!r} twice; names must differ.")
        models = {name: model for name, model in pairs}
    elif not isinstance(models, Mapping):
        raise ValueError(
            "models must be an estimator, a mapping of names to estimators, or a list of (name, "
            f"estimator) pairs; found {models!r}."
        )
    if not models:
        raise ValueError("models must not be empty; found 0 models.")
    for name, model in models.items():
        if not isinstance(name, str):
            raise ValueError(f"models must be named by strings; found {name!r}.")
        if isinstance(model, type):
            raise ValueError(
                f"models[{name!r}] is the class {model.__name__}: pass an instance, "
                f"{model.__name__}()."
            )
        if not (hasattr(model, "fit") and hasattr(model, "predict")):
            raise ValueError(
                f"models[{name!r}] must be a regressor with fit and predict; found {model!r}."
            )
    return dict(models)


def named_folds(
    folds: Any,
    X: Any,
    y: np.ndarray,
    locations: np.ndarray,
    *,
    coordinates: Sequence[Any] | None = None,
    crs: Any = None,
    random_state: Any = 0,
) -> dict[str, list[Split]]:
    """Return the training and test rows of each kind of folds by name.

    Parameters
    ----------
    folds : int, str, cv, sequence of str or mapping of str to any of these
        An int is the number of random folds of whole locations. "random" is five of these, "block",
        or "spatial", the five folds of `SpatialBlockKFold`. Others are read by
        `splits.read_folds`.
    X : DataFrame or array-like of shape (n, p)
    y : ndarray of shape (n,)
    locations : ndarray of shape (n,)
        Location of each row; rows of one location share a fold in random folds.
    coordinates, crs
        Coordinates of block folds.
    random_state : int, RandomState or None, default=0
        Seed of random and block folds.

    Raises
    ------
    ValueError
        If a name is unknown, or some folds do not test each row exactly once.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.model_selection.comparison_inputs import named_folds
    >>> X, y = np.random.default_rng(0).uniform(size=(30, 2)), np.zeros(30)
    >>> found = named_folds(["random", "block"], X, y, np.arange(30))
    >>> {name: len(splits) for name, splits in found.items()}
    {'random': 5, 'block': 5}
    """
    settings = {"coordinates": coordinates, "crs": crs, "random_state": random_state}

    def read(cv: Any, name: str) -> list[Split]:
        if isinstance(cv, str):
            cv = _named_splitter(cv, name, settings)
        elif isinstance(cv, bool):
            raise ValueError(f"{name} must be a splitter or a number of folds; found {cv!r}.")
        elif isinstance(cv, int | np.integer):
            require_count(name, cv, least=2)
            cv = GroupKFold(int(cv), shuffle=True, random_state=random_state)
        else:
            return read_folds(cv, X, y, complete=True, name=name)
        groups = locations if isinstance(cv, GroupKFold) else None
        return read_folds(cv, X, y, groups, complete=True, name=name)

    kinds, single = _kinds_of_folds(folds, len(y))
    return {name: read(cv, "folds" if single else f"folds[{name!r}]") for name, cv in kinds.items()}


def _kinds_of_folds(folds: Any, n_rows: int) -> tuple[dict[str, Any], bool]:
    """Return folds by name, and whether a single kind was given without a name."""
    if isinstance(folds, Mapping):
        if not folds:
            raise ValueError("folds must not be empty; found 0 kinds of folds.")
        for name in folds:
            if not isinstance(name, str):
                raise ValueError(f"folds must be named by strings; found {name!r}.")
        return dict(folds), False
    if isinstance(folds, str):
        return {folds: folds}, True
    if isinstance(folds, int | np.integer) and not isinstance(folds, bool):
        return {"random": folds}, True
    if hasattr(folds, "split"):
        return {type(folds).__name__: folds}, True
    # As many names as rows are fold labels.
    if isinstance(folds, list | tuple) and len(folds) != n_rows:
        if not folds:
            raise ValueError("folds must not be empty; found 0 kinds of folds.")
        if all(isinstance(name, str) for name in folds):
            return {name: name for name in folds}, False
    return {"folds": folds}, True


def _named_splitter(kind: str, name: str, settings: dict[str, Any]) -> Any:
    if kind not in FOLD_NAMES:
        raise ValueError(
            f"{name} must be one of {', '.join(FOLD_NAMES)}, a number of folds, a splitter, fold "
            f"labels or (train, test) pairs; found {kind!r}{did_you_mean(kind, FOLD_NAMES)}"
        )
    if kind == "random":
        return GroupKFold(_N_SPLITS, shuffle=True, random_state=settings["random_state"])
    return SpatialBlockKFold(_N_SPLITS, **settings)
