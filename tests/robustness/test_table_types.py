"""Tables of other types: dask, sparse matrices, arrays without names; objects in columns."""

import datetime
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from sptgnn_sklearn import XGBoostBaseline
from sptgnn_sklearn.model_selection import SpatialBlockKFold
from sptgnn_sklearn.table.coordinate_columns import as_dataframe, locate_coordinates
from sptgnn_sklearn.table.schema import TableSchema

N = 60
RNG = np.random.default_rng(0)
X = pd.DataFrame(
    {
        "ndvi": RNG.uniform(0, 1, N),
        "slope": RNG.gamma(2, 3, N),
        "x": 463_000 + RNG.uniform(0, 1100, N),
        "y": 5_804_000 + RNG.uniform(0, 800, N),
    }
)
Y = X["ndvi"] + RNG.normal(0, 0.3, N)


def test_dask_tables_equal_pandas():
    """Coordinates are found by name, in fit, predict and splitters."""
    dask_frame = pytest.importorskip("dask.dataframe").from_pandas(X, npartitions=3)
    model = XGBoostBaseline(n_estimators=5, random_state=0)
    expected = model.fit(X, Y).predict(X)
    np.testing.assert_array_equal(model.fit(dask_frame, Y).predict(dask_frame), expected)
    assert locate_coordinates(dask_frame)[2] == ("x", "y")
    for (one, _), (other, _) in zip(
        SpatialBlockKFold(3).split(X), SpatialBlockKFold(3).split(dask_frame), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.coo_array, sparse.csc_array])
def test_sparse_matrices_raise(kind):
    """The error contains the reason and toarray, in fit, predict and splitters."""
    matrix = kind(X.to_numpy())
    model = XGBoostBaseline(n_estimators=5).fit(X.to_numpy(), Y, None)
    for call in (
        lambda: model.fit(matrix, Y),
        lambda: model.predict(matrix),
        lambda: as_dataframe(matrix),
        lambda: list(SpatialBlockKFold(3).split(matrix)),
    ):
        with pytest.raises(TypeError, match=r"[Ss]parse.*dense data is required.*toarray"):
            call()


@pytest.mark.parametrize("scaler", [StandardScaler(), RobustScaler(), MinMaxScaler()])
def test_scaled_covariates_as_coordinates_warn(scaler):
    """The warning contains the parameter; named columns and positions are the remedies."""
    covariates = ["ndvi", "slope"]
    steps = ColumnTransformer([("scale", scaler, covariates)], remainder="passthrough")
    array = steps.fit_transform(X)
    with pytest.warns(UserWarning, match=r"first two columns.*coordinates=\(x_position"):
        locate_coordinates(array)
    with warnings.catch_warnings(action="error"):
        assert locate_coordinates(array, (-2, -1))[2] == (2, 3)
        named = make_pipeline(
            ColumnTransformer(
                [("scale", scaler, covariates)],
                remainder="passthrough",
                verbose_feature_names_out=False,
            ).set_output(transform="pandas"),
            XGBoostBaseline(n_estimators=2),
        )
        named.fit(X, Y)
        assert named[-1].columns_.coordinates == ("x", "y")


@pytest.mark.parametrize(
    "array",
    [
        X[["x", "y", "ndvi", "slope"]].to_numpy(),
        RNG.normal(size=(N, 5)),
        np.column_stack([RNG.uniform(size=(N, 2)), RNG.normal(100, 5, N), RNG.normal(size=N)]),
        X.to_numpy()[:5],
    ],
)
def test_other_arrays_do_not_warn(array):
    """Coordinates first, all columns scaled, one large covariate, or few rows."""
    with warnings.catch_warnings(action="error"):
        locate_coordinates(array)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (datetime.time(9, 30), r"'sampled' holds 09:30:00 .*datetime.time.*hours"),
        (b"sand", r"'sampled' holds b'sand' .*bytes"),
        ([1], r"'sampled' holds \[1\] and .*list"),
        ({"a": 1}, r"'sampled' holds {'a': 1} .*dict"),
    ],
)
def test_columns_of_objects_raise(value, message):
    """The error contains the type of the objects."""
    column = np.empty(N, dtype=object)
    column[:] = [value] * N
    with pytest.raises(TypeError, match=message):
        TableSchema.fit(X.assign(sampled=column))
