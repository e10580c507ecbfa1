"""Folds that lie as far from their training rows as the places to be predicted do from the data."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial import cKDTree
from scipy.stats import ks_2samp, wasserstein_distance
from sklearn.decomposition import PCA
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import indexable

from ..spatial.blocks import cluster_labels
from ..spatial.distances import chord_to_distance, to_metric_coordinates
from ..utils.validation import as_random_state, require_count
from .locations import nearest, read_locations
from .prediction_area import prediction_places

__all__ = ["KNNDMKFold"]

_SIGNIFICANT = 0.05  # samples are clustered if so small a part of random ones would be as close
_MOST_FOR_EXACT = 10_000  # pairs, beyond which the p-value is the asymptotic one
_CUTS = 100  # numbers of clusters that are tried, at most
_MOST_FOR_HIERARCHY = 8_000  # locations; the memory of a linkage grows with their square
_UNREACHABLE = (
    10.0  # prediction places this many diameters of the survey away are of another system
)


class KNNDMKFold(BaseCrossValidator):
    """K-fold cross-validation with nearest-neighbour-distance-matched folds (kNNDM).

    Held-out rows are as far from the rows that train as the places of the map are from the samples.
    So the score speaks of the map, where random folds flatter it as soon as samples are clustered,
    and blocks may be stricter than the map asks for.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds.
    prediction_points : array-like of shape (n, 2), DataFrame, geometry or path
        Where the model is going to predict: coordinates in the columns and the system of those of
        X; a polygon or any object with ``__geo_interface__`` (shapely, geopandas), or a raster
        file, whose cells with data count. Geopandas objects and rasters that know their system are
        transformed to that of X.
    coordinates : pair of str or int, default=None
        Columns of X with longitude and latitude, or easting and northing; None looks for the usual
        names and falls back to the first two columns.
    crs : int, str or pyproj.CRS, default=None
        Coordinate reference system; None goes by the names of the columns.
    clustering : {"hierarchical", "kmeans"}, default="hierarchical"
        How locations are gathered: Ward's linkage or k-means. Beyond 8,000 locations Ward's linkage
        is that of as many k-means clusters.
    max_share : float, default=0.5
        Largest share of the locations in one fold.
    n_points : int, default=1000
        Places that are taken from a polygon or a raster.
    random_state : int, RandomState or None, default=0
        Deals locations to folds where samples are not clustered, and seeds k-means.

    Attributes
    ----------
    wasserstein_distance_ : float
        Between the distances of test locations to training locations and those of prediction places
        to samples, in km or units of the CRS: the area between their distribution functions. Of
        the last call of `split`, as all that follow.
    n_clusters_ : int
        Clusters that were joined to the folds; the number of locations where samples are not
        clustered and folds are random.
    distances_ : dict of str to ndarray
        "prediction_to_sample", "sample_to_sample" and "test_to_train": nearest distances.

    See Also
    --------
    SpatialBlockKFold : Blocks whose size is chosen without a look at the map.
    sptgnn_sklearn.plotting.plot_fold_distances : The three distributions.

    Notes
    -----
    The steps are those of Linnenbrink et al. [1]_: random folds, unless a one-sided
    Kolmogorov-Smirnov test finds samples closer to each other than prediction places are to them.
    Else locations are cut into q clusters, for q from `n_splits` up to all of them; clusters as
    large as a fold are folds, the others are dealt to the folds in the order of their position
    along the first principal component; and the q with the smallest Wasserstein distance is kept.
    All rows of one location, or of one group, are in one fold.

    Folds are made from the rows that `split` is given: in nested cross-validation the outer
    training rows are matched to the same prediction places.

    References
    ----------
    .. [1] Linnenbrink, J., Mila, C., Ludwig, M., Meyer, H. (2024). kNNDM CV: k-fold
       nearest-neighbour distance matching cross-validation for map accuracy estimation.
       Geoscientific Model Development 17, 5897-5912.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.model_selection import KNNDMKFold
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat(rng.uniform(0, 100, (12, 2)), 10, axis=0) + rng.normal(size=(120, 2))
    >>> folds = KNNDMKFold(prediction_points=rng.uniform(0, 100, (500, 2)))
    >>> sorted(len(test) for _, test in folds.split(X))
    [20, 20, 20, 30, 30]
    >>> bool(folds.wasserstein_distance_ < 5)
    True
    """

    __metadata_request__split = {"groups": True}  # noqa: RUF012

    def __init__(
        self,
        n_splits: int = 5,
        *,
        prediction_points: Any,
        coordinates: Sequence[Hashable] | None = None,
        crs: Any = None,
        clustering: str = "hierarchical",
        max_share: float = 0.5,
        n_points: int = 1000,
        random_state: Any = 0,
    ) -> None:
        self.n_splits = n_splits
        self.prediction_points = prediction_points
        self.coordinates = coordinates
        self.crs = crs
        self.clustering = clustering
        self.max_share = max_share
        self.n_points = n_points
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
            If a parameter is out of range, there are fewer locations than folds, or prediction
            places cannot be read or lie far outside the survey.
        """
        X, y, groups = indexable(X, y, groups)
        self._check()
        survey = read_locations(X, self.coordinates, self.crs, groups)
        survey.require_units(self.n_splits, groups)
        places = prediction_places(self.prediction_points, survey, int(self.n_points))
        points = survey.centers(to_metric_coordinates(survey.xy, survey.reference))
        wanted = nearest(to_metric_coordinates(places, survey.reference), points)
        extent = np.ptp(points, axis=0)
        if wanted.min() > _UNREACHABLE * max(float(np.linalg.norm(extent)), np.finfo(float).tiny):
            raise ValueError(
                f"prediction_points lie at least {wanted.min():.4g} {survey.reference.unit} from all "
                f"samples, which spread over {np.linalg.norm(extent):.4g}: are they in the same "
                "coordinate reference system, and in the same order of columns?"
            )
        folds = self._assign(points, wanted)
        reached = to_other_folds(points, folds)
        ground = {
            "prediction_to_sample": wanted,
            "sample_to_sample": to_other_folds(points, np.arange(len(points))),
            "test_to_train": reached,
        }
        self.distances_ = {
            name: chord_to_distance(chords, survey.reference) for name, chords in ground.items()
        }
        self.wasserstein_distance_ = float(
            wasserstein_distance(
                self.distances_["test_to_train"], self.distances_["prediction_to_sample"]
            )
        )
        folds = folds[survey.unit]
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

    def _check(self) -> None:
        require_count("n_splits", self.n_splits, least=2)
        require_count("n_points", self.n_points)
        if self.clustering not in ("hierarchical", "kmeans"):
            raise ValueError(
                f'clustering must be "hierarchical" or "kmeans"; found {self.clustering!r}.'
            )
        if not 1 / self.n_splits <= self.max_share < 1:
            raise ValueError(
                f"max_share must lie between 1 / n_splits = {1 / self.n_splits:.3g} and 1; "
                f"found {self.max_share!r}."
            )

    def _assign(self, points: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Return the fold of each location (n, d), for distances that are wanted (m,)."""
        rng = as_random_state(self.random_state)
        n, k = len(points), self.n_splits
        between = to_other_folds(points, np.arange(n))
        self.n_clusters_ = n
        # "greater": the distribution function of the samples' distances lies above the other.
        method = "exact" if n * len(wanted) < _MOST_FOR_EXACT else "asymp"
        if ks_2samp(between, wanted, alternative="greater", method=method).pvalue >= _SIGNIFICANT:
            return rng.permutation(np.arange(n) % k)
        order = PCA(1, svd_solver="full").fit(points)
        cut = _Cuts(points, self.clustering, rng)
        numbers = np.exp(np.linspace(np.log(k), np.log(max(n - 2, k)), _CUTS)).round().astype(int)
        best, least = None, np.inf
        for number in np.unique(numbers):
            clusters = cut(number)
            folds = _join(clusters, k, points, order)
            shares = np.bincount(folds, minlength=k) / n
            if shares.max() > self.max_share or not shares.all():
                continue
            distance = wasserstein_distance(to_other_folds(points, folds), wanted)
            if distance < least:
                best, least = folds, distance
                self.n_clusters_ = int(clusters.max()) + 1
        if best is None:
            raise ValueError(
                f"No clusters of the {n} locations make {k} folds of which the largest holds at "
                f"most max_share={self.max_share}: raise max_share, or ask for fewer folds."
            )
        return best


def to_other_folds(points: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return the distance from each point (n, d) to the nearest one of another fold (n,).

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.model_selection.knndm import to_other_folds
    >>> to_other_folds(np.array([[0.0], [1.0], [5.0]]), np.array([0, 0, 1]))
    array([5., 4., 4.])
    """
    found = np.full(len(points), np.nan)
    if folds.max() + 1 == len(points):  # each its own: one search instead of n
        return cKDTree(points).query(points, k=2)[0][:, 1]
    for fold in np.unique(folds):
        inside = folds == fold
        found[inside] = nearest(points[inside], points[~inside])
    return found


class _Cuts:
    """Cuts of places into any number of clusters, labels from 0."""

    def __init__(self, points: np.ndarray, clustering: str, rng: np.random.RandomState):
        self.points, self.rng, self.tree = points, rng, None
        self.leaf = np.arange(len(points))
        if clustering == "hierarchical":
            if len(points) > _MOST_FOR_HIERARCHY:
                self.leaf = cluster_labels(points, _MOST_FOR_HIERARCHY, rng)
            rows = np.bincount(self.leaf)
            leaves = np.column_stack([np.bincount(self.leaf, axis) / rows for axis in points.T])
            self.tree = linkage(leaves, "ward")

    def __call__(self, number: int) -> np.ndarray:
        if self.tree is None:
            return cluster_labels(self.points, int(number), self.rng)
        labels = fcluster(self.tree, number, criterion="maxclust")
        return np.unique(labels, return_inverse=True)[1].reshape(-1)[self.leaf]


def _join(clusters: np.ndarray, k: int, points: np.ndarray, order: PCA) -> np.ndarray:
    """Join clusters (n,) to k folds: large ones first, the others in turn along an axis."""
    rows = np.bincount(clusters)
    centers = np.column_stack([np.bincount(clusters, axis) / rows for axis in points.T])
    along = np.argsort(order.transform(centers)[:, 0], kind="stable")
    large = rows[along] >= len(points) / k
    fold = np.empty(len(rows), dtype=np.int64)
    fold[along[large]] = np.arange(large.sum())
    # The small ones go to the folds that no large one fills, or to all where there is none left.
    free = np.arange(large.sum(), k) if large.sum() < k else np.arange(k)
    fold[along[~large]] = np.resize(free, (~large).sum())
    return fold[clusters]
