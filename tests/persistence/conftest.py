"""Fitted models with trees, and with all base models of small surveys, and their files."""

import pytest
from saved_models import fit_model, fit_noisy_model


@pytest.fixture(scope="session")
def model():
    return fit_model(base_estimator="xgboost", target_transform="log1p")


@pytest.fixture(scope="session")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    model.save(path)
    return path


@pytest.fixture(scope="session")
def auto_model():
    return fit_model(base_estimator="auto")


@pytest.fixture(scope="session")
def auto_saved(auto_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "auto.safetensors"
    auto_model.save(path)
    return path


@pytest.fixture(scope="session")
def noisy_model():
    return fit_noisy_model(base_estimator="auto")
