"""Stocks of zones and their change, from joint draws of a model of contents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..table.column_parsing import to_float
from ..utils.messages import did_you_mean, format_rows
from .cells import WeightedBlock
from .change import change_from_draws
from .joint_draws import JointDraws, check_samples_jointly, derive_seed
from .model_based import EstimateOptions, estimate_from_draws
from .stocks import (
    CONTENT_UNITS,
    UncertainValue,
    check_content,
    check_correlation,
    check_layer,
    equivalent_thickness,
    follow_scores,
    rank_normal_scores,
    soil_mass,
)
from .zone_sums import Statistic

__all__ = ["LayerValue", "StockConversion", "estimate_stock", "estimate_stock_change"]

_STOCK_METHODS = ("fixed_depth", "equivalent_mass")


def estimate_stock(
    model: Any,
    cells: Any,
    zones: Any = None,
    *,
    bulk_density: Any,
    thickness: Any,
    content_unit: str,
    coarse_fragments: Any = 0.0,
    correlation: float = 0.0,
    weights: Any = None,
    statistic: Statistic = "mean",
    below: Any = None,
    above: Any = None,
    coverage: float = 0.9,
    n_samples: int = 200,
    random_state: Any = 0,
    area: Any = None,
    block_rows: int | None = None,
) -> pd.DataFrame:
    """Estimate the mean or total stock of zones of a map, with its error.

    The stock of a cell is that of `stock`, computed for each joint draw of the content.

    Parameters
    ----------
    model : fitted regressor
        Model of the content of the layer, as in `estimate`.
    cells, zones
        As in `estimate`.
    bulk_density : float, str, UncertainValue or fitted regressor with ``sample_y``
        In g/cm3: a value, a column of `cells`, a value with error (its mean and std may be columns)
        or a model, whose columns are in `cells`.
    thickness, coarse_fragments : float, str or UncertainValue
        In cm, and as share of the volume.
    content_unit : {"%", "g/kg"}
        Unit of the predictions of `model`.
    correlation : float, default=0.0
        Correlation of the errors of bulk density and content at a cell, -1 to 1. The copula is
        Gaussian: normal scores of the ranks of both draws of a cell are mixed, and the draws of the
        bulk density are put into the order of the result, so that their distribution stays the
        same. With a shared `UncertainValue` the part of its error that does not follow the content
        is common to all cells.
    weights : default=None
        As in `estimate`; areas in ha make totals in Mg (t).
    statistic, below, above, coverage, n_samples, random_state, area, block_rows
        As in `estimate`, of the stock.

    Returns
    -------
    DataFrame
        As `estimate`, in Mg/ha (t/ha), or for totals in Mg/ha times the unit of `weights`. The
        estimate is computed from predictions and means, plus the covariance of content and bulk
        density if they are correlated.

    Raises
    ------
    TypeError
        If a model has no ``sample_y``.
    ValueError
        As in `estimate` and `stock`.

    See Also
    --------
    stock : Stock of values or draws.
    estimate_stock_change : Change between two dates.

    Notes
    -----
    The stock of a layer is that of the layer for which the model was fitted: a model of contents at
    0 to 30 cm needs a bulk density of 0 to 30 cm and ``thickness=30``.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from sptgnn_sklearn.estimation import UncertainValue, estimate_stock
    >>> samples = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": 0.0})
    >>> model = GaussianProcessRegressor(alpha=0.01, optimizer=None).fit(samples, [2.0, 2.1, 1.9])
    >>> cells = pd.DataFrame({"x": np.linspace(0, 2, 5), "y": 0.0, "ha": 4.0})
    >>> layer = {"thickness": 30, "content_unit": "%"}
    >>> density = UncertainValue(1.3, 0.05)
    >>> table = estimate_stock(model, cells, bulk_density=density, **layer)
    >>> table[["estimate", "std"]].round(0).to_dict("records")
    [{'estimate': 79.0, 'std': 4.0}]
    """
    conversion = StockConversion(
        bulk_density,
        thickness,
        coarse_fragments,
        content_unit=content_unit,
        correlation=correlation,
    )
    check_samples_jointly(model)
    options = EstimateOptions.check(
        statistic=statistic,
        weights=weights,
        unit=None,
        below=below,
        above=above,
        coverage=coverage,
        n_samples=n_samples,
        random_state=random_state,
        area=area,
        block_rows=block_rows,
    )
    conversion.seed(options.n_samples, options.seed)
    return estimate_from_draws(model, cells, zones, weights, options, conversion.apply)


def estimate_stock_change(
    model: Any,
    before: Any,
    after: Any,
    zones: Any = None,
    *,
    bulk_density: Any,
    thickness: Any,
    content_unit: str,
    cells: Any = None,
    bulk_density_after: Any = None,
    coarse_fragments: Any = 0.0,
    correlation: float = 0.0,
    method: str = "fixed_depth",
    weights: Any = None,
    statistic: Statistic = "mean",
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
    """Estimate the change of stocks of zones between two dates, with its error.

    Parameters
    ----------
    model : fitted regressor
        Model of the content of the layer, fitted with dates.
    before, after, zones, cells
        As in `estimate_change`.
    bulk_density, thickness, coarse_fragments, content_unit, correlation
        As in `estimate_stock`. Thickness and coarse fragments are the same at both dates; their
        columns are those of `before`.
    bulk_density_after : default=None
        Bulk density at the second date, with an error that is independent of that of the first.
        None is that of the first date, with the same error. Its columns are those of `after`.
    method : {"fixed_depth", "equivalent_mass"}, default="fixed_depth"
        "fixed_depth" compares the soil to `thickness` at both dates. "equivalent_mass" compares the
        same mass of fine earth, that of the first date: the thickness at the second date is that of
        `equivalent_thickness`, under its assumption that the content is constant within the depth
        by which the layer changes. Use it if the bulk density has changed.
    weights, statistic, below, above, coverage, level, power, n_samples, random_state, area, \
block_rows
        As in `estimate_change`, of the stock.

    Returns
    -------
    DataFrame
        As `estimate_change`, in Mg/ha (t/ha), or for totals in Mg/ha times the unit of `weights`.
        The std_independent and std_persistent are those for errors of the content; the bulk density
        is as stated. With "equivalent_mass" the column equivalent_thickness is the weighted mean
        thickness of the layer at the second date, in cm.

    Raises
    ------
    TypeError
        If a model has no ``sample_y``.
    ValueError
        As in `estimate_change` and `stock`, or if `method` is unknown.

    See Also
    --------
    equivalent_thickness : Layer of the same mass.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from sptgnn_sklearn.estimation import estimate_stock_change
    >>> samples = pd.DataFrame({"x": [0.0, 1.0, 0.0, 1.0], "y": 0.0, "year": [0.0, 0, 8, 8]})
    >>> model = GaussianProcessRegressor(alpha=0.01, optimizer=None)
    >>> model = model.fit(samples, [2.0, 2.1, 2.2, 2.3])
    >>> first = pd.DataFrame({"x": np.linspace(0, 1, 5), "y": 0.0, "year": 0.0})
    >>> layer = {"thickness": 30, "content_unit": "%", "bulk_density": 1.3}
    >>> table = estimate_stock_change(
    ...     model,
    ...     first,
    ...     first.assign(year=8.0),
    ...     bulk_density_after=1.2,
    ...     method="equivalent_mass",
    ...     **layer,
    ... )
    >>> table[["before", "after", "estimate", "equivalent_thickness"]].round(1).to_numpy()
    array([[83.3, 91.5,  8.1, 32.5]])
    """
    if method not in _STOCK_METHODS:
        raise ValueError(f"method must be one of {list(_STOCK_METHODS)}; found {method!r}.")
    conversion = StockConversion(
        bulk_density,
        thickness,
        coarse_fragments,
        content_unit=content_unit,
        correlation=correlation,
        bulk_density_after=bulk_density_after,
        equivalent_mass=method == "equivalent_mass",
    )
    check_samples_jointly(model)
    options = EstimateOptions.check(
        statistic=statistic,
        weights=weights,
        unit=None,
        below=below,
        above=above,
        coverage=coverage,
        n_samples=n_samples,
        random_state=random_state,
        area=area,
        block_rows=block_rows,
    )
    conversion.seed(options.n_samples, options.seed)
    table = change_from_draws(
        model,
        before,
        after,
        zones,
        weights,
        options,
        cells=cells,
        level=level,
        power=power,
        conversion=conversion,
    )
    if method == "equivalent_mass":
        table["equivalent_thickness"] = conversion.mean_thickness.reindex(table.index)
    return table


class LayerValue:
    """One property of a layer at cells: a value, a column, a value with error, or a model.

    Parameters
    ----------
    name : {"bulk_density", "thickness", "coarse_fragments"}
    given : float, str, UncertainValue or fitted regressor
    """

    def __init__(self, name: str, given: Any) -> None:
        self._name, self._given = name, given
        self._upper = 1.0 if name == "coarse_fragments" else np.inf
        self._model: JointDraws | None = None
        if hasattr(given, "predict"):
            if not name.startswith("bulk_density"):
                raise ValueError(f"{name} must not be a model: pass a value or a column of cells.")
            check_samples_jointly(given)
        elif not isinstance(given, UncertainValue | str) and np.ndim(given):
            raise ValueError(f"{name} is an array: put it into a column of cells, pass its name.")
        else:
            self._check(given)

    @property
    def is_uncertain(self) -> bool:
        """Whether the property has an error."""
        return isinstance(self._given, UncertainValue) or hasattr(self._given, "predict")

    def seed(self, n_samples: int, seed: int) -> None:
        """Set the number of draws and their seed."""
        self._n_samples = n_samples
        self._rng = np.random.default_rng(seed)
        if hasattr(self._given, "predict"):
            self._model = JointDraws(self._given, n_samples, seed)
        elif isinstance(self._given, UncertainValue) and self._given.shared:
            self._scores = self._rng.standard_normal((1, n_samples))

    def prepare(self, frame: pd.DataFrame) -> None:
        """Read the values, and draw the errors, of the cells of a block."""
        if self._model is not None:
            self.mean = self._model.predict(frame)[:, None]
            self._draws = self._model.draw(frame)
            self._check(self.mean)
            return
        value = _from_columns(self._name, self._given, frame)
        self._check(value)
        if isinstance(value, UncertainValue):
            self._value = value
            self.mean = value.expectation(self._upper).reshape(-1, 1)
            if not value.shared:
                self._scores = self._rng.standard_normal((len(frame), self._n_samples))
        else:
            self.mean = np.asarray(value, dtype=float).reshape(-1, 1)

    def draws(self, content: np.ndarray | None = None, correlation: float = 0.0) -> np.ndarray:
        """Return draws (n or 1, n_samples or 1), with errors correlated to those of the content."""
        followed = None if content is None or not correlation else rank_normal_scores(content)
        if self._model is not None:
            if followed is None:
                return self._draws
            scores = follow_scores(followed, rank_normal_scores(self._draws), correlation)
            rank = np.argsort(np.argsort(scores, axis=1, kind="stable"), axis=1, kind="stable")
            return np.take_along_axis(np.sort(self._draws, axis=1), rank, axis=1)
        if not self.is_uncertain:
            return self.mean
        scores = self._scores
        if followed is not None:
            scores = follow_scores(followed, scores, correlation)
        return self._value.quantiles(scores, self._upper)

    def _check(self, value: Any) -> None:
        parts = (value.mean, value.std) if isinstance(value, UncertainValue) else (value,)
        if not any(isinstance(part, str) for part in parts):
            kind = self._name.removesuffix("_after")
            names = ("bulk_density", "thickness", "coarse_fragments")
            check_layer(*(value if kind == name else None for name in names))


class StockConversion:
    """Conversion of draws of a content to those of a stock.

    Parameters
    ----------
    bulk_density, thickness, coarse_fragments, content_unit, correlation, bulk_density_after
        See `estimate_stock_change`.
    equivalent_mass : bool, default=False
        Whether the stock of the second date is that of the soil mass of the first.
    """

    def __init__(
        self,
        bulk_density: Any,
        thickness: Any,
        coarse_fragments: Any,
        *,
        content_unit: str,
        correlation: float,
        bulk_density_after: Any = None,
        equivalent_mass: bool = False,
    ) -> None:
        check_correlation(correlation)
        check_content(0.0, content_unit)
        self._unit, self._correlation = content_unit, float(correlation)
        self._density = LayerValue("bulk_density", bulk_density)
        self._thickness = LayerValue("thickness", thickness)
        self._fragments = LayerValue("coarse_fragments", coarse_fragments)
        self._after: LayerValue | None = None
        if bulk_density_after is not None:
            self._after = LayerValue("bulk_density_after", bulk_density_after)
        self._equivalent_mass = equivalent_mass
        uncertain = self._density.is_uncertain or (self._after and self._after.is_uncertain)
        if correlation and not uncertain:
            raise ValueError(
                f"correlation={correlation:g} needs a bulk_density with an error: an "
                "UncertainValue or a model."
            )
        self._thickness_sums: pd.DataFrame | None = None

    def seed(self, n_samples: int, seed: int) -> None:
        """Set the number of draws and their seed."""
        values = (self._density, self._thickness, self._fragments, self._after)
        for stream, value in enumerate(values, start=10):
            if value is not None:
                value.seed(n_samples, derive_seed(seed, stream))

    def apply(
        self, frame: pd.DataFrame, predictions: np.ndarray, draws: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return predictions (n,) and draws (n, n_samples) of the stock of a block of cells."""
        self._prepare(frame)
        density = self._density.draws(draws, self._correlation)
        return self._stock(predictions, draws, self._density.mean, density)

    def start(self, before: WeightedBlock, after: pd.DataFrame, draws: np.ndarray) -> None:
        """Prepare a block of cells, from its columns at both dates and the draws of the first."""
        self._prepare(before.frame)
        self._first_density = self._density.draws(draws, self._correlation)
        if self._after is not None:
            self._after.prepare(after)
        if self._equivalent_mass:
            self._add_thickness(before)

    def convert(
        self, date: int, predictions: np.ndarray, draws: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return predictions and draws of the stock at the first (0) or second (1) date."""
        if date and self._after is not None and not self._equivalent_mass:
            density = self._after.draws(draws, self._correlation)
            return self._stock(predictions, draws, self._after.mean, density)
        # The layer of the second date has the mass of the first: its own bulk density cancels.
        return self._stock(predictions, draws, self._density.mean, self._first_density)

    @property
    def mean_thickness(self) -> pd.Series:
        """Mean thickness at the second date by zone, in cm."""
        assert self._thickness_sums is not None
        return self._thickness_sums["thickness"] / self._thickness_sums["weight"]

    def _prepare(self, frame: pd.DataFrame) -> None:
        for value in (self._density, self._thickness, self._fragments):
            value.prepare(frame)

    def _stock(
        self,
        predictions: np.ndarray,
        draws: np.ndarray,
        density_mean: np.ndarray,
        density: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        check_content(predictions, self._unit)
        factor = CONTENT_UNITS[self._unit]
        product = predictions * density_mean[:, 0]
        if self._correlation:
            n_samples = draws.shape[1]
            deviation = draws - draws.mean(axis=1, keepdims=True)
            centered = density - density.mean(axis=1, keepdims=True)
            product = product + (deviation * centered).sum(axis=1) / (n_samples - 1)
        mean_mass = soil_mass(1.0, self._thickness.mean, self._fragments.mean)
        mass = soil_mass(1.0, self._thickness.draws(), self._fragments.draws())
        return factor * np.ravel(mean_mass) * product, factor * mass * density * draws

    def _add_thickness(self, before: WeightedBlock) -> None:
        thickness, fragments = self._thickness.mean[:, 0], self._fragments.mean[:, 0]
        if self._after is not None:
            mass = soil_mass(self._density.mean[:, 0], thickness, fragments)
            thickness = equivalent_thickness(mass, self._after.mean[:, 0], fragments)
        table = pd.DataFrame({"weight": before.weights, "thickness": thickness * before.weights})
        sums = table.groupby(np.asarray(before.zones, dtype=object)).sum()
        known = self._thickness_sums
        self._thickness_sums = sums if known is None else known.add(sums, fill_value=0.0)


def _from_columns(name: str, value: Any, frame: pd.DataFrame) -> Any:
    """Return a value whose names of columns are replaced by the columns of cells."""
    if isinstance(value, UncertainValue):
        mean, std = (_from_columns(name, part, frame) for part in (value.mean, value.std))
        return UncertainValue(mean, std, shared=value.shared)
    if not isinstance(value, str):
        return value
    if value not in frame.columns:
        raise ValueError(
            f"{name}={value!r} is not a column of cells; their columns are "
            f"{list(frame.columns)[:20]}{did_you_mean(value, frame.columns)}"
        )
    found = to_float(frame[value].reset_index(drop=True), value)
    missing = np.isnan(found)
    if missing.any():
        raise ValueError(
            f"{name}={value!r} has missing values in {format_rows(missing)} of a block of cells: "
            "fill them, or give these cells a weight of 0."
        )
    return found
