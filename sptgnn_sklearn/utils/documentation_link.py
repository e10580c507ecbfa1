"""Link from the HTML representation of an estimator to its page in the documentation."""

from __future__ import annotations

__all__ = ["DOCUMENTATION_URL", "DocumentationLink"]

DOCUMENTATION_URL = "https://sptgnn-sklearn.readthedocs.io/en/latest/"


class DocumentationLink:
    """Mixin that links scikit-learn's HTML diagram to the page of the class.

    It precedes `BaseEstimator` among the bases of a class that the package root exports. Subclasses
    of other packages have no link.

    Examples
    --------
    >>> from sptgnn_sklearn import XGBoostBaseline
    >>> XGBoostBaseline()._get_doc_link().removeprefix(DOCUMENTATION_URL)
    'generated/sptgnn_sklearn.XGBoostBaseline.html'
    """

    _doc_link_module = "sptgnn_sklearn"
    _doc_link_template = f"{DOCUMENTATION_URL}generated/sptgnn_sklearn.{{class_name}}.html"

    def _doc_link_url_param_generator(self) -> dict[str, str]:
        return {"class_name": type(self).__name__}
