"""Image columns of X and their modalities."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

__all__ = ["ImageColumn", "image_columns"]


@dataclass(frozen=True)
class ImageColumn:
    """A column of image chips with their bands and scaling.

    Values are read as ``scale * (stored + offset)``, which must give digital numbers of reflectance
    (10,000 is 1) for Sentinel-2, dB for radar and meters for heights.

    Parameters
    ----------
    column : label or position
        Column of X.
    bands : sequence of str, default=None
        Names of the bands to use, from `images.modalities.KNOWN` or in Sentinel-2's notation ("B2",
        "B8A"). In a file with exactly this number of bands they are in this order; in other files
        they are found by band descriptions, or by their position among all bands of the modality.
        None is all bands.
    scale, offset : float, default=1, 0
        ``scale=10000`` for reflectance between 0 and 1; ``offset=-1000`` for Sentinel-2 L2A of
        processing baseline 04.00 and later (since January 2022).
    linear : bool, default=False
        Whether radar backscatter is stored as linear power and has to be converted to dB.
    mean, std : sequence of float, default=None
        Mean and standard deviation of each band, for standardization. None uses TerraMind's own,
        or for other modalities those of the training chips.

    Examples
    --------
    >>> from sptgnn_sklearn.table.image_columns import ImageColumn
    >>> ImageColumn("s2_path", bands=("B4", "B8"), offset=-1000).bands
    ('B4', 'B8')
    """

    column: Hashable
    bands: Sequence[str] | None = None
    scale: float = 1.0
    offset: float = 0.0
    linear: bool = False
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None


def image_columns(images: Any) -> dict[str, ImageColumn]:
    """Return the image columns of the parameter `images`, by modality.

    Parameters
    ----------
    images : TerraMindImages or mapping of str to label, position or ImageColumn

    Raises
    ------
    ValueError
        If it is empty, not such a mapping, or has one column for two modalities.

    Examples
    --------
    >>> from sptgnn_sklearn.table.image_columns import image_columns
    >>> image_columns({"DEM": "dem_path"})["DEM"].column
    'dem_path'
    """
    images = getattr(images, "columns", images)  # of TerraMindImages
    if not isinstance(images, Mapping) or not images:
        raise ValueError(
            f"images={images!r} must be a mapping of modality to column, such as "
            '{"S2L2A": "s2_path", "DEM": "dem_path"}.'
        )
    by_modality = {}
    for name, value in images.items():
        if not isinstance(name, str) or not name:
            raise ValueError(f"images has the modality {name!r}; it must be a non-empty string.")
        column = value if isinstance(value, ImageColumn) else ImageColumn(value)
        if not pd.api.types.is_hashable(column.column):
            raise ValueError(
                f"images[{name!r}]={value!r} must be a column label, a position or an ImageColumn."
            )
        by_modality[name] = column
    columns = [column.column for column in by_modality.values()]
    repeated = [column for column in dict.fromkeys(columns) if columns.count(column) > 1]
    if repeated:
        raise ValueError(
            f"images has the column {repeated[0]!r} for more than one modality: remove one of them."
        )
    return by_modality
