"""Local scale of errors: known scales, no scale in noise, effective numbers and predictions."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor
from sptgnn_sklearn.uncertainty.local_scale import CalibrationInputs, LocalScale

N = 3000
ONE = np.ones(N)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def fit(scores, inputs, std=ONE, weight=ONE, location=None):
    location = np.arange(len(scores)) if location is None else location
    return LocalScale.fit(scores, weight, location, inputs, std)


def test_no_smoother_where_errors_have_one_scale():
    """In at least 18 of 20 samples, with four spaces to choose from."""
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        inputs = CalibrationInputs(
            rng.uniform(1, 2, 300), rng.uniform(size=(300, 2)), rng.normal(size=(300, 8))
        )
        local, left_out = fit(rng.normal(size=300), inputs, rng.uniform(1, 2, 300), np.ones(300))
        assert set(local.spaces) == {"location", "covariates", "distance", "std"}
        found.append(len(local.smoothers))
        if not local.smoothers:
            np.testing.assert_array_equal(left_out, 1)
    assert sum(number == 0 for number in found) >= 18


@pytest.mark.parametrize("space", ["location", "covariates", "distance", "std"])
def test_known_scale_is_recovered_in_its_space(space, rng):
    """Errors that are four times as large in one half; the others have no effect."""
    positions, covariates = rng.uniform(size=(N, 2)), rng.normal(size=(N, 3))
    distance, std = np.exp(rng.normal(size=(2, N)))
    upper = {
        "location": positions[:, 0] > 0.5,
        "covariates": covariates[:, 1] > 0,
        "distance": distance > 1,
        "std": std > 1,
    }[space]
    scores = rng.normal(size=N) * np.where(upper, 4.0, 1.0)
    inputs = CalibrationInputs(distance, positions, covariates)
    local, left_out = fit(scores, inputs, std)
    expected = {space, "covariate 1"} if space == "covariates" else {space}
    assert local.smoothers[0].space in expected
    again = local.scale(inputs, std)
    for scale in (left_out, again):
        ratio = np.median(scale[upper]) / np.median(scale[~upper])
        assert 3 < ratio < 4.5
    assert np.average(left_out / again) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("kind", ["category", "covariate"])
def test_scale_of_one_column_is_found_among_many(kind, rng):
    """A rare category, or a covariate that is one of ten; only spaces in use are kept."""
    covariates = rng.normal(size=(N, 10))
    upper = covariates[:, 4] > 0.5
    if kind == "category":
        upper = rng.uniform(size=N) < 0.1
        covariates[:, 4] = upper / 0.3
    scores = rng.normal(size=N) * np.where(upper, 2.5, 1.0)
    inputs = CalibrationInputs(positions=rng.uniform(size=(N, 2)), covariates=covariates)
    local, _ = fit(scores, inputs)
    assert local.smoothers[0].space == "covariate 4"
    kept = {"location", "covariates", *(smoother.space for smoother in local.smoothers)}
    assert set(local.spaces) == kept
    scale = local.scale(inputs, ONE)
    assert 1.9 < np.median(scale[upper]) / np.median(scale[~upper]) < 2.7
    assert np.isfinite(local.n_effective(inputs, ONE)).all()


def test_errors_of_the_own_location_do_not_count(rng):
    """Errors that are alike within locations only are no local scale."""
    location = np.repeat(np.arange(N // 10), 10)
    places = rng.uniform(size=(N // 10, 2))[location]
    scores = rng.normal(size=N) * np.exp(rng.normal(size=N // 10))[location]
    inputs = CalibrationInputs(positions=places)
    assert fit(scores, inputs, location=location)[0].smoothers == ()
    assert fit(scores, inputs)[0].smoothers != ()


def test_scale_is_constant_beyond_the_held_out_rows(rng):
    """In distance and standard deviation; in space it returns to 1."""
    distance, positions = np.exp(rng.normal(size=N)), rng.uniform(size=(N, 2))
    scores = rng.normal(size=N) * distance**0.5
    inputs = CalibrationInputs(distance, positions)
    local, _ = fit(scores, inputs)
    ends = np.array([distance.min(), distance.min() / 9, distance.max(), np.inf])
    found = local.scale(CalibrationInputs(ends, positions[:4]), np.ones(4))
    assert found[0] < 1 < found[2]
    alone, _ = fit(scores, CalibrationInputs(distance))
    found = alone.scale(CalibrationInputs(ends), np.ones(4))
    np.testing.assert_allclose(found[::2], found[1::2])
    local, _ = fit(
        rng.normal(size=N) * np.where(positions[:, 0] > 0.5, 4, 1),
        CalibrationInputs(positions=positions),
    )
    assert local.smoothers
    far = CalibrationInputs(positions=np.array([[99.0, 99.0]]))
    np.testing.assert_allclose(local.scale(far, np.ones(1)), 1)


def test_effective_number_is_the_sum_of_the_kernel_weights(rng):
    """The closed form in one dimension; no error is far from the data, all are at their center."""
    positions = rng.normal(size=(20_000, 1))
    one = np.ones(20_000)
    local, _ = fit(rng.normal(size=20_000), CalibrationInputs(positions=positions), one, one)
    rows = CalibrationInputs(positions=np.array([[0.0], [1.0], [50.0]]))
    # The mean of exp(-(x - z)^2 / 2) over normal z is exp(-x^2 / 4) / sqrt(2).
    expected = 20_000 * np.array([1.0, np.exp(-0.25), 0.0]) / np.sqrt(2)
    np.testing.assert_allclose(local.n_effective(rows, np.ones(3)), expected, rtol=0.03, atol=1)


def test_effective_number_is_the_least_of_the_spaces(rng):
    """Nearer to the data than all errors is no extrapolation, farther is."""
    distance, positions = np.exp(rng.normal(size=N)), rng.uniform(size=(N, 2))
    local, _ = fit(rng.normal(size=N), CalibrationInputs(distance, positions))
    rows = CalibrationInputs(np.array([1.0, distance.min(), 1e-9, 1e9]), np.full((4, 2), 0.5))
    number = local.n_effective(rows, np.ones(4))
    assert number[0] > 1000
    assert number[2] == pytest.approx(number[1])
    assert number[3] < 1e-9


def test_weights_are_repetitions_of_rows(rng):
    weight = rng.integers(1, 4, 400).astype(float)
    positions = rng.uniform(size=(400, 2))
    scores = rng.normal(size=400) * np.where(positions[:, 0] > 0.5, 4.0, 1.0)
    inputs, location = CalibrationInputs(positions=positions), np.arange(400)
    copies = np.repeat(location, weight.astype(int))
    one, _ = fit(scores, inputs, np.ones(400), weight)
    other, _ = fit(
        scores[copies], inputs.take(copies), np.ones(len(copies)), np.ones(len(copies)), copies
    )
    np.testing.assert_allclose(
        one.scale(inputs, np.ones(400)), other.scale(inputs, np.ones(400)), rtol=0.2
    )


@pytest.mark.parametrize(
    "scores", [np.zeros(50), np.r_[np.zeros(49), 1.0]], ids=["constant", "one error"]
)
def test_degenerate_errors_have_finite_scales(scores):
    inputs = CalibrationInputs(np.full(50, np.inf), np.zeros((50, 2)), np.empty((50, 0)))
    local, left_out = fit(scores, inputs, np.ones(50), np.ones(50))
    assert local.spaces == {} and local.smoothers == ()
    np.testing.assert_array_equal(left_out, 1)
    np.testing.assert_array_equal(local.n_effective(inputs, np.ones(50)), np.inf)


@pytest.fixture(scope="module")
def two_regions():
    """Rows with noise that no covariate and no tree sees, three times as large in the east."""
    rng = np.random.default_rng(1)
    n = 1200
    places, covariate = rng.uniform(size=(n, 2)), rng.normal(size=n)
    noise = np.where(places[:, 0] > 0.5, 3.0, 1.0)
    X = pd.DataFrame({"x": places[:, 0], "y": places[:, 1], "covariate": covariate})
    return X, 2 * covariate + noise * rng.normal(size=n), noise


def test_all_outputs_follow_the_local_scale(two_regions):
    """Standard deviations, quantiles, intervals and draws of a model that sees one noise."""
    X, y, noise = two_regions
    model = SpTGNNRegressor(
        calibration="local",
        network=NetworkConfig(streams=["covariates"]),
        relations=(),
        n_estimators=2,
        max_epochs=10,
        random_state=0,
        base_estimator=None,
    )
    model.fit(X[:800], y[:800])
    rows, east = X[800:], noise[800:] > 2
    calibration = model.ensemble_.postprocessor.calibration
    assert calibration.local.smoothers[0].space == "location"
    found = model.predict_uncertainty(rows, coverage=0.9, quantiles=[0.05, 0.95])
    widths = {
        "std": found["std"],
        "quantiles": found["q95"] - found["q05"],
        "interval": found["upper"] - found["lower"],
        "draws": model.sample_y(rows, 400, random_state=0).std(axis=1),
    }
    for name, width in widths.items():
        width = np.asarray(width)
        assert 1.6 < np.median(width[east]) / np.median(width[~east]) < 3.6, name
    inside = found["lower"].to_numpy() <= y[800:]
    inside &= y[800:] <= found["upper"].to_numpy()
    for part in (east, ~east):
        assert 0.84 < inside[part].mean() < 0.985
    model.ensemble_.postprocessor = replace(
        model.ensemble_.postprocessor, calibration=replace(calibration, local=None)
    )
    without = model.predict_uncertainty(rows, coverage=0.9)
    np.testing.assert_allclose(without["mean"], found["mean"])
    assert "n_effective" not in without


def test_intervals_are_wider_and_flagged_far_from_the_errors(two_regions):
    X, y, _ = two_regions
    model = SpTGNNRegressor(
        calibration="local", n_estimators=2, max_epochs=2, random_state=0, base_estimator=None
    )
    model.fit(X[:300], y[:300])
    rows = pd.concat([X.iloc[400:403], X.iloc[400:403].assign(x=2.5)])
    found = model.predict_uncertainty(rows, coverage=[0.5, 0.9])
    assert found["certified_90"].tolist() == [True] * 3 + [False] * 3
    assert found["certified_50"].dtype == bool
    assert (found["n_effective"].iloc[3:] < 1).all()
    standardized = (found["upper_90"] - found["lower_90"]) / found["std"]
    assert standardized.iloc[3:].min() > 1.05 * standardized.iloc[:3].max()
