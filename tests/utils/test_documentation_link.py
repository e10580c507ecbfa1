"""Links from estimators to their pages."""

import tomllib
from pathlib import Path

import pytest

from sptgnn_sklearn import (
    AreaOfApplicability,
    NetworkConfig,
    SpTGNNRegressor,
    TerraMindEmbedder,
    TerraMindImages,
    XGBoostBaseline,
)
from sptgnn_sklearn.utils.documentation_link import DOCUMENTATION_URL

ROOT = Path(__file__).resolve().parents[2]
ESTIMATORS = [
    AreaOfApplicability(),
    SpTGNNRegressor(),
    TerraMindEmbedder({"DEM": "dem"}),
    XGBoostBaseline(),
]


class Derived(XGBoostBaseline):
    """An estimator of another package."""


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_the_diagram_links_to_the_page_of_the_class(estimator):
    """The page is one that autosummary writes for the API reference."""
    name = type(estimator).__name__
    html = estimator._repr_mimebundle_()["text/html"]
    assert f'href="{DOCUMENTATION_URL}generated/sptgnn_sklearn.{name}.html"' in html
    assert f"   {name}\n" in (ROOT / "docs/api.rst").read_text("utf-8")


@pytest.mark.parametrize("parameters", [NetworkConfig(), TerraMindImages({"DEM": "dem"})])
def test_parameter_objects_have_a_link(parameters):
    """They are shown in the diagram of the estimator and on their own."""
    assert parameters._get_doc_link().endswith(f"sptgnn_sklearn.{type(parameters).__name__}.html")
    assert parameters._get_doc_link() in parameters._repr_mimebundle_()["text/html"]


def test_classes_of_other_packages_have_no_link():
    """They have no page in the documentation of this package."""
    assert Derived()._get_doc_link() == ""


def test_the_project_names_the_same_address():
    """Package indexes show the address of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["urls"]["Documentation"] == DOCUMENTATION_URL
