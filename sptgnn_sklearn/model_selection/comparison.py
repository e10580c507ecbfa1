"""Cross-validated comparison of models: accuracy, coverage and residual autocorrelation.

Each row is predicted once by each model, by a clone fitted without the row's fold. Scores are
computed from all out-of-fold predictions together, in the unit of the target, with standard errors
from a jackknife over blocks of locations.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from joblib import cpu_count, effective_n_jobs
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.utils import _safe_indexing
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from ..metrics.accuracy import bias, concordance_correlation, rpiq
from ..metrics.moran import residual_morans_i
from ..metrics.predicted_columns import PREDICTION_COLUMNS, predict_columns
from ..metrics.uncertainty import interval_coverage
from ..metrics.validation import aligned_vectors, check_metric_weight
from ..spatial.blocks import location_ids
from ..table.coordinate_columns import as_dataframe, as_rows, find_column, locate_coordinates
from ..table.table_checks import check_no_data_target
from ..utils.distribution_columns import check_coverage
from .comparison_checkpoint import ComparisonCheckpoint
from .comparison_inputs import named_folds, named_models
from .comparison_result import FAILURE_COLUMNS, SCORE_COLUMNS, ComparisonResult
from .sampling_intensity import inverse_intensity_weights
from .score_errors import block_sums, error_blocks, jackknife_intervals
from .splits import Split

__all__ = ["ComparisonResult", "compare_models"]


def compare_models(
    models: Any,
    X: Any,
    y: Any,
    folds: Any = ("random", "block"),
    *,
    coordinates: Sequence[Any] | None = None,
    crs: Any = None,
    site: Any = None,
    sample_weight: Any = None,
    coverage: float = 0.9,
    n_neighbors: int = 8,
    random_state: Any = 0,
    error_score: str | float = "raise",
    checkpoint: str | os.PathLike[str] | None = None,
    on_interrupt: str = "raise",
    n_jobs: int | None = None,
    progress: bool = True,
) -> ComparisonResult:
    """Cross-validate models on the same folds and score their pooled predictions.

    Parameters
    ----------
    models : regressor, dict of str to regressor or list of (str, regressor)
        Unfitted regressors, cloned for each fold; also pipelines and searches. One regressor has
        the name of its class. `sklearn.dummy.DummyRegressor` gives the score of the training mean.
    X : DataFrame or array-like of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
        Target.
    folds : int, str, cv, list of str or dict of str to any of these, default=("random", "block")
        Kinds of folds. An int is the number of random folds of whole locations. "random" is five of
        these; "block", or "spatial", are the five folds of `SpatialBlockKFold`. Also splitters,
        arrays with the fold label of each row, and iterables of (train, test) row positions. Each
        row must be in exactly one test set.
    coordinates, crs
        Coordinates of Moran's I and of folds given by name or number, as in `SpTGNNRegressor`.
        Models and splitters do not use them.
    site : label or position, default=None
        Column of site ids: rows of one site share a fold in random folds, as those of equal
        coordinates do.
    sample_weight : array-like of shape (n_samples,) or "inverse_intensity", default=None
        Weights of the rows in all scores but Moran's I; models are fitted without them.
        "inverse_intensity" are the `inverse_intensity_weights` of the convex hull of the samples,
        against the bias of clustered samples; for another area pass these weights as an array.
    coverage : float, default=0.9
        Nominal coverage of the central intervals.
    n_neighbors : int, default=8
        Number of neighbors of Moran's I.
    random_state : int, RandomState or None, default=0
        Seed of folds given by name or number.
    error_score : "raise" or nan, default="raise"
        Whether an error in a fit is raised, or recorded in ``failures`` with a FitFailedWarning. In
        that case the scores of the model are NaN, and the other fits continue.
    checkpoint : path, default=None
        Folder in which the predictions of each fit are saved as soon as it is finished. The same
        call reuses them; another table, model, fold or version of a library does not. Failed fits
        are repeated. Image files are not compared, only their paths.
    on_interrupt : {"raise", "return"}, default="raise"
        Whether a KeyboardInterrupt is raised, or the finished part is returned; ``n_fits_done`` is
        then less than ``n_fits``. A checkpoint keeps finished fits in both cases.
    n_jobs : int, default=None
        Number of folds fitted in parallel by joblib workers that share the processors, which
        lengthens the reported time of a fit. None means 1 unless in a `joblib.parallel_config`
        context.
    progress : bool, default=True
        Whether to show a progress bar with the time left.

    Returns
    -------
    ComparisonResult

    Raises
    ------
    ValueError
        If `models` or `folds` is empty or of another form, X and y differ in length, y is not
        finite, some folds do not test each row exactly once, a weight is negative, or a file of the
        checkpoint is damaged.

    Warns
    -----
    FitFailedWarning
        If a fit failed, with ``error_score=nan``.

    Notes
    -----
    Intervals are those of ``predict_quantiles`` or else ``predict_interval``, if the model has one
    of these methods. Otherwise, if it has ``predict(X, return_std=True)``, they are normal
    intervals, unless the standard deviation is zero in all rows, as that of `DummyRegressor`.

    Scores are computed once from the pooled predictions. The mean of R2 over folds would compare
    the errors of each fold with the variance of that fold, which is small in a spatial block.

    Standard errors are those of `score_intervals`, with its default blocks of locations.

    Examples
    --------
    >>> from sklearn.dummy import DummyRegressor
    >>> from sptgnn_sklearn.baseline import XGBoostBaseline
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> from sptgnn_sklearn.model_selection import compare_models
    >>> survey = make_soil_survey(300, random_state=0)
    >>> result = compare_models(
    ...     {"XGBoost": XGBoostBaseline(n_estimators=50), "mean": DummyRegressor()},
    ...     survey.data.drop(columns="date"),
    ...     survey.target,
    ...     ["random", "block"],
    ...     progress=False,
    ... )
    >>> result.table[["folds", "model"]].agg(" ".join, axis=1).tolist()
    ['random XGBoost', 'random mean', 'block XGBoost', 'block mean']
    >>> result.select("block", "XGBoost").shape
    (300, 13)
    >>> print(result.to_markdown().splitlines()[0])
    | folds  | model   | ...
    """
    coverage = check_coverage(coverage)
    _check_choices(error_score, on_interrupt)
    models = named_models(models)
    (y,) = aligned_vectors(y=y)
    check_no_data_target(y)
    X = as_rows(X)
    xy, reference, labels = locate_coordinates(X, coordinates, crs)
    if len(xy) != len(y):
        raise ValueError(f"X and y must have the same length; X has {len(xy)} rows and y {len(y)}.")
    sites = None
    if site is not None:
        frame = as_dataframe(X)
        sites = frame[find_column(frame, site, "site")]
    weight = _check_score_weight(sample_weight, X, coordinates, crs)
    location = location_ids(xy, sites)
    splits = named_folds(
        folds,
        X,
        y,
        location,
        coordinates=coordinates,
        crs=crs,
        random_state=random_state,
    )
    stored = None if checkpoint is None else ComparisonCheckpoint.open(checkpoint, X, y)
    fits = [
        _Fit(
            kind,
            name,
            number,
            model,
            split,
            None if stored is None else stored.path(model, split, coverage),
        )
        for kind, pairs in splits.items()
        for name, model in models.items()
        for number, split in enumerate(pairs)
    ]
    done = {} if stored is None else _read_finished(stored, fits)
    n_reused = len(done)
    fit = partial(_fit_and_predict, X=X, y=y, coverage=coverage, stored=stored)
    try:
        _run(fits, done, partial(fit, error_score=error_score), n_jobs, progress)
    except KeyboardInterrupt:
        if on_interrupt == "raise":
            raise
    row = X.index.to_numpy() if isinstance(X, pd.DataFrame) else np.arange(len(y))
    rows = pd.DataFrame(
        {
            **{"row": row, "x": xy[:, 0], "y": xy[:, 1]},
            **{"block": 0, "weight": weight, "observed": y},
        }
    )
    morans_i = partial(residual_morans_i, crs=reference.crs, n_neighbors=n_neighbors)
    scores, predictions, failures = [], [], []
    for kind, pairs in splits.items():
        rows["block"] = error_blocks(xy, reference, location, folds=_test_folds(pairs, len(y)))
        for name in models:
            found = {
                number: done[key]
                for number in range(len(pairs))
                if (key := (kind, name, number)) in done
            }
            keys = {"folds": kind, "model": name}
            table = _pool(rows, pairs, found)
            predictions.append(pd.concat([pd.DataFrame(keys, index=table.index), table], axis=1))
            failed = {number: out.error for number, out in found.items() if out.error is not None}
            failures += [keys | {"fold": fold, "error": text} for fold, text in failed.items()]
            if len(found) == len(pairs):
                seconds = float(np.mean([outcome.seconds for outcome in found.values()]))
                values = _scores(table, None if failed else morans_i)
                scores.append(keys | values | {"fit_seconds": seconds})
    return ComparisonResult(
        table=pd.DataFrame(scores, columns=["folds", "model", *SCORE_COLUMNS, "fit_seconds"]),
        predictions=pd.concat(predictions, ignore_index=True),
        coverage=coverage,
        reference=reference,
        axes=(str(labels[0]), str(labels[1])),
        n_fits=len(fits),
        n_fits_done=len(done),
        n_fits_reused=n_reused,
        failures=pd.DataFrame(failures, columns=list(FAILURE_COLUMNS)),
    )


def _check_score_weight(
    sample_weight: Any, X: Any, coordinates: Sequence[Any] | None, crs: Any
) -> np.ndarray:
    """Return the weight of each row in the scores; 1 without weights."""
    if isinstance(sample_weight, str):
        if sample_weight != "inverse_intensity":
            raise ValueError(
                "sample_weight must be 'inverse_intensity', None or one weight per row; found "
                f"{sample_weight!r}."
            )
        return inverse_intensity_weights(X, coordinates=coordinates, crs=crs)
    weight = check_metric_weight(sample_weight, len(X))
    return np.ones(len(X)) if weight is None else weight


def _test_folds(splits: list[Split], n_rows: int) -> np.ndarray:
    """Return the number of the test fold of each row."""
    fold = np.empty(n_rows, dtype=np.int64)
    for number, (_, test) in enumerate(splits):
        fold[test] = number
    return fold


class _Fit(NamedTuple):
    """One fit of a comparison."""

    kind: str
    name: str
    number: int
    model: Any
    split: Split
    path: Path | None

    @property
    def key(self) -> tuple[str, str, int]:
        return self.kind, self.name, self.number


class _Outcome(NamedTuple):
    """Predictions (n, 4) of a finished fit, its seconds, and the message of its error."""

    predicted: np.ndarray
    seconds: float
    error: str | None = None


def _check_choices(error_score: Any, on_interrupt: Any) -> None:
    is_nan = isinstance(error_score, float) and np.isnan(error_score)
    if error_score != "raise" and not is_nan:
        raise ValueError(f"error_score must be 'raise' or nan; found {error_score!r}.")
    if on_interrupt not in ("raise", "return"):
        raise ValueError(f"on_interrupt must be 'raise' or 'return'; found {on_interrupt!r}.")


def _read_finished(
    stored: ComparisonCheckpoint, fits: list[_Fit]
) -> dict[tuple[str, str, int], _Outcome]:
    done = {}
    for fit in fits:
        found = None if fit.path is None else stored.load(fit.path, len(fit.split[1]))
        if found is not None:
            done[fit.key] = _Outcome(*found)
    return done


def _run(
    fits: list[_Fit],
    done: dict[tuple[str, str, int], _Outcome],
    fit_and_predict: Callable[..., _Outcome],
    n_jobs: int | None,
    progress: bool,
) -> None:
    """Fit and predict what is not done, and add the outcomes to `done` as they arrive."""
    remaining = [fit for fit in fits if fit.key not in done]
    n_workers = effective_n_jobs(n_jobs)
    # Workers that each use all processors slow each other down.
    n_threads = max(1, cpu_count() // n_workers) if n_workers > 1 else None
    outcomes = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(fit_and_predict)(fit._replace(model=clone(fit.model)), n_threads=n_threads)
        for fit in remaining
    )
    # The rate and the time left are those of the fits of this call.
    with tqdm(total=len(fits), initial=len(done), unit="fit", disable=not progress) as bar:
        for fit in remaining:
            bar.set_description(f"{fit.kind} folds, {fit.name}")
            outcome = next(outcomes)
            done[fit.key] = outcome
            bar.update()
            if outcome.error is not None:
                warnings.warn(
                    f"Fit {fit.number} of {fit.name!r} on {fit.kind!r} folds failed, and its "
                    f"scores are NaN: {outcome.error}",
                    FitFailedWarning,
                    stacklevel=3,
                )


def _fit_and_predict(
    fit: _Fit,
    *,
    X: Any,
    y: np.ndarray,
    coverage: float,
    stored: ComparisonCheckpoint | None,
    error_score: Any,
    n_threads: int | None,
) -> _Outcome:
    """Fit to the training rows, predict the test rows, and save the predictions."""
    train, test = fit.split
    start = time.perf_counter()
    try:
        with threadpool_limits(n_threads):
            fitted = fit.model.fit(_safe_indexing(X, train), y[train])
            seconds = time.perf_counter() - start
            predicted = predict_columns(fitted, _safe_indexing(X, test), coverage)
    except Exception as error:
        if error_score == "raise":
            error.add_note(
                f"Raised in fit {fit.number} of model {fit.name!r} on {fit.kind!r} folds; "
                "error_score=nan records errors instead."
            )
            raise
        predicted = np.full((len(test), len(PREDICTION_COLUMNS)), np.nan)
        return _Outcome(predicted, time.perf_counter() - start, f"{type(error).__name__}: {error}")
    if stored is not None and fit.path is not None:
        stored.save(fit.path, predicted, seconds)
    return _Outcome(predicted, seconds)


def _pool(
    rows: pd.DataFrame, splits: list[Split], outcomes: Mapping[int, _Outcome]
) -> pd.DataFrame:
    """Return the predictions of the rows of finished folds, in the order of X."""
    fold = np.full(len(rows), -1)
    predicted = np.full((len(rows), len(PREDICTION_COLUMNS)), np.nan)
    for number, outcome in outcomes.items():
        test = splits[number][1]
        fold[test], predicted[test] = number, outcome.predicted
    columns = dict(zip(PREDICTION_COLUMNS, predicted.T, strict=True))
    return pd.concat([pd.Series(fold, name="fold"), rows.assign(**columns)], axis=1)[fold >= 0]


def _scores(table: pd.DataFrame, morans_i: Callable[..., float] | None) -> dict[str, float]:
    """Return the scores of pooled predictions; NaN without `morans_i`, for failed fits."""
    if morans_i is None:
        return dict.fromkeys(SCORE_COLUMNS, float("nan"))
    y, mean, lower, upper = (
        table[name].to_numpy() for name in ("observed", "mean", "lower", "upper")
    )
    weights = table["weight"].to_numpy()
    # Equal weights change no score, but the quartiles of RPIQ are interpolated without them only.
    weight = None if (weights == weights[0]).all() else weights
    has_interval = not np.isnan(lower).any()
    sums = block_sums(y, mean, table["block"].to_numpy(), weight)
    std_error = jackknife_intervals(sums, 0.9)["std_error"]
    return {
        "R2": float(r2_score(y, mean, sample_weight=weight)),
        "R2_std_error": float(std_error["R2"]),
        "RMSE": float(root_mean_squared_error(y, mean, sample_weight=weight)),
        "RMSE_std_error": float(std_error["RMSE"]),
        "MAE": float(mean_absolute_error(y, mean, sample_weight=weight)),
        "ME": bias(y, mean, sample_weight=weight),
        "CCC": concordance_correlation(y, mean, sample_weight=weight),
        "RPIQ": rpiq(y, mean, sample_weight=weight),
        "moran_i": morans_i(y, mean, table[["x", "y"]].to_numpy()),
        "coverage": (
            interval_coverage(y, lower, upper, sample_weight=weight)
            if has_interval
            else float("nan")
        ),
    }
