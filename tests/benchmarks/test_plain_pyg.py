"""The plain PyTorch Geometric implementation."""

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score

from benchmarks.plain_pyg import PlainHeteroGNN, PlainNetwork, beta_nll
from benchmarks.timed_job import Split
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.training.losses import beta_nll as package_beta_nll


@pytest.fixture(scope="module")
def split():
    return Split.from_survey(400, 200, seed=0)


@pytest.fixture(scope="module")
def fitted(split):
    model = PlainHeteroGNN(**split.roles, n_estimators=2, max_epochs=30, learning_rate=0.01)
    return model.fit(split.X, split.y)


def test_training_improves_predictions(split, fitted):
    """R2 on new rows exceeds 0.3, and validation errors decrease."""
    assert r2_score(split.y_new, fitted.predict(split.X_new)) > 0.3
    assert all(min(errors) < 0.8 * errors[0] for errors in fitted.errors_)


def test_predictions_are_independent_of_other_rows(split, fitted):
    """A row has the same prediction alone, among others and in another order."""
    whole = fitted.predict(split.X_new)
    np.testing.assert_allclose(fitted.predict(split.X_new[3:4]), whole[3:4], rtol=1e-5)
    np.testing.assert_allclose(fitted.predict(split.X_new[::-1]), whole[::-1], rtol=1e-5)


def test_training_prediction_is_independent_of_the_own_target(split, fitted):
    """Changing the target of a training row changes the predictions of other rows only."""
    network = fitted.networks_[0].eval()
    model = PlainHeteroGNN(**split.roles, n_estimators=1, max_epochs=1)
    row, y = 7, split.y.copy()
    predictions = []
    for value in (y[row], y[row] + 50.0):
        y[row] = value
        model.fit(split.X, y)
        # Standardize both targets alike, so that only the row's own target differs.
        model.targets_ = torch.tensor((y - fitted.center_) / fitted.scale_, dtype=torch.float32)
        spaces = {name: tree.data for name, tree in model.trees_.items()}
        with torch.no_grad():
            model.training_graph_ = model._neighbor_graph(spaces, exclude_self=True)
            predictions.append(model._predict_training_rows(network)[0].numpy())
    assert predictions[0][row] == pytest.approx(predictions[1][row], abs=1e-6)
    assert np.abs(predictions[0] - predictions[1]).max() > 1e-3


def test_equal_rows_are_not_their_own_neighbors():
    """A row is not its own neighbor even if many rows are equal in a relation."""
    survey = make_soil_survey(60, random_state=0)
    X = survey.data.assign(elevation=np.arange(60) // 59)
    X.loc[:30, ["lon", "lat"]] = X.loc[0, ["lon", "lat"]].to_numpy()
    model = PlainHeteroGNN(elevation="elevation", n_estimators=1, max_epochs=1)
    model.fit(X, survey.target)
    for edges in model.training_graph_.edges.values():
        assert (edges[0] != edges[1]).all()
        assert (torch.bincount(edges[1]) == model.n_neighbors).all()


def test_loss_equals_that_of_the_package():
    """Both implementations minimize the same beta-NLL."""
    mean, log_variance, target = torch.randn(3, 50, generator=torch.manual_seed(0))
    expected = package_beta_nll(mean, log_variance, target, 0.5)
    torch.testing.assert_close(beta_nll(mean, log_variance, target, 0.5), expected)


def test_two_layers_of_three_relations():
    """Both attention layers have the hidden size and heads of the comparison."""
    network = PlainNetwork(5, ["a", "b", "c"])
    for layer in (network.first_attention, network.last_attention):
        assert [conv.heads * conv.out_channels for conv in layer.convs.values()] == [64] * 3


def test_callback_after_every_epoch(split):
    """The callback receives member, epoch and training time without its own time."""
    ends = []
    model = PlainHeteroGNN(n_estimators=2, max_epochs=3, on_epoch_end=ends.append)
    model.fit(split.X, split.y)
    assert [(end.member, end.epoch) for end in ends] == [(m, e) for m in (0, 1) for e in range(3)]
    assert 0 < ends[0].seconds < ends[2].seconds <= model.train_seconds_[0]
