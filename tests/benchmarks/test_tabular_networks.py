"""Neural networks for tables."""

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.field_baselines import FieldBaseline
from benchmarks.tabular_networks import TextCategories, category_columns, import_extra


def test_missing_package_names_the_extra():
    """The program ends with the command that installs the extra."""
    with pytest.raises(SystemExit, match=r"absent_package.*sptgnn-sklearn\[bench\]"):
        import_extra("absent_package")


def test_categories_as_text():
    """Missing levels are a level; with `impute`, numbers are imputed by training medians."""
    X = pd.DataFrame({"a": [1.0, 3.0, np.nan], "b": pd.Categorical(["u", None, "v"])})
    assert category_columns(X) == ["b"]
    plain = TextCategories().fit(X).transform(X)
    assert plain["b"].tolist() == ["u", "missing", "v"]
    assert plain["a"].isna().sum() == 1
    filled = TextCategories(impute=True).fit(X[:2]).transform(X)
    assert filled["a"].tolist() == [1.0, 3.0, 2.0]


def random_tabicl(path):
    """Write a small TabICL checkpoint with random weights."""
    model = pytest.importorskip("tabicl._model.tabicl")
    config = {"max_classes": 0, "num_quantiles": 9, "embed_dim": 16, "zero_init": False}
    for part in ("col", "row", "icl"):
        config |= {f"{part}_num_blocks": 1, f"{part}_nhead": 2}
    config |= {"col_num_inds": 8, "row_num_cls": 2}
    torch.manual_seed(0)
    torch.save({"config": config, "state_dict": model.TabICL(**config).state_dict()}, path)


def random_tabpfn(path):
    """Write a small TabPFN checkpoint with random weights."""
    model = pytest.importorskip("tabpfn.architectures.tabpfn_v2")
    config = {"emsize": 16, "nlayers": 1, "nhead": 2, "num_buckets": 20, "max_num_classes": 0}
    torch.manual_seed(0)
    state = model.get_architecture(model.parse_config(config)[0]).state_dict()
    state["criterion.borders"] = torch.linspace(-3, 3, 21)
    state["criterion.losses_per_bucket"] = torch.zeros(20)
    torch.save({"config": config, "state_dict": state}, path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["tabicl", "kriging_prior_tabicl"])
def test_tabicl_checkpoint(data, tmp_path, name):
    """A checkpoint file yields finite predictions, alone and with kriging priors."""
    random_tabicl(tmp_path / "small.ckpt")
    model = FieldBaseline(name, time="meta_date", checkpoint=tmp_path / "small.ckpt")
    assert np.isfinite(model.fit(data.X[:150], data.y[:150]).predict(data.X[150:])).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["tabpfn", "kriging_prior_tabpfn"])
def test_tabpfn_checkpoint(data, tmp_path, name):
    """The same with TabPFN, where it is installed."""
    random_tabpfn(tmp_path / "small.ckpt")
    model = FieldBaseline(name, time="meta_date", checkpoint=tmp_path / "small.ckpt")
    assert np.isfinite(model.fit(data.X[:150], data.y[:150]).predict(data.X[150:])).all()


def test_absent_checkpoint(data, tmp_path):
    """The message names the option and the file."""
    model = FieldBaseline("tabicl", time="meta_date", checkpoint=tmp_path / "absent.ckpt")
    with pytest.raises(SystemExit, match=r"--tabicl-checkpoint: file .*absent.ckpt"):
        model.fit(data.X, data.y)
