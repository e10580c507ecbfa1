"""Default numbers of epochs and rows in a batch."""

from sptgnn_sklearn.training.config import TrainingConfig


def test_defaults_give_enough_steps_for_any_table():
    """About 240 steps in 10 to 30 epochs, and at least 120 steps."""
    config = TrainingConfig()
    assert config.resolve_batch_size(60) == 32 and config.resolve_epochs(60) == 60
    assert config.resolve_batch_size(160) == 32 and config.resolve_epochs(160) == 30
    assert config.resolve_batch_size(2_000) == 100 and config.resolve_epochs(2_000) == 12
    assert config.resolve_batch_size(10_000) == 256 and config.resolve_batch_size(40_000) == 625
    assert config.resolve_batch_size(160_000) == 1024 and config.resolve_epochs(160_000) == 10
    assert config.resolve_epochs(2_000, fine_tuning=True) == 30


def test_given_numbers_are_used():
    """max_epochs and batch_size override the defaults; a batch is no larger than the table."""
    given = TrainingConfig(max_epochs=20, batch_size=16)
    assert given.resolve_batch_size(60) == 16 and given.resolve_epochs(60) == 20
    assert given.resolve_batch_size(9) == 9
