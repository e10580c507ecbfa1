"""K-fold cross-validation that holds out spatial blocks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import indexable

from ..spatial.blocks import assign_folds, cluster_labels, grid_labels, hexagon_labels
from ..spatial.distances import distance_to_chord, to_local_plane, to_metric_coordinates
from ..utils.validation import as_random_state, require_count
from .locations import SampleLocations, check_distance, nearest_distance, read_locations

__all__ = ["SpatialBlockKFold", "spatial_blocks"]

_BLOCKS_PER_FOLD = 5
_LOCATIONS_PER_BLOCK = 4
# With more blocks per location than this, almost each location is a block and folds are random.
_MAX_BLOCKS_PER_LOCATION = 0.9
_MIN_LOCATIONS_TO_WARN = 30


def spatial_blocks(
    X: Any,
    *,
    coordinates: Sequence[Hashable] | None = None,
    crs: Any = None,
    method: str = "kmeans",
    n_blocks: int | None = None,
    spacing: float | Sequence[float] | None = None,
    shape: Sequence[int] | None = None,
    groups: Any = None,
    random_state: Any = 0,
) -> np.ndarray:
    """Return spatial block labels, as groups for `GroupKFold` and similar splitters.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_samples, n_features)
        Table with the coordinates.
    coordinates, crs, method, n_blocks, spacing, shape
        As in `SpatialBlockKFold`; ``n_blocks=None`` means 25.
    groups : array-like of shape (n_samples,), default=None
        Rows of one group are in one block.
    random_state : int, RandomState instance or None, default=0
        Seed of k-means.

    Returns
    -------
    labels : ndarray of shape (n_samples,) of int
        Block of each row, from 0. Rows at one location are in one block.

    Raises
    ------
    ValueError
        As in `SpatialBlockKFold.split`, for the parameters of blocks.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.model_selection import GroupKFold
    >>> from sptgnn_sklearn.model_selection import spatial_blocks
    >>> east, north = np.meshgrid(np.arange(6.0), np.arange(6.0))
    >>> X = pd.DataFrame({"x": east.ravel(), "y": north.ravel()})
    >>> blocks = spatial_blocks(X, method="grid", spacing=3)
    >>> np.bincount(blocks)
    array([9, 9, 9, 9])
    >>> GroupKFold(n_splits=4).get_n_splits(X, groups=blocks)
    4
    """
    locations = read_locations(X, coordinates, crs, groups)
    settings = _BlockSettings(method, n_blocks, spacing, shape)
    return _label_blocks(locations, settings, n_folds=5, rng=as_random_state(random_state))


class SpatialBlockKFold(BaseCrossValidator):
    """K-fold cross-validation that holds out spatial blocks.

    Locations are clustered into compact blocks, and each block is assigned to one fold, so that few
    training rows are near a test row. Random folds estimate the accuracy of interpolation between
    samples; block folds estimate the accuracy in areas without samples.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds.
    coordinates : pair of str or int, default=None
        Columns of longitude and latitude, or easting and northing, by name or position. None uses
        columns with common names, otherwise the first two.
    crs : int, str or pyproj.CRS, default=None
        Coordinate reference system. None means EPSG:4326 if the column names are those of longitude
        and latitude, else planar. Distances are in km for geographic coordinates, else in units of
        the CRS.
    method : {"kmeans", "grid", "hexagon"}, default="kmeans"
        Blocks are k-means clusters of the locations, or the cells of a rectangular or a regular
        hexagonal grid in the local plane.
    n_blocks : int, default=None
        For "kmeans": number of blocks. None means five per fold, but at most one per four
        locations.
    spacing : float or pair of float, default=None
        For "grid": cell size, or south-north and west-east cell sizes, in km or units of the CRS.
        For "hexagon": distance between the centers of neighboring cells.
    shape : pair of int, default=None
        For "grid": numbers of rows and columns of cells, instead of `spacing`.
    balance : bool, default=True
        Whether to balance the number of rows per fold (True) or of blocks (False).
    buffer : float, default=0.0
        Training rows nearer than this to any test row of a fold are dropped from its training set,
        in km or units of the CRS.
    shuffle : bool, default=False
        Whether to shuffle the blocks before assigning them to folds. With ``balance=True`` only the
        order of blocks of equal size changes.
    random_state : int, RandomState instance or None, default=0
        Seed of k-means and of `shuffle`. A fixed default gives the same folds to all models; None
        draws new blocks in each call of `split`.

    See Also
    --------
    spatial_blocks : The block labels alone, for use as groups.

    Notes
    -----
    Rows at one location are in one fold, and so are rows of one group if groups are passed to
    `split`: groups that share a location are merged, and the mean position of a merged group
    determines its block. A buffer can drop some rows of a group from the training set.

    Blocks are computed from the rows passed to `split`: in nested cross-validation, the inner folds
    are blocks of the outer training set.

    References
    ----------
    .. [1] Brenning, A. (2012). Spatial cross-validation and bootstrap for the assessment of
       prediction rules in remote sensing: the R package sperrorest. IGARSS, 5372-5375.
    .. [2] Roberts, D. R. et al. (2017). Cross-validation strategies for data with temporal,
       spatial, hierarchical, or phylogenetic structure. Ecography 40, 913-929.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> from sptgnn_sklearn.model_selection import SpatialBlockKFold
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"lon": rng.uniform(5, 7, 200), "lat": rng.uniform(50, 52, 200)})
    >>> y = X["lat"] + rng.normal(scale=0.1, size=200)
    >>> folds = SpatialBlockKFold(n_splits=4, buffer=10.0)
    >>> cross_val_score(LinearRegression(), X, y, cv=folds).round(1)
    array([1. , 0.9, 1. , 1. ])
    """

    # Groups are optional, so metadata routing passes them without an explicit request.
    __metadata_request__split = {"groups": True}  # noqa: RUF012

    def __init__(
        self,
        n_splits: int = 5,
        *,
        coordinates: Sequence[Hashable] | None = None,
        crs: Any = None,
        method: str = "kmeans",
        n_blocks: int | None = None,
        spacing: float | Sequence[float] | None = None,
        shape: Sequence[int] | None = None,
        balance: bool = True,
        buffer: float = 0.0,
        shuffle: bool = False,
        random_state: Any = 0,
    ) -> None:
        self.n_splits = n_splits
        self.coordinates = coordinates
        self.crs = crs
        self.method = method
        self.n_blocks = n_blocks
        self.spacing = spacing
        self.shape = shape
        self.balance = balance
        self.buffer = buffer
        self.shuffle = shuffle
        self.random_state = random_state

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the row positions of the training and test set of each fold.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Table with the coordinates.
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
            If a parameter is out of range or is not used by `method`, there are fewer locations or
            blocks than folds, the buffer leaves no training rows, or coordinates are invalid.
        """
        X, y, groups = indexable(X, y, groups)
        require_count("n_splits", self.n_splits, least=2)
        check_distance("buffer", self.buffer)
        locations = read_locations(X, self.coordinates, self.crs, groups)
        locations.require_units(self.n_splits, groups)
        rng = as_random_state(self.random_state)
        settings = _BlockSettings(self.method, self.n_blocks, self.spacing, self.shape)
        blocks = _label_blocks(locations, settings, self.n_splits, rng)
        n_made = blocks.max() + 1
        if n_made < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} folds need at least as many blocks; {settings} gives "
                f"{n_made} blocks of {locations.n_units} locations. {_describe_extent(locations)} "
                "Use smaller blocks or fewer folds."
            )
        folds = assign_folds(blocks, self.n_splits, rng if self.shuffle else None, self.balance)
        points = to_metric_coordinates(locations.xy, locations.reference)
        for fold in range(self.n_splits):
            test = np.flatnonzero(folds == fold)
            train = np.flatnonzero(folds != fold)
            if self.buffer > 0:
                radius = distance_to_chord(self.buffer, locations.reference)
                train = train[nearest_distance(points[train], points[test]) >= radius]
            if not len(train):
                raise ValueError(
                    f"buffer={self.buffer} {locations.reference.unit} leaves no training rows in "
                    f"fold {fold}: all other rows are nearer than that to one of its {len(test)} "
                    "rows. Use a smaller buffer, or more folds of smaller blocks."
                )
            yield train, test

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


@dataclass(frozen=True)
class _BlockSettings:
    """Parameters of the blocks."""

    method: str
    n_blocks: int | None
    spacing: float | Sequence[float] | None
    shape: Sequence[int] | None

    def __str__(self) -> str:
        given = {name: value for name, value in vars(self).items() if value is not None}
        return ", ".join(f"{name}={value!r}" for name, value in given.items())


def _kmeans_blocks(
    locations: SampleLocations, settings: _BlockSettings, n_folds: int, rng: np.random.RandomState
) -> np.ndarray:
    n_blocks = settings.n_blocks
    if n_blocks is None:
        most = max(n_folds, locations.n_units // _LOCATIONS_PER_BLOCK)
        n_blocks = min(_BLOCKS_PER_FOLD * n_folds, most)
    require_count("n_blocks", n_blocks)
    return cluster_labels(
        locations.centers(to_metric_coordinates(locations.xy, locations.reference)), n_blocks, rng
    )


def _grid_blocks(
    locations: SampleLocations, settings: _BlockSettings, n_folds: int, rng: np.random.RandomState
) -> np.ndarray:
    plane = to_local_plane(locations.xy, locations.reference)
    return grid_labels(locations.centers(plane), settings.spacing, settings.shape)


def _hexagon_blocks(
    locations: SampleLocations, settings: _BlockSettings, n_folds: int, rng: np.random.RandomState
) -> np.ndarray:
    plane = to_local_plane(locations.xy, locations.reference)
    return hexagon_labels(locations.centers(plane), settings.spacing)


# Function and parameters of each method.
_METHODS: dict[str, tuple[Callable[..., np.ndarray], frozenset[str]]] = {
    "kmeans": (_kmeans_blocks, frozenset({"n_blocks"})),
    "grid": (_grid_blocks, frozenset({"spacing", "shape"})),
    "hexagon": (_hexagon_blocks, frozenset({"spacing"})),
}


def _label_blocks(
    locations: SampleLocations, settings: _BlockSettings, n_folds: int, rng: np.random.RandomState
) -> np.ndarray:
    """Return the block of each row."""
    if settings.method not in _METHODS:
        raise ValueError(f"method must be one of {list(_METHODS)}; found {settings.method!r}.")
    label, used = _METHODS[settings.method]
    for name in ("n_blocks", "spacing", "shape"):
        if getattr(settings, name) is not None and name not in used:
            raise ValueError(
                f"{name}={getattr(settings, name)!r} is not used by method={settings.method!r}, "
                f"which uses {sorted(used)}: remove it, or change the method."
            )
    blocks = label(locations, settings, n_folds, rng)
    if settings.spacing is not None or settings.shape is not None:
        _warn_tiny_blocks(locations, settings, blocks.max() + 1)
    return blocks[locations.unit]


def _warn_tiny_blocks(locations: SampleLocations, settings: _BlockSettings, n_blocks: int) -> None:
    """Warn if almost each location is a block of its own, because folds are then random."""
    limit = _MAX_BLOCKS_PER_LOCATION * locations.n_units
    if locations.n_units >= _MIN_LOCATIONS_TO_WARN and n_blocks > limit:
        warnings.warn(
            f"{settings} gives {n_blocks} blocks of {locations.n_units} locations: almost each "
            "location is a block of its own, and folds are practically random. "
            f"{_describe_extent(locations)} Use larger blocks.",
            UserWarning,
            stacklevel=4,
        )


def _describe_extent(locations: SampleLocations) -> str:
    plane = to_local_plane(locations.xy, locations.reference)
    width, height = np.ptp(plane, axis=0)
    return f"The extent of X is {width:.4g} by {height:.4g} {locations.reference.unit}."
