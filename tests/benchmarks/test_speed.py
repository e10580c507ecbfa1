"""Time and memory: the plain opponent is sound, and every subcommand leaves a record."""

import json
from functools import partial

import numpy as np
import pytest
import torch

from benchmarks import speed, timed
from benchmarks.plain_pyg import PlainHeteroGNN, PlainNetwork, beta_nll
from benchmarks.speed import exponent, main, to_the_same_skill
from benchmarks.speed_report import speed as tables
from benchmarks.timed_job import Memory, Split
from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.metrics import r2_score
from sptgnn_sklearn.training.losses import beta_nll as own_beta_nll

SMALL = {"n_members": 2, "max_epochs": 1, "hidden_size": 8, "n_experts": 2}


@pytest.fixture(scope="module")
def split():
    return Split.survey(400, 200, seed=0)


@pytest.fixture(scope="module")
def fitted(split):
    model = PlainHeteroGNN(**split.roles, n_members=2, max_epochs=30, learning_rate=0.01)
    return model.fit(split.X, split.y)


def test_the_plain_implementation_learns(split, fitted):
    """It explains a good part of new rows, and errors fall on the rows that it holds out."""
    assert r2_score(split.y_new, fitted.predict(split.X_new)) > 0.3
    assert all(min(errors) < 0.8 * errors[0] for errors in fitted.errors_)


def test_plain_predictions_do_not_depend_on_other_queries(split, fitted):
    """A row alone, among others and in another order."""
    whole = fitted.predict(split.X_new)
    np.testing.assert_allclose(fitted.predict(split.X_new[3:4]), whole[3:4], rtol=1e-5)
    np.testing.assert_allclose(fitted.predict(split.X_new[::-1]), whole[::-1], rtol=1e-5)


def test_plain_training_does_not_see_its_own_target(split, fitted):
    """What the network says of a training row does not change with that row's target."""
    network = fitted.networks_[0].eval()
    changed = PlainHeteroGNN(**split.roles, n_members=1, max_epochs=1)
    row, y = 7, split.y.copy()
    found = []
    for value in (y[row], y[row] + 50.0):
        y[row] = value
        changed.fit(split.X, y)
        # The scale of targets is the same for both, so that only the row's own target moves.
        changed.targets_ = torch.tensor((y - fitted.centre_) / fitted.scale_, dtype=torch.float32)
        spaces = {name: tree.data for name, tree in changed.trees_.items()}
        with torch.no_grad():
            around = changed._around(spaces, own=True)
            found.append(changed._forward(network, around)[0].numpy())
    assert found[0][row] == pytest.approx(found[1][row], abs=1e-6)
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_equal_rows_are_not_their_own_neighbours():
    """Where many rows are alike in a relation, a row is still not in its own list."""
    made = make_soil_survey(60, random_state=0)
    X = made.data.assign(elevation=np.arange(60) // 59)
    X.loc[:30, ["lon", "lat"]] = X.loc[0, ["lon", "lat"]].to_numpy()
    model = PlainHeteroGNN(elevation="elevation", n_members=1, max_epochs=1).fit(X, made.target)
    for edges in model._training_edges.values():
        assert (edges[0] != edges[1]).all()
        assert (torch.bincount(edges[1]) == model.n_neighbors).all()


def test_the_same_loss():
    """The opponent minimises the beta-NLL of the package."""
    mean, log_variance, target = torch.randn(3, 50, generator=torch.manual_seed(0))
    expected = own_beta_nll(mean, log_variance, target, 0.5)
    torch.testing.assert_close(beta_nll(mean, log_variance, target, 0.5), expected)


def test_two_layers_of_three_relations():
    """The opponent has the width, heads and layers of the comparison."""
    network = PlainNetwork(5, ["a", "b", "c"])
    for layer in (network.first, network.last):
        assert [conv.heads * conv.out_channels for conv in layer.convs.values()] == [64] * 3


def test_watchers_see_every_epoch(split):
    """Looks tell the member, its epoch and its time, and are not counted as training."""
    steps = []
    model = PlainHeteroGNN(n_members=2, max_epochs=3, watch=steps.append).fit(split.X, split.y)
    assert [(step.member, step.epoch) for step in steps] == [
        (m, e) for m in (0, 1) for e in range(3)
    ]
    assert 0 < steps[0].seconds < steps[2].seconds <= model.train_seconds_[0]


def look(epoch, seconds, score):
    return {"epoch": epoch, "seconds": seconds, "R2": score}


def test_time_to_the_same_skill():
    """The first look within 0.005 counts; else, or with fewer members, that of its own best."""
    ours = {"R2": 0.7, "fit_seconds": 2.0, "fit_mib": 10.0}
    plain = {
        "members": 5,
        "setup_seconds": 1.0,
        "train_seconds": 60.0,
        "fit_mib": 40.0,
        "curve": [look(3, 9.0, 0.6), look(6, 19.0, 0.696), look(9, 29.0, 0.8)],
    }
    found = to_the_same_skill(ours, plain)
    assert found["timed_to"] == "skill of ours"
    assert (found["plain_seconds"], found["times_faster"]) == (20.0, 10.0)
    assert found["share_of_memory"] == 0.25
    assert found["plain_seconds_to_its_end"] == 61.0
    behind = to_the_same_skill({**ours, "R2": 0.9}, plain)
    assert (behind["timed_to"], behind["plain_seconds"]) == ("own best", 30.0)
    one = to_the_same_skill(ours, {**plain, "members": 1})
    assert (one["timed_to"], one["plain_seconds"]) == ("own best", 146.0)


def test_exponents():
    """Time that grows with rows to the power of 1.5 has that exponent; one size has none."""
    cells = [{"rows": n, "fit_seconds": n**1.5} for n in (10, 100, 1000)]
    assert exponent(cells, "fit_seconds") == pytest.approx(1.5)
    assert exponent(cells[:1], "fit_seconds") is None


def test_memory_is_a_peak():
    """An array that is gone counts until the peak is forgotten."""
    memory = Memory()
    if memory.start is None:
        pytest.skip("no /proc")
    np.ones(2**23).sum()  # 64 MiB
    assert 50 < memory.peak() < 200
    memory.reset()
    assert memory.peak() < 30


@pytest.fixture
def small(monkeypatch):
    """Our model at its smallest, and forests that are quick."""
    monkeypatch.setattr(timed, "SpTGNNRegressor", partial(SpTGNNRegressor, **SMALL))
    quick_base = {"base": timed.boosted_trees(n_estimators=5)}
    monkeypatch.setitem(timed.OURS, "sptgnn", quick_base)
    monkeypatch.setattr(timed, "make", partial(quick, timed.make))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def quick(make, job, roles, **settings):
    model = make(job, roles, **settings)
    if isinstance(model, timed.Timed):
        few = {
            name: lambda *about: timed.boosted_trees(0, 1, n_estimators=5) for name in model.makers
        }
        model.makers = few
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "command",
    [
        ["plain", "--rows", "120", "--members", "2", "--max-epochs", "4", "--every", "2"],
        ["growth", "--sizes", "60", "120", "999", "--max-rows", "500", "--exponent-from", "60"],
        ["predict", "--rows", "100", "--queries", "150"],
        ["graph", "--rows", "200"],
        ["gpu", "--rows", "100", "--device", "cpu"],
    ],
    ids=lambda command: command[0],
)
def test_subcommands(command, small, monkeypatch, tmp_path, capsys):
    """Each writes a record of what it found, and the tables that the docs get."""
    monkeypatch.setattr(speed, "_N_NEW", 50)
    main([*command, "--here", "--threads", "1", "--out", str(tmp_path)])
    (path,) = tmp_path.glob("*.json")
    record = json.loads(path.read_text())
    assert {"commit", "machine", "versions", "seed", "threads"} <= set(record)
    assert record["what"] == command[0]
    text = tables(tmp_path)
    assert text.startswith(".. list-table::")
    assert capsys.readouterr().out.count("| --:") >= 1
    check(record)


def check(record):
    match record["what"]:
        case "plain":
            plain = record["cells"]["plain"]
            assert plain["epochs"] == [4, 4]
            assert [one["epoch"] for one in plain["curve"]] == [2, 4]
            assert record["times_faster"] > 0
        case "growth":
            sizes = record["models"]["sptgnn"]["sizes"]
            assert [cell["rows"] for cell in sizes] == [60, 120]
            assert isinstance(record["models"]["sptgnn"]["exponent_fit_seconds"], float)
        case "predict":
            assert record["cells"]["random_forest_300"]["times_forest"] == 1.0
        case "graph":
            assert set(record["cells"]["graph"]["relations"]) == {
                "spatial",
                "spectral",
                "elevation",
            }
        case "gpu":
            assert list(record["cells"]) == ["mixed", "float32", "tf32"]


@pytest.mark.filterwarnings("ignore")
def test_trees_on_a_table(small, monkeypatch, tmp_path):
    """Ours and its baselines in one run, with times of XGBoost."""
    made = make_soil_survey(150, random_state=0)
    table = made.data.rename(columns={"elevation": "elev", "date": "meta_date"})
    table["target_om_pct"], table["meta_fold_random"] = made.target, np.arange(150) % 3
    table.to_parquet(tmp_path / "meuse.parquet")
    command = ["trees", "--data", str(tmp_path), "--tables", "meuse", "--here", "--threads", "1"]
    main([*command, "--out", str(tmp_path)])
    record = json.loads((tmp_path / "trees-seed0.json").read_text())["tables"]["meuse"]
    assert (record["rows"], record["new_rows"]) == (100, 50)
    assert set(record["cells"]) == set(speed.TREES)
    assert record["cells"]["xgboost_800"]["times_xgboost"] == 1.0


def test_ratios_need_their_reference(capsys):
    with pytest.raises(SystemExit):
        main(["trees", "--data", ".", "--models", "sptgnn"])
    assert "needs xgboost_800" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_said(tmp_path):
    with pytest.raises(SystemExit, match="There is no GPU here"):
        main(["gpu", "--out", str(tmp_path)])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_process_of_its_own(monkeypatch, tmp_path):
    """Work is done elsewhere, with the number of threads that was asked for."""
    command = ["graph", "--rows", "300", "--threads", "1", "--out", str(tmp_path)]
    main(command)
    cell = json.loads((tmp_path / "graph-seed0.json").read_text())["cells"]["graph"]
    assert cell["rows"] == 300
    assert cell["search_seconds"] > 0
