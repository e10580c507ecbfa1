"""Benchmark of models that are saved without training data."""

import json
import sys

import pytest

from benchmarks import sharing


def test_command_line(parquet, tmp_path, monkeypatch, capsys):
    """Each fold is one line, which a second run does not compute again."""
    command = ["benchmark", "--table", str(parquet), "--target", "target_soc"]
    command += ["--elevation", "elevation", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    settings = {"max_epochs": 2, "n_estimators": 2}
    make = sharing.SpTGNNRegressor
    monkeypatch.setattr(sharing, "SpTGNNRegressor", lambda **roles: make(**roles, **settings))
    sharing.main()
    (line,) = (tmp_path / "groups-of-5-seed0.jsonl").read_text().splitlines()
    entry = json.loads(line)
    assert entry["loss"] == pytest.approx(entry["complete"]["R2"] - entry["shared"]["R2"])
    assert set(entry["loss_by_part"]) == {"nodes", "trees", "quantiles"}
    assert entry["measured"]["upper_limit"] >= entry["measured"]["near"]
    assert entry["groups"] <= entry["rows"] // 5
    monkeypatch.setattr(sharing, "run_fold", None)
    capsys.readouterr()
    sharing.main()
    assert f"soil 0 | {entry['complete']['R2']:.3f}" in capsys.readouterr().out
    with pytest.raises(TypeError):
        monkeypatch.setattr(sys, "argv", [*command, "--folds", "all"])
        sharing.main()


def test_means_of_folds():
    """Tables with several folds get a line of means."""
    moments = {"R2": 0.5, "rmse": 1.0, "mean_std": 2.0}
    entry = {
        "table": "soil",
        "complete": moments,
        "shared": moments,
        "loss_by_part": {"nodes": 0.1, "trees": 0.0, "quantiles": 0.0},
        "measured": {"explained_variance": 0.1, "upper_limit": 0.2},
    }
    entries = [{**entry, "fold": fold, "loss": loss} for fold, loss in enumerate((0.1, 0.3))]
    text = sharing.format_entries(entries)
    assert "soil mean | 0.500 | 0.500 | 0.200 | 0.100" in text
    assert sharing.format_entries(entries[:1]).count("soil") == 1
