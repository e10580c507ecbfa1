"""Losses against closed forms, torch's losses and the public metrics."""

import numpy as np
import pytest
import torch

from sptgnn_sklearn.metrics import morans_i as metric_morans_i
from sptgnn_sklearn.network.config import NodePredictions
from sptgnn_sklearn.training.losses import SpTGNNLoss, batch_morans_i, beta_nll, nearest_in_batch


def gaussian(seed=0, shape=(2, 40)):
    """Return mean, log-variance and target."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3)]


def test_beta_zero_is_the_gaussian_likelihood():
    """Without beta the loss is torch's own Gaussian negative log-likelihood."""
    mean, log_variance, target = gaussian()
    expected = torch.nn.GaussianNLLLoss(reduction="none", eps=1e-12)
    torch.testing.assert_close(
        beta_nll(mean, log_variance, target, 0.0), expected(mean, target, log_variance.exp())
    )


def test_mean_has_the_gradient_of_squared_error_with_beta_one():
    """With beta 1 the variance does not weight the gradient of the mean."""
    mean, log_variance, target = gaussian()
    mean.requires_grad_()
    beta_nll(mean, log_variance, target, 1.0).sum().backward()
    torch.testing.assert_close(mean.grad, mean.detach() - target)


def test_morans_i_equals_the_metric():
    """Moran's I in the loss equals the public metric with the same neighbors."""
    rng = np.random.RandomState(0)
    positions, values = rng.uniform(size=(60, 2)), rng.normal(size=60) + 3
    neighbors = nearest_in_batch(torch.from_numpy(positions)[None], 8)
    index = batch_morans_i(torch.from_numpy(values)[None], neighbors)
    assert float(index[0]) == pytest.approx(
        metric_morans_i(values, positions, n_neighbors=8), abs=1e-10
    )


def test_moran_penalty_grows_with_autocorrelation():
    """Residuals with a spatial trend have a larger loss than the same residuals shuffled."""
    rng = np.random.RandomState(0)
    positions = torch.from_numpy(rng.uniform(size=(1, 80, 2))).float()
    trend = positions[..., 0]
    shuffled = trend[:, torch.from_numpy(rng.permutation(80))]
    loss = {
        name: float(
            SpTGNNLoss(moran_weight=weight)(
                NodePredictions(
                    -residual, torch.zeros(1, 80), -residual, torch.zeros(1), torch.zeros(1)
                ),
                {
                    "target": torch.zeros(1, 80),
                    "weight": torch.ones(1, 80),
                    "position": positions,
                },
            )
        )
        for name, residual, weight in [
            ("trend", trend, 1.0),
            ("shuffled", shuffled, 1.0),
            ("off", trend, 0.0),
        ]
    }
    assert loss["trend"] > loss["shuffled"] + 0.5
    assert loss["off"] < loss["trend"]


def test_weight_of_two_equals_a_repeated_row():
    """A row of weight two contributes to the loss as the row twice does."""
    mean, log_variance, target = gaussian(shape=(1, 5))
    zero = torch.zeros(1, dtype=torch.float64)
    weight = torch.tensor([[1.0, 2.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    twice = [0, 1, 1, 2, 3, 4]
    loss = SpTGNNLoss()
    weighted = loss(
        NodePredictions(mean, log_variance, mean, zero, zero), {"target": target, "weight": weight}
    )
    repeated = loss(
        NodePredictions(mean[:, twice], log_variance[:, twice], mean[:, twice], zero, zero),
        {"target": target[:, twice], "weight": torch.ones(1, 6, dtype=torch.float64)},
    )
    torch.testing.assert_close(weighted, repeated)


def test_losses_of_members_are_independent():
    """The gradient of one member does not depend on the other member's errors."""
    mean, log_variance, target = gaussian(shape=(2, 30))
    position = torch.rand(2, 30, 2, generator=torch.Generator().manual_seed(0)).double()

    def gradient(other):
        values = mean.clone()
        values[1] += other
        values.requires_grad_()
        zero = torch.zeros(2, dtype=torch.float64)
        SpTGNNLoss(moran_weight=0.1)(
            NodePredictions(values, log_variance, values, zero, zero),
            {"target": target, "weight": torch.ones_like(target), "position": position},
        ).backward()
        return values.grad[0]

    torch.testing.assert_close(gradient(0.0), gradient(7.0))


def test_coincident_rows_have_other_rows_as_neighbors():
    """A row is never its own neighbor, even among more coincident rows than neighbors."""
    positions = torch.zeros(1, 12, 2)
    neighbors = nearest_in_batch(positions, 3)
    assert neighbors.shape == (1, 12, 3)
    assert (neighbors != torch.arange(12)[None, :, None]).all()
    assert all(len(set(row.tolist())) == 3 for row in neighbors[0])


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_no_noise_is_the_loss_without(beta):
    """Known variances of zero change no value and no gradient."""
    mean, log_variance, target = gaussian()
    results = []
    for noise in (None, torch.zeros_like(mean)):
        inputs = [mean.clone().requires_grad_(), log_variance.clone().requires_grad_()]
        loss = beta_nll(*inputs, target, beta, noise).sum()
        loss.backward()
        results.append([loss, *(values.grad for values in inputs)])
    torch.testing.assert_close(*results)


def test_likelihood_has_the_sum_of_both_variances():
    """With beta 0 the loss is the Gaussian likelihood of predicted plus known variance."""
    mean, log_variance, target = gaussian()
    noise = torch.rand(mean.shape, dtype=torch.float64)
    expected = torch.nn.GaussianNLLLoss(reduction="none", eps=1e-12)
    torch.testing.assert_close(
        beta_nll(mean, log_variance, target, 0.0, noise),
        expected(mean, target, log_variance.exp() + noise),
    )


def test_noise_weights_squared_errors_by_precision():
    """With beta 1 the gradient of the mean is that of squared error times v / (v + noise)."""
    mean, log_variance, target = gaussian()
    noise = torch.rand(mean.shape, dtype=torch.float64)
    mean.requires_grad_()
    beta_nll(mean, log_variance, target, 1.0, noise).sum().backward()
    share = log_variance.exp() / (log_variance.exp() + noise)
    torch.testing.assert_close(mean.grad, share * (mean.detach() - target))


def test_predicted_variance_is_that_without_noise():
    """The likelihood of errors with known noise is largest at the variance of the rest."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.tensor([0.0, 4.0], dtype=torch.float64).repeat(50_000)
    error = torch.randn(len(noise), generator=generator, dtype=torch.float64)
    error = error * (0.25 + noise).sqrt()
    log_variance = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_variance], max_iter=50)

    def closure():
        optimizer.zero_grad()
        spread = log_variance.expand(len(error))
        loss = beta_nll(torch.zeros_like(error), spread, error, 0.0, noise).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert log_variance.detach().exp().item() == pytest.approx(0.25, rel=0.03)


def test_all_terms_of_the_loss_use_the_noise():
    """A row with very large noise adds nothing to the gradients of mean and baseline."""
    target = torch.tensor([[5.0, 1.0]])
    mean, baseline = (torch.zeros(1, 2, requires_grad=True) for _ in range(2))
    output = NodePredictions(mean, torch.zeros(1, 2), baseline, torch.zeros(1), torch.zeros(1))
    row_data = {"target": target, "weight": torch.ones(1, 2), "noise": torch.tensor([[1e6, 0.0]])}
    SpTGNNLoss()(output, row_data).backward()
    for gradient in (mean.grad, baseline.grad):
        assert abs(gradient[0, 0]) < 1e-4 < 0.1 < abs(gradient[0, 1])
