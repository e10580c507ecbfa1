"""LimeSoDa's fields with their own folds."""

import numpy as np
import pytest
from benchmark_helpers import make_entry, run_main

from benchmarks import limesoda_fields
from benchmarks.experiments import ExperimentRecord
from benchmarks.limesoda_fields import FIELDS, SPECTRA, field_task, read_field


@pytest.mark.parametrize("field", FIELDS)
def test_all_fields_can_be_read(field):
    """Each has coordinates, ten folds and covariates, and the number of rows is in its name."""
    package = pytest.importorskip("LimeSoDa")
    data = read_field(field_task(field, "SOC"))
    n_rows = int(field.split(".")[1].split("_")[0])
    assert len(data.X) == len(data.y) == n_rows
    assert set(data.folds["own"]) == set(range(1, 11))
    assert list(data.X)[:2] == (["x", "y"] if data.crs is None else ["lon", "lat"])
    assert (data.X.shape[1] > 300 or field == "SP.231") == (field in SPECTRA)
    assert np.isfinite(data.y).all()
    assert not any(str(name).endswith("_target") for name in data.X)
    found = package.load_dataset(field)["Dataset"]
    np.testing.assert_array_equal(data.y, found[field_task(field, "SOC").target])


def test_elevation_is_a_column():
    """The elevation role names a covariate, and fields with spectra have none."""
    pytest.importorskip("LimeSoDa")
    for field in FIELDS:
        task = field_task(field, "pH")
        assert task.elevation is None or task.elevation in read_field(task).X


def test_table_beside_published_accuracies(tmp_path, monkeypatch, capsys):
    """Records and the published R2 of the same field and property are in one row."""
    task = field_task("G.104", "SOC")
    record = ExperimentRecord(tmp_path / "records", task, 0)
    record.add(make_entry("own", "catboost", [20, 20, 20]))
    published = tmp_path / "published.csv"
    lines = ["R2,learning_algorithm,Property,Dataset", "0.101,RF,SOC,G.104", "0.2,RF,pH,G.104"]
    published.write_text("\n".join(lines), encoding="utf-8")
    options = ["--records", tmp_path / "records", "--published", published]
    out = run_main(limesoda_fields, monkeypatch, capsys, *options)
    assert "| field | RF, published | CatBoost |" in out
    assert "| G.104 SOC | 0.101 | 0.400 |" in out
    with pytest.raises(SystemExit, match=r"absent.csv does not exist"):
        run_main(
            limesoda_fields,
            monkeypatch,
            capsys,
            *options[:2],
            "--published",
            tmp_path / "absent.csv",
        )
