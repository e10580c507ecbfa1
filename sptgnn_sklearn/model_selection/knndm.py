"""K-fold nearest-neighbor distance matching (kNNDM) cross-validation."""

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
from .locations import nearest_distance, read_locations
from .prediction_area import prediction_locations

__all__ = ["KNNDMKFold"]

_SIGNIFICANCE = 0.05  # p-value below which samples count as clustered
_MAX_EXACT_PAIRS = 10_000  # beyond, the p-value is asymptotic
_MAX_CUTS = 100  # numbers of clusters that are tried
_MAX_LINKAGE_LOCATIONS = 8_000  # the memory of a linkage grows with their square
# Prediction points farther than this many diameters of the samples are of another CRS.
_MAX_DIAMETERS = 10.0


class KNNDMKFold(BaseCrossValidator):
    """K-fold nearest-neighbor distance matching (kNNDM) cross-validation.

    The distances from test rows to training rows match those from prediction locations to samples,
    so the score estimates the accuracy of the map. With clustered samples, random folds
    overestimate it, and block folds may underestimate it.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds.
    prediction_points : array-like of shape (n, 2), DataFrame, geometry or path
        Prediction locations: coordinates in the columns and CRS of those of X; a polygon or another
        object with ``__geo_interface__`` (shapely, geopandas); or a raster file, of which the cells
        with data are used. Geopandas objects and rasters with a CRS are transformed to that of X.
    coordinates, crs
        As in `SpatialBlockKFold`.
    clustering : {"hierarchical", "kmeans"}, default="hierarchical"
        Clustering of locations by Ward's linkage or k-means. Beyond 8,000 locations, Ward's linkage
        is applied to 8,000 k-means clusters.
    max_share : float, default=0.5
        Largest share of the locations in one fold.
    n_points : int, default=1000
        Approximate number of prediction locations sampled from a polygon or a raster.
    random_state : int, RandomState or None, default=0
        Seed of k-means, and of the random folds used when samples are not clustered.

    Attributes
    ----------
    wasserstein_distance_ : float
        Wasserstein distance between the test-to-train and the prediction-to-sample distances, in km
        or units of the CRS. This and the following attributes are of the last call of `split`.
    n_clusters_ : int
        Number of clusters that were merged into folds; the number of locations if samples are not
        clustered and folds are random.
    distances_ : dict of str to ndarray
        Nearest-neighbor distances "prediction_to_sample", "sample_to_sample" and "test_to_train".

    See Also
    --------
    SpatialBlockKFold : Spatial blocks, independent of the prediction locations.
    sptgnn_sklearn.plotting.plot_fold_distances : Plot of the three distributions of distances.

    Notes
    -----
    The algorithm is that of Linnenbrink et al. [1]_. Folds are random unless a one-sided
    Kolmogorov-Smirnov test finds that samples are closer to each other than prediction locations
    are to samples. Otherwise locations are clustered for several numbers of clusters, from
    `n_splits` to all locations. Clusters of at least the size of a fold become folds; the others
    are assigned to folds in turn, in order along the first principal component. The number of
    clusters with the smallest Wasserstein distance is selected. Rows of one location or one group
    are in one fold.

    Folds are computed from the rows passed to `split`: in nested cross-validation, the outer
    training rows are matched to the same prediction locations.

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
            If a parameter is out of range, there are fewer locations than folds, or prediction
            points cannot be read or are far from the samples.
        """
        X, y, groups = indexable(X, y, groups)
        self._check_parameters()
        locations = read_locations(X, self.coordinates, self.crs, groups)
        locations.require_units(self.n_splits, groups)
        predicted = prediction_locations(self.prediction_points, locations, int(self.n_points))
        points = locations.centers(to_metric_coordinates(locations.xy, locations.reference))
        to_sample = nearest_distance(to_metric_coordinates(predicted, locations.reference), points)
        diameter = float(np.linalg.norm(np.ptp(points, axis=0)))
        if to_sample.min() > _MAX_DIAMETERS * max(diameter, np.finfo(float).tiny):
            raise ValueError(
                f"prediction_points are at least {to_sample.min():.4g} {locations.reference.unit} "
                f"from all samples, which extend over {diameter:.4g}: check that they are in the "
                "same coordinate reference system, with columns in the same order."
            )
        folds = self._assign_folds(points, to_sample)
        chords = {
            "prediction_to_sample": to_sample,
            "sample_to_sample": distance_to_other_folds(points, np.arange(len(points))),
            "test_to_train": distance_to_other_folds(points, folds),
        }
        self.distances_ = {
            name: chord_to_distance(chord, locations.reference) for name, chord in chords.items()
        }
        self.wasserstein_distance_ = float(
            wasserstein_distance(
                self.distances_["test_to_train"], self.distances_["prediction_to_sample"]
            )
        )
        folds = folds[locations.unit]
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

    def _check_parameters(self) -> None:
        require_count("n_splits", self.n_splits, least=2)
        require_count("n_points", self.n_points)
        if self.clustering not in ("hierarchical", "kmeans"):
            raise ValueError(
                f'clustering must be "hierarchical" or "kmeans"; found {self.clustering!r}.'
            )
        if not 1 / self.n_splits <= self.max_share < 1:
            raise ValueError(
                f"max_share must be between 1 / n_splits = {1 / self.n_splits:.3g} and 1; "
                f"found {self.max_share!r}."
            )

    def _assign_folds(self, points: np.ndarray, to_sample: np.ndarray) -> np.ndarray:
        """Return the fold of each location (n, d), for prediction-to-sample distances (m,)."""
        rng = as_random_state(self.random_state)
        n, k = len(points), self.n_splits
        between = distance_to_other_folds(points, np.arange(n))
        self.n_clusters_ = n
        # "greater": the distribution function of sample-to-sample distances is above the other.
        method = "exact" if n * len(to_sample) < _MAX_EXACT_PAIRS else "asymp"
        test = ks_2samp(between, to_sample, alternative="greater", method=method)
        if test.pvalue >= _SIGNIFICANCE:
            return rng.permutation(np.arange(n) % k)
        principal_axis = PCA(1, svd_solver="full").fit(points)
        clustering = _Clustering(points, self.clustering, rng)
        sizes = np.exp(np.linspace(np.log(k), np.log(max(n - 2, k)), _MAX_CUTS))
        best, least = None, np.inf
        for n_clusters in np.unique(sizes.round().astype(int)):
            clusters = clustering.labels(n_clusters)
            folds = _merge_clusters(clusters, k, points, principal_axis)
            shares = np.bincount(folds, minlength=k) / n
            if shares.max() > self.max_share or not shares.all():
                continue
            distance = wasserstein_distance(distance_to_other_folds(points, folds), to_sample)
            if distance < least:
                best, least = folds, distance
                self.n_clusters_ = int(clusters.max()) + 1
        if best is None:
            raise ValueError(
                f"No clustering of the {n} locations gives {k} folds with at most "
                f"max_share={self.max_share} of the locations each: increase max_share, or "
                "decrease n_splits."
            )
        return best


def distance_to_other_folds(points: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return the distance from each point (n, d) to the nearest point of another fold (n,).

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.model_selection.knndm import distance_to_other_folds
    >>> distance_to_other_folds(np.array([[0.0], [1.0], [5.0]]), np.array([0, 0, 1]))
    array([5., 4., 4.])
    """
    distances = np.full(len(points), np.nan)
    if folds.max() + 1 == len(points):  # a fold per point: one search instead of n
        return cKDTree(points).query(points, k=2)[0][:, 1]
    for fold in np.unique(folds):
        inside = folds == fold
        distances[inside] = nearest_distance(points[inside], points[~inside])
    return distances


class _Clustering:
    """Clustering of locations into any number of clusters."""

    def __init__(self, points: np.ndarray, method: str, rng: np.random.RandomState):
        self.points, self.rng, self.tree = points, rng, None
        self.leaf = np.arange(len(points))
        if method == "hierarchical":
            if len(points) > _MAX_LINKAGE_LOCATIONS:
                self.leaf = cluster_labels(points, _MAX_LINKAGE_LOCATIONS, rng)
            self.tree = linkage(_cluster_centers(points, self.leaf), "ward")

    def labels(self, n_clusters: int) -> np.ndarray:
        """Return the cluster of each location, from 0."""
        if self.tree is None:
            return cluster_labels(self.points, int(n_clusters), self.rng)
        labels = fcluster(self.tree, n_clusters, criterion="maxclust")
        return np.unique(labels, return_inverse=True)[1].reshape(-1)[self.leaf]


def _cluster_centers(points: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    n_points = np.bincount(clusters)
    return np.column_stack([np.bincount(clusters, axis) / n_points for axis in points.T])


def _merge_clusters(
    clusters: np.ndarray, k: int, points: np.ndarray, principal_axis: PCA
) -> np.ndarray:
    """Merge clusters (n,) into k folds: large ones first, the others in turn along an axis."""
    n_points = np.bincount(clusters)
    position = principal_axis.transform(_cluster_centers(points, clusters))[:, 0]
    order = np.argsort(position, kind="stable")
    large = n_points[order] >= len(points) / k
    fold = np.empty(len(n_points), dtype=np.int64)
    fold[order[large]] = np.arange(large.sum())
    # Small clusters are distributed over the folds without a large one, or else over all folds.
    folds_for_small = np.arange(large.sum(), k) if large.sum() < k else np.arange(k)
    fold[order[~large]] = np.resize(folds_for_small, (~large).sum())
    return fold[clusters]
