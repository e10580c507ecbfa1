"""Model-assisted estimates: the R package survey, closed forms, validity for any model, errors."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from scipy.stats import t as student_t
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold
from sklearn.tree import DecisionTreeRegressor
from small_samples import SAMPLE, STRATUM_SIZES, design_arguments

from sptgnn_sklearn.estimation import design_estimate, model_assisted_estimate

MAP_MEAN = 18.4
# svymean(~y, calibrate(design, ~m, population=c(N, N * 18.4), calfun="linear"))
REGRESSION_OF_R = {
    "srs": (18.57283002670390, 0.37207599194248),
    "str": (18.658600078657155, 0.394252416125807),
    "cl": (18.572830026703905, 0.227775933682826),
    "ts": (18.629433736386950, 0.356108419880519),
    "pp": (18.37858584108830, 0.41221862366489),
}
# svymean(~I(y - m), design)
DIFFERENCE_OF_R = {
    "str": (0.372142857142858, 0.464628993973489),
    "cl": (0.1875, 0.287243188872376),
    "pp": (-0.340134645261522, 0.349226954561966),
}


@pytest.mark.parametrize("name", REGRESSION_OF_R)
def test_regression_estimates_equal_those_of_r(name):
    """Estimates and standard errors equal calibrate and svymean, with g-weighted residuals."""
    sample, design = design_arguments(name)
    result = model_assisted_estimate(
        sample["y"], sample["m"], MAP_MEAN, method="regression", **design
    )
    assert (result.estimate, result.std) == pytest.approx(REGRESSION_OF_R[name], rel=1e-10)


def test_total_of_regression_estimate_equals_that_of_r():
    """svytotal(~y, calibrate(str, ~m, population=c(175, 175 * 18.4), calfun="linear"))"""
    sample, design = design_arguments("str")
    result = model_assisted_estimate(
        sample["y"], sample["m"], MAP_MEAN, method="regression", statistic="total", **design
    )
    expected = (3265.2550137650023, 68.9941728220163)
    assert (result.estimate, result.std) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", DIFFERENCE_OF_R)
def test_difference_estimates_equal_those_of_r(name):
    """The mean of the map plus svymean of the residuals; the sample alone beside it."""
    sample, design = design_arguments(name)
    result = model_assisted_estimate(sample["y"], sample["m"], MAP_MEAN, **design)
    mean, std = DIFFERENCE_OF_R[name]
    assert (result.estimate, result.std) == pytest.approx((MAP_MEAN + mean, std), rel=1e-10)
    alone = design_estimate(sample["y"], **design)
    assert (result.sample_estimate, result.sample_std) == (alone.estimate, alone.std)
    assert result.gain == pytest.approx((alone.std / std) ** 2)
    assert (result.slope, result.method) == (1, "difference")
    half = student_t.ppf(0.95, alone.degrees_of_freedom) * std
    assert (result.lower, result.upper) == pytest.approx(
        (MAP_MEAN + mean - half, MAP_MEAN + mean + half)
    )


def test_regression_of_a_simple_random_sample():
    """Closed form of Brus (2022), eqs. 10.10 to 10.21: least squares and g-weights."""
    y, m = SAMPLE["y"], SAMPLE["m"]
    line = LinearRegression().fit(m.to_frame(), y)
    residual = y - line.predict(m.to_frame())
    g = 1 + (MAP_MEAN - m.mean()) * (m - m.mean()) / m.var(ddof=0)
    result = model_assisted_estimate(y, m, MAP_MEAN, method="regression")
    assert result.slope == pytest.approx(line.coef_[0])
    assert result.estimate == pytest.approx(line.intercept_ + line.coef_[0] * MAP_MEAN)
    centered = g * residual - (g * residual).mean()
    assert result.std == pytest.approx(np.sqrt(np.sum(centered**2) / (16 * 15)))
    # A line through the predictions makes their offset and scale irrelevant.
    scaled = model_assisted_estimate(y, 3 * m - 7, 3 * MAP_MEAN - 7, method="regression")
    assert (scaled.estimate, scaled.std) == pytest.approx((result.estimate, result.std))
    assert scaled.slope == pytest.approx(result.slope / 3)


@pytest.mark.parametrize("method", ["difference", "regression"])
def test_constant_predictions_add_nothing(method):
    """A map of one value gives the estimate of the sample alone, with a gain of 1."""
    sample, design = design_arguments("scl")
    constant = np.full(len(sample), 0.1)
    result = model_assisted_estimate(sample["y"], constant, [0.1] * 9, method=method, **design)
    alone = design_estimate(sample["y"], **design)
    for name in ("estimate", "std", "lower", "upper", "n", "degrees_of_freedom"):
        assert getattr(result, name) == pytest.approx(getattr(alone, name))
    assert result.gain == pytest.approx(1)


def test_perfect_predictions_have_no_error():
    """Residuals of 0 give the mean of the map with std 0 and an infinite gain."""
    result = model_assisted_estimate(SAMPLE["y"], SAMPLE["y"], MAP_MEAN)
    assert (result.estimate, result.std, result.gain) == (MAP_MEAN, 0, np.inf)
    nothing = model_assisted_estimate(np.ones(5), np.ones(5), 1.0)
    assert (nothing.std, np.isnan(nothing.gain)) == (0, True)


def test_cells_with_areas():
    """Cells are weighted by their areas, whose sum is the size for totals."""
    y, m = SAMPLE["y"], SAMPLE["m"]
    cells, areas = np.array([10.0, 20.0, 25.0]), np.array([1.0, 2.0, 0.5])
    result = model_assisted_estimate(y, m, cells, cell_weights=areas, statistic="total")
    assert result.estimate == pytest.approx(62.5 + 3.5 * (y - m).mean())
    assert result.std == pytest.approx(3.5 * (y - m).sem())
    repeated = model_assisted_estimate(
        y, m, np.repeat(cells, [2, 4, 1]), population_size=3.5, statistic="total"
    )
    assert (repeated.estimate, repeated.upper) == pytest.approx((result.estimate, result.upper))


def test_horvitz_thompson_of_the_residuals():
    """The generalized difference estimator with inclusion probabilities (Brus 2022, eq. 10.2)."""
    y, m, pi = SAMPLE["y"], SAMPLE["m"], SAMPLE["pi"]
    result = model_assisted_estimate(
        y,
        m,
        MAP_MEAN,
        inclusion_probabilities=pi,
        population_size=200,
        estimator="horvitz_thompson",
    )
    terms = (y - m) / pi
    assert result.estimate == pytest.approx(MAP_MEAN + terms.sum() / 200)
    assert result.std == pytest.approx(np.sqrt(16 * terms.var()) / 200)


@pytest.mark.parametrize("name", ["srs", "str", "cl", "ts", "pp"])
def test_zones_are_corrected_by_their_own_residuals(name):
    """Each zone has its mean of the map plus that of svyby of its residuals."""
    sample, design = design_arguments(name)
    cells = pd.DataFrame({"zone": [*"ssn"], "prediction": [20.0, 26.0, 12.0]})
    table = model_assisted_estimate(
        sample["y"],
        sample["m"],
        cells["prediction"],
        by=sample["zone"],
        cell_by=cells["zone"],
        **design,
    )
    residuals = design_estimate(sample["y"] - sample["m"], by=sample["zone"], **design)
    alone = design_estimate(sample["y"], by=sample["zone"], **design)
    means = pd.Series({"n": 12.0, "s": 23.0})
    np.testing.assert_allclose(table["estimate"], means + residuals["estimate"])
    for column, expected in (
        ("std", residuals["std"]),
        ("n", alone["n"]),
        ("degrees_of_freedom", alone["degrees_of_freedom"]),
        ("sample_estimate", alone["estimate"]),
        ("sample_std", alone["std"]),
        ("gain", (alone["std"] / residuals["std"]) ** 2),
    ):
        np.testing.assert_allclose(table[column], expected)
    by_mean = model_assisted_estimate(sample["y"], sample["m"], means, by=sample["zone"], **design)
    pd.testing.assert_frame_equal(by_mean, table)


def test_zones_of_the_regression_use_one_line():
    """Zones have the line of the whole sample, and the mean of its residuals in the zone."""
    sample, design = design_arguments("str")
    whole = model_assisted_estimate(sample["y"], sample["m"], 0.0, method="regression", **design)
    fitted = whole.estimate + whole.slope * sample["m"]
    means = pd.Series({"n": 12.0, "s": 23.0})
    table = model_assisted_estimate(
        sample["y"], sample["m"], means, method="regression", by=sample["zone"], **design
    )
    expected = model_assisted_estimate(
        sample["y"], fitted, whole.estimate + whole.slope * means, by=sample["zone"], **design
    )
    pd.testing.assert_frame_equal(table, expected)


def test_totals_of_zones_add_up_areas():
    """Totals have the areas of the cells of each zone; a zone without samples is NaN."""
    y, m, zone = SAMPLE["y"], SAMPLE["m"], SAMPLE["zone"]
    cells = pd.DataFrame(
        {"zone": [*"nnsx"], "prediction": [10.0, 14.0, 22.0, 9.0], "area": [1.0, 3.0, 2.0, 4.0]}
    )
    arguments = {"by": zone, "cell_by": cells["zone"], "cell_weights": cells["area"]}
    with pytest.warns(UserWarning, match=r"Zones \['x'\]"):
        mean = model_assisted_estimate(y, m, cells["prediction"], **arguments)
    with pytest.warns(UserWarning, match=r"Zones \['x'\]"):
        total = model_assisted_estimate(y, m, cells["prediction"], statistic="total", **arguments)
    assert total.index.tolist() == ["n", "s", "x"]
    columns = ["estimate", "std", "lower", "upper", "sample_estimate"]
    areas = pd.Series({"n": 4.0, "s": 2.0, "x": 4.0})
    pd.testing.assert_frame_equal(total[columns], mean[columns].mul(areas, axis=0))
    assert total.loc["x", ["estimate", "std", "sample_estimate", "gain"]].isna().all()
    assert mean.loc["n", "estimate"] == pytest.approx(13 + (y - m)[zone == "n"].mean())


def make_cells(n=2000, r2=0.75, seed=3):
    """Return a finite population whose predictions explain a share r2 of the variance."""
    rng = np.random.default_rng(seed)
    signal, noise = rng.normal(size=n), rng.normal(size=n)
    noise -= np.polyval(np.polyfit(signal, noise, 1), signal)
    signal, noise = (x / x.std() for x in (signal - signal.mean(), noise))
    y = 25 + 6 * (np.sqrt(r2) * signal + np.sqrt(1 - r2) * noise)
    # The bias of the map is corrected by the sample.
    return pd.DataFrame({"y": y, "prediction": 28 + 6 * np.sqrt(r2) * signal})


def estimate_repeatedly(cells, column, method, repetitions=200, n=50):
    rng = np.random.default_rng(5)
    results = []
    for _ in range(repetitions):
        rows = rng.choice(len(cells), n, replace=False)
        sample = cells.iloc[rows]
        results.append(
            model_assisted_estimate(
                sample["y"],
                sample[column],
                cells[column].mean(),
                method=method,
                population_size=len(cells),
                fpc=True,
            )
        )
    return results


def check_coverage_of(results, true):
    inside = sum(result.lower <= true <= result.upper for result in results)
    low, high = binom.interval(0.999, len(results), 0.9)
    assert low <= inside <= high


@pytest.mark.parametrize("method", ["difference", "regression"])
def test_std_is_smaller_by_the_explained_variance(method):
    """With R2 = 0.75 and a biased map, std is half that of the sample, and intervals hold."""
    cells = make_cells()
    results = estimate_repeatedly(cells, "prediction", method)
    check_coverage_of(results, cells["y"].mean())
    ratio = np.mean([r.std**2 for r in results]) / np.mean([r.sample_std**2 for r in results])
    assert np.sqrt(ratio) == pytest.approx(np.sqrt(1 - 0.75), rel=0.03)
    estimates = np.array([result.estimate for result in results])
    assert np.mean([r.std for r in results]) == pytest.approx(estimates.std(), rel=0.12)
    assert np.median([r.gain for r in results]) == pytest.approx(4, rel=0.05)


def test_useless_predictions_stay_valid():
    """Predictions without skill widen the interval of the difference, not of the regression."""
    cells = make_cells()
    cells["useless"] = np.random.default_rng(8).normal(100, 6, len(cells))
    for method, gain in (("difference", 0.5), ("regression", 1)):
        results = estimate_repeatedly(cells, "useless", method)
        check_coverage_of(results, cells["y"].mean())
        assert np.median([r.gain for r in results]) == pytest.approx(gain, rel=0.05)


def test_cross_fitting_is_valid_and_fitted_values_are_not():
    """Out-of-fold predictions hold their coverage; those of a model of the sample do not."""
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 10, (1500, 1))
    y = 3 * np.sin(x[:, 0]) + rng.normal(0, 2, 1500)
    tree, folds = DecisionTreeRegressor(min_samples_leaf=2, random_state=0), KFold(3)
    results: dict[str, list] = {"cross-fitted": [], "fitted": []}
    for _ in range(120):
        rows = rng.choice(1500, 60, replace=False)
        held_out, on_map = np.empty(60), np.zeros(1500)
        for train, test in folds.split(rows):
            predictions = tree.fit(x[rows[train]], y[rows[train]]).predict(x)
            held_out[test] = predictions[rows[test]]
            on_map += predictions / 3
        results["cross-fitted"].append(model_assisted_estimate(y[rows], held_out, on_map))
        predictions = tree.fit(x[rows], y[rows]).predict(x)
        results["fitted"].append(model_assisted_estimate(y[rows], predictions[rows], predictions))
    check_coverage_of(results["cross-fitted"], y.mean())
    inside = sum(result.lower <= y.mean() <= result.upper for result in results["fitted"])
    assert inside < binom.ppf(0.001, 120, 0.9)


Y, M = SAMPLE["y"], SAMPLE["m"]
ZONE = SAMPLE["zone"]
CELLS = np.array([10.0, 20.0, 30.0])


@pytest.mark.parametrize(
    ("predicted", "cells", "arguments", "message"),
    [
        (M[:9], CELLS, {}, "predicted must have 16 values, one per row of y; found 9"),
        (M.where(M > 10), CELLS, {}, r"predicted has missing values in 2 of 16 rows"),
        (M, [1.0, np.nan], {}, r"cell_predictions has missing values.*drop cells without data"),
        (M, np.nan, {}, "cell_predictions has missing values"),
        (M, np.ones((2, 3)), {}, r"cell_predictions must be one column.*\(2, 3\)"),
        (M, CELLS, {"method": "ratio"}, r"method must be one of \['difference', 'regression'\]"),
        (M, CELLS, {"statistic": "sum"}, "statistic must be one of"),
        (M, CELLS, {"statistic": "total"}, "needs population_size"),
        (M, CELLS, {"statistic": "total", "weights": M}, "population_size.*or.*cell_weights"),
        (
            M,
            CELLS,
            {"inclusion_probabilities": SAMPLE["pi"], "estimator": "horvitz_thompson"}
            | {"cell_weights": [1, 2, 3], "statistic": "total"},
            "needs population_size",
        ),
        (M, CELLS, {"cell_weights": [1, 2]}, "cell_weights must have 3 values.*found 2"),
        (M, CELLS, {"cell_weights": [1, 2, -1]}, "cell_weights must be areas.*found -1 to 2"),
        (M, CELLS, {"cell_weights": [0, 0, 0]}, "cell_weights must be areas"),
        (M, 18.4, {"cell_weights": [1, 2, 3]}, "cell_weights needs the predictions of cells"),
        (M, CELLS, {"by": ZONE}, "by needs cell_by"),
        (M, CELLS, {"cell_by": [*"nns"]}, "cell_by needs by"),
        (M, CELLS, {"by": ZONE, "cell_by": [*"ns"]}, "cell_by must have 3 values.*found 2"),
        (M, CELLS, {"by": ZONE, "cell_by": [*"nnn"]}, r"Zones \['s'\] of by have no cell_pred"),
        (M, {"n": 3.0}, {"by": ZONE}, r"Zones \['s'\] of by have no cell_predictions"),
        (M, CELLS, {"by": ZONE, "cell_by": ["n", None, "s"]}, "cell_by has missing labels"),
        (
            M,
            CELLS,
            {"cell_weights": [1, 2, 3], "statistic": "total", "population_size": 700},
            "cell_weights add up to 6, but population_size or stratum_sizes to 700",
        ),
        (
            M,
            CELLS,
            {
                **{"cell_weights": [1, 2, 3], "statistic": "total"},
                **{"strata": SAMPLE["stratum"], "stratum_sizes": STRATUM_SIZES},
            },
            "cell_weights add up to 6, but population_size or stratum_sizes to 175",
        ),
    ],
)
def test_invalid_predictions(predicted, cells, arguments, message):
    """Errors name the parameter and what was found."""
    with pytest.raises(ValueError, match=message):
        model_assisted_estimate(Y, predicted, cells, **arguments)


def test_regression_needs_three_units():
    """A line through two units has no residuals."""
    with pytest.raises(ValueError, match=r"method='regression' needs at least 3.*found 2"):
        model_assisted_estimate([1.0, 2.0], [3.0, 5.0], 4.0, method="regression")
