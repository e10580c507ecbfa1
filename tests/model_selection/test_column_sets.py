"""Evaluation of sets of covariates: equal to a loop over folds."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import get_scorer, r2_score
from sklearn.model_selection import KFold

from sptgnn_sklearn.model_selection.column_sets import ColumnSetEvaluation, take_columns
from sptgnn_sklearn.model_selection.role_columns import RoleColumns

RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.normal(size=(40, 4)), columns=list("abcd"))
Y = (X["a"] - X["c"]).to_numpy() + RNG.normal(size=40)
SPLITS = list(KFold(4).split(X))


def evaluation(table=X, kept=(), **fit_params):
    roles = RoleColumns.find(LinearRegression(), X, named=True)
    return ColumnSetEvaluation(
        LinearRegression(), table, Y, SPLITS, roles, kept, get_scorer("r2"), fit_params, {}
    )


@pytest.mark.parametrize("table", [X, X.to_numpy()])
def test_equals_a_loop_over_folds(table):
    """The covariates and the columns that stay are used in the order of X."""
    weight = RNG.uniform(1, 5, 40)
    predicted = np.empty(40)
    for train, test in SPLITS:
        model = LinearRegression().fit(X.iloc[train][["a", "d"]], Y[train], weight[train])
        predicted[test] = model.predict(X.iloc[test][["a", "d"]])
    score = evaluation(table, kept=(0,), sample_weight=weight).evaluate((3,))
    assert score.value == pytest.approx(r2_score(Y, predicted))


def test_table_of_a_step():
    """Gains are differences to the best set before, with paired standard errors."""
    task = evaluation()
    best, sets = task.evaluate((0,)), [(0, 1), (0, 2)]
    scores = [task.evaluate(columns) for columns in sets]
    table = task.tabulate(2, sets, (0,), scores, best)
    assert table["added"].tolist() == [("b",), ("c",)]
    assert table["n_columns"].eq(2).all()
    assert not table["selected"].any()
    np.testing.assert_allclose(table["gain"], [score.value - best.value for score in scores])
    change = scores[1].without_fold - best.without_fold
    expected = np.sqrt(3 / 4 * np.sum((change - change.mean()) ** 2))
    assert table.loc[1, "gain_standard_error"] == pytest.approx(expected)
    first = task.tabulate(1, [(0,)], (), [best], None)
    assert first[["gain", "gain_standard_error"]].isna().all(axis=None)


def test_columns_of_tables_and_arrays():
    """A DataFrame keeps names and index, and its attributes such as the CRS of a geometry."""
    table = X.set_axis(range(10, 50))
    table.attrs["crs"] = "EPSG:28992"
    taken = take_columns(table, np.array([3, 1]))
    pd.testing.assert_frame_equal(taken, table[["d", "b"]])
    assert taken.attrs == table.attrs
    np.testing.assert_array_equal(take_columns(X.to_numpy(), [3, 1]), X[["d", "b"]].to_numpy())
