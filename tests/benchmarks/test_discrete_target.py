"""Scores for targets with few distinct values."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from benchmarks import discrete_target
from benchmarks.discrete_target import (
    discrete_quantiles,
    to_continuous,
    to_observed_values,
    value_probabilities,
)
from benchmarks.experiments import Experiment, PredictionStore
from benchmarks.tables import Task, read_table
from benchmarks.uncertainty import LEVELS

Y = np.repeat([0.0, 1.0, 4.0], [2, 6, 2])


def test_probabilities_of_a_normal_distribution():
    """A value gets the probability nearest to it; discrete quantiles are a step function."""
    values = np.array([-1.0, 0.0, 3.0])
    probabilities = value_probabilities(norm.ppf(LEVELS)[None], values)
    expected = np.diff(norm.cdf([-np.inf, -0.5, 1.5, np.inf]))
    np.testing.assert_allclose(probabilities[0], expected, atol=0.003)
    steps = discrete_quantiles(np.array([[0.25, 0.5, 0.25]]), values)[0]
    np.testing.assert_array_equal(np.unique(steps, return_counts=True)[1], [50, 100, 49])
    np.testing.assert_array_equal(steps[[49, 50]], [-1.0, 0.0])


def test_densities_get_the_training_frequencies():
    """Frequencies hold on average over rows, and rows keep their order."""
    quantiles = norm.ppf(LEVELS) + np.array([[0.0], [1.0], [2.0], [3.0]])
    discrete = to_observed_values(quantiles, Y)
    frequencies = np.mean(discrete[..., None] == np.unique(Y), axis=(0, 1))
    np.testing.assert_allclose(frequencies, [0.2, 0.6, 0.2], atol=0.02)
    assert (np.diff(discrete.mean(axis=1)) > 0).all()


def test_frequencies_are_spread_between_values():
    """They are spread evenly to the midpoints; the ends are the smallest and largest value."""
    discrete = discrete_quantiles(np.array([[0.2, 0.6, 0.2]]), np.unique(Y))
    continuous = to_continuous(discrete, Y)[0]
    expected = np.interp([0.1, 0.2, 0.5, 0.8, 0.9], [0, 0.2, 0.8, 1], [0, 0.5, 2.5, 4])
    np.testing.assert_allclose(continuous[[19, 39, 99, 159, 179]], expected, atol=0.05)
    assert (np.diff(continuous) >= 0).all()


def test_command_line(tmp_path, monkeypatch):
    """The scores of stored quantiles are written; missing quantiles are an error."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.uniform(size=(60, 3)), columns=["x", "y", "rain"])
    table["target_clay"] = rng.choice(Y, 60)
    table["meta_fold_random"] = table["meta_fold_block"] = np.arange(60) % 2
    table.to_parquet(tmp_path / "soil.parquet")
    command = ["benchmark", "--table", str(tmp_path / "soil.parquet"), "--target", "target_clay"]
    command += ["--out", str(tmp_path / "out"), "--predictions", str(tmp_path / "stored")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match=r"sptgnn for fold 0; run benchmarks.uncertainty"):
        discrete_target.main()
    task = Task("soil", "target_clay")
    data = read_table(tmp_path / "soil.parquet", task)
    store = PredictionStore(tmp_path / "stored")
    for kind, folds in data.folds.items():
        for label in (0, 1):
            test = folds == label
            exact = np.repeat(data.y[test][:, None], len(LEVELS), axis=1)
            wide = 1 + norm.ppf(LEVELS) + np.zeros((test.sum(), 1))
            for model, quantiles in (("sptgnn", wide), ("quantile_forest", exact)):
                store.save(Experiment(task, kind, model, 0), label, {"mean": quantiles})
    discrete_target.main()
    path = tmp_path / "out" / "discrete-target-soil-target_clay.json"
    record = json.loads(path.read_text())
    assert record["distinct_values"] == 3
    assert record["share_of_the_8_most_frequent"] == 1
    scores = record["block"]
    assert scores["quantile forest"]["crps"] == 0
    assert scores["quantile forest, spread between values"]["crps"] > 0
    assigned = scores["SpTGNN, assigned to observed values"]
    assert assigned["crps"] < scores["SpTGNN"]["crps"]
