"""Joint draws of a model at several blocks."""

import numpy as np
import pytest
from known_draws import KnownDraws, cell_table, known_model
from sklearn.base import BaseEstimator

from sptgnn_sklearn.estimation.joint_draws import (
    JointDraws,
    check_draw_count,
    check_samples_jointly,
    derive_seed,
    read_seed,
)


def test_blocks_and_tables_are_drawn_jointly():
    """Draws of two calls, and of two tables in one call, are those of all cells at once."""
    cells, model = cell_table(8), known_model()
    whole = model.sample_y(cells, 150, random_state=2)
    source = JointDraws(model, 150, 2)
    parts = [source.draw(cells[:5]), source.draw(cells[5:])]
    np.testing.assert_allclose(np.concatenate(parts), whole)
    np.testing.assert_allclose(JointDraws(model, 150, 2).draw(cells[:3], cells[3:]), whole)
    np.testing.assert_array_equal(source.predict(cells), cells["value"])


def test_arrays_are_joined():
    """A model without names gets one array."""

    class Counter(BaseEstimator):
        def fit(self, X, y):
            self.n_features_in_ = X.shape[1]
            return self

        def predict(self, X):
            return X[:, 0]

        def sample_y(self, X, n_samples, random_state):
            return np.tile(X[:, :1], n_samples)

    frame = cell_table(3)[["x", "y"]].set_axis([0, 1], axis=1)
    source = JointDraws(Counter().fit(frame.to_numpy(), None), 4, 0)
    assert source.draw(frame, frame)[:, 0].tolist() == [0, 10, 20, 0, 10, 20]


class Broken(KnownDraws):
    """Regressor with wrong results."""

    def predict(self, X):
        return np.zeros((len(X), 2)) if self.std == 7 else super().predict(X)

    def sample_y(self, X, n_samples=1, random_state=None):
        draws = super().sample_y(X, n_samples, random_state)
        if self.std == 8:
            return draws[:, 1:]
        draws[1, 3] = np.nan
        return draws


@pytest.mark.parametrize(
    ("std", "message"),
    [
        (7, r"predict of Broken returns shape \(4, 2\)"),
        (8, r"sample_y of Broken returns shape \(4, 149\)"),
        (9, r"sample_y of Broken is not finite in 1 of 4 rows \(row position 1\)"),
    ],
)
def test_invalid_results_raise(std, message):
    """Shapes and values are checked."""
    source = JointDraws(Broken(std=std).fit(cell_table()), 150, 0)
    with pytest.raises(ValueError, match=message):
        source.predict(cell_table(4))
        source.draw(cell_table(4))


def test_seeds_of_streams_differ():
    """Seeds are valid for scikit-learn, and the same in each call."""
    seeds = [derive_seed(seed, stream) for seed in (0, 1, 2**32 - 1) for stream in range(5)]
    assert len(set(seeds)) == 15
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert read_seed(7) == read_seed(np.int64(7)) == 7
    assert read_seed(np.random.RandomState(1)) == read_seed(np.random.RandomState(1))


def test_counts_and_methods():
    """Two draws are enough for a variance."""
    assert check_draw_count(2) == 2
    check_samples_jointly(known_model())
