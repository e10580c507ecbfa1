"""Targets of few values: quantiles moved to the values and spread between them; the command."""

import json
import sys

import numpy as np
import pytest
from scipy.stats import norm

from benchmarks import ties
from benchmarks.experiments import Experiment, PredictionStore
from benchmarks.tables import Task, read
from benchmarks.discrete_target import dealt, quantiles_of_shares, shares_of_values, spread
from benchmarks.uncertainty import LEVELS

Y = np.repeat([0.0, 1.0, 4.0], [2, 6, 2])


def test_shares_are_those_of_the_distribution():
    """Of what is nearer to a value than to the others; quantiles of shares are steps."""
    values = np.array([-1.0, 0.0, 3.0])
    shares = shares_of_values(norm.ppf(LEVELS)[None], values)
    expected = np.diff(norm.cdf([-np.inf, -0.5, 1.5, np.inf]))
    np.testing.assert_allclose(shares[0], expected, atol=0.003)
    steps = quantiles_of_shares(np.array([[0.25, 0.5, 0.25]]), values)[0]
    np.testing.assert_array_equal(np.unique(steps, return_counts=True)[1], [50, 100, 49])
    np.testing.assert_array_equal(steps[[49, 50]], [-1.0, 0.0])


def test_densities_are_dealt_as_often_as_values_occur():
    """On average over rows, and a row that leans to one side keeps leaning."""
    quantiles = norm.ppf(LEVELS) + np.array([[0.0], [1.0], [2.0], [3.0]])
    found = dealt(quantiles, Y)
    shares = np.mean(found[..., None] == np.unique(Y), axis=(0, 1))
    np.testing.assert_allclose(shares, [0.2, 0.6, 0.2], atol=0.02)
    assert (np.diff(found.mean(axis=1)) > 0).all()


def test_shares_are_spread_between_values():
    """Evenly to halfway to the next value; the ends stay the least and greatest value."""
    found = spread(quantiles_of_shares(np.array([[0.2, 0.6, 0.2]]), np.unique(Y)), Y)[0]
    expected = np.interp([0.1, 0.2, 0.5, 0.8, 0.9], [0, 0.2, 0.8, 1], [0, 0.5, 2.5, 4])
    np.testing.assert_allclose(found[[19, 39, 99, 159, 179]], expected, atol=0.05)
    assert (np.diff(found) >= 0).all()


def test_the_command(tmp_path, monkeypatch):
    """Reads what the benchmark of uncertainty kept, and says where it kept nothing."""
    import pandas as pd

    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.uniform(size=(60, 3)), columns=["x", "y", "rain"])
    table["target_clay"] = rng.choice(Y, 60)
    table["meta_fold_random"] = table["meta_fold_block"] = np.arange(60) % 2
    table.to_parquet(tmp_path / "soil.parquet")
    command = ["ties", "--table", str(tmp_path / "soil.parquet"), "--target", "target_clay"]
    command += ["--out", str(tmp_path / "out"), "--predictions", str(tmp_path / "kept")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match=r"Run benchmarks.uncertainty first: no fold 0 of sptgnn"):
        ties.main()
    task = Task("soil", "target_clay")
    data = read(tmp_path / "soil.parquet", task)
    for kind, folds in data.folds.items():
        for label in (0, 1):
            test = folds == label
            sure = np.repeat(data.y[test][:, None], len(LEVELS), axis=1)
            wide = 1 + norm.ppf(LEVELS) + np.zeros((test.sum(), 1))
            for model, stated in (("sptgnn", wide), ("quantile_forest", sure)):
                PredictionStore(tmp_path / "kept").keep(Experiment(task, kind, model, 0), label, {"mean": stated})
    ties.main()
    record = json.loads((tmp_path / "out" / "ties-soil-target_clay.json").read_text())
    assert record["values"] == 3
    assert record["share_of_the_8_most_frequent"] == 1
    forms = record["block"]
    assert forms["quantile forest"]["crps"] == 0
    assert forms["quantile forest, spread between values"]["crps"] > 0
    assert forms["SpTGNN, dealt to values"]["crps"] < forms["SpTGNN"]["crps"]
