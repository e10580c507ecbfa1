"""Samples that cover an area or its covariates."""

import numpy as np
import pytest

from sptgnn_sklearn.estimation.covering_samples import latin_hypercube_rows, spatial_coverage_rows


def test_spatial_coverage_is_better_than_random():
    """The mean squared distance of cells to the nearest sample is smaller than that of any draw."""
    rng = np.random.RandomState(0)
    cells = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), -1).reshape(-1, 2)

    def distance(rows):
        return np.mean(np.min(((cells[:, None] - cells[rows]) ** 2).sum(-1), axis=1))

    rows = spatial_coverage_rows(cells, np.ones(400), 16, rng)
    assert len(set(rows)) == 16
    drawn = [distance(rng.permutation(400)[:16]) for _ in range(50)]
    assert distance(rows) < min(drawn)
    east = spatial_coverage_rows(cells, np.where(cells[:, 0] > 9, 1.0, 1e-9), 8, rng)
    assert (cells[east, 0] > 9).all()


def test_coincident_centers_get_different_cells():
    cells = np.repeat(np.array([[0.0, 0.0], [1.0, 0.0]]), 3, axis=0)
    with pytest.warns(Warning, match="distinct clusters"):
        rows = spatial_coverage_rows(cells, np.ones(6), 4, np.random.RandomState(0))
    assert len(set(rows)) == 4


def test_latin_hypercube_fills_strata_and_keeps_correlations():
    """Better than all of 200 random draws in both."""
    rng = np.random.RandomState(0)
    covariates = rng.normal(size=(500, 3)) @ np.array([[1, 0.8, 0], [0, 0.6, 0], [0, 0, 1.0]])
    rows = latin_hypercube_rows(covariates, 20, rng)
    assert len(set(rows)) == 20

    def misfit(rows):
        ranks = np.argsort(np.argsort(covariates, axis=0), axis=0) * 20 // 500
        return sum(np.abs(np.bincount(ranks[rows, j], minlength=20) - 1).sum() for j in range(3))

    drawn = [rng.permutation(500)[:20] for _ in range(200)]
    assert misfit(rows) < min(map(misfit, drawn))
    whole = np.corrcoef(covariates.T)
    error = [np.abs(np.corrcoef(covariates[d].T) - whole).sum() for d in drawn]
    assert np.abs(np.corrcoef(covariates[rows].T) - whole).sum() < np.median(error)


def test_constant_columns_and_all_rows():
    covariates = np.column_stack([np.arange(6.0), np.ones(6)])
    rng = np.random.RandomState(0)
    assert sorted(latin_hypercube_rows(covariates, 6, rng)) == list(range(6))
    assert len(set(latin_hypercube_rows(covariates, 3, rng))) == 3
