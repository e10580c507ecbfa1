"""Image columns of X and their modalities."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["ImageColumn", "image_columns"]


@dataclass(frozen=True)
class ImageColumn:
    """A column of chip paths whose files need more than their name to be read.

    Values are read as ``scale * (stored + offset)``, which has to give digital numbers of
    reflectance (10,000 is 1) for Sentinel-2, dB for radar and metres for heights.

    Parameters
    ----------
    column : label or position
        Column of X.
    bands : sequence of str, default=None
        Bands to use, by the names in `images.modalities.KNOWN` or Sentinel-2's ("B2", "B8A"). A
        file of just so many bands has them in this order; in others they are found by the band descriptions, or by their
        place among all bands of the modality. None is all bands.
    scale, offset : float, default=1, 0
        ``scale=10000`` for reflectance between 0 and 1; ``offset=-1000`` for Sentinel-2 L2A of
        processing baseline 04.00 and later (since January 2022).
    linear : bool, default=False
        Whether radar backscatter is stored as linear power, to be turned into dB.
    mean, std : sequence of float, default=None
        By band, to standardise by. None: TerraMind's own, or for a modality that it does not know
        those of the training chips.

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
    """Return the image columns that the parameter `images` names, by modality.

    Parameters
    ----------
    images : TerraMindImages or mapping of str to label, position or ImageColumn

    Raises
    ------
    ValueError
        If it is no such mapping, is empty, or one column stands for two modalities.

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
    found = {}
    for name, value in images.items():
        if not isinstance(name, str) or not name:
            raise ValueError(f"images has the modality {name!r}; a modality is a name.")
        column = value if isinstance(value, ImageColumn) else ImageColumn(value)
        if not isinstance(column.column, Hashable):
            raise ValueError(f"images[{name!r}]={value!r} must be a column of X or an ImageColumn.")
        found[name] = column
    columns = [column.column for column in found.values()]
    twice = [column for column in dict.fromkeys(columns) if columns.count(column) > 1]
    if twice:
        raise ValueError(f"images names the column {twice[0]!r} for more than one modality.")
    return found
