"""Arguments that describe a sampling design: parsing, checks and weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..table.column_parsing import is_missing, to_float
from ..utils.messages import format_rows
from .designs import SamplingDesign

__all__ = ["read_design", "read_labels", "read_numbers", "read_size", "sizes_by_label"]

_MAX_ROUNDING = 1e-9  # sizes that are sums of areas may be smaller than the sample by rounding


def read_design(
    n_rows: int,
    *,
    weights: Any = None,
    inclusion_probabilities: Any = None,
    strata: Any = None,
    stratum_sizes: Any = None,
    clusters: Any = None,
    n_clusters: Any = None,
    cluster_sizes: Any = None,
    population_size: float | None = None,
    fpc: bool = False,
) -> SamplingDesign:
    """Return the sampling design that the arguments of `design_estimate` describe.

    Parameters
    ----------
    n_rows : int
        Number of sampled units.
    weights, inclusion_probabilities, strata, stratum_sizes, clusters, n_clusters, cluster_sizes, \
fpc
        See `design_estimate`.
    population_size : float or None
        Size of the whole population.

    Raises
    ------
    ValueError
        If an argument is invalid or arguments contradict each other.

    Examples
    --------
    >>> from sptgnn_sklearn.estimation.design_arguments import read_design
    >>> design = read_design(3, strata=["a", "a", "a"], stratum_sizes={"a": 12})
    >>> design.weights, design.size
    (array([4., 4., 4.]), 12.0)
    """
    _check_combination(
        weights=weights,
        inclusion_probabilities=inclusion_probabilities,
        strata=strata,
        stratum_sizes=stratum_sizes,
        clusters=clusters,
        n_clusters=n_clusters,
        cluster_sizes=cluster_sizes,
    )
    if not isinstance(fpc, bool | np.bool_):
        raise ValueError(f"fpc must be True or False; found {fpc!r}.")
    psu, psu_labels = np.arange(n_rows), pd.Index(np.arange(n_rows))
    if clusters is not None:
        psu, psu_labels = read_labels("clusters", clusters, n_rows)
    row_strata, stratum_labels = np.zeros(n_rows, dtype=int), pd.Index([0])
    if strata is not None:
        row_strata, stratum_labels = read_labels("strata", strata, n_rows)
    stratum_of_psu = _value_per_psu(row_strata, psu, psu_labels)
    nested = stratum_of_psu[psu] == row_strata
    if not nested.all():
        split = psu_labels[np.unique(psu[~nested])]
        raise ValueError(
            f"clusters {split[:10].tolist()} lie in several strata: a cluster belongs to one "
            "stratum; make labels unique, such as by the stratum and the number of the cluster."
        )

    per_stratum = np.bincount(stratum_of_psu, minlength=len(stratum_labels))
    n_selectable = None  # PSUs of the population in each stratum
    if weights is not None:
        row_weights = read_numbers("weights", weights, n_rows)
        _raise_invalid("weights", row_weights, row_weights > 0, "positive numbers")
    elif inclusion_probabilities is not None:
        name = "inclusion_probabilities"
        probability = read_numbers(name, inclusion_probabilities, n_rows)
        valid = (probability > 0) & (probability <= 1)
        _raise_invalid(name, probability, valid, "numbers above 0 and up to 1")
        row_weights = 1 / probability
    else:
        if stratum_sizes is not None:
            n_selectable = sizes_by_label("stratum_sizes", stratum_sizes, stratum_labels, "strata")
        elif n_clusters is not None and strata is not None:
            n_selectable = sizes_by_label("n_clusters", n_clusters, stratum_labels, "strata")
        elif n_clusters is not None:
            n_selectable = np.array([read_size("n_clusters", n_clusters)])
        elif clusters is None and population_size is not None:
            n_selectable = np.array([population_size])
        expansion = per_stratum if n_selectable is None else n_selectable
        row_weights = (expansion / per_stratum)[row_strata]

    within = None
    if cluster_sizes is not None:
        sizes = sizes_by_label("cluster_sizes", cluster_sizes, psu_labels, "clusters", subset=True)
        observed = np.bincount(psu)
        row_weights = row_weights * (sizes / observed)[psu]
        if fpc:
            _check_not_smaller("cluster_sizes", sizes, observed, psu_labels, "clusters")
            within = 1 - np.minimum(observed / sizes, 1)

    unsampled = np.ones(len(psu_labels))
    if fpc and inclusion_probabilities is not None:
        of_psu = _value_per_psu(probability, psu, psu_labels)
        if not np.allclose(of_psu[psu], probability, rtol=1e-9):
            raise ValueError(
                "inclusion_probabilities differ within clusters: fpc=True needs those of whole "
                "clusters; use fpc=False for two stages of unequal probabilities."
            )
        unsampled = 1 - of_psu
    elif fpc:
        if n_selectable is None:
            raise ValueError(_missing_for_correction(weights, strata, clusters))
        name = "population_size" if stratum_sizes is None else "stratum_sizes"
        name = name if n_clusters is None else "n_clusters"
        _check_not_smaller(name, n_selectable, per_stratum, stratum_labels, "strata")
        unsampled = (1 - np.minimum(per_stratum / n_selectable, 1))[stratum_of_psu]
    return SamplingDesign(
        weights=row_weights,
        psu=psu,
        psu_labels=psu_labels,
        strata=stratum_of_psu,
        stratum_labels=stratum_labels,
        unsampled=unsampled,
        unsampled_within=within,
        has_scale=(
            weights is not None or inclusion_probabilities is not None or n_selectable is not None
        ),
        size=_known_size(population_size, n_selectable if stratum_sizes is not None else None),
    )


def read_numbers(name: str, values: Any, n_rows: int | None = None) -> np.ndarray:
    """Return a parameter as a vector of finite numbers, or raise a ValueError.

    Examples
    --------
    >>> from sptgnn_sklearn.estimation.design_arguments import read_numbers
    >>> read_numbers("y", [3.0, float("nan")])
    Traceback (most recent call last):
        ...
    ValueError: y has missing values in 1 of 2 rows (row position 1): a probability sample needs \
all of its units; drop a row only if it is missing at random.
    """
    column = _read_column(name, values, n_rows)
    numbers = to_float(column, name)
    missing = np.isnan(numbers)
    if missing.any():
        remedy = (
            "a probability sample needs all of its units; drop a row only if it is missing at "
            "random."
        )
        if name.startswith("cell"):
            remedy = "drop cells without data."
        raise ValueError(f"{name} has missing values in {format_rows(missing)}: {remedy}")
    return numbers


def read_labels(name: str, labels: Any, n_rows: int | None = None) -> tuple[np.ndarray, pd.Index]:
    """Return the position of each label among the sorted distinct labels, and these.

    Examples
    --------
    >>> from sptgnn_sklearn.estimation.design_arguments import read_labels
    >>> codes, labels = read_labels("strata", ["peat", "clay", "peat"])
    >>> codes.tolist(), labels.tolist()
    ([1, 0, 1], ['clay', 'peat'])
    """
    column = _read_column(name, labels, n_rows)
    missing = is_missing(column, name)
    if missing.any():
        raise ValueError(
            f"{name} has missing labels in {format_rows(missing)}: label all rows, such as 'none'."
        )
    codes, distinct = pd.factorize(column, sort=True)
    return codes, pd.Index(distinct)


def read_size(name: str, size: Any) -> float:
    """Return a positive finite number, or raise a ValueError.

    Examples
    --------
    >>> from sptgnn_sklearn.estimation.design_arguments import read_size
    >>> read_size("population_size", 0)
    Traceback (most recent call last):
        ...
    ValueError: population_size must be a positive number; found 0.
    """
    try:
        value = float(size)
    except (TypeError, ValueError):
        value = np.nan
    if not 0 < value < np.inf:
        raise ValueError(f"{name} must be a positive number; found {size!r}.")
    return value


def sizes_by_label(
    name: str, sizes: Any, labels: pd.Index, kind: str, *, subset: bool = False
) -> np.ndarray:
    """Return the size of each label from a mapping or a Series that is indexed by labels.

    Parameters
    ----------
    name : str
        Parameter name in messages.
    sizes : mapping or Series
    labels : Index
    kind : str
        Parameter that has the labels.
    subset : bool, default=False
        Whether `sizes` may have labels that are not sampled.

    Raises
    ------
    ValueError
        If a label has no size or a size no label, or a size is not a positive number.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.estimation.design_arguments import sizes_by_label
    >>> sizes_by_label("stratum_sizes", {"a": 3, "b": 5}, pd.Index(["b", "a"]), "strata")
    array([5., 3.])
    """
    if not isinstance(sizes, Mapping | pd.Series):
        raise ValueError(
            f"{name} must be a mapping or a Series by the labels of {kind}, such as "
            f"cells['stratum'].value_counts(); found {type(sizes).__name__}."
        )
    by_label = dict(sizes.items())
    if len(by_label) < len(sizes):
        raise ValueError(f"{name} has several sizes for one label: give one for each of {kind}.")
    missing = [label for label in labels.tolist() if label not in by_label]
    if missing:
        raise ValueError(
            f"{name} has no size of {kind} {missing[:10]}; it has {list(by_label)[:10]}."
        )
    unknown = [label for label in by_label if label not in labels]
    if unknown and not subset:
        raise ValueError(
            f"{name} has {kind} {unknown[:10]} without a sampled unit: merge them with sampled "
            "ones, or drop them to estimate the other part of the population."
        )
    return np.array([read_size(f"{name}[{label!r}]", by_label[label]) for label in labels])


def _read_column(name: str, values: Any, n_rows: int | None) -> pd.Series:
    if isinstance(values, pd.DataFrame) and values.shape[1] == 1:
        values = values.iloc[:, 0]
    if isinstance(values, pd.Index | pd.Categorical):
        values = pd.Series(values)
    if not isinstance(values, pd.Series):
        # Text becomes objects, so that labels of several types are compared as they are.
        array = np.asarray(values) if hasattr(values, "dtype") else np.array(values, dtype=object)
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 1:
            raise ValueError(f"{name} must be one column of values; found shape {array.shape}.")
        values = pd.Series(array.tolist() if array.dtype == object else array)
    column = values.reset_index(drop=True)
    if not len(column):
        raise ValueError(f"{name} has no values.")
    if n_rows is not None and len(column) != n_rows:
        raise ValueError(
            f"{name} must have {n_rows} values, one per row of y; found {len(column)}."
        )
    return column


def _check_combination(**arguments: Any) -> None:
    """Raise a ValueError if design arguments contradict each other or lack another one."""
    given = {name for name, value in arguments.items() if value is not None}
    for name, needed in (
        ("stratum_sizes", "strata"),
        ("n_clusters", "clusters"),
        ("cluster_sizes", "clusters"),
    ):
        if name in given and needed not in given:
            raise ValueError(f"{name} needs {needed}, the label of each row.")
    if {"weights", "inclusion_probabilities"} <= given:
        raise ValueError(
            "weights and inclusion_probabilities are both given: weights are inverse inclusion "
            "probabilities; give one of them."
        )
    derived = sorted(given & {"stratum_sizes", "n_clusters", "cluster_sizes"})
    direct = sorted(given & {"weights", "inclusion_probabilities"})
    if derived and direct:
        raise ValueError(
            f"{direct[0]} and {derived[0]} are both given, but {derived[0]} sets the weights of "
            f"equal probabilities: give only {direct[0]} for unequal ones."
        )
    if {"stratum_sizes", "clusters"} <= given:
        raise ValueError(
            "stratum_sizes is for samples without clusters: with clusters, give n_clusters by "
            "stratum, weights or inclusion_probabilities."
        )
    if "strata" in given and not direct and not {"stratum_sizes", "n_clusters"} & given:
        sizes = "n_clusters" if "clusters" in given else "stratum_sizes"
        raise ValueError(
            f"strata need {sizes}, the size of each stratum in the population, or weights or "
            "inclusion_probabilities; weights of 1 if all have the same sampling fraction."
        )


def _missing_for_correction(weights: Any, strata: Any, clusters: Any) -> str:
    if weights is not None:
        return "fpc=True needs inclusion_probabilities instead of weights."
    needed = "population_size" if strata is None else "stratum_sizes"
    return f"fpc=True needs {needed if clusters is None else 'n_clusters'}."


def _check_not_smaller(
    name: str, sizes: np.ndarray, observed: np.ndarray, labels: pd.Index, kind: str
) -> None:
    small = sizes < observed * (1 - _MAX_ROUNDING)
    if small.any():
        first = int(small.argmax())
        where = f" of {kind} {labels.tolist()[first]!r}" if len(labels) > 1 else ""
        raise ValueError(
            f"{name}{where} is {sizes[first]:g}, fewer than the {observed[first]} in the sample: "
            "with fpc=True sizes are numbers; use fpc=False for points in an area."
        )


def _raise_invalid(name: str, values: np.ndarray, valid: np.ndarray, expected: str) -> None:
    if not valid.all():
        first = f"{values[valid.argmin()]:g}"
        raise ValueError(
            f"{name} must be {expected}; found others in {format_rows(~valid, first)}."
        )


def _value_per_psu(values: np.ndarray, psu: np.ndarray, psu_labels: pd.Index) -> np.ndarray:
    """Return the value of one unit of each PSU."""
    result = np.empty(len(psu_labels), dtype=values.dtype)
    result[psu] = values
    return result


def _known_size(population_size: float | None, stratum_sizes: np.ndarray | None) -> float | None:
    if population_size is not None or stratum_sizes is None:
        return population_size
    return float(stratum_sizes.sum())
