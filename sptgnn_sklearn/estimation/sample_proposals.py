"""Proposals of further sampling locations that lower the error of an estimate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..spatial.distances import to_metric_coordinates
from ..table.column_parsing import to_float
from ..table.coordinate_columns import as_dataframe
from ..utils.messages import did_you_mean, format_rows
from ..utils.validation import require_count
from .cells import CellReader, ModelColumns, WeightedBlock, as_column, choose_block_rows
from .conditional_errors import ConditionalErrors
from .covering_samples import latin_hypercube_rows, spatial_coverage_rows
from .joint_draws import (
    DRAWS_PER_KNOWN_ERROR,
    JointDraws,
    check_draw_count,
    check_samples_jointly,
    read_seed,
)
from .zone_assignment import read_zones
from .zone_sums import ZoneSums

__all__ = ["PROPOSAL_METHODS", "propose_samples"]

OBJECTIVES = ("mean", "cells")
PROPOSAL_METHODS = ("greedy", "kmeans", "latin_hypercube", "random")
_N_DRAWS = 1000
_ROW = "row"


def propose_samples(
    model: Any,
    cells: Any,
    n: int,
    *,
    zones: Any = None,
    weights: Any = None,
    objective: str = "mean",
    method: str = "greedy",
    cost: Any = None,
    samples: Any = None,
    n_samples: int | None = None,
    max_candidates: int = 2000,
    random_state: Any = 0,
    block_rows: int | None = None,
) -> pd.DataFrame:
    """Propose further sampling locations that lower the error of an estimate most.

    Parameters
    ----------
    model : fitted regressor
        As in `estimate`.
    cells : DataFrame, GeoDataFrame, array-like, dask DataFrame or iterator of tables
        Cells of the map, as in `estimate`, at the date of sampling if the model has dates.
    n : int
        Number of proposed samples, in different cells.
    zones, weights, random_state, block_rows
        As in `estimate`.
    objective : {"mean", "cells"}, default="mean"
        Estimate whose variance is lowered: "mean" the means of the zones (the mean variance over
        zones), "cells" the values of all cells (the weighted mean variance over cells).
    method : {"greedy", "kmeans", "latin_hypercube", "random"}, default="greedy"
        - greedy: one sample after the other, the one that lowers the variance most, given those
          before it.
        - kmeans: cells nearest to the centers of n compact strata of equal area (spatial coverage
          sampling [1]_). Uses no model.
        - latin_hypercube: cells that cover the distributions of the numeric covariates
          (conditioned Latin hypercube sampling [2]_). Uses no model.
        - random: random cells, with probabilities in proportion to their weights; a probability
          sample, as `design_estimate` needs.
    cost : str or array-like of shape (n_cells,), default=None
        Positive cost of a sample in each cell, the name of a column or an array. "greedy" then
        lowers the variance most for the cost.
    samples : DataFrame, default=None
        Existing samples with the columns of the model. Their errors are known, so that other
        locations near to them gain less. The draws of a model hardly know where its samples are,
        so pass its training table unless it is large. Columns that are not covariates, such as
        sites and campaigns, may be missing.
    n_samples : int, default=None
        Number of joint draws, at least 5 for each existing or proposed sample. None takes 1,000, or
        that number if it is larger.
    max_candidates : int, default=2000
        Number of cells from which "greedy", "kmeans" and "latin_hypercube" choose. From more cells
        as many are drawn at random, with equal probabilities. The estimate is that of all cells.

    Returns
    -------
    DataFrame of n rows
        In the order of the choice.

        - row: position in `cells`, with the coordinates of the cell in the columns and the CRS of
          the model.
        - cost: only if given.
        - std: root mean variance of the errors of the estimate with this and all samples before
          it, by the draws of the model, whatever the method.
        - relative_std: the same, relative to that without further samples; NaN if that is 0.

    Raises
    ------
    TypeError
        If the model has no ``sample_y``.
    ValueError
        If an argument is invalid, there are fewer cells than proposed samples, or as in `estimate`.

    See Also
    --------
    minimum_detectable_change : How many samples a change needs.
    design_estimate : Estimates from random samples.

    Notes
    -----
    A sample at a location makes the error of the model known there, and lowers other errors by
    their correlation with it (simple kriging of the errors). The values need not be known for that,
    so that all samples can be proposed before any is taken. A proposal relies on the correlation of
    errors of the model; samples that are not drawn at random are no basis for `design_estimate`.

    References
    ----------
    .. [1] Brus, D. J., de Gruijter, J. J., van Groenigen, J. W. (2007). Designing spatial coverage
       samples using the k-means clustering algorithm. Developments in Soil Science 31, 183-192.
    .. [2] Minasny, B., McBratney, A. B. (2006). A conditioned Latin hypercube method for sampling
       in the presence of ancillary information. Computers & Geosciences 32, 1378-1388.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from sptgnn_sklearn.estimation import propose_samples
    >>> samples = pd.DataFrame({"x": [0.0, 2.0, 4.0], "y": [0.0, 1.0, 0.0]})
    >>> model = GaussianProcessRegressor(RBF(3.0), optimizer=None).fit(samples, [2.0, 2.5, 3.0])
    >>> cells = pd.DataFrame({"x": np.arange(20.0), "y": 0.5})
    >>> table = propose_samples(model, cells, 2, block_rows=20)
    >>> table.columns.tolist()
    ['row', 'x', 'y', 'std', 'relative_std']
    >>> bool((table["x"] > 4).all())
    True
    """
    check_samples_jointly(model)
    _check_proposal(n, objective, method, cost, max_candidates)
    existing = None if samples is None else as_dataframe(samples)
    n_known = n + (0 if existing is None else len(existing))
    least = DRAWS_PER_KNOWN_ERROR * n_known
    n_samples = max(_N_DRAWS, least) if n_samples is None else check_draw_count(n_samples)
    if n_samples < least:
        raise ValueError(
            f"n_samples={n_samples} draws are too few for {n_known} samples: set n_samples to at "
            f"least {least}."
        )
    seed = read_seed(random_state)
    source = JointDraws(model, n_samples, seed)
    reader = CellReader(
        source.columns, read_zones(zones), weights, choose_block_rows(block_rows, n_samples)
    )
    if existing is not None:
        source.columns.select(existing, "samples")
    found = _Candidates(n if method == "random" else max_candidates, method == "random", seed)
    _read_candidates(found, source, reader, cells, objective, cost, existing)
    if len(found.rows) < n:
        raise ValueError(
            f"n={n} samples need as many cells that are in a zone and have a positive weight; "
            f"found {len(found.rows)} of {reader.n_rows}. Propose fewer samples, or check zones "
            "and weights."
        )
    errors = ConditionalErrors(found.draws, found.targets, found.gram)
    if len(found.known):
        errors.condition_on(found.known)
    initial = np.sqrt(errors.variance())
    planned = _planned(method, found, source.columns, n, seed)
    chosen: list[int] = []
    std = []
    for step in range(n):
        if planned is not None:
            row = int(planned[step])
        else:
            gains = errors.gains() if found.cost is None else errors.gains() / found.cost
            gains[chosen] = -np.inf  # one sample in a cell, also if all errors are known
            row = int(np.argmax(gains))
        errors.condition(row)
        chosen.append(row)
        std.append(np.sqrt(errors.variance()))
    return found.table(chosen, std, initial)


class _Candidates:
    """Cells that can be proposed, and the draws of the estimate."""

    def __init__(self, most: int, weighted: bool, seed: int) -> None:
        self._most, self._weighted = most, weighted
        self._rng = np.random.default_rng([seed, 7])
        self.keys = np.empty(0)
        self.frame: pd.DataFrame | None = None
        self.coordinates: pd.DataFrame | None = None
        self.rows = np.empty(0, dtype=np.int64)
        self.weights = np.empty(0)
        self.positions: np.ndarray | None = None
        self.draws = np.empty((0, 0), dtype=np.float32)
        self.cost: np.ndarray | None = None
        self.targets: np.ndarray | None = None
        self.gram: np.ndarray | None = None
        self.known = np.empty((0, 0))  # draws of existing samples

    def add(
        self,
        block: WeightedBlock,
        rows: np.ndarray,
        draws: np.ndarray,
        cost: np.ndarray | None,
        columns: ModelColumns,
    ) -> None:
        """Add the cells of a block, of which a random part is kept."""
        # The smallest keys are a weighted random sample (Efraimidis & Spirakis 2006, Information
        # Processing Letters 97, 181-185).
        keys = -np.log(self._rng.random(len(rows)))
        keys = np.concatenate([self.keys, keys / block.weights if self._weighted else keys])
        kept = np.sort(np.argsort(keys, kind="stable")[: self._most])
        places, pair = block.locations, columns.inputs.coordinates

        def join(old: Any, new: np.ndarray) -> np.ndarray:
            return np.concatenate([old, new])[kept] if len(self.keys) else new[kept]

        if places is not None:
            metric = to_metric_coordinates(places.xy, places.reference)
            self.positions = join(self.positions, metric)
        selected = columns.select(block.frame)
        if pair is not None and isinstance(selected, pd.DataFrame):
            self.coordinates = pd.concat([self.coordinates, selected[list(pair)]]).iloc[kept]
        if cost is not None:
            self.cost = join(self.cost, cost)
        self.rows, self.weights = join(self.rows, rows), join(self.weights, block.weights)
        self.draws = join(self.draws, draws.astype(np.float32))
        frame = block.frame if self.frame is None else pd.concat([self.frame, block.frame])
        self.frame, self.keys = frame.iloc[kept], keys[kept]

    def table(self, chosen: list[int], std: list[float], initial: float) -> pd.DataFrame:
        """Return the table of proposals."""
        found: dict[Any, Any] = {_ROW: self.rows[chosen]}
        if self.coordinates is not None:
            for label in self.coordinates:
                found.setdefault(label, self.coordinates[label].to_numpy()[chosen])
        if self.cost is not None:
            found["cost"] = self.cost[chosen]
        found["std"] = std
        relative = np.array(std) / initial if initial > 0 else np.full(len(std), np.nan)
        return pd.DataFrame(found | {"relative_std": relative})


def _read_candidates(
    found: _Candidates,
    source: JointDraws,
    reader: CellReader,
    cells: Any,
    objective: str,
    cost: Any,
    existing: pd.DataFrame | None,
) -> None:
    sums = ZoneSums("mean", source.n_samples)
    gram: Any = 0.0
    total, start = 0.0, 0
    costs = None if cost is None or isinstance(cost, str) else as_column("cost", cost)
    for block in reader.blocks(cells):
        rows = start + np.flatnonzero(block.kept)
        start += len(block.kept)
        if not len(rows):
            continue
        # Existing samples are drawn with the first cells, whatever the model.
        if existing is not None and not len(found.rows):
            draws = source.draw(block.frame, existing)
            draws, found.known = draws[: len(rows)], draws[len(rows) :]
        else:
            draws = source.draw(block.frame)
        if objective == "mean":
            sums.add(block.zones, block.weights, np.zeros(len(rows)), draws)
        else:
            centered = draws - draws.mean(axis=1, keepdims=True)
            gram += (centered * block.weights[:, None]).T @ centered
            total += block.weights.sum()
        of_cells = _block_costs(cost, costs, block.frame, rows)
        found.add(block, rows, draws, of_cells, source.columns)
    if costs is not None and len(costs) != reader.n_rows:
        raise ValueError(
            f"cost must have {reader.n_rows} values, one per row of cells; found {len(costs)}."
        )
    if objective == "mean":
        found.targets = sums.draws()
    elif total > 0:
        found.gram = gram / total


def _planned(
    method: str, found: _Candidates, columns: ModelColumns, n: int, seed: int
) -> np.ndarray | None:
    """Return the candidates (n,) of a method without a model; None if the method has one."""
    rng = np.random.RandomState(seed)
    if method == "greedy":
        return None
    if method == "random":
        return np.argsort(found.keys, kind="stable")[:n]
    if method == "kmeans":
        if found.positions is None:
            raise ValueError(
                "method='kmeans' needs coordinates, and no columns of cells are known as such: "
                "name them x and y, or fit the model with coordinates=."
            )
        return spatial_coverage_rows(found.positions, found.weights, n, rng)
    return latin_hypercube_rows(_covariates(found.frame, columns), n, rng)


def _covariates(frame: Any, columns: ModelColumns) -> np.ndarray:
    """Return the numeric covariates of candidates, with medians in the place of missing values."""
    inputs = columns.inputs
    others = {*(inputs.coordinates or ()), inputs.time, *inputs.images, *inputs.levels}
    labels = [
        label
        for label in inputs.labels
        if label not in others
        and label not in inputs.optional
        and label in frame.columns
        and pd.api.types.is_numeric_dtype(frame[label].dtype)
    ]
    if not labels:
        raise ValueError(
            "method='latin_hypercube' needs numeric covariates, and the model has none: "
            "use 'kmeans'."
        )
    values = frame[labels].astype(float).replace([np.inf, -np.inf], np.nan)
    return values.fillna(values.median()).fillna(0.0).to_numpy()


def _block_costs(
    cost: Any, costs: pd.Series | None, frame: pd.DataFrame, rows: np.ndarray
) -> np.ndarray | None:
    """Return the costs (n,) of the cells of a block, or raise a ValueError.

    Parameters
    ----------
    cost : str, array-like or None
    costs : Series or None
        The array.
    frame : DataFrame of n rows
    rows : ndarray of shape (n,)
        Positions of the cells in the whole table.
    """
    if cost is None:
        return None
    name = "cost"
    if costs is not None:
        if rows[-1] >= len(costs):
            raise ValueError(
                f"cost must have one value per row of cells; found {len(costs)} values for more "
                f"than {rows[-1]} rows."
            )
        column = costs.iloc[rows]
    elif cost in frame.columns:
        name, column = f"cost={cost!r}", frame[cost]
    else:
        raise ValueError(
            f"cost={cost!r} is not a column of cells; their columns are "
            f"{list(frame.columns)[:20]}{did_you_mean(cost, frame.columns)}"
        )
    values = to_float(column.reset_index(drop=True), cost if costs is None else "cost")
    invalid = ~(np.isfinite(values) & (values > 0))
    if invalid.any():
        of_table = np.zeros(rows[-1] + 1, dtype=bool)
        of_table[rows] = invalid
        raise ValueError(
            f"{name} must be positive; found {format_rows(of_table, f'{values[invalid][0]:g}')}."
        )
    return values


def _check_proposal(n: Any, objective: Any, method: Any, cost: Any, max_candidates: Any) -> None:
    require_count("n", n)
    require_count("max_candidates", max_candidates)
    for name, value, known in (
        ("objective", objective, OBJECTIVES),
        ("method", method, PROPOSAL_METHODS),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {list(known)}; found {value!r}.")
    if n > max_candidates and method != "random":
        raise ValueError(
            f"n={n} exceeds max_candidates={max_candidates}: set max_candidates to at least {n}."
        )
    if cost is not None and method != "greedy":
        raise ValueError(f"cost is only used by method='greedy'; found method={method!r}.")
