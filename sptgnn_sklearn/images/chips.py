"""Chip files to arrays in physical units, their standardization, and spectral indices.

Files are GeoTIFF or NumPy's .npy, identified by their first bytes. Any content results in an array
or a `ChipError`, with bounded memory. All functions are thread-safe; a thread that reads many files
is faster inside one `rasterio.Env`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .chip_formats import MAX_BYTES, ChipError, PixelSpan, format_size, open_chip
from .modalities import KNOWN, Modality

__all__ = ["INDICES", "band_indices", "read_chip", "standardize_chip"]

INDICES = ("NDVI", "BSI", "NDMI")
_MAX_DEVIATION = 10.0  # standard deviations from the mean; larger values are errors of the file
_SENTINEL_2_NAMES, _RADAR = ("S2L2A", "S2L1C"), ("S1GRD", "S1RTC")


def read_chip(
    content: bytes, path: str, modality: Modality, chip_size: int | None = None
) -> np.ndarray:
    """Read the center of a chip in physical units.

    Values are ``scale * (stored + offset)``; scale and offset tags in the file are ignored. A
    larger chip is center-cropped: ``(height - chip_size) // 2`` rows are dropped at the top and the
    others at the bottom, and likewise for columns. A smaller chip is padded by reflection with the
    same rule. An alpha band that is not a band of the modality is used as a mask.

    Parameters
    ----------
    content : bytes
        Content of the file, from `read_bytes`.
    path : str
        Path of the file, which is not read again.
    modality : Modality
    chip_size : int, default=None
        Height and width in pixels. None keeps those of the file.

    Returns
    -------
    ndarray of shape (bands, height, width) of float32
        In the order of `modality.bands`; digital numbers of reflectance, dB or meters. NaN for
        masked pixels and values that are not finite.

    Raises
    ------
    ChipError
        If the file cannot be read, lacks bands, is smaller than half of `chip_size`, is too large,
        has no valid pixel, or is in other units.

    Examples
    --------
    >>> import io
    >>> import numpy as np
    >>> from sptgnn_sklearn.images.chips import read_chip
    >>> from sptgnn_sklearn.table.image_columns import ImageColumn
    >>> from sptgnn_sklearn.images.modalities import make_modality
    >>> file = io.BytesIO()
    >>> np.save(file, np.array([[100.0, 200.0], [300.0, np.nan]]))
    >>> heights = make_modality("DEM", ImageColumn("dem_path", scale=0.5), 1)
    >>> read_chip(file.getvalue(), "dem.npy", heights).tolist()
    [[[50.0, 100.0], [150.0, nan]]]
    """
    with open_chip(content) as source:
        _, height, width = source.shape
        positions = source.positions(modality)
        if chip_size is not None and 2 * min(height, width) < chip_size:
            raise ChipError(
                f"is {height} x {width} pixels; chips of chip_size={chip_size} need at least "
                f"{(chip_size + 1) // 2}"
            )
        rows = _center_window(height, chip_size)
        columns = _center_window(width, chip_size)
        # A small file can decode to any size.
        needed = len(positions) * rows[1] * columns[1] * max(source.item_size, 4)
        if max(needed, source.block_bytes) > MAX_BYTES:
            raise ChipError(
                f"takes {format_size(max(needed, source.block_bytes))} of memory to read, the size "
                "of a whole raster; cut chips from it with extract_chips"
            )
        stored, masked = source.read(positions, rows, columns)
    chip = _physical(stored, masked, modality)
    if chip_size is not None and chip.shape[1:] != (chip_size, chip_size):
        margins = [_margins(length, chip_size) for length in chip.shape[1:]]
        chip = np.pad(chip, [(0, 0), *margins], mode="symmetric")
    return chip


def standardize_chip(chip: np.ndarray, modality: Modality) -> np.ndarray:
    """Standardize a chip by the means and standard deviations of its modality.

    Parameters
    ----------
    chip : ndarray of shape (bands, height, width)
        From `read_chip`; values that are not finite are masked.
    modality : Modality

    Returns
    -------
    ndarray of shape (bands, height, width) of float32
        In standard deviations, clipped at 10. Masked pixels are set to the mean of the valid
        pixels of their band in this chip, or 0 if there are none. C-contiguous.

    Raises
    ------
    ValueError
        If the modality lacks mean and std for each band.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.images.chips import standardize_chip
    >>> from sptgnn_sklearn.images.modalities import Modality
    >>> modality = Modality("CLIMATE", ("0",), mean=(10.0,), std=(2.0,))
    >>> standardize_chip(np.array([[[10.0, 14.0], [np.nan, 1e9]]]), modality).tolist()
    [[[0.0, 2.0], [4.0, 10.0]]]
    """
    if not len(chip) == len(modality.mean) == len(modality.std):
        raise ValueError(
            f"modality {modality.name} has {len(modality.mean)} means and {len(modality.std)} "
            f"standard deviations, but the chip has {len(chip)} bands."
        )
    mean = np.array(modality.mean, dtype=np.float32)[:, None, None]
    std = np.array(modality.std, dtype=np.float32)[:, None, None]
    with np.errstate(all="ignore"):
        scaled = np.asarray(chip, dtype=np.float32, order="C") - mean
        valid = np.isfinite(scaled)
        scaled /= std
    # Clipped before taking means, so that one corrupt pixel does not fill the masked ones.
    np.clip(scaled, -_MAX_DEVIATION, _MAX_DEVIATION, out=scaled)
    if not valid.all():
        for band, inside in zip(scaled, valid, strict=True):
            band[~inside] = band[inside].mean() if inside.any() else 0.0
    return scaled


def band_indices(chip: np.ndarray, modality: Modality) -> np.ndarray:
    """Compute the mean NDVI, BSI and NDMI of a chip.

    They are (NIR - red) / (NIR + red), ((SWIR1 + red) - (NIR + blue)) / ((SWIR1 + red) +
    (NIR + blue)) and (NIR - SWIR1) / (NIR + SWIR1) [1]_ [2]_ [3]_, with Sentinel-2's bands 8, 4,
    11 and 2. The mean is over pixels with valid bands and a positive sum; ratios are clipped to
    [-1, 1], because offsets can make single bands negative.

    Parameters
    ----------
    chip : ndarray of shape (bands, height, width)
        From `read_chip`, before `standardize_chip`.
    modality : Modality

    Returns
    -------
    ndarray of shape (3,)
        In the order of `INDICES`; NaN if the modality lacks bands or no pixel is valid.

    References
    ----------
    .. [1] Rouse et al. (1974). Monitoring vegetation systems in the Great Plains with ERTS. NASA
       SP-351, 309-317.
    .. [2] Rikimaru, Roy & Miyatake (2002). Tropical forest cover density mapping. Tropical Ecology
       43(1), 39-47.
    .. [3] Gao (1996). NDWI: a normalized difference water index for remote sensing of vegetation
       liquid water from space. Remote Sensing of Environment 58(3), 257-266.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.images.chips import band_indices
    >>> from sptgnn_sklearn.table.image_columns import ImageColumn
    >>> from sptgnn_sklearn.images.modalities import make_modality
    >>> modality = make_modality("S2L2A", ImageColumn("s2_path", bands=("B4", "B8")), 2)
    >>> chip = np.array([1000.0, 3000.0])[:, None, None] * np.ones((2, 16, 16))
    >>> band_indices(chip, modality).tolist()
    [0.5, nan, nan]
    """
    bands = {
        name: np.asarray(chip[position])
        for position, name in enumerate(modality.bands)
        if name in ("BLUE", "RED", "NIR_BROAD", "SWIR_1")
    }
    means = np.full(len(INDICES), np.nan)
    for i, (plus, minus) in enumerate(
        (
            (("NIR_BROAD",), ("RED",)),
            (("SWIR_1", "RED"), ("NIR_BROAD", "BLUE")),
            (("NIR_BROAD",), ("SWIR_1",)),
        )
    ):
        if all(name in bands for name in plus + minus):
            means[i] = _mean_ratio(sum(bands[n] for n in plus), sum(bands[n] for n in minus))
    return means


def _mean_ratio(high: Any, low: Any) -> float:
    """Return the mean of (high - low) / (high + low) over the pixels where it is defined."""
    with np.errstate(all="ignore"):
        total = high + low
        ratio = np.clip((high - low) / total, -1.0, 1.0)
    inside = (total > 0) & np.isfinite(ratio)
    if not inside.all():
        ratio = ratio[inside]
    return float(ratio.mean(dtype=np.float64)) if ratio.size else math.nan


def _center_window(length: int, size: int | None) -> PixelSpan:
    """Return start and length of a centered window along one side."""
    return (0, length) if size is None or size >= length else ((length - size) // 2, size)


def _margins(length: int, size: int) -> tuple[int, int]:
    """Return the padding at the start and end of one side."""
    return (size - length) // 2, size - length - (size - length) // 2


def _physical(stored: np.ndarray, masked: np.ndarray | None, modality: Modality) -> np.ndarray:
    """Convert stored to physical values, float32 with NaN for masked ones, and check the units."""
    # Single precision represents 16-bit integers exactly, also after scale and offset.
    exact = stored.dtype.itemsize <= 2 or stored.dtype == np.float32
    with np.errstate(all="ignore"):
        values: np.ndarray = stored.astype(np.float32 if exact else np.float64)
        if modality.offset != 0:
            values += modality.offset
        if modality.scale != 1:
            values *= modality.scale
        if masked is not None:
            values[masked] = np.nan
        if modality.linear:
            has_data = bool(np.isfinite(values).any())
            values = 10 * np.log10(values)  # not finite, and so masked below, where power <= 0
            if has_data and not np.isfinite(values).any():
                raise ChipError(
                    "has no values above 0, but linear=True expects linear power; remove "
                    "linear=True if the values are in dB"
                )
        chip = values.astype(np.float32, copy=False)
    valid = np.isfinite(chip)
    if valid.all():
        _check_units(stored, chip, modality)
    elif valid.any():
        chip[~valid] = np.nan
        _check_units(stored[valid], chip[valid], modality)
    else:
        raise ChipError("has no data: all pixels are masked or NaN")
    return chip


def _check_units(stored: np.ndarray, values: np.ndarray, modality: Modality) -> None:
    """Raise ChipError if values are in other units than TerraMind's statistics of the modality."""
    if modality.name not in _SENTINEL_2_NAMES + _RADAR:
        return
    known = KNOWN[modality.name]
    statistics = tuple(zip(modality.mean, modality.std, strict=True))
    if statistics != tuple(known[band] for band in modality.bands):
        return  # the user's own statistics may be in any units
    if not stored.any():
        raise ChipError("has no data: all pixels are 0")
    low, high = float(values.min()), float(values.max())
    if modality.name in _SENTINEL_2_NAMES and max(abs(low), abs(high)) <= 2:
        raise ChipError(
            f"seems to hold reflectance between 0 and 1 (largest value {high:.3g}); pass "
            "ImageColumn(..., scale=10000)"
        )
    if modality.name in _RADAR and not modality.linear and low >= 0:
        raise ChipError(
            f"seems to hold linear power (values from {low:.3g} to {high:.3g}; in dB most are "
            "below 0); pass ImageColumn(..., linear=True)"
        )
