"""Frozen TerraMind embeddings of image columns, cached on disk, for regressor and transformer."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import effective_n_jobs

from ..images.parallel_reading import ImagePaths
from ..table.image_columns import image_columns
from ..table.schema import SampleTable
from .embedding import ChipLoader
from .embedding_cache import EmbeddingCache, default_directory
from .terramind_images import TerraMindImages

if TYPE_CHECKING:
    from .terramind import FrozenEncoder

__all__ = ["ChipEmbedder", "add_image_features", "cache_directory", "fit_embedder"]

_ENCODER_BATCH = 64


@dataclass
class ChipEmbedder:
    """A frozen encoder with the chip loader and the cache folder of its embeddings.

    Construct it with `ChipEmbedder.fit`.

    Attributes
    ----------
    chip_loader : ChipLoader
    encoder : FrozenEncoder
    directory : Path or None
        Folder of cached embeddings; None caches nothing on disk.
    workers : int
        Threads that read files.
    verbose : int
    """

    chip_loader: ChipLoader
    encoder: FrozenEncoder
    directory: Path | None
    workers: int
    verbose: int = 0

    @classmethod
    def fit(
        cls,
        paths: ImagePaths,
        images: TerraMindImages,
        labels: Mapping[str, Hashable],
        *,
        device: str,
        n_jobs: int | None,
        verbose: int,
    ) -> ChipEmbedder:
        """Determine bands and chip size from the training rows and build the encoder.

        Parameters
        ----------
        paths : mapping of str to ndarray of shape (n,) of object
            Chip paths of the training rows by modality.
        images : TerraMindImages
        labels : mapping of str to label
            Column labels in X by modality, for error messages.
        device : str
        n_jobs : int or None
        verbose : int

        Raises
        ------
        ImportError
            If the extra "images" is not installed.
        ValueError
            If a column, file, encoder or its weights cannot be used.
        """
        from .terramind import EncoderSource, FrozenEncoder, build_encoder

        workers = effective_n_jobs(n_jobs)
        declared = image_columns(images)
        columns = {name: replace(declared[name], column=label) for name, label in labels.items()}
        chip_loader = ChipLoader.fit(
            paths, columns, chip_size=images.chip_size, on_error=images.on_error, workers=workers
        )
        modalities = chip_loader.modalities
        stages = build_encoder(images.encoder, modalities, images.weights, images.sha256)
        frozen = FrozenEncoder(stages, device, EncoderSource(images.encoder, modalities))
        return cls(chip_loader, frozen, cache_directory(images.cache_dir), workers, verbose)

    def embed(self, paths: ImagePaths) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Compute embeddings, or take them from the cache.

        Parameters
        ----------
        paths : mapping of str to ndarray of shape (n,) of object

        Returns
        -------
        embedding : ndarray of shape (n, width) of float32
            NaN in rows without any image.
        usable : dict of str to ndarray of shape (n,)
            The paths, with None for files that cannot be used.
        """
        cache = EmbeddingCache(
            self.directory, self.chip_loader.namespace(self.encoder), self.encoder.width
        )
        return self.chip_loader.embed(
            paths,
            self.encoder,
            cache,
            workers=self.workers,
            batch_size=_ENCODER_BATCH,
            verbose=self.verbose,
        )


def fit_embedder(
    images: TerraMindImages | None,
    table: SampleTable,
    labels: Mapping[str, Hashable],
    *,
    device: str,
    n_jobs: int | None,
    verbose: int,
) -> ChipEmbedder | None:
    """Fit a `ChipEmbedder` to the images of a table; None without image columns."""
    if images is None:
        return None
    return ChipEmbedder.fit(
        table.images, images, labels, device=device, n_jobs=n_jobs, verbose=int(verbose)
    )


def add_image_features(
    embedder: ChipEmbedder | None, table: SampleTable, spectral: Any
) -> SampleTable:
    """Return the table with embeddings of its images, and unusable images set to missing.

    Parameters
    ----------
    embedder : ChipEmbedder or None
        None returns the table unchanged.
    table : SampleTable
    spectral : str, sequence of labels or None
        The estimator's parameter; "indices" also adds NDVI, BSI and NDMI.
    """
    if embedder is None:
        return table
    embedding, usable = embedder.embed(table.images)
    indices = None
    if isinstance(spectral, str) and spectral == "indices":
        indices = embedder.chip_loader.indices(usable, embedder.workers)
    return replace(table, embedding=embedding, images=usable, indices=indices)


def cache_directory(cache_dir: str | PathLike[str] | bool | None) -> Path | None:
    """Return the cache folder set by the parameter `cache_dir`, or None for no cache on disk."""
    if cache_dir is False:
        return None
    if cache_dir is None:
        return default_directory()
    return Path(str(cache_dir)).expanduser()
