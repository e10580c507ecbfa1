"""Standard errors and intervals of pooled scores, held against closed forms and simulations."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import KFold

from sptgnn_sklearn.metrics import bias, concordance_correlation
from sptgnn_sklearn.model_selection import score_differences, score_intervals
from sptgnn_sklearn.model_selection.score_errors import (
    default_n_blocks,
    error_blocks,
)
from sptgnn_sklearn.spatial.crs import resolve_crs
from sptgnn_sklearn.spatial.random_fields import make_fields

PLANE = resolve_crs(None, ["x", "y"])


def make_predictions(n=120, seed=0):
    rng = np.random.default_rng(seed)
    xy, y = rng.uniform(size=(n, 2)), rng.normal(5.0, 2.0, size=n)
    return xy, y, y + rng.normal(0.3, 1.0, size=n)


SCORES = {
    "R2": r2_score,
    "RMSE": root_mean_squared_error,
    "MAE": mean_absolute_error,
    "ME": bias,
    "CCC": concordance_correlation,
}


def test_estimates_are_the_scores():
    """Scores from sums of blocks equal those of scikit-learn, with and without weights."""
    xy, y, pred = make_predictions()
    weight = np.random.default_rng(1).uniform(0.1, 3.0, size=len(y))
    for sample_weight in (None, weight):
        table = score_intervals(y, pred, xy, sample_weight=sample_weight)
        assert table.index.tolist() == list(SCORES)
        for name, score in SCORES.items():
            expected = score(y, pred, sample_weight=sample_weight)
            assert table.loc[name, "estimate"] == pytest.approx(expected)


def test_error_of_a_mean_is_the_textbook_one():
    """The jackknife of single locations gives s / sqrt(n) and the interval of Student's t."""
    xy, y, pred = make_predictions()
    row = score_intervals(y, pred, xy, n_blocks=len(y), confidence=0.95).loc["ME"]
    assert row["std_error"] == pytest.approx(np.std(pred - y, ddof=1) / np.sqrt(len(y)))
    low, high = stats.t.interval(0.95, len(y) - 1, row["estimate"], row["std_error"])
    assert row[["low", "high"]].tolist() == pytest.approx([low, high])


def test_errors_equal_those_of_a_jackknife_by_hand():
    """Leaving out one block of rows at a time and scoring the rest gives the same error."""
    xy, y, pred = make_predictions()
    blocks = error_blocks(xy, PLANE, np.arange(len(y)), 12)
    table = score_intervals(y, pred, xy, n_blocks=12)
    for name, scale, slope in (
        ("RMSE", np.log, lambda s: s),
        ("R2", lambda s: np.log(1 - s), lambda s: 1 - s),
        ("CCC", np.arctanh, lambda s: 1 - s**2),
    ):
        score = SCORES[name]
        left = [scale(score(y[blocks != b], pred[blocks != b])) for b in range(12)]
        full = score(y, pred)
        error = np.sqrt(11 / 12 * np.sum((np.array(left) - scale(full)) ** 2))
        assert table.loc[name, "std_error"] == pytest.approx(error * slope(full))
        reach = stats.t.ppf(0.95, 11) * error
        on_scale = scale(table.loc[name, ["low", "high"]].to_numpy(dtype=float))
        assert sorted(on_scale) == pytest.approx([scale(full) - reach, scale(full) + reach])


def test_intervals_are_asymmetric_and_within_limits():
    """RMSE stays positive, R2 and CCC below 1; R2 reaches farther down, RMSE farther up."""
    xy, y, pred = make_predictions(n=20)
    table = score_intervals(y, pred, xy, confidence=0.999)
    assert table.loc["RMSE", "low"] > 0 and table.loc["MAE", "low"] > 0
    assert table.loc["R2", "high"] < 1 and table.loc["CCC", "high"] < 1
    up, down = table["high"] - table["estimate"], table["estimate"] - table["low"]
    assert up["RMSE"] > down["RMSE"] and down["R2"] > up["R2"] and down["CCC"] > up["CCC"]
    assert up["ME"] == pytest.approx(down["ME"])


def test_weights_equal_repeated_rows():
    """A weight of 2 is the row twice, in the estimate and in the error; 0 drops the row."""
    xy, y, pred = make_predictions(n=40)
    weight = np.random.default_rng(2).integers(0, 3, size=len(y))
    weighted = score_intervals(y, pred, xy, sample_weight=weight, n_blocks=40)
    repeated = np.repeat(np.arange(len(y)), weight)
    expected = score_intervals(y[repeated], pred[repeated], xy[repeated], n_blocks=40)
    pd.testing.assert_frame_equal(weighted, expected)


def test_rows_of_a_location_or_site_are_left_out_together():
    """Copies of all rows at the same places or sites change no error."""
    xy, y, pred = make_predictions(n=30)
    twice = np.tile(np.arange(30), 2)
    expected = score_intervals(y, pred, xy, n_blocks=30)
    copies = score_intervals(y[twice], pred[twice], xy[twice], n_blocks=60)
    pd.testing.assert_frame_equal(copies, expected)
    apart = xy[twice] + np.repeat([0.0, 1e-3], 30)[:, None]
    sites = score_intervals(y[twice], pred[twice], apart, site=twice, n_blocks=60)
    pd.testing.assert_frame_equal(sites, expected)
    independent = score_intervals(y[twice], pred[twice], apart, n_blocks=60)
    assert independent.loc["RMSE", "std_error"] < 0.8 * expected.loc["RMSE", "std_error"]


def test_correlated_errors_need_large_blocks():
    """Blocks as large as the range of the errors see their correlation; single rows do not."""
    rng = np.random.default_rng(0)
    means, errors = [], {25: [], 400: []}
    for seed in range(20):
        xy = rng.uniform(0, 100, (400, 2))
        field = make_fields([(1.0,)], (30.0,), rng.uniform(0, 400, (500, 2)), [seed])(xy)[:, 0]
        means.append(field.mean())
        for n_blocks, values in errors.items():
            table = score_intervals(np.zeros(400), field, xy, n_blocks=n_blocks)
            values.append(table.loc["ME", "std_error"])
    spread = np.std(means)
    assert np.mean(errors[400]) < 0.4 * spread
    assert np.mean(errors[25]) > 1.6 * np.mean(errors[400])


def test_geographic_blocks_cross_the_date_line():
    """Locations on both sides of 180 degrees are in one block."""
    lon = np.array([179.9, -179.9, 10.0, 10.2])
    xy = pd.DataFrame({"lon": lon, "lat": 0.0})
    blocks = error_blocks(xy.to_numpy(), resolve_crs(4326, ["lon", "lat"]), np.arange(4), 2)
    assert blocks.tolist() == [0, 0, 1, 1]
    y, pred = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.5, 1.0, 2.5, 2.0])
    table = score_intervals(y, pred, xy, n_blocks=2)
    left = np.array([(pred - y)[2:].mean(), (pred - y)[:2].mean()])
    expected = np.sqrt(0.5 * np.sum((left - (pred - y).mean()) ** 2))
    assert table.loc["ME", "std_error"] == pytest.approx(expected)


def test_one_block_gives_no_error():
    """A single block leaves nothing to compare: all but the estimate is NaN."""
    xy, y, pred = make_predictions(n=10)
    table = score_intervals(y, pred, xy, n_blocks=1)
    assert table["estimate"].notna().all()
    assert table[["std_error", "low", "high"]].isna().all(axis=None)
    differences = score_differences(y, pred, y, xy, n_blocks=1)
    assert differences.drop(columns="estimate").isna().all(axis=None)
    one_location = score_intervals(y, pred, np.zeros((10, 2)))
    assert one_location["std_error"].isna().all()


def test_exact_predictions_have_no_error():
    """Perfect predictions are perfect without any block; a single miss has no finite error."""
    xy, y, _ = make_predictions(n=30)
    table = score_intervals(y, y, xy)
    assert table.loc[["RMSE", "MAE", "ME"]].eq(0).all(axis=None)
    assert (table.loc["R2"] == [1, 0, 1, 1]).all()
    missed = y.copy()
    missed[3] += 1
    assert score_intervals(y, missed, xy).loc[["RMSE", "R2"], "std_error"].isna().all()


def test_constant_target_has_no_r2():
    """R2 of a constant target is not defined, its RMSE is."""
    xy, _, pred = make_predictions(n=30)
    table = score_intervals(np.full(30, 0.1), pred, xy)
    assert table.loc["R2"].isna().all() and table.loc["RMSE"].notna().all()


def test_large_values_keep_their_digits():
    """An offset of a million changes no error."""
    xy, y, pred = make_predictions()
    table, moved = (score_intervals(y + c, pred + c, xy) for c in (0.0, 1e6))
    pd.testing.assert_frame_equal(table, moved, rtol=1e-6)


def test_identical_models_do_not_differ():
    """Their difference is 0 with an error of 0, and all resamples are ties."""
    xy, y, pred = make_predictions()
    table = score_differences(y, pred, pred, xy)
    assert table[["estimate", "std_error", "low", "high"]].eq(0).all(axis=None)
    assert table["share_better"].eq(0.5).all()


def test_paired_error_of_a_mean_difference():
    """The difference of mean errors has the error of the mean of paired differences."""
    xy, y, pred = make_predictions()
    other = pred + np.random.default_rng(3).normal(0.1, 0.2, size=len(y))
    table = score_differences(y, pred, other, xy, n_blocks=len(y))
    difference = pred - other
    expected = np.std(difference, ddof=1) / np.sqrt(len(y))
    assert table.loc["ME", "estimate"] == pytest.approx(difference.mean())
    assert table.loc["ME", "std_error"] == pytest.approx(expected)
    single = score_intervals(y, pred, xy, n_blocks=len(y)).loc["ME", "std_error"]
    assert expected < single / 3


def test_differences_are_signed_and_shares_favor_the_better_model():
    """Swapped models have opposite differences, and shares that sum to 1."""
    xy, y, pred = make_predictions()
    worse = pred + np.random.default_rng(3).normal(0.5, 1.0, size=len(y))
    table, swapped = (score_differences(y, *pair, xy) for pair in ((pred, worse), (worse, pred)))
    pd.testing.assert_series_equal(table["estimate"], -swapped["estimate"])
    pd.testing.assert_series_equal(table["low"], -swapped["high"], check_names=False)
    assert table["share_better"].to_numpy() == pytest.approx(1 - swapped["share_better"])
    assert (table["share_better"] > 0.95).all()
    assert table.loc["R2", "estimate"] > 0 > table.loc["RMSE", "estimate"]
    assert table.loc["R2", "estimate"] == pytest.approx(r2_score(y, pred) - r2_score(y, worse))


def test_number_of_blocks_depends_on_the_folds():
    """Spatial folds have fewer and larger blocks than random ones."""
    rng = np.random.default_rng(0)
    xy = rng.uniform(size=(400, 2))
    location, random = np.arange(400), rng.integers(5, size=400)
    spatial = (5 * xy[:, 0]).astype(int)
    for folds, expected in ((None, 200), (random, 200), (spatial, 60)):
        assert len(set(error_blocks(xy, PLANE, location, folds=folds))) == expected
    for n in (1, 9, 10, 16):
        assert default_n_blocks(n) == min(n, 10)
    assert default_n_blocks(10, spatial_folds=True) == 10
    y = rng.normal(size=400)
    names = np.array(list("abcde"))[spatial]
    table = score_intervals(y, y + xy[:, 0], xy, folds=names)
    expected = score_intervals(y, y + xy[:, 0], xy, n_blocks=60)
    pd.testing.assert_frame_equal(table, expected)
    paired = score_differences(y, y + xy[:, 0], y - 1, xy, folds=names)
    expected = score_differences(y, y + xy[:, 0], y - 1, xy, n_blocks=60)
    pd.testing.assert_frame_equal(paired, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"confidence": 90}, r"^confidence must lie between 0 and 1; found 90; did you mean 0\.9"),
        ({"n_blocks": 0}, r"^n_blocks must be .* found 0"),
        ({"sample_weight": [1.0, -1.0, 1.0]}, "^sample_weight must hold no negative"),
        ({"sample_weight": [1.0]}, "^sample_weight must hold 3 values; found 1"),
        ({"site": ["a", "b"]}, "^site has 2 values, but y_true 3"),
        ({"folds": [0, 1]}, "^folds has 2 values, but y_true 3"),
    ],
)
def test_invalid_arguments_are_named_in_both_functions(arguments, message):
    """Messages name the parameter and what was found."""
    xy, y = np.arange(6.0).reshape(3, 2), np.arange(3.0)
    with pytest.raises(ValueError, match=message):
        score_intervals(y, y + 1, xy, **arguments)
    with pytest.raises(ValueError, match=message):
        score_differences(y, y + 1, y, xy, **arguments)


def test_lengths_must_agree():
    """Coordinates and predictions have one row per measurement."""
    xy, y = np.arange(6.0).reshape(3, 2), np.arange(4.0)
    with pytest.raises(ValueError, match=r"^coordinates have 3 rows, but y_true 4"):
        score_intervals(y, y, xy)
    with pytest.raises(ValueError, match="reference_pred"):
        score_differences(y, y, y[:3], xy)


def test_intervals_contain_the_score_over_the_area():
    """Intervals of random folds hold for the area: a small version of benchmarks.score_errors."""
    inside = {"R2": 0, "RMSE": 0}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        reference, samples, area = (rng.uniform(0, 100, (n, 2)) for n in (300, 200, 1000))
        fields = make_fields([(1.0,), (1.0,)], (40.0,), reference, [seed])
        # A linear model of one of two fields and the coordinates.
        (A, y), (A_area, y_area) = (
            (
                np.column_stack([np.ones(len(xy)), xy / 100, fields(xy)[:, 1]]),
                fields(xy).sum(axis=1) + rng.normal(scale=0.4, size=len(xy)),
            )
            for xy in (samples, area)
        )
        pred = np.empty(200)
        for train, test in KFold(10, shuffle=True, random_state=seed).split(A):
            pred[test] = A[test] @ np.linalg.lstsq(A[train], y[train])[0]
        table = score_intervals(y, pred, samples)
        mapped = A_area @ np.linalg.lstsq(A, y)[0]
        for name in inside:
            low, high = table.loc[name, ["low", "high"]]
            inside[name] += low <= SCORES[name](y_area, mapped) <= high
    assert all(50 <= count <= 60 for count in inside.values()), inside
