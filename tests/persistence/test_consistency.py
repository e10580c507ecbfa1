"""Parts of a loaded model are compared with each other."""

from dataclasses import replace

import numpy as np
import pytest

from sptgnn_sklearn.persistence.consistency import check_model
from sptgnn_sklearn.persistence.model_file import load_model
from sptgnn_sklearn.utils.safe_file import FileError


@pytest.fixture
def parts(saved):
    return load_model(saved)


def change_ensemble(fitted, **changes):
    return {**fitted, "ensemble_": replace(fitted["ensemble_"], **changes)}


def test_valid_models_pass(parts):
    check_model(*parts)


@pytest.mark.parametrize("name", ["n_neighbors", "device", "history", "training", "postprocessor"])
def test_other_types_of_parts_raise(parts, name):
    params, fitted = parts
    with pytest.raises(FileError):
        check_model(params, change_ensemble(fitted, **{name: 2.5}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("plane_scale", 0.0),
        ("origin", np.zeros((2, 1))),
        ("quantiles", np.zeros((0, 7))),
        ("seasonal", 3),
        ("similarity", "indices2"),
        ("elevation_scale", None),
        ("levels", []),
    ],
    ids=lambda value: str(value)[:20],
)
def test_feature_encoders_of_other_tables_raise(parts, name, value):
    params, fitted = parts
    features = replace(fitted["ensemble_"].features, **{name: value})
    with pytest.raises(FileError):
        check_model(params, change_ensemble(fitted, features=features))


def test_neighbor_lists_are_in_range(parts):
    params, fitted = parts
    training = fitted["ensemble_"].training
    for value in (-2, len(training.neighbors)):
        lists = training.neighbors.copy()
        lists[0, 0, 0] = value
        changed = change_ensemble(fitted, training=replace(training, neighbors=lists))
        with pytest.raises(FileError, match="neighbor lists"):
            check_model(params, changed)


@pytest.mark.parametrize("bounds", [(0,), (0, "1"), (np.nan, 1), 3, {"a": 1, "b": 2}], ids=str)
def test_target_bounds_are_pairs_of_numbers(parts, bounds):
    params, fitted = parts
    check_model({**params, "target_bounds": [0, None]}, fitted)
    with pytest.raises(FileError, match="target_bounds"):
        check_model({**params, "target_bounds": bounds}, fitted)
