"""Area of applicability: known answers, CAST's numbers, a slow reference, invariances, errors."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist, pdist
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator_sparse_array

from sptgnn_sklearn import (
    AreaOfApplicability,
    NetworkConfig,
    SpTGNNRegressor,
    XGBoostBaseline,
)
from sptgnn_sklearn.applicability import area_of_applicability as module
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.model_selection import SpatialBlockKFold

# Standardized, these are the corners of a square of side 2, and weighted by 3 and 4, of a rectangle
# of 6 by 8: the pairwise distances are 6, 6, 8, 8, 10 and 10, on average 8.
CORNERS = pd.DataFrame({"a": [0.0, 0.0, 2.0, 2.0], "b": [0.0, 4.0, 0.0, 4.0]})
WEIGHTS = {"a": 3.0, "b": 4.0}
FOLDS = ["one", "two", "one", "three"]


def make_samples(n=150, seed=0):
    """Return correlated numbers and a category, and a target that depends on them."""
    rng = np.random.default_rng(seed)
    rain = rng.normal(600, 100, n)
    X = pd.DataFrame(
        {
            "rain": rain,
            "clay": 0.05 * rain + rng.normal(0, 4, n),
            "use": rng.choice(["crop", "wood", "grass"], n, p=[0.6, 0.3, 0.1]),
            "noise": rng.normal(size=n),
        }
    )
    return X, X["rain"] / 100 + 2.0 * (X["use"] == "wood")


def test_four_training_rows_have_known_results():
    """Index, threshold, area and density of four training rows and three queries."""
    area = AreaOfApplicability(importance=WEIGHTS, cv=FOLDS).fit(CORNERS)
    assert area.mean_train_distance_ == pytest.approx(8)
    # Rows 0 and 2 have a distance of 6 but are in one fold; the next row is at 8.
    np.testing.assert_allclose(area.train_di_, [1, 0.75, 1, 0.75])
    # Q3 + 1.5 (Q3 - Q1) = 1 + 1.5 * 0.25 is above the largest DI.
    assert area.threshold_ == pytest.approx(1)
    np.testing.assert_array_equal(area.train_lpd_, [1, 2, 1, 2])
    cells = pd.DataFrame({"a": [1.0, 4.0, 5.0], "b": [2.0, 0.0, 0.0]})
    np.testing.assert_allclose(area.dissimilarity_index(cells), [5 / 8, 6 / 8, 9 / 8])
    np.testing.assert_array_equal(area.predict(cells), [1, 1, -1])
    np.testing.assert_array_equal(area.local_point_density(cells), [4, 1, 0])
    np.testing.assert_allclose(area.score_samples(cells), [-5 / 8, -6 / 8, -9 / 8])
    np.testing.assert_allclose(area.decision_function(cells), [3 / 8, 2 / 8, -1 / 8])


def test_equals_cast():
    """Results equal those of CAST's trainDI and aoa, computed in R with FNN.

    The standard deviations of R divide by n - 1, which cancels in the ratio to the mean distance.
    """
    i = np.arange(1, 31)
    kind = np.array(["x", "y", "z"])[i * i % 3]
    X = pd.DataFrame({"a": i * 7 % 31, "b": (i * 11 % 29) ** 1.5, "kind": kind})
    weights = {"a": 2.0, "b": 1.0, "kind": 0.5}
    area = AreaOfApplicability(importance=weights, cv=i % 5).fit(X)
    first = [0.165184739077, 0.281345768953, 0.304644097707, 0.170717010931, 0.301290831252]
    np.testing.assert_allclose(area.train_di_[:5], first, rtol=1e-10)
    assert area.threshold_ == pytest.approx(0.429285303134, rel=1e-10)
    assert area.mean_train_distance_ * np.sqrt(29 / 30) == pytest.approx(3.01928964035)
    density = [3, 2, 2, 2, 1, 1, 2, 1, 1, 2, 1, 2, 1, 1, 0, 2, 2, 0, 1, 2, 0, 1, 2, 1, 2, 1, 1]
    np.testing.assert_array_equal(area.train_lpd_, [*density, 3, 2, 2])
    new = pd.DataFrame({"a": [10.0, 40.0, 0.0], "b": [50.0, 160.0, 0.0], "kind": ["y", "y", "x"]})
    expected = [0.189385371451, 0.839700893815, 0.262012244699]
    np.testing.assert_allclose(area.dissimilarity_index(new), expected, rtol=1e-10)
    np.testing.assert_array_equal(area.local_point_density(new), [4, 0, 2])
    # CAST up to 0.7.0: the upper whisker of boxplot.stats.
    older = AreaOfApplicability(importance=weights, cv=i % 5, threshold="whisker").fit(X)
    assert older.threshold_ == pytest.approx(0.337960595329, rel=1e-10)


def test_default_is_leave_one_out():
    """The DI of each corner is 6 / 8, the distance to the nearest other row; the LPD is 1."""
    area = AreaOfApplicability(importance=WEIGHTS).fit(CORNERS)
    np.testing.assert_allclose(area.train_di_, 0.75)
    np.testing.assert_array_equal(area.train_lpd_, 1)


@pytest.mark.parametrize("threshold", ["fence", "whisker", "max", 0.3])
@pytest.mark.parametrize("labeled", [True, False])
def test_equals_the_reference(labeled, threshold):
    """Results equal those of a matrix of all distances, written like the formulas."""
    X, _ = make_samples(150)
    cells, _ = make_samples(300, seed=1)
    cells.loc[:20, "use"] = "lake"
    folds = np.arange(150) % 7 if labeled else None
    weight = {"rain": 2.0, "clay": 0.5, "use": 1.5, "noise": 0.0}
    area = AreaOfApplicability(importance=weight, cv=folds, threshold=threshold).fit(X)

    def numeric(frame):
        uses = {f"use_{use}": (frame["use"] == use) * 1.0 for use in ("crop", "wood", "grass")}
        return frame[["rain", "clay"]].assign(**uses)

    scaled = (numeric(X) - numeric(X).mean()) / numeric(X).std()
    queries = (numeric(cells) - numeric(X).mean()) / numeric(X).std()
    weights = np.array([2.0, 0.5, 1.5, 1.5, 1.5])
    points, queries = scaled.to_numpy() * weights, queries.to_numpy() * weights
    mean = pdist(points).mean()
    labels = np.arange(150) if folds is None else folds
    pairs = cdist(points, points) / mean
    index = np.array([pairs[i, labels != labels[i]].min() for i in range(150)])
    q1, q3 = np.percentile(index, [25, 75])
    fence = q3 + 1.5 * (q3 - q1)
    limit = {
        "fence": min(fence, index.max()),
        "whisker": max(di for di in index if di <= fence),
        "max": index.max(),
        0.3: 0.3,
    }[threshold]
    distance = cdist(queries, points) / mean

    np.testing.assert_allclose(area.train_di_, index)
    assert area.threshold_ == pytest.approx(limit)
    np.testing.assert_allclose(area.dissimilarity_index(cells), distance.min(axis=1))
    inside = distance.min(axis=1) <= limit
    np.testing.assert_array_equal(area.predict(cells), np.where(inside, 1, -1))
    assert set(area.predict(cells)) == {-1, 1}
    # Rows at the threshold count, whatever the rounding of their distance.
    radius = limit * (1 + 1e-9)
    np.testing.assert_array_equal(area.local_point_density(cells), (distance <= radius).sum(axis=1))
    density = [(pairs[i, labels != labels[i]] <= radius).sum() for i in range(150)]
    np.testing.assert_array_equal(area.train_lpd_, density)


def test_density_is_zero_outside():
    """Rows are inside exactly if at least one training row is within the threshold."""
    X, _ = make_samples(200)
    cells, _ = make_samples(500, seed=1)
    area = AreaOfApplicability().fit(X)
    np.testing.assert_array_equal(area.predict(cells) == 1, area.local_point_density(cells) > 0)
    assert (area.train_di_[area.train_lpd_ == 0] > area.threshold_).all()


def test_sampled_square_is_inside():
    """Rows in a densely sampled square are inside, rows beyond it are not."""
    rng = np.random.default_rng(0)
    area = AreaOfApplicability(cv=SpatialBlockKFold(5)).fit(rng.uniform(size=(400, 2)))
    assert (area.predict(rng.uniform(size=(200, 2))) == 1).all()
    assert (area.predict(rng.uniform([1.5, 0], [2.5, 1], (200, 2))) == -1).all()


def test_block_folds_increase_the_threshold():
    """Rows are farther from other blocks than from their nearest neighbors."""
    X = np.random.default_rng(0).uniform(size=(300, 2))
    near = AreaOfApplicability().fit(X).threshold_
    assert AreaOfApplicability(cv=SpatialBlockKFold(5)).fit(X).threshold_ > 2 * near


def test_row_order_units_and_weight_scale_do_not_matter():
    """The order of rows, units and the scale of weights have no influence."""
    X, _ = make_samples()
    cells, _ = make_samples(seed=1)
    folds = np.arange(150) % 5
    weights = {"rain": 1.0, "clay": 2.0, "use": 1.0, "noise": 3.0}
    area = AreaOfApplicability(importance=weights, cv=folds).fit(X)
    order = np.random.default_rng(2).permutation(150)
    other = AreaOfApplicability(
        importance={label: 2 * weight for label, weight in weights.items()}, cv=folds[order]
    )

    def convert(frame):
        return frame.assign(rain=frame["rain"] * 25.4 - 1000, noise=-frame["noise"] / 1e6)

    other.fit(convert(X).iloc[order])
    np.testing.assert_allclose(other.train_di_, area.train_di_[order], rtol=1e-9)
    np.testing.assert_allclose(
        other.dissimilarity_index(convert(cells)), area.dissimilarity_index(cells), rtol=1e-9
    )
    assert other.threshold_ == pytest.approx(area.threshold_)


def test_buffer_of_a_splitter_is_respected():
    """Training rows dropped by the buffer are not used in that fold."""
    X = np.column_stack([np.arange(20.0), np.zeros(20)])
    unbuffered, buffered = (
        AreaOfApplicability(columns=[0], cv=SpatialBlockKFold(2, n_blocks=2, buffer=buffer)).fit(X)
        for buffer in (0.0, 3.0)
    )
    step = unbuffered.train_di_.min()
    assert buffered.train_di_.min() == pytest.approx(3 * step)


def test_rows_in_no_test_set_have_no_index():
    """Their DI and LPD are NaN and do not affect the threshold."""
    X = np.arange(10.0)[:, None]
    area = AreaOfApplicability(cv=[(np.arange(5), np.arange(5, 10))]).fit(X)
    assert np.isnan(area.train_di_[:5]).all()
    assert np.isnan(area.train_lpd_[:5]).all()
    step = 1 / X.std() / area.mean_train_distance_
    np.testing.assert_allclose(area.train_di_[5:], np.arange(1, 6) * step)
    assert area.threshold_ == pytest.approx(5 * step)


def test_results_do_not_depend_on_chunks(monkeypatch):
    """Chunks of seven rows and several threads give the same numbers."""
    X, _ = make_samples()
    cells, _ = make_samples(50, seed=1)
    area = AreaOfApplicability().fit(X)
    whole = area.dissimilarity_index(cells), area.local_point_density(cells)
    monkeypatch.setattr(module, "_MAX_QUERY_ROWS", 7)
    np.testing.assert_array_equal(area.dissimilarity_index(cells), whole[0])
    np.testing.assert_array_equal(area.local_point_density(cells), whole[1])
    np.testing.assert_array_equal(
        area.local_point_density(cells, max_count=3), np.minimum(whole[1], 3)
    )
    threaded = AreaOfApplicability(n_jobs=2).fit(X)
    np.testing.assert_array_equal(threaded.local_point_density(cells), whole[1])


def test_columns_by_name_or_position():
    """Columns that are not selected are not used and may be invalid."""
    X, _ = make_samples()
    X["id"] = [f"profile {i}" for i in range(len(X))]
    area = AreaOfApplicability(columns=["rain", 1]).fit(X)
    assert area.columns_ == ["rain", "clay"]
    alone = AreaOfApplicability().fit(X[["rain", "clay"]])
    np.testing.assert_array_equal(area.train_di_, alone.train_di_)
    cells = X.assign(noise=np.nan, id="new")
    np.testing.assert_array_equal(area.dissimilarity_index(cells), 0)


def test_coordinates_are_used_by_default():
    """A distant location is outside by its coordinates and inside by its covariates."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(size=(200, 3)), columns=["x", "y", "clay"])
    far = X.head(5).assign(x=10.0)
    assert (AreaOfApplicability().fit(X).predict(far) == -1).all()
    assert (AreaOfApplicability(columns=["clay"]).fit(X).predict(far) == 1).all()


def test_fit_on_array_predict_on_dataframe():
    """Columns of arrays and DataFrames are matched by position."""
    X, _ = make_samples()
    X = X[["rain", "clay"]]
    area = AreaOfApplicability().fit(X.to_numpy())
    with pytest.warns(UserWarning, match="X has feature names"):
        result = area.dissimilarity_index(X)
    np.testing.assert_array_equal(result, 0)


@pytest.mark.parametrize("importance", [None, "permutation", "held_out", "native"])
def test_weights_are_importances(importance):
    """Only extreme values of a column that the model uses are outside."""
    X, _ = make_samples(200)
    X = X[["noise", "rain"]]
    model = LinearRegression().fit(X, X["rain"])
    area = AreaOfApplicability(
        estimator=model, importance=importance, cv=np.arange(200) % 5, random_state=0
    ).fit(X, X["rain"])
    assert area.weights_[0] < 1e-6 * area.weights_[1]
    extreme = X.head(3).assign(noise=50.0)
    assert (area.predict(extreme) == 1).all()
    assert (area.predict(X.head(3).assign(rain=5000.0)) == -1).all()
    assert (AreaOfApplicability().fit(X).predict(extreme) == -1).all()


@pytest.mark.filterwarnings("ignore:n_neighbors=:UserWarning")
def test_regressors_of_this_package():
    """Text and date columns are shuffled unchanged, in a search and in held-out rows."""
    survey = make_soil_survey(160, random_state=0)
    X = survey.data.assign(use=np.where(survey.data["elevation"] > 300, "wood", "crop"))
    trees = XGBoostBaseline(time="date", n_estimators=20, random_state=0)
    search = GridSearchCV(trees, {"max_depth": [2, 3]}, cv=3).fit(X, survey.target)
    network = SpTGNNRegressor(
        time="date", base_estimator="xgboost", n_estimators=2, n_neighbors=4, max_epochs=5,
        network=NetworkConfig(hidden_size=8, n_experts=2), random_state=0,
    )  # fmt: skip
    for model, importance in ((search, "permutation"), (network, "held_out")):
        area = AreaOfApplicability(
            estimator=model,
            importance=importance,
            cv=SpatialBlockKFold(2),
            n_repeats=1,
            random_state=0,
        ).fit(X, survey.target)
        assert len(area.weights_) == X.shape[1]
        assert area.weights_.max() > 0
        assert area.predict(X).tolist() == [1] * 160


def test_negative_importances_give_equal_weights():
    """If shuffling improves the predictions, weights are equal and a warning is issued."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    model = LinearRegression().fit(X, -X.sum(axis=1))
    with pytest.warns(UserWarning, match="importance='permutation' .*LinearRegression"):
        area = AreaOfApplicability(estimator=model, random_state=0).fit(X, X.sum(axis=1))
    assert area.weights_.tolist() == [1, 1]


def test_constant_columns_get_weight_zero():
    """A warning names the columns, also if their standard deviation is not 0 by rounding."""
    X, _ = make_samples()
    X = X[["rain", "clay"]]
    alone = AreaOfApplicability().fit(X)
    with pytest.warns(UserWarning, match=r"\['depth', 'kind'\]"):
        area = AreaOfApplicability().fit(X.assign(depth=0.1, kind="topsoil"))
    assert area.weights_.tolist() == [1, 1, 0, 0]
    np.testing.assert_array_equal(area.train_di_, alone.train_di_)


def test_in_a_pipeline_and_a_search():
    """It works as the last step of a pipeline, and its parameters can be searched."""
    X, y = make_samples()
    X = X[["rain", "clay"]]
    pipe = make_pipeline(StandardScaler(), AreaOfApplicability()).fit(X)
    np.testing.assert_allclose(pipe[-1].train_di_, AreaOfApplicability().fit(X).train_di_)
    assert (pipe.predict(X + 1e4) == -1).all()
    model = FrozenEstimator(RandomForestRegressor(5, random_state=0).fit(X, y))
    search = GridSearchCV(
        AreaOfApplicability(estimator=model, random_state=0),
        {"threshold": ["fence", 0.01], "importance": ["native", "equal"]},
        scoring=lambda area, X, y: float((area.predict(X) == 1).mean()),
        cv=KFold(3),
    ).fit(X, y)
    assert search.best_params_["threshold"] == "fence"


def test_pickle_clone_and_repr():
    """A pickled copy predicts the same, a clone is unfitted, and repr shows changed parameters."""
    X, _ = make_samples()
    area = AreaOfApplicability(threshold="max").fit(X)
    again = pickle.loads(pickle.dumps(area))
    np.testing.assert_array_equal(again.decision_function(X), area.decision_function(X))
    assert not hasattr(clone(area), "threshold_")
    assert repr(area) == "AreaOfApplicability(threshold='max')"


def test_conventions_of_outlier_detectors():
    """Methods follow scikit-learn's outlier detectors, except that all training rows are inside."""
    X = np.random.default_rng(0).normal(size=(100, 2))
    area = AreaOfApplicability().fit(X.tolist())
    cells = 3 * X
    predicted, decision = area.predict(cells), area.decision_function(cells)
    assert predicted.dtype.kind == "i"
    np.testing.assert_array_equal(np.where(decision >= 0, 1, -1), predicted)
    np.testing.assert_allclose(area.score_samples(cells) - area.offset_, decision)
    for method in ("predict", "decision_function", "score_samples", "local_point_density"):
        with pytest.raises(ValueError, match="features"):
            getattr(area, method)(X.T)
    check_estimator_sparse_array("AreaOfApplicability", AreaOfApplicability())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"columns": ["sand"]}, "columns='sand'"),
        ({"columns": []}, "columns is empty"),
        ({"importance": {"rain": 1}}, r"importance .*\['clay', 'use', 'noise'\]"),
        ({"importance": [1, 2]}, r"importance .* 4 .*\(2,\)"),
        ({"importance": [1, 2, -1, 0]}, "importance .* found .*-1"),
        ({"importance": [0, 0, 0, 0]}, "importance .* found .*0.0, 0.0"),
        ({"importance": "permutation"}, "importance='permutation' .* estimator"),
        ({"importance": "gain"}, "'importance' parameter"),
        ({"threshold": "quantile"}, "'threshold' parameter"),
        ({"threshold": -1.0}, "'threshold' parameter"),
        ({"estimator": LinearRegression()}, "requires y to be passed"),
        ({"cv": [0, 1]}, "cv .* 2 labels"),
    ],
)
def test_invalid_parameters_raise(settings, message):
    """The error names the parameter and what was found."""
    X, _ = make_samples()
    with pytest.raises(ValueError, match=message):
        AreaOfApplicability(**settings).fit(X)


def test_missing_values_raise():
    """The error names the column, for numbers and categories in fit and predict."""
    X, _ = make_samples()
    area = AreaOfApplicability().fit(X)
    for label in ("rain", "use"):
        incomplete = X.copy()
        incomplete.loc[[3, 8], label] = None
        message = rf"'{label}' is missing \(NaN\) in 2 of 150 rows \(row positions 3, 8\)"
        with pytest.raises(ValueError, match=message):
            AreaOfApplicability().fit(incomplete)
        with pytest.raises(ValueError, match=message):
            area.predict(incomplete)


@pytest.mark.parametrize("max_count", [0, 1.5, "all"])
def test_invalid_max_count_raises(max_count):
    """The error names the parameter and the value."""
    area = AreaOfApplicability().fit(CORNERS)
    with pytest.raises(ValueError, match=f"max_count must .* found {max_count!r}"):
        area.local_point_density(CORNERS, max_count=max_count)


def test_tables_without_variation_raise():
    """A single row and identical rows have no distances."""
    with pytest.raises(ValueError, match="minimum of 2"):
        AreaOfApplicability().fit([[1.0, 2.0]])
    with pytest.raises(ValueError, match=r"columns .* constant: \[0, 1\]"):
        AreaOfApplicability().fit(np.ones((5, 2)))


def test_failed_fit_keeps_the_last_one():
    """Weights and columns of a fit that raises are not used by predict."""
    X, _ = make_samples()
    area = AreaOfApplicability(columns=["rain", "clay"]).fit(X)
    expected = area.dissimilarity_index(X)
    with pytest.raises(ValueError, match="cv"):
        area.set_params(columns=["noise"], cv=["one"]).fit(X)
    with pytest.raises(ValueError, match="constant"):
        area.set_params(cv=None).fit(X.assign(noise=1.0))
    assert area.columns_ == ["rain", "clay"] and len(area.weights_) == 2
    np.testing.assert_array_equal(area.dissimilarity_index(X), expected)
