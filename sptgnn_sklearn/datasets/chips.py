"""Made-up chips of fields: Sentinel-2, Sentinel-1 and heights that show a signal in bare soil."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images.geotiff import import_rasterio, write_chip

__all__ = ["CHIP_COLUMNS", "write_survey_chips"]

ChipArray = NDArray[np.float64]
# Modality to the column of a survey that holds its paths.
CHIP_COLUMNS = {"S2L2A": "s2_path", "S1GRD": "s1_path", "DEM": "dem_path"}
PIXEL_M = 10.0
_VERSION = 1  # of the chips: part of their names, so that chips of another version are not reused
_S2_NAMES = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12")
# Reflectance of a loamy ploughed soil and of a green crop, by band; round figures, of the size that
# spectral libraries give (Baumgardner et al. 1985, Advances in Agronomy 38, 1-44).
_SOIL = np.array([0.08, 0.10, 0.13, 0.17, 0.19, 0.21, 0.22, 0.24, 0.26, 0.27, 0.33, 0.29])
_CROP = np.array([0.03, 0.035, 0.06, 0.04, 0.10, 0.28, 0.35, 0.37, 0.39, 0.40, 0.20, 0.10])
# Change of the logarithm of the soil's reflectance for one unit of signal and of moisture. Carbon
# darkens most from green to near infrared, water most in the short-wave infrared.
_CARBON = -0.18 * np.array([0.7, 0.8, 0.95, 1.0, 1.0, 0.95, 0.95, 0.9, 0.85, 0.8, 0.5, 0.4])
_WATER = -0.12 * np.array([0.5, 0.55, 0.6, 0.65, 0.65, 0.7, 0.7, 0.75, 0.8, 0.9, 1.2, 1.4])
# Of two more properties: iron oxides redden a soil, clay minerals flatten the short-wave infrared.
_IRON = 0.10 * np.array([-1.0, -0.9, -0.5, 0.5, 0.6, 0.5, 0.4, 0.2, 0.0, 0.0, 0.2, 0.2])
_CLAY = 0.05 * np.array([-0.2, -0.2, 0.0, 0.2, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.0, -1.0])
_LOOKS = 4.0  # independent looks of radar in a pixel, about those of Sentinel-1 GRD


def write_survey_chips(
    directory: str | os.PathLike[str],
    signal: ChipArray,
    places: ChipArray,
    *,
    crs: Any = "EPSG:4326",
    elevation: ChipArray | None = None,
    chip_size: int = 32,
    seed: Sequence[int] = (0,),
) -> dict[str, list[str]]:
    """Write three GeoTIFFs for each place: what satellites may see of its soil.

    Each chip is a field of bare soil and crop in patches. The soil is the darker the larger the
    signal, mostly so from green to near infrared. The share and vigour of the crop, the soil's own
    brightness, its moisture, light, texture and radar speckle vary at random, so that the mean
    colour tells only a part of the signal and bare pixels tell more.

    Parameters
    ----------
    directory : path
        Made if it is not there.
    signal : array-like of shape (n,)
        Standard normal numbers; one unit lowers the soil's reflectance by 7 to 16 %.
    places : array-like of shape (n, 2)
        Longitude and latitude, or easting and northing in metres.
    crs : any form that pyproj reads, default="EPSG:4326"
        Of the places. Chips are in the UTM zone of the place if it is geographic (in the polar
        stereographic system beyond 84 degrees N and 80 degrees S), else in `crs`.
    elevation : array-like of shape (n,), default=None
        Height at each place, m. None draws heights.
    chip_size : int, default=32
        Side of a chip, in pixels of 10 m. The place lies in pixel ``chip_size // 2`` of row and
        column.
    seed : sequence of int, default=(0,)
        Decides everything random, row by row: a row does not depend on the number of rows.

    Returns
    -------
    paths : dict of str to list of str
        By modality: "S2L2A" (12 bands, digital numbers in which 10,000 is reflectance 1, 0 for no
        data), "S1GRD" (VV and VH, dB) and "DEM" (m). Names hold a digest of all that decides the
        content; files that exist are left as they are.

    Raises
    ------
    ImportError
        If rasterio is not installed.
    ValueError
        If `directory` is a file, or lengths do not agree.

    Examples
    --------
    >>> import tempfile
    >>> from sptgnn_sklearn.datasets.chips import write_survey_chips
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = write_survey_chips(folder, [0.3, -1.2], [[30.0, 0.0], [30.1, 0.2]])
    >>> {modality: len(chips) for modality, chips in paths.items()}
    {'S2L2A': 2, 'S1GRD': 2, 'DEM': 2}
    """
    rasterio = import_rasterio()
    signal, places = np.asarray(signal, np.float64), np.asarray(places, np.float64)
    height = np.full(len(signal), np.nan) if elevation is None else np.asarray(elevation)
    if signal.ndim != 1 or places.shape != (len(signal), 2) or height.shape != signal.shape:
        raise ValueError(
            f"signal, places and elevation must have a row each for a sample; found the shapes "
            f"{signal.shape}, {places.shape} and {height.shape}."
        )
    folder = Path(os.path.abspath(directory))
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{str(directory)!r} is a file; give a directory for the chips.")
    folder.mkdir(parents=True, exist_ok=True)

    paths: dict[str, list[str]] = {modality: [] for modality in CHIP_COLUMNS}
    systems = {}
    for row, (code, x, y) in enumerate(_map_places(places, crs)):
        decisive: list[Any] = [_VERSION, *map(int, seed), row, chip_size, code]
        decisive += [float(value).hex() for value in (x, y, signal[row], height[row])]
        name = hashlib.blake2b(repr(decisive).encode(), digest_size=8).hexdigest()
        files = {modality: folder / f"{modality.lower()}_{name}.tif" for modality in CHIP_COLUMNS}
        for modality, path in files.items():
            paths[modality].append(str(path))
        if all(path.exists() for path in files.values()):
            continue
        if code not in systems:
            systems[code] = rasterio.crs.CRS.from_user_input(code)
        # On the 10 m grid, as Sentinel-2's pixels are.
        left = (np.floor(x / PIXEL_M) - chip_size // 2) * PIXEL_M
        top = (np.floor(y / PIXEL_M) + 1 + chip_size // 2) * PIXEL_M
        grid = {
            "crs": systems[code],
            "transform": rasterio.Affine(PIXEL_M, 0.0, left, 0.0, -PIXEL_M, top),
        }
        optical, radar, heights = _field(
            signal[row], height[row], chip_size, np.random.default_rng([*seed, row])
        )
        write_chip(files["S2L2A"], optical, nodata=0, descriptions=_S2_NAMES, **grid)
        write_chip(files["S1GRD"], radar, descriptions=("VV", "VH"), **grid)
        write_chip(files["DEM"], heights, descriptions=("DEM",), **grid)
    return paths


def _field(
    signal: float, height: float, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one field: digital numbers (12, s, s), dB (2, s, s) and metres (1, s, s)."""
    patches, texture, damp, relief = _smooth(size, (60.0, 20.0, 100.0, 150.0), rng)
    share, brightness, moisture, light, vigour, rough, iron, clay = rng.standard_normal(8)
    haze = 0.03 * rng.standard_normal(len(_SOIL))  # what an atmospheric correction leaves, by band
    slope = rng.normal(0.0, 0.03, 2)
    way, phase = rng.uniform(0.0, 2.0 * np.pi, 2)
    meters = PIXEL_M * (np.arange(size) - size // 2)
    east, north = meters[None, :], -meters[:, None]

    # Crop stands where its smooth pattern is above what leaves the wanted share bare.
    wanted = 0.2 + 0.6 / (1.0 + np.exp(-share))
    crop = 1.0 / (1.0 + np.exp(-6.0 * (patches - np.quantile(patches, 1.0 - wanted))))
    wet = moisture + 0.5 * damp
    furrows = np.sin((np.cos(way) * east + np.sin(way) * north) / 35.0 * 2.0 * np.pi + phase)
    grey = 0.10 * brightness + 0.05 * texture + 0.03 * furrows
    color = signal * _CARBON + iron * _IRON + clay * _CLAY
    soil = _SOIL[:, None, None] * np.exp(color[:, None, None] + wet * _WATER[:, None, None] + grey)
    green = _CROP * np.exp(0.15 * vigour * np.linspace(-1.0, 1.0, len(_CROP)))
    green_here = green[:, None, None] * np.exp(0.06 * texture)
    reflectance = np.exp(0.06 * light + haze)[:, None, None] * (soil + crop * (green_here - soil))
    reflectance += rng.normal(0.0, 0.004, reflectance.shape)
    optical = np.clip(np.rint(10_000.0 * reflectance), 1, 20_000).astype(np.uint16)

    bare = np.array([-13.0, -20.5]) + np.array([1.5, 1.0]) * rough
    backscatter = np.stack(
        [
            (1.0 - crop) * (bare[i] + 1.2 * wet) + crop * (leaves + 0.6 * vigour)
            for i, leaves in enumerate((-11.5, -16.5))
        ]
    )
    speckle = rng.gamma(_LOOKS, 1.0 / _LOOKS, backscatter.shape)
    radar = (backscatter + 10.0 * np.log10(speckle)).astype(np.float32)

    middle = rng.lognormal(np.log(600.0), 0.6) if np.isnan(height) else height
    rise = slope[0] * east + slope[1] * north + 1.5 * relief
    heights = middle + rise - rise[size // 2, size // 2]
    return optical, radar, heights[None].astype(np.float32)


def _smooth(size: int, scales_m: tuple[float, ...], rng: np.random.Generator) -> ChipArray:
    """Smooth random patterns of mean 0 and standard deviation 1, one for each length scale."""
    # Drawn on a larger square, because patterns made by Fourier transform repeat at its edges.
    wide = size + 24
    spectrum = np.fft.rfft2(rng.standard_normal((len(scales_m), wide, wide)))
    pattern = np.fft.irfft2(spectrum * _filters(wide, scales_m), s=(wide, wide))
    return pattern[:, :size, :size]


@lru_cache(maxsize=16)
def _filters(size: int, scales_m: tuple[float, ...]) -> ChipArray:
    """Fourier transforms of bell curves that keep the variance of white noise at 1."""
    frequency = np.fft.fftfreq(size)[:, None] ** 2 + np.fft.rfftfreq(size)[None, :] ** 2
    widths = np.array(scales_m)[:, None, None] / PIXEL_M
    bells = np.exp(-(np.pi**2) * widths**2 * frequency)
    # Columns that rfft2 leaves out are mirror images, which count twice.
    twice = np.full(frequency.shape[1], 2.0)
    twice[0] = 1.0
    if size % 2 == 0:
        twice[-1] = 1.0
    power = (bells**2 * twice).sum(axis=(1, 2), keepdims=True) / size**2
    return bells / np.sqrt(power)


def _map_places(places: ChipArray, crs: Any) -> list[tuple[str, float, float]]:
    """Give each place in the projected system of its chips: code, easting and northing."""
    import pyproj

    system = pyproj.CRS.from_user_input("EPSG:4326" if crs is None else crs)
    if not system.is_geographic:
        # The code if there is one, and otherwise the whole definition.
        authority = system.to_authority(min_confidence=100)
        code = ":".join(authority) if authority else system.to_wkt()
        return [(code, float(x), float(y)) for x, y in places]
    to_degrees = pyproj.Transformer.from_crs(system, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(*places.T)
    zone = np.clip(np.floor((np.asarray(lon) + 180.0) % 360.0 / 6.0), 0, 59).astype(int) + 1
    codes = np.where(np.asarray(lat) < 0, 32700, 32600) + zone
    codes = np.where(np.asarray(lat) > 84.0, 32661, codes)
    codes = np.where(np.asarray(lat) < -80.0, 32761, codes)
    mapped = np.empty((len(places), 2))
    for code in np.unique(codes):
        rows = codes == code
        to_zone = pyproj.Transformer.from_crs("EPSG:4326", f"EPSG:{code}", always_xy=True)
        mapped[rows] = np.column_stack(to_zone.transform(lon[rows], lat[rows]))
    return [
        (f"EPSG:{code}", float(x), float(y)) for code, (x, y) in zip(codes, mapped, strict=True)
    ]
