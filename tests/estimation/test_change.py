"""Change between two dates, against closed forms for known correlations of errors."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from known_draws import KnownDraws, cell_table, known_model
from scipy.stats import norm
from sklearn.pipeline import make_pipeline

from sptgnn_sklearn import AreaOfApplicability, SpTGNNRegressor
from sptgnn_sklearn.estimation import estimate, estimate_change
from sptgnn_sklearn.estimation.change import persistent_draws
from sptgnn_sklearn.table.schema import TableSchema

N_SAMPLES = 300  # more than the orthogonal vectors of the draws


def tables(n_cells=10, **columns):
    """Return the cells of 2012, and of 2020 with larger means."""
    first = cell_table(n_cells, **columns)
    return first, first.assign(year=2020.0, value=first["value"] + 0.3)


def change_of(model, *arguments, **settings):
    return estimate_change(model, *arguments, n_samples=N_SAMPLES, **settings)


@pytest.mark.parametrize("time_correlation", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_std_of_change_has_its_closed_form(time_correlation, share):
    """Var = 2 s2 (share (1 - r) + (1 - share) / n) for a common error of correlation r."""
    model = known_model(std=0.8, share=share, time_correlation=time_correlation)
    row = change_of(model, *tables(10)).iloc[0]
    variance = 2 * 0.64 * (share * (1 - time_correlation) + (1 - share) / 10)
    assert row["estimate"] == pytest.approx(0.3)
    assert row["after"] - row["before"] == pytest.approx(0.3)
    assert row["std"] == pytest.approx(np.sqrt(variance), abs=1e-9)


def test_bounds_have_their_closed_forms():
    """Independent errors add their variances; persistent ones leave the difference of stds."""
    model = known_model(std=0.8, std_after=1.1, share=0.5)
    first, second = tables(10)
    row = change_of(model, first, second).iloc[0]
    mean_share = 0.5 + 0.5 / 10
    independent = np.sqrt((0.8**2 + 1.1**2) * mean_share)
    # Draws of two seeds are correlated by chance.
    assert row["std_independent"] == pytest.approx(independent, rel=0.15)
    assert row["std_persistent"] == pytest.approx((1.1 - 0.8) * np.sqrt(mean_share))
    assert row["std_persistent"] < row["std"] < row["std_independent"]
    same = change_of(known_model(std=0.8), first, second).iloc[0]
    assert same["std_persistent"] == pytest.approx(0, abs=1e-9)


def test_columns_derived_from_the_draws():
    """Signal to noise, detectable difference, probabilities and limits of the change."""
    model = known_model(std=0.3, share=1.0, time_correlation=0.5)
    first, second = tables(5)
    settings = {"level": 0.1, "power": 0.9, "below": 0.2, "above": [0.2, 0.4], "coverage": 0.5}
    row = change_of(model, first, second, **settings).iloc[0]
    both = model.sample_y(pd.concat([first, second]), N_SAMPLES, random_state=0)
    draws = both[5:].mean(axis=0) - both[:5].mean(axis=0)
    assert row["std"] == pytest.approx(0.3)
    assert row["signal_to_noise"] == pytest.approx(1)
    factor = norm.ppf(0.95) + norm.ppf(0.9)
    assert row["minimum_detectable_difference"] == pytest.approx(0.3 * factor)
    assert row["probability_of_increase"] == pytest.approx((draws > 0).mean())
    np.testing.assert_allclose(row[["lower", "upper"]], np.quantile(draws, [0.25, 0.75]))
    shares = [(draws < 0.2).mean(), (draws > 0.2).mean(), (draws > 0.4).mean()]
    np.testing.assert_allclose(row[["p<0.2", "p>0.2", "p>0.4"]], shares)


def test_total_and_streaming():
    """Totals are means times areas; blocks give the same table."""
    first, second = tables(12, farm=list("aabbaabbccca"), ha=np.arange(1.0, 13))
    mean = change_of(known_model(), first, second, "farm", weights="ha")
    total = change_of(known_model(), first, second, "farm", weights="ha", statistic="total")
    area = first.groupby("farm")["ha"].sum()
    for name in ("estimate", "std", "std_independent", "std_persistent", "before", "upper"):
        np.testing.assert_allclose(total[name], mean[name] * area, atol=1e-9)
    np.testing.assert_allclose(total["signal_to_noise"], mean["signal_to_noise"])
    blocks = [iter([table[:5], table[5:]]) for table in (first, second)]
    streamed = change_of(known_model(), *blocks, "farm", weights="ha", block_rows=3)
    pd.testing.assert_frame_equal(streamed, mean, atol=1e-9)


def test_dates_of_one_table_equal_two_tables():
    """The column of dates is replaced, also in blocks, and may be missing."""
    model, first, second = dated_model()
    two = change_of(model, first, second)
    table = first.drop(columns="year")
    for cells in (table, first.assign(year=1900), iter([table[:4], table[4:]])):
        one = change_of(model, 2012, 2020, cells=cells)
        pd.testing.assert_frame_equal(one, two)
    pipe = make_pipeline("passthrough", model)
    pd.testing.assert_frame_equal(change_of(pipe, 2012, 2020, cells=table), two)


class DatedDraws(KnownDraws):
    """Known draws of a regressor with the column roles of this package."""

    def __init__(self, roles=None):
        super().__init__()
        self.roles = roles

    def fit(self, X, y=None):
        self.columns_ = self.roles
        return super().fit(X, y)


def dated_model():
    """Return a model whose column of dates is known, and cells at two dates."""
    first = cell_table(9, value=np.linspace(1, 2, 9))
    schema, _ = TableSchema.fit_transform(
        first.assign(year=np.arange(2010.0, 2019)), coordinates=("x", "y"), time="year"
    )
    return DatedDraws(schema).fit(first), first, first.assign(year=2020.0)


def test_functions_are_differences_of_the_statistic():
    """The change of a maximum is the difference of both maxima, draw by draw."""
    first, second = tables(6)
    model = known_model(std=0.5)
    row = change_of(model, first, second, statistic=lambda v, w: v.max()).iloc[0]
    both = model.sample_y(pd.concat([first, second]), N_SAMPLES, random_state=0)
    draws = both[6:].max(axis=0) - both[:6].max(axis=0)
    assert row["estimate"] == pytest.approx(draws.mean())
    assert row["std"] == pytest.approx(draws.std(ddof=1))


def test_weights_zones_and_places_outside_of_the_area_at_either_date():
    """Cells without weight or zone are left out at both dates."""
    first, second = tables(6, farm=["a", "a", "b", None, "b", "a"])
    second["value"] = [2.0, 2.1, 9.0, 2.3, 2.4, 2.5]
    area = AreaOfApplicability(columns=["value"]).fit(cell_table(12))
    weights = np.array([1.0, 2, 3, 4, 0, 5])
    with pytest.warns(UserWarning, match="1 of 6 cells are in no zone"):
        table = change_of(known_model(), first, second, "farm", weights=weights, area=area)
    assert table["n_cells"].tolist() == [3, 1]
    assert table["outside_aoa"].tolist() == [0, 1]
    assert table.loc["b", "estimate"] == pytest.approx(9 - 2.2)


def test_persistent_draws_have_the_moments_of_the_second_date():
    """Their correlation with the first date is 1; constant rows are those of the second date."""
    rng = np.random.default_rng(0)
    before, after = rng.normal(2, 1, (3, 50)), rng.normal(5, 3, (3, 50))
    before[2] = 4.0
    found = persistent_draws(before, after)
    np.testing.assert_allclose(found.mean(axis=1), after.mean(axis=1))
    np.testing.assert_allclose(found.std(axis=1), after.std(axis=1))
    assert np.corrcoef(found[0], before[0])[0, 1] == pytest.approx(1)
    np.testing.assert_array_equal(found[2], after[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"after": tables(9)[1]}, "same cells in the same order; after has only 9 rows"),
        ({"after": tables(10)[1].assign(x=np.arange(10) * 10.0 + 1)}, r"at row position 0.*\(0.0"),
        ({"after": tables(10)[1][::-1]}, "at row position 0"),
        ({"before": 2012, "after": 2020}, "before must be the cells of a date.*cells="),
        ({"cells": tables()[0]}, "before must be a date, because cells is given"),
        ({"cells": tables()[0], "before": 2012, "after": 2020}, "no column of dates.*both dates"),
        ({"level": 5}, "level.*found 5.*0.05"),
        ({"power": [0.8]}, "power must be one number"),
        ({"statistic": "total"}, "weights"),
        ({"before": tables()[0][:0], "after": tables()[1][:0]}, "cells is empty"),
    ],
)
def test_invalid_arguments_raise(arguments, message):
    """Messages have the parameter and what was found."""
    first, second = tables(10)
    with pytest.raises(ValueError, match=message):
        estimate_change(known_model(), **{"before": first, "after": second, **arguments})


def test_models_without_dates_raise():
    """A model of this package without a column of dates cannot know a change."""
    X = cell_table()
    schema, _ = TableSchema.fit_transform(X[["x", "y", "value"]], coordinates=("x", "y"))
    model = DatedDraws(schema).fit(X)
    for arguments in ({"before": X, "after": X}, {"before": 1, "after": 2, "cells": X}):
        with pytest.raises(ValueError, match=r"no column of dates.*time="):
            estimate_change(model, **arguments)
    with pytest.raises(TypeError, match="has no sample_y"):
        estimate_change(gpd.GeoDataFrame(), X, X)


def test_fitted_model(survey):
    """A small fit: the change is that of predictions, and its std between both bounds."""
    model = SpTGNNRegressor(
        time="date", base_estimator=None, n_estimators=2, max_epochs=3, random_state=0
    ).fit(survey.data, survey.target)
    cells = survey.data.head(40)
    table = estimate_change(model, "2008-07-01", "2016-07-01", "land_use", cells=cells, weights=1)
    dated = [cells.assign(date=pd.Timestamp(f"{year}-07-01")) for year in (2008, 2016)]
    change = model.predict(dated[1]) - model.predict(dated[0])
    expected = pd.Series(change).groupby(cells["land_use"].to_numpy(dtype=object)).mean()
    np.testing.assert_allclose(table["estimate"], expected, rtol=1e-4, atol=1e-5)
    before = estimate(model, dated[0], "land_use", weights=1)
    np.testing.assert_allclose(table["before"], before["estimate"], rtol=1e-5)
    assert (table["std_persistent"] < 1.2 * table["std"]).all()
    assert (table["std"] < 1.3 * table["std_independent"]).all()
