"""Error profiles: known profiles, windows, range, areas with folds, errors."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import KFold, LeaveOneGroupOut, cross_val_predict
from sklearn.neighbors import KNeighborsRegressor

from sptgnn_sklearn import AreaOfApplicability
from sptgnn_sklearn.applicability import ErrorProfile
from sptgnn_sklearn.datasets import load_meuse
from sptgnn_sklearn.model_selection import SpatialBlockKFold, compare_models


def simulate(n=3000, seed=0, slope=2.0):
    """Return dissimilarities, and errors with a standard deviation of 1 + slope * dissimilarity."""
    rng = np.random.default_rng(seed)
    dissimilarity = rng.uniform(0, 1, n)
    return dissimilarity, rng.normal(scale=1 + slope * dissimilarity)


def test_known_profile_is_recovered():
    """The standard deviation of simulated errors is recovered within 10 %, without bias."""
    grid = np.linspace(0.05, 0.95, 19)
    gaps = [
        ErrorProfile().fit(*simulate(1000, seed)).predict(grid) / (1 + 2 * grid) - 1
        for seed in range(5)
    ]
    assert np.abs(gaps).max() < 0.15
    assert abs(np.mean(gaps)) < 0.02


def test_errors_that_do_not_depend_on_dissimilarity():
    """The profile is the RMSE of all rows."""
    profile = ErrorProfile().fit(*simulate(3000, slope=0.0))
    np.testing.assert_allclose(profile.predict(np.linspace(0.1, 0.9, 9)), profile.rmse_, rtol=0.05)


def test_decreasing_profile_is_the_mirror_image():
    """increasing=False fits the same profile to the negative of the variable."""
    dissimilarity, error = simulate(500)
    profile = ErrorProfile().fit(dissimilarity, error)
    mirror = ErrorProfile(increasing=False).fit(-dissimilarity, error)
    grid = np.linspace(0.01, 0.99, 30)
    np.testing.assert_allclose(mirror.predict(-grid), profile.predict(grid), rtol=1e-9)
    assert np.isnan(mirror.predict([-2.0])[0])
    assert mirror.predict([2.0])[0] == pytest.approx(profile.predict([0.0])[0])


def test_profile_never_decreases():
    """Also where errors decrease with dissimilarity."""
    dissimilarity, error = simulate(300)
    predicted = ErrorProfile().fit(1 - dissimilarity, error).predict(np.linspace(0.01, 0.99, 50))
    assert (np.diff(predicted) >= -1e-9).all()


def test_windows_are_means_of_consecutive_rows():
    """Each window has the range, the mean and the RMSE of its rows."""
    x = np.array([3.0, 0.0, 1.0, 7.0, 2.0, *np.arange(10.0, 17.0)])
    error = np.arange(12.0) - 4
    table = ErrorProfile(window_size=3).fit(x, error).table_
    order = np.argsort(x)
    assert len(table) == 10
    assert table["n"].eq(3).all()
    for k, row in table.iterrows():
        rows = order[k : k + 3]
        assert row["dissimilarity"] == pytest.approx(x[rows].mean())
        assert (row["lower"], row["upper"]) == (x[rows].min(), x[rows].max())
        assert row["rmse"] == pytest.approx(np.sqrt(np.mean(error[rows] ** 2)))
    assert ErrorProfile().fit(*simulate(500)).table_["n"].eq(50).all()
    assert ErrorProfile(window_size=99).fit(x, error).table_["rmse"].tolist() == [
        pytest.approx(np.sqrt(np.mean(error**2)))
    ]


def test_row_order_has_no_influence():
    """Rows with equal dissimilarity, such as counts, may be in any order."""
    rng = np.random.default_rng(0)
    count, error = rng.integers(0, 6, 200), rng.normal(size=200)
    order = rng.permutation(200)
    first = ErrorProfile(increasing=False).fit(count, error)
    second = ErrorProfile(increasing=False).fit(count[order], error[order])
    pd.testing.assert_frame_equal(first.table_, second.table_)
    np.testing.assert_allclose(first.predict(np.arange(6)), second.predict(np.arange(6)), rtol=1e-4)


def test_rows_of_no_weight_are_dropped():
    """The profile is that without these rows; weights change RMSE and windows."""
    dissimilarity, error = simulate(200)
    weight = np.where(np.arange(200) % 3, 2.0, 0.0)
    weighted = ErrorProfile().fit(dissimilarity, error, weight)
    fewer = ErrorProfile().fit(dissimilarity[weight > 0], error[weight > 0])
    pd.testing.assert_frame_equal(weighted.table_, fewer.table_)
    np.testing.assert_allclose(weighted.predict([0.5]), fewer.predict([0.5]))
    heavy = ErrorProfile().fit(dissimilarity, error, 1 + 9 * (np.abs(error) > 2))
    assert heavy.rmse_ > ErrorProfile().fit(dissimilarity, error).rmse_


def test_beyond_the_range():
    """NaN where dissimilarity is larger than seen, or the last value; the first value below."""
    dissimilarity, error = simulate(300)
    dissimilarity = 0.2 + dissimilarity
    grid = [0.0, dissimilarity.min(), dissimilarity.max(), 2.0, np.nan]
    first, low, high, beyond, missing = ErrorProfile().fit(dissimilarity, error).predict(grid)
    assert first == low
    assert low < high
    assert np.isnan(beyond)
    assert np.isnan(missing)
    clipped = ErrorProfile(out_of_bounds="clip").fit(dissimilarity, error).predict(grid)
    np.testing.assert_array_equal(clipped, [low, low, high, high, np.nan])
    assert ErrorProfile().fit(dissimilarity, error).predict([[0.5, 0.6]]).shape == (1, 2)


def test_one_row_does_not_determine_the_end():
    """A single large error of the most dissimilar row is averaged with nine others."""
    dissimilarity, error = simulate(300, slope=0.0)
    dissimilarity[0], error[0] = 5.0, 12.0
    assert ErrorProfile().fit(dissimilarity, error).predict([5.0])[0] < 6


@pytest.mark.parametrize("variable", ["di", "lpd"])
def test_area_with_folds(variable):
    """Errors are paired with the dissimilarity to the training rows of the fold."""
    meuse = load_meuse()
    X = meuse.data[["x", "y", "elev", "dist"]]
    result = compare_models(
        {"mean": DummyRegressor(), "nearest": KNeighborsRegressor(3)},
        X,
        meuse.target,
        {"block": SpatialBlockKFold(4)},
        crs=meuse.crs,
        progress=False,
    )
    held_out = result.select("block", "nearest")
    area = AreaOfApplicability(cv=held_out["fold"]).fit(X)
    profile = ErrorProfile.from_area(area, held_out, variable=variable, window_size=20)
    value = {"di": area.train_di_, "lpd": area.train_lpd_}[variable]
    error = held_out["observed"] - held_out["mean"]
    expected = ErrorProfile(increasing=variable == "di", window_size=20).fit(value, error)
    pd.testing.assert_frame_equal(profile.table_, expected.table_)
    assert profile.increasing is (variable == "di")
    arrays = {"observed": meuse.target, "mean": held_out["mean"].to_numpy()}
    again = ErrorProfile.from_area(area, arrays, variable=variable, window_size=20)
    pd.testing.assert_frame_equal(again.table_, expected.table_)


def test_area_finds_larger_errors_of_dissimilar_rows():
    """Held-out clusters far from the others have larger errors, and so have such cells."""
    rng = np.random.default_rng(0)
    a = np.sort(rng.gamma(1.0, 2.0, 400))
    X = pd.DataFrame({"a": a})
    y = np.sin(a) * a + rng.normal(scale=0.1, size=400)
    folds = (np.arange(400) // 8) % 5
    mean = cross_val_predict(KNeighborsRegressor(3), X, y, groups=folds, cv=LeaveOneGroupOut())
    area = AreaOfApplicability(cv=folds).fit(X)
    profile = ErrorProfile.from_area(area, {"observed": y, "mean": mean, "fold": folds})
    near, far = profile.predict([np.quantile(area.train_di_, 0.1), area.train_di_.max()])
    assert far > 3 * near


def test_rows_in_no_test_set_are_not_used():
    """Their dissimilarity is NaN, and their prediction may be missing."""
    rng = np.random.default_rng(0)
    X, y = pd.DataFrame({"a": rng.normal(size=60)}), rng.normal(size=60)
    split = [(np.arange(30, 60), np.arange(30))]
    area = AreaOfApplicability(cv=split).fit(X)
    assert area.train_fold_.tolist() == [0] * 30 + [-1] * 30
    mean = np.r_[np.zeros(30), np.full(30, np.nan)]
    profile = ErrorProfile.from_area(area, {"observed": y, "mean": mean})
    assert profile.rmse_ == pytest.approx(np.sqrt(np.mean(y[:30] ** 2)))


def test_other_folds_raise():
    """Labels may differ, but not the division of the rows; leave-one-out differs from folds."""
    X = pd.DataFrame({"a": np.random.default_rng(0).normal(size=40)})
    fold = np.arange(40) % 4
    table = {"observed": X["a"], "mean": np.zeros(40), "fold": fold}
    ErrorProfile.from_area(AreaOfApplicability(cv=3 - fold).fit(X), table)
    for cv in (np.arange(40) // 10, None, fold // 2):
        area = AreaOfApplicability(cv=cv).fit(X)
        with pytest.raises(ValueError, match=r"area .* folds .* predictions"):
            ErrorProfile.from_area(area, table)


def test_errors_name_the_parameter():
    """Wrong values, lengths, columns and rows."""
    dissimilarity, error = simulate(50)
    with pytest.raises(ValueError, match=r"'dissimilarity': 50, 'error': 49"):
        ErrorProfile().fit(dissimilarity, error[1:])
    with pytest.raises(ValueError, match="dissimilarity holds NaN"):
        ErrorProfile().fit(np.r_[np.nan, dissimilarity[1:]], error)
    with pytest.raises(ValueError, match=r"at least 10 rows .* found 9"):
        ErrorProfile().fit(dissimilarity[:9], error[:9])
    with pytest.raises(ValueError, match="'out_of_bounds'"):
        ErrorProfile(out_of_bounds="raise").fit(dissimilarity, error)
    area = AreaOfApplicability(cv=KFold(5)).fit(pd.DataFrame({"a": dissimilarity}))
    with pytest.raises(ValueError, match="'mean'"):
        ErrorProfile.from_area(area, {"observed": error})
    with pytest.raises(ValueError, match=r"has 50; found 20"):
        ErrorProfile.from_area(area, {"observed": error[:20], "mean": error[:20]})
    with pytest.raises(ValueError, match=r"variable must be one of .* 'distance'"):
        ErrorProfile.from_area(area, {"observed": error, "mean": error}, variable="distance")


def test_clone_and_pickle():
    """Parameters are cloned, and a pickled profile predicts the same."""
    profile = ErrorProfile(window_size=5, out_of_bounds="clip").fit(*simulate(60))
    assert clone(profile).get_params() == profile.get_params()
    restored = pickle.loads(pickle.dumps(profile))
    np.testing.assert_array_equal(restored.predict([0.3, 0.9]), profile.predict([0.3, 0.9]))
