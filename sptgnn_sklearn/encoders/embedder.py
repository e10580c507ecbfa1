"""Frozen embeddings of chips, kept on disk: what the regressor and the transformer share."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np
from joblib import effective_n_jobs

from ..images.parallel_reading import Images
from ..table.image_columns import ImageColumn
from .embedding import ChipLoader
from .embedding_cache import EmbeddingCache, default_directory
from .terramind import EncoderSource, FrozenEncoder, build_encoder

__all__ = ["ChipEmbedder", "cache_directory"]

_ENCODER_BATCH = 64


@dataclass
class ChipEmbedder:
    """A frozen encoder and what it needs to know of the image columns.

    Use `ChipEmbedder.learn`.

    Attributes
    ----------
    imagery : Imagery
    encoder : FrozenEncoder
    directory : Path or None
        Of kept embeddings; None keeps none.
    workers : int
        Threads that read.
    verbose : int
    """

    imagery: ChipLoader
    encoder: FrozenEncoder
    directory: Path | None
    workers: int
    verbose: int = 0

    @classmethod
    def fit(
        cls,
        images: Images,
        columns: Mapping[str, ImageColumn],
        labels: Mapping[str, Hashable],
        *,
        encoder: str,
        weights: str | PathLike[str] | None,
        sha256: str | None = None,
        chip_size: int | None,
        on_error: str,
        cache_dir: str | PathLike[str] | bool | None,
        device: str,
        n_jobs: int | None,
        verbose: int,
    ) -> ChipEmbedder:
        """Learn bands and sizes from training rows and build the encoder.

        Parameters
        ----------
        images : mapping of str to ndarray of shape (n,) of object
            Paths of the training rows.
        columns : mapping of str to ImageColumn
        labels : mapping of str to label
            The table's names of those columns, for messages.
        encoder : str
        weights : "pretrained", path or None
        sha256 : str or None
            That the file of weights must have.
        chip_size : int or None
        on_error : {"raise", "ignore"}
        cache_dir : path, None or False
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
        workers = effective_n_jobs(n_jobs)
        columns = {name: replace(columns[name], column=label) for name, label in labels.items()}
        imagery = ChipLoader.fit(
            images, columns, chip_size=chip_size, on_error=on_error, workers=workers
        )
        stages = build_encoder(encoder, imagery.modalities, weights, sha256)
        frozen = FrozenEncoder(stages, device, EncoderSource(encoder, imagery.modalities))
        return cls(imagery, frozen, cache_directory(cache_dir), workers, verbose)

    def embed(self, images: Images) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Compute embeddings (n, width), NaN in rows without image, and the usable images."""
        store = EmbeddingCache(
            self.directory, self.imagery.namespace(self.encoder), self.encoder.width
        )
        return self.imagery.embed(
            images,
            self.encoder,
            store,
            workers=self.workers,
            batch_size=_ENCODER_BATCH,
            verbose=self.verbose,
        )


def cache_directory(cache_dir: str | PathLike[str] | bool | None) -> Path | None:
    """Return the folder that the parameter `cache_dir` stands for; None for no folder."""
    if cache_dir is False:
        return None
    if cache_dir is None:
        return default_directory()
    return Path(str(cache_dir)).expanduser()
