"""Scores and out-of-fold predictions of `compare_models`, as tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from ..spatial.crs import SpatialReference
from ..utils.messages import did_you_mean
from ..utils.text_table import (
    MISSING_CELL,
    TextColumn,
    four_digits,
    html_table,
    markdown_table,
)

__all__ = ["FAILURE_COLUMNS", "SCORE_COLUMNS", "ComparisonResult"]

SCORE_COLUMNS = ("R2", "RMSE", "MAE", "ME", "CCC", "RPIQ", "moran_i", "coverage")
FAILURE_COLUMNS = ("folds", "model", "fold", "error")


@dataclass(frozen=True, repr=False)
class ComparisonResult:
    """Scores and out-of-fold predictions of `compare_models`.

    Attributes
    ----------
    table : DataFrame
        One row per kind of folds and model, with the columns folds, model, R2, RMSE, MAE and ME
        (mean error, predicted minus observed; in the unit of the target), CCC, RPIQ, moran_i (of
        the residuals), coverage (share of rows inside their interval; NaN for models without
        intervals) and fit_seconds (mean wall time of one fit). Scores of models of which a fit
        failed are NaN. Models whose fits were interrupted are left out.
    predictions : DataFrame
        One row per kind of folds, model and row of X, with the columns folds, model, fold, row
        (label of the row in X), x, y (its coordinates), observed, mean, std, lower and upper. The
        last three are NaN for models without uncertainty, and all four where a fit failed. Rows of
        folds that were not finished are left out.
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
            yield TextColumn([title, *shown], name in ("folds", "model"))

    def _note(self) -> str:
        sizes = self.predictions.groupby(["folds", "model"]).size()
        n_rows = int(sizes.max()) if len(sizes) else 0
        parts = [f"Out-of-fold scores of {n_rows} rows, {self.n_fits_done} of {self.n_fits} fits"]
        if len(self.failures):
            parts.append(f"{len(self.failures)} failed, see failures")
        return f"{'; '.join(parts)}."
