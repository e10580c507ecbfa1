"""The comparison: pooled scores, honest folds, and what models state about uncertainty."""

import numpy as np
import pandas as pd
import pytest
from joblib import cpu_count
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    ShuffleSplit,
    cross_val_predict,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info

from sptgnn_sklearn.metrics import concordance_correlation, interval_coverage, residual_morans_i
from sptgnn_sklearn.model_selection import SpatialBlockKFold
from sptgnn_sklearn.model_selection.comparison import compare_models


class Stated(RegressorMixin, BaseEstimator):
    """Predicts 0 with a standard deviation of 2 and quantiles that equal their levels."""

    def fit(self, X, y):
        return self

    def predict(self, X, return_std=False):
        zeros = np.zeros(len(X))
        return (zeros, zeros + 2) if return_std else zeros

    def predict_quantiles(self, X, quantiles):
        return np.tile(quantiles, (len(X), 1))


def survey(n=60, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.uniform(size=(n, 3)), columns=["x", "y", "ndvi"])
    X.index = [f"sample {row}" for row in range(n)]
    return X, 2 * X["ndvi"] + np.sin(3 * X["x"]) + rng.normal(scale=0.1, size=n)


def run(models, folds, X=None, y=None, **settings):
    if X is None:
        X, y = survey()
    return compare_models(models, X, y, folds, progress=False, **settings)


def test_scores_are_pooled_over_folds():
    """Every score equals that of scikit-learn's out-of-fold predictions taken together."""
    X, y = survey()
    folds = SpatialBlockKFold(4)
    table = run({"line": LinearRegression()}, {"block": folds}).table.iloc[0]
    expected = cross_val_predict(LinearRegression(), X, y, cv=folds)
    assert table["R2"] == pytest.approx(r2_score(y, expected))
    assert table["RMSE"] == pytest.approx(root_mean_squared_error(y, expected))
    assert table["CCC"] == pytest.approx(concordance_correlation(y, expected))
    assert table["moran_i"] == pytest.approx(residual_morans_i(y, expected, X[["x", "y"]]))
    assert np.isnan(table["coverage"])


def test_folds_beside_one_another_score_alike():
    """In workers, the same predictions in the same places, and warnings as they were filtered."""
    models = {"line": LinearRegression(), "stated": Stated()}
    folds = {"block": SpatialBlockKFold(4)}
    one, two = run(models, folds), run(models, folds, n_jobs=2)
    pd.testing.assert_frame_equal(one.predictions, two.predictions)


class CountThreads(RegressorMixin, BaseEstimator):
    """Predicts the largest number of threads that a library would take."""

    def fit(self, X, y):
        self.threads_ = max((pool["num_threads"] for pool in threadpool_info()), default=1)
        return self

    def predict(self, X):
        return np.full(len(X), self.threads_, dtype=float)


def test_workers_share_the_processors(monkeypatch):
    """Also where the environment tells each library to take more."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    found = run({"count": CountThreads()}, {"block": SpatialBlockKFold(4)}, n_jobs=2)
    assert (found.predictions["mean"] == max(1, cpu_count() // 2)).all()


def test_predictions_keep_the_order_and_the_labels_of_rows():
    """Each row of X is found again with its label, place, target, fold and prediction."""
    X, y = survey()
    folds = KFold(3, shuffle=True, random_state=0)
    found = run({"line": LinearRegression()}, {"random": folds}).select("random", "line")
    assert found["row"].tolist() == X.index.tolist()
    np.testing.assert_array_equal(found[["x", "y"]], X[["x", "y"]])
    np.testing.assert_array_equal(found["observed"], y)
    for number, (train, test) in enumerate(folds.split(X)):
        assert (found["fold"].iloc[test] == number).all()
        model = LinearRegression().fit(X.iloc[train], y.iloc[train])
        np.testing.assert_allclose(found["mean"].iloc[test], model.predict(X.iloc[test]))


def test_every_pair_of_folds_and_model_has_its_row():
    """The table lists all models under the first kind of folds, then under the next."""
    models = {"line": LinearRegression(), "mean": DummyRegressor()}
    table = run(models, {"random": KFold(3), "block": SpatialBlockKFold(3)}).table
    assert list(zip(table["folds"], table["model"], strict=True)) == [
        ("random", "line"), ("random", "mean"), ("block", "line"), ("block", "mean"),
    ]  # fmt: skip
    assert (table["fit_seconds"] > 0).all()


def test_intervals_are_quantiles_where_a_model_has_them():
    """predict_quantiles goes before the normal interval, which std alone gives."""
    X, y = survey()
    found = run({"stated": Stated()}, {"random": KFold(3)}, X, y - 1, coverage=0.8)
    rows = found.select("random", "stated")
    np.testing.assert_allclose(rows[["std", "lower", "upper"]], np.tile([2, 0.1, 0.9], (60, 1)))
    assert found.table["coverage"].iloc[0] == ((y - 1 >= 0.1) & (y - 1 <= 0.9)).mean()
    assert found.level == 0.8


def test_intervals_from_a_standard_deviation_are_normal():
    """A model with return_std only gets mean and normal quantiles of it."""
    gaussian = GaussianProcessRegressor(alpha=0.1)
    result = run({"gp": gaussian}, {"random": KFold(3)})
    rows = result.select("random", "gp")
    assert (rows["std"] > 0).all()
    np.testing.assert_allclose(rows["upper"], rows["mean"] + norm.ppf(0.95) * rows["std"])
    expected = interval_coverage(rows["observed"], rows["lower"], rows["upper"])
    assert result.table["coverage"].iloc[0] == expected


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: make_pipeline(StandardScaler(), model),
        lambda model: GridSearchCV(model, {}, cv=2),
        lambda model: GridSearchCV(make_pipeline(StandardScaler(), model), {}, cv=2),
    ],
    ids=["pipeline", "search", "search of a pipeline"],
)
def test_uncertainty_is_found_inside_pipelines_and_searches(wrap):
    """What a wrapped model states is not lost, and its transformers are applied."""
    gaussian = GaussianProcessRegressor(alpha=0.1)
    found = run({"model": wrap(gaussian)}, {"random": KFold(3)}).select("random", "model")
    assert (found["std"] > 0).all()
    X, y = survey()
    expected = cross_val_predict(wrap(gaussian), X, y, cv=KFold(3))
    np.testing.assert_allclose(found["mean"], expected)


def test_training_mean_takes_any_table_and_states_no_uncertainty():
    """DummyRegressor ignores text columns; its standard deviation of zero is no interval."""
    X, y = survey()
    X = X.assign(soil="clay")
    result = run({"mean": DummyRegressor()}, {"random": KFold(3)}, X, y)
    assert np.isnan(result.table["coverage"].iloc[0])
    assert result.select("random", "mean")[["std", "lower", "upper"]].isna().all(axis=None)
    assert result.table["R2"].iloc[0] < 0


def test_folds_as_splitter_labels_or_splits_are_the_same():
    """Three ways to say which rows are held out give the same predictions."""
    X, y = survey()
    label = np.arange(60) % 4
    pairs = [(np.flatnonzero(label != k), np.flatnonzero(label == k)) for k in range(4)]

    class Splitter:
        def split(self, X, y=None):
            return iter(pairs)

    kinds = {
        "splitter": Splitter(),
        "array": label,
        "list": [f"fold {k}" for k in label],
        "series": pd.Series(label, index=X.index),
        "pairs": pairs,
    }
    result = run({"line": LinearRegression()}, kinds, X, y)
    means = [result.select(kind, "line")["mean"] for kind in kinds]
    for mean in means[1:]:
        np.testing.assert_array_equal(mean, means[0])


def test_rows_left_out_of_training_by_a_buffer_stay_out():
    """A splitter with a buffer trains on fewer rows than the other folds hold."""
    X, y = survey()
    sizes = []

    class Counter(LinearRegression):
        def fit(self, X, y):
            sizes.append(len(X))
            return super().fit(X, y)

    run({"line": Counter()}, {"block": SpatialBlockKFold(3, buffer=0.1)}, X, y)
    expected = [len(train) for train, _ in SpatialBlockKFold(3, buffer=0.1).split(X)]
    assert sizes == expected
    assert sum(sizes) < 2 * len(X)


def test_models_given_are_not_fitted():
    """Models are cloned for each fold."""
    model = LinearRegression()
    run({"line": model}, {"random": KFold(3)})
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (ShuffleSplit(2, random_state=0), "must test each row once"),
        ([(np.arange(30), np.arange(30, 60))], "30 rows are never tested"),
        (np.where(np.arange(60) < 3, np.nan, 1.0), "3 rows have no label"),
        (np.zeros(60), "without training rows"),
    ],
)
def test_folds_that_do_not_test_each_row_once_are_refused(folds, message):
    """The message names the kind of folds and counts the rows."""
    with pytest.raises(ValueError, match=message):
        run({"line": LinearRegression()}, {"random": folds})


def test_bad_arguments_are_named():
    """No models, no folds, a length or an unknown name: each has its own message."""
    X, y = survey()
    with pytest.raises(ValueError, match="at least one model"):
        run({}, {"random": KFold(3)})
    with pytest.raises(ValueError, match="at least one model"):
        run({"line": LinearRegression()}, {})
    with pytest.raises(ValueError, match="60 rows and y 59"):
        run({"line": LinearRegression()}, {"random": KFold(3)}, X, y[:-1])
    result = run({"line": LinearRegression()}, {"random": KFold(3)})
    with pytest.raises(ValueError, match="choose from \\['line'\\]"):
        result.select("random", "lime")
    with pytest.raises(ValueError, match="choose from \\['random'\\]"):
        result.select("block", "line")


def test_arrays_have_positions_as_labels():
    """A bare array works too; its first two columns are the coordinates."""
    X, y = survey()
    folds = {"random": GroupKFold(3).split(X, y, groups=np.arange(60))}
    result = run({"line": LinearRegression()}, folds, X.to_numpy(), y.to_numpy())
    found = result.select("random", "line")
    assert found["row"].tolist() == list(range(60))
    np.testing.assert_array_equal(found["x"], X["x"])
    assert result.axes == ("0", "1")
    assert not result.frame.geographic


def test_coordinates_and_crs_reach_morans_i():
    """Moran's I is taken at the named columns, along great circles for a geographic system."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "ndvi": rng.uniform(size=80),
            "E": rng.uniform(0, 40, 80),
            "N": rng.uniform(60, 80, 80),
        }
    )
    y = X["N"] + rng.normal(size=80)
    folds = {"random": KFold(4)}
    result = run(
        {"mean": DummyRegressor()}, folds, X, y, coordinates=("E", "N"), crs=4326, n_neighbors=5
    )
    rows = result.select("random", "mean")
    expected = residual_morans_i(y, rows["mean"], X[["E", "N"]], crs=4326, n_neighbors=5)
    assert result.table["moran_i"].iloc[0] == pytest.approx(expected)
    assert expected > 0.5
    assert result.frame.geographic
    assert result.axes == ("E", "N")


def test_markdown_has_one_line_for_each_row_and_straight_columns():
    """The text is a Markdown table whose columns line up, with a dash where nothing is stated."""
    text = run({"line": LinearRegression(), "stated": Stated()}, {"random": KFold(3)}).to_markdown()
    lines = text.splitlines()
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
    assert "in 90 % interval" in lines[0]
    assert set(lines[1]) <= set("|-: ")
    assert "–" in lines[2]
    assert "–" not in lines[3]


@pytest.mark.parametrize(("scale", "digits"), [(1e-3, 7), (1.0, 4), (1e5, 0)])
def test_markdown_shows_errors_of_any_unit_with_four_digits(scale, digits):
    """RMSE has as many decimals as the unit of the target needs, the same in every row."""
    X, y = survey()
    models = {"stated": Stated(), "mean": DummyRegressor()}
    result = run(models, {"random": KFold(3)}, X, scale * y)
    position = [cell.strip() for cell in result.to_markdown().split("|")].index("RMSE")
    for line, rmse in zip(result.to_markdown().splitlines()[2:], result.table["RMSE"], strict=True):
        assert line.split("|")[position].strip() == f"{rmse:.{digits}f}"


def test_progress_is_shown_only_when_wanted(capsys):
    """A bar on stderr names folds and model; nothing is printed without it."""
    X, y = survey()
    folds = {"random": KFold(3)}
    compare_models({"line": LinearRegression()}, X, y, folds, progress=False)
    assert capsys.readouterr() == ("", "")
    compare_models({"line": LinearRegression()}, X, y, folds)
    out, err = capsys.readouterr()
    assert out == ""
    assert "random folds, line" in err
    assert "3/3" in err
