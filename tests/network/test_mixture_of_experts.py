"""Mixture of experts against a loop over experts."""

import pytest
import torch

from sptgnn_sklearn.network.mixture_of_experts import MixtureOfExperts


def test_mixture_equals_a_loop_over_experts():
    """The masked product equals the gate-weighted sum of each row's chosen experts."""
    mixture = MixtureOfExperts(2, 6, 5, 4, n_experts=3, top_k=2).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in mixture.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    x = torch.randn(2, 7, 6, generator=generator)
    gates, balance, z_loss = mixture.gates(x)
    torch.testing.assert_close(gates.sum(-1), torch.ones(2, 7))
    assert ((gates > 0).sum(-1) == 2).all()
    hidden = torch.nn.functional.silu(mixture.hidden(x)).view(2, 7, 3, 5)
    expected = mixture.output.bias.expand(2, 7, 4).clone()
    for e in range(3):
        weight = mixture.output.weight[:, 5 * e : 5 * e + 5]
        expected = expected + gates[..., e, None] * (hidden[:, :, e] @ weight)
    torch.testing.assert_close(mixture(x)[0], expected)
    assert (balance >= 0).all() and (z_loss >= 0).all()


def test_balance_loss_is_one_for_equally_used_experts():
    """The balance loss is 1 for equal use of four experts, and 4 if one expert takes all rows."""
    mixture = MixtureOfExperts(1, 4, 4, 4, n_experts=4, top_k=1).requires_grad_(False)
    with torch.no_grad():
        mixture.router.weight.copy_(50 * torch.eye(4)[None])
    equal = torch.eye(4)[None]
    single = torch.eye(4)[[0, 0, 0, 0]][None]
    assert float(mixture.gates(equal)[1]) == pytest.approx(1.0, abs=1e-4)
    assert float(mixture.gates(single)[1]) == pytest.approx(4.0, abs=1e-4)
