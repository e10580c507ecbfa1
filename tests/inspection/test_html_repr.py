"""Text and HTML representation of estimators."""

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

SPECIAL_NAME = "<b>clay & silt</b>"


@pytest.fixture(scope="module")
def named_survey():
    survey = make_soil_survey(80, random_state=0)
    return survey.data.rename(columns={"cov_0": SPECIAL_NAME}), survey.target


@pytest.fixture(scope="module")
def fitted(named_survey):
    settings = {"n_estimators": 2, "max_epochs": 2, "n_neighbors": 4, "random_state": 0}
    return SpTGNNRegressor(time="date", base_estimator=None, **settings).fit(*named_survey)


def test_repr_shows_changed_parameters(fitted):
    """The representation is scikit-learn's short form, fitted or not."""
    assert repr(SpTGNNRegressor()) == "SpTGNNRegressor()"
    expected = """SpTGNNRegressor(base_estimator=None, max_epochs=2, n_estimators=2,
                n_neighbors=4, random_state=0, time='date')"""
    assert repr(fitted) == repr(clone(fitted)) == expected


def test_html_shows_the_diagram_and_roles(fitted):
    """The table is below scikit-learn's diagram, and names of columns are escaped."""
    html = fitted._repr_html_()
    assert "sptgnn-summary" in fitted._repr_mimebundle_()["text/html"]
    diagram, table = html.split('<table class="sptgnn-summary"')
    assert "sk-top-container" in diagram
    assert "lon, lat (EPSG:4326, distances in km)" in table
    assert "&lt;b&gt;clay &amp; silt&lt;/b&gt;" in table
    assert SPECIAL_NAME not in html
    for name in ("time", "rows", "members", "held-out R²"):
        assert f">{name}</th>" in table
    with sklearn.config_context(display="text"):
        assert not hasattr(fitted, "_repr_html_")


def test_unfitted_estimators_have_no_table(fitted):
    """New estimators and clones have a diagram only."""
    for estimator in (SpTGNNRegressor(images={"DEM": "path"}), clone(fitted)):
        html = estimator._repr_html_()
        assert "sk-top-container" in html and "sptgnn-summary" not in html


def test_diagrams_of_meta_estimators(fitted, named_survey):
    """The estimator is shown in Pipelines and searches, fitted or not."""
    for step in (clone(fitted), fitted):
        assert "SpTGNNRegressor" in make_pipeline("passthrough", step)._repr_html_()
        assert "SpTGNNRegressor" in GridSearchCV(step, {"n_neighbors": [4, 5]})._repr_html_()
    search = GridSearchCV(clone(fitted), {"n_neighbors": [4]}, cv=2).fit(*named_survey)
    assert "SpTGNNRegressor" in search._repr_html_()


def test_held_out_r2(fitted, named_survey):
    """R2 is computed in the unit of y, over rows held out from one of the two members."""
    y = np.asarray(named_survey[1])
    parts, rows = fitted.ensemble_.training.folds, fitted._merged.rows
    out = rows[parts.held_out(0) | parts.held_out(1)]
    assert 0 < len(out) < 80
    error = ((y[out] - fitted.oob_prediction_[out]) ** 2).sum()
    r2 = 1 - error / ((y[out] - y[out].mean()) ** 2).sum()
    held_out = "at locations that a member did not train on, half of them in blocks"
    assert f">{r2:.2f} ({held_out})</td>" in fitted._repr_html_()


def test_facts_are_short(named_survey):
    """Long lists are cut, duplicates are counted, and unused roles are a dash."""
    X = named_survey[0].assign(**{f"band_{i}": np.arange(80.0) for i in range(50)})
    settings = {"relations": (), "streams": ("covariates",), "n_rows": 85, "n_members": 5}
    facts = fitted_facts(TableSchema.fit(X), **settings, weight=np.ones(80), r2=float("nan"))
    assert facts["covariates"].endswith("(61 in all)")
    assert len(facts["covariates"]) < 200
    assert (facts["rows"], facts["relations"]) == ("85, 80 distinct", "–")
    assert (facts["site"], facts["images"], facts["held-out R²"]) == ("–", "–", "–")
    assert "ignored" not in facts


def test_measurement_errors_are_shown_if_known():
    X = make_soil_survey(20, random_state=0).data.assign(lab_sd=np.arange(20.0))
    settings = {"relations": (), "streams": (), "weight": np.ones(20), "n_rows": 20}
    for label in ("lab_sd", None):
        schema = TableSchema.fit(X, time="date", noise_std=label)
        facts = fitted_facts(schema, **settings, n_members=1, r2=0.5)
        assert facts.get("noise_std") == label
