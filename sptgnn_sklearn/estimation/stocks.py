"""Stocks per area from contents, bulk density, thickness and coarse fragments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from .joint_draws import check_draw_count, derive_seed, read_seed

__all__ = [
    "CONTENT_UNITS",
    "UncertainValue",
    "check_content",
    "check_correlation",
    "check_layer",
    "equivalent_thickness",
    "follow_scores",
    "rank_normal_scores",
    "soil_mass",
    "stock",
]

CONTENT_UNITS = {"%": 0.01, "g/kg": 0.001}
_MASS_PER_CM = 100.0  # Mg/ha in a layer of 1 cm and 1 g/cm3
_ALLOWED: tuple[tuple[str, Callable[[np.ndarray], np.ndarray]], ...] = (
    # The density of quartz is 2.65.
    ("above 0 and up to 3 g/cm3 (kg/m3 are divided by 1000)", lambda x: (x > 0) & (x <= 3)),
    ("positive lengths in cm", lambda x: x > 0),
    ("shares of the volume from 0 to below 1 (20 % are 0.2)", lambda x: (x >= 0) & (x < 1)),
)


@dataclass(frozen=True)
class UncertainValue:
    """A value with a standard error, as a normal distribution truncated at 0.

    Parameters
    ----------
    mean, std : float, array-like of shape (n_cells,) or str
        Mean and standard deviation of the distribution before its truncation. Names of columns of
        the cells in `estimate_stock`.
    shared : bool, default=True
        Whether the error is the same at all cells, as that of a regional mean or a measuring
        method. False draws it for each cell anew, so that it averages out in zones.

    Examples
    --------
    >>> from sptgnn_sklearn.estimation import UncertainValue, stock
    >>> density = UncertainValue(1.3, 0.1)
    >>> draws = stock(2.0, density, 30.0, content_unit="%", n_samples=1000, random_state=0)
    >>> draws.shape, round(float(draws.mean())), round(float(draws.std()))
    ((1000,), 78, 6)
    """

    mean: Any
    std: Any
    shared: bool = True

    def expectation(self, upper: float = np.inf) -> np.ndarray:
        """Return the mean of the distribution truncated at 0 and at an upper limit."""
        mean, std, low, high = self._limits(upper)
        # Johnson, Kotz & Balakrishnan 1994, Continuous univariate distributions 1, section 13.10.1.
        safe = np.where(std > 0, std, 1.0)
        density = [np.exp(-0.5 * ((x - mean) / safe) ** 2) / np.sqrt(2 * np.pi) for x in (0, upper)]
        share = np.where(high > low, high - low, 1.0)
        return np.where(std > 0, mean + std * (density[0] - density[1]) / share, mean)

    def quantiles(self, scores: np.ndarray, upper: float = np.inf) -> np.ndarray:
        """Return quantiles of the truncated distribution at normal scores.

        Parameters
        ----------
        scores : ndarray of shape (n_samples,) or (n_cells, n_samples)
        upper : float

        Returns
        -------
        ndarray
            With a row for each cell if the mean, std or scores have one.
        """
        mean, std, low, high = (_by_cell(part) for part in self._limits(upper))
        level = low + ndtr(scores) * (high - low)
        return np.clip(mean + std * ndtri(np.clip(level, 1e-16, 1 - 1e-16)), 0.0, upper)

    def _limits(self, upper: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        mean, std = np.asarray(self.mean, dtype=float), np.asarray(self.std, dtype=float)
        safe = np.where(std > 0, std, 1.0)
        low = np.where(std > 0, ndtr(-mean / safe), 0.0)
        high = np.where(std > 0, ndtr((upper - mean) / safe), 1.0)
        return mean, std, low, high


def stock(
    content: Any,
    bulk_density: Any,
    thickness: Any,
    coarse_fragments: Any = 0.0,
    *,
    content_unit: str,
    correlation: float = 0.0,
    n_samples: int | None = None,
    random_state: Any = 0,
) -> Any:
    """Return the stock of a layer per area, in Mg/ha (t/ha).

    ``stock = content * bulk_density * thickness * (1 - coarse_fragments)``, where the content and
    the bulk density are those of the fine earth [1]_.

    Parameters
    ----------
    content : float, array-like of shape (n_cells,) or (n_cells, n_samples), or UncertainValue
        Mass fraction of the fine earth, in `content_unit`. Two dimensions are draws, such as those
        of ``sample_y``.
    bulk_density : float, array-like of shape (n_cells,) or (n_cells, n_samples), or UncertainValue
        Mass of fine earth per volume of fine earth, in g/cm3 (t/m3). For the mass of fine earth per
        volume of the whole layer, leave `coarse_fragments` at 0.
    thickness : float, array-like of shape (n_cells,) or (n_cells, n_samples), or UncertainValue
        In cm.
    coarse_fragments : float, array-like of shape (n_cells,) or (n_cells, n_samples), or \
            UncertainValue, default=0.0
        Share of the volume, 0 to 1.
    content_unit : {"%", "g/kg"}
        Unit of `content`. Required, because it cannot be seen from the numbers.
    correlation : float, default=0.0
        Correlation of the errors of bulk density and content, -1 to 1, as that of the normal scores
        of a Gaussian copula: each row of draws of the content is replaced by the scores of its
        ranks. In soils with more carbon the bulk density is lower, so that their errors are usually
        negatively correlated. Needs an `UncertainValue` of bulk density and draws of the content.
    n_samples : int, default=None
        Number of draws of an `UncertainValue`; None is that of the draws of other arguments, or
        200.
    random_state : int, RandomState or None, default=0
        Seed of the draws of `UncertainValue`.

    Returns
    -------
    float, ndarray of shape (n_cells,), (n_samples,) or (n_cells, n_samples)
        Draws if any argument has draws or is uncertain.

    Raises
    ------
    ValueError
        If the unit is unknown, a value is outside of its range, or shapes differ.

    References
    ----------
    .. [1] Poeplau, C., Vos, C., Don, A. (2017). Soil organic carbon stocks are systematically
       overestimated by misuse of the parameters bulk density and rock fragment content. SOIL 3,
       61-66.

    Examples
    --------
    2 % carbon, 1.3 g/cm3 and 30 cm without and with 10 % stones:

    >>> from sptgnn_sklearn.estimation import stock
    >>> stock(2.0, 1.3, 30.0, content_unit="%")
    78.0
    >>> round(stock(20.0, 1.3, 30.0, 0.1, content_unit="g/kg"), 2)
    70.2
    """
    check_correlation(correlation)
    seed = read_seed(random_state)
    given = {
        "content": content,
        "bulk_density": bulk_density,
        "thickness": thickness,
        "coarse_fragments": coarse_fragments,
    }
    n_cells, n_draws = _common_shape(given, n_samples)
    factor = check_content(content, content_unit)
    check_layer(bulk_density, thickness, coarse_fragments)
    draws: dict[str, np.ndarray] = {}
    for stream, (name, value) in enumerate(given.items()):
        scores = None
        if isinstance(value, UncertainValue):
            assert n_draws is not None
            rng = np.random.default_rng(derive_seed(seed, stream))
            scores = rng.standard_normal((1 if value.shared else n_cells or 1, n_draws))
            if name == "bulk_density" and correlation:
                if draws["content"].shape[1] == 1:
                    raise ValueError(
                        "correlation needs draws of the content, (n_cells, n_samples) as from "
                        "sample_y, or an UncertainValue; found values without error."
                    )
                scores = follow_scores(rank_normal_scores(draws["content"]), scores, correlation)
            value = value.quantiles(scores, 1.0 if name == "coarse_fragments" else np.inf)
        elif name == "bulk_density" and correlation:
            raise ValueError(
                "correlation needs an UncertainValue of bulk_density; other values have no error."
            )
        draws[name] = _by_cell(np.asarray(value, dtype=float))
    found = factor * draws["content"] * _layer_mass(*list(draws.values())[1:])
    if n_cells is None:
        return float(found[0, 0]) if n_draws is None else found[0]
    return found[:, 0] if n_draws is None else np.broadcast_to(found, (n_cells, n_draws)).copy()


def soil_mass(bulk_density: Any, thickness: Any, coarse_fragments: Any = 0.0) -> Any:
    """Return the mass of fine earth of a layer per area, in Mg/ha (t/ha).

    Parameters
    ----------
    bulk_density, thickness, coarse_fragments : float or array-like
        As in `stock`, without `UncertainValue`; arrays are broadcast as by numpy.

    Returns
    -------
    float or ndarray

    Raises
    ------
    ValueError
        If a value is outside of its range.

    Examples
    --------
    >>> from sptgnn_sklearn.estimation import soil_mass
    >>> soil_mass(1.3, 30.0)
    3900.0
    """
    check_layer(bulk_density, thickness, coarse_fragments)
    arrays = (np.asarray(v, dtype=float) for v in (bulk_density, thickness, coarse_fragments))
    found = _layer_mass(*arrays)
    return float(found) if np.ndim(found) == 0 else found


def equivalent_thickness(
    reference_mass: Any, bulk_density: Any, coarse_fragments: Any = 0.0
) -> Any:
    """Return the thickness of a layer that has the same mass of fine earth as a reference.

    Two samplings at a fixed depth compare different masses of soil if the bulk density has changed,
    as by tillage. At an equivalent soil mass the layer of the second date is made thicker or
    thinner until its mass is that of the first ([1]_, [2]_).

    Parameters
    ----------
    reference_mass : float or array-like
        Mass of fine earth per area, in Mg/ha, as from `soil_mass`.
    bulk_density, coarse_fragments : float or array-like
        Those of the layer to be adjusted, as in `stock`.

    Returns
    -------
    float or ndarray
        In cm.

    Raises
    ------
    ValueError
        If a value is outside of its range.

    Notes
    -----
    This is the form for a single layer. It assumes that content and bulk density of the soil that
    is added or left out at the bottom are those of the layer. Where the content decreases with
    depth, a layer that becomes thicker then has a stock that is too large; several layers and a
    spline of cumulative mass avoid that [2]_.

    References
    ----------
    .. [1] Ellert, B. H., Bettany, J. R. (1995). Calculation of organic matter and nutrients stored
       in soils under contrasting management regimes. Canadian Journal of Soil Science 75, 529-538.
    .. [2] Wendt, J. W., Hauser, S. (2013). An equivalent soil mass procedure for monitoring soil
       organic carbon in multiple soil layers. European Journal of Soil Science 64, 58-65.

    Examples
    --------
    The soil of 30 cm at 1.2 g/cm3 fills 24 cm at 1.5 g/cm3:

    >>> from sptgnn_sklearn.estimation import equivalent_thickness, soil_mass
    >>> equivalent_thickness(soil_mass(1.2, 30.0), 1.5)
    24.0
    """
    check_layer(bulk_density, None, coarse_fragments)
    mass = np.asarray(reference_mass, dtype=float)
    _check_stock_range("reference_mass", mass, mass > 0, "positive masses in Mg/ha")
    density, fragments = np.asarray(bulk_density, float), np.asarray(coarse_fragments, float)
    found = mass / (_MASS_PER_CM * density * (1 - fragments))
    return float(found) if np.ndim(found) == 0 else found


def rank_normal_scores(draws: np.ndarray) -> np.ndarray:
    """Return the normal scores (n, n_samples) of the ranks of draws in each row.

    Equal draws have equal scores; scores of rank r are quantiles of level (r - 1/2) / n_samples.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.estimation.stocks import rank_normal_scores
    >>> rank_normal_scores(np.array([[5.0, 9.0, 7.0]])).round(3)
    array([[-0.967,  0.967,  0.   ]])
    """
    return ndtri((rankdata(draws, axis=1) - 0.5) / draws.shape[1])


def follow_scores(scores: np.ndarray, own: np.ndarray, correlation: float) -> np.ndarray:
    """Return normal scores with a correlation to others: those of a Gaussian copula.

    Parameters
    ----------
    scores : ndarray of shape (n, n_samples)
        Scores to be followed.
    own : ndarray of shape (n, n_samples) or (1, n_samples)
        Independent scores.
    correlation : float

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.estimation.stocks import follow_scores
    >>> follow_scores(np.array([[1.0, -1.0]]), np.array([[0.5, 0.0]]), -0.6).round(2)
    array([[-0.2,  0.6]])
    """
    return correlation * scores + np.sqrt(1 - correlation**2) * own


def check_content(content: Any, content_unit: Any) -> float:
    """Return the mass fraction of a unit; raise a ValueError for impossible contents."""
    if content_unit not in CONTENT_UNITS:
        raise ValueError(
            f"content_unit must be one of {list(CONTENT_UNITS)}; found {content_unit!r}. Convert "
            "other units first."
        )
    factor = CONTENT_UNITS[content_unit]
    values = np.asarray(_center(content), dtype=float)
    if values.ndim == 2:
        values = np.median(values, axis=1)
    whole = f"up to {1 / factor:g} {content_unit}, which is the whole soil"
    _check_stock_range("content", values, values * factor <= 1, whole)
    if isinstance(content, UncertainValue):
        std = np.asarray(content.std, dtype=float)
        _check_stock_range("std of content", std, std >= 0, "at least 0")
    return factor


def check_layer(bulk_density: Any, thickness: Any, coarse_fragments: Any) -> None:
    """Raise a ValueError for impossible properties of a layer; None is not checked.

    Examples
    --------
    >>> from sptgnn_sklearn.estimation.stocks import check_layer
    >>> check_layer(1.3, -30, 0)
    Traceback (most recent call last):
        ...
    ValueError: thickness must be positive lengths in cm; found -30 (1 of 1 values).
    """
    for name, value, (expected, is_allowed) in zip(
        ("bulk_density", "thickness", "coarse_fragments"),
        (bulk_density, thickness, coarse_fragments),
        _ALLOWED,
        strict=True,
    ):
        if value is None:
            continue
        values = np.asarray(_center(value), dtype=float)
        _check_stock_range(name, values, is_allowed(values), expected)
        if isinstance(value, UncertainValue):
            std = np.asarray(value.std, dtype=float)
            _check_stock_range(f"std of {name}", std, std >= 0, "at least 0")


def check_correlation(correlation: Any) -> None:
    """Raise a ValueError unless a correlation is a number from -1 to 1."""
    if np.ndim(correlation) or isinstance(correlation, str) or not -1 <= correlation <= 1:
        raise ValueError(f"correlation must be a number from -1 to 1; found {correlation!r}.")


def _layer_mass(density: np.ndarray, thickness: np.ndarray, fragments: np.ndarray) -> np.ndarray:
    return _MASS_PER_CM * density * thickness * (1 - fragments)


def _center(value: Any) -> Any:
    return value.mean if isinstance(value, UncertainValue) else value


def _check_stock_range(name: str, values: np.ndarray, allowed: np.ndarray, expected: str) -> None:
    if not allowed.all():  # comparisons with NaN are False
        first = values[~allowed][0] if values.ndim else values
        raise ValueError(
            f"{name} must be {expected}; found {float(first):g} "
            f"({int((~allowed).sum())} of {values.size} values)."
        )


def _by_cell(values: np.ndarray) -> np.ndarray:
    """Return values as (n_cells, n_samples), where either may be 1."""
    values = np.asarray(values)
    return values.reshape(-1, 1) if values.ndim < 2 else values


def _common_shape(given: dict[str, Any], n_samples: int | None) -> tuple[int | None, int | None]:
    """Return the numbers of cells and of draws; None without any."""
    cells: dict[str, int] = {}
    draws: dict[str, int] = {}
    uncertain = False
    for name, value in given.items():
        parts = [value]
        if isinstance(value, UncertainValue):
            uncertain, parts = True, [value.mean, value.std]
        for part in parts:
            if isinstance(part, str):
                raise ValueError(
                    f"{name}={part!r} is a name; columns of cells are read by estimate_stock."
                )
            shape = np.shape(part)
            if len(shape) > 2 or (len(shape) == 2 and part is not value):
                raise ValueError(
                    f"{name} must be a number, values of cells, or draws (n_cells, n_samples); "
                    f"found shape {shape}."
                )
            if shape:
                cells[name] = shape[0]
            if len(shape) == 2:
                draws[name] = shape[1]
    for what, sizes in (("cells", cells), ("draws", draws)):
        if len(set(sizes.values())) > 1:
            raise ValueError(f"numbers of {what} differ: {sizes}.")
    n_draws = next(iter(draws.values()), None)
    if n_samples is not None:
        n_samples = check_draw_count(n_samples)
        if n_draws not in (None, n_samples):
            raise ValueError(f"n_samples={n_samples}, but arguments have {n_draws} draws.")
    if uncertain and n_draws is None:
        n_draws = 200 if n_samples is None else n_samples
    return next(iter(cells.values()), None), n_draws
