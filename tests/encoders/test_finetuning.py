"""Encoders of the members: against each member alone, and against a plain full-batch gradient."""

import copy
import pickle

import numpy as np
import pytest
import torch
from small_encoder import SIDE, WIDTH, small_stages

from sptgnn_sklearn.encoders.finetuning import MemberEncoders, apply_dihedral
from sptgnn_sklearn.encoders.terramind import split_stages

CENTRE, SPREAD = np.full(WIDTH, 0.5), np.full(WIDTH, 2.0)


def chips(n, seed=0, **channels):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(n, c, SIDE, SIDE, generator=generator)
        for name, c in (channels or {"DEM": 1}).items()
    }


def encoders(tuned=True, n_members=3, recompute=False, **channels):
    stages = small_stages(**channels)
    made = MemberEncoders(stages, n_members, tuned, CENTRE, SPREAD, recompute)
    with torch.no_grad():  # members part ways, as they do in training
        for parameter in made.parameters():
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5))
            parameter.add_(0.1 * noise)
    return stages, made


def alone(made, member, stages, tuned):
    """The encoder of one member as a plain module."""
    single = copy.deepcopy(stages)
    tail = single if tuned is True else split_stages(single, tuned)[1]
    weights = {name: value[member] for name, value in made.tail.named_parameters()}
    tail.load_state_dict(weights, strict=False)
    return single


@pytest.mark.parametrize("tuned", [True, 1, 3])
def test_each_member_computes_as_it_would_alone(tuned):
    """Standardised embeddings by each member's own weights; the last column says "no image"."""
    stages, made = encoders(tuned)
    rows = np.array([0, 2])
    groups = [[(rows, chips(2, seed=member))] for member in range(3)]
    stream = made(groups, 3)
    assert stream.shape == (3, 3, WIDTH + 1)
    np.testing.assert_array_equal(stream[:, :, -1].detach(), [[0, 1, 0]] * 3)
    np.testing.assert_array_equal(stream[:, 1, :-1].detach(), 0)
    for member in range(3):
        expected = (alone(made, member, stages, tuned)(chips(2, seed=member)) - 0.5) / 2
        torch.testing.assert_close(stream[member, rows, :-1], expected)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("tuned", [True, 2])
def test_gradients_agree_with_a_plain_encoder(tuned, recompute):
    """Each member's gradient is that of its own encoder on its own rows, recomputed or not."""
    stages, made = encoders(tuned, recompute=recompute)
    groups = [[(np.arange(4), chips(4, seed=member))] for member in range(3)]
    (made(groups, 4) ** 3).sum().backward()
    for member in range(3):
        single = alone(made, member, stages, tuned)
        ((((single(chips(4, seed=member)) - 0.5) / 2) ** 3).sum()).backward()
        tail = single if tuned is True else split_stages(single, tuned)[1]
        expected = dict(tail.named_parameters())
        for name, parameter in made.tail.named_parameters():
            torch.testing.assert_close(parameter.grad[member], expected[name].grad)


def test_frozen_stages_have_nothing_to_train():
    """Below the tuned blocks there are no parameters, and a step changes only those above."""
    stages, made = encoders(tuned=1)
    trunk = copy.deepcopy(made.trunk.state_dict())
    start = [value.clone() for value in made.parameters()]
    assert not list(made.trunk.parameters())
    optimiser = torch.optim.AdamW(made.parameters(), lr=0.1)
    made([[(np.arange(2), chips(2))]] * 3, 2).square().sum().backward()
    optimiser.step()
    for name, value in made.trunk.state_dict().items():
        assert torch.equal(value, trunk[name])
    frozen = stages[:-2].state_dict()
    assert set(frozen) == set(trunk)
    assert all(torch.equal(frozen[name], value) for name, value in trunk.items())
    changed = [not torch.equal(a, b) for a, b in zip(made.parameters(), start, strict=True)]
    assert all(changed)


def test_rows_that_all_members_read_are_encoded_alike():
    """One pass over shared rows gives what separate passes give."""
    _, made = encoders(2, DEM=1, S1=2)
    groups = [(np.array([1]), chips(1, DEM=1, S1=2)), (np.array([0, 3]), chips(2, S1=2))]
    torch.testing.assert_close(made.encode_for_all(groups, 4), made([groups] * 3, 4))


def test_a_row_does_not_depend_on_other_modalities_rows():
    """Rows of different sets of modalities are encoded apart, and each as alone."""
    stages, made = encoders(True, DEM=1, S1=2)
    both, one = chips(2, DEM=1, S1=2), chips(1, seed=3, S1=2)
    together = made.encode_for_all([(np.array([0, 1]), both), (np.array([2]), one)], 3)
    expected = (alone(made, 1, stages, True)(one) - 0.5) / 2
    torch.testing.assert_close(together[1, 2:, :-1], expected)


def test_copies_share_the_trunk_and_nothing_else():
    """A copy for the running average costs the tuned weights only, and moves apart from them."""
    _, made = encoders(1)
    twin = copy.deepcopy(made)
    assert twin.trunk is made.trunk
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert all(parameter.abs().sum() > 0 for parameter in made.parameters())


def test_more_members_start_from_the_first():
    """Groups of members are trained apart and all begin alike."""
    _, made = encoders(True)
    more = made.resized(5)
    stream = more.encode_for_all([(np.arange(2), chips(2))], 2)
    assert stream.shape[0] == 5
    torch.testing.assert_close(stream[4], made.encode_for_all([(np.arange(2), chips(2))], 2)[0])


def test_encoders_survive_pickling():
    """They are sent to worker processes and kept in fitted estimators."""
    _, made = encoders(1)
    groups = [(np.arange(2), chips(2))]
    again = pickle.loads(pickle.dumps(made))
    torch.testing.assert_close(again.encode_for_all(groups, 2), made.encode_for_all(groups, 2))


def test_the_eight_ways_to_turn_a_square():
    """All differ, keep the pixels, and way 0 is the chip itself."""
    chip = torch.arange(9.0).view(1, 1, 3, 3)
    turned = apply_dihedral(chip.expand(8, -1, -1, -1), torch.arange(8))
    assert torch.equal(turned[0], chip[0])
    assert len({tuple(values.flatten().tolist()) for values in turned}) == 8
    assert (turned.flatten(1).sort(1).values == torch.arange(9.0)).all()
    assert torch.equal(turned[2], chip[0].flip(-1).flip(-2))
