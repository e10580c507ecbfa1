"""Blocks in space, held out whole."""

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
from .locations import SampleLocations, check_distance, nearest, read_locations

__all__ = ["SpatialBlockKFold", "spatial_blocks"]

_BLOCKS_PER_FOLD = 5
_FEWEST_LOCATIONS_PER_BLOCK = 4
# Cells of which more than nine in ten hold one location only separate nothing.
_TOO_MANY_BLOCKS = 0.9
_ENOUGH_LOCATIONS = 30


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
    """Label rows by spatial block, as groups for `GroupKFold` and its kin.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_samples, n_features)
        Table that holds the coordinates.
    coordinates, crs, method, n_blocks, spacing, shape, random_state
        As in `SpatialBlockKFold`; ``n_blocks=None`` makes 25.
    groups : array-like of shape (n_samples,), default=None
        Rows of one group are put into one block.

    Returns
    -------
    labels : ndarray of shape (n_samples,) of int
        Block of each row, from 0. Rows at one place have one label.

    Raises
    ------
    ValueError
        As `SpatialBlockKFold.split` does for what concerns blocks.

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
    survey = read_locations(X, coordinates, crs, groups)
    settings = _BlockSettings(method, n_blocks, spacing, shape)
    return _label_blocks(survey, settings, n_folds=5, rng=as_random_state(random_state))


class SpatialBlockKFold(BaseCrossValidator):
    """K-fold cross-validation in which whole spatial blocks are held out.

    Places are gathered into compact blocks and whole blocks are dealt out to folds, so that a test
    row has few training rows near it. Random folds tell how well a model fills gaps in a survey;
    block folds tell how well it does where nobody sampled.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds.
    coordinates : pair of str or int, default=None
        Columns of X that hold longitude and latitude, or easting and northing, by name or position.
        None looks for the usual names and falls back to the first two columns.
    crs : int, str or pyproj.CRS, default=None
        Coordinate reference system. None: longitude and latitude if the columns are so named, else
        a plane. Distances are km for geographic coordinates, else units of the CRS.
    method : {"kmeans", "grid", "hexagon"}, default="kmeans"
        Blocks by k-means of the places, or by the cells of a grid of rectangles or of regular
        hexagons in the local plane.
    n_blocks : int, default=None
        For "kmeans": number of blocks. None makes five for each fold, but not more than one for
        four locations.
    spacing : float or pair of float, default=None
        For "grid": size of the cells, or sizes from south to north and from west to east, in km or
        units of the CRS. For "hexagon": distance between the centres of neighbouring cells.
    shape : pair of int, default=None
        For "grid": numbers of rows and columns of cells, instead of `spacing`.
    balance : bool, default=True
        Whether folds get similar numbers of rows (True) or of blocks (False).
    buffer : float, default=0.0
        Training rows nearer than this to any test row are left out of that fold's training set, in
        km or units of the CRS.
    shuffle : bool, default=False
        Whether blocks are shuffled before they are dealt out. With ``balance=True`` this decides
        between blocks of equal size only.
    random_state : int, RandomState instance or None, default=0
        Seed of k-means and of `shuffle`. Fixed by default, so that models compared with one
        splitter meet the same folds; None draws new blocks in each call of `split`.

    See Also
    --------
    spatial_blocks : The blocks alone, for use as groups.

    Notes
    -----
    All rows of one location are in one fold. If `split` is given groups, rows of one group are in
    one fold too: groups that share a location are joined, and a joined group goes to the block of
    its mean position. A buffer can take some rows of a group away from the training set.

    Blocks are made from the rows that `split` is given: in nested cross-validation the inner folds
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

    # Groups are used where they are given, so metadata routing hands them over unasked.
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
        """Yield the row positions of training and test set of each fold.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Table that holds the coordinates.
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
            If a parameter is out of range or belongs to the other method, there are fewer locations
            or blocks than folds, the buffer leaves no training rows, or a coordinate cannot be one.
        """
        X, y, groups = indexable(X, y, groups)
        require_count("n_splits", self.n_splits, least=2)
        check_distance("buffer", self.buffer)
        survey = read_locations(X, self.coordinates, self.crs, groups)
        survey.require_units(self.n_splits, groups)
        rng = as_random_state(self.random_state)
        settings = _BlockSettings(self.method, self.n_blocks, self.spacing, self.shape)
        blocks = _label_blocks(survey, settings, self.n_splits, rng)
        n_found = blocks.max() + 1
        if n_found < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} folds need at least as many blocks; {settings} made "
                f"{n_found} from {survey.n_units} locations. {_extent(survey)} Make smaller blocks "
                "or fewer folds."
            )
        folds = assign_folds(blocks, self.n_splits, rng if self.shuffle else None, self.balance)
        space = to_metric_coordinates(survey.xy, survey.reference)
        for fold in range(self.n_splits):
            test = np.flatnonzero(folds == fold)
            train = np.flatnonzero(folds != fold)
            if self.buffer > 0:
                reach = distance_to_chord(self.buffer, survey.reference)
                train = train[nearest(space[train], space[test]) >= reach]
            if not len(train):
                raise ValueError(
                    f"buffer={self.buffer} {survey.reference.unit} leaves no training rows in fold "
                    f"{fold}: all rows outside it are nearer than that to one of its "
                    f"{len(test)} rows. Use a smaller buffer, or more folds of smaller blocks."
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
    """What the user said about blocks."""

    method: str
    n_blocks: int | None
    spacing: float | Sequence[float] | None
    shape: Sequence[int] | None

    def __str__(self) -> str:
        given = {name: value for name, value in vars(self).items() if value is not None}
        return ", ".join(f"{name}={value!r}" for name, value in given.items())


def _kmeans_blocks(
    survey: SampleLocations, settings: _BlockSettings, n_folds: int, rng: np.random.RandomState
) -> np.ndarray:
    n_blocks = settings.n_blocks
    if n_blocks is None:
        affordable = max(n_folds, survey.n_units // _FEWEST_LOCATIONS_PER_BLOCK)
        n_blocks = min(_BLOCKS_PER_FOLD * n_folds, affordable)
    require_count("n_blocks", n_blocks)
    return cluster_labels(
        survey.centers(to_metric_coordinates(survey.xy, survey.reference)), n_blocks, rng
    )


def _grid_blocks(
    survey: SampleLocations, settings: _BlockSettings, n_folds: int, rng: np.random.RandomState
) -> np.ndarray:
    plane = to_local_plane(survey.xy, survey.reference)
    return grid_labels(survey.centers(plane), settings.spacing, settings.shape)


def _hexagon_blocks(
    survey: SampleLocations, settings: _BlockSettings, n_folds: int, rng: np.random.RandomState
) -> np.ndarray:
    plane = to_local_plane(survey.xy, survey.reference)
    return hexagon_labels(survey.centers(plane), settings.spacing)


# Each method with the settings that it reads.
_METHODS: dict[str, tuple[Callable[..., np.ndarray], frozenset[str]]] = {
    "kmeans": (_kmeans_blocks, frozenset({"n_blocks"})),
    "grid": (_grid_blocks, frozenset({"spacing", "shape"})),
    "hexagon": (_hexagon_blocks, frozenset({"spacing"})),
}


def _label_blocks(
    survey: SampleLocations, settings: _BlockSettings, n_folds: int, rng: np.random.RandomState
) -> np.ndarray:
    """Return the block of each row."""
    if settings.method not in _METHODS:
        raise ValueError(f"method must be one of {list(_METHODS)}; found {settings.method!r}.")
    label, reads = _METHODS[settings.method]
    for name in ("n_blocks", "spacing", "shape"):
        if getattr(settings, name) is not None and name not in reads:
            raise ValueError(
                f"{name}={getattr(settings, name)!r} is not read by method={settings.method!r}, "
                f"which reads {sorted(reads)}: leave it out, or change the method."
            )
    blocks = label(survey, settings, n_folds, rng)
    if settings.spacing is not None or settings.shape is not None:
        _warn_tiny_blocks(survey, settings, blocks.max() + 1)
    return blocks[survey.unit]


def _warn_tiny_blocks(survey: SampleLocations, settings: _BlockSettings, n_blocks: int) -> None:
    """Warn if cells are so small that nearly each location has its own, and folds are random."""
    if survey.n_units >= _ENOUGH_LOCATIONS and n_blocks > _TOO_MANY_BLOCKS * survey.n_units:
        warnings.warn(
            f"{settings} makes {n_blocks} blocks of {survey.n_units} locations: nearly each is a "
            f"block of its own, and folds are as good as random. {_extent(survey)} Make larger "
            "blocks.",
            UserWarning,
            stacklevel=4,
        )


def _extent(survey: SampleLocations) -> str:
    plane = to_local_plane(survey.xy, survey.reference)
    width, height = np.ptp(plane, axis=0)
    return f"The survey is {width:.4g} by {height:.4g} {survey.reference.unit}."
