"""scikit-learn's estimator checks, with no expected failure."""

import pytest
from sklearn.linear_model import Ridge
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks
from small_models import make_regressor

from sptgnn_sklearn import AreaOfApplicability, SpTGNNRegressor, XGBoostBaseline
from sptgnn_sklearn.model_selection import ForwardSelection

# Small, but fully trained: some checks require skill.
ESTIMATORS = [
    AreaOfApplicability(),
    ForwardSelection(Ridge(), min_columns=1),
    XGBoostBaseline(n_estimators=20, random_state=0),
    make_regressor(
        base_estimator=None,
        n_estimators=2,
        hidden_size=16,
        n_experts=2,
        n_neighbors=5,
        max_epochs=20,
        random_state=0,
    ),
]

# Expected warnings for the artificial tables of the checks.
pytestmark = [
    pytest.mark.filterwarnings("ignore:n_neighbors=:UserWarning"),
    pytest.mark.filterwarnings("ignore:Covariates without any variation:UserWarning"),
    pytest.mark.filterwarnings("ignore:No columns have recognized coordinate names:UserWarning"),
    pytest.mark.filterwarnings("ignore:Columns 0 and 1 are the coordinates:UserWarning"),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_check(estimator, check):
    """Every estimator check of scikit-learn passes."""
    check(estimator)


@pytest.mark.slow
def test_scikit_learn_checks_at_the_defaults():
    """Every check also passes with all default parameters."""
    check_estimator(SpTGNNRegressor())
