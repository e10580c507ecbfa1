"""A fitted model with trees and transformed target, and its file."""

import pytest
from saved_models import fit_model


@pytest.fixture(scope="session")
def model():
    return fit_model(base_estimator="xgboost", target_transform="log1p")


@pytest.fixture(scope="session")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    model.save(path)
    return path
