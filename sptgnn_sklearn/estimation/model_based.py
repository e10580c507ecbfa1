"""Model-based estimates of zones from joint draws of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from ..maps.model_inputs import fitted_columns
from ..utils.distribution_columns import DistributionColumns, check_coverage
from ..utils.messages import did_you_mean
from .cells import CellReader, ModelColumns, choose_block_rows
from .joint_draws import JointDraws, check_draw_count, check_samples_jointly, read_seed
from .units import check_summable
from .zone_assignment import read_zones
from .zone_sums import Statistic, ZoneSums, check_statistic, distribution_row, zone_table

__all__ = ["EstimateOptions", "estimate", "estimate_from_draws", "outside_area"]

# Predictions and draws of a block of cells, from those of the model.
Conversion = Callable[[pd.DataFrame, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class EstimateOptions:
    """Checked options of `estimate` and of the functions that share them.

    Attributes
    ----------
    statistic : {"mean", "total"} or callable
    limits : DistributionColumns
        Of the parameters `below` and `above`.
    coverage : float
    n_samples, seed, block_rows : int
    area : AreaOfApplicability or None
    """

    statistic: Statistic
    limits: DistributionColumns
    coverage: float
    n_samples: int
    seed: int
    block_rows: int
    area: Any

    @classmethod
    def check(
        cls,
        *,
        statistic: Any,
        weights: Any,
        unit: str | None,
        below: Any,
        above: Any,
        coverage: Any,
        n_samples: Any,
        random_state: Any,
        area: Any,
        block_rows: int | None,
    ) -> EstimateOptions:
        """Check the options; see `estimate`."""
        check_statistic(statistic)
        if statistic == "total":
            check_summable(unit)
            if weights is None:
                raise ValueError(
                    "statistic='total' needs weights, the area of each cell: a number, a column of "
                    "cells or an array."
                )
        if area is not None:
            check_is_fitted(area)
        n_samples = check_draw_count(n_samples)
        return cls(
            statistic=statistic,
            limits=DistributionColumns.check(below=below, above=above),
            coverage=check_coverage(coverage),
            n_samples=n_samples,
            seed=read_seed(random_state),
            block_rows=choose_block_rows(block_rows, n_samples),
            area=area,
        )


def estimate(
    model: Any,
    cells: Any,
    zones: Any = None,
    *,
    weights: Any = None,
    statistic: Statistic = "mean",
    unit: str | None = None,
    below: Any = None,
    above: Any = None,
    coverage: float = 0.9,
    n_samples: int = 200,
    random_state: Any = 0,
    area: Any = None,
    block_rows: int | None = None,
) -> pd.DataFrame:
    """Estimate the mean or total of zones of a map, with the error of the model.

    Errors of a map at nearby cells are correlated, so that the error of a mean is not that of its
    cells divided by the root of their number. It is computed from joint draws of all cells
    (``sample_y``), of which the mean is taken draw by draw: block kriging by simulation ([1]_,
    [2]_). The estimate is model-based: valid if the model and its correlogram are, whatever the
    design of the sample. With a probability sample, `model_assisted_estimate` needs no such
    assumption.

    Parameters
    ----------
    model : fitted regressor
        `SpTGNNRegressor` or any regressor with ``sample_y``, optionally inside Pipelines, searches
        such as GridSearchCV, and TransformedTargetRegressors.
    cells : DataFrame, GeoDataFrame, array-like, dask DataFrame or iterator of tables
        Cells of the map, one row each, with the columns of the model and any others. The blocks of
        an iterator, and the partitions of a dask DataFrame, are read one after the other, so that
        a map needs memory for one block only. Points of a GeoDataFrame are transformed to the CRS
        of the model.
    zones : None, array-like of shape (n_cells,), str, GeoDataFrame or path, default=None
        - None: one zone, "all".
        - Labels of the cells, or the name of their column in `cells`. Cells without a label are
          left out; unused categories of a categorical column are zones without cells.
        - A GeoDataFrame of polygons, labeled by its index. A cell belongs to the polygon that
          contains its coordinates; on a common border to the first of them. Cells are transformed
          to the CRS of the polygons.
        - Path of a raster of classes, in any CRS.
    weights : None, float, str or array-like of shape (n_cells,), default=None
        Area of the cells: a number for all, a column of `cells`, or an array. 0 leaves a cell out.
        None weights cells by the cosine of latitude if their coordinates are geographic, as the
        cells of a grid of degrees have areas in proportion to it, and equally otherwise.
    statistic : {"mean", "total"} or callable, default="mean"
        "total" is the sum of value times weight, which then must be the area: its unit is that of y
        times that of the weights. A function ``statistic(values, weights)`` of the cells of a zone
        returns a number for each draw, such as the share of the area below a limit; the draws of
        all cells are then kept in memory, 8 bytes times ``n_samples`` a cell.
    unit : str, default=None
        Unit of y. Only used to refuse totals of contents, such as "%", "g/kg" or "mg/kg", which
        have no meaning: see `estimate_stock`.
    below, above : float or sequence of float, default=None
        Limits of the statistic. Columns ``p<2.0`` and ``p>2.0`` are the probabilities that the
        statistic of the zone (not of a cell) is below or above.
    coverage : float, default=0.9
        Nominal coverage of the interval.
    n_samples : int, default=200
        Number of draws. The relative standard error of std is about ``1 / sqrt(2 * n_samples)``.
    random_state : int, RandomState or None, default=0
        Seed of the draws.
    area : fitted AreaOfApplicability, default=None
        Adds the column outside_aoa.
    block_rows : int, default=None
        Number of cells that are drawn at once. None draws 4 million values at once. Regressors
        other than `SpTGNNRegressor` must draw all cells at once.

    Returns
    -------
    DataFrame
        A row per zone, with the label as index. Zones without cells have NaN, with a warning.

        - estimate: of the predictions, so that it agrees with ``predict`` and has no sampling error
          of draws; for a function the mean over draws, because a statistic that is not linear
          differs between smooth predictions and the truth.
        - std, lower, upper: standard deviation and equal-tailed interval of the draws.
        - ``p<...``, ``p>...``: only with `below` and `above`.
        - n_cells: number of cells with a positive weight.
        - n_effective: variance of the error of a cell over that of the weighted mean of the zone;
          as many cells with independent errors would have the same standard error.
        - outside_aoa: share of the weight outside the area of applicability, only with `area`.

    Raises
    ------
    TypeError
        If the model has no ``sample_y``.
    ValueError
        If an argument is invalid, a column is missing, weights are missing or negative, polygons
        overlap at a cell, no cell is in a zone, or predictions are not finite.

    Warns
    -----
    UserWarning
        If zones have no cells, cells are in no zone, or a CRS is unknown.

    See Also
    --------
    estimate_change : Change between two dates.
    estimate_stock : Stocks per area from contents and bulk density.
    design_estimate, model_assisted_estimate : Estimates from probability samples.

    Notes
    -----
    The errors are those of the model at held-out locations, and their correlation is that of these
    errors: a bias within a zone is included if held-out errors are correlated over its size. Not
    included are errors common to all rows, such as a shift of the laboratory, and errors of the
    covariates. Inside a TransformedTargetRegressor with a nonlinear transform, ``predict``, and so
    the estimate, is the inverse of a mean, which differs from the mean of the draws.

    References
    ----------
    .. [1] Heuvelink, G. B. M., Pebesma, E. J. (1999). Spatial aggregation and soil process
       modelling. Geoderma 89, 47-65.
    .. [2] Wadoux, A. M. J.-C., Heuvelink, G. B. M. (2023). Uncertainty of spatial averages and
       totals of natural resource maps. Methods in Ecology and Evolution 14, 1320-1332.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from sptgnn_sklearn.estimation import estimate
    >>> samples = pd.DataFrame({"x": [0.0, 2.0, 4.0, 9.0], "y": [0.0, 1.0, 0.0, 1.0]})
    >>> model = GaussianProcessRegressor(RBF(3.0), optimizer=None)
    >>> model = model.fit(samples, [2.0, 2.5, 3.0, 1.0])
    >>> cells = pd.DataFrame({"x": np.arange(10.0), "y": 0.5})
    >>> cells["farm"] = np.where(cells["x"] < 5, "west", "east")
    >>> table = estimate(model, cells, "farm", below=2.0)
    >>> table.columns.tolist()
    ['estimate', 'std', 'lower', 'upper', 'p<2.0', 'n_cells', 'n_effective']
    >>> table["estimate"].round(2).to_dict()
    {'east': 1.91, 'west': 2.54}
    """
    check_samples_jointly(model)
    options = EstimateOptions.check(
        statistic=statistic,
        weights=weights,
        unit=unit,
        below=below,
        above=above,
        coverage=coverage,
        n_samples=n_samples,
        random_state=random_state,
        area=area,
        block_rows=block_rows,
    )
    return estimate_from_draws(model, cells, zones, weights, options)


def estimate_from_draws(
    model: Any,
    cells: Any,
    zones: Any,
    weights: Any,
    options: EstimateOptions,
    convert: Conversion | None = None,
) -> pd.DataFrame:
    """Return the table of `estimate`, of the values to which a function converts the draws.

    Parameters
    ----------
    model, cells, zones, weights
        See `estimate`.
    options : EstimateOptions
    convert : callable or None
        Returns predictions and draws of the quantity from the cells of a block and the predictions
        and draws of the model.
    """
    source = JointDraws(model, options.n_samples, options.seed)
    assigner = read_zones(zones)
    reader = CellReader(source.columns, assigner, weights, options.block_rows)
    sums = ZoneSums(options.statistic, options.n_samples)
    for block in reader.blocks(cells):
        if not len(block.frame):
            continue
        predictions, draws = source.predict(block.frame), source.draw(block.frame)
        if convert is not None:
            predictions, draws = convert(block.frame, predictions, draws)
        outside = outside_area(options.area, block.frame, source.columns)
        sums.add(block.zones, block.weights, predictions, draws, outside)
    columns: dict[str, np.ndarray] = {}
    if sums.labels:
        limits = options.limits
        columns = distribution_row(
            sums.estimates(), sums.draws(), options.coverage, limits.below, limits.above
        )
        columns |= {"n_cells": sums.n_cells, "n_effective": sums.n_effective()}
        if options.area is not None:
            columns["outside_aoa"] = sums.outside_share
    return zone_table(
        columns,
        sums.labels,
        known=assigner.known,
        name=assigner.name,
        n_rows=reader.n_rows,
        n_outside=reader.n_outside,
        stacklevel=4,
    )


def outside_area(area: Any, frame: pd.DataFrame, columns: ModelColumns) -> np.ndarray | None:
    """Return whether cells (n,) are outside of the area of applicability; None without one.

    Parameters
    ----------
    area : fitted AreaOfApplicability or None
    frame : DataFrame of n rows
        All columns of the cells.
    columns : ModelColumns
        Those of the model, which the area has if it was fitted without names.
    """
    if area is None:
        return None
    labels, X = fitted_columns(area), columns.select(frame)
    if labels is not None and isinstance(X, pd.DataFrame):
        others = [label for label in frame.columns if label not in X.columns]
        table = pd.concat([X, frame[others]], axis=1)
        missing = [label for label in labels if label not in table.columns]
        if missing:
            raise ValueError(
                f"cells lack the columns {missing[:10]} of area; they have "
                f"{list(frame.columns)[:20]}{did_you_mean(missing[0], frame.columns)}"
            )
        X = table[labels]
    return np.asarray(area.predict(X)) == -1
