"""Adaptation of a model to groups of training rows, and the skill that it loses by them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..ensemble.base_models import with_kriged
from ..ensemble.fitted import Ensemble
from ..table.measurement_error import noise_weight
from ..uncertainty.blending import Blend
from ..uncertainty.local_scale import CalibrationInputs
from ..uncertainty.postprocessing import Postprocessor
from .anonymize import GroupedRows, with_groups, without_row_order
from .held_out import HeldOutPredictions, held_out_from_groups, restore_held_out

__all__ = ["SharingLoss", "adapt_to_groups"]

# Shares of the neighbors of the complete model. A group covers several locations, so that fewer
# groups are near; in noisy surveys more of them are averaged.
_NEIGHBOR_SHARES = (0.2, 0.3, 0.5, 1.0)
_ONE_SIDED_95 = 1.645  # standard errors


@dataclass(frozen=True)
class SharingLoss:
    """Effect of the grouping on predictions of held-out locations.

    Attributes
    ----------
    explained_variance : float
        Decrease of R2, in standardized units of the target.
    near, far : float
        The same for the nearer and the farther half of the held-out rows, by their distance to the
        locations outside their fold.
    upper_limit : float
        One-sided 95 % confidence limit of the decrease in the half that loses more.
    std_ratio : float
        Mean predicted standard deviation over that of the complete model.
    """

    explained_variance: float
    near: float
    far: float
    upper_limit: float
    std_ratio: float


def adapt_to_groups(
    complete: Ensemble, reduced: Ensemble, rows: GroupedRows, weight: np.ndarray
) -> tuple[Ensemble, SharingLoss]:
    """Choose the number of neighbors, and blend and calibrate predictions from groups.

    Rows are predicted by the members that held them out, from groups of the rows outside their
    fold, as in the fit. Only the number, the weights and the sorted errors are kept.

    Parameters
    ----------
    complete, reduced : Ensemble
        Before and after `drop_training_rows`, on the CPU.
    rows : GroupedRows
        From `drop_training_rows`.
    weight : ndarray of shape (n,)
        Sample weights.

    Returns
    -------
    Ensemble
    SharingLoss
    """
    restored = restore_held_out(complete)
    precision = weight if rows.noise is None else weight * noise_weight(rows.noise, weight)
    y, base = complete.standardized_targets, restored.predictions.base
    best, best_error = (reduced, restored), np.inf
    for n_neighbors in _candidates(complete, len(rows.groups)):
        candidate = replace(reduced, n_neighbors=n_neighbors)
        found = held_out_from_groups(complete, candidate, rows, base)
        error = _blended_error(found, y, precision)
        if error < best_error:
            best, best_error = (candidate, found), error
    candidate, found = best
    postprocessor = _refit(complete, found, rows, weight)
    adapted = with_groups(replace(candidate, postprocessor=postprocessor), rows)
    return adapted, _measure(complete, adapted, rows, found, weight)


def _candidates(complete: Ensemble, n_groups: int) -> list[int]:
    numbers = {int(np.ceil(share * complete.n_neighbors)) for share in _NEIGHBOR_SHARES}
    return sorted({min(number, n_groups) for number in numbers}) if complete.relations else [1]


def _blended_error(found: HeldOutPredictions, y: np.ndarray, weight: np.ndarray) -> float:
    """Mean squared error of the blend that is fitted to these predictions."""
    used, predictions = found.predictions.count > 0, found.predictions
    network, y, weight = predictions.mean[used], y[used], weight[used]
    base = None if predictions.base is None else predictions.base[:, used]
    blended = Blend.fit(network, base, y, weight).combine(network, base)
    return float(np.average((y - blended) ** 2, weights=weight))


def _refit(
    complete: Ensemble, found: HeldOutPredictions, rows: GroupedRows, weight: np.ndarray
) -> Postprocessor:
    """Fit blend and calibration as in the fit, to predictions from groups."""
    post = complete.postprocessor
    if post.blend.shrinkage > 0:  # else the mean of the target is predicted
        calibration = post.calibration  # a local one would show means of few rows
        kind = "scale" if calibration.log_factor != 0 else None
        post = Postprocessor.fit(
            found.predictions,
            complete.standardized_targets,
            weight,
            rows.groups.location,
            CalibrationInputs(found.distance, rows.positions),
            rows.table.time,
            n_members=complete.n_members,
            calibration=kind if calibration.shape is None else "quantile",
            rng=np.random.RandomState(0),
            noise=rows.noise,
        )
    return without_row_order(post)


def _measure(
    complete: Ensemble,
    adapted: Ensemble,
    rows: GroupedRows,
    found: HeldOutPredictions,
    weight: np.ndarray,
) -> SharingLoss:
    """Compare errors of held-out rows before and after."""
    used = np.flatnonzero(found.predictions.count > 0)
    before = complete.require_training_rows().held_out
    after = adapted.postprocessor.apply_held_out(
        found.predictions, CalibrationInputs(found.distance)
    )
    y, variance = complete.standardized_targets, float(np.var(complete.standardized_targets))
    change = (y - after.mean[0]) ** 2 - (y - before.mean[0]) ** 2
    # Trees fit their own training rows more closely than others, so that the error of the coarse
    # ones increases on training rows only; the square of their change is counted instead.
    loss = change[used] + _change_of_trees(complete, adapted, rows, found, used)
    scale = variance if variance > 0 else np.inf
    std_before, std_after = (np.sqrt(part.variance[0, used]).mean() for part in (before, after))
    distance = np.zeros(len(used)) if found.distance is None else found.distance[used]
    order, middle = np.argsort(distance, kind="stable"), len(used) // 2
    location = rows.groups.location[used]
    whole, near, far = (
        _mean_and_error(loss[part] / scale, weight[used][part], location[part])
        for part in (order, order[: max(middle, 1)], order[middle:])
    )
    return SharingLoss(
        explained_variance=whole[0],
        near=near[0],
        far=far[0],
        upper_limit=max(mean + _ONE_SIDED_95 * error for mean, error in (near, far)),
        std_ratio=float(std_after / std_before),
    )


def _mean_and_error(
    values: np.ndarray, weight: np.ndarray, location: np.ndarray
) -> tuple[float, float]:
    """Weighted mean and its standard error; values at one location are alike."""
    share = weight / weight.sum()
    mean = float(np.sum(share * values))
    label = np.unique(location, return_inverse=True)[1]
    deviations = np.bincount(label, share * (values - mean))
    return mean, float(np.sqrt(np.sum(deviations**2)))


def _change_of_trees(
    complete: Ensemble,
    adapted: Ensemble,
    rows: GroupedRows,
    found: HeldOutPredictions,
    used: np.ndarray,
) -> np.ndarray:
    """Squared change of blended predictions of rows (m,) by coarse trees and kriging of groups."""
    if complete.base is None or adapted.base is None:
        return np.zeros(len(used))
    inputs = complete.features.tree_features(rows.table.take(used))
    before = after = None
    if complete.base.kriging is not None and found.kriged is not None:
        folds = complete.require_training_rows().folds.member[0]
        before = complete.base.kriging.predict_left_out(folds)[used]
        after = found.kriged[used]
    blend, change = adapted.postprocessor.blend, np.zeros(len(used))
    for weight, name in zip(blend.weights[1:], complete.base.regressors, strict=False):
        exact, coarse = complete.base.regressors[name], adapted.base.regressors[name]
        change += weight * (
            coarse.predict(with_kriged(name, inputs, after)).astype(np.float64)
            - exact.predict(with_kriged(name, inputs, before)).astype(np.float64)
        )
    return (blend.shrinkage * change) ** 2
