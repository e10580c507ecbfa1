"""Gaussian process compared with scikit-learn's, with explicit left-out fits and its gradient."""

import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.special import ndtr
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from sptgnn_sklearn.spatial import gaussian_process
from sptgnn_sklearn.spatial.gaussian_process import MOST_ROWS, GaussianProcess, n_parameters

IRRELEVANT = 1e12  # length of the columns that a term does not use
SPACE = np.log([0.6, 0.8, 0.3])
COMPLETE = np.log([0.6, 0.8, 0.5, 0.7, 0.4, 0.2])
GROUPS = np.arange(40) % 7


@pytest.fixture
def rows():
    """Positions, covariates, values and weights of 40 rows."""
    rng = np.random.default_rng(0)
    positions, covariates = rng.uniform(0, 5, (40, 2)), rng.normal(size=(40, 3))
    values = np.sin(positions[:, 0]) + np.tanh(covariates[:, 1]) + 0.1 * rng.normal(size=40)
    return positions, covariates, values - values.mean(), rng.uniform(0.5, 2, 40)


def make_process(parameters, positions, covariates, values, weight):
    covariate_scale = 1.0 if covariates is None else np.sqrt(covariates.shape[1])
    return GaussianProcess(parameters, 1.5, covariate_scale, positions, covariates, values, weight)


def make_kernel(parameters, n_covariates):
    """Return the same covariance function of scikit-learn, for columns of `make_columns`."""
    values = np.exp(parameters)
    in_space = [values[1]] * 2 + [IRRELEVANT] * n_covariates
    kernel = ConstantKernel(values[0]) * Matern(in_space, nu=0.5)
    if not n_covariates:
        return kernel
    of_covariates = [IRRELEVANT] * 2 + [values[3]] * n_covariates
    similarity = Matern(of_covariates, nu=1.5)
    product = ConstantKernel(values[4]) * Matern(in_space, nu=0.5) * similarity
    return kernel + ConstantKernel(values[2]) * similarity + product


def make_columns(positions, covariates):
    if covariates is None:
        return positions / 1.5
    ranks = ndtr(covariates) * np.sqrt(6 / covariates.shape[1])
    return np.column_stack([positions / 1.5, ranks])


def explicit_center(process):
    """Mean by generalized least squares."""
    columns = make_columns(process.positions, process.covariates)
    covariance = make_kernel(process.parameters, columns.shape[1] - 2)(columns)
    covariance += np.diag(np.exp(process.parameters[-1]) / process.weight + 1e-6)
    ones = np.ones(len(covariance))
    solved = np.linalg.solve(covariance, np.column_stack([ones, process.values]))
    return (ones @ solved[:, 1]) / (ones @ solved[:, 0])


def explicit_predict(process, center, positions, covariates):
    """Predict with scikit-learn's GaussianProcessRegressor and fixed parameters."""
    columns = make_columns(process.positions, process.covariates)
    regressor = GaussianProcessRegressor(
        make_kernel(process.parameters, columns.shape[1] - 2),
        alpha=np.exp(process.parameters[-1]) / process.weight + 1e-6,
        optimizer=None,
    ).fit(columns, process.values - center)
    return center + regressor.predict(make_columns(positions, covariates))


@pytest.mark.parametrize("with_covariates", [False, True])
def test_predictions_equal_scikit_learn(rows, with_covariates):
    """In single precision, for new rows and for more rows than one block has."""
    positions, covariates, values, weight = rows
    covariates = covariates if with_covariates else None
    parameters = COMPLETE if with_covariates else SPACE
    process = make_process(parameters, positions, covariates, values, weight)
    rng = np.random.default_rng(1)
    new = rng.uniform(-1, 6, (300, 2)), rng.normal(size=(300, 3)) if with_covariates else None
    expected = explicit_predict(process, explicit_center(process), *new)
    np.testing.assert_allclose(process.predict(*new), expected, atol=2e-5)


@pytest.mark.parametrize("with_covariates", [False, True])
def test_left_out_predictions_equal_fits_without_the_group(rows, with_covariates):
    """With the parameters and the mean of all rows; groups of one row too."""
    positions, covariates, values, weight = rows
    covariates = covariates if with_covariates else None
    parameters = COMPLETE if with_covariates else SPACE
    process = make_process(parameters, positions, covariates, values, weight)
    center = explicit_center(process)
    for groups in (GROUPS, np.arange(40), GROUPS.astype(str)):
        result = process.predict_left_out(groups)
        for group in np.unique(groups):
            inside = groups == group
            rest = process.take(np.flatnonzero(~inside))
            part = None if covariates is None else covariates[inside]
            expected = explicit_predict(rest, center, positions[inside], part)
            np.testing.assert_allclose(result[inside], expected, atol=1e-8)
    np.testing.assert_allclose(process.predict_left_out(np.zeros(40)), center)


@pytest.mark.parametrize("with_covariates", [False, True])
def test_gradient_equals_finite_differences(rows, with_covariates):
    """Of the posterior density of the parameters, at typical and at odd ones."""
    positions, covariates, values, weight = rows
    covariates = covariates if with_covariates else None
    parameters = COMPLETE if with_covariates else SPACE
    process = make_process(parameters, positions, covariates, values, weight)
    center, spread = np.linspace(-1, 1, len(parameters)), np.linspace(0.5, 2, len(parameters))
    evaluate = process._objective(center, spread)
    step = 1e-5
    for point in (parameters, parameters[::-1].copy(), np.full(len(parameters), -1.5)):
        expected = [
            (evaluate(point + step * axis)[0] - evaluate(point - step * axis)[0]) / (2 * step)
            for axis in np.eye(len(point))
        ]
        np.testing.assert_allclose(evaluate(point)[1], expected, rtol=1e-5, atol=1e-5)


def test_objective_is_the_negative_log_posterior(rows):
    """Up to a constant, it is that of scikit-learn plus the normal prior."""
    positions, covariates, values, weight = rows
    values = values - np.average(values, weights=weight)
    process = make_process(COMPLETE, positions, covariates, values, weight)
    evaluate = process._objective(np.zeros(6), np.full(6, 2.0))
    differences = []
    columns = make_columns(positions, covariates)
    for point in (COMPLETE, COMPLETE + np.linspace(-0.5, 0.5, 6)):
        regressor = GaussianProcessRegressor(
            make_kernel(point, 3), alpha=np.exp(point[-1]) / weight + 1e-6, optimizer=None
        ).fit(columns, values)
        expected = -regressor.log_marginal_likelihood_value_ + point @ point / 8
        differences.append(evaluate(point)[0] - expected)
    assert differences[0] == pytest.approx(differences[1])


def test_fitted_parameters_are_a_maximum(rows):
    """The posterior density decreases in all directions."""
    process = GaussianProcess.fit(*rows)
    assert len(process.parameters) == n_parameters(covariates=True) == 6
    objective = process._objective(*np.array(gaussian_process._PRIOR).T)
    best, _ = objective(process.parameters)
    for step in (*np.eye(6), *-np.eye(6)):
        assert objective(process.parameters + 0.2 * step)[0] > best
    assert n_parameters(covariates=False) == 3
    assert len(GaussianProcess.fit(rows[0], None, *rows[2:]).parameters) == 3


def test_weights_equal_repetition(rows):
    """A weight of 2 is the row twice."""
    positions, covariates, values, _ = rows
    weight = np.random.default_rng(1).integers(1, 4, 40)
    new = np.random.default_rng(2).uniform(0, 5, (20, 2)), np.zeros((20, 3))
    weighted = make_process(COMPLETE, positions, covariates, values, weight.astype(float))
    repeated = make_process(
        COMPLETE,
        *(np.repeat(part, weight, axis=0) for part in (positions, covariates, values)),
        np.ones(weight.sum()),
    )
    np.testing.assert_allclose(weighted.predict(*new), repeated.predict(*new), atol=1e-4)
    unweighted = replace(weighted, weight=np.ones(40))
    assert np.abs(weighted.predict(*new) - unweighted.predict(*new)).max() > 1e-3


def test_scale_of_weights_does_not_matter(rows):
    """Weights are relative to their mean."""
    positions, covariates, values, weight = rows
    results = [
        GaussianProcess.fit(positions, covariates, values, factor * weight).parameters
        for factor in (1.0, 100.0)
    ]
    np.testing.assert_allclose(*results, rtol=1e-3)


def test_tiny_weights_drop_rows(rows):
    """Without overflow of their noise variance."""
    positions, covariates, values, _ = rows
    weight = np.where(np.arange(40) < 30, 1.0, 1e-300)
    values = np.where(np.arange(40) < 30, values, 3.0)
    process = GaussianProcess.fit(positions, covariates, values, weight)
    rest = GaussianProcess.fit(positions[:30], covariates[:30], values[:30], np.ones(30))
    # The unit of lengths is that of all rows, whatever their weight.
    rest = replace(rest, parameters=process.parameters, scale=process.scale)
    rest = replace(rest, weight=process.weight[:30])
    new = positions[30:], covariates[30:]
    np.testing.assert_allclose(process.predict(*new), rest.predict(*new), atol=0.01)
    assert np.isfinite(process.predict_left_out(GROUPS)).all()


def test_kriging_without_noise_is_exact(rows):
    """Predictions at the rows are their values, and far away the mean of the process."""
    positions, _, values, weight = rows
    process = make_process(np.log([1.0, 0.8, 1e-9]), positions, None, values, weight)
    np.testing.assert_allclose(process.predict(positions, None), values, atol=1e-4)
    far = process.predict(np.full((1, 2), 1e4), None)
    np.testing.assert_allclose(far, explicit_center(process), atol=1e-6)


def test_parameters_do_not_depend_on_the_unit_of_positions(rows):
    """Lengths are in radii of the survey."""
    positions, _, values, weight = rows
    meters = GaussianProcess.fit(1000 * positions + 5e6, None, values, weight)
    kilometers = GaussianProcess.fit(positions, None, values, weight)
    np.testing.assert_allclose(meters.parameters, kilometers.parameters, atol=1e-3)
    assert meters.scale == pytest.approx(1000 * kilometers.scale)


def test_fit_recovers_the_kind_of_variation(rows):
    """Noise has a large noise variance; a smooth surface is predicted at left-out rows."""
    positions, _, _, weight = rows
    noise = np.random.default_rng(3).normal(size=40)
    noisy = GaussianProcess.fit(positions, None, noise, weight)
    surface = np.sin(positions[:, 0]) + np.cos(positions[:, 1])
    smooth = GaussianProcess.fit(positions, None, surface, weight)
    assert noisy.parameters[-1] > np.log(0.3) > np.log(0.02) > smooth.parameters[-1]
    assert np.corrcoef(smooth.predict_left_out(GROUPS), surface)[0, 1] > 0.9


def test_covariates_are_used_where_they_explain_the_values(rows):
    positions, covariates, _, weight = rows
    values = np.tanh(covariates[:, 0])
    errors = [
        np.std(
            GaussianProcess.fit(positions, part, values, weight).predict_left_out(GROUPS) - values
        )
        for part in (covariates, None)
    ]
    assert errors[0] < 0.6 * errors[1]


def test_constant_covariates_are_not_used(rows):
    """Without any that vary, the process is one in space alone."""
    positions, covariates, values, weight = rows
    process = GaussianProcess.fit(positions, np.ones((40, 2)), values, weight)
    expected = GaussianProcess.fit(positions, None, values, weight)
    assert process.covariates is None
    np.testing.assert_array_equal(process.parameters, expected.parameters)
    new = np.array([[1.0, 2.0]])
    np.testing.assert_array_equal(
        process.predict(new, np.ones((1, 2))), expected.predict(new, None)
    )
    some = GaussianProcess.fit(positions, np.hstack([covariates, np.ones((40, 6))]), values, weight)
    assert some.covariate_scale == pytest.approx(np.sqrt(3))
    np.testing.assert_allclose(
        some.parameters, GaussianProcess.fit(positions, covariates, values, weight).parameters
    )


def test_large_tables_are_sampled_for_the_parameters(monkeypatch):
    """All rows are used for predictions, and the sample depends on the seed alone."""
    monkeypatch.setattr(gaussian_process, "_MOST_FITTED", 60)
    rng = np.random.default_rng(0)
    positions, values, weight = rng.uniform(size=(401, 2)), rng.normal(size=401), np.ones(401)
    fits = [GaussianProcess.fit(positions, None, values, weight, seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(fits[0].parameters, fits[1].parameters)
    assert (fits[0].parameters != fits[2].parameters).any()
    assert len(fits[0].values) == 401
    chosen = np.random.RandomState(0).permutation(401)[:60]
    objective = fits[0].take(chosen)._objective(*np.array(gaussian_process._SPACE_PRIOR).T)
    np.testing.assert_allclose(objective(fits[0].parameters)[1], 0, atol=1e-2)


def test_at_most_400_rows_are_fitted(monkeypatch):
    """The likelihood of larger tables takes too long."""
    fitted = []

    def objective(process, center, spread):
        fitted.append(len(process.values))
        return lambda parameters: (0.0, np.zeros_like(parameters))

    monkeypatch.setattr(GaussianProcess, "_objective", objective)
    for n in (400, 401, 3000):
        GaussianProcess.fit(np.zeros((n, 2)), None, np.zeros(n), np.ones(n))
    assert fitted == [400, 400, 400]


def test_too_many_rows_raise():
    n = MOST_ROWS + 1
    with pytest.raises(ValueError, match=rf"{n} rows .* at most {MOST_ROWS}.*base_estimator"):
        GaussianProcess.fit(np.zeros((n, 2)), None, np.zeros(n), np.ones(n))


@pytest.mark.parametrize(
    ("positions", "values"),
    [
        (np.random.default_rng(0).uniform(size=(30, 2)), np.zeros(30)),
        (np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]), np.array([-1.0, 0.5, 0.5])),
        (np.repeat([[0.0, 0.0], [3.0, 4.0]], 15, axis=0), np.linspace(-1.5, 1.5, 30)),
        (np.zeros((5, 2)), np.linspace(-1.5, 1.5, 5)),
    ],
    ids=["constant target", "three rows", "two locations", "one location"],
)
@pytest.mark.parametrize("with_covariates", [False, True])
def test_small_and_degenerate_tables(positions, values, with_covariates):
    """Predictions are finite and within the range of the values."""
    n = len(values)
    covariates = np.random.default_rng(1).normal(size=(n, 2)) if with_covariates else None
    process = GaussianProcess.fit(positions, covariates, values, np.ones(n))
    assert np.isfinite(process.parameters).all()
    limit = np.abs(values).max() + 1e-6
    for groups in (np.arange(n) % 2, positions[:, 0]):
        assert np.abs(process.predict_left_out(groups)).max() <= 1.5 * limit
    new = np.array([[0.3, 0.3], [100.0, 0.0]]), np.zeros((2, 2)) if with_covariates else None
    assert np.abs(process.predict(*new)).max() <= limit


def test_two_locations_have_their_means():
    """Rows at one location are averaged, with some shrinkage toward the mean of both."""
    positions = np.repeat([[0.0, 0.0], [3.0, 4.0]], 15, axis=0)
    values = np.repeat([1.0, -1.0], 15) + np.tile([-0.1, 0.0, 0.1], 10)
    process = GaussianProcess.fit(positions, None, values, np.ones(30))
    np.testing.assert_allclose(process.predict(positions[[0, -1]], None), [1, -1], atol=0.1)


def test_matrices_are_not_pickled(rows):
    """Only the fields are, and predictions are the same."""
    process = GaussianProcess.fit(*rows)
    fresh = len(pickle.dumps(process))
    expected = process.predict(rows[0], rows[1])
    process.predict_left_out(GROUPS)
    content = pickle.dumps(process)
    assert len(content) == fresh < 40 * 40 * 8
    again = pickle.loads(content)
    assert set(vars(again)) == {field.name for field in fields(process)}
    np.testing.assert_array_equal(again.predict(rows[0], rows[1]), expected)


def test_predictions_do_not_depend_on_other_rows(rows):
    """A row alone, in another order and in another block has the same prediction."""
    process = make_process(np.log([1, 3, 0.5, 5, 0.2, 1e-3]), *rows)
    rng = np.random.default_rng(1)
    positions, covariates = rng.uniform(0, 5, (520, 2)), rng.normal(size=(520, 3))
    together = process.predict(positions, covariates)
    order = rng.permutation(520)
    np.testing.assert_allclose(
        process.predict(positions[order], covariates[order]), together[order], atol=1e-10
    )
    for row in (0, 255, 256, 519):
        part = slice(row, row + 1)
        alone = process.predict(positions[part], covariates[part])
        np.testing.assert_allclose(alone, together[part], atol=1e-10)


def test_rows_are_taken_with_the_same_parameters(rows):
    process = GaussianProcess.fit(*rows)
    part = process.take(np.array([3, 1]))
    for name, values in zip(("positions", "covariates", "values"), rows, strict=False):
        np.testing.assert_array_equal(getattr(part, name), values[[3, 1]])
    np.testing.assert_array_equal(part.weight, process.weight[[3, 1]])
    np.testing.assert_array_equal(part.parameters, process.parameters)
    assert (part.scale, part.covariate_scale) == (process.scale, process.covariate_scale)


def test_refit_is_a_maximum_for_the_rows_that_are_left(rows):
    """Also where it differs from that of all rows."""
    complete = GaussianProcess.fit(*rows)
    part = complete.take(np.arange(0, len(rows[2]), 2))
    again = part.refit()
    assert (again.parameters != complete.parameters).any()
    assert again.scale == complete.scale
    objective = part._objective(*np.array(gaussian_process._PRIOR).T)
    assert objective(again.parameters)[0] <= objective(complete.parameters)[0]
    np.testing.assert_allclose(objective(again.parameters)[1], 0, atol=1e-2)


@pytest.mark.parametrize("known", [None, "zero"])
def test_no_known_noise_changes_nothing(rows, known):
    """Known variances of zero give the process without."""
    positions, covariates, values, weight = rows
    noise = None if known is None else np.zeros(40)
    fitted = GaussianProcess.fit(positions, covariates, values, weight, known_noise=noise)
    plain = GaussianProcess.fit(positions, covariates, values, weight)
    np.testing.assert_allclose(fitted.parameters, plain.parameters, rtol=1e-6)


def test_known_noise_is_added_to_the_diagonal(rows):
    """Predictions equal those of scikit-learn with the sum of both variances."""
    positions, _, values, weight = rows
    noise = np.where(np.arange(40) % 3, 0.0, 1.5)
    process = replace(make_process(SPACE, positions, None, values, weight), known_noise=noise)
    alpha = (np.exp(SPACE[-1]) + noise) / weight + 1e-6
    reference = GaussianProcessRegressor(
        ConstantKernel(np.exp(SPACE[0])) * Matern(1.5 * np.exp(SPACE[1]), nu=0.5),
        alpha=alpha,
        optimizer=None,
    )
    reference.fit(positions, values - process._center)
    new = positions[:7] + 0.3
    expected = process._center + reference.predict(new)
    np.testing.assert_allclose(process.predict(new, None), expected, rtol=1e-4)


def test_gradient_holds_with_known_noise(rows):
    """The gradient of the objective equals finite differences."""
    positions, covariates, values, weight = rows
    noise = np.random.default_rng(1).uniform(0, 2, 40)
    process = make_process(COMPLETE, positions, covariates, values, weight)
    process = replace(process, known_noise=noise)
    objective = process._objective(*process._priors)
    gradient = objective(COMPLETE)[1]
    for index, step in enumerate(1e-5 * np.eye(len(COMPLETE))):
        difference = objective(COMPLETE + step)[0] - objective(COMPLETE - step)[0]
        assert difference / 2e-5 == pytest.approx(gradient[index], rel=1e-4, abs=1e-6)


def test_noise_variance_is_that_without_known_noise():
    """Of 400 values of a smooth function with noise 0.1 and known noise 1 in half of the rows."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 10, (400, 1))
    known = np.where(np.arange(400) % 2, 1.0, 0.0)
    values = np.sin(x[:, 0]) + np.sqrt(0.1 + known) * rng.normal(size=400)
    one = np.ones(400)
    fitted, plain = (
        GaussianProcess.fit(x, None, values, one, known_noise=noise) for noise in (known, None)
    )
    assert np.exp(fitted.parameters[-1]) == pytest.approx(0.1, rel=0.35)
    assert np.exp(plain.parameters[-1]) > 0.4
    new = np.linspace(0.5, 9.5, 50)[:, None]
    errors = [
        np.mean((process.predict(new, None) - np.sin(new[:, 0])) ** 2)
        for process in (fitted, plain)
    ]
    assert errors[0] < errors[1]
    taken = fitted.take(np.arange(0, 400, 3))
    np.testing.assert_array_equal(taken.known_noise, known[::3])


def test_left_out_predictions_use_known_noise(rows):
    """Predictions from the inverse equal those of the process without the group."""
    positions, covariates, values, weight = rows
    noise = np.where(np.arange(40) % 3, 0.0, 1.5)
    process = make_process(COMPLETE, positions, covariates, values, weight)
    process = replace(process, known_noise=noise)
    left_out = process.predict_left_out(GROUPS)
    rest, group = np.flatnonzero(GROUPS != 2), np.flatnonzero(GROUPS == 2)
    part = process.take(rest)
    part.__dict__["_center"] = process._center
    np.testing.assert_allclose(
        left_out[group], part.predict(positions[group], covariates[group]), rtol=1e-3, atol=1e-3
    )
