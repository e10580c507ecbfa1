"""Chip embedder: frozen embeddings by TerraMindImages, with indices, without images, by cache."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from small_encoder import WIDTH, small_stages, write_chips

from sptgnn_sklearn import TerraMindImages
from sptgnn_sklearn.encoders.embedder import (
    ChipEmbedder,
    add_image_features,
    cache_directory,
    fit_embedder,
)
from sptgnn_sklearn.encoders.embedding_cache import default_directory
from sptgnn_sklearn.table.image_columns import ImageColumn
from sptgnn_sklearn.table.schema import TableSchema

SETTINGS = {"device": "cpu", "n_jobs": 2, "verbose": 0}


@pytest.fixture
def built(monkeypatch):
    """A small encoder in place of TerraMind, and the arguments with which it is built."""
    arguments = []

    def build(name, modalities, weights, sha256):
        arguments.append((name, list(modalities), weights, sha256))
        return small_stages(**{key: len(value.bands) for key, value in modalities.items()})

    monkeypatch.setattr("sptgnn_sklearn.encoders.terramind.build_encoder", build)
    return arguments


@pytest.fixture
def paths(tmp_path):
    """Paths of five rows; row 2 has no image."""
    files = np.array(write_chips(tmp_path, 5), dtype=object)
    files[2] = None
    return {"DEM": files}


def make_table(paths):
    """Return a table of samples with an image column."""
    X = {
        "x": np.arange(5.0),
        "y": np.arange(5.0) ** 2,
        "cov": np.arange(5.0) % 3,
        "dem": paths["DEM"],
    }
    return TableSchema.fit_transform(pd.DataFrame(X), images={"DEM": "dem"})


def test_fit_takes_parameters_from_terramind_images(built, paths, tmp_path):
    """Encoder, weights, digest, chip size, errors, cache folder and scale of the column."""
    images = TerraMindImages(
        {"DEM": ImageColumn(3, scale=2.0)},
        encoder="terramind_v1_small",
        weights="file.pt",
        sha256="ab",
        chip_size=16,
        cache_dir=tmp_path / "cache",
        on_error="ignore",
    )
    embedder = ChipEmbedder.fit(paths, images, {"DEM": "dem"}, **SETTINGS)
    assert built == [("terramind_v1_small", ["DEM"], "file.pt", "ab")]
    loader = embedder.chip_loader
    assert (loader.chip_size, loader.on_error, loader.columns) == (16, "ignore", {"DEM": "dem"})
    assert loader.modalities["DEM"].scale == 2.0
    assert (embedder.directory, embedder.workers) == (tmp_path / "cache", 2)


def test_embeddings_are_cached(built, paths, tmp_path, monkeypatch):
    """Missing rows are NaN; a second call reads the cache and encodes nothing."""
    images = TerraMindImages({"DEM": "dem"}, chip_size=16, cache_dir=tmp_path / "cache")
    embedder = ChipEmbedder.fit(paths, images, {"DEM": "dem"}, **SETTINGS)
    first, usable = embedder.embed(paths)
    assert first.shape == (5, WIDTH)
    assert np.isnan(first).all(axis=1).tolist() == [False, False, True, False, False]
    assert usable["DEM"].tolist() == paths["DEM"].tolist()
    fixed = SimpleNamespace(fingerprint=embedder.encoder.fingerprint, width=WIDTH)
    second, _ = replace(embedder, encoder=fixed).embed(paths)
    np.testing.assert_array_equal(first, second)


def test_image_features_of_a_table(built, paths):
    """Embeddings, and indices only if they are requested; unusable files become missing."""
    images = TerraMindImages({"DEM": "dem"}, chip_size=16, cache_dir=False, on_error="ignore")
    schema, table = make_table(paths)
    embedder = fit_embedder(images, table, schema.images, **SETTINGS)
    assert embedder.directory is None
    Path(paths["DEM"][4]).write_bytes(b"")
    with pytest.warns(UserWarning, match="row 4, column 'dem'"):
        result = add_image_features(embedder, table, "indices")
    assert np.isnan(result.embedding).all(axis=1).tolist() == [False, False, True, False, True]
    assert result.images["DEM"][4] is None
    assert result.indices.shape == (5, 3)
    clean = replace(table, images=result.images)
    assert add_image_features(embedder, clean, ["cov"]).indices is None


def test_tables_without_images_are_unchanged(paths):
    """Without image columns there is no embedder."""
    _, table = make_table(paths)
    assert fit_embedder(None, table, {}, **SETTINGS) is None
    assert add_image_features(None, table, None) is table


def test_cache_directory():
    """None is the default folder, False no folder, and ~ is expanded."""
    assert cache_directory(None) == default_directory()
    assert cache_directory(False) is None
    assert cache_directory("~/embeddings") == Path.home() / "embeddings"
