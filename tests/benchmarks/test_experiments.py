"""Cross-validated experiments: stored predictions, records and pooled scores."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from benchmark_helpers import TASK, CountingNearest, make_entry
from sklearn.metrics import r2_score

from benchmarks.experiments import (
    Experiment,
    ExperimentRecord,
    PredictionStore,
    average_predictions,
    fit_and_predict,
    run_experiment,
)
from benchmarks.tables import TableData


def test_interrupted_experiment_resumes(data, tmp_path):
    """Stored folds are not fitted again, and the scores are the same; refit fits all folds."""
    experiment, store = Experiment(TASK, "random", "nearest", 0), PredictionStore(tmp_path)
    predict = partial(fit_and_predict, CountingNearest, data)
    CountingNearest.n_fits = 0
    first = run_experiment(experiment, data, predict, store)
    assert CountingNearest.n_fits == 3
    next(tmp_path.rglob("*fold1.npz")).unlink()
    second = run_experiment(experiment, data, predict, store)
    assert CountingNearest.n_fits == 4
    for name in ("R2", "unit", "moran_i", "total_square"):
        assert first[name] == second[name]
    run_experiment(experiment, data, predict, replace(store, refit=True))
    assert CountingNearest.n_fits == 7


def test_scores_are_pooled_over_folds(data, tmp_path):
    """R2 is that of all predictions together; the squared errors of the folds add up to it."""
    experiment = Experiment(TASK, "block", "nearest", 0)
    predict = partial(fit_and_predict, CountingNearest, data)
    entry = run_experiment(experiment, data, predict, PredictionStore(tmp_path))
    expected = np.empty(len(data.y))
    for fold in range(3):
        test = data.folds["block"] == fold
        model = CountingNearest().fit(data.X[~test], data.y[~test])
        expected[test] = model.predict(data.X[test])
    assert entry["R2"] == pytest.approx(r2_score(data.y, expected))
    squared = sum(part["squared_error"] for part in entry["parts"])
    assert entry["R2"] == pytest.approx(1 - squared / entry["total_square"])
    rmse = np.sqrt(np.mean((data.observed - np.expm1(expected)) ** 2))
    assert entry["unit"]["RMSE"] == pytest.approx(rmse)


def test_predictions_of_another_table_are_an_error(data, tmp_path):
    """Stored predictions must have the number of rows of the fold."""
    experiment, store = Experiment(TASK, "random", "nearest", 0), PredictionStore(tmp_path)
    run_experiment(experiment, data, partial(fit_and_predict, CountingNearest, data), store)
    fewer = TableData(
        data.X[5:],
        data.y[5:],
        data.observed[5:],
        {"random": data.folds["random"][5:]},
        data.coordinates[5:],
        None,
    )
    with pytest.raises(SystemExit, match=r"fold\d.npz has \d+ predictions for a fold of"):
        run_experiment(experiment, fewer, partial(fit_and_predict, CountingNearest, fewer), store)


def test_average_of_stored_predictions(data, tmp_path):
    """Predictions are averaged and times added; a missing fold is an error."""
    store = PredictionStore(tmp_path)
    experiments = [Experiment(TASK, "random", name, 0) for name in ("one", "other")]
    test = data.folds["random"] == 2
    for value, experiment in enumerate(experiments):
        result = {"mean": np.full(test.sum(), value), "fit_seconds": 1.0, "predict_seconds": 0.5}
        store.save(experiment, 2, result)
    average = average_predictions(experiments, data, store, test)
    assert (average["mean"] == 0.5).all()
    assert average["fit_seconds"] == 2.0
    with pytest.raises(LookupError, match="fold 1"):
        average_predictions(experiments, data, store, data.folds["random"] == 1)


def test_entry_replaces_the_previous_one(tmp_path):
    """A record has one entry for each model and kind of folds."""
    record = ExperimentRecord(tmp_path, TASK, 0)
    for errors in ([10, 10, 10], [1, 1, 1]):
        record.add(make_entry("random", "sptgnn", errors))
    assert len(record.entries()) == 1
    assert record.find(Experiment(TASK, "random", "sptgnn", 0))["R2"] == pytest.approx(0.97)
    assert record.find(Experiment(TASK, "random", "gpboost", 0)) is None
    assert json.loads(record.path.read_text())["scale"] == "log1p"
