"""Models side by side on held-out rows: accuracy, honesty of intervals, and structure left.

Each model predicts every row once, by a copy that was fitted without the row's fold. The scores are
taken from all of these predictions together, in the unit of the target.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import cpu_count, effective_n_jobs
from scipy.stats import norm
from sklearn.base import clone
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.utils import _safe_indexing
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from ..metrics import concordance_correlation, interval_coverage
from ..metrics.moran import residual_morans_i
from ..metrics.validation import aligned_vectors
from ..spatial.crs import SpatialReference
from ..table.coordinate_columns import locate_coordinates

__all__ = ["ComparisonResult", "compare_models"]

Split = tuple[np.ndarray, np.ndarray]
_PREDICTED = ["mean", "std", "lower", "upper"]


@dataclass(frozen=True)
class ComparisonResult:
    """What `compare_models` found.

    Attributes
    ----------
    table : DataFrame
        One row for each kind of folds and model, with the columns folds, model, R2, RMSE (unit of
        the target), CCC, moran_i (of the residuals), coverage (share of rows inside their
        interval; NaN for models that state none) and fit_seconds (mean wall time of one fit).
    predictions : DataFrame
        One row for each kind of folds, model and row of X, with the columns folds, model, fold,
        row (label of the row in X), x, y (its coordinates), observed, mean, std, lower and upper.
        The last three are NaN for models that state no uncertainty.
    level : float
        Nominal coverage of the intervals.
    frame : Frame
        What the coordinates mean.
    axes : tuple of two str
        Names of the coordinates.

    Examples
    --------
    >>> from sklearn.dummy import DummyRegressor
    >>> from sklearn.model_selection import KFold
    >>> from sptgnn_sklearn.model_selection.comparison import compare_models
    >>> from sptgnn_sklearn.datasets import load_meuse
    >>> meuse = load_meuse()
    >>> result = compare_models(
    ...     {"mean": DummyRegressor()},
    ...     meuse.data,
    ...     meuse.target,
    ...     {"random": KFold(5, shuffle=True, random_state=0)},
    ...     crs=meuse.crs,
    ...     progress=False,
    ... )
    >>> result.table["RMSE"].round(1).tolist()
    [3.4]
    >>> result.select("random", "mean")[["x", "y", "observed"]].head(2)
            x         y  observed
    0  181072.0  333611.0      13.6
    1  181025.0  333558.0      14.0
    """

    table: pd.DataFrame
    predictions: pd.DataFrame
    level: float
    frame: SpatialReference
    axes: tuple[str, str]

    def select(self, folds: str, model: str) -> pd.DataFrame:
        """Return the predictions of one model under one kind of folds, in the order of X.

        Raises
        ------
        ValueError
            If there is no such kind of folds or model.

        Examples
        --------
        See `compare_models`.
        """
        for column, name in (("folds", folds), ("model", model)):
            known = self.predictions[column].unique().tolist()
            if name not in known:
                raise ValueError(
                    f"{column}={name!r} is not in the comparison; choose from {known}."
                )
        chosen = (self.predictions["folds"] == folds) & (self.predictions["model"] == model)
        return self.predictions[chosen].reset_index(drop=True)

    def to_markdown(self) -> str:
        """Return the table as text that is also a Markdown table.

        Examples
        --------
        See `compare_models`.
        """
        formats = {
            "folds": ("folds", "{}"),
            "model": ("model", "{}"),
            "R2": ("R²", "{:.3f}"),
            "RMSE": ("RMSE", f"{{:.{_decimals(self.table['RMSE'])}f}}"),
            "CCC": ("CCC", "{:.3f}"),
            "moran_i": ("Moran's I", "{:.3f}"),
            "coverage": (f"in {100 * self.level:g} % interval", "{:.3f}"),
            "fit_seconds": ("fit, s", "{:.1f}"),
        }
        columns = []
        for name, (title, form) in formats.items():
            cells = ["–" if pd.isna(value) else form.format(value) for value in self.table[name]]
            width = max(map(len, [title, *cells]))
            text = self.table[name].dtype.kind not in "fi"
            rule = "-" * width if text else "-" * (width - 1) + ":"
            aligned = [cell.ljust(width) if text else cell.rjust(width) for cell in [title, *cells]]
            columns.append([aligned[0], rule, *aligned[1:]])
        return "\n".join(f"| {' | '.join(line)} |" for line in zip(*columns, strict=True))


def compare_models(
    models: Mapping[str, Any],
    X: Any,
    y: Any,
    folds: Mapping[str, Any],
    *,
    coordinates: Sequence[Any] | None = None,
    crs: Any = None,
    coverage: float = 0.9,
    n_neighbors: int = 8,
    n_jobs: int | None = None,
    progress: bool = True,
) -> ComparisonResult:
    """Score models on rows that they were not fitted on, under one or several kinds of folds.

    Parameters
    ----------
    models : dict of str to regressor
        Unfitted estimators; they are cloned. Any scikit-learn regressor that can take X, alone or
        in a pipeline or search. `sklearn.dummy.DummyRegressor` gives the score of the training
        mean.
    X : DataFrame or array-like of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
        Target.
    folds : dict of str to splitter, labels or splits
        A scikit-learn splitter, an array with the fold of each row, or a list of
        ``(train, test)`` row positions. Every row must be in exactly one test set.
    coordinates, crs
        Where Moran's I finds the coordinates, as in `SpTGNNRegressor`. Models and splitters have
        parameters of their own.
    coverage : float, default=0.9
        Nominal coverage of the central intervals.
    n_neighbors : int, default=8
        Neighbours of Moran's I.
    n_jobs : int, default=None
        Folds that are fitted at a time, in joblib workers that share the processors; seconds of a
        fit are then those of a fit beside others. None is one, or what `joblib.parallel_config`
        says.
    progress : bool, default=True
        Whether to show a progress bar.

    Returns
    -------
    ComparisonResult

    Raises
    ------
    ValueError
        If there is no model or no kind of folds, lengths differ, y is not finite, or a kind of
        folds does not test each row once.

    Notes
    -----
    Intervals are quantiles where a model has ``predict_quantiles``, else mean and normal quantiles
    of the standard deviation where it has ``predict(X, return_std=True)``. A standard deviation of
    zero in all rows, as that of `DummyRegressor`, is none.

    Scores are taken once from the predictions of all folds. The mean of the folds' own R2 would
    measure each fold against its own variance, which is small in a spatial block.

    Examples
    --------
    >>> from sklearn.dummy import DummyRegressor
    >>> from sklearn.model_selection import KFold
    >>> from sptgnn_sklearn.baseline import XGBoostBaseline
    >>> from sptgnn_sklearn.model_selection.comparison import compare_models
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> from sptgnn_sklearn.model_selection import SpatialBlockKFold
    >>> survey = make_soil_survey(300, random_state=0)
    >>> result = compare_models(
    ...     {"XGBoost": XGBoostBaseline(n_estimators=50), "mean": DummyRegressor()},
    ...     survey.data.drop(columns="date"),
    ...     survey.target,
    ...     {"random": KFold(5, shuffle=True, random_state=0), "block": SpatialBlockKFold(5)},
    ...     progress=False,
    ... )
    >>> result.table[["folds", "model"]].agg(" ".join, axis=1).tolist()
    ['random XGBoost', 'random mean', 'block XGBoost', 'block mean']
    >>> result.select("block", "XGBoost").shape
    (300, 11)
    >>> print(result.to_markdown().splitlines()[0])
    | folds  | model   | ...
    """
    if not models or not folds:
        raise ValueError("compare needs at least one model and one kind of folds.")
    (y,) = aligned_vectors(y=y)
    xy, frame, labels = locate_coordinates(X, coordinates, crs)
    if len(xy) != len(y):
        raise ValueError(f"X has {len(xy)} rows and y {len(y)}; pair them up.")
    row = X.index.to_numpy() if isinstance(X, pd.DataFrame) else np.arange(len(y))
    splits = {name: _resolve_splits(name, kind, X, y) for name, kind in folds.items()}
    scores, predictions = [], []
    n_fits = len(models) * sum(map(len, splits.values()))
    with tqdm(total=n_fits, unit="fit", disable=not progress) as bar:
        for kind, pairs in splits.items():
            for name, model in models.items():
                bar.set_description(f"{kind} folds, {name}")
                found, fold, seconds = _out_of_fold(model, X, y, pairs, coverage, n_jobs, bar)
                about = {"folds": kind, "model": name}
                moran = residual_morans_i(
                    y, found[:, 0], xy, crs=frame.crs, n_neighbors=n_neighbors
                )
                scores.append(
                    about | _scores(y, found) | {"moran_i": moran, "fit_seconds": seconds}
                )
                places = {"fold": fold, "row": row, "x": xy[:, 0], "y": xy[:, 1], "observed": y}
                columns = places | dict(zip(_PREDICTED, found.T, strict=True))
                predictions.append(pd.DataFrame(about | columns))
    table = ["folds", "model", "R2", "RMSE", "CCC", "moran_i", "coverage", "fit_seconds"]
    return ComparisonResult(
        table=pd.DataFrame(scores)[table],
        predictions=pd.concat(predictions, ignore_index=True),
        level=coverage,
        frame=frame,
        axes=(str(labels[0]), str(labels[1])),
    )


def _resolve_splits(name: str, kind: Any, X: Any, y: np.ndarray) -> list[Split]:
    """Return the (train, test) positions of a kind of folds that tests each row once."""
    if hasattr(kind, "split"):
        pairs = list(kind.split(X, y))
    elif _are_labels(kind, len(y)):
        label = pd.factorize(np.asarray(kind), sort=True)[0]
        if (label < 0).any():
            raise ValueError(f"folds {name!r}: {(label < 0).sum()} rows have no label.")
        pairs = [
            (np.flatnonzero(label != fold), np.flatnonzero(label == fold))
            for fold in range(label.max() + 1)
        ]
    else:
        pairs = [(np.asarray(train), np.asarray(test)) for train, test in kind]
    tested = np.zeros(len(y), dtype=int)
    for _, test in pairs:
        tested[test] += 1
    if (tested != 1).any():
        raise ValueError(
            f"folds {name!r} must test each row once; {(tested == 0).sum()} rows are never tested "
            f"and {(tested > 1).sum()} more than once."
        )
    if not all(len(train) for train, _ in pairs):
        raise ValueError(f"folds {name!r} leave a fold without training rows.")
    return pairs


def _are_labels(kind: Iterable[Any], n_rows: int) -> bool:
    """Tell an array with one label for each row from a list of (train, test) pairs."""
    if isinstance(kind, np.ndarray | pd.Series):
        return kind.ndim == 1 and len(kind) == n_rows
    return isinstance(kind, Sequence) and len(kind) == n_rows and np.isscalar(kind[0])


def _out_of_fold(
    model: Any,
    X: Any,
    y: np.ndarray,
    pairs: list[Split],
    coverage: float,
    n_jobs: int | None,
    bar: tqdm,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return mean, std, lower and upper (n, 4), the fold (n,), and the seconds of a fit."""
    found = np.empty((len(y), len(_PREDICTED)))
    fold = np.empty(len(y), dtype=int)
    seconds = []
    workers = effective_n_jobs(n_jobs)
    # Workers that each take all processors wait for one another many times as long as they work.
    threads = max(1, cpu_count() // workers) if workers > 1 else None
    work = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_score_fold)(clone(model), X, y, pair, coverage, threads) for pair in pairs
    )
    for number, ((_, test), (predicted, spent)) in enumerate(zip(pairs, work, strict=True)):
        found[test], fold[test] = predicted, number
        seconds.append(spent)
        bar.update()
    return found, fold, float(np.mean(seconds))


def _score_fold(
    model: Any, X: Any, y: np.ndarray, pair: Split, coverage: float, threads: int | None
) -> tuple[np.ndarray, float]:
    """Fit to one part of the rows; return what is predicted for the other, and the seconds."""
    train, test = pair
    with threadpool_limits(threads):
        start = time.perf_counter()
        fitted = model.fit(_safe_indexing(X, train), y[train])
        seconds = time.perf_counter() - start
        return _predict(fitted, _safe_indexing(X, test), coverage), seconds


def _predict(model: Any, X: Any, coverage: float) -> np.ndarray:
    """Return mean, std, lower and upper (n, 4); NaN for what the model does not state."""
    model, X = _last_step(model, X)
    tails = np.array([0.5 - coverage / 2, 0.5 + coverage / 2])
    mean = std = interval = None
    if "return_std" in inspect.signature(model.predict).parameters:
        mean, std = model.predict(X, return_std=True)
        if not np.any(std):
            std = None
        else:
            interval = np.asarray(mean)[:, None] + np.asarray(std)[:, None] * norm.ppf(tails)
    else:
        mean = model.predict(X)
    if hasattr(model, "predict_quantiles"):
        interval = model.predict_quantiles(X, quantiles=tails)
    found = np.full((len(mean), len(_PREDICTED)), np.nan)
    found[:, 0] = mean
    if std is not None:
        found[:, 1] = std
    if interval is not None:
        found[:, 2:] = interval
    return found


def _last_step(model: Any, X: Any) -> tuple[Any, Any]:
    """Return the estimator inside searches and pipelines, and X as it reaches that estimator.

    They do not forward `predict_quantiles`, and searches do not forward `return_std`.
    """
    while True:
        if hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif hasattr(model, "steps"):
            if len(model.steps) > 1:
                X = model[:-1].transform(X)
            model = model.steps[-1][1]
        else:
            return model, X


def _decimals(values: pd.Series) -> int:
    """Return the decimals that show the smallest value with four digits."""
    smallest = values[values > 0].min()
    return 0 if np.isnan(smallest) else max(0, 3 - int(np.floor(np.log10(smallest))))


def _scores(y: np.ndarray, found: np.ndarray) -> dict[str, float]:
    mean, _, lower, upper = found.T
    stated = not np.isnan(lower).any()
    return {
        "R2": float(r2_score(y, mean)),
        "RMSE": float(root_mean_squared_error(y, mean)),
        "CCC": concordance_correlation(y, mean),
        "coverage": interval_coverage(y, lower, upper) if stated else float("nan"),
    }
