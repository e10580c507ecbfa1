"""Change of zones between two dates, from joint draws of a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import pandas as pd
from scipy.special import ndtri

from ..maps.model_inputs import inspect_inputs
from ..meta_estimators import innermost_estimator
from ..table.coordinate_columns import as_dataframe
from ..table.schema import TableSchema
from ..utils.distribution_columns import check_shares
from .cells import (
    CellReader,
    ModelColumns,
    WeightedBlock,
    is_stream,
    iterate_blocks,
    iterate_tables,
)
from .joint_draws import JointDraws, check_samples_jointly, derive_seed
from .model_based import EstimateOptions, outside_area
from .zone_assignment import read_zones
from .zone_sums import Statistic, ZoneSums, distribution_row, zone_table

__all__ = [
    "ChangeConversion",
    "change_from_draws",
    "check_dates",
    "detection_factor",
    "estimate_change",
    "find_time_column",
    "paired_blocks",
    "persistent_draws",
]

_SAME_PLACE = 1e-6  # largest difference of coordinates, relative to their magnitude


class ChangeConversion(Protocol):
    """Conversion of draws of a model at both dates to another quantity."""

    def start(self, before: WeightedBlock, after: pd.DataFrame, draws: np.ndarray) -> None:
        """Prepare a block of cells, from its columns at both dates and the draws of the first."""

    def convert(
        self, date: int, predictions: np.ndarray, draws: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return predictions and draws of the quantity at the first (0) or second (1) date."""


def estimate_change(
    model: Any,
    before: Any,
    after: Any,
    zones: Any = None,
    *,
    cells: Any = None,
    weights: Any = None,
    statistic: Statistic = "mean",
    unit: str | None = None,
    below: Any = None,
    above: Any = None,
    coverage: float = 0.9,
    level: float = 0.05,
    power: float = 0.8,
    n_samples: int = 200,
    random_state: Any = 0,
    area: Any = None,
    block_rows: int | None = None,
) -> pd.DataFrame:
    """Estimate the change of the mean or total of zones between two dates, with its error.

    Errors of a map at two dates are correlated, because much of what the model does not know stays
    the same: the error of a difference of two maps is not the sum of both errors. Both dates are
    drawn jointly, so that the correlation between dates is that of the draws of the model.

    Parameters
    ----------
    model : fitted regressor
        As in `estimate`, fitted with dates (``time=``).
    before, after : table, or date if `cells` is given
        The cells at the first and at the second date: the same cells in the same order, which their
        coordinates must confirm, as tables or iterators of blocks of equal size. With `cells` the
        two dates, in any form that the model reads: 2012, "2012-07-01", a datetime.
    zones : default=None
        As in `estimate`; columns are those of `before`.
    cells : DataFrame, GeoDataFrame, array-like or iterator of these, default=None
        Cells of which only the date changes. Their column of dates is replaced, and may be missing.
    weights, statistic, unit, below, above, coverage, n_samples, random_state, area, block_rows
        As in `estimate`; limits `below` and `above` are those of the change, and weights of the
        name of a column are those of `before`.
    level : float, default=0.05
        Significance level of the minimum detectable difference, two-sided.
    power : float, default=0.8
        Its power.

    Returns
    -------
    DataFrame
        A row per zone, with the label as index. Zones without cells have NaN, with a warning.

        - estimate, std, lower, upper: change from before to after.
        - before, after: the statistic at both dates.
        - probability_of_increase: share of draws with a positive change.
        - signal_to_noise: absolute estimate over std.
        - minimum_detectable_difference: change that a two-sided test at `level` would detect with
          probability `power`, ``(z(1 - level / 2) + z(power)) * std``.
        - std_independent: std if errors at the two dates were independent.
        - std_persistent: std if the error of each cell stayed the same, in units of its standard
          deviation. It is near 0 if both dates are equally uncertain. These two bound the std for
          any correlation of errors between 0 and 1.
        - ``p<...``, ``p>...``, n_cells, n_effective, outside_aoa: as in `estimate`, of the change;
          outside at either date.

    Raises
    ------
    TypeError
        If the model has no ``sample_y``.
    ValueError
        If the model has no dates, cells of the two dates differ, or as in `estimate`.

    Warns
    -----
    UserWarning
        As in `estimate`.

    See Also
    --------
    estimate_stock_change : Change of stocks.

    Notes
    -----
    std contains as much correlation between dates as the model has learned. A survey in which no
    location was sampled twice says little about it; then report both bounds. A change of the
    method of sampling or of the laboratory between the dates is a common error of one date. It is
    in these numbers only if the model was fitted with the role `campaign`, see :ref:`campaigns`.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from sptgnn_sklearn.estimation import estimate_change
    >>> samples = pd.DataFrame({"x": [0.0, 4.0, 0.0, 4.0], "y": 0.0, "year": [0.0, 0, 8, 8]})
    >>> model = GaussianProcessRegressor(RBF([3.0, 3.0, 9.0]), alpha=0.01, optimizer=None)
    >>> model = model.fit(samples, [2.0, 2.5, 2.3, 3.0])
    >>> first = pd.DataFrame({"x": np.arange(5.0), "y": 0.0, "year": 0.0})
    >>> table = estimate_change(model, first, first.assign(year=8.0))
    >>> table[["before", "after", "estimate"]].round(2).to_numpy()
    array([[2.39, 2.81, 0.42]])
    >>> bool((table["std_persistent"] < table["std"]).all())
    True
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
    return change_from_draws(
        model, before, after, zones, weights, options, cells=cells, level=level, power=power
    )


def change_from_draws(
    model: Any,
    before: Any,
    after: Any,
    zones: Any,
    weights: Any,
    options: EstimateOptions,
    *,
    cells: Any,
    level: float,
    power: float,
    conversion: ChangeConversion | None = None,
) -> pd.DataFrame:
    """Return the table of `estimate_change`, of the values to which draws are converted.

    Parameters
    ----------
    model, before, after, zones, weights, cells, level, power
        See `estimate_change`.
    options : EstimateOptions
    conversion : ChangeConversion or None
    """
    factor = detection_factor(level, power)
    check_dates(before, after, cells)
    time = find_time_column(model, needed=cells is not None)
    n_samples = options.n_samples
    source = JointDraws(model, n_samples, options.seed)
    other = JointDraws(model, n_samples, derive_seed(options.seed, 1))
    assigner = read_zones(zones)
    reader = CellReader(source.columns, assigner, weights, options.block_rows)
    sums = {name: ZoneSums(options.statistic, n_samples) for name in ("before", "after")}
    sums |= {name: ZoneSums(options.statistic, n_samples) for name in ("independent", "persistent")}
    change = ZoneSums("mean", n_samples)
    for block, second in paired_blocks(reader, before, after, cells, time, source.columns):
        first, n_cells = block.frame, len(block.frame)
        if not n_cells:
            continue
        # One call, so that both dates are drawn jointly whatever the model.
        draws = source.draw(first, second)
        predictions = {"before": source.predict(first), "after": source.predict(second)}
        found = {"before": draws[:n_cells], "after": draws[n_cells:]}
        found["independent"] = other.draw(second)
        found["persistent"] = persistent_draws(found["before"], found["after"])
        if conversion is not None:
            conversion.start(block, second, found["before"])
        outside = outside_area(options.area, first, source.columns)
        if outside is not None:
            outside = outside | outside_area(options.area, second, source.columns)
        values = {}
        for name, date in (("before", 0), ("after", 1), ("independent", 1), ("persistent", 1)):
            pair = predictions["after" if date else "before"], found[name]
            values[name] = pair if conversion is None else conversion.convert(date, *pair)
            sums[name].add(block.zones, block.weights, *values[name])
        (start, start_draws), (end, end_draws) = values["before"], values["after"]
        change.add(block.zones, block.weights, end - start, end_draws - start_draws, outside)
    columns: dict[str, np.ndarray] = {}
    if change.labels:
        columns = _change_columns(sums, change, options, factor)
    return zone_table(
        columns,
        change.labels,
        known=assigner.known,
        name=assigner.name,
        n_rows=reader.n_rows,
        n_outside=reader.n_outside,
        stacklevel=4,
    )


def persistent_draws(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return draws of the second date with the standardized errors of the first.

    Parameters
    ----------
    before, after : ndarray of shape (n, n_samples)
        Draws at both dates.

    Returns
    -------
    ndarray of shape (n, n_samples)
        With the mean and standard deviation of `after` in each row, and a correlation of 1 with
        `before`; `after` itself in rows without variation before.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.estimation.change import persistent_draws
    >>> persistent_draws(np.array([[1.0, 2.0, 3.0]]), np.array([[7.0, 9.0, 5.0]]))
    array([[5., 7., 9.]])
    """
    mean, std = before.mean(axis=1, keepdims=True), before.std(axis=1, keepdims=True)
    ratio = np.divide(after.std(axis=1, keepdims=True), std, out=np.zeros_like(std), where=std > 0)
    moved = after.mean(axis=1, keepdims=True) + ratio * (before - mean)
    return np.where(std > 0, moved, after)


def _change_columns(
    sums: dict[str, ZoneSums], change: ZoneSums, options: EstimateOptions, factor: float
) -> dict[str, np.ndarray]:
    first, second = sums["before"].estimates(), sums["after"].estimates()
    at_first = sums["before"].draws()
    draws = sums["after"].draws() - at_first
    limits = options.limits
    found = distribution_row(second - first, draws, options.coverage, limits.below, limits.above)
    std = found["std"]
    with np.errstate(divide="ignore", invalid="ignore"):
        signal_to_noise = np.abs(second - first) / std
    moments = {name: found.pop(name) for name in ("estimate", "std", "lower", "upper")}
    columns = {
        **moments,
        "before": first,
        "after": second,
        "probability_of_increase": (draws > 0).mean(axis=1),
        "signal_to_noise": signal_to_noise,
        "minimum_detectable_difference": factor * std,
        "std_independent": (sums["independent"].draws() - at_first).std(axis=1, ddof=1),
        "std_persistent": (sums["persistent"].draws() - at_first).std(axis=1, ddof=1),
        **found,
        "n_cells": change.n_cells,
        "n_effective": change.n_effective(),
    }
    if options.area is not None:
        columns["outside_aoa"] = change.outside_share
    return columns


def paired_blocks(
    reader: CellReader, before: Any, after: Any, cells: Any, time: Any, columns: ModelColumns
) -> Iterator[tuple[WeightedBlock, pd.DataFrame]]:
    """Yield the blocks of the first date, and the same cells at the second."""
    if cells is not None:
        dated = (_with_date(as_dataframe(table), time, before) for table in iterate_tables(cells))
        for block in reader.blocks(dated if is_stream(cells) else next(dated)):
            yield block, _with_date(block.frame, time, after)
        return
    seconds = _RowBuffer(iterate_blocks(after, reader.block_rows))
    start = 0
    for block in reader.blocks(before):
        second = seconds.take(len(block.kept))
        if len(second) != len(block.kept):
            raise ValueError(
                "before and after must have the same cells in the same order; after has only "
                f"{start + len(second)} rows."
            )
        second = second[block.kept]
        _check_same_places(block, second, columns, start)
        start += len(block.kept)
        yield block, second
    if len(seconds.take(1)):
        raise ValueError(
            "before and after must have the same cells in the same order; before has only "
            f"{start} rows, and after has more."
        )


class _RowBuffer:
    """Rows of tables that come in blocks of any size."""

    def __init__(self, tables: Iterator[pd.DataFrame]) -> None:
        self._tables = tables
        self._rest = pd.DataFrame()

    def take(self, n: int) -> pd.DataFrame:
        """Return the next n rows, or fewer if there are no more."""
        while len(self._rest) < n and (table := next(self._tables, None)) is not None:
            self._rest = table if self._rest.empty else pd.concat([self._rest, table])
        taken, self._rest = self._rest.iloc[:n], self._rest.iloc[n:]
        return taken


def check_dates(before: Any, after: Any, cells: Any) -> None:
    """Raise a ValueError unless both dates are given as dates with cells, else as tables."""
    for name, given in (("before", before), ("after", after)):
        is_table = is_stream(given) or hasattr(given, "columns") or np.ndim(given) == 2
        if cells is None and not is_table:
            raise ValueError(
                f"{name} must be the cells of a date; found {given!r:.60}. Dates need cells=, the "
                "table of which only the date changes."
            )
        if cells is not None and (is_table or np.ndim(given) or given is None):
            raise ValueError(
                f"{name} must be a date, because cells is given; found {type(given).__name__}."
            )


def _with_date(frame: pd.DataFrame, time: Any, date: Any) -> pd.DataFrame:
    result = frame.copy()
    result[time] = date
    return result


def _check_same_places(
    block: WeightedBlock, second: pd.DataFrame, columns: ModelColumns, start: int
) -> None:
    places = columns.locate(second) if len(second) else None
    if places is None or block.locations is None:
        return
    first = block.locations.xy
    allowed = _SAME_PLACE * np.maximum(np.abs(first), 1.0)
    differ = (np.abs(places.xy - first) > allowed).any(axis=1)
    if differ.any():
        row = int(differ.argmax())
        position = start + int(np.flatnonzero(block.kept)[row])
        raise ValueError(
            "before and after must have the same cells in the same order; at row position "
            f"{position} the coordinates are {tuple(first[row].tolist())} and "
            f"{tuple(places.xy[row].tolist())} ({int(differ.sum())} such rows in a block)."
        )


def find_time_column(model: Any, needed: bool) -> Any:
    """Return the column of dates; raise a ValueError if the model is known to have none."""
    inputs = inspect_inputs(model)
    has_roles = isinstance(getattr(innermost_estimator(model), "columns_", None), TableSchema)
    if inputs.time is None and (has_roles or needed):
        remedy = (
            "fit it with time=, the column of sampling dates."
            if has_roles
            else "pass the cells of both dates as before and after instead of cells."
        )
        raise ValueError(f"{type(model).__name__} has no column of dates: {remedy}")
    return inputs.time


def detection_factor(level: Any, power: Any) -> float:
    """Return the minimum detectable difference in standard deviations."""
    for name, value in (("level", level), ("power", power)):
        if np.ndim(value):
            raise ValueError(f"{name} must be one number; found {value!r}.")
        check_shares(name, value)
    return float(ndtri(1 - level / 2) + ndtri(power))
