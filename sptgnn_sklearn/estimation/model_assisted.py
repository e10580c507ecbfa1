"""Model-assisted estimates: a probability sample corrects the mean of a map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..utils.distribution_columns import check_coverage
from .design_arguments import read_design, read_labels, read_numbers
from .designs import SamplingDesign
from .estimates import ModelAssistedEstimate, precision_gain, result_row
from .zones import Target, Zones, standard_error

__all__ = ["METHODS", "model_assisted_estimate"]

METHODS = ("difference", "regression")
_MAX_SIZE_DIFFERENCE = 0.01  # cells at the border are counted whole in one source, cut in the other


def model_assisted_estimate(
    y: Any,
    predicted: Any,
    cell_predictions: Any,
    *,
    cell_weights: Any = None,
    method: str = "difference",
    statistic: str = "mean",
    weights: Any = None,
    inclusion_probabilities: Any = None,
    strata: Any = None,
    stratum_sizes: Any = None,
    clusters: Any = None,
    n_clusters: Any = None,
    cluster_sizes: Any = None,
    population_size: Any = None,
    fpc: bool = False,
    estimator: str = "hajek",
    by: Any = None,
    cell_by: Any = None,
    coverage: float = 0.9,
) -> ModelAssistedEstimate | pd.DataFrame:
    """Estimate a mean or total from a probability sample and the predictions of a map.

    The mean of the map is corrected by the mean error of its predictions at the sampled units. The
    better the map, the smaller the standard error; with a useless map the estimate stays valid,
    because only the sampling design is relied on ([1]_, [2]_).

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Measured values at the units of a probability sample.
    predicted : array-like of shape (n_samples,)
        Predictions at these units, by a model that was not fitted to them: a model of other data,
        or out-of-fold predictions (see Notes).
    cell_predictions : array-like of shape (n_cells,), float, or mapping or Series by zone
        Predictions of all cells of the population, or their mean; with `by`, predictions with
        `cell_by`, or the mean of each zone.
    cell_weights : array-like of shape (n_cells,), default=None
        Area of each cell. None is equal areas.
    method : {"difference", "regression"}, default="difference"
        "difference" adds the mean of ``y - predicted``. "regression" uses predictions
        ``a + b * predicted`` with a and b estimated from the sample, which corrects predictions
        with a wrong scale; its bias is negligible for large samples only, about 40 units or more.
    statistic, weights, inclusion_probabilities, strata, stratum_sizes, clusters, n_clusters, \
cluster_sizes, fpc, estimator, by, coverage
        As in `design_estimate`.
    population_size : float, or mapping or Series by zone, default=None
        As in `design_estimate`. None uses sums of `cell_weights` for totals, except with
        "horvitz_thompson".
    cell_by : array-like of shape (n_cells,), default=None
        Zone of each cell.

    Returns
    -------
    ModelAssistedEstimate or DataFrame
        With `by` a DataFrame with one row per zone and the columns n, estimate, std, lower, upper,
        degrees_of_freedom, sample_estimate, sample_std and gain. Zones of the map without sampled
        units have NaN.

    Raises
    ------
    ValueError
        As in `design_estimate`, or if predictions are missing, a zone has no cell, or sizes of
        cells and population differ.

    See Also
    --------
    design_estimate : Estimate from the sample alone.

    Notes
    -----
    The standard error is that of the design-based estimate of the residuals; for "regression" they
    are multiplied by the g-weights of the calibration to the mean of the map ([1]_, sections 6.5
    and 6.6; [3]_), in zones by 1. The regression is one for all strata and zones ("combined").
    Results for "regression" equal those of ``calibrate`` in the R package survey.

    Conditions: the sample is a probability sample of the same population as the cells, and each
    residual is that of a model without the unit. Predictions of a model that was fitted to the
    sample have residuals that are too small, and intervals that are too narrow. If the sample is
    used for the model, take out-of-fold predictions and the mean of the models of the folds on the
    map: the cross-fitted difference estimator [4]_. The folds are *random* folds of sampled units,
    or of whole clusters, in strata if there are any; with spatial blocks the residuals would be
    those of predictions at larger distances than on the map.

    References
    ----------
    .. [1] Särndal, C.-E., Swensson, B., Wretman, J. (1992). Model Assisted Survey Sampling.
       Springer.
    .. [2] Brus, D. J. (2022). Spatial Sampling with R. CRC Press, chapters 10 and 14.
    .. [3] Wu, C., Sitter, R. R. (2001). A model-calibration approach to using complete auxiliary
       information from survey data. Journal of the American Statistical Association 96, 185-193.
    .. [4] Zrnic, T., Candès, E. J. (2024). Cross-prediction-powered inference. Proceedings of the
       National Academy of Sciences 121, e2322083121.

    Examples
    --------
    A linear model of another survey, and a simple random sample of 60 of 1,000 cells:

    >>> import numpy as np
    >>> import pandas as pd
    >>> from sptgnn_sklearn.estimation import model_assisted_estimate
    >>> rng = np.random.default_rng(0)
    >>> cells = pd.DataFrame({"clay": rng.uniform(5, 45, 1000)})
    >>> cells["zone"] = np.repeat(["east", "west"], 500)
    >>> soc = 10 + 0.5 * cells["clay"] + rng.normal(0, 2, 1000)
    >>> cells["prediction"] = 8 + 0.55 * cells["clay"]
    >>> sample = cells.sample(60, random_state=0).assign(soc=soc)
    >>> model_assisted_estimate(sample["soc"], sample["prediction"], cells["prediction"])
    Mean 22.578, std 0.301, 90 % interval 22.075 to 23.082.
    60 sampled units, 59 degrees of freedom, difference estimator.
    Sample alone: mean 23.108, std 0.826; gain 7.51.
    Valid for a probability sample of this design, whatever the model, if the predictions at the
    sampled units are not from a model that was fitted to them.
    >>> zones = model_assisted_estimate(
    ...     sample["soc"], sample["prediction"], cells["prediction"],
    ...     by=sample["zone"], cell_by=cells["zone"],
    ... )
    >>> zones[["n", "estimate", "std", "gain"]].round(2)
           n  estimate   std  gain
    zone
    east  31     22.81  0.39  6.92
    west  29     22.35  0.46  7.87
    """
    y = read_numbers("y", y)
    predicted = read_numbers("predicted", predicted, len(y))
    if method not in METHODS:
        raise ValueError(f"method must be one of {list(METHODS)}; found {method!r}.")
    if method == "regression" and len(y) < 3:
        raise ValueError(
            f"method='regression' needs at least 3 sampled units; found {len(y)}: use 'difference'."
        )
    coverage, target = check_coverage(coverage), Target(statistic, estimator)
    means, areas = _map_means(cell_predictions, cell_weights, by, cell_by)
    zones, size = Zones.read(by, len(y), population_size, None if by is None else means.index)
    without_cells = zones.labels.difference(means.index)
    if by is not None and len(without_cells):
        raise ValueError(f"Zones {without_cells[:10].tolist()} of by have no cell_predictions.")
    design = read_design(
        len(y),
        weights=weights,
        inclusion_probabilities=inclusion_probabilities,
        strata=strata,
        stratum_sizes=stratum_sizes,
        clusters=clusters,
        n_clusters=n_clusters,
        cluster_sizes=cluster_sizes,
        population_size=size,
        fpc=fpc,
    )
    # Areas have another unit than weights that are numbers of units.
    sizes = _known_sizes(zones, areas if estimator == "hajek" else None, design, by is not None)
    target.check_scale(design.has_scale, sizes is not None)
    if statistic == "total" and sizes is None:
        raise ValueError(
            "statistic='total' needs population_size (by zone if by is given) or, with "
            "estimator='hajek', cell_weights."
        )
    if statistic == "total" and areas is not None:
        _check_sizes_agree(areas.sum(), size if size is not None else design.size)

    line = _SampleLine(design, y, predicted)
    slope = 1.0 if method == "difference" else line.slope
    residual = y - predicted if method == "difference" else line.residual
    rows = []
    for position, label in enumerate(zones.labels):
        in_zone = zones.rows(position)
        zone_size = None if sizes is None else float(sizes[position])
        scale = 1.0 if statistic == "mean" else float(zone_size or 1)
        mean = float(means[label])
        alone, alone_std = target.estimate(design, y, in_zone, zone_size)
        if method == "regression" and by is None:
            estimate, std = line.estimate(mean)
            estimate, std = scale * estimate, scale * std
        else:
            correction, std = target.estimate(design, residual, in_zone, zone_size)
            prediction = mean if method == "difference" else line.predict(mean)
            estimate = scale * prediction + correction
        rows.append(
            {
                **result_row(estimate, std, design, in_zone, coverage),
                "sample_estimate": alone,
                "sample_std": alone_std,
                "gain": precision_gain(alone_std, std),
            }
        )
    if by is not None:
        return zones.to_table(rows, by, stacklevel=3)
    return ModelAssistedEstimate(
        **rows[0], statistic=statistic, coverage=coverage, method=method, slope=float(slope)
    )


class _SampleLine:
    """Regression of y on predictions, weighted by the sampling design.

    Parameters
    ----------
    design : SamplingDesign
    y, predicted : ndarray of shape (n,)
    """

    def __init__(self, design: SamplingDesign, y: np.ndarray, predicted: np.ndarray) -> None:
        self.design = design
        self.mean = float(np.average(predicted, weights=design.weights))
        self.y_mean = float(np.average(y, weights=design.weights))
        self.deviation = predicted - self.mean
        self.variance = float(np.average(self.deviation**2, weights=design.weights))
        self.slope = 0.0  # of constant predictions
        if self.variance > 1e-24 * max(self.mean**2, np.finfo(float).tiny):
            covariance = np.average(self.deviation * (y - self.y_mean), weights=design.weights)
            self.slope = float(covariance) / self.variance
        self.residual = y - self.y_mean - self.slope * self.deviation

    def predict(self, mean: float) -> float:
        """Return the y of the line at a mean prediction."""
        return self.y_mean + self.slope * (mean - self.mean)

    def estimate(self, mean: float) -> tuple[float, float]:
        """Return the regression estimate and its standard error at the mean of the map."""
        g_weights = np.ones(len(self.residual))
        if self.slope:
            g_weights += (mean - self.mean) * self.deviation / self.variance
        influence = g_weights * self.residual / self.design.weights.sum()
        everywhere = np.ones(len(influence), dtype=bool)
        return self.predict(mean), standard_error(self.design, influence, everywhere)


def _map_means(
    cell_predictions: Any, cell_weights: Any, by: Any, cell_by: Any
) -> tuple[pd.Series, pd.Series | None]:
    """Return the mean prediction of each zone, and its area if cells have areas."""
    if by is None and cell_by is not None:
        raise ValueError("cell_by needs by, the zone of each row of y.")
    is_mean = np.ndim(cell_predictions) == 0 and not isinstance(cell_predictions, Mapping)
    by_zone = by is not None and cell_by is None
    if (is_mean or by_zone) and cell_weights is not None:
        raise ValueError(
            "cell_weights needs the predictions of cells (and cell_by, if by is given), but "
            "cell_predictions are means."
        )
    if by_zone:
        if not isinstance(cell_predictions, Mapping | pd.Series):
            raise ValueError(
                "by needs cell_by, the zone of each cell, or cell_predictions as a mapping from "
                "zone to mean prediction."
            )
        means = pd.Series(dict(cell_predictions.items()))
        return pd.Series(read_numbers("cell_predictions", means), index=means.index), None
    if is_mean:
        return pd.Series(read_numbers("cell_predictions", [cell_predictions])), None
    predictions = read_numbers("cell_predictions", cell_predictions)
    n_cells = len(predictions)
    weights = np.ones(n_cells)
    if cell_weights is not None:
        weights = read_numbers("cell_weights", cell_weights)
    codes, labels = np.zeros(n_cells, dtype=int), pd.Index([0])
    if cell_by is not None:
        codes, labels = read_labels("cell_by", cell_by)
    for name, values in (("cell_weights", weights), ("cell_by", codes)):
        if len(values) != n_cells:
            raise ValueError(
                f"{name} must have {n_cells} values, one per cell of cell_predictions; found "
                f"{len(values)}."
            )
    sums = np.bincount(codes, weights)
    if (weights < 0).any() or not (sums > 0).all():
        raise ValueError(
            "cell_weights must be areas of at least 0, with a positive sum in each zone; found "
            f"{weights.min():g} to {weights.max():g}."
        )
    means = pd.Series(np.bincount(codes, weights * predictions) / sums, index=labels)
    return means, None if cell_weights is None else pd.Series(sums, index=labels)


def _known_sizes(
    zones: Zones, areas: pd.Series | None, design: SamplingDesign, by_zone: bool
) -> np.ndarray | None:
    if zones.sizes is not None:
        return zones.sizes
    if areas is not None:
        return areas.loc[zones.labels].to_numpy()
    return None if by_zone or design.size is None else np.array([design.size])


def _check_sizes_agree(area: float, size: float | None) -> None:
    if size is not None and abs(area / size - 1) > _MAX_SIZE_DIFFERENCE:
        raise ValueError(
            f"cell_weights add up to {area:g}, but population_size or stratum_sizes to {size:g}: "
            "use one unit, and cells of the whole population."
        )
