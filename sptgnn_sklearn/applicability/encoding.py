"""One covariate as coordinates of a space in which rows are compared: standardised, one-hot."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..table.categories import category_codes, category_levels
from ..table.parsing import format_rows, is_categorical, to_float

__all__ = ["EncodedCovariate"]

# A text with so many values, new in every other row, rather is a name or a path.
_MAX_ENCODED_LEVELS = 32


@dataclass(frozen=True)
class EncodedCovariate:
    """How one column becomes coordinates: one for a number, one for each level of a category.

    Attributes
    ----------
    label : label
        Name of the column.
    levels : tuple of str or None
        Levels of a category; None for numbers, booleans and dates.
    centre, scale : ndarray of shape (n_coordinates,)
        Means and standard deviations over the training rows, from which this is learnt.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.applicability.encoding import EncodedCovariate
    >>> use = EncodedCovariate.learn(pd.Series(["crop", "wood", "crop", "wood"]), "use")
    >>> use.standardised(pd.Series(["wood", "lake"])).tolist()
    [[-1.0, 1.0], [-1.0, -1.0]]
    """

    label: Hashable
    levels: tuple[str, ...] | None
    center: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, column: pd.Series, label: Hashable) -> EncodedCovariate:
        """Learn levels, means and standard deviations from the training rows.

        Raises
        ------
        ValueError
            If entries are missing or cannot be read, or a text is a name rather than a category.
        TypeError
            If the column holds objects, or mixes numbers and text.
        """
        levels = None
        if is_categorical(column, label):
            levels = category_levels(column)
            if len(levels) > max(_MAX_ENCODED_LEVELS, len(column) / 2):
                raise ValueError(
                    f"Column {label!r} is text with {len(levels)} different values in "
                    f"{len(column)} rows, so hardly a row is like another in it. Leave out names, "
                    "ids and paths by naming the covariates as columns; convert numbers that are "
                    "held as text."
                )
        values = _values(column, label, levels)
        # The spread of equal numbers is not always 0 when it is computed.
        varies = values.min(axis=0) < values.max(axis=0)
        return cls(label, levels, values.mean(axis=0), np.where(varies, values.std(axis=0), 0.0))

    @property
    def varies(self) -> bool:
        """Whether training rows differ in this column."""
        return bool((self.scale > 0).any())

    def standardized(self, column: pd.Series) -> np.ndarray:
        """Return the coordinates of rows, of mean 0 and variance 1 over the training rows.

        Parameters
        ----------
        column : Series of length n

        Returns
        -------
        ndarray of shape (n, n_coordinates)
            Rows with a level that is not known have none of the levels.

        Raises
        ------
        ValueError
            If entries are missing or cannot be read.
        """
        return (_values(column, self.label, self.levels) - self.center) / self.scale


def _values(column: pd.Series, label: Hashable, levels: tuple[str, ...] | None) -> np.ndarray:
    """Return a column as numbers (n, 1), or as one indicator for each level (n, n_levels)."""
    if levels is None:
        values = to_float(column, label)[:, None]
        missing = np.isnan(values[:, 0])
    else:
        codes = category_codes(column, levels)
        values = (codes[:, None] == np.arange(len(levels))).astype(np.float64)
        missing = codes == -1
    if missing.any():
        raise ValueError(
            f"Column {label!r} is missing (NaN) in {format_rows(missing)}, and a distance needs all "
            "covariates. Drop these rows, impute them as the model does, or leave the column out "
            "of columns."
        )
    return values
