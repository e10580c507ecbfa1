"""Member encoders against single encoders: outputs, gradients, copies and augmentation."""

import copy
import pickle

import numpy as np
import pytest
import torch
from small_encoder import SIDE, WIDTH, small_stages

from sptgnn_sklearn.encoders.finetuning import MemberEncoders, apply_dihedral
from sptgnn_sklearn.encoders.terramind import split_stages

CENTER, SPREAD = np.full(WIDTH, 0.5), np.full(WIDTH, 2.0)


def chips(n, seed=0, **channels):
    """Return random chips of n rows, of the given channels by modality."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(n, c, SIDE, SIDE, generator=generator)
        for name, c in (channels or {"DEM": 1}).items()
    }


def encoders(fine_tune=True, n_members=3, recompute=False, **channels):
    """Return encoder stages and member encoders with different weights."""
    stages = small_stages(**channels)
    made = MemberEncoders(stages, n_members, fine_tune, CENTER, SPREAD, recompute)
    with torch.no_grad():  # different weights, as after training
        for parameter in made.parameters():
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5))
            parameter.add_(0.1 * noise)
    return stages, made


def single_encoder(made, member, stages, fine_tune):
    """Return the encoder of one member as a plain module."""
    single = copy.deepcopy(stages)
    tail = single if fine_tune is True else split_stages(single, fine_tune)[1]
    weights = {name: value[member] for name, value in made.tail.named_parameters()}
    tail.load_state_dict(weights, strict=False)
    return single


@pytest.mark.parametrize("fine_tune", [True, 1, 3])
def test_members_equal_single_encoders(fine_tune):
    """Embeddings are standardized; the last column indicates rows without image."""
    stages, made = encoders(fine_tune)
    rows = np.array([0, 2])
    groups = [[(rows, chips(2, seed=member))] for member in range(3)]
    stream = made(groups, 3)
    assert stream.shape == (3, 3, WIDTH + 1)
    np.testing.assert_array_equal(stream[:, :, -1].detach(), [[0, 1, 0]] * 3)
    np.testing.assert_array_equal(stream[:, 1, :-1].detach(), 0)
    for member in range(3):
        expected = (
            single_encoder(made, member, stages, fine_tune)(chips(2, seed=member)) - 0.5
        ) / 2
        torch.testing.assert_close(stream[member, rows, :-1], expected)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("fine_tune", [True, 2])
def test_gradients_equal_those_of_single_encoders(fine_tune, recompute):
    """With and without gradient checkpointing, for rows of each member."""
    stages, made = encoders(fine_tune, recompute=recompute)
    groups = [[(np.arange(4), chips(4, seed=member))] for member in range(3)]
    (made(groups, 4) ** 3).sum().backward()
    for member in range(3):
        single = single_encoder(made, member, stages, fine_tune)
        ((((single(chips(4, seed=member)) - 0.5) / 2) ** 3).sum()).backward()
        tail = single if fine_tune is True else split_stages(single, fine_tune)[1]
        expected = dict(tail.named_parameters())
        for name, parameter in made.tail.named_parameters():
            torch.testing.assert_close(parameter.grad[member], expected[name].grad)


def test_frozen_stages_have_no_parameters():
    """An optimizer step changes the tuned stages only."""
    stages, made = encoders(fine_tune=1)
    trunk = copy.deepcopy(made.trunk.state_dict())
    start = [value.clone() for value in made.parameters()]
    assert not list(made.trunk.parameters())
    optimizer = torch.optim.AdamW(made.parameters(), lr=0.1)
    made([[(np.arange(2), chips(2))]] * 3, 2).square().sum().backward()
    optimizer.step()
    for name, value in made.trunk.state_dict().items():
        assert torch.equal(value, trunk[name])
    frozen = stages[:-2].state_dict()
    assert set(frozen) == set(trunk)
    assert all(torch.equal(frozen[name], value) for name, value in trunk.items())
    changed = [not torch.equal(a, b) for a, b in zip(made.parameters(), start, strict=True)]
    assert all(changed)


def test_encode_for_all_equals_separate_passes():
    """Shared rows pass the trunk once with the same result."""
    _, made = encoders(2, DEM=1, S1=2)
    groups = [(np.array([1]), chips(1, DEM=1, S1=2)), (np.array([0, 3]), chips(2, S1=2))]
    torch.testing.assert_close(made.encode_for_all(groups, 4), made([groups] * 3, 4))


def test_rows_of_different_modalities_are_independent():
    """Rows grouped by modalities have the embeddings of each row alone."""
    stages, made = encoders(True, DEM=1, S1=2)
    both, one = chips(2, DEM=1, S1=2), chips(1, seed=3, S1=2)
    together = made.encode_for_all([(np.array([0, 1]), both), (np.array([2]), one)], 3)
    expected = (single_encoder(made, 1, stages, True)(one) - 0.5) / 2
    torch.testing.assert_close(together[1, 2:, :-1], expected)


def test_copies_share_the_trunk_only():
    """Tuned weights of a copy are independent."""
    _, made = encoders(1)
    clone = copy.deepcopy(made)
    assert clone.trunk is made.trunk
    with torch.no_grad():
        for parameter in clone.parameters():
            parameter.zero_()
    assert all(parameter.abs().sum() > 0 for parameter in made.parameters())


def test_resized_starts_from_the_first_member():
    """All members of the resized encoders equal the first one."""
    _, made = encoders(True)
    more = made.resized(5)
    stream = more.encode_for_all([(np.arange(2), chips(2))], 2)
    assert stream.shape[0] == 5
    torch.testing.assert_close(stream[4], made.encode_for_all([(np.arange(2), chips(2))], 2)[0])


def test_pickled_encoders_give_the_same_output():
    """Worker processes and saved estimators need pickling."""
    _, made = encoders(1)
    groups = [(np.arange(2), chips(2))]
    again = pickle.loads(pickle.dumps(made))
    torch.testing.assert_close(again.encode_for_all(groups, 2), made.encode_for_all(groups, 2))


def test_dihedral_group_has_eight_elements():
    """All results differ and keep the pixels; element 0 is the identity."""
    chip = torch.arange(9.0).view(1, 1, 3, 3)
    turned = apply_dihedral(chip.expand(8, -1, -1, -1), torch.arange(8))
    assert torch.equal(turned[0], chip[0])
    assert len({tuple(values.flatten().tolist()) for values in turned}) == 8
    assert (turned.flatten(1).sort(1).values == torch.arange(9.0)).all()
    assert torch.equal(turned[2], chip[0].flip(-1).flip(-2))
