"""K-fold cross-validation that holds out clusters in covariate space."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import indexable

from ..spatial.blocks import assign_folds, cluster_labels
from ..table.column_parsing import is_categorical, to_float
from ..table.coordinate_columns import as_dataframe, find_column
from ..utils.validation import as_random_state, require_count
from .locations import read_locations

__all__ = ["EnvironmentalBlockKFold"]


class EnvironmentalBlockKFold(BaseCrossValidator):
    """K-fold cross-validation that holds out clusters of rows with similar covariates.

    The score estimates how well a model extrapolates to environmental conditions without samples.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds.
    columns : sequence of labels or positions, default=None
        Numeric columns to cluster by. None uses all columns except the coordinates and requires
        that none of them holds text or categories, which have no distance.
    n_blocks : int, default=None
        Number of clusters. None means one per fold.
    coordinates, crs
        As in `SpatialBlockKFold`.
    random_state : int, RandomState or None, default=0
        Seed of k-means.

    Notes
    -----
    Columns are standardized, missing values are replaced by the column mean, and clusters are found
    by k-means, as in Valavi et al. [1]_. Rows of one location or one group are in one fold,
    according to their mean covariates.

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
        """Yield the row positions of the training and test set of each fold.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Table with the coordinates and covariates.
        y : array-like of shape (n_samples,), default=None
            Not used.
        groups : array-like of shape (n_samples,), default=None
            Rows of one group stay in one fold.

        Yields
        ------
        train, test : ndarray of int
            Row positions in ascending order. Each row is in exactly one test set.

        Raises
        ------
        ValueError
            If a column is missing or not numeric, no column varies, or there are fewer locations or
            clusters than folds.
        """
        X, y, groups = indexable(X, y, groups)
        require_count("n_splits", self.n_splits, least=2)
        locations = read_locations(X, self.coordinates, self.crs, groups)
        locations.require_units(self.n_splits, groups)
        covariates = locations.centers(self._standardize(X, locations.names))
        n_blocks = self.n_splits if self.n_blocks is None else self.n_blocks
        require_count("n_blocks", n_blocks, least=self.n_splits)
        blocks = cluster_labels(covariates, n_blocks, as_random_state(self.random_state))
        if blocks.max() + 1 < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} folds need at least as many locations with distinct "
                f"covariates; X has {blocks.max() + 1}."
            )
        folds = assign_folds(blocks[locations.unit], self.n_splits)
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

    def _standardize(self, X: Any, coordinates: Sequence[Hashable]) -> np.ndarray:
        """Return the standardized columns that vary (n, p), 0 where a value is missing."""
        frame = as_dataframe(X)
        labels: list[Hashable]
        if self.columns is None:
            labels = [label for label in frame.columns if label not in coordinates]
        else:
            labels = [find_column(frame, label, "columns") for label in self.columns]
        categorical = [label for label in labels if is_categorical(frame[label], label)]
        if categorical:
            raise ValueError(
                f"Columns {categorical} hold text or categories, which have no distance: list the "
                "numeric columns to cluster by in columns=."
            )
        standardized = []
        for label in labels:
            values = to_float(frame[label], label)
            known = values[~np.isnan(values)]
            if len(known) and known.std() > 0:
                standardized.append(np.nan_to_num((values - known.mean()) / known.std(), nan=0.0))
        if not standardized:
            raise ValueError(f"columns must include one that varies; {labels} do not vary.")
        return np.column_stack(standardized)
