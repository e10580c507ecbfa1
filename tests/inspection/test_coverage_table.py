"""Coverage of models and comparisons by groups."""

import numpy as np
import pandas as pd
import pytest
from mapie.regression import SplitConformalRegressor
from scipy.stats import binomtest, norm
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sptgnn_sklearn.inspection import CoverageTable, coverage_table
from sptgnn_sklearn.metrics import coverage_by_group, interval_coverage
from sptgnn_sklearn.model_selection import compare_models


class NormalWithStd(RegressorMixin, BaseEstimator):
    """Regressor with mean 0 and the standard deviation in the column std_model."""

    def fit(self, X, y):
        self.is_fitted_ = True
        return self

    def predict(self, X, return_std=False):
        zeros = np.zeros(len(X))
        return (zeros, X["std_model"].to_numpy()) if return_std else zeros


@pytest.fixture(scope="module")
def rows():
    """2,000 rows whose noise is 1, but 2 on peat; the model assumes 1 everywhere."""
    rng = np.random.default_rng(0)
    soil = rng.choice(["clay", "peat", "sand"], 2000, p=[0.5, 0.1, 0.4])
    X = pd.DataFrame(rng.uniform(size=(2000, 2)), columns=["x", "y"])
    X = X.assign(std_model=1.0, soil=soil)
    y = pd.Series(rng.normal(scale=np.where(soil == "peat", 2.0, 1.0)))
    return X, y


@pytest.fixture(scope="module")
def model(rows):
    return NormalWithStd().fit(*rows)


def test_worst_group_is_found(rows, model):
    """The coverage of each soil is the known one, and the worst group is peat."""
    result = coverage_table(model, *rows, "soil")
    table = result.table.set_index("group")
    assert table["by"].tolist() == ["all", "soil", "soil", "soil"]
    assert table.index.tolist() == ["all", "clay", "peat", "sand"]
    for soil, std in (("clay", 1), ("peat", 2), ("sand", 1)):
        expected = 1 - 2 * norm.sf(norm.ppf(0.95) / std)
        exact = binomtest(
            round(table["coverage"][soil] * table["n"][soil]), table["n"][soil], expected
        )
        assert exact.pvalue > 0.01, soil
    assert result.worst["group"] == "peat" and not result.worst["consistent"]
    assert table["consistent"][["clay", "sand"]].all()
    expected = coverage_by_group(
        rows[1], *([side] * 2000 for side in (-1.644854, 1.644854)), rows[0]["soil"]
    )
    pd.testing.assert_frame_equal(
        table.reset_index()[1:][expected.columns].reset_index(drop=True), expected, atol=1e-4
    )


def test_true_uncertainty_is_consistent_in_all_groups(rows):
    """Known standard deviations have nominal coverage everywhere, at 99.9 % confidence."""
    X, y = rows
    X = X.assign(std_model=np.where(X["soil"] == "peat", 2.0, 1.0) * np.linspace(0.9, 1.1, 2000))
    y = y * np.linspace(0.9, 1.1, 2000)
    result = coverage_table(
        NormalWithStd().fit(X, y), X, y, ["std", "region", "soil"], confidence=0.999
    )
    assert result.table["consistent"].all()
    assert result.table["by"].value_counts().to_dict() == {
        **{"all": 1, "std": 5, "region": 5, "soil": 3}
    }
    assert (result.table.groupby("by")["n"].sum() == 2000).all()


def test_worst_has_the_strongest_evidence(rows, model):
    """A tiny group with coverage 0 is weaker evidence, and not considered below min_rows."""
    X, y = rows
    zone = np.where(np.arange(2000) == int(np.abs(y).argmax()), "one row", "others")
    result = coverage_table(model, X, y, ["soil", {"zone": zone}])
    assert result.table.set_index("group")["coverage"]["one row"] == 0
    assert result.worst["group"] == "peat"
    even = (X["soil"] != "peat") | (zone == "one row")  # nominal but for the one row
    for min_rows, worst in ((20, "others"), (1, "one row")):
        found = coverage_table(model, X[even], y[even], {"zone": zone[even]}, min_rows=min_rows)
        assert found.worst["group"] == worst


def test_groups_of_rows_are_kept(rows, model):
    """They have the index of X, and give the table again."""
    X, y = rows[0].set_index(np.arange(5000, 7000)), rows[1]
    result = coverage_table(model, X, y, ["region", "soil"])
    assert result.groups.index.equals(X.index)
    assert result.groups.columns.tolist() == ["region", "soil"]
    n_rows = result.groups["region"].value_counts(sort=False)
    table = result.table[result.table["by"] == "region"]
    assert n_rows.to_dict() == dict(zip(table["group"], table["n"], strict=True))


def test_sample_weight(rows, model):
    """Rows of weight 0 are dropped; other weights give Kish's number of rows."""
    X, y = rows
    weight = np.where(X["soil"] == "clay", 0, np.where(X["soil"] == "sand", 1, 3))
    result = coverage_table(model, X, y, ["soil", "region"], sample_weight=weight)
    used = weight > 0
    dropped = coverage_table(
        model, X[used], y[used], ["soil", "region"], sample_weight=weight[used]
    )
    pd.testing.assert_frame_equal(result.table, dropped.table)
    assert result.groups.index.tolist() == np.flatnonzero(used).tolist()
    total = weight.sum() ** 2 / (weight**2).sum()
    np.testing.assert_allclose(result.table["n_effective"].iloc[0], total)
    inside = np.abs(y) <= norm.ppf(0.95)
    np.testing.assert_allclose(result.table["coverage"].iloc[0], np.average(inside, weights=weight))


def test_network_distances_are_those_of_its_graph(survey, make_model):
    """They are distances on the ground to the nearest training location, in km."""
    X, y = survey.data, survey.target
    network = make_model(time="date", n_estimators=2, max_epochs=2).fit(X[:100], y[:100])
    by = ["std", "distance", "region"]
    result = coverage_table(network, X[100:], y[100:], by, n_groups=2)
    table = result.table
    assert table["by"].tolist() == ["all", *np.repeat(by, 2)]
    intervals = network.predict_interval(X[100:])
    assert table["coverage"].iloc[0] == interval_coverage(y[100:], *intervals.T)
    given = coverage_table(
        network, X[100:], y[100:], by, n_groups=2, training_coordinates=X[:100][["lon", "lat"]]
    )
    pd.testing.assert_frame_equal(given.table, table)
    assert table["group"][table["by"] == "distance"].str.endswith(" km").all()
    distance = network.kneighbors(X[100:], 1)[0][:, 0]
    nearer = result.groups["distance"].cat.codes.to_numpy() == 0
    assert distance[nearer].max() < distance[~nearer].min()
    pipeline = make_pipeline("passthrough", network)
    pd.testing.assert_frame_equal(
        coverage_table(pipeline, X[100:], y[100:], by, n_groups=2).table, table
    )
    outer = TransformedTargetRegressor(
        make_model(time="date", n_estimators=2, max_epochs=2), transformer=StandardScaler()
    ).fit(X[:100], y[:100])
    transformed = coverage_table(outer, X[100:], y[100:], "distance", n_groups=2).table
    assert transformed["group"].tolist() == table["group"][[0, 3, 4]].tolist()


def test_wrapped_and_conformal_models(rows):
    """Pipelines, searches and MAPIE are audited as they predict."""
    X, y = rows[0][["x", "y"]].to_numpy(), rows[1]
    search = GridSearchCV(make_pipeline(StandardScaler(), BayesianRidge()), {}, cv=2).fit(X, y)
    mean, std = BayesianRidge().fit(X, y).predict(X, return_std=True)
    inside = np.abs(y - mean) <= norm.ppf(0.95) * std
    result = coverage_table(search, X, y, ["std", "region", 0], n_groups=2)
    assert abs(result.table["coverage"].iloc[0] - inside.mean()) < 0.005
    assert result.table["by"].tolist() == ["all", "std", "std", "region", "region", "0", "0"]
    mapie = SplitConformalRegressor(
        LinearRegression().fit(X[:200], y[:200]), confidence_level=[0.5, 0.8], prefit=True
    ).conformalize(X[200:600], y[200:600])
    test = slice(600, None)
    result = coverage_table(
        mapie, X[test], y[test], ["std", "distance"], coverage=0.5, training_coordinates=X[:200]
    )
    expected = mapie.predict_interval(X[test])[1][:, :, 0]
    assert result.table["coverage"].iloc[0] == interval_coverage(y[test], *expected.T)
    assert result.table["by"].unique().tolist() == ["all", "width", "distance"]


@pytest.mark.parametrize("estimator", [LinearRegression(), DummyRegressor()])
def test_models_without_intervals_raise(rows, estimator):
    """The error names the class and the methods that it lacks."""
    X, y = rows[0][["x", "y"]], rows[1]
    with pytest.raises(TypeError, match=rf"{type(estimator).__name__} predicts no intervals"):
        coverage_table(estimator.fit(X, y), X, y, "region")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "distance"}, r"by='distance' needs training_coordinates"),
        ({"by": "soils"}, r"by='soils' .*did you mean 'soil'"),
        ({"y": [1.0]}, r"X has 2000 rows and y 1"),
        ({"n_groups": 1}, r"n_groups .*at least 2; found 1"),
        ({"min_rows": 0}, r"min_rows .*found 0"),
        ({"coverage": 90}, r"coverage .*90; did you mean 0\.9"),
        ({"confidence": 1}, r"confidence .*1"),
        ({"coordinates": ["x", "z"]}, r"coordinates='z'"),
        ({"sample_weight": [1.0]}, r"sample_weight .*2000"),
    ],
)
def test_invalid_arguments_raise(rows, model, arguments, message):
    """The error names the parameter and what was found."""
    settings = {"X": rows[0], "y": rows[1], "by": "region"} | arguments
    with pytest.raises(ValueError, match=message):
        coverage_table(model, **settings)


@pytest.fixture(scope="module")
def comparison():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(0, 100, (200, 2)), columns=["x", "y"])
    X = X.assign(soil=rng.choice(["a", "b"], 200)).set_index(np.arange(200)[::-1] + 7)
    numbers = make_pipeline(OnlyNumbers(), BayesianRidge())
    folds = {"west and east": KFold(2, shuffle=True, random_state=0)}
    models = {"line": numbers, "mean": DummyRegressor()}
    y = rng.normal(size=200)
    return X, compare_models(models, X, y, folds, crs="EPSG:28992", progress=False)


class OnlyNumbers(BaseEstimator):
    def fit(self, X, y=None):
        self.is_fitted_ = True
        return self

    def transform(self, X):
        return X[["x", "y"]]


def test_comparison(comparison):
    """The coverage is that of the comparison; distances are to the rows of other folds."""
    X, result = comparison
    by = ["std", "distance", "region", "soil", {"sign": np.sign(X["x"] - 50)}]
    table = CoverageTable.from_comparison(result, "west and east", "line", by, X=X, n_groups=2)
    assert table.coverage == result.coverage
    assert table.table["coverage"].iloc[0] == result.table["coverage"].iloc[0]
    assert table.table["by"].unique().tolist() == ["all", *by[:4], "sign"]
    assert table.groups.index.equals(X.index)
    assert (table.groups["soil"] == X["soil"]).all()
    fold = result.select("west and east", "line")["fold"].to_numpy()
    xy = X[["x", "y"]].to_numpy()
    gaps = np.linalg.norm(xy[:, None] - xy, axis=2)
    nearest = np.where(fold[:, None] == fold, np.inf, gaps).min(axis=1)
    nearer = table.groups["distance"].cat.codes.to_numpy() == 0
    assert nearest[nearer].max() < nearest[~nearer].min()
    last = table.table["group"][table.table["by"] == "distance"].iloc[-1]
    assert last.endswith(f"{nearest.max():.1f} m")
    default = CoverageTable.from_comparison(result, "west and east", "line")
    assert default.table["by"].unique().tolist() == ["all", "std", "distance", "region"]
    assert default.groups.index.equals(X.index)


def test_invalid_comparisons_raise(comparison):
    """Unknown names, other tables, models without intervals and unfinished folds."""
    X, result = comparison
    name = "west and east"
    with pytest.raises(ValueError, match=r"model='mean' has no intervals in 200 of 200 rows"):
        CoverageTable.from_comparison(result, name, "mean")
    with pytest.raises(ValueError, match=r"model='lime' .*did you mean 'line'"):
        CoverageTable.from_comparison(result, name, "lime")
    with pytest.raises(ValueError, match=r"X must be the table"):
        CoverageTable.from_comparison(result, name, "line", "soil", X=X.iloc[::-1])
    with pytest.raises(ValueError, match=r"by='soil' .*pass X="):
        CoverageTable.from_comparison(result, name, "line", "soil")
    unfinished = vars(result) | {"n_fits_done": result.n_fits - 1}
    unfinished = type(result)(**unfinished)
    with pytest.raises(ValueError, match=r"by='distance' .*3 of 4 fits"):
        CoverageTable.from_comparison(unfinished, name, "line")
    assert len(CoverageTable.from_comparison(unfinished, name, "line", "std").table) > 1


def test_given_predictions_match_those_of_the_model(rows, model):
    """Limits, standard deviations and coordinates may come from anywhere."""
    X, y = rows
    mean, std = model.predict(X, return_std=True)
    half_width = norm.ppf(0.95) * std
    options = {"n_groups": 3, "training_coordinates": X[:10]}
    by = ["std", "distance", "region", "soil"]
    given = CoverageTable.from_predictions(
        y, mean - half_width, mean + half_width, by, std=std, X=X, **options
    )
    pd.testing.assert_frame_equal(given.table, coverage_table(model, X, y, by, **options).table)
    with pytest.raises(ValueError, match=r"pass X="):
        CoverageTable.from_predictions(y, mean - 1, mean + 1, "region")
    with pytest.raises(ValueError, match=r"lengths"):
        CoverageTable.from_predictions(y, mean - 1, mean + 1, "std", std=std[:5])


def test_geographic_tables(survey):
    """Points of a GeoDataFrame are grouped in its CRS."""
    geopandas = pytest.importorskip("geopandas")
    points = geopandas.points_from_xy(survey.data["lon"], survey.data["lat"], crs="EPSG:4326")
    X = geopandas.GeoDataFrame(survey.data[["land_use"]], geometry=points)
    y, half_width = survey.target, np.ones(150)
    by = ["region", "distance", "land_use"]
    options = {"n_groups": 2, "X": X, "training_coordinates": X[:20]}
    geo = CoverageTable.from_predictions(y, y - half_width, y + half_width, by, **options)
    options |= {"X": survey.data, "training_coordinates": survey.data[:20]}
    plain = CoverageTable.from_predictions(y, y - half_width, y + half_width, by, **options)
    pd.testing.assert_frame_equal(geo.table, plain.table)
    assert geo.table["group"][geo.table["by"] == "distance"].str.endswith("km").all()


def test_text_forms(rows, model):
    """Markdown, HTML and repr have the same cells and name the worst group."""
    result = coverage_table(model, *rows, "soil", coverage=0.8)
    lines = result.to_markdown().splitlines()
    header = [cell.strip() for cell in lines[0].split("|")[1:-1]]
    assert header[:5] == ["by", "group", "n", "coverage (80 %)", "95 % limits"]
    assert len(lines) == 2 + 4 and len({len(line) for line in lines}) == 1
    assert repr(result).startswith(lines[0])
    note = repr(result).splitlines()[-1]
    assert note.startswith("Furthest below 80 %: soil peat, ") and "for 3 groups" in note
    page = result._repr_html_()
    assert page.count("<tr>") == 5 and "soil peat" in page
