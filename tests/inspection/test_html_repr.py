"""What a notebook and a print show of an estimator."""

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.inspection.html_repr import fitted_facts
from sptgnn_sklearn.table.schema import TableSchema

ODD = "<b>clay & silt</b>"


@pytest.fixture(scope="module")
def survey():
    survey = make_soil_survey(80, random_state=0)
    return survey.data.rename(columns={"cov_0": ODD}), survey.target


@pytest.fixture(scope="module")
def fitted(survey):
    settings = {"n_members": 2, "max_epochs": 2, "n_neighbors": 4, "random_state": 0}
    return SpTGNNRegressor(time="date", base=None, **settings).fit(*survey)


def test_a_print_names_what_was_changed_only(fitted):
    """It is scikit-learn's short form, fitted or not."""
    assert repr(SpTGNNRegressor()) == "SpTGNNRegressor()"
    expected = """SpTGNNRegressor(base=None, max_epochs=2, n_members=2, n_neighbors=4,
                random_state=0, time='date')"""
    assert repr(fitted) == repr(clone(fitted)) == expected


def test_a_notebook_shows_the_diagram_and_roles(fitted):
    """The table stands beneath the usual diagram, and odd names of columns do no harm."""
    html = fitted._repr_html_()
    assert "sptgnn-summary" in fitted._repr_mimebundle_()["text/html"]
    diagram, table = html.split('<table class="sptgnn-summary"')
    assert "sk-top-container" in diagram
    assert "lon, lat (EPSG:4326, distances in km)" in table
    assert "&lt;b&gt;clay &amp; silt&lt;/b&gt;" in table
    assert ODD not in html
    for name in ("time", "rows", "members", "held-out R²"):
        assert f">{name}</th>" in table
    with sklearn.config_context(display="text"):
        assert not hasattr(fitted, "_repr_html_")


def test_an_unfitted_estimator_has_no_table(fitted):
    """There is nothing to tell before a fit, nor of a copy."""
    for estimator in (SpTGNNRegressor(images={"DEM": "path"}), clone(fitted)):
        html = estimator._repr_html_()
        assert "sk-top-container" in html and "sptgnn-summary" not in html


def test_wrappers_show_their_own_diagram(fitted, survey):
    """Within a Pipeline and a search it is a box like any other, before and after the fit."""
    for step in (clone(fitted), fitted):
        assert "SpTGNNRegressor" in make_pipeline("passthrough", step)._repr_html_()
        assert "SpTGNNRegressor" in GridSearchCV(step, {"top_k": [1, 2]})._repr_html_()
    search = GridSearchCV(clone(fitted), {"top_k": [1]}, cv=2).fit(*survey)
    assert "SpTGNNRegressor" in search._repr_html_()


def test_held_out_skill_is_that_of_rows_a_member_left_out(fitted, survey):
    """R2 in the unit of y, of rows that one of the two members did not train on."""
    y = np.asarray(survey[1])
    parts, rows = fitted.ensemble_.training.folds, fitted._merged.rows
    out = rows[parts.held_out(0) | parts.held_out(1)]
    assert 0 < len(out) < 80
    error = ((y[out] - fitted.oob_prediction_[out]) ** 2).sum()
    r2 = 1 - error / ((y[out] - y[out].mean()) ** 2).sum()
    assert f">{r2:.2f}</td>" in fitted._repr_html_()


def test_facts_stay_short(survey):
    """Many covariates are cut, copies are counted, and what is absent is a dash."""
    X = survey[0].assign(**{f"band_{i}": np.arange(80.0) for i in range(50)})
    settings = {"relations": (), "streams": ("covariates",), "n_rows": 85, "n_members": 5}
    facts = fitted_facts(TableSchema.fit(X), **settings, weight=np.ones(80), r2=float("nan"))
    assert facts["covariates"].endswith("(61 in all)")
    assert len(facts["covariates"]) < 200
    assert (facts["rows"], facts["relations"]) == ("85, 80 distinct", "–")
    assert (facts["site"], facts["images"], facts["held-out R²"]) == ("–", "–", "–")
    assert "ignored" not in facts
