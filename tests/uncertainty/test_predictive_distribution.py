"""Predictive distribution in the unit of y, for Gaussian members with known answers."""

import warnings

import numpy as np
import pytest
from scipy.stats import norm

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.table.target_scaling import TargetScaler
from sptgnn_sklearn.uncertainty.calibration import Calibration
from sptgnn_sklearn.uncertainty.correlated_draws import SCORES, keyed_normals
from sptgnn_sklearn.uncertainty.postprocessing import MemberPredictions
from sptgnn_sklearn.uncertainty.predictive_distribution import PredictiveDistribution

RNG = np.random.default_rng(0)
SCALER = TargetScaler(None, 10.0, 2.0)


def distribution(mean, variance, **options):
    members = MemberPredictions(np.array(mean, dtype=float), np.array(variance, dtype=float))
    return PredictiveDistribution(
        members, SCALER, Calibration(scores=np.arange(-49.0, 50)), **options
    )


def test_moments_are_decomposed_in_the_unit_of_y():
    """Two members at -1 and 3 with variance 4 and 16: noise is the mean variance."""
    mean, aleatoric, epistemic = distribution([[-1.0], [3.0]], [[4.0], [16.0]]).moments()
    np.testing.assert_allclose(mean, 10 + 2 * 1.0, rtol=1e-6)
    np.testing.assert_allclose(aleatoric, 2 * np.sqrt(10.0))
    np.testing.assert_allclose(epistemic, 2 * 2.0)


def test_quantiles_and_draws_of_one_member_are_normal():
    """A single member gives the quantiles of a normal distribution."""
    one = distribution([[1.0]], [[4.0]])
    levels = np.array([0.05, 0.5, 0.9])
    np.testing.assert_allclose(one.quantiles(levels)[0], norm.ppf(levels, 12.0, 4.0), rtol=1e-6)
    scores = SCORES[None, 3:-3]
    np.testing.assert_allclose(one.draw(scores), 12 + 4 * scores, atol=1e-6)


def test_interval_is_conformal():
    """The interval spans the order statistics of the standardized errors around the mean."""
    low, high = distribution([[1.0]], [[4.0]]).interval(0.9)[0]
    np.testing.assert_allclose([low, high], [10 + 2 * (1 + 2 * x) for x in (-45.0, 45.0)])


def test_bounds_clip_all_outputs():
    """Means, quantiles, intervals and draws stay within the bounds; None leaves a side open."""
    one = distribution([[1.0]], [[4.0]], bounds=(11.0, None))
    assert one.moments()[0] == 12.0
    assert one.quantiles(np.array([0.01, 0.99])).min() == 11.0
    assert one.interval(0.9).min() == 11.0 and one.interval(0.9).max() > 100
    assert one.draw(np.array([[-3.0, 3.0]])).min() == 11.0


def many_draws(found, n=20_000):
    """Return draws of every row at equally probable scores."""
    scores = norm.ppf((np.arange(n) + 0.5) / n)
    return found.draw(np.broadcast_to(scores, (found.members.mean.shape[1], n)))


@pytest.mark.parametrize("function", [None, "log1p"])
@pytest.mark.parametrize(
    "bounds", [(1.0, None), (None, 4.0), (1.5, 3.0), (-1.0, 50.0), (9.0, 10.0)]
)
def test_moments_of_bounded_distributions_are_those_of_draws(function, bounds):
    """Standard deviations are those of the limited draws; the mean is limited itself."""
    scaler = TargetScaler(function, 1.0 if function else 2.0, 0.5 if function else 1.5)
    members = MemberPredictions(RNG.normal(size=(3, 40)), RNG.uniform(0.1, 1.5, size=(3, 40)))
    free = PredictiveDistribution(members, scaler, Calibration())
    bounded = PredictiveDistribution(members, scaler, Calibration(), bounds)
    mean, aleatoric, epistemic = bounded.moments()
    limits = [np.inf * sign if b is None else b for sign, b in zip((-1, 1), bounds, strict=True)]
    np.testing.assert_array_equal(mean, np.clip(free.moments()[0], *limits))
    draws = many_draws(bounded)
    np.testing.assert_allclose(np.hypot(aleatoric, epistemic), draws.std(1), rtol=0.02, atol=5e-3)
    outside = (draws <= limits[0]).any(1) | (draws >= limits[1]).any(1)
    assert (np.hypot(aleatoric, epistemic) <= np.hypot(*free.moments()[1:]) + 1e-12)[outside].all()


def test_bounds_that_are_not_reached_change_no_bits():
    """Moments and draws equal those without bounds."""
    members = MemberPredictions(RNG.normal(size=(3, 40)), RNG.uniform(0.1, 1, size=(3, 40)))
    for function in (None, "log1p"):
        scaler = TargetScaler(function, 2.0, 0.4)
        found, expected = (
            PredictiveDistribution(members, scaler, Calibration(), bounds)
            for bounds in ((-1e5, 1e5), None)
        )
        for one, other in zip(found.moments(), expected.moments(), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("std", [0.5, 1.9, 2.3, 3.0, 4.0, 8.0, 30.0])
@pytest.mark.parametrize("n_members", [1, 4])
def test_log_normal_moments_of_any_width(std, n_members):
    """The mean lies inside its interval or a warning gives the reason; std is that of draws."""
    mean = RNG.normal(0, 0.3, size=(n_members, 20))
    members = MemberPredictions(mean, RNG.uniform(0.9, 1.1, size=mean.shape))
    scores = norm.ppf((np.arange(200) + 0.5) / 200)
    found = PredictiveDistribution(
        members, TargetScaler("log1p", 1.0, std), Calibration(scores=scores)
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mean, aleatoric, epistemic = found.moments()
    limits = found.interval(0.8)
    inside = (limits[:, 0] <= mean) & (mean <= limits[:, 1])
    assert bool(caught) == (not inside.all())
    assert all("outside its 80% interval" in str(warning.message) for warning in caught)
    assert inside.all() or std > 4
    total = np.hypot(aleatoric, epistemic)
    if std < 1.8:  # unchanged: the moments of log-normal members
        means, variances = found.target.moments(members.mean, members.variance)
        np.testing.assert_array_equal(mean, means.mean(0))
        np.testing.assert_array_equal(aleatoric, np.sqrt(variances.mean(0)))
        return
    if std < 2:
        return
    draws = many_draws(found)
    np.testing.assert_allclose(total, draws.std(1), rtol=0.05)
    np.testing.assert_allclose(mean, draws.mean(1), rtol=0.05)
    assert (epistemic > 0).all() == (n_members > 1)
    # Central quantiles of the draws are the predicted ones.
    levels = np.array([0.05, 0.5, 0.95])
    np.testing.assert_allclose(
        np.log(np.quantile(draws, levels, axis=1).T + 1 + 1e-9),
        np.log(found.quantiles(levels) + 1 + 1e-9),
        atol=0.02 * std,
    )


def test_moments_at_the_end_of_single_precision_agree_with_draws():
    """Values are limited to exp(80), and so are mean and standard deviation."""
    members = MemberPredictions(np.array([[0.0, 1.0]]), np.ones((1, 2)))
    found = PredictiveDistribution(members, TargetScaler("log1p", 90.0, 1.0), Calibration())
    mean, aleatoric, _ = found.moments()
    np.testing.assert_allclose(mean, np.exp(80), rtol=1e-6)
    assert (aleatoric < 1e-3 * mean).all()
    assert (many_draws(found).std(1) < 1e-3 * mean).all()


@pytest.mark.filterwarnings("ignore:The predicted mean")
def test_rows_do_not_change_the_moments_of_others():
    """Wide and ordinary rows in one call equal those of each row alone."""
    members = MemberPredictions(RNG.normal(size=(2, 30)), RNG.uniform(0.1, 9, size=(2, 30)))
    found = PredictiveDistribution(members, TargetScaler("log1p", 1.0, 1.0), Calibration())
    together = np.array(found.moments())
    assert 0 < len(found._wide_rows()) < 30
    for row in range(30):
        alone = PredictiveDistribution(
            MemberPredictions(members.mean[:, [row]], members.variance[:, [row]]),
            found.target,
            found.calibration,
        )
        np.testing.assert_allclose(np.ravel(alone.moments()), together[:, row], rtol=1e-12)


@pytest.mark.parametrize("value", [3.0, 0.0, -7.1, 1e-9, 123456.789])
@pytest.mark.parametrize("transform", [None, "log1p", "auto"])
def test_outputs_of_a_constant_target_agree(value, transform):
    """Mean, quantiles, interval and draws are the constant, and std is 0."""
    if transform == "log1p" and value <= -1:
        pytest.skip("log1p needs y above -1")
    survey = make_soil_survey(n_samples=60, random_state=0)
    model = SpTGNNRegressor(
        n_estimators=2,
        base_estimator=None,
        max_epochs=2,
        random_state=0,
        target_transform=transform,
    ).fit(survey.data, np.full(60, value))
    near = {"rtol": 1e-12, "atol": 1e-15}
    found = model.predict_uncertainty(survey.data, coverage=0.8)
    np.testing.assert_allclose(found[["mean", "lower", "upper"]], value, **near)
    np.testing.assert_array_equal(found[["std", "aleatoric", "epistemic"]], 0.0)
    np.testing.assert_allclose(model.predict_quantiles(survey.data), value, **near)
    np.testing.assert_allclose(model.sample_y(survey.data, 3, random_state=0), value, **near)
    np.testing.assert_allclose(model.oob_prediction_, value, **near)


def test_rows_without_finite_prediction_are_named():
    """The error gives the number and the positions of the rows."""
    with pytest.raises(ValueError, match=r"1 of 3 rows.*\[1\]"):
        distribution([[0.0, np.nan, 0.0]], np.ones((1, 3)))


def test_predict_raises_for_rows_without_finite_prediction(monkeypatch):
    """The estimator returns no NaN if a member's prediction is not finite."""
    survey = make_soil_survey(n_samples=60, random_state=0)
    model = SpTGNNRegressor(n_estimators=2, base_estimator=None, max_epochs=2, random_state=0)
    model.fit(survey.data, survey.target)
    predict = type(model.ensemble_).predict

    def predict_nan(self, table):
        result = predict(self, table)
        result.mean[0, 3] = np.nan
        return result

    monkeypatch.setattr(type(model.ensemble_), "predict", predict_nan)
    for method in (model.predict, model.predict_uncertainty, model.predict_interval):
        with pytest.raises(ValueError, match=r"1 of 60 rows.*\[3\]"):
            method(survey.data)


def test_measurement_errors_widen_everything_but_the_mean():
    """A normal prediction of sd 4 with errors of sd 3 has sd 5 in all outputs."""
    plain = distribution([[1.0, 1.0]], [[4.0, 4.0]])
    noisy = distribution([[1.0, 1.0]], [[4.0, 4.0]], noise_std=np.array([3.0, 0.0]))
    np.testing.assert_array_equal(noisy.moments()[0], plain.moments()[0])
    np.testing.assert_allclose(noisy.moments()[1], [5.0, 4.0])
    levels = np.array([0.05, 0.5, 0.9])
    np.testing.assert_allclose(noisy.quantiles(levels)[0], norm.ppf(levels, 12, 5), rtol=1e-6)
    limits = np.array([9.0, 20.0])
    np.testing.assert_allclose(noisy.probability_below(limits)[0], norm.cdf(limits, 12, 5))
    np.testing.assert_allclose(noisy.interval(0.9)[0], [12 - 45 * 5, 12 + 45 * 5])
    scores = SCORES[None, 3:-3].repeat(2, axis=0)
    np.testing.assert_allclose(noisy.draw(scores)[0], 12 + 5 * scores[0], atol=1e-6)
    for method, argument in (
        ("quantiles", levels),
        ("probability_below", limits),
        ("interval", 0.9),
        ("draw", scores),
    ):
        found, expected = (getattr(one, method)(argument)[1] for one in (noisy, plain))
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("function", [None, "log1p"])
def test_errors_add_to_the_aleatoric_variance(function):
    """The squares of aleatoric part and error add up; epistemic part and mean are kept."""
    members = MemberPredictions(np.array([[0.2], [0.8]]), np.array([[0.3], [0.5]]))
    scaler = TargetScaler(function, 1.5, 0.8)
    plain, noisy = (
        PredictiveDistribution(members, scaler, Calibration(), noise_std=noise_std).moments()
        for noise_std in (None, np.array([1.3]))
    )
    np.testing.assert_array_equal(noisy[0], plain[0])
    np.testing.assert_allclose(noisy[1], np.hypot(plain[1], 1.3))
    np.testing.assert_allclose(noisy[2], plain[2])


def test_errors_keep_clipped_and_wide_means():
    """Means are those without errors, bit for bit, also of limited and of wide distributions."""
    wide = MemberPredictions(np.array([[0.5, 0.1]]), np.array([[9.0, 0.1]]))
    scaler = TargetScaler("log1p", 0.0, 1.0)
    options = {"bounds": (0.2, 50.0)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain, noisy = (
            PredictiveDistribution(wide, scaler, Calibration(), **options, noise_std=noise_std)
            for noise_std in (None, np.array([2.0, 2.0]))
        )
        np.testing.assert_array_equal(noisy.moments()[0], plain.moments()[0])
    assert noisy.quantiles(np.array([0.001])).min() >= 0.2
    assert noisy.moments()[1][1] > plain.moments()[1][1]


@pytest.mark.parametrize(("relative", "coverage"), [(0.1, 0.88), (0.2, 0.85)])
def test_log_normal_measurements_with_additive_errors(relative, coverage):
    """90 % intervals contain simulated measurements for small errors, and fewer for larger ones."""
    rng = np.random.default_rng(0)
    true = np.exp(0.5 * rng.normal(size=500_000)) * 4
    noise_std = relative * true.mean()
    measured = true + noise_std * rng.normal(size=len(true)) - 1
    members = MemberPredictions(np.array([[0.0]]), np.array([[0.25]]))
    found = PredictiveDistribution(
        members, TargetScaler("log1p", np.log(4), 1.0), Calibration(), None, np.array([noise_std])
    )
    assert found.moments()[1][0] == pytest.approx(measured.std(), rel=0.01)
    low, high = found.quantiles(np.array([0.05, 0.95]))[0]
    assert coverage < np.mean((low < measured) & (measured < high)) < 0.9


def test_scores_of_errors_are_independent():
    """Scores of a common error keep its share of the variance; rows without errors are kept."""
    found = distribution([[1.0, 1.0]], [[4.0, 4.0]], noise_std=np.array([3.0, 0.0]))
    common = np.random.default_rng(0).normal(size=(1, 50_000)).repeat(2, axis=0)
    keys = np.array([7, 8], dtype=np.uint64)
    scores = found.add_measurement_scores(common, keys, 0)
    np.testing.assert_array_equal(scores[1], common[1])
    assert scores[0].std() == pytest.approx(1, abs=0.02)
    assert np.corrcoef(scores)[0, 1] == pytest.approx(4 / 5, abs=0.01)  # root of 16 / 25
    plain = distribution([[1.0, 1.0]], [[4.0, 4.0]])
    assert plain.add_measurement_scores(common, keys, 0) is common
    # They are functions of key and seed, and independent of the noise of the same row.
    np.testing.assert_array_equal(found.add_measurement_scores(common, keys, 0), scores)
    assert (found.add_measurement_scores(common, keys, 1)[0] != scores[0]).all()
    noise = (scores[0] - 0.8 * common[0]) / 0.6
    for seed in (0, 1):
        assert abs(np.corrcoef(noise, keyed_normals(keys, 50_000, seed)[0])[0, 1]) < 0.02
