"""Scores, their errors and out-of-fold predictions of `compare_models`, as tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..spatial.crs import SpatialReference
from ..utils.distribution_columns import check_coverage
from ..utils.messages import did_you_mean
from ..utils.text_table import (
    MISSING_CELL,
    TextColumn,
    four_digits,
    html_table,
    markdown_table,
)
from .score_errors import (
    INTERVAL_COLUMNS,
    SCORES_WITH_ERRORS,
    block_sums,
    jackknife_intervals,
    paired_differences,
)

__all__ = ["FAILURE_COLUMNS", "SCORE_COLUMNS", "ComparisonResult"]

SCORE_COLUMNS = (
    *("R2", "R2_std_error", "RMSE", "RMSE_std_error", "MAE", "ME", "CCC", "RPIQ"),
    *("moran_i", "coverage"),
)
FAILURE_COLUMNS = ("folds", "model", "fold", "error")


@dataclass(frozen=True, repr=False)
class ComparisonResult:
    """Scores and out-of-fold predictions of `compare_models`.

    Attributes
    ----------
    table : DataFrame
        One row per kind of folds and model, with the columns folds, model, R2, R2_std_error, RMSE,
        RMSE_std_error, MAE and ME (mean error, predicted minus observed; in the unit of the
        target), CCC, RPIQ, moran_i (of the residuals), coverage (share of rows inside their
        interval; NaN for models without intervals) and fit_seconds (mean wall time of one fit).
        Scores of models of which a fit failed are NaN. Models whose fits were interrupted are left
        out.
    predictions : DataFrame
        One row per kind of folds, model and row of X, with the columns folds, model, fold, row
        (label of the row in X), x, y (its coordinates), block (of the jackknife), weight (in the
        scores), observed, mean, std, lower and upper. The last three are NaN for models without
        uncertainty, and all four where a fit failed. Rows of folds that were not finished are left
        out.
    coverage : float
        Nominal coverage of the intervals.
    reference : SpatialReference
        CRS and unit of the coordinates.
    axes : tuple of two str
        Names of the coordinates.
    n_fits : int
        Number of fits of the whole comparison.
    n_fits_done : int
        Number of those that are finished, including failed ones; less than `n_fits` after an
        interruption.
    n_fits_reused : int
        Number of those that were read from the checkpoint.
    failures : DataFrame
        One row per failed fit, with the columns folds, model, fold and error.

    See Also
    --------
    sptgnn_sklearn.plotting.plot_comparison : Figure of the predictions of a model.

    Examples
    --------
    >>> from sklearn.dummy import DummyRegressor
    >>> from sptgnn_sklearn.datasets import load_meuse
    >>> from sptgnn_sklearn.model_selection import compare_models
    >>> meuse = load_meuse()
    >>> result = compare_models(
    ...     DummyRegressor(), meuse.data, meuse.target, 5, crs=meuse.crs, progress=False
    ... )
    >>> result.table["RMSE"].round(1).tolist()
    [3.5]
    >>> result.select("random", "DummyRegressor")[["x", "y", "observed"]].head(2)
            x         y  observed
    0  181072.0  333611.0      13.6
    1  181025.0  333558.0      14.0
    """

    table: pd.DataFrame
    predictions: pd.DataFrame
    coverage: float
    reference: SpatialReference
    axes: tuple[str, str]
    n_fits: int
    n_fits_done: int
    n_fits_reused: int
    failures: pd.DataFrame

    def __repr__(self) -> str:
        return f"{self.to_markdown()}\n{self._note()}"

    def _repr_html_(self) -> str:
        return html_table(self._columns(), self._note(), "sptgnn-comparison")

    def select(self, folds: str, model: str) -> pd.DataFrame:
        """Return the predictions of one model under one kind of folds, in the order of X.

        Raises
        ------
        ValueError
            If the comparison does not include these folds or this model.

        Examples
        --------
        See `compare_models`.
        """
        for column, name in (("folds", folds), ("model", model)):
            names = self.predictions[column].unique().tolist()
            if name not in names:
                raise ValueError(
                    f"{column}={name!r} is not in the comparison; choose one of {names}"
                    f"{did_you_mean(name, names)}"
                )
        selected = (self.predictions["folds"] == folds) & (self.predictions["model"] == model)
        return self.predictions[selected].reset_index(drop=True)

    def scores(self, confidence: float = 0.9) -> pd.DataFrame:
        """Return R2, RMSE, MAE, ME and CCC with standard errors and confidence intervals.

        Parameters
        ----------
        confidence : float, default=0.9
            Nominal coverage of the intervals.

        Returns
        -------
        scores : DataFrame
            One row per kind of folds, model and score, with the columns folds, model, score,
            estimate, std_error, low and high, as of `score_intervals`. Models of which a fit failed
            have NaN; those whose fits were interrupted are left out.

        Raises
        ------
        ValueError
            If `confidence` is not between 0 and 1.

        Examples
        --------
        >>> from sklearn.linear_model import Ridge
        >>> from sptgnn_sklearn.datasets import load_meuse
        >>> from sptgnn_sklearn.model_selection import compare_models
        >>> meuse = load_meuse()
        >>> X = meuse.data[["x", "y", "elev", "dist"]]
        >>> result = compare_models(Ridge(), X, meuse.target, 5, crs=meuse.crs, progress=False)
        >>> result.scores().set_index("score").loc["R2", ["low", "high"]].round(2).tolist()
        [0.12, 0.36]
        """
        confidence = check_coverage(confidence, "confidence")
        tables = []
        for folds, model in self._scored():
            sums = self._block_sums(folds, model)
            table = _nan_intervals() if sums is None else jackknife_intervals(sums, confidence)
            tables.append(_with_keys(table, folds=folds, model=model))
        columns = ["folds", "model", "score", *INTERVAL_COLUMNS]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)

    def differences(self, reference: str | None = None, confidence: float = 0.9) -> pd.DataFrame:
        """Return how much better or worse each model is than a reference model.

        Parameters
        ----------
        reference : str, default=None
            Name of a model; None takes the first of the comparison. The model with the best score
            is no fair reference: it is the best partly by chance.
        confidence : float, default=0.9
            Nominal coverage of the intervals.

        Returns
        -------
        differences : DataFrame
            One row per kind of folds, other model and score, with the columns folds, model,
            reference, score, estimate (score of the model minus that of the reference), std_error,
            low, high and share_better, as of `score_differences`. Models of which a fit failed, or
            whose reference failed, have NaN.

        Raises
        ------
        ValueError
            If the comparison does not include the reference, or `confidence` is not between 0 and
            1.

        Examples
        --------
        >>> from sklearn.dummy import DummyRegressor
        >>> from sklearn.linear_model import Ridge
        >>> from sptgnn_sklearn.datasets import load_meuse
        >>> from sptgnn_sklearn.model_selection import compare_models
        >>> meuse = load_meuse()
        >>> models = {"mean": DummyRegressor(), "line": Ridge()}
        >>> X = meuse.data[["x", "y", "elev", "dist"]]
        >>> result = compare_models(models, X, meuse.target, 5, crs=meuse.crs, progress=False)
        >>> gain = result.differences("mean").set_index("score")
        >>> gain.loc["RMSE", ["estimate", "low", "high", "share_better"]].round(2).tolist()
        [-0.52, -0.78, -0.26, 1.0]
        """
        confidence = check_coverage(confidence, "confidence")
        names = self.predictions["model"].unique().tolist()
        if reference is None:
            reference = names[0]
        elif reference not in names:
            raise ValueError(
                f"reference={reference!r} is not in the comparison; choose one of {names}"
                f"{did_you_mean(reference, names)}"
            )
        scored = self._scored()
        tables = []
        for folds, model in scored:
            if model == reference or (folds, reference) not in scored:
                continue
            pair = [self._block_sums(folds, name) for name in (model, reference)]
            table = (
                _nan_intervals("share_better")
                if pair[0] is None or pair[1] is None
                else paired_differences(pair[0], pair[1], confidence)
            )
            tables.append(_with_keys(table, folds=folds, model=model, reference=reference))
        columns = ["folds", "model", "reference", "score", *INTERVAL_COLUMNS, "share_better"]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)

    def _scored(self) -> list[tuple[str, str]]:
        return list(zip(self.table["folds"], self.table["model"], strict=True))

    def _block_sums(self, folds: str, model: str) -> np.ndarray | None:
        """Return the sums of `block_sums` of one model; None if a fit failed."""
        rows = self.select(folds, model)
        if rows["mean"].isna().any():
            return None
        y, mean, blocks, weight = (
            rows[name].to_numpy() for name in ("observed", "mean", "block", "weight")
        )
        return block_sums(y, mean, blocks, weight)

    def to_markdown(self) -> str:
        """Return the table of scores as a Markdown table with aligned columns.

        Examples
        --------
        See `compare_models`.
        """
        return markdown_table(self._columns())

    def _columns(self) -> Iterator[TextColumn]:
        """Yield the title and the formatted values of each column, and whether it holds text."""
        in_unit = four_digits(self.table["RMSE"])
        formats = {
            "folds": ("folds", "{}"),
            "model": ("model", "{}"),
            "R2": ("R²", "{:.3f}"),
            "RMSE": ("RMSE", in_unit),
            "MAE": ("MAE", in_unit),
            "ME": ("ME", in_unit),
            "CCC": ("CCC", "{:.3f}"),
            "RPIQ": ("RPIQ", "{:.2f}"),
            "moran_i": ("Moran's I", "{:.3f}"),
            "coverage": (f"coverage ({100 * self.coverage:g} %)", "{:.3f}"),
            "fit_seconds": ("fit, s", "{:.1f}"),
        }
        for name, (title, template) in formats.items():
            values = self.table[name]
            shown = [MISSING_CELL if pd.isna(value) else template.format(value) for value in values]
            shown = [re.sub(r"^-(0\.?0*)$", r"\1", text) for text in shown]
            if name == "R2":
                errors = self.table["R2_std_error"]
                shown = [
                    text if pd.isna(error) else f"{text} ± {error:.3f}"
                    for text, error in zip(shown, errors, strict=True)
                ]
            yield TextColumn([title, *shown], name in ("folds", "model"))

    def _note(self) -> str:
        sizes = self.predictions.groupby(["folds", "model"]).size()
        n_rows = int(sizes.max()) if len(sizes) else 0
        parts = [f"Out-of-fold scores of {n_rows} rows, {self.n_fits_done} of {self.n_fits} fits"]
        if self.table["R2_std_error"].notna().any():
            parts.append("R² ± standard error")
        if len(self.failures):
            parts.append(f"{len(self.failures)} failed, see failures")
        return f"{'; '.join(parts)}."


def _nan_intervals(*columns: str) -> pd.DataFrame:
    return pd.DataFrame(
        np.nan, index=list(SCORES_WITH_ERRORS), columns=[*INTERVAL_COLUMNS, *columns]
    )


def _with_keys(table: pd.DataFrame, **keys: str) -> pd.DataFrame:
    """Return a table of scores by row name with the names as a column, after constant columns."""
    table = table.rename_axis("score").reset_index()
    return pd.concat([pd.DataFrame(keys, index=table.index), table], axis=1)
