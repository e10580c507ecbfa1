"""Correlogram of errors in space and time, for joint predictive samples."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import least_squares, minimize
from scipy.spatial import cKDTree

from ..spatial.random_fields import CHUNK, matern_frequencies
from .campaigns import CampaignShifts, in_same_campaign
from .correlated_draws import hash_column, keyed_normals

__all__ = [
    "ErrorCorrelogram",
    "matern_correlation",
]

_N_NEAREST = 20  # nearest rows paired with each row, for short distances
_N_PAIRED = 1500  # rows of which all pairs are used, for long distances
_N_BINS = 24  # of distances
_LEAST_LAG = 0.5  # in years, between visits
_MIN_PAIRS = 30  # in a bin
_MIN_APART = 100  # pairs of near rows, years apart, or of one campaign, for their correlation
_MIN_YEARS = 4  # for a share of years
_YEAR_SIGNIFICANCE = 2.0  # of that share over its standard error
_UNKNOWN_TIME_RANGE = 1.0  # years, where the dates cannot tell
_BLOCK_ROWS = 100  # in a block of the likelihood
_MOST_BLOCKS = 20
_RANGE_PRIOR = (0.25, 0.5)  # median, relative to the survey's diameter, and std of the log
_TIME_RANGE_PRIOR = (0.5, 1.0)  # the same, relative to the years of the survey
_SHARE_PRIOR = (0.25, 0.5)  # exponents of the share and of its complement
_SHIFT_PRIOR = 0.5  # exponent of the share of campaigns
_MOST_SCORE = 3.5  # errors in the likelihood of normal ones
_N_FREQUENCIES = 1024
_ORIGIN = 2000.0  # of time in phases, against rounding


@dataclass(frozen=True)
class ErrorCorrelogram:
    """Correlogram of standardized errors: their correlation by distance and by lag in time.

    The correlation of two errors at distance h and time lag u is ``share * M(h) * (persistence +
    (1 - persistence) * exp(-3 u / time_range))``, with a Matérn function M of smoothness 3/2, plus
    ``year_share`` if both are of one year, plus ``campaigns.share`` if both are of one campaign,
    plus ``level_share``. The rest of the variance is independent between rows.

    Attributes
    ----------
    share : float
        Correlation at distance zero and the same time, 0 to 1.
    practical_range : float
        Distance at which the Matérn function has fallen to 0.05, in the unit of the positions.
    persistence : float
        Share of the spatial correlation that does not depend on time, 0 to 1.
    time_range : float
        Lag in years at which the rest has fallen to 0.05.
    year_share : float
        Correlation between all rows of one year, 0 to ``1 - share``.
    level_share : float
        Correlation between all rows. Errors are known relative to a level that was fitted to the
        same sample, so this is the variance of their mean: the average correlation of its rows.
    knows_time : bool
        Whether persistence and time range are fitted. If not, although rows have dates, they are
        0 and one year: errors in different years are independent, which gives changes the largest
        error.
    campaigns : CampaignShifts or None
        Shifts of the campaigns, which replace the share of years. None without at least two
        campaigns of several rows, and enough pairs of rows of one campaign to fit their share.

    Notes
    -----
    A product-sum model (De Iaco, Myers & Posa 2001, Statistics & Probability Letters 52, 21-28)
    with a spatial, a spatio-temporal and a purely temporal part. The prior of the share of
    campaigns keeps it above 0 where these are few, as proposed by Chung et al. (2013, Psychometrika
    78, 685-709) for the variance of groups.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.uncertainty.error_correlogram import ErrorCorrelogram
    >>> line = np.column_stack([np.linspace(0, 100, 2000), np.zeros(2000)])
    >>> keys = np.arange(2000, dtype=np.uint64)
    >>> draws = ErrorCorrelogram(0.8, practical_range=10.0).draw(line, None, keys, 300, seed=0)
    >>> draws.shape
    (2000, 300)
    >>> fitted = ErrorCorrelogram.fit(draws[:, 0], line, None, np.random.RandomState(0))
    >>> 0.6 < fitted.share < 1, 5 < fitted.practical_range < 20
    (True, True)
    """

    share: float
    practical_range: float
    persistence: float = 1.0
    time_range: float = _UNKNOWN_TIME_RANGE
    year_share: float = 0.0
    level_share: float = 0.0
    knows_time: bool = False
    campaigns: CampaignShifts | None = None

    @classmethod
    def fit(
        cls,
        score: np.ndarray,
        positions: np.ndarray,
        time: np.ndarray | None,
        rng: np.random.RandomState,
        natural_share: np.ndarray | None = None,
        campaign: np.ndarray | None = None,
    ) -> ErrorCorrelogram:
        """Fit the correlogram to the products of pairs of errors, binned by distance and time lag.

        Parameters
        ----------
        score : ndarray of shape (n,)
            Standardized errors.
        positions : ndarray of shape (n, d)
            Coordinates with Euclidean distances.
        time : ndarray of shape (n,) or None
            Decimal years; NaN is unknown.
        rng : RandomState
            Draws the rows of which all pairs are used.
        natural_share : ndarray of shape (n,), default=None
            Share of each error's variance to which the correlogram applies; the rest is independent
            measurement error. None is 1.
        campaign : ndarray of shape (n,) of uint64, default=None
            Keys of the campaigns; 0 is unknown.
        """
        if not np.isfinite(score).all():  # such predictions raise where they are used
            return cls(0.0, 1.0)
        size = np.ones(len(score)) if natural_share is None else np.sqrt(natural_share)
        campaigns = None
        if campaign is not None:
            campaigns = CampaignShifts.from_rows(campaign, positions, time)
        rows = _ErrorRows(score, positions, None, size, None if campaigns is None else campaign)
        year_share, dated, has_lags = 0.0, np.zeros(len(score), dtype=bool), False
        if time is not None:
            dated = np.isfinite(time)
            has_lags = bool(dated.any()) and np.ptp(np.floor(time[dated])) > 0
        if time is not None and dated.any():
            rows = replace(rows, time=time).take(dated)
        if has_lags and campaigns is None:
            year_share = _fit_year_share(rows.score, np.floor(rows.years), rows.size)
        pairs = _Pairs.sample(rows, rng).without_years(year_share)
        if not has_lags:
            # Without dates, predictions and their errors do not depend on time; with one year, the
            # errors of others are independent.
            persistence = 1.0 if time is None else 0.0
            start = cls(*_fit_spatial(pairs), persistence=persistence, campaigns=campaigns)
            return start._refined(rows, rng)
        together = pairs.take(pairs.lag < _LEAST_LAG)
        apart = pairs.take(pairs.lag >= _LEAST_LAG)
        enough = len(together.product) >= _MIN_APART
        share, practical_range = _fit_spatial(together if enough else pairs)
        start = cls(
            min(share, 1 - year_share),
            practical_range,
            0.0,
            year_share=year_share,
            campaigns=campaigns,
        )
        reach = max(practical_range, _RANGE_PRIOR[0] * _diameter(positions))
        if np.sum(apart.distance < reach / 2) >= _MIN_APART:
            middle = _TIME_RANGE_PRIOR[0] * float(np.ptp(rows.years))
            start = replace(start, persistence=0.5, time_range=middle, knows_time=True)
        return start._refined(rows, rng)

    @property
    def campaign_share(self) -> float:
        """Correlation between all rows of one campaign."""
        return 0.0 if self.campaigns is None else self.campaigns.share

    def correlation(
        self,
        distance: np.ndarray,
        lag: np.ndarray,
        same_year: np.ndarray,
        same_campaign: np.ndarray | bool = False,
    ) -> np.ndarray:
        """Return the correlation of errors at distances and lags in years."""
        temporal = self.persistence + (1 - self.persistence) * np.exp(-3 * lag / self.time_range)
        found = self.share * matern_correlation(distance, self.practical_range) * temporal
        found += self.year_share * same_year + self.campaign_share * same_campaign
        return found + self.level_share

    def _refined(self, rows: _ErrorRows, rng: np.random.RandomState) -> ErrorCorrelogram:
        """Return the correlogram of greatest posterior density around this one.

        The likelihood is the product of those of blocks of near rows (Stein, Chi & Welty 2004,
        Journal of the Royal Statistical Society B 66, 275-296), and of a random subset.
        """
        longest = _diameter(rows.positions)
        if len(rows.score) < _MIN_PAIRS or not longest > 0 or not np.any(rows.score):
            return replace(self, campaigns=None)
        blocks = _Blocks.sample(rows, rng)
        if self.campaigns is not None and blocks.n_campaign_pairs() < _MIN_APART:
            return replace(self, campaigns=None)._maximized(rows, blocks, rng)
        return self._maximized(rows, blocks, rng)

    def _maximized(
        self, rows: _ErrorRows, blocks: _Blocks, rng: np.random.RandomState
    ) -> ErrorCorrelogram:
        """Return the correlogram of greatest posterior density, given blocks of rows."""
        longest = _diameter(rows.positions)
        years = 0.0 if rows.time is None else float(np.ptp(rows.time))
        free_time, free_shift = self.knows_time and years > 0, self.campaigns is not None
        n_temporal = 2 if free_time else 0

        def at(parameters: np.ndarray) -> ErrorCorrelogram:
            share, log_range, *others = map(float, parameters)
            found = replace(self, share=share, practical_range=float(np.exp(log_range)))
            if free_time:
                found = replace(found, persistence=others[0], time_range=float(np.exp(others[1])))
            if found.campaigns is not None:
                rest = 1 - self.year_share - share
                campaigns = replace(found.campaigns, share=others[n_temporal] * rest)
                found = replace(found, campaigns=campaigns)
            return found

        most = max(1 - self.year_share - 1e-3, 2e-3)
        middle = np.log(_RANGE_PRIOR[0] * longest)
        bounds = [(1e-3, most), (middle - 6 * _RANGE_PRIOR[1], np.log(longest))]
        start: list[float] = []
        if free_time:
            start += [self.persistence, float(np.log(self.time_range))]
            bounds += [(0.0, 1.0), (np.log(0.1), np.log(3 * years + 1))]
        if free_shift:  # as a fraction of what the other parts leave
            start.append(0.1)
            bounds.append((1e-4, 0.95))

        def loss(parameters: np.ndarray) -> float:
            share, log_range, *others = parameters
            correlogram = at(parameters)
            found = blocks.loss(correlogram)
            found += (log_range - middle) ** 2 / (2 * _RANGE_PRIOR[1] ** 2)
            found -= _SHARE_PRIOR[0] * np.log(share) + _SHARE_PRIOR[1] * np.log(1.001 - share)
            if free_time:
                distance = others[1] - np.log(_TIME_RANGE_PRIOR[0] * years)
                found += distance**2 / (2 * _TIME_RANGE_PRIOR[1] ** 2)
            if free_shift:
                found -= _SHIFT_PRIOR * np.log(correlogram.campaign_share)
            return float(found)

        # From the range of the pairs, and from that of the prior: the likelihood has two modes
        # where noise looks like a very short range.
        results = [
            minimize(
                loss,
                np.clip([self.share, log_range, *start], *np.transpose(bounds)),
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": 20, "ftol": 1e-5},
            )
            for log_range in (np.log(self.practical_range), middle)
        ]
        best = min(results, key=lambda result: result.fun)
        return at(best.x)._with_level(rows, rng)

    def _with_level(self, rows: _ErrorRows, rng: np.random.RandomState) -> ErrorCorrelogram:
        """Return the correlogram with the variance of the mean error of these rows."""
        n = len(rows.score)
        correlation = self.correlation(*rows.take(rng.permutation(n)[:_N_PAIRED]).geometry())
        m = len(correlation)
        off_diagonal = (correlation.sum() - np.trace(correlation)) / max(m**2 - m, 1)
        taken = self.year_share + self.campaign_share
        level = float(min((off_diagonal * (n - 1) + 1) / n, 1 - taken))
        share = min(self.share, max(1 - taken - level, 0.0))
        return replace(self, share=share, level_share=level)

    def draw(
        self,
        positions: np.ndarray,
        time: np.ndarray | None,
        keys: np.ndarray,
        n: int,
        seed: int,
        campaign: np.ndarray | None = None,
    ) -> np.ndarray:
        """Draw correlated standard normal errors.

        Parameters
        ----------
        positions : ndarray of shape (m, d)
        time : ndarray of shape (m,) or None
            Decimal years; NaN is unknown.
        keys : ndarray of shape (m,) of uint64
            Keys of the rows, from `row_keys`: rows with equal keys have the same noise.
        n : int
        seed : int
        campaign : ndarray of shape (m,) of uint64, default=None
            Keys of the campaigns; 0 is unknown.

        Returns
        -------
        ndarray of shape (m, n)
            The correlated part is a function of position and time, and the noise one of the key:
            the same seed gives the same functions in any call.
        """
        rng = np.random.RandomState(seed)
        frequencies = self._frequencies(positions.shape[1], rng)
        weights = rng.standard_normal((2, _N_FREQUENCIES, n)).astype(np.float32) / np.sqrt(
            _N_FREQUENCIES
        )
        time = np.full(len(positions), np.nan) if time is None else time
        points = np.column_stack([positions, np.nan_to_num(time - _ORIGIN)])
        errors = np.empty((len(positions), n))
        shared = self.share + self.year_share + self.campaign_share + self.level_share
        noise = np.sqrt(max(1 - shared, 0.0))
        for start in range(0, len(positions), CHUNK):
            part = slice(start, min(start + CHUNK, len(positions)))
            # Independent weights of cosine and sine make the variance the same at all positions.
            phase = (points[part] @ frequencies).astype(np.float32)
            errors[part] = np.cos(phase) @ weights[0] + np.sin(phase) @ weights[1]
            errors[part] *= np.sqrt(self.share)
            errors[part] += noise * keyed_normals(keys[part], n, seed)
        if self.year_share > 0:
            years, index = np.unique(np.floor(time), return_inverse=True)
            shifts = keyed_normals(hash_column(years), n, seed + 1)
            errors += np.sqrt(self.year_share) * shifts[index.reshape(-1)]
        if self.campaigns is not None:
            groups = self.campaigns.assign(campaign, positions, time)
            errors += self.campaigns.draw(groups, n, seed + 3)
        level = keyed_normals(np.zeros(1, dtype=np.uint64), n, seed + 2)
        return errors + np.sqrt(self.level_share) * level

    def _frequencies(self, n_dims: int, rng: np.random.RandomState) -> np.ndarray:
        """Return frequencies (n_dims + 1, f) in space and time.

        Those of the persistent part do not depend on time. The spectral density of an exponential
        correlation is that of a Cauchy distribution.
        """
        generator = np.random.default_rng(rng.randint(2**31))
        spatial = matern_frequencies(_N_FREQUENCIES, n_dims, self.practical_range, generator)
        temporal = generator.standard_cauchy(_N_FREQUENCIES) * 3.0 / self.time_range
        temporal[: round(self.persistence * _N_FREQUENCIES)] = 0.0
        return np.vstack([spatial, temporal])


@dataclass(frozen=True)
class _ErrorRows:
    """Rows whose errors are correlated.

    Attributes
    ----------
    score : ndarray of shape (n,)
        Standardized errors.
    positions : ndarray of shape (n, d)
    time : ndarray of shape (n,) or None
        Decimal years, all known; None if errors do not depend on time.
    size : ndarray of shape (n,)
        Square root of the share of the variance that is not known measurement error.
    campaign : ndarray of shape (n,) of uint64 or None
    """

    score: np.ndarray
    positions: np.ndarray
    time: np.ndarray | None
    size: np.ndarray
    campaign: np.ndarray | None

    @property
    def years(self) -> np.ndarray:
        """Decimal years, 0 without any."""
        return np.zeros(len(self.score)) if self.time is None else self.time

    def take(self, rows: np.ndarray) -> _ErrorRows:
        """Return some rows."""
        return _ErrorRows(
            self.score[rows],
            self.positions[rows],
            None if self.time is None else self.time[rows],
            self.size[rows],
            None if self.campaign is None else self.campaign[rows],
        )

    def geometry(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return distance, lag, same year and same campaign (n, n) of all pairs."""
        years = self.years
        return (
            np.linalg.norm(self.positions[:, None] - self.positions, axis=-1),
            np.abs(years[:, None] - years),
            np.floor(years)[:, None] == np.floor(years),
            in_same_campaign(self.campaign, len(years)),
        )


@dataclass(frozen=True)
class _Pairs:
    """Pairs of errors.

    Attributes
    ----------
    distance, lag : ndarray of shape (p,)
        In space and in years.
    product : ndarray of shape (p,)
        Of the errors, relative to their mean square.
    same_year : ndarray of shape (p,) of bool
    size : ndarray of shape (p,)
        Expected product at a correlation of 1; less than 1 with known measurement errors.
    """

    distance: np.ndarray
    lag: np.ndarray
    product: np.ndarray
    same_year: np.ndarray
    size: np.ndarray

    @classmethod
    def sample(cls, rows: _ErrorRows, rng: np.random.RandomState) -> _Pairs:
        """Pair each row with its nearest ones, and all rows of a random subset."""
        score, positions, years, size = rows.score, rows.positions, rows.years, rows.size
        first, second = _row_pairs(positions, rng)
        distance = np.linalg.norm(positions[first] - positions[second], axis=1)
        lag = np.abs(years[first] - years[second])
        # Rows at one place and time are repetitions; visits in other years are not.
        kept = (distance > 0) | (lag >= _LEAST_LAG)
        first, second, distance, lag = first[kept], second[kept], distance[kept], lag[kept]
        # Products are taken around zero, because the mean error is common to all rows.
        scale = np.mean(score**2)
        product = score[first] * score[second] / scale if scale > 0 else np.zeros(len(first))
        same_year = np.floor(years[first]) == np.floor(years[second])
        return cls(distance, lag, product, same_year, size[first] * size[second])

    def take(self, chosen: np.ndarray) -> _Pairs:
        """Return some of the pairs."""
        return _Pairs(
            self.distance[chosen],
            self.lag[chosen],
            self.product[chosen],
            self.same_year[chosen],
            self.size[chosen],
        )

    def without_years(self, year_share: float) -> _Pairs:
        """Return the pairs without the correlation of rows of one year."""
        return replace(self, product=self.product - year_share * self.same_year * self.size)


@dataclass(frozen=True)
class _Blocks:
    """Blocks of rows whose likelihoods are multiplied.

    Attributes
    ----------
    score, size : list of ndarray of shape (m,)
        Standardized errors of unit variance, and the products of sizes (m, m), of each block.
    geometry : list of tuple of ndarray of shape (m, m)
        Distance, lag, same year and same campaign.
    """

    score: list[np.ndarray]
    size: list[np.ndarray]
    geometry: list[tuple[np.ndarray, ...]]

    @classmethod
    def sample(cls, rows: _ErrorRows, rng: np.random.RandomState) -> _Blocks:
        """Draw rows and the rows nearest to them, and a random subset."""
        n = len(rows.score)
        scale = np.sqrt(np.mean(rows.score**2))
        n_rows = min(_BLOCK_ROWS, n)
        chosen = [rng.permutation(n)[:n_rows]]
        if n > n_rows:
            centers = rng.permutation(n)[: min(_MOST_BLOCKS, -(-n // n_rows))]
            chosen += list(cKDTree(rows.positions).query(rows.positions[centers], k=n_rows)[1])
        blocks = cls([], [], [])
        for block in map(rows.take, chosen):
            blocks.score.append(np.clip(block.score / scale, -_MOST_SCORE, _MOST_SCORE))
            blocks.size.append(np.outer(block.size, block.size))
            blocks.geometry.append(block.geometry())
        return blocks

    def n_campaign_pairs(self) -> int:
        """Return the number of pairs of rows of one campaign."""
        return sum(int(np.triu(same, k=1).sum()) for *_, same in self.geometry)

    def loss(self, correlogram: ErrorCorrelogram) -> float:
        """Return the negative log-likelihood of a correlogram, up to a constant."""
        loss = 0.0
        for score, size, geometry in zip(self.score, self.size, self.geometry, strict=True):
            covariance = size * correlogram.correlation(*geometry)
            np.fill_diagonal(covariance, 1 + 1e-6)
            factor = np.linalg.cholesky(covariance)
            whitened = solve_triangular(factor, score, lower=True)
            loss += np.log(np.diag(factor)).sum() + whitened @ whitened / 2
        return float(loss)


def _fit_spatial(pairs: _Pairs) -> tuple[float, float]:
    """Return share and practical range; a share of 0 without enough pairs."""
    pairs = pairs.take(pairs.distance > 0)
    distance, product = pairs.distance, pairs.product
    # All products are 0 for a constant target, predicted without error.
    if len(distance) < _MIN_PAIRS or not np.any(product):
        return 0.0, 1.0
    edges = np.geomspace(distance.min(), distance.max() * (1 + 1e-9), _N_BINS + 1)
    lag = np.clip(np.searchsorted(edges, distance, side="right") - 1, 0, _N_BINS - 1)
    count = np.bincount(lag, minlength=_N_BINS)
    kept = count >= min(_MIN_PAIRS, count.max())
    # Regression of the products on their sizes, which are 1 without known measurement errors.
    size = np.bincount(lag, pairs.size**2, _N_BINS)[kept]
    correlation = np.bincount(lag, product * pairs.size, _N_BINS)[kept] / size
    mean_distance = np.bincount(lag, distance, _N_BINS)[kept] / count[kept]
    low, high = float(distance.min()), float(distance.max())
    if kept.sum() < 3 or not low < high:
        return 0.0, 1.0
    start = (float(np.clip(correlation[0], 0.05, 0.95)), float(np.sqrt(low * high)))

    def residuals(parameters: np.ndarray) -> np.ndarray:
        share, practical_range = parameters
        found = share * matern_correlation(mean_distance, practical_range)
        return np.sqrt(size) * (found - correlation)

    # In contrast to `curve_fit` it does not raise where the optimum is flat, as without
    # correlation.
    best = least_squares(residuals, start, bounds=([0.0, low], [1.0, high])).x
    return float(best[0]), float(best[1])


def _fit_year_share(score: np.ndarray, year: np.ndarray, size: np.ndarray) -> float:
    """Return the correlation of errors of one year, or 0 where years are few or do not differ.

    The variance of the means of years beyond that of as many independent errors, with a standard
    error by leaving out one year at a time.
    """
    labels, index = np.unique(year, return_inverse=True)
    index = index.reshape(-1)
    count = np.bincount(index)
    scale = np.mean(score**2)
    if np.sum(count > 1) < _MIN_YEARS or not scale > 0:
        return 0.0
    total, square = np.bincount(index, score), np.bincount(index, score**2)
    # Mean product of two different rows of a year.
    size_total = np.bincount(index, size)
    products, pairs = total**2 - square, size_total**2 - np.bincount(index, size**2)
    # Products with the rows of other years remove what all years share.
    others = total * (total.sum() - total)
    n_others = size_total * (size.sum() - size_total)

    def share(kept: np.ndarray) -> float:
        within = products[kept].sum() / pairs[kept].sum()
        return float((within - others[kept].sum() / n_others[kept].sum()) / scale)

    all_years = np.ones(len(labels), dtype=bool)
    found = share(all_years)
    left_out = []
    for position in np.flatnonzero(count > 1):
        kept = all_years.copy()
        kept[position] = False
        left_out.append(share(kept))
    spread = np.asarray(left_out)
    n = len(spread)
    error = np.sqrt((n - 1) / n * np.sum((spread - spread.mean()) ** 2))
    return float(np.clip(found, 0.0, 0.9)) if found > _YEAR_SIGNIFICANCE * error else 0.0


def _diameter(positions: np.ndarray) -> float:
    return float(np.linalg.norm(np.ptp(positions, axis=0)))


def matern_correlation(distance: np.ndarray, practical_range: float) -> np.ndarray:
    """Return the Matérn correlation of smoothness 3/2, which is 0.05 at the practical range.

    Rasmussen & Williams 2006, Gaussian processes for machine learning, equation 4.17.
    """
    scaled = np.sqrt(3) * 2.739 * np.asarray(distance) / practical_range
    return (1 + scaled) * np.exp(-scaled)


def _row_pairs(positions: np.ndarray, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of each row with its nearest rows, and all pairs of a random subset."""
    n = len(positions)
    k = min(_N_NEAREST + 1, n)
    nearest = cKDTree(positions).query(positions, k=np.arange(1, k + 1))[1]
    first, second = np.repeat(np.arange(n), k), nearest.ravel()
    subset = rng.permutation(n)[:_N_PAIRED]
    one, other = np.triu_indices(len(subset), k=1)
    first = np.concatenate([first, subset[one]])
    return first, np.concatenate([second, subset[other]])
