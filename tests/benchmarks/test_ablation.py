"""The ablation study."""

import pytest
from benchmark_helpers import run_main

from benchmarks import ablation, skill
from benchmarks.simulated_surveys import SIMULATED_SURVEYS
from benchmarks.tables import TASKS
from benchmarks.variants import VARIANTS


def test_command_line(tmp_path, monkeypatch, capsys):
    """Variants run on simulated surveys."""
    quick = {"max_epochs": 1, "n_estimators": 1, "base_estimator": None}
    variants = {name: changed | quick for name, changed in ablation.VARIANTS.items()}
    monkeypatch.setattr(ablation, "VARIANTS", variants)
    monkeypatch.setitem(skill.SPTGNN_MODELS, "sptgnn", quick)
    out = run_main(
        ablation, monkeypatch, capsys, "--simulated", "no spatial field", "--folds", "random",
        "--variants", "default", "no graph",
        "--out", tmp_path / "records", "--predictions", tmp_path / "predictions",
    )  # fmt: skip
    assert "| no graph | " in out


def test_variants_need_their_column():
    """A table without dates has no variant without them."""
    assert "no time" not in ablation.applicable_variants(TASKS["meuse"])
    assert "no elevation relation" not in ablation.applicable_variants(TASKS["afsp_soc"])
    survey = next(iter(SIMULATED_SURVEYS.values()))
    assert "no time" in ablation.applicable_variants(survey.task)


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "default"])
def test_variant_differs_from_the_default(name):
    """Every variant sets parameters of the estimator to other values than the default."""
    task = TASKS["meuse"]
    default, variant = (ablation.make_variant(one, task, 0) for one in ("default", name))
    before, after = default.get_params(), variant.get_params()
    for parameter in VARIANTS[name]:
        assert repr(after[parameter]) != repr(before[parameter])


def test_shared_models_are_those_of_the_accuracy_benchmark():
    """The default and the variant without base estimator are not fitted twice."""
    assert sorted(ablation.SHARED_MODELS.values()) == ["sptgnn", "sptgnn_network"]
    assert ablation.SHARED_MODELS["default"] == "sptgnn"
