"""Prediction methods of an estimator with a predictive distribution."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..table.geo_frames import frame_like
from ..utils.distribution_columns import (
    DistributionColumns,
    check_coverage,
    check_shares,
    choose_limits,
)
from .predictive_distribution import PredictiveDistribution

__all__ = ["PredictionMethods"]


class PredictionMethods:
    """Means, moments, quantiles, intervals and probabilities of an estimator.

    The estimator implements ``_predict(X)``, which returns the `PredictiveDistribution` of rows.
    """

    _predict: Callable[..., PredictiveDistribution]

    def predict(self, X, return_std=False):
        """Predict the mean of the target.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        return_std : bool, default=False
            Whether to return the predictive standard deviation as well.

        Returns
        -------
        mean : ndarray of shape (n_samples,)
            In the unit of y.
        std : ndarray of shape (n_samples,)
            Total of aleatoric and epistemic. Only returned if `return_std` is True.
        """
        mean, aleatoric, epistemic = self._predict(X).moments()
        return (mean, np.hypot(aleatoric, epistemic)) if return_std else mean

    def predict_uncertainty(self, X, coverage=None, quantiles=None, below=None, above=None):
        """Predict the mean, its uncertainty, and any intervals, quantiles and probabilities.

        All columns come from one pass of the model.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        coverage : float or sequence of float, default=None
            If given, the limits of `predict_interval` at this coverage are added as lower and
            upper; for a sequence as lower_80, upper_80, lower_95, ... With local calibration the
            last columns are n_effective, the effective number of held-out errors around a row,
            and certified (certified_80, ...), whether it is enough for the interval.
        quantiles : float or sequence of float, default=None
            If given, the quantiles of `predict_quantiles` at these levels are added as q05, q50,
            q97.5, ...
        below, above : float or sequence of float, default=None
            If given, the probabilities of `predict_probability` are added as ``p<2.0``, ``p>3.5``,
            ...

        Returns
        -------
        DataFrame of shape (n_samples, 4 + n_added)
            Columns mean (equal to `predict`), std, aleatoric (measurement and small-scale noise)
            and epistemic (spread between ensemble members), in the unit of y, with
            ``std**2 = aleatoric**2 + epistemic**2``. A single member has no spread: with
            ``n_estimators=1`` epistemic is NaN, and std is aleatoric. The columns of the parameters
            follow in their order. The index is that of X, as is the geometry of a GeoDataFrame.

        Raises
        ------
        ValueError
            If a coverage or level is not between 0 and 1, a limit is NaN, a column is requested
            twice, or there are too few held-out rows for a coverage.

        Examples
        --------
        >>> from sptgnn_sklearn import SpTGNNRegressor
        >>> from sptgnn_sklearn.datasets import make_soil_survey
        >>> survey = make_soil_survey(n_samples=200, random_state=0)
        >>> model = SpTGNNRegressor(time="date", n_estimators=2, max_epochs=2, base_estimator=None)
        >>> model = model.fit(survey.data, survey.target)
        >>> table = model.predict_uncertainty(survey.data, quantiles=[0.05, 0.95], below=10)
        >>> table.columns.tolist()
        ['mean', 'std', 'aleatoric', 'epistemic', 'q05', 'q95', 'p<10.0']
        """
        added = DistributionColumns.check(coverage, quantiles, below, above)
        found = self._predict(X)
        mean, aleatoric, epistemic = found.moments()
        std = np.hypot(aleatoric, epistemic)
        if len(found.members.mean) == 1:
            epistemic = np.full_like(epistemic, np.nan)
        columns = {"mean": mean, "std": std, "aleatoric": aleatoric, "epistemic": epistemic}
        return frame_like(columns | added.evaluate(found), X)

    def predict_quantiles(self, X, quantiles=(0.05, 0.5, 0.95)):
        """Predict calibrated quantiles of the mixture of the members' Gaussians.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        quantiles : sequence of float, default=(0.05, 0.5, 0.95)
            Levels between 0 and 1.

        Returns
        -------
        ndarray of shape (n_samples, n_quantiles)
            In the unit of y. Quantiles of increasing levels do not cross.

        Raises
        ------
        ValueError
            If `quantiles` is not a sequence of numbers between 0 and 1.
        """
        if np.ndim(quantiles) != 1:
            raise ValueError(f"quantiles must be a sequence such as [0.5]; found {quantiles!r}.")
        levels = check_shares("quantiles", quantiles)
        return self._predict(X).quantiles(levels)

    def predict_probability(self, X, *, below=None, above=None):
        """Predict the probability that the measured value lies below or above a limit.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        below, above : float or sequence of float, default=None
            Limits in the unit of y; either `below` or `above` is given.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_limits)
            Probabilities between 0 and 1, with one column for each limit of a sequence.

        Raises
        ------
        ValueError
            If both or none of `below` and `above` are given, or a limit is NaN or not a number.

        Notes
        -----
        The distribution is that of `predict_quantiles`: the probability of values below the
        quantile of level p is p. Probabilities below and above a limit add up to 1, because the
        distribution is continuous inside of `target_bounds`. A limit at or beyond a bound has a
        probability of exactly 0 or 1: with ``target_bounds=(0, None)`` no value lies below 0. If
        the target is constant, a limit that equals it counts as not above the value: the
        probability below the limit is 0, that above it 1.

        Examples
        --------
        >>> from sptgnn_sklearn import SpTGNNRegressor
        >>> from sptgnn_sklearn.datasets import make_soil_survey
        >>> survey = make_soil_survey(n_samples=200, random_state=0)
        >>> model = SpTGNNRegressor(time="date", n_estimators=2, max_epochs=2, base_estimator=None)
        >>> model = model.fit(survey.data, survey.target)
        >>> model.predict_probability(survey.data, below=10).shape
        (200,)
        >>> model.predict_probability(survey.data, above=[10, 20, 30]).shape
        (200, 3)
        """
        limits, is_above, is_single = choose_limits(below, above)
        found = self._predict(X).probability_below(limits)
        found = 1 - found if is_above else found
        return found[:, 0] if is_single else found

    def predict_interval(self, X, coverage=0.9):
        """Predict conformal intervals.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        coverage : float, default=0.9
            Nominal coverage of new rows.

        Returns
        -------
        ndarray of shape (n_samples, 2)
            Lower and upper limit, in the unit of y.

        Raises
        ------
        ValueError
            If `coverage` is not between 0 and 1, or there are too few held-out rows for it.

        Notes
        -----
        Split conformal prediction by MAPIE, on the errors at held-out locations divided by the
        predicted standard deviation, which follows the errors around a row with
        ``calibration="local"``. Coverage is marginal, and holds for rows that are distributed like
        the held-out ones: half of them single locations, half whole blocks. A conformal interval
        of coverage c needs ``2 / (1 - c)`` errors. Rows with fewer effective errors around them
        have wider intervals: as the number falls to 0, the share of errors outside falls to half
        of its nominal value. See :ref:`local-calibration`.
        """
        coverage = check_coverage(coverage)
        return self._predict(X).interval(coverage)
