"""Coverage of the intervals of a model in parts of a survey: near and far, by region, by soil."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..meta_estimators import innermost_estimator
from ..metrics.coverage import coverage_by_group
from ..metrics.predicted_columns import predict_columns, unwrap_estimator
from ..metrics.validation import aligned_vectors, check_metric_weight
from ..model_selection.comparison_result import ComparisonResult
from ..spatial.crs import SpatialReference
from ..table.coordinate_columns import as_dataframe, as_rows, locate_coordinates
from ..table.schema import TableSchema
from ..utils.distribution_columns import check_coverage
from ..utils.text_table import TextColumn, four_digits, html_table, markdown_table
from ..utils.validation import require_count
from .coverage_groups import KNOWN_GROUPS, GroupSources, distance_to_nearest

__all__ = ["CoverageTable", "coverage_table"]

_ALL = "all"
_UNITS = {"metre": "m", "unit": ""}


@dataclass(frozen=True, repr=False)
class CoverageTable:
    """Coverage of prediction intervals in groups of rows.

    Create it by `coverage_table`, or from existing predictions by `from_comparison` or
    `from_predictions`.

    Attributes
    ----------
    table : DataFrame
        The columns of `coverage_by_group` after the column by, which has what the rows are grouped
        by. The first row, "all", has all rows.
    coverage : float
        Nominal coverage of the intervals.
    confidence : float
        Confidence of the limits low and high.
    min_rows : int
        Smallest number of rows of a group, where rows could be joined.
    groups : DataFrame of shape (n_rows, n_by)
        Group of each row, for example for a map of the regions. Rows of weight 0 are left out.

    See Also
    --------
    sptgnn_sklearn.plotting.CoverageDisplay : Figure of the table.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.inspection import CoverageTable
    >>> rng = np.random.default_rng(0)
    >>> slope = rng.uniform(0, 30, 400)
    >>> y = rng.normal(scale=1 + slope / 30)  # noise that increases with slope
    >>> half_width = np.full(400, 1.645 * 1.5)  # constant intervals for the mean noise
    >>> result = CoverageTable.from_predictions(
    ...     y, -half_width, half_width, {"slope": slope}, n_groups=2
    ... )
    >>> result.table[["by", "group", "n", "coverage"]].round(2)
          by     group    n  coverage
    0    all       all  400      0.89
    1  slope   0 to 17  200      0.96
    2  slope  17 to 30  200      0.82
    >>> result.worst["group"]
    '17 to 30'
    """

    table: pd.DataFrame
    coverage: float
    confidence: float
    min_rows: int
    groups: pd.DataFrame

    @property
    def worst(self) -> pd.Series:
        """Row of the group with the strongest evidence of too low coverage: the least p_value.

        Groups of fewer than `min_rows` rows are considered only if there are no others.
        """
        groups = self.table[self.table["by"] != _ALL]
        large = groups[groups["n"] >= self.min_rows]
        groups = large if len(large) else groups
        return groups.iloc[int(groups["p_value"].to_numpy().argmin())]

    def __repr__(self) -> str:
        return f"{self.to_markdown()}\n{self._note()}"

    def _repr_html_(self) -> str:
        return html_table(self._columns(), self._note(), "sptgnn-coverage")

    @classmethod
    def from_predictions(
        cls,
        y: Any,
        lower: Any,
        upper: Any,
        by: Any,
        *,
        std: Any = None,
        X: Any = None,
        coverage: float = 0.9,
        n_groups: int = 5,
        min_rows: int = 20,
        confidence: float = 0.95,
        coordinates: Sequence[Any] | None = None,
        crs: Any = None,
        training_coordinates: Any = None,
        sample_weight: Any = None,
        random_state: Any = 0,
    ) -> CoverageTable:
        """Return the coverage of given intervals.

        Parameters
        ----------
        y, lower, upper : array-like of shape (n_samples,)
            Measured values, and the limits of their intervals.
        by : str, mapping, or sequence of str, labels and mappings
            As in `coverage_table`. "std" needs `std` or uses the width, "region" needs `X`, and
            "distance" needs `X` and `training_coordinates`.
        std : array-like of shape (n_samples,), default=None
            Predicted standard deviations.
        X : DataFrame or array-like of shape (n_samples, n_features), default=None
            Table with the coordinates and the columns of `by`.
        coverage, n_groups, min_rows, confidence, coordinates, crs, training_coordinates
            As in `coverage_table`.
        sample_weight, random_state
            As in `coverage_table`.

        Returns
        -------
        CoverageTable

        Raises
        ------
        ValueError
            As in `coverage_table`.
        """
        y, lower, upper = aligned_vectors(
            y=y, lower=lower, upper=upper, may_be_infinite=("lower", "upper")
        )
        if std is not None:
            _, std = aligned_vectors(y=y, std=std)
        frame = None if X is None else _frame_of_rows(X, len(y))

        def locate() -> tuple[np.ndarray, SpatialReference]:
            if X is None:
                raise ValueError(
                    "by='region' and by='distance' read coordinates from X: pass X=, which may "
                    "have coordinates only."
                )
            return locate_coordinates(frame, coordinates, crs)[:2]

        def distance() -> tuple[np.ndarray, str]:
            xy, reference = locate()
            training = _training_xy(training_coordinates, frame, coordinates, reference)
            return distance_to_nearest(xy, training, reference), _unit(reference)

        settings = _Settings(coverage, n_groups, min_rows, confidence, random_state)
        return _tabulate(y, lower, upper, std, frame, by, locate, distance, settings, sample_weight)

    @classmethod
    def from_comparison(
        cls,
        result: ComparisonResult,
        folds: str,
        model: str,
        by: Any = KNOWN_GROUPS,
        *,
        X: Any = None,
        n_groups: int = 5,
        min_rows: int = 20,
        confidence: float = 0.95,
        sample_weight: Any = None,
        random_state: Any = 0,
    ) -> CoverageTable:
        """Return the coverage of the out-of-fold intervals of one model of `compare_models`.

        Parameters
        ----------
        result : ComparisonResult
        folds, model : str
            Names of a kind of folds and a model, as in `ComparisonResult.select`.
        by : str, mapping, or sequence of str, labels and mappings, \
default=("std", "distance", "region")
            As in `coverage_table`. "distance" is that to the nearest row of another fold; folds
            with a buffer left out more rows, so that their distances were larger.
        X : DataFrame or array-like of shape (n_samples, n_features), default=None
            Table given to `compare_models`, if columns of it are in `by`.
        n_groups, min_rows, confidence, sample_weight, random_state
            As in `coverage_table`.

        Returns
        -------
        CoverageTable

        Raises
        ------
        ValueError
            As in `coverage_table` and `ComparisonResult.select`, or if rows have no interval, or
            folds that were not finished make distances unknown.

        Examples
        --------
        >>> from sklearn.linear_model import BayesianRidge
        >>> from sptgnn_sklearn.datasets import load_meuse
        >>> from sptgnn_sklearn.inspection import CoverageTable
        >>> from sptgnn_sklearn.model_selection import compare_models
        >>> meuse = load_meuse()
        >>> X = meuse.data[["x", "y", "elev", "dist"]]
        >>> result = compare_models(
        ...     BayesianRidge(), X, meuse.target, "block", crs=meuse.crs, progress=False
        ... )
        >>> found = CoverageTable.from_comparison(
        ...     result, "block", "BayesianRidge", ["distance", "elev"], X=X, n_groups=3
        ... )
        >>> found.table["by"].tolist()
        ['all', 'distance', 'distance', 'distance', 'elev', 'elev', 'elev']
        """
        rows = result.select(folds, model)
        if rows[["lower", "upper"]].isna().any(axis=None):
            n_missing = int(rows["lower"].isna().sum())
            raise ValueError(
                f"model={model!r} has no intervals in {n_missing} of {len(rows)} rows of "
                f"folds={folds!r}: it predicts none, or fits failed, see result.failures."
            )
        frame = None if X is None else _frame_of_rows(X, len(rows))
        index = pd.Index(rows["row"], name=None)
        if frame is not None and not frame.index.equals(index):
            raise ValueError("X must be the table given to compare_models; its index differs.")
        xy = rows[["x", "y"]].to_numpy()

        def distance() -> tuple[np.ndarray, str]:
            if result.n_fits_done < result.n_fits:
                raise ValueError(
                    f"by='distance' needs all folds; {result.n_fits_done} of {result.n_fits} fits "
                    "are finished: finish the comparison, or leave 'distance' out."
                )
            fold, found = rows["fold"].to_numpy(), np.empty(len(rows))
            for number in np.unique(fold):
                test = fold == number
                found[test] = distance_to_nearest(xy[test], xy[~test], result.reference)
            return found, _unit(result.reference)

        std = rows["std"].to_numpy() if rows["std"].notna().all() else None
        settings = _Settings(result.coverage, n_groups, min_rows, confidence, random_state)
        y, lower, upper = (rows[name].to_numpy() for name in ("observed", "lower", "upper"))
        return _tabulate(
            *(y, lower, upper, std, frame, by),
            *(lambda: (xy, result.reference), distance, settings, sample_weight, index),
        )

    def to_markdown(self) -> str:
        """Return the table as a Markdown table with aligned columns.

        Examples
        --------
        See `coverage_table`.
        """
        return markdown_table(self._columns())

    def _columns(self) -> Iterator[TextColumn]:
        """Yield the title and the formatted values of each column."""
        table = self.table
        limits = [
            f"{low:.2f} to {high:.2f}"
            for low, high in zip(table["low"], table["high"], strict=True)
        ]
        in_unit = four_digits(table["width"])
        yield TextColumn(["by", *table["by"]], True)
        yield TextColumn(["group", *table["group"]], True)
        yield TextColumn(["n", *(str(n) for n in table["n"])], False)
        title = f"coverage ({100 * self.coverage:g} %)"
        yield TextColumn([title, *(f"{share:.3f}" for share in table["coverage"])], False)
        yield TextColumn([f"{100 * self.confidence:g} % limits", *limits], False)
        for name in ("below", "above"):
            yield TextColumn([name, *(f"{share:.3f}" for share in table[name])], False)
        for name, label in (("width", "width"), ("interval_score", "interval score")):
            yield TextColumn([label, *(in_unit.format(value) for value in table[name])], False)
        shown = ["yes" if consistent else "no" for consistent in table["consistent"]]
        yield TextColumn(["consistent", *shown], True)

    def _note(self) -> str:
        worst, n_groups = self.worst, len(self.table) - 1
        # Bonferroni: valid although groups of different kinds share rows.
        corrected = min(1.0, n_groups * worst["p_value"])
        return (
            f"Furthest below {100 * self.coverage:g} %: {worst['by']} {worst['group']}, "
            f"{worst['coverage']:.3f} of {worst['n']} rows (p = {worst['p_value']:.2g}, "
            f"{corrected:.2g} corrected for {n_groups} groups)."
        )


@dataclass(frozen=True)
class _Settings:
    coverage: float
    n_groups: int
    min_rows: int
    confidence: float
    random_state: Any


def coverage_table(
    model: Any,
    X: Any,
    y: Any,
    by: Any = KNOWN_GROUPS,
    *,
    coverage: float = 0.9,
    n_groups: int = 5,
    min_rows: int = 20,
    confidence: float = 0.95,
    coordinates: Sequence[Any] | None = None,
    crs: Any = None,
    training_coordinates: Any = None,
    sample_weight: Any = None,
    random_state: Any = 0,
) -> CoverageTable:
    """Return the coverage of a model's intervals in parts of a survey.

    Intervals that hold on average can be too narrow in one part of a survey and too wide in
    another, for example far from the samples or on one soil type.

    Parameters
    ----------
    model : fitted regressor
        One with ``predict_interval``, as `SpTGNNRegressor` and those of MAPIE, with
        ``predict_quantiles``, or with ``predict(X, return_std=True)`` for normal intervals; the
        first of these that it has is used. Also inside Pipelines, searches and
        TransformedTargetRegressors.
    X : DataFrame or array-like of shape (n_samples, n_features)
        Rows that the model was not fitted to.
    y : array-like of shape (n_samples,)
        Measured values of these rows.
    by : str, mapping, or sequence of str, labels and mappings, \
default=("std", "distance", "region")
        What the rows are grouped by:

        - "std": predicted standard deviation, in quantile groups; the width of the intervals, named
          "width", if the model predicts no standard deviation
        - "distance": distance to the nearest training location, in quantile groups
        - "region": k-means of the coordinates
        - label or position of a column of X: the categories of text, categories and booleans, and
          of numbers with at most `n_groups` distinct values; quantile groups of other numbers and
          of dates. Columns named as the words above are given as a mapping.
        - mapping of names to arrays or Series of n_samples values: as columns. Integer ids of more
          than `n_groups` zones are converted to text first, ``zones.astype(str)``.
    coverage : float, default=0.9
        Nominal coverage of the intervals. For MAPIE one of its confidence levels.
    n_groups : int, default=5
        Number of quantile groups and of regions.
    min_rows : int, default=20
        Smallest number of rows of a group. There are fewer quantile groups if these would be
        smaller, a small region is joined to the nearest one, and small categories form the group
        "other (k)". A group that is still smaller, as a single rare category, keeps its row in the
        table but is not `CoverageTable.worst`.
    confidence : float, default=0.95
        Confidence of the binomial limits of the coverage.
    coordinates, crs
        Coordinates of X, as in `SpTGNNRegressor`; None takes those of a fitted `SpTGNNRegressor` or
        `XGBoostBaseline`.
    training_coordinates : DataFrame or array-like of shape (n_train, 2), default=None
        Coordinates of the training rows, in the CRS of X, or their table, for "distance". None
        takes the training rows that an `SpTGNNRegressor` keeps.
    sample_weight : array-like of shape (n_samples,), default=None
        Sampling weights, as in `coverage_by_group`.
    random_state : int, RandomState or None, default=0
        Seed of the regions.

    Returns
    -------
    CoverageTable

    Raises
    ------
    TypeError
        If the model predicts no intervals.
    ValueError
        If X and y differ in length, a name in `by` is unknown or repeated, values in `by` have
        another length or index, or the training locations are unknown.

    See Also
    --------
    CoverageTable.from_comparison : Out-of-fold intervals of `compare_models`.
    sptgnn_sklearn.metrics.coverage_by_group : Groups that are given.

    Examples
    --------
    >>> from sklearn.linear_model import BayesianRidge
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> from sptgnn_sklearn.inspection import coverage_table
    >>> survey = make_soil_survey(400, noise_variation=0.6, random_state=0)
    >>> X = survey.data.drop(columns=["date", "land_use"]).fillna(0)
    >>> model = BayesianRidge().fit(X[:200], survey.target[:200])
    >>> result = coverage_table(
    ...     model,
    ...     X[200:],
    ...     survey.target[200:],
    ...     ["distance", {"land use": survey.data["land_use"][200:]}],
    ...     training_coordinates=X[:200],
    ...     n_groups=2,
    ... )
    >>> result.table["by"].unique().tolist()
    ['all', 'distance', 'land use']
    >>> print(result.to_markdown().splitlines()[0])
    | by       | group           |   n | coverage (90 %) | 95 % limits | ...
    """
    check_coverage(coverage)
    X = as_rows(X)
    (y,) = aligned_vectors(y=y)
    frame = _frame_of_rows(X, len(y))
    _, std, lower, upper = predict_columns(model, X, coverage, conformal=True).T
    if np.isnan(lower).all():
        raise TypeError(
            f"{type(innermost_estimator(model)).__name__} predicts no intervals: it has no "
            "predict_interval, predict_quantiles or predict(X, return_std=True), or a standard "
            "deviation of 0. Wrap the regressor by MAPIE, or use CoverageTable.from_predictions."
        )
    pair, crs = _model_coordinates(model, frame, coordinates, crs)

    def locate() -> tuple[np.ndarray, SpatialReference]:
        return locate_coordinates(frame, pair, crs)[:2]

    def distance() -> tuple[np.ndarray, str]:
        if training_coordinates is None:
            found = _distance_in_graph(model, X)
            if found is not None:
                return found
        xy, reference = locate()
        training = _training_xy(training_coordinates, frame, pair, reference)
        return distance_to_nearest(xy, training, reference), _unit(reference)

    settings = _Settings(coverage, n_groups, min_rows, confidence, random_state)
    std = None if np.isnan(std).all() else std
    return _tabulate(y, lower, upper, std, frame, by, locate, distance, settings, sample_weight)


def _tabulate(
    y: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    std: np.ndarray | None,
    frame: pd.DataFrame | None,
    by: Any,
    locate: Any,
    distance: Any,
    settings: _Settings,
    sample_weight: Any,
    index: pd.Index | None = None,
) -> CoverageTable:
    """Return the coverage of all rows and of each group."""
    coverage, confidence = check_coverage(settings.coverage), settings.confidence
    require_count("n_groups", settings.n_groups, least=2)
    require_count("min_rows", settings.min_rows)
    weight = check_metric_weight(sample_weight, len(y))
    rows = np.arange(len(y)) if weight is None else np.flatnonzero(weight > 0)
    # Equal infinite limits have no width.
    width = np.subtract(upper, lower, out=np.zeros_like(y), where=upper > lower)
    sources = GroupSources(
        *(len(y), std, width, frame, locate, distance),
        *(settings.n_groups, settings.min_rows, settings.random_state),
    )
    labels = {_ALL: pd.Categorical([_ALL] * len(rows))} | sources.groups(by, rows)
    part = None if weight is None else weight[rows]
    tables = [
        coverage_by_group(
            *(y[rows], lower[rows], upper[rows], groups, coverage),
            confidence=confidence,
            sample_weight=part,
        ).assign(by=name)
        for name, groups in labels.items()
    ]
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "by", table.pop("by"))
    index = frame.index if index is None and frame is not None else index
    index = None if index is None else index[rows]
    return CoverageTable(
        table=table,
        coverage=coverage,
        confidence=float(confidence),
        min_rows=int(settings.min_rows),
        groups=pd.DataFrame(labels, index=index).drop(columns=_ALL),
    )


def _frame_of_rows(X: Any, n_rows: int) -> pd.DataFrame:
    frame = as_dataframe(X)
    if len(frame) != n_rows:
        raise ValueError(
            f"X and y must have the same length; X has {len(frame)} rows and y {n_rows}."
        )
    return frame


def _model_coordinates(
    model: Any, frame: pd.DataFrame, coordinates: Sequence[Any] | None, crs: Any
) -> tuple[Sequence[Any] | None, Any]:
    """Return the coordinate columns and the CRS that were given, or those of the fitted model."""
    schema = getattr(innermost_estimator(model), "columns_", None)
    if coordinates is not None or not isinstance(schema, TableSchema):
        return coordinates, crs
    if not set(schema.coordinates) <= set(frame.columns):  # made by a step of a Pipeline
        return None, crs
    return schema.coordinates, schema.reference.crs if crs is None else crs


def _distance_in_graph(model: Any, X: Any) -> tuple[np.ndarray, str] | None:
    """Return distances to the training rows that an SpTGNNRegressor keeps; None without any."""
    inner, rows = unwrap_estimator(model, X)
    while hasattr(inner, "regressor_"):
        inner, rows = unwrap_estimator(inner.regressor_, rows)
    if "spatial" not in getattr(inner, "relations_", ()):
        return None
    distance = inner.kneighbors(rows, 1, relation="spatial")[0][:, 0]
    return distance, _unit(inner.columns_.reference)


def _training_xy(
    training_coordinates: Any,
    frame: pd.DataFrame | None,
    coordinates: Sequence[Any] | None,
    reference: SpatialReference,
) -> np.ndarray:
    if training_coordinates is None:
        raise ValueError(
            "by='distance' needs training_coordinates, the training rows or their coordinates, "
            "unless the model is an SpTGNNRegressor with a spatial relation; or leave 'distance' "
            "out of by."
        )
    names = coordinates
    if names is None and frame is not None:
        names = locate_coordinates(frame, None, reference.crs)[2]
    has_names = names is not None and set(names) <= set(as_dataframe(training_coordinates).columns)
    return locate_coordinates(training_coordinates, names if has_names else None, reference.crs)[0]


def _unit(reference: SpatialReference) -> str:
    return _UNITS.get(reference.unit, reference.unit)
