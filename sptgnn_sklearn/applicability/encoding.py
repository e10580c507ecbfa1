"""Standardized numeric and one-hot encoding of covariates for distances between rows."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..table.categories import MISSING_CODE, category_codes, category_levels, one_hot
from ..table.column_parsing import is_categorical, to_float
from ..utils.messages import format_rows

__all__ = ["EncodedCovariate"]

# Text with more levels, and a new one in every second row, is rather a name or a path.
_MAX_ENCODED_LEVELS = 32


@dataclass(frozen=True)
class EncodedCovariate:
    """Encoding of a column: one coordinate for a number, one per level of a category.

    Attributes
    ----------
    label : label
        Name of the column.
    levels : tuple of str or None
        Levels of a category; None for numbers, booleans and dates.
    center, scale : ndarray of shape (n_coordinates,)
        Means and standard deviations of the training rows.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.applicability.encoding import EncodedCovariate
    >>> use = EncodedCovariate.fit(pd.Series(["crop", "wood", "crop", "wood"]), "use")
    >>> use.standardize(pd.Series(["wood", "lake"])).tolist()
    [[-1.0, 1.0], [-1.0, -1.0]]
    """

    label: Hashable
    levels: tuple[str, ...] | None
    center: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, column: pd.Series, label: Hashable) -> EncodedCovariate:
        """Compute levels, means and standard deviations from the training rows.

        Raises
        ------
        ValueError
            If entries are missing or cannot be parsed, or text has too many levels.
        TypeError
            If the column holds objects, or mixes numbers and text.
        """
        levels = None
        if is_categorical(column, label):
            levels = category_levels(column)
            if len(levels) > max(_MAX_ENCODED_LEVELS, len(column) / 2):
                raise ValueError(
                    f"Column {label!r} is text with {len(levels)} different values in "
                    f"{len(column)} rows, so that almost all rows are different. Exclude names, "
                    "ids and paths by listing the covariates in columns=; convert numbers that are "
                    "stored as text."
                )
        values = _encode(column, label, levels)
        # The standard deviation of equal numbers can be above 0 by rounding.
        varies = values.min(axis=0) < values.max(axis=0)
        return cls(label, levels, values.mean(axis=0), np.where(varies, values.std(axis=0), 0.0))

    @property
    def varies(self) -> bool:
        """Whether the training rows differ in this column."""
        return bool((self.scale > 0).any())

    def standardize(self, column: pd.Series) -> np.ndarray:
        """Return coordinates with mean 0 and variance 1 over the training rows.

        Parameters
        ----------
        column : Series of length n

        Returns
        -------
        ndarray of shape (n, n_coordinates)
            Rows with an unseen level have none of the levels.

        Raises
        ------
        ValueError
            If entries are missing or cannot be parsed.
        """
        return (_encode(column, self.label, self.levels) - self.center) / self.scale


def _encode(column: pd.Series, label: Hashable, levels: tuple[str, ...] | None) -> np.ndarray:
    """Return a column as numbers (n, 1), or as one indicator per level (n, n_levels)."""
    if levels is None:
        values = to_float(column, label)[:, None]
        missing = np.isnan(values[:, 0])
    else:
        codes = category_codes(column, levels)
        values = one_hot(codes, np.arange(len(levels)))
        missing = codes == MISSING_CODE
    if missing.any():
        raise ValueError(
            f"Column {label!r} is missing (NaN) in {format_rows(missing)}, but distances need all "
            "covariates. Drop these rows, impute them as for the model, or exclude the column by "
            "columns=."
        )
    return values
