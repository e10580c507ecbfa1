"""Node features, relation spaces and tree features, compared with formulas."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import norm, rankdata
from sklearn.preprocessing import QuantileTransformer

from sptgnn_sklearn.spatial.distances import chord_to_distance
from sptgnn_sklearn.table.features import FeatureEncoder, normal_scores
from sptgnn_sklearn.table.schema import TableSchema

ROLES = {"time": "date", "elevation": "height"}


def survey(n=60, **changes):
    rng = np.random.default_rng(0)
    table = {
        "lon": rng.uniform(5, 7, n),
        "lat": rng.uniform(50, 51, n),
        "date": rng.uniform(2000, 2010, n),
        "height": rng.normal(100, 20, n),
        "clay": rng.lognormal(size=n),
        "limed": rng.uniform(size=n) < 0.3,
        "use": rng.choice(["crop", "grass", "wood"], n),
    }
    return pd.DataFrame({**table, **changes})


def fit_features(X, **roles):
    schema, table = TableSchema.fit_transform(X, **roles)
    return FeatureEncoder.fit(schema, table), table


def fit_quantiles(column):
    X = pd.DataFrame({"x": np.arange(len(column)), "y": 0.0, "value": column})
    return fit_features(X)[0].quantiles


def scores_of(column, known=None):
    """Return the normal scores of a column, fitted to `known` or to itself."""
    quantiles = fit_quantiles(column if known is None else known)
    return normal_scores(np.asarray(column, dtype=float)[:, None], quantiles).ravel()


def test_scores_equal_those_of_quantile_transformer():
    """For distinct values the transform is scikit-learn's, for training and new values."""
    rng = np.random.default_rng(0)
    known, new = rng.lognormal(sigma=2, size=300), rng.lognormal(sigma=2.5, size=300)
    new[:20] = np.nan
    transformer = QuantileTransformer(n_quantiles=300, output_distribution="normal").fit(
        known[:, None]
    )
    for values in (known, new):
        expected = np.clip(transformer.transform(values[:, None]).ravel(), -3, 3)
        np.testing.assert_allclose(scores_of(values, known), expected, atol=1e-9)


def test_tied_values_have_their_middle_rank():
    """Frequent zeros are in the middle of their share of the distribution."""
    column = np.array([0.0] * 60 + [1.0] * 20 + list(range(2, 23)))
    middle = (rankdata(column) - 1) / (len(column) - 1)
    np.testing.assert_allclose(scores_of(column), norm.ppf(middle).clip(-3, 3), atol=1e-9)


@pytest.mark.parametrize("unit", [1e-300, 1e-12, 1e-3, 1e12, 1e29])
def test_scores_do_not_depend_on_the_unit(unit):
    """Scores of a flux of 1e-12 equal those of a distance of 1e12, without overflow."""
    column = np.random.default_rng(0).normal(size=80)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        result = scores_of(column * unit)
    np.testing.assert_allclose(result, scores_of(column), rtol=1e-6)


def test_scores_are_monotonic_and_bounded():
    """Order is preserved inside and outside the training range, within three deviations."""
    result = scores_of(np.linspace(-9, 9, 1000), np.random.default_rng(0).normal(size=50))
    assert (np.diff(result) >= 0).all()
    assert result[[0, -1]].tolist() == [-3, 3]


def test_covariate_stream():
    """Normal scores (0 if missing), missing-value indicators and one-hot levels."""
    X = survey(clay=[np.nan, *range(59)])
    features, table = fit_features(X, **ROLES)
    stream = features.node_features(table)["covariates"]
    assert stream.dtype == np.float32
    assert stream.shape == (60, 3 + 1 + 3)
    expected = np.nan_to_num(normal_scores(table.numeric, features.quantiles))
    np.testing.assert_allclose(stream[:, :3], expected, rtol=1e-6)
    assert stream[0, 1] == 0
    np.testing.assert_array_equal(stream[:, 3], np.arange(60) == 0)
    np.testing.assert_array_equal(stream[:, 4:], pd.get_dummies(X["use"]).to_numpy())


def test_unseen_levels_and_missing_values_of_queries():
    """A value missing in queries only has the score 0, an unseen level only zeros."""
    features, _ = fit_features(survey(), **ROLES)
    X = survey(5, clay=np.nan, use="moor")
    with pytest.warns(UserWarning, match="{'use': 5}"):
        stream = features.node_features(features.schema.transform(X))["covariates"]
    assert stream.shape[1] == 3 + 3
    assert (stream[:, 1] == 0).all()
    assert (stream[:, 3:] == 0).all()


def test_rare_levels_have_no_column():
    """The 32 most frequent levels have a column; others are all zeros."""
    use = np.repeat([f"level {i:02}" for i in range(40)], [1] * 8 + [3] * 32)
    X = pd.DataFrame({"x": np.arange(len(use)), "y": 0.0, "use": use})
    features, table = fit_features(X)
    stream = features.node_features(table)["covariates"]
    assert stream.shape[1] == 32
    np.testing.assert_array_equal(stream.sum(axis=1), [0] * 8 + [1] * 96)


def test_position_stream():
    """Two scaled coordinates, and sines and cosines of each at four scales."""
    X = pd.DataFrame({"x": [0.0, 6.0, 0.0, 6.0], "y": [0.0, 0.0, 8.0, 8.0]})
    features, table = fit_features(X)
    assert features.plane_scale == 5.0
    stream = features.node_features(table)["position"]
    plane = np.array([[-3, -4], [3, -4], [-3, 4], [3, 4]]) / 5
    np.testing.assert_allclose(stream[:, :2], plane, rtol=1e-6)
    waves = [2 * np.pi / 3 * c * axis for axis in plane.T for c in (0.5, 1, 2, 4)]
    expected = np.column_stack([np.sin(waves).T, np.cos(waves).T])
    np.testing.assert_allclose(stream[:, 2:], expected, rtol=1e-5, atol=1e-6)


def test_position_does_not_depend_on_origin_and_unit():
    """A survey shifted, in feet or across the date line has the same position stream."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.uniform(size=30), "y": rng.uniform(size=30)})
    one = fit_features(X)
    other = fit_features(3.28 * X + 5e5)
    np.testing.assert_allclose(
        one[0].node_features(one[1])["position"],
        other[0].node_features(other[1])["position"],
        atol=1e-4,
    )
    X.columns = ["lon", "lat"]
    inland = fit_features(X)
    across = fit_features(
        X.assign(lon=np.where(X["lon"] < 0.5, X["lon"] + 179.5, X["lon"] - 180.5))
    )
    np.testing.assert_allclose(
        inland[0].node_features(inland[1])["position"],
        across[0].node_features(across[1])["position"],
        atol=1e-4,
    )


def test_time_stream():
    """Standardized date, indicator of unknown dates, and two harmonics of the year."""
    X = survey()
    X.loc[3, "date"] = np.nan
    features, table = fit_features(X, **ROLES)
    stream = features.node_features(table)["time"]
    trend = (X["date"] - X["date"].mean()) / X["date"].std(ddof=0)
    phase = 2 * np.pi * X["date"]
    expected = np.column_stack(
        [
            trend,
            X["date"].isna(),
            np.sin(phase),
            np.cos(phase),
            np.sin(2 * phase),
            np.cos(2 * phase),
        ]
    )
    np.testing.assert_allclose(stream, np.nan_to_num(expected), atol=1e-4)
    np.testing.assert_array_equal(stream[3], [0, 1, 0, 0, 0, 0])


def test_whole_years_have_no_season():
    """Years give a trend only."""
    features, table = fit_features(survey(date=np.arange(1990, 2050)), time="date")
    assert not features.seasonal
    assert features.node_features(table)["time"].shape == (60, 2)
    assert features.tree_features(table)[:, -1].tolist() == list(range(1990, 2050))


def test_spatial_space_preserves_great_circle_distances():
    """Distances in the spatial space are distances on the ground."""
    features, table = fit_features(survey(), **ROLES)
    space = features.relation_spaces(table)["spatial"]
    np.testing.assert_allclose(space.mean(axis=0), 0, atol=1e-9)
    lon, lat = np.radians(survey()[["lon", "lat"]].to_numpy().T)
    i, j = np.triu_indices(60, 1)
    haversine = np.sin((lat[i] - lat[j]) / 2) ** 2
    haversine += np.cos(lat[i]) * np.cos(lat[j]) * np.sin((lon[i] - lon[j]) / 2) ** 2
    expected = 2 * 6371.0088 * np.arcsin(np.sqrt(haversine))
    result = chord_to_distance(pdist(space), features.schema.reference)
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_spectral_space_preserves_covariate_distances():
    """With few covariates the principal axes are a rotation of the covariate stream."""
    features, table = fit_features(survey(), **ROLES)
    space = features.relation_spaces(table)["spectral"]
    expected = pdist(features.node_features(table)["covariates"].astype(float))
    np.testing.assert_allclose(pdist(space), expected, atol=1e-5)
    assert (np.diff(space.var(axis=0)) <= 1e-12).all()


def test_spectral_space_of_named_columns():
    """Only the named columns count; missing values have the score 0."""
    X = survey()
    X.loc[2, "clay"] = np.nan
    features, table = fit_features(X, spectral=["clay"], **ROLES)
    space = features.relation_spaces(table)["spectral"]
    assert space.shape == (60, 1)
    scores = np.nan_to_num(normal_scores(table.numeric, features.quantiles)[:, 1])
    np.testing.assert_allclose(pdist(space), pdist(scores[:, None]), atol=1e-9)


def test_spectral_space_has_at_most_eight_dimensions():
    """Many bands are reduced to eight principal components."""
    bands = {f"band {i}": np.random.default_rng(i).normal(size=60) for i in range(20)}
    features, table = fit_features(survey(**bands), **ROLES)
    assert features.relation_spaces(table)["spectral"].shape == (60, 8)


def test_elevation_space_is_height_and_weighted_position():
    """Height in standard deviations, and position with half the weight."""
    X = survey()
    X.loc[3, "height"] = np.nan
    features, table = fit_features(X, **ROLES)
    space = features.relation_spaces(table)["elevation"]
    height = (X["height"] - X["height"].mean()) / X["height"].std(ddof=0)
    np.testing.assert_allclose(space[:, 0], height.fillna(0))
    assert space[:, 1:].var(axis=0).sum() == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("roles", "streams", "spaces"),
    [
        ({}, ["covariates", "position"], ["spatial", "spectral"]),
        ({"time": "date"}, ["covariates", "position", "time"], ["spatial", "spectral"]),
        ({"elevation": "height"}, ["covariates", "position"], ["spatial", "spectral", "elevation"]),
    ],
)
def test_streams_and_spaces_depend_on_roles(roles, streams, spaces):
    """Streams and spaces without data are omitted."""
    features, table = fit_features(survey(), **roles)
    assert list(features.node_features(table)) == streams
    assert list(features.relation_spaces(table)) == spaces


def test_coordinates_only():
    """Without covariates there is no covariate stream and no spectral similarity."""
    features, table = fit_features(survey()[["lon", "lat"]])
    assert list(features.node_features(table)) == ["position"]
    assert list(features.relation_spaces(table)) == ["spatial"]
    np.testing.assert_array_equal(features.tree_features(table), survey()[["lon", "lat"]])


def test_tree_features():
    """Untransformed numbers, one-hot categories, date and season, with NaN for missing values."""
    X = survey(clay=[np.nan, *range(59)])
    features, table = fit_features(X, **ROLES)
    expected = np.column_stack(
        [
            X[["lon", "lat", "height", "clay", "limed"]].astype(float),
            pd.get_dummies(X["use"]),
            X["date"],
            X["date"] % 1,
        ]
    )
    np.testing.assert_array_equal(features.tree_features(table), expected)


def test_features_do_not_depend_on_other_rows():
    """Streams, spaces and tree features of a row are the same in any table."""
    features, table = fit_features(survey(), **ROLES)
    some = np.array([5, 3, 3])
    for compute in (features.node_features, features.relation_spaces):
        whole, part = compute(table), compute(table.take(some))
        for name in whole:
            np.testing.assert_allclose(part[name], whole[name][some], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(
        features.tree_features(table.take(some)), features.tree_features(table)[some]
    )


@pytest.mark.parametrize("lat", [0.0, 51.987654321])
def test_rounding_errors_are_not_used_as_scale(lat):
    """The scale of a single location, date or height is 1."""
    X = survey(lon=5.123456789, lat=lat, date=2001.1, height=[0.1] * 59 + [np.nan])
    features, table = fit_features(X, **ROLES)
    assert (features.plane_scale, features.time_scale[1], features.elevation_scale[1]) == (1, 1, 1)
    later = features.schema.transform(survey(date=2002.1, height=0.2, lon=5.123456789, lat=lat))
    np.testing.assert_allclose(features.standard_time(later), 1)
    np.testing.assert_allclose(features.standard_elevation(later), 0.1)
    for values in (
        *features.node_features(table).values(),
        *features.relation_spaces(table).values(),
    ):
        assert np.isfinite(values).all()


def test_constant_columns_in_fold_are_ignored():
    """Columns that vary only in rows that are not fitted raise no error or warning."""
    X = survey(clay=[*range(30), *[np.nan] * 30], height=[*range(30), *[np.nan] * 30])
    X["date"] = X["date"].where(X.index < 30)
    X = X[["lon", "lat", "date", "height", "clay"]]
    columns = TableSchema.fit(X, **ROLES)
    table = columns.transform(X).take(np.arange(30, 60))
    features = FeatureEncoder.fit(columns, table)
    assert (features.time_scale, features.elevation_scale, features.covariate_axes) == (
        None,
        None,
        None,
    )
    assert (features.node_features(table)["covariates"][:, :2] == 0).all()
    with pytest.raises(ValueError, match="no values"):
        features.standard_elevation(table)


def with_images(gaps=(3, 8), **changes):
    X = survey(**changes)
    rng = np.random.default_rng(4)
    embedding = rng.normal(5, 3, (len(X), 12)).astype(np.float32)
    indices = rng.uniform(-1, 1, (len(X), 3))
    embedding[list(gaps)] = indices[list(gaps)] = np.nan
    columns = TableSchema.fit(X, **ROLES)
    return columns, replace(columns.transform(X), embedding=embedding, indices=indices)


def test_imagery_stream():
    """Standardized over rows with images; zeros and an indicator of one elsewhere."""
    columns, table = with_images()
    features = FeatureEncoder.fit(columns, table)
    stream = features.node_features(table)["imagery"]
    assert next(iter(features.node_features(table))) == "imagery"
    assert stream.shape == (60, 13)
    np.testing.assert_array_equal(np.flatnonzero(stream[:, -1]), [3, 8])
    np.testing.assert_array_equal(stream[[3, 8], :-1], 0)
    known = np.delete(stream[:, :-1], [3, 8], axis=0)
    np.testing.assert_allclose(known.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(known.std(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("similarity", [None, "embeddings", "indices", "covariates"])
def test_spectral_space_follows_similarity(similarity):
    """Distances are those between embeddings, indices or covariates."""
    columns, table = with_images()
    features = FeatureEncoder.fit(columns, table, similarity)
    space = features.relation_spaces(table)["spectral"]
    plain = FeatureEncoder.fit(columns, replace(table, embedding=None, indices=None))
    if similarity == "covariates":
        np.testing.assert_allclose(space, plain.relation_spaces(table)["spectral"])
        assert features.image_space(table) is None
        return
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(space).any(axis=1)), [3, 8])
    known = np.delete(np.arange(60), [3, 8])
    inputs = table.indices
    if similarity != "indices":
        inputs = features.node_features(table)["imagery"][:, :-1]
        centered = inputs[known] - inputs[known].mean(axis=0)
        axes = np.linalg.svd(centered, full_matrices=False)[2][:8]
        inputs = inputs @ axes.T
    np.testing.assert_allclose(pdist(space[known]), pdist(inputs[known]), rtol=1e-3)


def test_constant_images_are_ignored():
    """With equal embeddings, covariates define spectral similarity."""
    columns, table = with_images()
    table = replace(table, embedding=np.ones_like(table.embedding))
    features = FeatureEncoder.fit(columns, table)
    assert features.image_space(table) is None
    assert np.isfinite(features.node_features(table)["imagery"]).all()
    assert "spectral" in features.relation_spaces(table)


def test_normal_scores_of_extreme_units():
    """Values at the limits of floating-point numbers have the scores of their ranks."""
    values = np.array([[0.0], [1.0], [2.0], [5.0], [7.0]])
    expected = normal_scores(values, values)
    for unit in (5e-324, 1e-320, 1e-300, 1e300):
        np.testing.assert_allclose(normal_scores(values * unit, values * unit), expected, atol=1e-9)
    beyond = normal_scores(np.array([[1e300], [-1e300]]), values * 5e-324)
    assert beyond[0] > 1
    assert beyond[1] < -1


def test_spaces_at_other_coordinates():
    """Moved rows keep their spectral space and height, and have the spaces of a moved table."""
    encoder, table = fit_features(survey(), **ROLES)
    moved = replace(table, coordinates=table.coordinates[::-1] + 0.01)
    spaces = encoder.with_coordinates(encoder.relation_spaces(table), moved.coordinates)
    for name, expected in encoder.relation_spaces(moved).items():
        np.testing.assert_array_equal(spaces[name], expected)
    np.testing.assert_allclose(encoder.coordinates(spaces["spatial"]), moved.coordinates)
    assert list(encoder.with_coordinates({"spatial": spaces["spatial"]}, moved.coordinates)) == [
        "spatial"
    ]
