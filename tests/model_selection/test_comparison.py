"""Comparison of models: pooled scores, complete folds, and intervals."""

import numpy as np
import pandas as pd
import pytest
from joblib import cpu_count
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import FitFailedWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
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

from sptgnn_sklearn.metrics import (
    bias,
    concordance_correlation,
    interval_coverage,
    residual_morans_i,
    rpiq,
)
from sptgnn_sklearn.model_selection import (
    SpatialBlockKFold,
    compare_models,
    inverse_intensity_weights,
    score_differences,
    score_intervals,
)


class ConstantUncertainty(RegressorMixin, BaseEstimator):
    """Regressor with mean 0, standard deviation 2 and quantiles that equal their levels."""

    def fit(self, X, y):
        return self

    def predict(self, X, return_std=False):
        zeros = np.zeros(len(X))
        return (zeros, zeros + 2) if return_std else zeros

    def predict_quantiles(self, X, quantiles):
        return np.tile(quantiles, (len(X), 1))


def make_samples(n=60, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.uniform(size=(n, 3)), columns=["x", "y", "ndvi"])
    X.index = [f"sample {row}" for row in range(n)]
    return X, 2 * X["ndvi"] + np.sin(3 * X["x"]) + rng.normal(scale=0.1, size=n)


def compare(models, folds, X=None, y=None, **settings):
    if X is None:
        X, y = make_samples()
    return compare_models(models, X, y, folds, progress=False, **settings)


def test_scores_are_pooled_over_folds():
    """Each score equals that of scikit-learn's pooled out-of-fold predictions."""
    X, y = make_samples()
    folds = SpatialBlockKFold(4)
    table = compare({"line": LinearRegression()}, {"block": folds}).table.iloc[0]
    expected = cross_val_predict(LinearRegression(), X, y, cv=folds)
    assert table["R2"] == pytest.approx(r2_score(y, expected))
    assert table["RMSE"] == pytest.approx(root_mean_squared_error(y, expected))
    assert table["CCC"] == pytest.approx(concordance_correlation(y, expected))
    assert table["moran_i"] == pytest.approx(residual_morans_i(y, expected, X[["x", "y"]]))
    assert np.isnan(table["coverage"])


def test_parallel_folds_give_the_same_predictions():
    """Predictions of joblib workers equal those of one process, row by row."""
    models = {"line": LinearRegression(), "constant": ConstantUncertainty()}
    folds = {"block": SpatialBlockKFold(4)}
    one, two = compare(models, folds), compare(models, folds, n_jobs=2)
    pd.testing.assert_frame_equal(one.predictions, two.predictions)


class CountThreads(RegressorMixin, BaseEstimator):
    """Regressor that predicts the largest number of threads of a native library."""

    def fit(self, X, y):
        self.threads_ = max((pool["num_threads"] for pool in threadpool_info()), default=1)
        return self

    def predict(self, X):
        return np.full(len(X), self.threads_, dtype=float)


def test_workers_share_the_processors(monkeypatch):
    """The limit overrides environment variables that request more threads."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    result = compare({"count": CountThreads()}, {"block": SpatialBlockKFold(4)}, n_jobs=2)
    assert (result.predictions["mean"] == max(1, cpu_count() // 2)).all()


def test_predictions_keep_the_order_and_the_labels_of_rows():
    """Each row has the label, coordinates, target, fold and prediction of its row in X."""
    X, y = make_samples()
    folds = KFold(3, shuffle=True, random_state=0)
    result = compare({"line": LinearRegression()}, {"random": folds}).select("random", "line")
    assert result["row"].tolist() == X.index.tolist()
    np.testing.assert_array_equal(result[["x", "y"]], X[["x", "y"]])
    np.testing.assert_array_equal(result["observed"], y)
    for number, (train, test) in enumerate(folds.split(X)):
        assert (result["fold"].iloc[test] == number).all()
        model = LinearRegression().fit(X.iloc[train], y.iloc[train])
        np.testing.assert_allclose(result["mean"].iloc[test], model.predict(X.iloc[test]))


def test_table_has_one_row_per_folds_and_model():
    """All models are listed for the first kind of folds, then for the next."""
    models = {"line": LinearRegression(), "mean": DummyRegressor()}
    table = compare(models, {"random": KFold(3), "block": SpatialBlockKFold(3)}).table
    assert list(zip(table["folds"], table["model"], strict=True)) == [
        ("random", "line"), ("random", "mean"), ("block", "line"), ("block", "mean"),
    ]  # fmt: skip
    assert (table["fit_seconds"] > 0).all()


def test_intervals_are_quantiles_if_the_model_has_them():
    """predict_quantiles takes precedence over the normal interval."""
    X, y = make_samples()
    result = compare(
        {"constant": ConstantUncertainty()}, {"random": KFold(3)}, X, y - 1, coverage=0.8
    )
    rows = result.select("random", "constant")
    np.testing.assert_allclose(rows[["std", "lower", "upper"]], np.tile([2, 0.1, 0.9], (60, 1)))
    assert result.table["coverage"].iloc[0] == ((y - 1 >= 0.1) & (y - 1 <= 0.9)).mean()
    assert result.coverage == 0.8


def test_intervals_from_a_standard_deviation_are_normal():
    """A model with only return_std gets a normal interval."""
    gaussian = GaussianProcessRegressor(alpha=0.1)
    result = compare({"gp": gaussian}, {"random": KFold(3)})
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
    """Intervals of a wrapped model are used, and its transformers are applied."""
    gaussian = GaussianProcessRegressor(alpha=0.1)
    result = compare({"model": wrap(gaussian)}, {"random": KFold(3)}).select("random", "model")
    assert (result["std"] > 0).all()
    X, y = make_samples()
    expected = cross_val_predict(wrap(gaussian), X, y, cv=KFold(3))
    np.testing.assert_allclose(result["mean"], expected)


def test_transformed_targets_are_predicted_on_the_original_scale():
    """The regressor inside a TransformedTargetRegressor is not used on its own."""
    X, y = make_samples()
    model = TransformedTargetRegressor(
        LinearRegression(), func=np.negative, inverse_func=np.negative
    )
    result = compare({"model": model}, {"random": KFold(3)}, X, y).select("random", "model")
    expected = cross_val_predict(model, X, y, cv=KFold(3))
    np.testing.assert_allclose(result["mean"], expected)


def test_transformed_targets_have_intervals():
    """Limits are those of the log scale, transformed back."""
    X, y = make_samples()
    y = np.exp(y)
    gaussian = GaussianProcessRegressor(alpha=0.1)
    model = TransformedTargetRegressor(gaussian, func=np.log, inverse_func=np.exp)
    rows = compare({"model": model}, {"random": KFold(3)}, X, y).select("random", "model")
    plain = compare({"model": gaussian}, {"random": KFold(3)}, X, np.log(y))
    logarithms = plain.select("random", "model")
    for limit in ("lower", "upper"):
        np.testing.assert_allclose(rows[limit], np.exp(logarithms[limit]))
    assert rows["std"].isna().all()  # not defined through a nonlinear transform


def test_training_mean_has_no_intervals():
    """DummyRegressor ignores text columns; a standard deviation of zero gives no interval."""
    X, y = make_samples()
    X = X.assign(soil="clay")
    result = compare({"mean": DummyRegressor()}, {"random": KFold(3)}, X, y)
    assert np.isnan(result.table["coverage"].iloc[0])
    assert result.select("random", "mean")[["std", "lower", "upper"]].isna().all(axis=None)
    assert result.table["R2"].iloc[0] < 0


def test_all_forms_of_folds_give_the_same_predictions():
    """A splitter, labels and pairs of the same folds are equivalent."""
    X, y = make_samples()
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
    result = compare({"line": LinearRegression()}, kinds, X, y)
    means = [result.select(kind, "line")["mean"] for kind in kinds]
    for mean in means[1:]:
        np.testing.assert_array_equal(mean, means[0])


def test_buffered_rows_are_not_trained_on():
    """With a buffer, models are fitted to the training rows of the splitter."""
    X, y = make_samples()
    sizes = []

    class Counter(LinearRegression):
        def fit(self, X, y):
            sizes.append(len(X))
            return super().fit(X, y)

    compare({"line": Counter()}, {"block": SpatialBlockKFold(3, buffer=0.1)}, X, y)
    expected = [len(train) for train, _ in SpatialBlockKFold(3, buffer=0.1).split(X)]
    assert sizes == expected
    assert sum(sizes) < 2 * len(X)


def test_models_are_cloned():
    """The models passed are not fitted."""
    model = LinearRegression()
    compare({"line": model}, {"random": KFold(3)})
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (ShuffleSplit(2, random_state=0), "exactly once"),
        ([(np.arange(30), np.arange(30, 60))], "30 of 60 rows are in no test set"),
        (np.where(np.arange(60) < 3, np.nan, 1.0), "3 missing"),
        (np.zeros(60), "60 labels of 1 folds"),
        (None, "found None"),
    ],
)
def test_incomplete_folds_raise(folds, message):
    """The error names the kind of folds and what was found."""
    with pytest.raises(ValueError, match=rf"^folds\['random'\] .*{message}"):
        compare({"line": LinearRegression()}, {"random": folds})


def test_invalid_arguments_are_named():
    """Different lengths, unknown options and unknown names have their own messages."""
    X, y = make_samples()
    line = {"line": LinearRegression()}
    with pytest.raises(ValueError, match="60 rows and y 59"):
        compare(line, {"random": KFold(3)}, X, y[:-1])
    with pytest.raises(ValueError, match=r"coverage .*found 90; did you mean 0\.9\?"):
        compare(line, 5, coverage=90)
    with pytest.raises(ValueError, match="error_score must be 'raise' or nan; found 0"):
        compare(line, 5, error_score=0)
    with pytest.raises(ValueError, match="on_interrupt must be 'raise' or 'return'; found 'keep'"):
        compare(line, 5, on_interrupt="keep")
    with pytest.raises(ValueError, match=r"site='sit' is not a column.*did you mean 'site'\?"):
        compare(line, 5, X.assign(site=1), y, site="sit")
    result = compare({"line": LinearRegression()}, {"random": KFold(3)})
    with pytest.raises(ValueError, match="one of \\['line'\\]"):
        result.select("random", "lime")
    with pytest.raises(ValueError, match="one of \\['random'\\]"):
        result.select("block", "line")


def test_arrays_have_positions_as_labels():
    """The first two columns of an array are the coordinates."""
    X, y = make_samples()
    folds = {"random": GroupKFold(3).split(X, y, groups=np.arange(60))}
    result = compare({"line": LinearRegression()}, folds, X.to_numpy(), y.to_numpy())
    predictions = result.select("random", "line")
    assert predictions["row"].tolist() == list(range(60))
    np.testing.assert_array_equal(predictions["x"], X["x"])
    assert result.axes == ("0", "1")
    assert not result.reference.geographic


def test_coordinates_and_crs_reach_morans_i():
    """Moran's I uses the named columns, and great circles for a geographic CRS."""
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
    result = compare(
        {"mean": DummyRegressor()}, folds, X, y, coordinates=("E", "N"), crs=4326, n_neighbors=5
    )
    rows = result.select("random", "mean")
    expected = residual_morans_i(y, rows["mean"], X[["E", "N"]], crs=4326, n_neighbors=5)
    assert result.table["moran_i"].iloc[0] == pytest.approx(expected)
    assert expected > 0.5
    assert result.reference.geographic
    assert result.axes == ("E", "N")


def test_markdown_columns_are_aligned():
    """There is one line per row, and a dash for a model without intervals."""
    text = compare(
        {"line": LinearRegression(), "constant": ConstantUncertainty()}, {"random": KFold(3)}
    ).to_markdown()
    lines = text.splitlines()
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
    assert "coverage (90 %)" in lines[0]
    assert set(lines[1]) <= set("|-: ")
    assert "–" in lines[2]
    assert "–" not in lines[3]


@pytest.mark.parametrize(("scale", "digits"), [(1e-3, 7), (1.0, 4), (1e5, 0)])
def test_markdown_shows_rmse_with_four_digits(scale, digits):
    """The number of decimals depends on the unit of the target and is the same in all rows."""
    X, y = make_samples()
    models = {"constant": ConstantUncertainty(), "mean": DummyRegressor()}
    result = compare(models, {"random": KFold(3)}, X, scale * y)
    position = [cell.strip() for cell in result.to_markdown().split("|")].index("RMSE")
    for line, rmse in zip(result.to_markdown().splitlines()[2:], result.table["RMSE"], strict=True):
        assert line.split("|")[position].strip() == f"{rmse:.{digits}f}"


def test_progress_bar(capsys):
    """The bar on stderr names folds and model; progress=False prints nothing."""
    X, y = make_samples()
    folds = {"random": KFold(3)}
    compare_models({"line": LinearRegression()}, X, y, folds, progress=False)
    assert capsys.readouterr() == ("", "")
    compare_models({"line": LinearRegression()}, X, y, folds)
    out, err = capsys.readouterr()
    assert out == ""
    assert "random folds, line" in err
    assert "3/3" in err


def test_further_scores():
    """ME, MAE and RPIQ are those of the metrics, of the pooled predictions."""
    rows = (result := compare(LinearRegression(), 4)).select("random", "LinearRegression")
    scores = result.table.iloc[0]
    assert result.table.columns.tolist() == [
        "folds", "model", "R2", "R2_std_error", "RMSE", "RMSE_std_error", "MAE", "ME", "CCC",
        "RPIQ", "moran_i", "coverage", "fit_seconds",
    ]  # fmt: skip
    assert scores["MAE"] == np.abs(rows["mean"] - rows["observed"]).mean()
    assert scores["ME"] == bias(rows["observed"], rows["mean"])
    assert scores["RPIQ"] == rpiq(rows["observed"], rows["mean"])


def test_random_folds_hold_out_locations_and_sites():
    """Rows of one location or site share a fold of folds given by number or name."""
    X, y = make_samples()
    X = pd.concat([X, X]).reset_index(drop=True)
    X["site"] = np.arange(120) // 4 % 10
    y = pd.concat([y, y]).to_numpy()
    model = make_pipeline("passthrough", LinearRegression())
    for folds in (4, "random"):
        fold = compare(model, folds, X, y).select("random", "Pipeline")["fold"].to_numpy()
        np.testing.assert_array_equal(fold[:60], fold[60:])
        assert len(np.unique(fold)) == (4 if folds == 4 else 5)
    by_site = compare(model, 4, X, y, site="site").predictions
    assert (by_site.groupby(X["site"])["fold"].nunique() == 1).all()
    first, again, other = (
        compare(model, 4, X, y, random_state=seed).predictions["fold"] for seed in (0, 0, 1)
    )
    assert first.equals(again) and not first.equals(other)


class Unreliable(LinearRegression):
    """A regressor that fails, or is interrupted, if a row is in its training rows."""

    fits = 0

    def __init__(self, row=0.0, error="value"):
        super().__init__()
        self.row = row
        self.error = error

    def fit(self, X, y):
        type(self).fits += 1
        if self.row in X["ndvi"].to_numpy():
            raise {"value": ValueError("bad row"), "interrupt": KeyboardInterrupt()}[self.error]
        return super().fit(X, y)


def test_failed_fits_are_recorded():
    """The scores of the model are NaN, its other folds and the other models are finished."""
    X, y = make_samples()
    models = {"bad": Unreliable(X["ndvi"].iloc[-1]), "line": LinearRegression()}
    with pytest.raises(ValueError, match="bad row") as caught:
        compare(models, {"random": KFold(3)}, X, y)
    assert "fit 0 of model 'bad' on 'random' folds" in caught.value.__notes__[0]
    with pytest.warns(FitFailedWarning, match=r"Fit [01] of 'bad' .* ValueError: bad row"):
        result = compare(models, {"random": KFold(3)}, X, y, error_score=np.nan)
    scores = result.table.set_index("model")
    assert scores.loc["bad", ["R2", "coverage"]].isna().all()
    assert scores.loc["line", "R2"] > 0
    assert result.failures[["model", "fold"]].to_numpy().tolist() == [["bad", 0], ["bad", 1]]
    assert result.failures["error"].tolist() == ["ValueError: bad row"] * 2
    rows = result.select("random", "bad")
    assert rows["mean"].isna().tolist() == [True] * 40 + [False] * 20
    assert result.n_fits_done == result.n_fits == 6
    assert "2 failed" in repr(result)


def test_interrupted_comparisons_keep_the_finished_part(tmp_path):
    """The interrupt is raised, or the finished part is returned; the rest is fitted later."""
    X, y = make_samples()
    stop = Unreliable(X["ndvi"].iloc[0], error="interrupt")  # in fold 0, so not in its training
    models, folds = {"line": LinearRegression(), "stop": stop}, {"random": KFold(3)}
    with pytest.raises(KeyboardInterrupt):
        compare(models, folds, X, y, checkpoint=tmp_path)
    part = compare(models, folds, X, y, checkpoint=tmp_path, on_interrupt="return")
    assert (part.n_fits, part.n_fits_done, part.n_fits_reused) == (6, 4, 4)
    assert part.table["model"].tolist() == ["line"]
    assert part.predictions.groupby("model").size().to_dict() == {"line": 60, "stop": 20}
    assert "4 of 6 fits" in repr(part) and "4 of 6 fits" in part._repr_html_()
    first = compare(
        {"stop": stop.set_params(row=X["ndvi"].iloc[-1])}, folds, X, y, on_interrupt="return"
    )
    assert first.n_fits_done == 0 and first.table.empty and first.predictions.empty
    assert "0 of 3 fits" in repr(first) and "0 of 3 fits" in first._repr_html_()


def test_checkpoints_are_reused_by_the_same_call_only(tmp_path):
    """A changed table, target, parameter, fold or coverage is fitted again."""
    X, y = make_samples()
    counted = Unreliable()

    def fits(model=counted, cv=3, X=X, y=y, **settings):
        Unreliable.fits = 0
        result = compare({"a": model}, {"k": cv}, X, y, checkpoint=tmp_path, **settings)
        assert result.n_fits_reused == 3 - Unreliable.fits
        return Unreliable.fits, result

    first, expected = fits()
    again, result = fits()
    assert (first, again) == (3, 0)
    pd.testing.assert_frame_equal(result.predictions, expected.predictions)
    pd.testing.assert_frame_equal(result.table, expected.table)
    assert fits(X=X.copy(), y=list(y))[0] == 0
    assert fits(X=X.assign(ndvi=X["ndvi"].where(X.index != "sample 7", 0.5)))[0] == 3
    assert fits(X=X.rename(columns={"ndvi": "NDVI"}).assign(ndvi=0.5))[0] == 3
    assert fits(y=y + 1e-9)[0] == 3
    assert fits(model=Unreliable(row=2.0))[0] == 3
    assert fits(cv=KFold(3))[0] == 3
    assert fits(coverage=0.8)[0] == 3
    assert fits()[0] == 0
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("damage", ["truncated", "foreign", "other fit"])
def test_damaged_checkpoints_are_refused(tmp_path, damage):
    """The error names the file and what to do."""
    X, y = make_samples()
    settings = {"models": LinearRegression(), "folds": {"k": KFold(3)}, "X": X, "y": y}
    compare(**settings, checkpoint=tmp_path)
    paths = sorted(tmp_path.iterdir())
    content = {
        "truncated": paths[0].read_bytes()[:-9],
        "foreign": b"row,fold\n1,2\n",
        "other fit": paths[1].read_bytes(),
    }[damage]
    paths[0].write_bytes(content)
    with pytest.raises(ValueError, match=f"{paths[0].name}' is damaged or not one of.*delete it"):
        compare(**settings, checkpoint=tmp_path)
    paths[0].unlink()
    assert compare(**settings, checkpoint=tmp_path).n_fits_reused == 2


def test_repr_and_html_show_the_scores():
    """Both have a row per model; names are escaped."""
    result = compare([("<line>", LinearRegression()), ("mean", DummyRegressor())], 3)
    assert repr(result).startswith(result.to_markdown())
    html = result._repr_html_()
    assert "&lt;line&gt;" in html and "<line>" not in html
    assert html.count("<tr>") == 3
    assert "coverage (90 %)" in html and "60 rows, 6 of 6 fits" in html


def test_standard_errors_are_those_of_the_functions():
    """The table, scores() and differences() agree with score_intervals and score_differences."""
    X, y = make_samples()
    X["site"] = np.arange(60) // 2
    models = {"line": LinearRegression(), "mean": DummyRegressor()}
    result = compare(models, {"random": KFold(3), "block": SpatialBlockKFold(3)}, X, y, site="site")
    scores, differences = result.scores(0.8), result.differences(confidence=0.8)
    assert scores[["folds", "model"]].drop_duplicates().to_numpy().tolist() == [
        ["random", "line"], ["random", "mean"], ["block", "line"], ["block", "mean"],
    ]  # fmt: skip
    assert differences[["folds", "model", "reference"]].drop_duplicates().to_numpy().tolist() == [
        ["random", "mean", "line"], ["block", "mean", "line"],
    ]  # fmt: skip
    xy, settings = X[["x", "y"]], {"site": X["site"], "confidence": 0.8}
    line, mean = (result.select("block", name)["mean"] for name in models)
    settings["folds"] = result.select("block", "line")["fold"]
    own = scores.query("folds == 'block' and model == 'line'").set_index("score")
    expected = score_intervals(y, line, xy, **settings)
    pd.testing.assert_frame_equal(own[expected.columns], expected, check_names=False)
    paired = differences.query("folds == 'block'").set_index("score")
    expected = score_differences(y, mean, line, xy, **settings)
    pd.testing.assert_frame_equal(paired[expected.columns], expected, check_names=False)
    table = result.table.set_index(["folds", "model"]).loc[("block", "line")]
    assert table["R2_std_error"] == pytest.approx(own.loc["R2", "std_error"])
    assert table["RMSE_std_error"] == pytest.approx(own.loc["RMSE", "std_error"])
    assert f"{table['R2']:.3f} ± {table['R2_std_error']:.3f}" in result.to_markdown()
    assert "R² ± standard error" in repr(result)


def test_differences_have_any_reference():
    """Differences change sign with the reference; unknown names are answered with similar ones."""
    result = compare({"line": LinearRegression(), "mean": DummyRegressor()}, 3)
    first, second = result.differences(), result.differences("mean")
    assert (first["reference"] == "line").all() and (second["reference"] == "mean").all()
    np.testing.assert_allclose(first["estimate"], -second["estimate"])
    with pytest.raises(ValueError, match=r"^reference='men' .* did you mean 'mean'\?"):
        result.differences("men")
    with pytest.raises(ValueError, match=r"^confidence must lie between 0 and 1; found 2"):
        result.scores(2)
    assert compare(LinearRegression(), 3).differences().empty


def test_failed_models_have_no_errors():
    """Scores, errors and differences of a failed model are NaN."""
    X, y = make_samples()
    models = {"line": LinearRegression(), "bad": Unreliable(X["ndvi"].iloc[-1])}
    with pytest.warns(FitFailedWarning):
        result = compare(models, {"random": KFold(3)}, X, y, error_score=np.nan)
    scores = result.scores().set_index("model")
    assert scores.loc["bad", ["estimate", "std_error"]].isna().all(axis=None)
    assert scores.loc["line", "std_error"].notna().all()
    assert result.differences()["estimate"].isna().all()
    assert "±" not in result.to_markdown().splitlines()[3]


def test_weights_equal_repeated_rows_in_all_scores():
    """A weight of 2 is the row twice, for all scores but Moran's I; fits have no weights."""
    X, y = make_samples()
    weight = np.random.default_rng(0).integers(1, 3, size=60)
    model, folds = LinearRegression(), {"random": KFold(3)}
    weighted = compare(model, folds, X, y, sample_weight=weight)
    assert weighted.predictions["weight"].tolist() == weight.tolist()
    plain = compare(model, folds, X, y)
    pd.testing.assert_series_equal(weighted.predictions["mean"], plain.predictions["mean"])
    repeated = plain.predictions.loc[np.repeat(np.arange(60), weight)]
    observed, mean = repeated["observed"], repeated["mean"]
    table = weighted.table.iloc[0]
    assert table["R2"] == pytest.approx(r2_score(observed, mean))
    assert table["RMSE"] == pytest.approx(root_mean_squared_error(observed, mean))
    assert table["MAE"] == pytest.approx(mean_absolute_error(observed, mean))
    assert table["ME"] == pytest.approx(bias(observed, mean))
    assert table["CCC"] == pytest.approx(concordance_correlation(observed, mean))
    assert table["RPIQ"] == pytest.approx(rpiq(observed, mean, sample_weight=np.ones(len(mean))))
    assert table["moran_i"] == plain.table["moran_i"].iloc[0]
    estimates = weighted.scores().set_index("score")["estimate"]
    np.testing.assert_allclose(estimates, table[estimates.index].astype(float))
    uncertain = compare(ConstantUncertainty(), folds, X, y, sample_weight=weight)
    inside = observed.between(0.05, 0.95)
    assert uncertain.table["coverage"].iloc[0] == pytest.approx(inside.mean())


def test_weights_by_the_inverse_intensity():
    """They are those of the function, with the coordinates and the CRS of the comparison."""
    X, y = make_samples()
    X = X.rename(columns={"x": "E", "y": "N"})
    settings = {"coordinates": ("E", "N"), "crs": 4326}
    result = compare(LinearRegression(), 3, X, y, sample_weight="inverse_intensity", **settings)
    expected = inverse_intensity_weights(X, **settings)
    np.testing.assert_array_equal(result.predictions["weight"], expected)
    assert np.ptp(expected) > 0.1


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ("inverse", r"^sample_weight must be 'inverse_intensity', None .* found 'inverse'"),
        (np.ones(3), r"^sample_weight must hold 60 values; found 3"),
        (-np.ones(60), r"^sample_weight must hold no negative"),
    ],
)
def test_invalid_weights_are_named(weight, message):
    """Before any model is fitted."""
    with pytest.raises(ValueError, match=message):
        compare(LinearRegression(), 3, sample_weight=weight)
