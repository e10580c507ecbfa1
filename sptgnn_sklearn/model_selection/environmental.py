"""Blocks of alike conditions, held out whole: a test of extrapolation in the covariates."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import indexable

from ..spatial.blocks import assign_folds, cluster_labels
from ..table.coordinate_columns import as_dataframe, find_column
from ..table.parsing import is_categorical, to_float
from ..utils.validation import as_random_state, require_count
from .locations import read_locations

__all__ = ["EnvironmentalBlockKFold"]


class EnvironmentalBlockKFold(BaseCrossValidator):
    """K-fold cross-validation in which rows of alike covariates are held out together.

    Tells how well a model does under conditions that nobody sampled, wherever they are.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds.
    columns : sequence of labels or positions, default=None
        Numeric columns that make the conditions. None takes all but the coordinates; text and
        categories have no distance, and are to be left out by naming the others.
    n_blocks : int, default=None
        Clusters of conditions; None makes one for each fold.
    coordinates, crs
        As in `SpatialBlockKFold`.
    random_state : int, RandomState or None, default=0
        Seed of k-means.

    Notes
    -----
    Columns are standardised, a gap is the column's mean, and k-means makes the blocks, as the
    environmental clusters of Valavi et al. [1]_. Rows of one location, or of one group, stay
    together, by their mean conditions.

    References
    ----------
    .. [1] Valavi, R., Elith, J., Lahoz-Monfort, J. J., Guillera-Arroita, G. (2019). blockCV: an R
       package for generating spatially or environmentally separated folds for k-fold
       cross-validation of species distribution models. Methods in Ecology and Evolution 10,
       225-232.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sptgnn_sklearn.model_selection import EnvironmentalBlockKFold
    >>> rain = np.array([400.0, 900.0, 410.0, 910.0])
    >>> X = pd.DataFrame({"x": [0, 1, 2, 3], "y": [0, 0, 0, 0], "rain": rain})
    >>> for train, test in EnvironmentalBlockKFold(2).split(X):
    ...     print(train, test)
    [1 3] [0 2]
    [0 2] [1 3]
    """

    __metadata_request__split = {"groups": True}  # noqa: RUF012

    def __init__(
        self,
        n_splits: int = 5,
        *,
        columns: Sequence[Hashable] | None = None,
        n_blocks: int | None = None,
        coordinates: Sequence[Hashable] | None = None,
        crs: Any = None,
        random_state: Any = 0,
    ) -> None:
        self.n_splits = n_splits
        self.columns = columns
        self.n_blocks = n_blocks
        self.coordinates = coordinates
        self.crs = crs
        self.random_state = random_state

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the row positions of training and test set of each fold.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Table that holds coordinates and covariates.
        y : array-like of shape (n_samples,), default=None
            Not used.
        groups : array-like of shape (n_samples,), default=None
            Rows of one group stay in one fold.

        Yields
        ------
        train, test : ndarray of int
            Row positions in ascending order. Each row is in one test set.

        Raises
        ------
        ValueError
            If a column is not there or not numeric, none varies, or there are fewer locations or
            blocks than folds.
        """
        X, y, groups = indexable(X, y, groups)
        require_count("n_splits", self.n_splits, least=2)
        survey = read_locations(X, self.coordinates, self.crs, groups)
        survey.require_units(self.n_splits, groups)
        conditions = survey.centers(self._conditions(X, survey.names))
        n_blocks = self.n_splits if self.n_blocks is None else self.n_blocks
        require_count("n_blocks", n_blocks, least=self.n_splits)
        blocks = cluster_labels(conditions, n_blocks, as_random_state(self.random_state))
        if blocks.max() + 1 < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} folds need at least as many different conditions; "
                f"X has {blocks.max() + 1}."
            )
        folds = assign_folds(blocks[survey.unit], self.n_splits)
        for fold in range(self.n_splits):
            yield np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object, default=None
            Not used.

        Returns
        -------
        n_splits : int
        """
        return self.n_splits

    def _conditions(self, X: Any, places: Sequence[Hashable]) -> np.ndarray:
        """Standardised columns (n, p)."""
        reference = as_dataframe(X)
        labels: list[Hashable]
        if self.columns is None:
            labels = [label for label in reference.columns if label not in places]
        else:
            labels = [find_column(reference, label, "columns") for label in self.columns]
        classes = [label for label in labels if is_categorical(reference[label], label)]
        if classes:
            raise ValueError(
                f"Columns {classes} hold text or categories, which have no distance: name the "
                "numeric columns that make the conditions in columns=."
            )
        kept = []
        for label in labels:
            values = to_float(reference[label], label)
            known = values[~np.isnan(values)]
            if len(known) and known.std() > 0:
                kept.append(np.nan_to_num((values - known.mean()) / known.std(), nan=0.0))
        if not kept:
            raise ValueError(f"No column makes different conditions: {labels} do not vary.")
        return np.column_stack(kept)
