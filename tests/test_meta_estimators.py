"""Tests of uncertainty through Pipelines, searches and TransformedTargetRegressors."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import BayesianRidge, Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    PowerTransformer,
    QuantileTransformer,
    StandardScaler,
)

from sptgnn_sklearn import (
    SpTGNNRegressor,
    predict_interval,
    predict_probability,
    predict_uncertainty,
)
from sptgnn_sklearn.meta_estimators import (
    predict_mean_std,
    predict_normal_quantiles,
    predict_quantiles,
    sample_y,
    wrapped_estimator,
)
from sptgnn_sklearn.metrics import (
    interval_coverage,
    make_interval_coverage_scorer,
    make_interval_score_scorer,
    make_tail_coverage_scorer,
    neg_calibration_error_scorer,
    neg_crps_scorer,
)

SMALL = {
    "time": "date",
    "base_estimator": None,
    "n_estimators": 2,
    "max_epochs": 3,
    "random_state": 0,
    "calibration": "local",
}


@pytest.fixture(scope="module")
def fitted(survey):
    return SpTGNNRegressor(**SMALL).fit(survey.data, survey.target)


def wrapped(survey, wrap):
    return wrap(SpTGNNRegressor(**SMALL)).fit(survey.data, survey.target)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model,
        lambda model: make_pipeline(FunctionTransformer(), model),
        lambda model: make_pipeline(model),
        lambda model: GridSearchCV(model, {"n_neighbors": [10]}, cv=KFold(2)),
        lambda model: make_pipeline(
            "passthrough", GridSearchCV(model, {"n_neighbors": [10]}, cv=2)
        ),
        lambda model: GridSearchCV(make_pipeline("passthrough", model), {}, cv=2),
    ],
    ids=["itself", "pipeline", "alone", "search", "search in pipeline", "pipeline in search"],
)
def test_meta_estimators_return_results_of_the_estimator(survey, fitted, wrap):
    """Meta-estimators around the same model do not change results."""
    outer = wrapped(survey, wrap)
    expected = fitted.predict_uncertainty(survey.data)
    pd.testing.assert_frame_equal(predict_uncertainty(outer, survey.data), expected)
    result = predict_interval(outer, survey.data, coverage=0.8)
    np.testing.assert_allclose(result, fitted.predict_interval(survey.data, coverage=0.8))
    both = predict_uncertainty(outer, survey.data, coverage=0.8)
    np.testing.assert_allclose(both[["lower", "upper"]], result)
    pd.testing.assert_frame_equal(both[expected.columns], expected)


def test_linear_target_transform_is_inverted(survey, fitted):
    """Standardizing y outside the estimator changes units only."""
    outer = wrapped(survey, lambda m: TransformedTargetRegressor(m, transformer=StandardScaler()))
    expected = fitted.predict_uncertainty(survey.data)
    result = predict_uncertainty(outer, survey.data)
    np.testing.assert_allclose(result, expected, rtol=1e-4)
    np.testing.assert_allclose(result["std"] ** 2, result.aleatoric**2 + result.epistemic**2)
    limits = predict_interval(outer, survey.data)
    np.testing.assert_allclose(limits, fitted.predict_interval(survey.data), rtol=1e-4)


def test_decreasing_target_transform_swaps_limits(survey):
    """The lower limit stays below the upper one."""
    minus = FunctionTransformer(np.negative, np.negative)
    outer = wrapped(survey, lambda m: TransformedTargetRegressor(m, transformer=minus))
    limits = predict_interval(outer, survey.data)
    assert (limits[:, 0] < limits[:, 1]).all()
    assert interval_coverage(survey.target, *limits.T) > 0.8
    result = predict_uncertainty(outer, survey.data, coverage=0.9)
    assert (result["std"] > 0).all()
    np.testing.assert_allclose(result[["lower", "upper"]], limits)


def test_nonlinear_target_transform_raises_for_moments(survey):
    """Limits are transformed by any monotone function, standard deviations by linear ones."""
    curve = QuantileTransformer(n_quantiles=50, output_distribution="normal")
    outer = wrapped(survey, lambda m: TransformedTargetRegressor(m, transformer=curve))
    with pytest.raises(ValueError, match=r"QuantileTransformer.* is not linear"):
        predict_uncertainty(outer, survey.data)
    assert np.isfinite(predict_interval(outer, survey.data)).all()


REQUESTED = {"coverage": 0.8, "quantiles": [0.05, 0.5, 0.9], "below": [15.0, 20.0], "above": 25.0}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: make_pipeline("passthrough", model),
        lambda model: GridSearchCV(model, {"n_neighbors": [10]}, cv=KFold(2)),
        lambda model: TransformedTargetRegressor(model, transformer=StandardScaler()),
        lambda model: TransformedTargetRegressor(
            model, func=lambda y: 3 - y / 2, inverse_func=lambda z: 6 - 2 * z
        ),
        lambda model: make_pipeline(
            TransformedTargetRegressor(
                TransformedTargetRegressor(model, func=np.negative, inverse_func=np.negative),
                func=lambda y: y - 10,
                inverse_func=lambda z: z + 10,
            )
        ),
    ],
    ids=["pipeline", "search", "scaled", "decreasing", "nested"],
)
def test_all_columns_pass_meta_estimators(survey, wrap):
    """Intervals, quantiles and probabilities equal those of the methods for arrays."""
    outer = wrapped(survey, wrap)
    table = predict_uncertainty(outer, survey.data, **REQUESTED)
    assert table.columns.tolist()[4:] == [
        "lower", "upper", "q05", "q50", "q90", "p<15.0", "p<20.0", "p>25.0",
        "n_effective", "certified",
    ]  # fmt: skip
    np.testing.assert_allclose(table[["lower", "upper"]], predict_interval(outer, survey.data, 0.8))
    below = predict_probability(outer, survey.data, below=[15.0, 20.0])
    np.testing.assert_allclose(table[["p<15.0", "p<20.0"]], below)
    np.testing.assert_allclose(table["p>25.0"], predict_probability(outer, survey.data, above=25.0))
    for row in range(3):  # the distribution is the same one
        X, values = survey.data.iloc[[row]], table[["q05", "q50", "q90"]].to_numpy()[row]
        found = predict_probability(outer, X, below=values)[0]
        np.testing.assert_allclose(found, [0.05, 0.5, 0.9], atol=1e-6)
    everywhere = predict_probability(outer, survey.data, below=[-np.inf, -1e6, 1e6, np.inf])
    assert (everywhere == [0, 0, 1, 1]).all()


def test_probabilities_through_nonlinear_transforms(survey):
    """A monotone transform of the limit is enough; a limit without a value raises."""
    power = PowerTransformer()
    outer = wrapped(survey, lambda m: TransformedTargetRegressor(m, transformer=power))
    found = predict_probability(outer, survey.data, below=[10.0, 20.0, 30.0])
    assert (np.diff(found, axis=1) > 0).all()
    limit = outer.transformer_.transform([[20.0]])[0, 0]
    np.testing.assert_array_equal(
        found[:, 1], outer.regressor_.predict_probability(survey.data, below=limit)
    )
    logarithm = TransformedTargetRegressor(
        SpTGNNRegressor(**SMALL), func=np.log, inverse_func=np.exp
    ).fit(survey.data, survey.target.clip(1))
    assert (predict_probability(logarithm, survey.data, below=0.0) == 0).all()
    with pytest.raises(ValueError, match="no value at the limit -1: choose a limit"):
        predict_probability(logarithm, survey.data, below=[-1.0, 5.0])


def test_invalid_requests_raise_before_the_prediction(fitted, survey):
    """The functions check their parameters as the methods do."""
    with pytest.raises(ValueError, match=r"did you mean 0\.9\?"):
        predict_interval(fitted, None, coverage=90)
    with pytest.raises(ValueError, match=r"did you mean 0\.95\?"):
        predict_uncertainty(fitted, None, quantiles=95)
    with pytest.raises(ValueError, match="above must not be NaN"):
        predict_probability(fitted, None, above=float("nan"))
    with pytest.raises(TypeError, match="BayesianRidge has no predict_probability"):
        predict_probability(BayesianRidge().fit([[0.0], [1.0]], [0, 1]), [[0.0]], below=1)


def test_regressors_without_uncertainty_are_named(survey):
    """The innermost regressor is named."""
    X, y = survey.data[["lon", "lat"]], survey.target
    with pytest.raises(TypeError, match="Ridge has no predict_uncertainty"):
        predict_uncertainty(make_pipeline(StandardScaler(), Ridge()).fit(X, y), X)
    search = GridSearchCV(clone(Ridge()), {"alpha": [1.0]}, refit=False).fit(X, y)
    with pytest.raises(TypeError, match="refit=False"):
        predict_interval(search, X)


class Doubled(RegressorMixin, BaseEstimator):
    """A meta-estimator of another library that changes the predictions of its regressor."""

    def __init__(self, regressor):
        self.regressor = regressor

    def fit(self, X, y):
        self.regressor_ = clone(self.regressor).fit(X, y / 2)
        return self

    def predict(self, X):
        return 2 * self.regressor_.predict(X)


def test_unknown_meta_estimators_raise():
    """Their regressor may predict on another scale, as here on half of it."""
    X = np.arange(9.0)[:, None]
    outer = Doubled(BayesianRidge()).fit(X, X[:, 0])
    assert wrapped_estimator(outer) is None
    with pytest.raises(TypeError, match=r"Doubled has no predict\(X, return_std=True\)"):
        predict_mean_std(outer, X)


class Spread(RegressorMixin, BaseEstimator):
    """A regressor with given quantiles on the transformed scale."""

    def __init__(self, center=0.0, spread=1.0):
        self.center = center
        self.spread = spread

    def fit(self, X, y):
        self.n_features_in_ = 1
        return self

    def predict(self, X):
        return np.asarray(X)[:, 0] + self.center

    def predict_interval(self, X, coverage=0.9):
        return self.predict_quantiles(X, [(1 - coverage) / 2, (1 + coverage) / 2])

    def predict_quantiles(self, X, quantiles):
        return self.predict(X)[:, None] + self.spread * norm.ppf(quantiles)


def through(transformer, y, **options):
    """Return a TransformedTargetRegressor around given quantiles, fitted to y."""
    outer = TransformedTargetRegressor(
        Spread(**options), transformer=transformer, check_inverse=False
    )
    with np.errstate(all="ignore"):  # of the search for the power
        return outer.fit(np.zeros((len(y), 1)), y)


def inverse(outer, values):
    """Return the inverse of scikit-learn, which is NaN where there is none."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return outer.transformer_.inverse_transform(values.reshape(-1, 1)).reshape(values.shape)


RIGHT = np.random.default_rng(0).pareto(1.0, 300) + 1  # its Yeo-Johnson transform ends above
AT = np.linspace(-2, 2, 9)[:, None]


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0])
def test_limits_without_inverse_are_infinite(side, spread):
    """A power transform ends above for a right tail, below for a left one."""
    outer = through(PowerTransformer(), side * RIGHT, spread=spread)
    direct = inverse(outer, outer.regressor_.predict_interval(AT))
    limits = predict_interval(outer, AT)
    assert not np.isnan(limits).any() and (limits[:, 0] <= limits[:, 1]).all()
    both_defined = ~np.isnan(direct).any(1)
    np.testing.assert_array_equal(limits[both_defined], direct[both_defined])
    column = 1 if side > 0 else 0
    lost = np.isnan(direct[:, column])
    np.testing.assert_array_equal(limits[lost, column], np.full(lost.sum(), side * np.inf))
    if spread == 1:
        assert lost.any() and both_defined.any()


@pytest.mark.parametrize("position", range(len(AT)))
def test_limits_without_inverse_do_not_depend_on_other_rows(position):
    """A row alone, also one whose limits both have no inverse."""
    outer = through(PowerTransformer(), RIGHT)
    alone = predict_interval(outer, AT[position : position + 1])
    np.testing.assert_array_equal(alone[0], predict_interval(outer, AT)[position])


def test_rows_outside_the_range_of_a_transform_have_unlimited_intervals():
    """Neither limit has an inverse."""
    outer = through(PowerTransformer(), RIGHT, center=50.0)
    np.testing.assert_array_equal(predict_interval(outer, AT), [[-np.inf, np.inf]] * len(AT))


@pytest.mark.parametrize(
    ("func", "inverse_func", "center", "spread", "expected"),
    [
        # 1 / y of positive y: beyond 0 there is no positive y.
        (np.reciprocal, np.reciprocal, 0.5, 0.1, (1 / 0.6645, 1 / 0.3355)),
        (np.reciprocal, np.reciprocal, 0.5, 1.0, (1 / 2.1449, np.inf)),
        # Square roots below 0 are those of no y.
        (np.sqrt, np.square, 3.0, 1.0, (1.3551**2, 4.6449**2)),
        (np.sqrt, np.square, 1.0, 1.0, (-np.inf, 2.6449**2)),
        (lambda y: -np.log(y), lambda z: np.exp(-z), 0.0, 1.0, (0.19304, 5.1802)),
        (lambda y: -np.sqrt(y), np.square, -1.0, 1.0, (-np.inf, 2.6449**2)),
        # The logarithm of z is NaN below 0: decreasing with a missing upper limit.
        (lambda y: np.exp(-y), lambda z: -np.log(z), 1.0, 1.0, (-0.97263, np.inf)),
        (lambda y: np.exp(np.minimum(y, 9)), np.log, 1.0, 1.0, (-np.inf, 0.97263)),
        # A plateau is monotone.
        (np.log1p, lambda z: np.maximum(np.expm1(z), 0), 0.0, 1.0, (0.0, 4.1802)),
        (np.log, np.exp, 0.0, 1000.0, (0.0, np.inf)),
    ],
)
def test_limits_of_inverses_that_are_not_monotone(func, inverse_func, center, spread, expected):
    """The limits enclose all values whose transform lies between the limits of the regressor."""
    transformer = FunctionTransformer(func, inverse_func, check_inverse=False)
    outer = through(transformer, RIGHT, center=center, spread=spread)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        limits = predict_interval(outer, np.zeros((3, 1)))
    np.testing.assert_allclose(limits, [expected] * 3, rtol=1e-3)


@pytest.mark.parametrize("levels", [(0.05, 0.5, 0.95), tuple(np.arange(1, 200) / 200)])
@pytest.mark.parametrize("side", [1, -1])
def test_quantiles_without_inverse_are_infinite(side, levels):
    """Quantiles do not cross, and those with an inverse are unchanged."""
    outer = through(PowerTransformer(), side * RIGHT)
    quantiles = predict_quantiles(outer, AT, levels)
    inner = outer.regressor_.predict_quantiles(AT, levels)
    direct = inverse(outer, inner)
    assert not np.isnan(quantiles).any() and (quantiles[:, 1:] >= quantiles[:, :-1]).all()
    some = ~np.isnan(direct).all(1)
    expected = np.where(np.isnan(direct), side * np.inf, direct)[some]
    np.testing.assert_array_equal(quantiles[some], expected)
    assert np.isinf(expected).any()


def test_infinite_limits_pass_through_nested_transforms():
    """Inverses of scikit-learn refuse infinite values."""
    inner = TransformedTargetRegressor(Spread(), transformer=PowerTransformer())
    X, y = np.resize(AT, (len(RIGHT), 1)), RIGHT
    with np.errstate(all="ignore"):
        outer = TransformedTargetRegressor(inner, transformer=StandardScaler()).fit(X, y)
    once = predict_interval(outer.regressor_, AT)
    limits = predict_interval(outer, AT)
    np.testing.assert_allclose(limits, once * y.std() + y.mean(), rtol=1e-9)
    assert np.isinf(limits[:, 1]).any()


def test_moments_through_inverses_without_value_raise():
    """They are not linear, also if no row has a value above its mean."""

    class Certain(Spread):
        def predict(self, X, return_std=False):
            mean = super().predict(X) + 40
            return (mean, np.ones(len(mean))) if return_std else mean

    outer = TransformedTargetRegressor(Certain(), transformer=PowerTransformer())
    with np.errstate(all="ignore"):
        outer.fit(np.zeros((300, 1)), RIGHT)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="is not linear"):
            predict_mean_std(outer, AT)


def test_scorers_accept_infinite_limits():
    """Coverage counts them; scores of width and CRPS are minus infinity, never NaN."""
    outer = through(PowerTransformer(), RIGHT, spread=2.0)
    X, y = np.zeros((len(RIGHT), 1)), RIGHT
    limits = predict_interval(outer, X, 0.9)
    assert np.isinf(limits).any()
    expected = -abs(0.9 - interval_coverage(y, *limits.T))
    assert make_interval_coverage_scorer(0.9)(outer, X, y) == pytest.approx(expected)
    assert np.isfinite(make_tail_coverage_scorer(0.9)(outer, X, y))
    assert make_interval_score_scorer(0.9)(outer, X, y) == -np.inf
    assert neg_crps_scorer(outer, X, y) == -np.inf
    assert -0.5 < neg_calibration_error_scorer(outer, X, y) <= 0


def test_normal_quantiles_through_a_decreasing_transform():
    """They are transformed one by one and stay in increasing order; models without std raise."""
    X = np.random.default_rng(0).uniform(1, 2, size=(50, 1))
    y = 1 / (X[:, 0] + np.random.default_rng(1).normal(scale=0.05, size=50))
    model = TransformedTargetRegressor(
        BayesianRidge(), func=np.reciprocal, inverse_func=np.reciprocal
    ).fit(X, y)
    mean, std = BayesianRidge().fit(X, 1 / y).predict(X, return_std=True)
    expected = 1 / (mean[:, None] + std[:, None] * norm.ppf([0.9, 0.5, 0.1]))
    result = predict_normal_quantiles(model, X, [0.1, 0.5, 0.9])
    np.testing.assert_allclose(result, expected)
    with pytest.raises(TypeError, match=r"Ridge has no predict\(X, return_std=True\)"):
        predict_normal_quantiles(Ridge().fit(X, y), X, [0.1, 0.9])


class NormalDraws(RegressorMixin, BaseEstimator):
    """Regressor with standard normal errors around the first column of X."""

    def fit(self, X, y):
        self.is_fitted_ = True
        return self

    def predict(self, X):
        return np.asarray(X)[:, 0]

    def sample_y(self, X, n_samples=1, random_state=None):
        rng = np.random.RandomState(random_state)
        return self.predict(X)[:, None] + rng.standard_normal((len(X), n_samples))


X_OF_DRAWS = np.linspace(1, 2, 5)[:, None]
DRAWS = NormalDraws().fit(X_OF_DRAWS, X_OF_DRAWS[:, 0]).sample_y(X_OF_DRAWS, 7, 3)


@pytest.mark.parametrize(
    ("wrap", "expected"),
    [
        (lambda model: make_pipeline("passthrough", model), DRAWS),
        (lambda model: GridSearchCV(model, {}, cv=2), DRAWS),
        (
            lambda model: TransformedTargetRegressor(
                model, func=lambda y: 3 - y / 2, inverse_func=lambda z: 6 - 2 * z
            ),
            6 - 2 * DRAWS,
        ),
        (
            lambda model: make_pipeline(
                TransformedTargetRegressor(model, func=np.log, inverse_func=np.exp)
            ),
            np.exp(DRAWS),
        ),
    ],
    ids=["pipeline", "search", "decreasing", "nonlinear"],
)
def test_draws_pass_meta_estimators(wrap, expected):
    """Joint draws are those of the regressor, each transformed back."""
    outer = wrap(NormalDraws()).fit(X_OF_DRAWS, X_OF_DRAWS[:, 0])
    np.testing.assert_allclose(sample_y(outer, X_OF_DRAWS, 7, random_state=3), expected)


def test_regressors_without_draws_are_named():
    """The message has the method, and not MAPIE, which has no joint draws."""
    with pytest.raises(TypeError, match="Ridge has no sample_y") as error:
        sample_y(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]), [[0.5]])
    assert "MAPIE" not in str(error.value)
