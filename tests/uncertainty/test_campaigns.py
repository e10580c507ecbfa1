"""Shifts of campaigns as a part of the correlation of errors."""

import numpy as np
import pandas as pd
import pytest
from saved_models import X, Y, make_model

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.estimation import estimate_change
from sptgnn_sklearn.table.categories import campaign_keys
from sptgnn_sklearn.uncertainty.campaigns import CampaignShifts, in_same_campaign
from sptgnn_sklearn.uncertainty.error_correlogram import ErrorCorrelogram

LABS = np.array(["A", "B", "C"], dtype=object)


def survey_with_shifts(seed, share, n=600, n_campaigns=10):
    """Return scores, places, dates and keys; campaigns follow one another in time."""
    rng = np.random.default_rng(seed)
    places, time = rng.uniform(0, 100, size=(n, 2)), np.sort(rng.uniform(2000, 2020, n))
    campaign = np.arange(n) * n_campaigns // n
    keys = campaign_keys(campaign.astype(object))
    known = ErrorCorrelogram(0.3 * (1 - share), 30.0)
    noise = known.draw(places, None, np.arange(n, dtype=np.uint64), 1, seed)[:, 0]
    shifts = rng.normal(size=n_campaigns)[campaign]
    return np.sqrt(1 - share) * noise + np.sqrt(share) * shifts, places, time, keys


def fit(score, places, time, keys):
    return ErrorCorrelogram.fit(score, places, time, np.random.RandomState(0), campaign=keys)


def test_share_of_campaigns_is_recovered():
    """On average of six surveys; and nearly none without shifts."""
    found = [fit(*survey_with_shifts(seed, 0.3)).campaign_share for seed in range(6)]
    assert np.mean(found) == pytest.approx(0.3, abs=0.12)
    none = [fit(*survey_with_shifts(seed, 0.0)).campaign_share for seed in range(6)]
    assert np.median(none) < 0.03


def test_one_campaign_has_no_shift_of_its_own():
    """The level of the errors contains it."""
    score, places, time, _ = survey_with_shifts(0, 0.3)
    fitted = fit(score, places, time, np.full(len(score), 5, dtype=np.uint64))
    assert fitted.campaigns is None and fitted.campaign_share == 0
    assert fit(score, places, time, np.zeros(len(score), dtype=np.uint64)).campaigns is None


def test_labels_of_few_pairs_have_no_share():
    """Ids of rows, of which hardly any are equal, and labels of rows without dates."""
    rng = np.random.default_rng(0)
    n = 1000
    score, places = rng.normal(size=n), rng.uniform(0, 100, (n, 2))
    time = rng.uniform(2000, 2020, n)
    ids = np.r_[[1, 1, 2, 2], np.arange(3, n - 1)].astype(np.uint64)
    assert fit(score, places, time, ids).campaign_share == 0
    undated = np.where(np.arange(n) < 100, np.nan, time)
    labels = np.where(np.arange(n) < 100, np.arange(n) % 2 + 1, 0).astype(np.uint64)
    assert fit(score, places, undated, labels).campaign_share == 0
    few = slice(0, 20)
    assert fit(score[few], places[few], time[few], ids[few] % 2 + 1).campaign_share == 0


def test_rows_without_label_get_the_nearest_campaign():
    """In time and place; without a date in place alone."""
    keys = np.repeat(np.array([3, 4, 5], dtype=np.uint64), 2)
    places = np.array([[0.0, 0], [0, 1], [0, 0], [0, 1], [50, 0], [50, 1]])
    time = np.array([2000.0, 2001, 2010, 2011, 2000, 2001])
    shifts = CampaignShifts.from_rows(keys, places, time)
    rows = np.array([[0.0, 0], [0, 0], [60, 0], [60, 0], [0, 0]])
    when = np.array([1999.0, 2012, 1999, np.nan, 1999])
    own = np.array([0, 0, 0, 0, 77], dtype=np.uint64)
    assert shifts.assign(own, rows, when).tolist() == [3, 4, 5, 5, 77]
    undated = CampaignShifts.from_rows(keys, places, None)
    assert undated.assign(None, rows[[2]], None).tolist() == [5]


def test_rows_of_a_campaign_share_its_shift():
    """In any call, also those of campaigns that the training rows do not have."""
    known = CampaignShifts(0.25, np.array([1], dtype=np.uint64), np.zeros((1, 3)), np.ones(3))
    correlogram = ErrorCorrelogram(0.2, 1.0, campaigns=known)
    places = np.array([[0.0, 0], [500, 0], [0, 900]])
    noise = np.arange(3, dtype=np.uint64)
    keys = campaign_keys(np.array(["A", "B", "A"], dtype=object))
    draws = correlogram.draw(places, None, noise, 20_000, 1, keys)
    expected = np.array([[1, 0, 0.25], [0, 1, 0], [0.25, 0, 1]])
    np.testing.assert_allclose(np.cov(draws), expected, atol=0.03)
    alone = correlogram.draw(places[[2]], None, noise[[2]], 20_000, 1, keys[[2]])
    np.testing.assert_allclose(draws[[2]], alone, atol=1e-12)
    unlabeled = correlogram.draw(places, None, noise, 20_000, 1)
    assert np.corrcoef(unlabeled)[0, 1] == pytest.approx(0.25, abs=0.03)


def test_unknown_campaigns_are_not_the_same():
    keys = np.array([1, 0, 1, 0], dtype=np.uint64)
    found = in_same_campaign(keys, 4)
    assert found.sum() == 4 and found[0, 2] and not found[1, 3]
    assert not in_same_campaign(None, 3).any()


def shifted_survey():
    """Return a table of campaigns of three years each, and a target with their shifts."""
    years = X["date"].dt.year
    lab = ("lab " + (years // 3).astype(str)).to_numpy(dtype=object)
    levels, index = np.unique(lab, return_inverse=True)
    return X.assign(lab=lab), Y + np.random.default_rng(0).normal(0, 6, len(levels))[index]


def test_model_with_campaigns(tmp_path):
    """Predictions do not depend on the label; joint draws and estimates of change do."""
    table, y = shifted_survey()
    model = make_model(campaign="lab").fit(table, y)
    shares = model.ensemble_.postprocessor.correlation
    assert shares.campaign_share > 0 and shares.year_share == 0
    assert "lab" not in {*model.columns_.categorical, *model.columns_.numeric}
    assert "campaign" in model._repr_html_()
    other = table.assign(lab="new")
    np.testing.assert_array_equal(model.predict(table), model.predict(other))
    np.testing.assert_array_equal(model.predict(table), model.predict(table.drop(columns="lab")))
    with pytest.raises(ValueError, match="soil"):  # a covariate
        model.predict(table.drop(columns=["lab", "soil"]))
    draws = model.sample_y(other, 4000, random_state=0)
    missing = model.sample_y(other.assign(lab=None), 4000, random_state=0)
    assert draws.mean(axis=0).std() > missing.mean(axis=0).std()

    cells = table.head(30).drop(columns=["date", "lab"])
    dates = {"before": "2006-07-01", "after": "2019-07-01"}

    def change(**labs):
        """Return the standard deviation of the change between the dates."""
        tables = [cells.assign(date=date, lab=labs[name]) for name, date in dates.items()]
        return estimate_change(model, *tables)["std"].iloc[0]

    same, differ = change(before="a", after="a"), change(before="a", after="b")
    without = estimate_change(model, *dates.values(), cells=cells)["std"].iloc[0]
    assert same < 0.9 * differ
    assert same < without < 1.1 * differ

    model.save(tmp_path / "m.safetensors")
    loaded = SpTGNNRegressor.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(
        loaded.sample_y(other, 3, random_state=0), model.sample_y(other, 3, random_state=0)
    )


@pytest.mark.filterwarnings("ignore:Without training data")
def test_private_files_have_no_centers_of_campaigns(tmp_path):
    """Campaigns may have few rows; their share becomes that of years."""
    table, y = shifted_survey()
    model = make_model(campaign="lab").fit(table, y)
    model.save(tmp_path / "m", training_data=False)
    shared = SpTGNNRegressor.load(tmp_path / "m")
    found = shared.ensemble_.postprocessor.correlation
    assert found.campaigns is None
    assert found.year_share == model.ensemble_.postprocessor.correlation.campaign_share
    assert np.isfinite(shared.sample_y(table, 3, random_state=0)).all()


def test_labels_are_compared_as_text():
    """Numbers of a column with gaps are floats."""
    first = campaign_keys(np.array([1, 2, None], dtype=object))
    second = campaign_keys(np.array(pd.Series([1.0, 2.0, np.nan]).astype(object)))
    assert first[0] == second[0] and first[1] == second[1] and first[2] == 0
