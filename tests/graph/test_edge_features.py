"""What edges carry, against loops, in numpy and in torch."""

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


def described(X, embedding=None, **roles):
    columns = TableSchema.fit(X, **roles)
    table = replace(columns.transform(X), embedding=embedding)
    features = FeatureEncoder.fit(columns, table)
    return edge_inputs(features, table, features.relation_spaces(table))


def test_rows_are_described_in_their_units():
    """Position in the unit of the CRS, all else in standard deviations, unknown ones as average."""
    X = survey()
    rows = described(X, EMBEDDING, **ROLES)
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
def test_edges_carry_what_the_table_has(columns, roles, names):
    """A sense of distance that needs an absent column is absent."""
    assert list(described(survey()[columns], **roles)) == names


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_differences_agree_with_loops(library):
    """Each edge gets the Euclidean difference of its two ends, from arrays and from tensors."""
    rows = described(survey(), EMBEDDING, **ROLES)
    source_index = np.random.default_rng(1).integers(0, 20, (20, 3, 4))
    read = {"numpy": np.asarray, "torch": torch.as_tensor}[library]
    found = pairwise_edge_distances(
        {name: read(values)[:, None, None] for name, values in rows.items()},
        {name: read(values)[source_index] for name, values in rows.items()},
    )
    assert tuple(found) == EDGE_FEATURES
    for name, values in rows.items():
        for receiver, relation, slot in np.ndindex(*source_index.shape):
            gap = values[receiver] - values[source_index[receiver, relation, slot]]
            expected = np.sqrt(sum(step**2 for step in gap))
            assert float(found[name][receiver, relation, slot]) == pytest.approx(expected)


def test_differences_come_in_the_order_of_the_network():
    """The order is that of NAMES, however the descriptions are ordered."""
    rows = described(survey(), EMBEDDING, **ROLES)
    backwards = dict(reversed(rows.items()))
    assert tuple(pairwise_edge_distances(backwards, backwards)) == EDGE_FEATURES
    assert all((values == 0).all() for values in pairwise_edge_distances(rows, rows).values())


def test_a_row_without_image_has_no_image_distance():
    """What is not known is NaN at either end, and the network is told so."""
    embedding = EMBEDDING.copy()
    embedding[3] = np.nan
    rows = described(survey(), embedding, **ROLES)
    found = pairwise_edge_distances(rows, {name: values[[3] * 20] for name, values in rows.items()})
    assert np.isnan(found["image_distance"]).all()
    assert np.isfinite(found["covariate_distance"]).all()
