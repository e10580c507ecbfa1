"""Minimum detectable change by number of samples and revisits."""

import numpy as np
import pytest
from known_draws import cell_table, known_model
from scipy.special import ndtri

from sptgnn_sklearn.estimation import estimate_change, minimum_detectable_change

N_CELLS, SHARE, R = 12, 0.5, 0.6


def known_variance(n, again, *, n_draws=20_000, seed=0):
    """Return the variance of the mean change after n samples at each date, by linear algebra.

    Errors of one date have the correlation SHARE, those of two dates SHARE times R; measurements at
    one cell at two dates are independent otherwise.
    """
    same = np.full((N_CELLS, N_CELLS), SHARE) + (1 - SHARE) * np.eye(N_CELLS)
    cross = np.full((N_CELLS, N_CELLS), SHARE * R)
    covariance = np.block([[same, cross], [cross, same]])
    target = np.r_[np.full(N_CELLS, -1 / N_CELLS), np.full(N_CELLS, 1 / N_CELLS)]
    if n == 0:
        return target @ covariance @ target
    second = np.arange(n) if again else np.arange(N_CELLS - n, N_CELLS)
    known = np.r_[np.arange(n), N_CELLS + second]
    shared = covariance[known] @ target
    return target @ covariance @ target - shared @ np.linalg.solve(
        covariance[np.ix_(known, known)], shared
    )


def dates(**columns):
    return cell_table(N_CELLS, 2012.0, **columns), cell_table(N_CELLS, 2020.0, **columns)


def test_detectable_change_is_that_of_kriging():
    """For each number of locations and kind of visit; more samples detect less."""
    model = known_model(share=SHARE, time_correlation=R)
    table = minimum_detectable_change(
        model, *dates(), n_locations=[1, 3, 6], block_rows=5, n_samples=4000
    )
    assert table.index.names == ["zone", "n_locations", "revisit"]
    for n in (0, 1, 3, 6):
        for again in (False, True):
            expected = np.sqrt(known_variance(n, again))
            assert table["std"]["all", n, again] == pytest.approx(expected, rel=0.02)
    factor = ndtri(0.975) + ndtri(0.8)
    np.testing.assert_allclose(table["minimum_detectable_change"], factor * table["std"])
    other = minimum_detectable_change(
        model, *dates(), n_locations=[3], revisit=True, level=0.1, power=0.5
    )
    ratio = other["minimum_detectable_change"] / other["std"]
    np.testing.assert_allclose(ratio, ndtri(0.95))
    assert other.index.get_level_values("revisit").unique().tolist() == [True]


def test_without_samples_it_is_that_of_the_map():
    """With the same draws."""
    model = known_model()
    alone = estimate_change(model, *dates(), n_samples=2000)["minimum_detectable_difference"]
    table = minimum_detectable_change(model, *dates(), n_locations=[2])
    assert table.loc[("all", 0, False), "minimum_detectable_change"] == pytest.approx(
        alone["all"], rel=1e-6
    )


def test_zones_with_few_cells_are_missing():
    """With a warning that names them."""
    farm = ["a"] * 9 + ["b"] * 3
    model = known_model()
    with pytest.warns(UserWarning, match=r"too few cells for n_locations=\[2, 5\].*\['b'\]"):
        table = minimum_detectable_change(
            model, *dates(farm=farm), "farm", n_locations=[2, 5], revisit=True
        )
    assert table["std"].isna().to_numpy().tolist() == [False] * 5 + [True]


def test_other_locations_are_not_revisits():
    """They need twice as many cells."""
    with pytest.warns(UserWarning, match="too few cells"):
        table = minimum_detectable_change(known_model(), *dates(), n_locations=[6, 7])
    assert table["std"].isna().to_numpy().tolist() == [False] * 4 + [True, False]


def test_locations_are_drawn_in_proportion_to_weights():
    """A row does not depend on the other numbers of locations."""
    model, weights = known_model(share=0.0), [1e6] + [1.0] * (N_CELLS - 1)
    options = {"weights": weights, "revisit": True, "n_samples": 200}
    one = minimum_detectable_change(model, *dates(), n_locations=[1], **options)
    two = minimum_detectable_change(model, *dates(), n_locations=[1, 6], **options)
    # The heavy cell is the first of each order, and its error is that of the mean.
    assert one["std"]["all", 1, True] < 0.1 * one["std"]["all", 0, True]
    assert two["std"]["all", 1, True] == one["std"]["all", 1, True]


def test_blocks_of_both_dates_may_differ():
    """Partitions of dask, and tables beside them."""
    dask_dataframe = pytest.importorskip("dask.dataframe")
    before, after = dates()
    model = known_model()
    whole = minimum_detectable_change(model, before, after, n_locations=[3])
    for tables in (
        (dask_dataframe.from_pandas(before, npartitions=3), after),
        (before, dask_dataframe.from_pandas(after, npartitions=2)),
    ):
        table = minimum_detectable_change(model, *tables, n_locations=[3])
        np.testing.assert_allclose(table["std"].loc["all", 0], whole["std"].loc["all", 0])
    for tables, message in (
        ((before, after[:5]), "after has only 5 rows"),
        ((before[:5], after), "before has only 5 rows"),
    ):
        with pytest.raises(ValueError, match=message):
            minimum_detectable_change(model, *tables, n_locations=[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_locations": 5}, "n_locations must be a sequence"),
        ({"n_locations": [0]}, "n_locations must be an integer of at least 1"),
        ({"n_locations": []}, "n_locations must be a sequence"),
        (
            {"n_locations": [300], "n_samples": 2000},
            "n_samples=2000 must be at least 10 times .* n_samples=3000",
        ),
        ({"revisit": "yes"}, "revisit must be True, False or both"),
        ({"revisit": []}, "revisit must be True, False or both"),
        ({"power": 2}, "power"),
        ({"weights": [0.0] * N_CELLS}, "positive weight"),
    ],
)
def test_invalid_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        minimum_detectable_change(known_model(), *dates(), **arguments)
