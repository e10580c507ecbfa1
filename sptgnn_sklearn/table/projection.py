"""Projection of more covariates than rows, such as spectra, to components and a linear score."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .schema import SampleTable, TableSchema

__all__ = ["CovariateProjection"]

_MOST_COMPONENTS = 25
_FEWEST_ROWS = 10
_PENALTIES = np.logspace(0, 6, 25)  # of the ridge regression on standardized covariates


@dataclass(frozen=True)
class CovariateProjection:
    """Principal components of the numeric covariates, and their ridge regression on the target.

    Trees, neighbors and the network cannot choose among thousands of similar covariates on a
    hundred rows. The components keep what varies most, the score what is related to the target.
    Elevation stays as it is, because it has a role of its own.

    Attributes
    ----------
    kept : tuple of int
        Positions of the numeric covariates that are not projected.
    mean, scale : ndarray of shape (p,)
        Of the projected covariates. Missing values count as the mean.
    axes : ndarray of shape (c, p)
        Principal axes of the standardized covariates.
    coefficients : ndarray of shape (p,)
        Of the ridge regression of the standardized target on the standardized covariates.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.projection import CovariateProjection
    >>> from sptgnn_sklearn.table.schema import TableSchema
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(rng.normal(size=(20, 102)), columns=["x", "y", *range(100)])
    >>> schema, table = TableSchema.fit_transform(X.rename(columns=str))
    >>> projection, training = CovariateProjection.fit(
    ...     schema, table, rng.normal(size=20), np.ones(20)
    ... )
    >>> projection.transform(table).numeric.shape
    (20, 19)
    """

    kept: tuple[int, ...]
    mean: np.ndarray
    scale: np.ndarray
    axes: np.ndarray
    coefficients: np.ndarray

    @staticmethod
    def is_needed(schema: TableSchema, n_rows: int) -> bool:
        """Return whether a table has more numeric covariates than rows.

        Columns that the user chose for spectral similarity are not projected.
        """
        return not schema.spectral and len(schema.numeric) > n_rows >= _FEWEST_ROWS

    @classmethod
    def fit(
        cls, schema: TableSchema, table: SampleTable, y: np.ndarray, weight: np.ndarray
    ) -> tuple[CovariateProjection, SampleTable]:
        """Fit to the training rows, and project them.

        Parameters
        ----------
        schema : TableSchema
        table : SampleTable of n rows
        y, weight : ndarray of shape (n,)
            Standardized targets and positive weights.

        Returns
        -------
        CovariateProjection
        SampleTable
            The score of each row is its leave-one-out prediction.
        """
        kept = () if schema.elevation is None else (schema.numeric.index(schema.elevation),)
        values = np.delete(table.numeric, kept, axis=1)
        known = ~np.isnan(values).all(axis=0)
        mean, scale = np.zeros(values.shape[1]), np.ones(values.shape[1])
        mean[known], spread = np.nanmean(values[:, known], axis=0), np.nanstd(values, axis=0)
        varies = known & (spread > 1e-12 * np.abs(mean))
        scale[varies] = spread[varies]
        standardized = np.nan_to_num((values - mean) / scale)
        n_components = min(_MOST_COMPONENTS, len(values) - 2)
        _, _, axes = np.linalg.svd(standardized, full_matrices=False)
        coefficients, left_out = _ridge(standardized, y, weight)
        projection = cls(kept, mean, scale, axes[:n_components], coefficients)
        projected = projection.transform(table)
        projected.numeric[:, -1] = left_out
        return projection, projected

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the components and of the score."""
        source = f"of {len(self.mean)} covariates"
        components = [f"component {i + 1} {source}" for i in range(len(self.axes))]
        return (*components, f"linear score {source}")

    def schema(self, schema: TableSchema) -> TableSchema:
        """Return the schema of projected tables."""
        kept = [schema.numeric[position] for position in self.kept]
        numeric = (*kept, *self.names)
        return replace(schema, numeric=numeric, labels=(*schema.labels, *self.names))

    def transform(self, table: SampleTable) -> SampleTable:
        """Return a table with components and score in the place of the covariates."""
        values = np.delete(table.numeric, self.kept, axis=1)
        standardized = np.nan_to_num((values - self.mean) / self.scale)
        columns = [
            table.numeric[:, list(self.kept)],
            standardized @ self.axes.T,
            (standardized @ self.coefficients)[:, None],
        ]
        return replace(table, numeric=np.hstack(columns))


def _ridge(X: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients (p,) and leave-one-out predictions (n,) of a weighted ridge regression.

    The penalty has the smallest leave-one-out error. The target has mean 0, and so have the
    columns of X.
    """
    root = np.sqrt(weight / weight.mean())
    rows, target = X * root[:, None], y * root
    values, vectors = np.linalg.eigh(rows @ rows.T)
    values, rotated = np.maximum(values, 0.0), vectors.T @ target
    best = np.inf, 0.0, target
    for penalty in _PENALTIES:
        shares = values / (values + penalty)
        leverage = (vectors**2) @ shares
        error = (target - vectors @ (shares * rotated)) / np.maximum(1 - leverage, 1e-9)
        size = float(np.sum(error**2))
        if size < best[0]:
            best = size, penalty, error
    _, penalty, error = best
    coefficients = rows.T @ (vectors @ (rotated / (values + penalty)))
    return coefficients, y - error / root
