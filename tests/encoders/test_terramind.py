"""TerraMind by terratorch: stages, weights, warnings and error messages."""

import builtins
import hashlib
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sptgnn_sklearn.encoders.terramind import (
    FrozenEncoder,
    build_encoder,
    import_registry,
    split_stages,
)
from sptgnn_sklearn.images.modalities import make_modality
from sptgnn_sklearn.table.image_columns import ImageColumn

BANDS = {"S2L2A": 12, "S1GRD": 2, "DEM": 1}
MODALITIES = {name: make_modality(name, ImageColumn(name), n) for name, n in BANDS.items()}
TINY = "terramind_v1_tiny"
RANDOM = pytest.mark.filterwarnings("ignore:weights=None")


def chips(n=2, size=32, seed=0, **bands):
    """Return random chips of n rows, of the given bands by modality."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(size=(n, c, size, size)).astype(np.float32)
        for name, c in (bands or BANDS).items()
    }


@pytest.fixture(scope="module")
def model():
    """TerraMind built by terratorch."""
    registry = import_registry().BACKBONE_REGISTRY
    torch.manual_seed(3)
    return registry.build(TINY, modalities=list(BANDS), pretrained=False).eval()


@pytest.fixture(scope="module")
def checkpoint(model, tmp_path_factory):
    """A checkpoint in TerraMind's own layout."""
    path = tmp_path_factory.mktemp("weights") / "TerraMind_v1_tiny.pt"
    torch.save(model.state_dict(), path)
    return path


@pytest.mark.parametrize("some", [["S2L2A"], ["DEM", "S1GRD"], ["S2L2A", "S1GRD", "DEM"]])
def test_embeddings_equal_those_of_terratorch(model, checkpoint, some):
    """The mean of the last layer's tokens, for any set of modalities."""
    encoder = FrozenEncoder(build_encoder(TINY, MODALITIES, checkpoint))
    given = {name: values for name, values in chips().items() if name in some}
    with torch.no_grad():
        expected = model({name: torch.from_numpy(v) for name, v in given.items()})[-1].mean(1)
    np.testing.assert_allclose(encoder(given), expected, atol=1e-5)
    assert encoder.width == 192


def test_split_stages_compose_to_the_encoder(checkpoint):
    """Trunk and last blocks in sequence give the embedding."""
    stages = build_encoder(TINY, MODALITIES, checkpoint).eval()
    first, last = split_stages(stages, 2)
    given = {name: torch.from_numpy(values) for name, values in chips().items()}
    with torch.no_grad():
        torch.testing.assert_close(last(first(given)), stages(given))
    assert len(last) == 3
    with pytest.raises(ValueError, match=r"fine_tune=13 must be True, False or .* from 1 to 12"):
        split_stages(stages, 13)


@RANDOM
def test_random_weights_are_reproducible():
    """Every build has the same weights and leaves the global seed unchanged."""
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = FrozenEncoder(build_encoder(TINY, MODALITIES, None))
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(2)
    second = FrozenEncoder(build_encoder(TINY, MODALITIES, None))
    assert first.fingerprint == second.fingerprint
    np.testing.assert_array_equal(first(chips()), second(chips()))


def test_random_weights_warn():
    """An untrained encoder is rarely intended."""
    with pytest.warns(UserWarning, match="starts from random weights"):
        build_encoder(TINY, MODALITIES, None)


def test_fingerprint_depends_on_the_weights(checkpoint, model, tmp_path):
    """The cache must not mix embeddings of different weights."""
    changed = {name: value.clone() for name, value in model.state_dict().items()}
    changed["encoder.5.mlp.fc1.weight"][0, 0] += 1e-3
    path = tmp_path / "changed.pt"
    torch.save(changed, path)
    first, second = (
        FrozenEncoder(build_encoder(TINY, MODALITIES, weights)).fingerprint
        for weights in (checkpoint, path)
    )
    assert first != second


def test_sha256_of_the_weights_is_checked(checkpoint):
    """A file with another digest raises before it is read."""
    right = hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest()
    build_encoder(TINY, MODALITIES, checkpoint, right.upper())
    with pytest.raises(ValueError, match=rf"has the SHA-256 {right}, but sha256"):
        build_encoder(TINY, MODALITIES, checkpoint, "0" * 64)
    with pytest.raises(ValueError, match="is not a file"):
        build_encoder(TINY, MODALITIES, "nowhere.pt", right)


def test_mismatched_keys_warn(model, tmp_path):
    """Missing, unused and misshapen keys of a checkpoint are listed."""
    weights = dict(model.state_dict())
    weights["decoder.0.weight"] = weights["decoder.1.weight"] = torch.zeros(1)
    weights["encoder.3.mlp.fc1.weight"] = torch.zeros(2, 2)
    del weights["encoder_norm.weight"]
    path = tmp_path / "odd.pt"
    torch.save({"model": weights}, path)
    with pytest.warns(UserWarning, match="odd.pt") as caught:
        build_encoder(TINY, MODALITIES, path)
    text = str(caught[0].message)
    assert "random weights: encoder.3.mlp.fc1.weight, encoder_norm.weight" in text
    assert "another shape are not used: encoder.3.mlp.fc1.weight" in text
    assert "2 unknown keys are not used: decoder (2)" in text


@pytest.mark.filterwarnings("ignore:Checkpoint .* start from random")
def test_band_subset_and_new_modality(model, checkpoint):
    """A subset of bands keeps its pretrained weights; a new modality starts random."""
    red_green = make_modality("S2L2A", ImageColumn("a", bands=("B4", "B3")), 2)
    slope = make_modality("slope.tif", ImageColumn("b"), 3)
    encoder = FrozenEncoder(
        build_encoder(TINY, {"S2L2A": red_green, "slope.tif": slope}, checkpoint)
    )
    full = chips(S2L2A=12)["S2L2A"]
    only = np.zeros_like(full)
    only[:, [3, 2]] = full[:, [3, 2]]
    with torch.no_grad():
        expected = model({"S2L2A": torch.from_numpy(only)})[-1].mean(1)
    np.testing.assert_allclose(encoder({"S2L2A": full[:, [3, 2]]}), expected, atol=1e-5)
    assert np.isfinite(encoder(chips(**{"slope.tif": 3}))).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a file"),
        (b"PK not a checkpoint", "cannot be read as a checkpoint"),
        ({"linear.weight": torch.zeros(3)}, "holds no weights of terramind_v1_tiny: .* another"),
        ({"encoder.0.norm1.weight": torch.zeros(768)}, r"shape \(768,\), not \(192,\)"),
        ({"encoder.0.norm1.weight": logging.Logger}, "cannot be read as a checkpoint"),
    ],
)
def test_files_without_weights_raise(tmp_path, content, message):
    """The message has one line; code in the file is not executed."""
    path = tmp_path / "weights.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ValueError, match=message) as error:
        build_encoder(TINY, MODALITIES, str(path))
    assert "\n" not in str(error.value)


def test_unreachable_hub_raises(monkeypatch):
    """One line explains the download by hand."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"hub .*Download TerraMind_v1_tiny.pt of ibm-") as error:
        build_encoder(TINY, MODALITIES, "pretrained")
    assert "weights='/path/to/TerraMind_v1_tiny.pt'" in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_encoder_raises():
    """The message lists the encoders."""
    with pytest.raises(ValueError, match="encoder='resnet' is unknown; choose from"):
        build_encoder("resnet", MODALITIES, None)


def test_missing_terratorch_names_the_extra(monkeypatch):
    """The ImportError names the extra to install."""
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("terratorch"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(
        "sptgnn_sklearn.encoders.terramind.importlib.import_module",
        lambda name: without(name),
    )
    with pytest.raises(ImportError, match=r"pip install 'sptgnn-sklearn\[images\]'"):
        build_encoder(TINY, MODALITIES, None)


def test_importing_terratorch_keeps_global_settings():
    """Matrix precision, logging, seed and warning filters, in a fresh process."""
    code = (
        "import logging, torch, warnings\n"
        "from sptgnn_sklearn.encoders.terramind import import_registry\n"
        "torch.manual_seed(0); filters = list(warnings.filters)\n"
        "import_registry()\n"
        "assert torch.get_float32_matmul_precision() == 'highest'\n"
        "assert not logging.root.handlers\n"
        "assert torch.initial_seed() == 0\n"
        "assert [f for f in warnings.filters if f not in filters] == []\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_package_does_not_import_terratorch():
    """The package itself imports neither terratorch, rasterio nor xarray."""
    code = (
        "import sys, sptgnn_sklearn\n"
        "heavy = {'terratorch', 'rasterio', 'xarray', 'torchvision'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
