"""The area of applicability: CAST's formulas by hand and by a slow twin, invariances, errors."""

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

from sptgnn_sklearn import AreaOfApplicability, SpTGNNRegressor, XGBoostBaseline
from sptgnn_sklearn.applicability import area_of_applicability as module
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.model_selection import SpatialBlockKFold

# Standardised these are corners of a square of side 2, weighted by 3 and 4 of a rectangle of 6 and
# 8: the pairs are 6, 6, 8, 8, 10 and 10 apart, 8 on average.
CORNERS = pd.DataFrame({"a": [0.0, 0.0, 2.0, 2.0], "b": [0.0, 4.0, 0.0, 4.0]})
WEIGHTS = {"a": 3.0, "b": 4.0}
FOLDS = ["one", "two", "one", "three"]


def survey(n=150, seed=0):
    """Correlated numbers, a category and the target that they make."""
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


def test_by_hand():
    """Index, threshold, area and density of four training rows and three queries, on paper."""
    area = AreaOfApplicability(importance=WEIGHTS, cv=FOLDS).fit(CORNERS)
    assert area.mean_train_distance_ == pytest.approx(8)
    # Rows 0 and 2 are 6 apart but in one fold; the next is 8 away. Rows 1 and 3 are 6 apart.
    np.testing.assert_allclose(area.train_di_, [1, 0.75, 1, 0.75])
    # Q3 + 1.5 (Q3 - Q1) = 1 + 1.5 * 0.25 is more than the largest.
    assert area.threshold_ == pytest.approx(1)
    np.testing.assert_array_equal(area.train_lpd_, [1, 2, 1, 2])
    cells = pd.DataFrame({"a": [1.0, 4.0, 5.0], "b": [2.0, 0.0, 0.0]})
    np.testing.assert_allclose(area.dissimilarity_index(cells), [5 / 8, 6 / 8, 9 / 8])
    np.testing.assert_array_equal(area.predict(cells), [1, 1, -1])
    np.testing.assert_array_equal(area.local_point_density(cells), [4, 1, 0])
    np.testing.assert_allclose(area.score_samples(cells), [-5 / 8, -6 / 8, -9 / 8])
    np.testing.assert_allclose(area.decision_function(cells), [3 / 8, 2 / 8, -1 / 8])


def test_numbers_of_r():
    """The steps of CAST's trainDI and aoa, run in R with FNN on a table made by a formula.

    Its standard deviations divide by n - 1, which the mean distance undoes.
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
    # The rule up to CAST 0.7.0: the upper whisker of boxplot.stats.
    older = AreaOfApplicability(importance=weights, cv=i % 5, threshold="whisker").fit(X)
    assert older.threshold_ == pytest.approx(0.337960595329, rel=1e-10)


def test_without_folds_one_row_is_left_out():
    """The nearest other row counts: 6 of 8 for every corner, and LPD counts that one."""
    area = AreaOfApplicability(importance=WEIGHTS).fit(CORNERS)
    np.testing.assert_allclose(area.train_di_, 0.75)
    np.testing.assert_array_equal(area.train_lpd_, 1)


@pytest.mark.parametrize("threshold", ["fence", "whisker", "max", 0.3])
@pytest.mark.parametrize("labelled", [True, False])
def test_slow_twin(labelled, threshold):
    """Loops over all pairs of rows, as the formulas are written, find the same."""
    X, _ = survey(150)
    cells, _ = survey(300, seed=1)
    cells.loc[:20, "use"] = "lake"
    folds = np.arange(150) % 7 if labelled else None
    weight = {"rain": 2.0, "clay": 0.5, "use": 1.5, "noise": 0.0}
    area = AreaOfApplicability(importance=weight, cv=folds, threshold=threshold).fit(X)

    def columns(frame):
        uses = {f"use_{use}": (frame["use"] == use) * 1.0 for use in ("crop", "wood", "grass")}
        return frame[["rain", "clay"]].assign(**uses)

    scaled = (columns(X) - columns(X).mean()) / columns(X).std()
    queries = (columns(cells) - columns(X).mean()) / columns(X).std()
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
    far = cdist(queries, points) / mean

    np.testing.assert_allclose(area.train_di_, index)
    assert area.threshold_ == pytest.approx(limit)
    np.testing.assert_allclose(area.dissimilarity_index(cells), far.min(axis=1))
    np.testing.assert_array_equal(area.predict(cells), np.where(far.min(axis=1) <= limit, 1, -1))
    assert set(area.predict(cells)) == {-1, 1}
    # Rows at the threshold itself count, however their distance is rounded.
    reach = limit * (1 + 1e-9)
    np.testing.assert_array_equal(area.local_point_density(cells), (far <= reach).sum(axis=1))
    density = [(pairs[i, labels != labels[i]] <= reach).sum() for i in range(150)]
    np.testing.assert_array_equal(area.train_lpd_, density)


def test_density_is_zero_just_outside():
    """The area is where at least one training row is within the threshold."""
    X, _ = survey(200)
    cells, _ = survey(500, seed=1)
    area = AreaOfApplicability().fit(X)
    np.testing.assert_array_equal(area.predict(cells) == 1, area.local_point_density(cells) > 0)
    assert (area.train_di_[area.train_lpd_ == 0] > area.threshold_).all()


def test_extrapolation_is_outside_and_the_well_sampled_inside():
    """A dense square is inside up to its edge; what lies beyond it is not."""
    rng = np.random.default_rng(0)
    area = AreaOfApplicability(cv=SpatialBlockKFold(5)).fit(rng.uniform(size=(400, 2)))
    assert (area.predict(rng.uniform(size=(200, 2))) == 1).all()
    assert (area.predict(rng.uniform([1.5, 0], [2.5, 1], (200, 2))) == -1).all()


def test_folds_widen_the_area():
    """Whole blocks are farther from the other rows than single rows are from their neighbours."""
    X = np.random.default_rng(0).uniform(size=(300, 2))
    near = AreaOfApplicability().fit(X).threshold_
    assert AreaOfApplicability(cv=SpatialBlockKFold(5)).fit(X).threshold_ > 2 * near


def test_order_units_and_scale_of_weights_do_not_matter():
    """Shuffled rows, other units and doubled weights give the same area."""
    X, _ = survey()
    cells, _ = survey(seed=1)
    folds = np.arange(150) % 5
    weights = {"rain": 1.0, "clay": 2.0, "use": 1.0, "noise": 3.0}
    area = AreaOfApplicability(importance=weights, cv=folds).fit(X)
    order = np.random.default_rng(2).permutation(150)
    other = AreaOfApplicability(
        importance={label: 2 * weight for label, weight in weights.items()}, cv=folds[order]
    )

    def changed(frame):
        return frame.assign(rain=frame["rain"] * 25.4 - 1000, noise=-frame["noise"] / 1e6)

    other.fit(changed(X).iloc[order])
    np.testing.assert_allclose(other.train_di_, area.train_di_[order], rtol=1e-9)
    np.testing.assert_allclose(
        other.dissimilarity_index(changed(cells)), area.dissimilarity_index(cells), rtol=1e-9
    )
    assert other.threshold_ == pytest.approx(area.threshold_)


def test_buffer_of_a_splitter_counts():
    """Training rows that a splitter leaves out of a fold are not the nearest ones there."""
    X = np.column_stack([np.arange(20.0), np.zeros(20)])
    plain = AreaOfApplicability(columns=[0], cv=SpatialBlockKFold(2, n_blocks=2)).fit(X)
    wide = AreaOfApplicability(columns=[0], cv=SpatialBlockKFold(2, n_blocks=2, buffer=3.0)).fit(X)
    step = plain.train_di_.min()
    assert wide.train_di_.min() == pytest.approx(3 * step)


def test_rows_that_are_never_held_out_have_no_index():
    """They are training rows of the others and count for no threshold."""
    X = np.arange(10.0)[:, None]
    area = AreaOfApplicability(cv=[(np.arange(5), np.arange(5, 10))]).fit(X)
    assert np.isnan(area.train_di_[:5]).all()
    assert np.isnan(area.train_lpd_[:5]).all()
    step = 1 / X.std() / area.mean_train_distance_
    np.testing.assert_allclose(area.train_di_[5:], np.arange(1, 6) * step)
    assert area.threshold_ == pytest.approx(5 * step)


def test_chunks_do_not_show(monkeypatch):
    """A map in pieces of seven cells gives the same numbers."""
    X, _ = survey()
    cells, _ = survey(50, seed=1)
    area = AreaOfApplicability().fit(X)
    whole = area.dissimilarity_index(cells), area.local_point_density(cells)
    monkeypatch.setattr(module, "_CHUNK", 7)
    np.testing.assert_array_equal(area.dissimilarity_index(cells), whole[0])
    np.testing.assert_array_equal(area.local_point_density(cells), whole[1])
    np.testing.assert_array_equal(area.local_point_density(cells, most=3), np.minimum(whole[1], 3))
    threaded = AreaOfApplicability(n_jobs=2).fit(X)
    np.testing.assert_array_equal(threaded.local_point_density(cells), whole[1])


def test_columns_are_chosen_by_name_or_position():
    """Columns that are left out neither count nor are read."""
    X, _ = survey()
    X["id"] = [f"profile {i}" for i in range(len(X))]
    area = AreaOfApplicability(columns=["rain", 1]).fit(X)
    assert area.columns_ == ["rain", "clay"]
    alone = AreaOfApplicability().fit(X[["rain", "clay"]])
    np.testing.assert_array_equal(area.train_di_, alone.train_di_)
    cells = X.assign(noise=np.nan, id="new")
    np.testing.assert_array_equal(area.dissimilarity_index(cells), 0)


def test_coordinates_count_unless_left_out():
    """A far place is outside by its coordinates and inside by its soil."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(size=(200, 3)), columns=["x", "y", "clay"])
    far = X.head(5).assign(x=10.0)
    assert (AreaOfApplicability().fit(X).predict(far) == -1).all()
    assert (AreaOfApplicability(columns=["clay"]).fit(X).predict(far) == 1).all()


def test_arrays_and_frames_are_one():
    """An array has the columns of the frame that was fitted, by position."""
    X, _ = survey()
    X = X[["rain", "clay"]]
    area = AreaOfApplicability().fit(X.to_numpy())
    with pytest.warns(UserWarning, match="X has feature names"):
        found = area.dissimilarity_index(X)
    np.testing.assert_array_equal(found, 0)


@pytest.mark.parametrize("importance", [None, "permutation", "held_out", "native"])
def test_model_weighs_the_columns(importance):
    """A column that the model does not use does not put a cell outside, one that it uses does."""
    X, _ = survey(200)
    X = X[["noise", "rain"]]
    model = LinearRegression().fit(X, X["rain"])
    area = AreaOfApplicability(
        estimator=model, importance=importance, cv=np.arange(200) % 5, random_state=0
    ).fit(X, X["rain"])
    assert area.weights_[0] < 1e-6 * area.weights_[1]
    strange = X.head(3).assign(noise=50.0)
    assert (area.predict(strange) == 1).all()
    assert (area.predict(X.head(3).assign(rain=5000.0)) == -1).all()
    assert (AreaOfApplicability().fit(X).predict(strange) == -1).all()


@pytest.mark.filterwarnings("ignore:n_neighbors=:UserWarning")
def test_models_of_this_package_weigh_their_own_table():
    """Columns of text and dates are shuffled as they are, in a search and in held-out rows."""
    made = make_soil_survey(160, random_state=0)
    X = made.data.assign(use=np.where(made.data["elevation"] > 300, "wood", "crop"))
    trees = XGBoostBaseline(time="date", n_estimators=20, random_state=0)
    search = GridSearchCV(trees, {"max_depth": [2, 3]}, cv=3).fit(X, made.target)
    network = SpTGNNRegressor(
        time="date", base=None, n_members=2, hidden_size=8, n_experts=2, n_neighbors=4,
        max_epochs=60, random_state=0,
    )  # fmt: skip
    for model, importance in ((search, "permutation"), (network, "held_out")):
        area = AreaOfApplicability(
            estimator=model,
            importance=importance,
            cv=SpatialBlockKFold(2),
            n_repeats=1,
            random_state=0,
        ).fit(X, made.target)
        assert len(area.weights_) == X.shape[1]
        assert area.weights_.max() > 0
        assert area.predict(X).tolist() == [1] * 160


def test_useless_model_weighs_all_the_same():
    """Where shuffling any column only helps, a warning says that weights are equal."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    model = LinearRegression().fit(X, -X.sum(axis=1))
    with pytest.warns(UserWarning, match="no column that helps LinearRegression"):
        area = AreaOfApplicability(estimator=model, random_state=0).fit(X, X.sum(axis=1))
    assert area.weights_.tolist() == [1, 1]


def test_constant_column_gets_no_weight():
    """It is named in a warning and divides nothing by zero, also where it equals by rounding."""
    X, _ = survey()
    X = X[["rain", "clay"]]
    alone = AreaOfApplicability().fit(X)
    with pytest.warns(UserWarning, match=r"get weight 0: \['depth', 'kind'\]"):
        area = AreaOfApplicability().fit(X.assign(depth=0.1, kind="topsoil"))
    assert area.weights_.tolist() == [1, 1, 0, 0]
    np.testing.assert_array_equal(area.train_di_, alone.train_di_)


def test_in_a_pipeline_and_a_search():
    """It ends a pipeline, and its parameters can be searched."""
    X, y = survey()
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


def test_pickles_clones_and_shows_itself():
    """A copy predicts the same, a clone is not fitted, and the text is that of scikit-learn."""
    X, _ = survey()
    area = AreaOfApplicability(threshold="max").fit(X)
    again = pickle.loads(pickle.dumps(area))
    np.testing.assert_array_equal(again.decision_function(X), area.decision_function(X))
    assert not hasattr(clone(area), "threshold_")
    assert repr(area) == "AreaOfApplicability(threshold='max')"


def test_conventions_of_outlier_detectors():
    """What scikit-learn asks of a detector, but for outliers among the training rows."""
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
        ({"columns": ["sand"]}, "columns='sand' is not a column of X"),
        ({"columns": []}, "columns is empty"),
        ({"importance": {"rain": 1}}, r"lacks \['clay', 'use', 'noise'\]"),
        ({"importance": [1, 2]}, "one weight for each of the 4 columns"),
        ({"importance": [1, 2, -1, 0]}, "finite weights of 0 or more"),
        ({"importance": [0, 0, 0, 0]}, "one above 0"),
        ({"importance": "permutation"}, "needs a model: give it as estimator"),
        ({"importance": "gain"}, "'importance' parameter"),
        ({"threshold": "quantile"}, "'threshold' parameter"),
        ({"threshold": -1.0}, "'threshold' parameter"),
        ({"estimator": LinearRegression()}, "requires y to be passed"),
        ({"cv": [0, 1]}, "it holds 2 labels"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    """The message names the parameter and what was found."""
    X, _ = survey()
    with pytest.raises(ValueError, match=message):
        AreaOfApplicability(**settings).fit(X)


def test_gaps_are_refused_by_name():
    """In training and in queries, of numbers and of categories."""
    X, _ = survey()
    area = AreaOfApplicability().fit(X)
    for label in ("rain", "use"):
        gappy = X.copy()
        gappy.loc[[3, 8], label] = None
        message = rf"'{label}' is missing \(NaN\) in 2 of 150 rows \(row positions 3, 8\)"
        with pytest.raises(ValueError, match=message):
            AreaOfApplicability().fit(gappy)
        with pytest.raises(ValueError, match=message):
            area.predict(gappy)


@pytest.mark.parametrize("most", [0, 1.5, "all"])
def test_counts_go_to_whole_numbers(most):
    """Density is counted up to one row at least."""
    with pytest.raises(ValueError, match=f"most must be a whole number .* found {most!r}"):
        AreaOfApplicability().fit(CORNERS).local_point_density(CORNERS, most=most)


def test_tables_without_distances_are_refused():
    """One row, or equal rows only."""
    with pytest.raises(ValueError, match="minimum of 2"):
        AreaOfApplicability().fit([[1.0, 2.0]])
    with pytest.raises(ValueError, match="No column with a weight varies"):
        AreaOfApplicability().fit(np.ones((5, 2)))
