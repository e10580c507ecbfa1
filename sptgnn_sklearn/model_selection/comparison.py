"""Cross-validated comparison of models: accuracy, coverage and residual autocorrelation.

Each row is predicted once by each model, by a clone fitted without the row's fold. Scores are
computed from all out-of-fold predictions together, in the unit of the target.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import cpu_count, effective_n_jobs
from scipy.stats import norm
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from ..meta_estimators import wrapped_estimator
from ..metrics import concordance_correlation, interval_coverage
from ..metrics.moran import residual_morans_i
from ..metrics.validation import aligned_vectors
from ..spatial.crs import SpatialReference
from ..table.coordinate_columns import locate_coordinates
from ..table.table_checks import check_no_data_target
from .splits import Split, read_folds

__all__ = ["ComparisonResult", "compare_models"]

_PREDICTION_COLUMNS = ["mean", "std", "lower", "upper"]


@dataclass(frozen=True)
class ComparisonResult:
    """Scores and out-of-fold predictions of `compare_models`.

    Attributes
    ----------
    table : DataFrame
        One row per kind of folds and model, with the columns folds, model, R2, RMSE (unit of the
        target), CCC, moran_i (of the residuals), coverage (share of rows inside their interval; NaN
        for models without intervals) and fit_seconds (mean wall time of one fit).
    predictions : DataFrame
        One row per kind of folds, model and row of X, with the columns folds, model, fold, row
        (label of the row in X), x, y (its coordinates), observed, mean, std, lower and upper. The
        last three are NaN for models without uncertainty.
    coverage : float
        Nominal coverage of the intervals.
    reference : SpatialReference
        CRS and unit of the coordinates.
    axes : tuple of two str
        Names of the coordinates.

    Examples
    --------
    >>> from sklearn.dummy import DummyRegressor
    >>> from sklearn.model_selection import KFold
    >>> from sptgnn_sklearn.datasets import load_meuse
    >>> from sptgnn_sklearn.model_selection import compare_models
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
    coverage: float
    reference: SpatialReference
    axes: tuple[str, str]

    def select(self, folds: str, model: str) -> pd.DataFrame:
        """Return the predictions of one model under one kind of folds, in the order of X.

        Raises
        ------
        ValueError
            If the comparison does not include these folds or this model.

        Examples
        --------
        See `compare_models`.
        """
        for column, name in (("folds", folds), ("model", model)):
            names = self.predictions[column].unique().tolist()
            if name not in names:
                raise ValueError(
                    f"{column}={name!r} is not in the comparison; choose one of {names}."
                )
        selected = (self.predictions["folds"] == folds) & (self.predictions["model"] == model)
        return self.predictions[selected].reset_index(drop=True)

    def to_markdown(self) -> str:
        """Return the table of scores as a Markdown table with aligned columns.

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
            "coverage": (f"in {100 * self.coverage:g} % interval", "{:.3f}"),
            "fit_seconds": ("fit, s", "{:.1f}"),
        }
        columns = []
        for name, (title, template) in formats.items():
            values = self.table[name]
            cells = [
                title,
                *("–" if pd.isna(value) else template.format(value) for value in values),
            ]
            width = max(map(len, cells))
            is_text = values.dtype.kind not in "fi"
            rule = "-" * width if is_text else "-" * (width - 1) + ":"
            aligned = [cell.ljust(width) if is_text else cell.rjust(width) for cell in cells]
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
    """Cross-validate models on the same folds and score their pooled predictions.

    Parameters
    ----------
    models : dict of str to regressor
        Unfitted regressors, cloned for each fold; also pipelines and searches.
        `sklearn.dummy.DummyRegressor` gives the score of the training mean.
    X : DataFrame or array-like of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
        Target.
    folds : dict of str to cv
        Kinds of folds: splitters, numbers of unshuffled folds, arrays with the fold label of each
        row, or iterables of (train, test) row positions. Each row must be in exactly one test set.
    coordinates, crs
        Coordinates for Moran's I, as in `SpTGNNRegressor`. Models and splitters do not use them.
    coverage : float, default=0.9
        Nominal coverage of the central intervals.
    n_neighbors : int, default=8
        Number of neighbors of Moran's I.
    n_jobs : int, default=None
        Number of folds fitted in parallel by joblib workers that share the processors, which
        lengthens the reported time of a fit. None means 1 unless in a `joblib.parallel_config`
        context.
    progress : bool, default=True
        Whether to show a progress bar.

    Returns
    -------
    ComparisonResult

    Raises
    ------
    ValueError
        If `models` or `folds` is empty, X and y differ in length, y is not finite, or some folds do
        not test each row exactly once.

    Notes
    -----
    Intervals are those of ``predict_quantiles`` if the model has this method. Otherwise, if it has
    ``predict(X, return_std=True)``, they are normal intervals, unless the standard deviation is
    zero in all rows, as that of `DummyRegressor`.

    Scores are computed once from the pooled predictions. The mean of R2 over folds would compare
    the errors of each fold with the variance of that fold, which is small in a spatial block.

    Examples
    --------
    >>> from sklearn.dummy import DummyRegressor
    >>> from sklearn.model_selection import KFold
    >>> from sptgnn_sklearn.baseline import XGBoostBaseline
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> from sptgnn_sklearn.model_selection import SpatialBlockKFold, compare_models
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
        raise ValueError(
            f"models and folds must not be empty; found {len(models)} models and {len(folds)} "
            "kinds of folds."
        )
    (y,) = aligned_vectors(y=y)
    check_no_data_target(y)
    xy, reference, labels = locate_coordinates(X, coordinates, crs)
    if len(xy) != len(y):
        raise ValueError(f"X and y must have the same length; X has {len(xy)} rows and y {len(y)}.")
    row = X.index.to_numpy() if isinstance(X, pd.DataFrame) else np.arange(len(y))
    splits = {
        name: read_folds(cv, X, y, complete=True, name=f"folds[{name!r}]")
        for name, cv in folds.items()
    }
    scores, predictions = [], []
    n_fits = len(models) * sum(map(len, splits.values()))
    with tqdm(total=n_fits, unit="fit", disable=not progress) as bar:
        for kind, pairs in splits.items():
            for name, model in models.items():
                bar.set_description(f"{kind} folds, {name}")
                predicted, fold, seconds = _predict_out_of_fold(
                    model, X, y, pairs, coverage, n_jobs, bar
                )
                keys = {"folds": kind, "model": name}
                moran = residual_morans_i(
                    y, predicted[:, 0], xy, crs=reference.crs, n_neighbors=n_neighbors
                )
                scores.append(
                    keys | _scores(y, predicted) | {"moran_i": moran, "fit_seconds": seconds}
                )
                rows = {"fold": fold, "row": row, "x": xy[:, 0], "y": xy[:, 1], "observed": y}
                columns = rows | dict(zip(_PREDICTION_COLUMNS, predicted.T, strict=True))
                predictions.append(pd.DataFrame(keys | columns))
    table = ["folds", "model", "R2", "RMSE", "CCC", "moran_i", "coverage", "fit_seconds"]
    return ComparisonResult(
        table=pd.DataFrame(scores)[table],
        predictions=pd.concat(predictions, ignore_index=True),
        coverage=coverage,
        reference=reference,
        axes=(str(labels[0]), str(labels[1])),
    )


def _predict_out_of_fold(
    model: Any,
    X: Any,
    y: np.ndarray,
    splits: list[Split],
    coverage: float,
    n_jobs: int | None,
    bar: tqdm,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return mean, std, lower and upper (n, 4), the fold (n,) and the mean seconds of a fit."""
    predictions = np.empty((len(y), len(_PREDICTION_COLUMNS)))
    fold = np.empty(len(y), dtype=int)
    seconds = []
    n_workers = effective_n_jobs(n_jobs)
    # Workers that each use all processors slow each other down.
    n_threads = max(1, cpu_count() // n_workers) if n_workers > 1 else None
    results = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_fit_predict_fold)(clone(model), X, y, split, coverage, n_threads)
        for split in splits
    )
    for number, ((_, test), (predicted, fit_seconds)) in enumerate(
        zip(splits, results, strict=True)
    ):
        predictions[test], fold[test] = predicted, number
        seconds.append(fit_seconds)
        bar.update()
    return predictions, fold, float(np.mean(seconds))


def _fit_predict_fold(
    model: Any, X: Any, y: np.ndarray, split: Split, coverage: float, n_threads: int | None
) -> tuple[np.ndarray, float]:
    """Fit to the training rows; return the predictions of the test rows and the seconds of fit."""
    train, test = split
    with threadpool_limits(n_threads):
        start = time.perf_counter()
        fitted = model.fit(_safe_indexing(X, train), y[train])
        seconds = time.perf_counter() - start
        return _predict_columns(fitted, _safe_indexing(X, test), coverage), seconds


def _predict_columns(model: Any, X: Any, coverage: float) -> np.ndarray:
    """Return mean, std, lower and upper (n, 4); NaN for those that the model does not predict."""
    model, X = _unwrap(model, X)
    levels = np.array([0.5 - coverage / 2, 0.5 + coverage / 2])
    mean = std = interval = None
    if "return_std" in inspect.signature(model.predict).parameters:
        mean, std = model.predict(X, return_std=True)
        if not np.any(std):
            std = None
        else:
            interval = np.asarray(mean)[:, None] + np.asarray(std)[:, None] * norm.ppf(levels)
    else:
        mean = model.predict(X)
    if hasattr(model, "predict_quantiles"):
        interval = model.predict_quantiles(X, quantiles=levels)
    columns = np.full((len(mean), len(_PREDICTION_COLUMNS)), np.nan)
    columns[:, 0] = mean
    if std is not None:
        columns[:, 1] = std
    if interval is not None:
        columns[:, 2:] = interval
    return columns


def _unwrap(model: Any, X: Any) -> tuple[Any, Any]:
    """Return the estimator inside searches and pipelines, and X transformed by their steps.

    They do not forward `predict_quantiles`, and searches do not forward `return_std`.
    """
    # The regressor inside a transformed target predicts on another scale.
    while not isinstance(model, TransformedTargetRegressor):
        inner = wrapped_estimator(model)
        if inner is None:
            break
        if isinstance(model, Pipeline) and len(model) > 1:
            X = model[:-1].transform(X)
        model = inner
    return model, X


def _decimals(values: pd.Series) -> int:
    """Return the number of decimals that shows the smallest value with four digits."""
    smallest = values[values > 0].min()
    return 0 if np.isnan(smallest) else max(0, 3 - int(np.floor(np.log10(smallest))))


def _scores(y: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    mean, _, lower, upper = predicted.T
    has_interval = not np.isnan(lower).any()
    return {
        "R2": float(r2_score(y, mean)),
        "RMSE": float(root_mean_squared_error(y, mean)),
        "CCC": concordance_correlation(y, mean),
        "coverage": interval_coverage(y, lower, upper) if has_interval else float("nan"),
    }
