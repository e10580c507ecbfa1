"""Simulated image chips of fields: Sentinel-2, Sentinel-1 and elevation, with a soil signal."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images.geotiff_writer import import_rasterio, write_chip

__all__ = ["CHIP_COLUMNS", "write_survey_chips"]

ChipArray = NDArray[np.float64]
# The column of a survey with the paths of each modality.
CHIP_COLUMNS = {"S2L2A": "s2_path", "S1GRD": "s1_path", "DEM": "dem_path"}
PIXEL_M = 10.0
_VERSION = 1  # part of the file names, so that files of other versions are not reused
_S2_NAMES = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12")
# Reflectance of a plowed loam and of a green crop, by band: rounded values of the magnitude in
# spectral libraries (Baumgardner et al. 1985, Advances in Agronomy 38, 1-44).
_SOIL = np.array([0.08, 0.10, 0.13, 0.17, 0.19, 0.21, 0.22, 0.24, 0.26, 0.27, 0.33, 0.29])
_CROP = np.array([0.03, 0.035, 0.06, 0.04, 0.10, 0.28, 0.35, 0.37, 0.39, 0.40, 0.20, 0.10])
# Change of log soil reflectance for one unit of signal and of moisture. Carbon absorbs most from
# green to near infrared, water most in the shortwave infrared.
_CARBON = -0.18 * np.array([0.7, 0.8, 0.95, 1.0, 1.0, 0.95, 0.95, 0.9, 0.85, 0.8, 0.5, 0.4])
_WATER = -0.12 * np.array([0.5, 0.55, 0.6, 0.65, 0.65, 0.7, 0.7, 0.75, 0.8, 0.9, 1.2, 1.4])
# The same for iron oxides, which redden a soil, and clay minerals, which absorb in the shortwave
# infrared.
_IRON = 0.10 * np.array([-1.0, -0.9, -0.5, 0.5, 0.6, 0.5, 0.4, 0.2, 0.0, 0.0, 0.2, 0.2])
_CLAY = 0.05 * np.array([-0.2, -0.2, 0.0, 0.2, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.0, -1.0])
_N_LOOKS = 4.0  # radar looks per pixel, about that of Sentinel-1 GRD


def write_survey_chips(
    directory: str | os.PathLike[str],
    signal: ChipArray,
    coordinates: ChipArray,
    *,
    crs: Any = "EPSG:4326",
    elevation: ChipArray | None = None,
    chip_size: int = 32,
    seed: Sequence[int] = (0,),
) -> dict[str, list[str]]:
    """Write simulated satellite images, three GeoTIFFs for each location.

    Each chip is a field with patches of bare soil and crop. The signal darkens the soil, mostly
    from green to near infrared. Crop cover and vigor, soil brightness, moisture, illumination,
    texture and radar speckle vary at random, so that bare pixels contain more of the signal than
    the mean color.

    Parameters
    ----------
    directory : path
        Created if missing.
    signal : array-like of shape (n,)
        Standard normal values; one unit lowers the soil reflectance by 7 to 16 %.
    coordinates : array-like of shape (n, 2)
        Longitude and latitude, or easting and northing in meters.
    crs : any form that pyproj reads, default="EPSG:4326"
        Coordinate reference system of `coordinates`. If it is geographic, chips are in the UTM zone
        of the location (polar stereographic beyond 84 degrees N and 80 degrees S), else in `crs`.
    elevation : array-like of shape (n,), default=None
        Elevation of each location, m. None draws random elevations.
    chip_size : int, default=32
        Side of a chip, in pixels of 10 m. The location is in row and column ``chip_size // 2``.
    seed : sequence of int, default=(0,)
        Seed of the random numbers of each row, which do not depend on the number of rows.

    Returns
    -------
    paths : dict of str to list of str
        Files by modality: "S2L2A" (12 bands, digital numbers with 10,000 for reflectance 1 and 0
        for no data), "S1GRD" (VV and VH, dB) and "DEM" (m). Names contain a hash of all inputs;
        existing files are kept.

    Raises
    ------
    ImportError
        If rasterio is not installed.
    ValueError
        If `directory` is a file, or lengths differ.

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
    signal, coordinates = np.asarray(signal, np.float64), np.asarray(coordinates, np.float64)
    height = np.full(len(signal), np.nan) if elevation is None else np.asarray(elevation)
    if signal.ndim != 1 or coordinates.shape != (len(signal), 2) or height.shape != signal.shape:
        raise ValueError(
            f"signal, coordinates and elevation must have one row per sample; found the shapes "
            f"{signal.shape}, {coordinates.shape} and {height.shape}."
        )
    folder = Path(os.path.abspath(directory))
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"directory={str(directory)!r} is a file; pass the path of a directory.")
    folder.mkdir(parents=True, exist_ok=True)

    paths: dict[str, list[str]] = {modality: [] for modality in CHIP_COLUMNS}
    systems = {}
    for row, (code, x, y) in enumerate(_project_coordinates(coordinates, crs)):
        inputs: list[Any] = [_VERSION, *map(int, seed), row, chip_size, code]
        inputs += [float(value).hex() for value in (x, y, signal[row], height[row])]
        name = hashlib.blake2b(repr(inputs).encode(), digest_size=8).hexdigest()
        files = {modality: folder / f"{modality.lower()}_{name}.tif" for modality in CHIP_COLUMNS}
        for modality, path in files.items():
            paths[modality].append(str(path))
        if all(path.exists() for path in files.values()):
            continue
        if code not in systems:
            systems[code] = rasterio.crs.CRS.from_user_input(code)
        # Aligned with the 10 m grid of Sentinel-2.
        left = (np.floor(x / PIXEL_M) - chip_size // 2) * PIXEL_M
        top = (np.floor(y / PIXEL_M) + 1 + chip_size // 2) * PIXEL_M
        grid = {
            "crs": systems[code],
            "transform": rasterio.Affine(PIXEL_M, 0.0, left, 0.0, -PIXEL_M, top),
        }
        optical, radar, heights = _simulate_field(
            signal[row], height[row], chip_size, np.random.default_rng([*seed, row])
        )
        write_chip(files["S2L2A"], optical, nodata=0, descriptions=_S2_NAMES, **grid)
        write_chip(files["S1GRD"], radar, descriptions=("VV", "VH"), **grid)
        write_chip(files["DEM"], heights, descriptions=("DEM",), **grid)
    return paths


def _simulate_field(
    signal: float, height: float, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simulate digital numbers (12, s, s), dB (2, s, s) and meters (1, s, s) of one field."""
    patches, texture, dampness, relief = _smooth_patterns(size, (60.0, 20.0, 100.0, 150.0), rng)
    cover, brightness, moisture, light, vigor, rough, iron, clay = rng.standard_normal(8)
    haze = 0.03 * rng.standard_normal(len(_SOIL))  # error of the atmospheric correction, by band
    slope = rng.normal(0.0, 0.03, 2)
    direction, phase = rng.uniform(0.0, 2.0 * np.pi, 2)
    meters = PIXEL_M * (np.arange(size) - size // 2)
    east, north = meters[None, :], -meters[:, None]

    # Crop grows where the pattern exceeds its quantile for the crop cover.
    crop_share = 0.2 + 0.6 / (1.0 + np.exp(-cover))
    crop = 1.0 / (1.0 + np.exp(-6.0 * (patches - np.quantile(patches, 1.0 - crop_share))))
    wet = moisture + 0.5 * dampness
    across = np.cos(direction) * east + np.sin(direction) * north
    furrows = np.sin(across / 35.0 * 2.0 * np.pi + phase)
    gray = 0.10 * brightness + 0.05 * texture + 0.03 * furrows
    color = signal * _CARBON + iron * _IRON + clay * _CLAY
    soil = _SOIL[:, None, None] * np.exp(color[:, None, None] + wet * _WATER[:, None, None] + gray)
    green = _CROP * np.exp(0.15 * vigor * np.linspace(-1.0, 1.0, len(_CROP)))
    canopy = green[:, None, None] * np.exp(0.06 * texture)
    reflectance = np.exp(0.06 * light + haze)[:, None, None] * (soil + crop * (canopy - soil))
    reflectance += rng.normal(0.0, 0.004, reflectance.shape)
    optical = np.clip(np.rint(10_000.0 * reflectance), 1, 20_000).astype(np.uint16)

    bare = np.array([-13.0, -20.5]) + np.array([1.5, 1.0]) * rough
    backscatter = np.stack(
        [
            (1.0 - crop) * (bare[i] + 1.2 * wet) + crop * (green_db + 0.6 * vigor)
            for i, green_db in enumerate((-11.5, -16.5))
        ]
    )
    speckle = rng.gamma(_N_LOOKS, 1.0 / _N_LOOKS, backscatter.shape)
    radar = (backscatter + 10.0 * np.log10(speckle)).astype(np.float32)

    center = rng.lognormal(np.log(600.0), 0.6) if np.isnan(height) else height
    rise = slope[0] * east + slope[1] * north + 1.5 * relief
    heights = center + rise - rise[size // 2, size // 2]
    return optical, radar, heights[None].astype(np.float32)


def _smooth_patterns(size: int, scales_m: tuple[float, ...], rng: np.random.Generator) -> ChipArray:
    """Return random patterns of mean 0 and standard deviation 1, one for each length scale."""
    # Cropped from a larger square, because Fourier series are periodic.
    wide = size + 24
    spectrum = np.fft.rfft2(rng.standard_normal((len(scales_m), wide, wide)))
    pattern = np.fft.irfft2(spectrum * _gaussian_filters(wide, scales_m), s=(wide, wide))
    return pattern[:, :size, :size]


@lru_cache(maxsize=16)
def _gaussian_filters(size: int, scales_m: tuple[float, ...]) -> ChipArray:
    """Return Fourier transforms of Gaussian kernels that keep the variance of white noise at 1."""
    frequency = np.fft.fftfreq(size)[:, None] ** 2 + np.fft.rfftfreq(size)[None, :] ** 2
    widths = np.array(scales_m)[:, None, None] / PIXEL_M
    kernels = np.exp(-(np.pi**2) * widths**2 * frequency)
    # rfft2 omits columns that mirror others, so these others count twice.
    counts = np.full(frequency.shape[1], 2.0)
    counts[0] = 1.0
    if size % 2 == 0:
        counts[-1] = 1.0
    power = (kernels**2 * counts).sum(axis=(1, 2), keepdims=True) / size**2
    return kernels / np.sqrt(power)


def _project_coordinates(coordinates: ChipArray, crs: Any) -> list[tuple[str, float, float]]:
    """Return CRS code, easting and northing of each location in the projected CRS of its chips."""
    import pyproj

    system = pyproj.CRS.from_user_input("EPSG:4326" if crs is None else crs)
    if not system.is_geographic:
        # A CRS without a code is identified by its definition.
        authority = system.to_authority(min_confidence=100)
        code = ":".join(authority) if authority else system.to_wkt()
        return [(code, float(x), float(y)) for x, y in coordinates]
    to_degrees = pyproj.Transformer.from_crs(system, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(*coordinates.T)
    zone = np.clip(np.floor((np.asarray(lon) + 180.0) % 360.0 / 6.0), 0, 59).astype(int) + 1
    codes = np.where(np.asarray(lat) < 0, 32700, 32600) + zone
    codes = np.where(np.asarray(lat) > 84.0, 32661, codes)
    codes = np.where(np.asarray(lat) < -80.0, 32761, codes)
    projected = np.empty((len(coordinates), 2))
    for code in np.unique(codes):
        rows = codes == code
        to_zone = pyproj.Transformer.from_crs("EPSG:4326", f"EPSG:{code}", always_xy=True)
        projected[rows] = np.column_stack(to_zone.transform(lon[rows], lat[rows]))
    return [
        (f"EPSG:{code}", float(x), float(y)) for code, (x, y) in zip(codes, projected, strict=True)
    ]
