"""Names and checks of coverages, quantile levels and limits of predictive distributions.

The columns of `predict_uncertainty` and the layers of `predict_map` have these names: ``lower`` and
``upper``, ``q05`` for a quantile, ``p<2.0`` and ``p>2.0`` for a probability, and with local
calibration ``n_effective`` and ``certified`` for the errors behind an interval.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Protocol

import numpy as np

__all__ = [
    "DistributionColumns",
    "check_coverage",
    "check_limits",
    "check_shares",
    "choose_limits",
    "parse_column",
    "probability_column",
    "quantile_column",
]

_COLUMN = re.compile(r"(?P<kind>q|p<|p>)(?P<number>.+)")


def check_shares(name: str, values: Any) -> np.ndarray:
    """Return a number between 0 and 1, or a sequence of them, as an array of one dimension.

    Parameters
    ----------
    name : str
        Name of the parameter in error messages.
    values : float or sequence of float

    Raises
    ------
    ValueError
        If a value is not a number between 0 and 1, or none is given.

    Examples
    --------
    >>> from sptgnn_sklearn.utils.distribution_columns import check_shares
    >>> check_shares("coverage", 90)
    Traceback (most recent call last):
        ...
    ValueError: coverage must lie between 0 and 1; found 90; did you mean 0.9?
    """
    shares = _to_vector(name, values, "a number between 0 and 1, or a sequence of them")
    if not ((shares > 0) & (shares < 1)).all():
        percent = ((shares > 1) & (shares < 100)).all()
        meant = [float(f"{share / 100:.10g}") for share in shares]
        hint = f"; did you mean {meant[0] if np.ndim(values) == 0 else meant}?" if percent else "."
        raise ValueError(f"{name} must lie between 0 and 1; found {values!r}{hint}")
    return shares


def check_coverage(coverage: Any, name: str = "coverage") -> float:
    """Return one nominal coverage between 0 and 1, or raise a ValueError that names the parameter.

    Examples
    --------
    >>> from sptgnn_sklearn.utils.distribution_columns import check_coverage
    >>> check_coverage(0.9)
    0.9
    """
    if np.ndim(coverage) != 0:
        raise ValueError(f"{name} must be one number, such as 0.9; found {coverage!r}.")
    return float(check_shares(name, coverage)[0])


def check_limits(name: str, limits: Any) -> np.ndarray:
    """Return limits of the target as an array of one dimension, or raise a ValueError.

    Parameters
    ----------
    name : str
        Name of the parameter in error messages.
    limits : float or sequence of float
        In the unit of the target; may be infinite, but not NaN.

    Examples
    --------
    >>> from sptgnn_sklearn.utils.distribution_columns import check_limits
    >>> check_limits("below", 2)
    array([2.])
    """
    values = _to_vector(name, limits, "a number in the unit of the target, or a sequence of them")
    if np.isnan(values).any():
        raise ValueError(f"{name} must not be NaN; found {limits!r}.")
    return values


def choose_limits(below: Any, above: Any) -> tuple[np.ndarray, bool, bool]:
    """Return the limits of `predict_probability`, whether they are upper ones, and single.

    Parameters
    ----------
    below, above : float, sequence of float or None
        Exactly one of them is given.

    Returns
    -------
    limits : ndarray of shape (n_limits,)
    is_above : bool
        Whether the probability of greater values is requested.
    is_single : bool
        Whether a number is given, not a sequence.

    Raises
    ------
    ValueError
        If both or none are given, or a limit is not a number.

    Examples
    --------
    >>> from sptgnn_sklearn.utils.distribution_columns import choose_limits
    >>> choose_limits(None, 3.5)
    (array([3.5]), True, True)
    """
    if (below is None) == (above is None):
        raise ValueError(
            "predict_probability needs either below or above; found "
            f"below={below!r} and above={above!r}. predict_uncertainty takes both."
        )
    name, limits = ("below", below) if above is None else ("above", above)
    return check_limits(name, limits), above is not None, np.ndim(limits) == 0


def quantile_column(level: float) -> str:
    """Return the column name of a quantile: its level in percent, with two digits or more.

    Examples
    --------
    >>> from sptgnn_sklearn.utils.distribution_columns import quantile_column
    >>> quantile_column(0.05), quantile_column(0.5), quantile_column(0.975)
    ('q05', 'q50', 'q97.5')
    """
    whole, point, decimals = _percent(level).partition(".")
    return f"q{whole.zfill(2)}{point}{decimals}"


def probability_column(limit: float, above: bool = False) -> str:
    """Return the column name of the probability of values below or above a limit.

    Examples
    --------
    >>> from sptgnn_sklearn.utils.distribution_columns import probability_column
    >>> probability_column(2), probability_column(3.5, above=True)
    ('p<2.0', 'p>3.5')
    """
    return f"p{'>' if above else '<'}{float(limit)!r}"


def parse_column(name: str) -> tuple[str, float] | None:
    """Return the parameter of `predict_uncertainty` and its value behind a column name.

    Parameters
    ----------
    name : str
        Such as "q05", "q97.5", "p<2" or "p>3.5".

    Returns
    -------
    parameter : {"quantiles", "below", "above"}
    value : float
        None instead of the pair if the name is none of a quantile or a probability.

    Raises
    ------
    ValueError
        If a quantile is not between 0 and 100 %, or a limit is NaN.

    Examples
    --------
    >>> from sptgnn_sklearn.utils.distribution_columns import parse_column
    >>> parse_column("q05"), parse_column("p<2"), parse_column("mean")
    (('quantiles', 0.05), ('below', 2.0), None)
    """
    match = _COLUMN.fullmatch(name.replace(" ", ""))
    if match is None:
        return None
    try:
        number = float(match["number"])
    except ValueError:
        return None
    if match["kind"] != "q":
        parameter = "below" if match["kind"] == "p<" else "above"
        return parameter, float(check_limits(f"the limit of {name!r}", number)[0])
    if not 0 < number < 100:
        raise ValueError(f"the quantile of {name!r} must lie between 0 and 100 %, such as 'q05'.")
    return "quantiles", float(f"{number / 100:.12g}")


class _Distribution(Protocol):
    """Predictive distribution of n rows."""

    @property
    def n_effective(self) -> np.ndarray | None: ...

    def interval(self, coverage: float) -> np.ndarray: ...

    def certified(self, coverage: float) -> np.ndarray | None: ...

    def quantiles(self, levels: np.ndarray) -> np.ndarray: ...

    def probability_below(self, limits: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class DistributionColumns:
    """Columns that `predict_uncertainty` adds to the moments, in their order.

    Attributes
    ----------
    coverage, quantiles, below, above : tuple of float
        Checked values of its parameters.
    single_coverage : bool
        Whether the limits of the interval are named lower and upper, without the coverage.

    Examples
    --------
    >>> from sptgnn_sklearn.utils.distribution_columns import DistributionColumns
    >>> DistributionColumns.check(coverage=0.9, quantiles=[0.05, 0.5], above=2.0).names
    ['lower', 'upper', 'q05', 'q50', 'p>2.0']
    >>> DistributionColumns.check(coverage=[0.5, 0.9]).names
    ['lower_50', 'upper_50', 'lower_90', 'upper_90']
    """

    coverage: tuple[float, ...] = ()
    quantiles: tuple[float, ...] = ()
    below: tuple[float, ...] = ()
    above: tuple[float, ...] = ()
    single_coverage: bool = True

    @classmethod
    def check(
        cls, coverage: Any = None, quantiles: Any = None, below: Any = None, above: Any = None
    ) -> DistributionColumns:
        """Check the parameters of `predict_uncertainty`.

        Parameters
        ----------
        coverage, quantiles, below, above : float, sequence of float or None

        Raises
        ------
        ValueError
            If a value is invalid, or two values of a parameter have the same column name.
        """
        checks = {"coverage": check_shares, "quantiles": check_shares}
        given = {"coverage": coverage, "quantiles": quantiles, "below": below, "above": above}
        checked = {
            name: tuple(checks.get(name, check_limits)(name, values).tolist())
            for name, values in given.items()
            if values is not None
        }
        columns = cls(**checked, single_coverage=np.ndim(coverage) == 0)
        names = columns.names
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"Columns {repeated} are requested twice; request each value once.")
        return columns

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        names = []
        for coverage in self.coverage:
            suffix = "" if self.single_coverage else f"_{_percent(coverage)}"
            names += [f"lower{suffix}", f"upper{suffix}"]
        names += [quantile_column(level) for level in self.quantiles]
        names += [probability_column(limit) for limit in self.below]
        return names + [probability_column(limit, above=True) for limit in self.above]

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of `predict_uncertainty` that return these columns; unused ones left out."""
        given: dict[str, Any] = {
            name: list(getattr(self, name)) for name in ("coverage", "quantiles", "below", "above")
        }
        if self.single_coverage and self.coverage:
            given["coverage"] = self.coverage[0]
        return {name: values for name, values in given.items() if values != []}

    def evaluate(self, distribution: _Distribution) -> dict[str, np.ndarray]:
        """Return the columns (n,) of a predictive distribution by name."""
        parts: list[np.ndarray] = [distribution.interval(share) for share in self.coverage]
        if self.quantiles:
            parts.append(distribution.quantiles(np.array(self.quantiles)))
        if self.below or self.above:
            limits = np.array(self.below + self.above)
            probability = distribution.probability_below(limits)
            n_below = len(self.below)
            parts += [probability[:, :n_below], 1 - probability[:, n_below:]]
        columns: Sequence[np.ndarray] = [column for part in parts for column in part.T]
        found = dict(zip(self.names, columns, strict=True))
        if self.coverage and distribution.n_effective is not None:
            found["n_effective"] = distribution.n_effective
            for share in self.coverage:
                suffix = "" if self.single_coverage else f"_{_percent(share)}"
                certified = distribution.certified(share)
                assert certified is not None
                found[f"certified{suffix}"] = certified
        return found


def _to_vector(name: str, values: Any, expected: str) -> np.ndarray:
    scalar = np.ndim(values) == 0
    entries = [values] if scalar else list(values)
    numeric = all(isinstance(entry, Real) and not isinstance(entry, bool) for entry in entries)
    if not entries or not numeric or np.ndim(values) > 1:
        raise ValueError(f"{name} must be {expected}; found {values!r}.")
    return np.array(entries, dtype=float)


def _percent(share: float) -> str:
    return f"{100 * share:.10g}"
