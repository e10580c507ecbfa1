"""Edge features against loops over edges, in numpy and in torch."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from sptgnn_sklearn.graph.edge_features import EDGE_FEATURES, edge_inputs, pairwise_edge_distances
from sptgnn_sklearn.table.features import FeatureEncoder
from sptgnn_sklearn.table.schema import TableSchema

ROLES = {"time": "year", "elevation": "height"}
EMBEDDING = np.random.default_rng(7).normal(size=(20, 6))


def survey(n=20):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "x": rng.uniform(0, 9e5, n),
            "y": rng.uniform(0, 9e5, n),
            "year": rng.uniform(1990, 2020, n),
            "height": rng.normal(100, 20, n),
            "clay": rng.uniform(size=n),
        }
    )
    X.loc[2, ["year", "height"]] = np.nan
    return X


def inputs_of(X, embedding=None, **roles):
    schema = TableSchema.fit(X, **roles)
    table = replace(schema.transform(X), embedding=embedding)
    features = FeatureEncoder.fit(schema, table)
    return edge_inputs(features, table, features.relation_spaces(table))


def test_units_of_edge_inputs():
    """Positions are in CRS units, the others in standard deviations, with missing values at 0."""
    X = survey()
    rows = inputs_of(X, EMBEDDING, **ROLES)
    assert tuple(rows) == EDGE_FEATURES
    xy = X[["x", "y"]].to_numpy()
    np.testing.assert_allclose(rows["distance"], xy - xy.mean(axis=0))
    for name, column in (("elevation_difference", "height"), ("time_difference", "year")):
        standard = (X[column] - X[column].mean()) / X[column].std(ddof=0)
        np.testing.assert_allclose(rows[name][:, 0], standard.fillna(0), atol=1e-9)


@pytest.mark.parametrize(
    ("columns", "roles", "names"),
    [
        (["x", "y"], {}, ["distance"]),
        (["x", "y", "clay"], {}, ["distance", "covariate_distance"]),
        (["x", "y", "year"], {"time": "year"}, ["distance", "time_difference"]),
        (
            ["x", "y", "height"],
            {"elevation": "height"},
            ["distance", "covariate_distance", "elevation_difference"],
        ),
    ],
)
def test_edge_features_follow_the_columns_of_the_table(columns, roles, names):
    """A distance that needs an absent column is left out."""
    assert list(inputs_of(survey()[columns], **roles)) == names


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_distances_equal_a_loop_over_edges(library):
    """Each edge has the Euclidean distance of its two rows, from arrays and from tensors."""
    rows = inputs_of(survey(), EMBEDDING, **ROLES)
    source_index = np.random.default_rng(1).integers(0, 20, (20, 3, 4))
    to_library = {"numpy": np.asarray, "torch": torch.as_tensor}[library]
    result = pairwise_edge_distances(
        {name: to_library(values)[:, None, None] for name, values in rows.items()},
        {name: to_library(values)[source_index] for name, values in rows.items()},
    )
    assert tuple(result) == EDGE_FEATURES
    for name, values in rows.items():
        for target, relation, slot in np.ndindex(*source_index.shape):
            gap = values[target] - values[source_index[target, relation, slot]]
            expected = np.sqrt(sum(step**2 for step in gap))
            assert float(result[name][target, relation, slot]) == pytest.approx(expected)


def test_order_of_edge_features_is_fixed():
    """The order is that of EDGE_FEATURES, whatever the order of the inputs."""
    rows = inputs_of(survey(), EMBEDDING, **ROLES)
    backwards = dict(reversed(rows.items()))
    assert tuple(pairwise_edge_distances(backwards, backwards)) == EDGE_FEATURES
    assert all((values == 0).all() for values in pairwise_edge_distances(rows, rows).values())


def test_image_distance_of_a_row_without_image_is_nan():
    """A missing image at either end makes the image distance NaN and no other distance."""
    embedding = EMBEDDING.copy()
    embedding[3] = np.nan
    rows = inputs_of(survey(), embedding, **ROLES)
    result = pairwise_edge_distances(
        rows, {name: values[[3] * 20] for name, values in rows.items()}
    )
    assert np.isnan(result["image_distance"]).all()
    assert np.isfinite(result["covariate_distance"]).all()
