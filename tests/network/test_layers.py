"""Batched layers against loops over the ensemble members."""

import pytest
import torch
from torch.nn import functional as F

from sptgnn_sklearn.network.layers import MemberLinear, MemberNorm, StreamEncoder

X = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))


def randomize(module):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module.requires_grad_(False)


@pytest.mark.parametrize("n_out", [1, 3])
def test_linear_layer_of_each_member(n_out):
    """Each member has its own affine map, with one output column as with several."""
    layer = randomize(MemberLinear(2, 4, n_out))
    for m in range(2):
        expected = F.linear(X[m], layer.weight[m].T, layer.bias[m, 0])
        torch.testing.assert_close(layer(X)[m], expected)


def test_initial_weights_come_from_each_members_generator():
    """A member's initial weights depend on its seed alone; zero=True starts at zero."""
    both, second = MemberLinear(2, 400, 50), MemberLinear(1, 400, 50)
    both.reset_parameters([torch.Generator().manual_seed(seed) for seed in (3, 4)])
    second.reset_parameters([torch.Generator().manual_seed(4)])
    assert torch.equal(both.weight[1], second.weight[0])
    assert float(both.weight.detach().std()) == pytest.approx(400**-0.5, rel=0.02)
    zero = MemberLinear(1, 4, 3, zero=True)
    zero.reset_parameters([torch.Generator().manual_seed(0)])
    assert (zero.weight == 0).all()


def test_norm_has_a_gain_and_offset_for_each_member():
    """The layer equals torch's layer normalization with the parameters of the member."""
    norm = randomize(MemberNorm(2, 4))
    for m in range(2):
        expected = F.layer_norm(X[m], (4,), norm.gain[m, 0], norm.offset[m, 0])
        torch.testing.assert_close(norm(X)[m], expected)


def test_stream_encoder_adds_a_linear_skip_connection():
    """Without output weights the encoder is the skip connection."""
    encoder = randomize(StreamEncoder(2, 4, 6, 3))
    torch.testing.assert_close(
        encoder(X), encoder.output(F.silu(encoder.hidden(X))) + encoder.skip(X)
    )
    encoder.output.weight.zero_()
    encoder.output.bias.zero_()
    torch.testing.assert_close(encoder(X), encoder.skip(X))
