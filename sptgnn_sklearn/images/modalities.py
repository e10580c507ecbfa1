"""Modalities of image columns: bands, units and the statistics for standardization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..table.image_columns import ImageColumn

__all__ = ["KNOWN", "Modality", "band_positions", "make_modality"]

# Bands in TerraMind's order, with mean and standard deviation of its training set, in digital
# numbers of reflectance (10,000 is 1), dB for radar, meters for height and 0 to 255 for RGB. From
# terratorch 1.2.11, models/backbones/terramind/model/terramind_register.py (PRETRAINED_BANDS,
# v1_pretraining_mean and _std); a test compares them.
_S2L2A = {
    "COASTAL_AEROSOL": (1390.458, 2106.761),
    "BLUE": (1503.317, 2141.107),
    "GREEN": (1718.197, 2038.973),
    "RED": (1853.91, 2134.138),
    "RED_EDGE_1": (2199.1, 2085.321),
    "RED_EDGE_2": (2779.975, 1889.926),
    "RED_EDGE_3": (2987.011, 1820.257),
    "NIR_BROAD": (3083.234, 1871.918),
    "NIR_NARROW": (3132.22, 1753.829),
    "WATER_VAPOR": (3162.988, 1797.379),
    "SWIR_1": (2424.884, 1434.261),
    "SWIR_2": (1857.648, 1334.311),
}
_S2L1C = {
    "COASTAL_AEROSOL": (2357.089, 1624.683),
    "BLUE": (2137.385, 1675.806),
    "GREEN": (2018.788, 1557.708),
    "RED": (2082.986, 1833.702),
    "RED_EDGE_1": (2295.651, 1823.738),
    "RED_EDGE_2": (2854.537, 1733.977),
    "RED_EDGE_3": (3122.849, 1732.131),
    "NIR_BROAD": (3040.56, 1679.732),
    "NIR_NARROW": (3306.481, 1727.26),
    "WATER_VAPOR": (1473.847, 1024.687),
    "CIRRUS": (506.07, 442.165),
    "SWIR_1": (2472.825, 1331.411),
    "SWIR_2": (1838.929, 1160.419),
}
KNOWN: dict[str, dict[str, tuple[float, float]]] = {
    "S2L2A": _S2L2A,
    "S2L1C": _S2L1C,
    "S1GRD": {"VV": (-12.599, 5.195), "VH": (-20.293, 5.890)},
    "S1RTC": {"VV": (-10.93, 4.391), "VH": (-17.329, 4.459)},
    "DEM": {"DEM": (670.665, 951.272)},
    "RGB": {"RED": (87.271, 58.767), "GREEN": (80.931, 47.663), "BLUE": (66.667, 42.631)},
}
# Sentinel-2's band names (ESA, Sentinel-2 User Handbook, table 1).
_SENTINEL_2_BANDS = (
    "B1",
    "B2",
    "B3",
    "B4",
    "B5",
    "B6",
    "B7",
    "B8",
    "B8A",
    "B9",
    "B10",
    "B11",
    "B12",
)
_ALIASES = dict(zip(_SENTINEL_2_BANDS, _S2L1C, strict=True))


@dataclass(frozen=True)
class Modality:
    """Modality of one image column: an `ImageColumn` with all defaults filled in.

    Attributes
    ----------
    name : str
        A key of `KNOWN`, or any other name for a modality that is new to TerraMind.
    bands : tuple of str
        Bands in the encoder's order. By default, bands of a new modality are named "0", "1", ...
    named : bool
        Whether the user declared the bands, in the order of the file.
    mean, std : tuple of float
        By band. Empty for a new modality until they are computed from the training chips.
    scale, offset : float
    linear : bool
    """

    name: str
    bands: tuple[str, ...]
    named: bool = False
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    scale: float = 1.0
    offset: float = 0.0
    linear: bool = False

    @property
    def known(self) -> bool:
        """Whether TerraMind was trained on this modality."""
        return self.name in KNOWN

    @property
    def complete(self) -> bool:
        """Whether it has all bands of a known modality, in TerraMind's order."""
        return self.known and self.bands == tuple(KNOWN[self.name])


def make_modality(name: str, column: ImageColumn, n_bands: int) -> Modality:
    """Return the modality of an image column.

    Parameters
    ----------
    name : str
    column : ImageColumn
    n_bands : int
        Number of bands in the files, used for modalities that are new to TerraMind.

    Raises
    ------
    ValueError
        If `name` is a misspelling of a known modality, bands are unknown or repeated, or mean and
        std do not fit the bands.

    Examples
    --------
    >>> from sptgnn_sklearn.images.modalities import make_modality
    >>> from sptgnn_sklearn.table.image_columns import ImageColumn
    >>> make_modality("S2L2A", ImageColumn("s2_path", bands=("B4", "B8")), 2).bands
    ('RED', 'NIR_BROAD')
    """
    if name in KNOWN:
        known = KNOWN[name]
        requested = tuple(known) if column.bands is None else tuple(column.bands)
        bands = tuple(band_name(band) for band in requested)
        unknown = [raw for raw, band in zip(requested, bands, strict=True) if band not in known]
        if unknown or not bands or len(set(bands)) < len(bands):
            raise ValueError(
                f"images[{name!r}] has bands {list(requested)}; "
                f"choose from {list(known)}, each once."
            )
        mean = tuple(known[band][0] for band in bands)
        std = tuple(known[band][1] for band in bands)
    else:
        _check_near_miss(name)
        names = [str(i) for i in range(n_bands)] if column.bands is None else column.bands
        bands, mean, std = tuple(str(band) for band in names), (), ()
    for values, parameter in ((column.mean, "mean"), (column.std, "std")):
        if values is not None and len(values) != len(bands):
            raise ValueError(
                f"images[{name!r}] has {len(values)} values in {parameter} for {len(bands)} bands."
            )
    if column.std is not None and min(column.std) <= 0:
        raise ValueError(f"images[{name!r}] has std={column.std}; all must be positive.")
    if (column.mean is None) != (column.std is None):
        raise ValueError(f"images[{name!r}] needs both mean and std, or neither.")
    return Modality(
        name=name,
        bands=bands,
        named=column.bands is not None,
        mean=mean if column.mean is None else tuple(float(value) for value in column.mean),
        std=std if column.std is None else tuple(float(value) for value in column.std),
        scale=float(column.scale),
        offset=float(column.offset),
        linear=bool(column.linear),
    )


def _check_near_miss(name: str) -> None:
    """Raise if the name of a new modality is a misspelling of a known one."""
    for known in KNOWN:
        if _normalized(known) == _normalized(name):
            raise ValueError(f"images has the modality {name!r}; use TerraMind's name {known!r}.")


def _normalized(name: str) -> str:
    return "".join(c for c in name.upper() if c.isalnum()).replace("SENTINEL", "S")


def band_name(name: str) -> str:
    """Return TerraMind's name of a band: "B2", "b02" and "blue" all are BLUE.

    Examples
    --------
    >>> from sptgnn_sklearn.images.modalities import band_name
    >>> band_name("B08"), band_name("b8a"), band_name("vv")
    ('NIR_BROAD', 'NIR_NARROW', 'VV')
    """
    plain = str(name).strip().upper().replace(" ", "_").replace("-", "_")
    short = plain[0] + plain[1:].lstrip("0") if plain[:1] == "B" else plain
    return _ALIASES.get(short, plain)


def band_positions(
    modality: Modality, n_bands: int, descriptions: Sequence[str | None]
) -> tuple[int, ...]:
    """Return the positions of a modality's bands in a file.

    Parameters
    ----------
    modality : Modality
    n_bands : int
        Number of bands in the file.
    descriptions : sequence of str or None
        Band descriptions in the file.

    Returns
    -------
    tuple of int
        Positions from 0, one for each of `modality.bands`.

    Raises
    ------
    ValueError
        If the bands cannot be identified.

    Examples
    --------
    >>> from sptgnn_sklearn.table.image_columns import ImageColumn
    >>> from sptgnn_sklearn.images.modalities import band_positions, make_modality
    >>> radar = make_modality("S1GRD", ImageColumn("s1_path"), 2)
    >>> band_positions(radar, 2, ["VH", "VV"])
    (1, 0)
    """
    bands = modality.bands
    names = [band_name(text) if text else "" for text in descriptions]
    if modality.named and n_bands == len(bands):
        return tuple(range(n_bands))  # the order that was declared
    if all(band in names for band in bands):
        return tuple(names.index(band) for band in bands)
    if n_bands == len(bands):
        return tuple(range(n_bands))
    if modality.named and modality.known and n_bands == len(KNOWN[modality.name]):
        order = list(KNOWN[modality.name])  # some bands of a file that has them all
        return tuple(order.index(band) for band in bands)
    if modality.name == "S2L2A" and modality.complete and n_bands == len(_S2L1C):
        # Thirteen bands are in the order of level 1C, which has cirrus in addition.
        return tuple(i for i, band in enumerate(_S2L1C) if band != "CIRRUS")
    raise ValueError(
        f"has {n_bands} band{'s' * (n_bands != 1)} where {modality.name} has {len(bands)} "
        f"({', '.join(bands[:13])}); name the bands of the file with ImageColumn(..., bands=[...])"
    )
