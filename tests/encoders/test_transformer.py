"""TerraMindEmbedder: embeddings of image columns for any estimator."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from small_encoder import write_chips
from xgboost import XGBRegressor

from sptgnn_sklearn import SpTGNNRegressor, TerraMindEmbedder, TerraMindImages
from sptgnn_sklearn.table.column_parsing import read_paths

pytestmark = pytest.mark.filterwarnings("ignore:weights=None")
N = 30


@pytest.fixture
def table(tmp_path):
    """A table with chips that carry the target; row 4 has none."""
    signal = np.random.default_rng(0).normal(size=N)
    X = pd.DataFrame(
        {
            "x": np.arange(N, dtype=float),
            "y": np.arange(N, dtype=float) ** 2,
            "dem": write_chips(tmp_path, N, signal=signal),
        }
    )
    X.loc[4, "dem"] = None
    return X, signal


@pytest.fixture
def embedder(tmp_path):
    """A transformer with random weights."""
    return TerraMindEmbedder({"DEM": "dem"}, weights=None, cache_dir=tmp_path / "cache")


def test_shape_names_and_missing_rows(table, embedder):
    """One row per row of X, NaN without image; a DataFrame after set_output."""
    X, _ = table
    result = embedder.fit_transform(X)
    assert result.shape == (N, 192)
    assert result.dtype == np.float32
    assert np.isnan(result[4]).all()
    assert np.isfinite(np.delete(result, 4, axis=0)).all()
    frame = clone(embedder).set_output(transform="pandas").fit_transform(X.set_index(X["x"] + 5))
    assert list(frame.columns[:2]) == ["terramind_0", "terramind_1"]
    assert list(frame.columns) == list(embedder.get_feature_names_out())
    assert frame.index[0] == 5
    np.testing.assert_array_equal(frame, result)


def test_embeddings_equal_those_of_the_regressor(table, embedder):
    """SpTGNNRegressor computes the same embeddings."""
    X, signal = table
    result = embedder.fit_transform(X)
    model = SpTGNNRegressor(
        images=TerraMindImages({"DEM": "dem"}, weights=None, cache_dir=embedder.cache_dir),
        base_estimator=None,
        n_estimators=1,
        max_epochs=1,
        n_neighbors=3,
    ).fit(X, signal)
    np.testing.assert_array_equal(model.embedder_.embed({"DEM": read_paths(X["dem"])})[0], result)


def test_pipeline_with_xgboost(table, embedder):
    """In a column transformer and in cross-validation, with columns by name or position."""
    X, signal = table
    model = make_pipeline(
        make_column_transformer((embedder, ["dem"]), remainder="passthrough"),
        XGBRegressor(n_estimators=30, max_depth=2),
    )
    result = cross_val_predict(model, X, signal, cv=5)
    assert np.corrcoef(result, signal)[0, 1] > 0.6
    array = X.to_numpy(dtype=object)
    by_position = clone(embedder).set_params(images={"DEM": 2}).fit_transform(array)
    np.testing.assert_array_equal(by_position, embedder.fit_transform(X))


def test_other_columns_have_no_effect(table, embedder):
    """Values of other columns are ignored; their names must be those of fit."""
    X, _ = table
    expected = embedder.fit(X).transform(X)
    with pytest.raises(ValueError, match="feature names"):
        embedder.transform(X[["dem", "x", "y"]])
    np.testing.assert_array_equal(embedder.transform(X.assign(x=np.nan)), expected)


def test_errors_name_column_and_row(table, embedder):
    """Missing columns, values that are not files, and use before fit."""
    X, _ = table
    with pytest.raises(NotFittedError):
        embedder.transform(X)
    with pytest.raises(ValueError, match=r"images\['DEM'\]='dem' is not a column of X"):
        embedder.fit(X[["x", "y"]])
    with pytest.raises(ValueError, match="'dem'"):
        embedder.fit(X.assign(dem=1.0))
    with pytest.raises(ValueError, match="must be a mapping of modality to column"):
        clone(embedder).set_params(images={}).fit(X)
    with pytest.raises(ValueError, match="'cache_dir' parameter"):
        clone(embedder).set_params(cache_dir=True).fit(X)
    embedder.fit(X)
    with pytest.raises(ValueError, match=r"Row 2, column 'dem': /nowhere.tif does not exist"):
        embedder.transform(
            X.assign(dem=["/nowhere.tif" if i == 2 else v for i, v in enumerate(X["dem"])])
        )


def test_failed_fit_keeps_the_last_one(table, embedder):
    """Columns of a fit that raises are not used by transform."""
    X, _ = table
    expected = embedder.fit_transform(X)
    broken = X.assign(other="/nowhere.tif")
    with pytest.raises(ValueError, match=r"/nowhere.tif"):
        embedder.set_params(images={"DEM": "other"}).fit(broken)
    assert embedder.columns_ == {"DEM": "dem"}
    np.testing.assert_array_equal(
        embedder.embedder_.embed({"DEM": read_paths(X["dem"])})[0], expected
    )
