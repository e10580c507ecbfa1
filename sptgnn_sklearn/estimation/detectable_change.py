"""Minimum detectable change of zones by the number of samples and revisits."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..utils.validation import require_count
from .cells import CellReader, choose_block_rows
from .change import check_dates, detection_factor, find_time_column, paired_blocks
from .conditional_errors import residual_variance
from .joint_draws import (
    DRAWS_PER_KNOWN_ERROR,
    JointDraws,
    check_draw_count,
    check_samples_jointly,
    read_seed,
)
from .zone_assignment import read_zones
from .zone_sums import ZoneSums

__all__ = ["minimum_detectable_change"]

_N_REPEATS = 3  # random sets of locations
_LEAST_DRAWS = 2000


def minimum_detectable_change(
    model: Any,
    before: Any,
    after: Any,
    zones: Any = None,
    *,
    cells: Any = None,
    n_locations: Sequence[int] = (10, 25, 50, 100),
    revisit: bool | Sequence[bool] = (False, True),
    weights: Any = None,
    level: float = 0.05,
    power: float = 0.8,
    n_samples: int | None = None,
    random_state: Any = 0,
    block_rows: int | None = None,
) -> pd.DataFrame:
    """Compute the change that further samples could detect, by their number and revisits.

    Each zone is sampled at a number of random locations at both dates, at the same locations or at
    others. The samples make the errors of the model at these locations known, and lower the error
    of the mean change of the zone by their correlation with it. The measurements themselves need
    not be known, because the error of a linear predictor does not depend on them.

    Parameters
    ----------
    model : fitted regressor
        As in `estimate_change`. Its joint draws are those of measurements, so that a sample
        contains the noise of a measurement.
    before, after : table, or date if `cells` is given
        As in `estimate_change`.
    zones, cells, weights, random_state, block_rows
        As in `estimate_change`. Locations are drawn with probabilities in proportion to the
        weights.
    n_locations : sequence of int, default=(10, 25, 50, 100)
        Numbers of locations in each zone at each date.
    revisit : bool or sequence of bool, default=(False, True)
        Whether the locations of the second date are those of the first.
    level : float, default=0.05
        Significance level of the two-sided test.
    power : float, default=0.8
        Its power.
    n_samples : int, default=None
        Number of joint draws, at least 10 times the largest number of locations. None takes 2,000,
        or that number if it is larger. A zone needs 48 bytes for each draw and location.

    Returns
    -------
    DataFrame
        One row for each zone, number of locations and kind of visit, with these as index. The row
        of 0 locations is that of the map alone.

        - std: standard deviation of the error of the change.
        - minimum_detectable_change: change that the test would detect with probability `power`,
          ``(z(1 - level / 2) + z(power)) * std``. NaN if the zone has fewer cells than locations,
          which without revisits are twice as many.

    Raises
    ------
    TypeError
        If the model has no ``sample_y``.
    ValueError
        If an argument is invalid, or as in `estimate_change`.

    Warns
    -----
    UserWarning
        If zones have fewer cells than locations.

    See Also
    --------
    estimate_change : The change itself.
    propose_samples : Locations that lower the error most.

    Notes
    -----
    The samples correct the predictions by simple kriging of their errors (Brus & Noij 2008,
    European Journal of Soil Science 59, 1013-1023, treat the design of such monitoring), without a
    new fit of the model, which may improve its predictions as well. A new fit also replaces the
    correlogram, which is known poorly before any location was visited twice: then the difference
    between both kinds of visit is that of the assumption on errors in time, see `estimate_change`.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from sklearn.gaussian_process.kernels import RBF, WhiteKernel
    >>> from sptgnn_sklearn.estimation import minimum_detectable_change
    >>> samples = pd.DataFrame({"x": [0.0, 40.0], "y": 0.0, "year": [0.0, 8.0]})
    >>> kernel = RBF([9.0, 9.0, 20.0]) + WhiteKernel(0.1)
    >>> model = GaussianProcessRegressor(kernel, optimizer=None).fit(samples, [2.0, 2.5])
    >>> first = pd.DataFrame({"x": np.arange(50.0), "y": 0.0, "year": 0.0})
    >>> table = minimum_detectable_change(
    ...     model, first, first.assign(year=8.0), n_locations=[5, 20], block_rows=50
    ... )
    >>> list(table.index.names)
    ['zone', 'n_locations', 'revisit']
    >>> found = table["minimum_detectable_change"].loc["all"]
    >>> bool(found[20, True] < found[5, True] < found[0, True])
    True
    """
    check_samples_jointly(model)
    factor = detection_factor(level, power)
    numbers, visits = _check_designs(n_locations, revisit)
    least = 2 * DRAWS_PER_KNOWN_ERROR * numbers[-1]
    n_samples = max(_LEAST_DRAWS, least) if n_samples is None else check_draw_count(n_samples)
    if n_samples < least:
        raise ValueError(
            f"n_samples={n_samples} must be at least {2 * DRAWS_PER_KNOWN_ERROR} times the largest "
            f"of n_locations, {numbers[-1]}: set n_samples={least}."
        )
    check_dates(before, after, cells)
    time = find_time_column(model, needed=cells is not None)
    seed = read_seed(random_state)
    source = JointDraws(model, n_samples, seed)
    reader = CellReader(
        source.columns, read_zones(zones), weights, choose_block_rows(block_rows, n_samples)
    )
    rng = np.random.default_rng(seed)
    change = ZoneSums("mean", n_samples)
    sampled: dict[Any, _RandomCells] = {}
    for block, second in paired_blocks(reader, before, after, cells, time, source.columns):
        n_cells = len(block.frame)
        if not n_cells:
            continue
        draws = source.draw(block.frame, second)
        first, last = draws[:n_cells], draws[n_cells:]
        change.add(block.zones, block.weights, np.zeros(n_cells), last - first)
        in_zone = pd.Series(block.zones)
        for label in in_zone.unique():
            inside = np.flatnonzero(in_zone == label)
            cells_of_zone = sampled.setdefault(label, _RandomCells(2 * numbers[-1], rng))
            cells_of_zone.add(block.weights[inside], first[inside], last[inside])
    if not change.labels:
        raise ValueError("No cell is in a zone with a positive weight.")
    rows: list[tuple[Any, ...]] = []
    lacking: list[Any] = []
    for label, target in zip(change.labels, change.draws(), strict=True):
        found = sampled[label]
        for n, again in [(0, again) for again in visits] + [
            (n, again) for n in numbers for again in visits
        ]:
            std = np.nan
            if n * (1 if again else 2) <= found.n_cells:
                std = np.sqrt(np.mean(list(_variances(target, found, n, again))))
            elif label not in lacking:
                lacking.append(label)
            rows.append((label, n, again, std, factor * std))
    if lacking:
        warnings.warn(
            f"Zones with too few cells for n_locations={numbers} have NaN for the larger numbers: "
            f"{lacking[:5]} ({len(lacking)} zones).",
            UserWarning,
            stacklevel=2,
        )
    index = ["zone", "n_locations", "revisit"]
    columns = [*index, "std", "minimum_detectable_change"]
    return pd.DataFrame(rows, columns=columns).set_index(index)


class _RandomCells:
    """Draws of random cells of a zone, from a stream of its cells.

    Several independent orders of the cells by weighted sampling without replacement, by random keys
    (Efraimidis & Spirakis 2006, Information Processing Letters 97, 181-185).

    Parameters
    ----------
    most : int
        Number of cells at the start of each order that are kept.
    rng : Generator
    """

    def __init__(self, most: int, rng: np.random.Generator) -> None:
        self._most, self._rng = most, rng
        self.n_cells = 0
        self._keys = np.empty((_N_REPEATS, 0))
        self._cells = np.empty((_N_REPEATS, 0), dtype=np.int64)
        self._draws: dict[int, np.ndarray] = {}  # pairs (2, n_samples) by number of the cell

    def add(self, weights: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
        """Add cells with their draws (n, n_samples) at both dates."""
        numbers = self.n_cells + np.arange(len(weights))
        self.n_cells += len(weights)
        keys = np.log(self._rng.random((_N_REPEATS, len(weights)))) / weights
        keys = np.concatenate([self._keys, keys], axis=1)
        cells = np.concatenate([self._cells, np.tile(numbers, (_N_REPEATS, 1))], axis=1)
        order = np.argsort(-keys, axis=1, kind="stable")[:, : self._most]
        self._keys = np.take_along_axis(keys, order, axis=1)
        self._cells = np.take_along_axis(cells, order, axis=1)
        for number in np.unique(self._cells[self._cells >= numbers[0]]):
            row = number - numbers[0]
            self._draws[number] = np.stack([first[row], second[row]]).astype(np.float32)
        self._draws = {number: self._draws[number] for number in np.unique(self._cells)}

    def orders(self) -> Iterator[list[np.ndarray]]:
        """Yield the draws (2, n_samples) of cells in each order."""
        for cells in self._cells:
            yield [self._draws[number] for number in cells]


def _variances(target: np.ndarray, cells: _RandomCells, n: int, again: bool) -> Iterator[float]:
    """Yield the variance of the error of a change after samples at random sets of cells."""
    if n == 0:
        yield float(target.var(ddof=1))
        return
    for draws in cells.orders():
        second = draws[:n] if again else draws[n : 2 * n]
        known = [pair[0] for pair in draws[:n]] + [pair[1] for pair in second]
        yield residual_variance(target, np.array(known, dtype=np.float64))


def _check_designs(n_locations: Any, revisit: Any) -> tuple[list[int], list[bool]]:
    """Return increasing numbers of locations, and kinds of visits."""
    if np.ndim(n_locations) != 1 or not len(n_locations):
        raise ValueError(f"n_locations must be a sequence such as [10, 50]; found {n_locations!r}.")
    for n in n_locations:
        require_count("n_locations", n)
    visits = [revisit] if np.ndim(revisit) == 0 else list(revisit)
    if not visits or not all(isinstance(again, bool | np.bool_) for again in visits):
        raise ValueError(f"revisit must be True, False or both; found {revisit!r}.")
    return sorted({int(n) for n in n_locations}), list(dict.fromkeys(map(bool, visits)))
