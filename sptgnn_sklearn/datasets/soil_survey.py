"""Simulated soil surveys with known components of the target."""

from __future__ import annotations

import os
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch, check_array, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from ..spatial.coordinate_checks import check_coordinates
from ..spatial.crs import SpatialReference, resolve_crs
from ..spatial.distances import EARTH_RADIUS_KM, to_metric_coordinates
from ..spatial.random_fields import make_fields
from .chips import CHIP_COLUMNS, write_survey_chips

__all__ = ["make_soil_survey"]

SurveyArray = NDArray[np.float64]
# Center of the simulated region; the projected one is valid in every northern UTM zone.
_CENTER_LON_LAT = (30.0, 0.0)
_CENTER_XY = (500_000.0, 5_000_000.0)
_DATES = (np.datetime64("2005-01-01"), np.datetime64("2021-01-01"))
_LAND_USES = ("cropland", "forest", "grassland", "wetland")
_SAMPLES_PER_CLUSTER = 25
_N_REFERENCE = 4096
# Length scales of random fields, as fractions of `range_km`, and the shares of variance at these
# scales. Covariates are in turn like climate, terrain and texture.
_SCALE_FRACTIONS = (1.0, 0.3, 0.08)
_COVARIATE_MIXES = ((0.45, 0.25, 0.30), (0.0, 0.25, 0.75), (0.15, 0.45, 0.40))
_ELEVATION_MIX = (0.3, 0.4, 0.3)
_LAND_USE_MIX = (0.0, 0.5, 0.5)
_REGIONAL_MIX = (1.0, 0.0, 0.0)
_SURVEY_DESCR = """\
Simulated soil survey
=====================

Simulated by sptgnn_sklearn.datasets.make_soil_survey. Target: soil organic carbon, g/kg, the sum of
the components in `truth` and noise.

lon, lat (degrees) or x, y (meters)   location of the sample
elevation    m above sea level
date         day of sampling
land_use     cropland, forest, grassland or wetland
cov_0 ..     covariates with mean 0 and variance 1 over the region; the target depends on the first
             `n_informative`
s2_path, s1_path, dem_path   files of simulated satellite images, only with `image_dir`
"""


def _survey_center(reference: SpatialReference) -> tuple[float, float]:
    """Return the center of the region, in the unit of its coordinates."""
    return _CENTER_LON_LAT if reference.geographic else _CENTER_XY


def _positions_km(coordinates: SurveyArray, reference: SpatialReference) -> SurveyArray:
    """Return metric coordinates in km, shape (n, 2 or 3), relative to the center of the region.

    Geographic coordinates become points on the sphere, so that ranges in km hold at all latitudes.
    Small numbers around the center keep the phases of cosines accurate.
    """
    center = np.asarray([_survey_center(reference)])
    km_per_unit = 1.0 if reference.geographic else 1e-3
    return km_per_unit * (
        to_metric_coordinates(coordinates, reference) - to_metric_coordinates(center, reference)
    )


def _from_plane(plane_km: SurveyArray, reference: SpatialReference) -> SurveyArray:
    """Return the coordinates of points given in km east and north of the center of the region.

    The sinusoidal projection preserves areas, so the density of points is the same on the ground.
    """
    x_center, y_center = _survey_center(reference)
    if not reference.geographic:
        return np.asarray([x_center, y_center]) + 1000.0 * plane_km
    km_per_degree = np.pi * EARTH_RADIUS_KM / 180.0
    lat = y_center + plane_km[:, 1] / km_per_degree
    lon = x_center + plane_km[:, 0] / (km_per_degree * np.cos(np.radians(lat)))
    return np.column_stack([lon, lat])


def _land_use_codes(latent: SurveyArray) -> NDArray[np.intp]:
    """Return classes 0 to 3, with shares .40, .25, .25 and .10, of a standard normal variable."""
    return np.searchsorted([-0.253, 0.385, 1.282], latent)


# Effects of covariates, in turn: saturating, with an optimum, linear, with a threshold, periodic.
_EFFECTS = (
    lambda z: np.tanh(1.5 * z),
    lambda z: -0.6 * z**2,
    lambda z: z,
    lambda z: np.maximum(z, 0.0),
    lambda z: np.sin(2.0 * z),
)
_LAND_USE_EFFECTS = np.array([-0.8, 0.6, 0.1, 1.4])
_LAND_USE_SLOPES = np.array([0.3, 0.0, -0.2, 0.5])


def _covariate_effect(
    covariates: SurveyArray, land_use: NDArray[np.intp], n_informative: int
) -> SurveyArray:
    """Return the unscaled sum of nonlinear and interaction effects of covariates and land use."""
    effect = np.zeros(len(covariates))
    if n_informative == 0:
        return effect
    informative = covariates[:, :n_informative]
    for j in range(n_informative):
        effect += _EFFECTS[j % len(_EFFECTS)](informative[:, j])
        if j:
            effect += 0.4 * informative[:, j - 1] * informative[:, j]
    effect += _LAND_USE_EFFECTS[land_use]
    return effect + _LAND_USE_SLOPES[land_use] * informative[:, 0]


def _sample_plane(
    n_samples: int, extent_km: float, clustered: float, rng: np.random.Generator
) -> SurveyArray:
    """Return random points in a square, in km from its center: uniform, or in clusters."""
    half = extent_km / 2.0
    plane = rng.uniform(-half, half, (n_samples, 2))
    n_clustered = round(clustered * n_samples)
    if n_clustered:
        n_clusters = max(1, n_clustered // _SAMPLES_PER_CLUSTER)
        centers = rng.uniform(-half, half, (n_clusters, 2))
        offsets = rng.normal(0.0, 0.02 * extent_km, (n_clustered, 2))
        points = centers[rng.integers(n_clusters, size=n_clustered)] + offsets
        # Reflection at the edges keeps all samples inside the square.
        points = half - np.abs((points + half) % (2.0 * extent_km) - extent_km)
        plane[rng.choice(n_samples, n_clustered, replace=False)] = points
    return plane


def _sample_dates(
    n_samples: int, rng: np.random.Generator
) -> tuple[pd.DatetimeIndex, SurveyArray, SurveyArray]:
    """Return random dates, and an annual cosine and a linear decline of standard deviation 1."""
    n_days = int((_DATES[1] - _DATES[0]).astype(int))
    days = rng.integers(n_days, size=n_samples)
    dates = pd.DatetimeIndex(_DATES[0] + days.astype("timedelta64[D]"))
    wave = np.sqrt(2.0) * np.cos(2.0 * np.pi * (dates.day_of_year.to_numpy() - 91) / 365.25)
    return dates, wave, np.sqrt(12.0) * (0.5 - (days + 0.5) / n_days)


def _survey_reference(crs: Any) -> tuple[SpatialReference, list[str]]:
    """Return the spatial reference and the names of the coordinates."""
    reference = resolve_crs(crs, ["lon", "lat"])
    if not reference.geographic and reference.unit != "metre":
        raise ValueError(f"crs must be geographic or projected in meters; found {crs!r}.")
    return reference, ["lon", "lat"] if reference.geographic else ["x", "y"]


_NONNEGATIVE = [Interval(Real, 0, None, closed="left")]


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_covariates": [Interval(Integral, 0, 256, closed="both")],
        "n_informative": [Interval(Integral, 0, 256, closed="both")],
        "covariate_sd": _NONNEGATIVE,
        "field_sd": _NONNEGATIVE,
        "elevation_sd": _NONNEGATIVE,
        "season_sd": _NONNEGATIVE,
        "trend_sd": _NONNEGATIVE,
        "noise_sd": _NONNEGATIVE,
        "noise_variation": _NONNEGATIVE,
        "intercept": [Interval(Real, 0, None, closed="neither")],
        "distribution": [StrOptions({"normal", "lognormal"})],
        "extent_km": [Interval(Real, 0, 8000, closed="right")],
        "range_km": [Interval(Real, 0, None, closed="neither")],
        "clustered": [Interval(Real, 0, 1, closed="both")],
        "missing": [Interval(Real, 0, 1, closed="left")],
        "coordinates": ["array-like", None],
        "crs": "no_validation",
        "image_dir": [str, os.PathLike, None],
        "image_sd": _NONNEGATIVE,
        "chip_size": [Interval(Integral, 8, 1024, closed="both")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_soil_survey(
    n_samples: int = 1000,
    *,
    n_covariates: int = 8,
    n_informative: int = 3,
    covariate_sd: float = 5.0,
    field_sd: float = 5.0,
    elevation_sd: float = 2.1,
    season_sd: float = 1.0,
    trend_sd: float = 1.0,
    noise_sd: float = 2.8,
    noise_variation: float = 0.35,
    intercept: float = 30.0,
    distribution: str = "normal",
    extent_km: float = 500.0,
    range_km: float = 50.0,
    clustered: float = 0.0,
    missing: float = 0.0,
    coordinates: ArrayLike | None = None,
    crs: Any = "EPSG:4326",
    image_dir: str | os.PathLike[str] | None = None,
    image_sd: float = 5.0,
    chip_size: int = 32,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Simulate a soil survey of organic carbon with known components of the target.

    The target, in g/kg, is the sum of an intercept, a nonlinear effect of covariates and land use
    with interactions, a random field independent of the covariates, an effect of elevation, a
    season, a trend over the years, and noise. Each component has its own standard deviation, and 0
    removes it without changing the others. With the defaults, the covariates explain 53 % of the
    variance, the field 26 %, elevation 6.5 %, season and trend 3 %, and noise 11.5 %.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of samples, uniformly distributed over a square region. Ignored if `coordinates` are
        given.
    n_covariates : int, default=8
        Number of columns `cov_0`, `cov_1`, ..., at most 256. Each is a function of the location
        with several length scales, like climate, terrain and texture.
    n_informative : int, default=3
        Number of covariates, from the first, that the target depends on. With 0, land use has no
        effect either, and the component `covariates` is zero.
    covariate_sd : float, default=5.0
        Standard deviation over the region of the effect of covariates and land use, g/kg.
    field_sd : float, default=5.0
        Standard deviation over the region of the random field, g/kg.
    elevation_sd : float, default=2.1
        Standard deviation over the region of the effect of elevation, g/kg: linear in the logarithm
        of elevation.
    season_sd : float, default=1.0
        Standard deviation over a year of the season, g/kg: a cosine with its maximum on 1 April.
    trend_sd : float, default=1.0
        Standard deviation over all dates of the trend, g/kg: a linear decline.
    noise_sd : float, default=2.8
        Root mean square over the region of the standard deviation of the noise, g/kg.
    noise_variation : float, default=0.35
        Standard deviation of the logarithm of the noise's standard deviation, a random field. 0
        makes the noise homoscedastic.
    intercept : float, default=30.0
        Mean of the target, g/kg.
    distribution : {"normal", "lognormal"}, default="normal"
        With "normal", the target is the sum of components and noise, and may be slightly negative.
        With "lognormal", this sum `z` becomes ``intercept * exp(z / intercept - 1)``: positive and
        skewed, like organic carbon, with multiplicative components that keep their size in g/kg
        near the intercept.
    extent_km : float, default=500.0
        Side of the square region, km; at most 8000. Its center is at 30 degrees E on the equator
        with a geographic CRS, and at x = 500 000 m, y = 5 000 000 m with a projected one.
    range_km : float, default=50.0
        Distance at which the correlation of the field is 0.05, km. Its covariance is Matern with
        smoothness 3/2. The length scales of covariates are this distance, 30 % and 8 % of it. The
        default is about 3 times the spacing between samples.
    clustered : float, default=0.0
        Fraction of the samples in clusters of about 25 samples, with a standard deviation of 2 % of
        `extent_km` around random locations.
    missing : float, default=0.0
        Fraction of the covariate values replaced by NaN at random, after the target is computed.
    coordinates : array-like of shape (n, 2), default=None
        Locations to sample instead of random ones, in the units and order of the survey's first two
        columns. For the same `random_state` and settings, components that depend on the location
        are the same functions of it, for any number of samples; dates and noise are drawn anew.
    crs : any form that pyproj reads, default="EPSG:4326"
        A geographic CRS gives columns `lon` and `lat`, a projected CRS in meters `x` and `y`. None
        means longitude and latitude, too.
    image_dir : path, default=None
        Folder for simulated satellite images of each sample: Sentinel-2, Sentinel-1 and elevation,
        with bare soil that is darker for more carbon. The target gets a component `imagery` that
        is visible only in the images; the rest of the survey does not change. File names contain a
        hash of their inputs, so that equal surveys reuse files and several surveys can share a
        folder. Needs rasterio.
    image_sd : float, default=5.0
        Standard deviation of the component `imagery`, g/kg, which is independent between rows and
        of all other columns. Ignored without `image_dir`.
    chip_size : int, default=32
        Side of an image chip, in pixels of 10 m, 8 to 1024. Ignored without `image_dir`.
    random_state : int, RandomState instance or None, default=None
        Determines the functions of location, the locations, dates, noise and images. Pass an int
        for reproducible surveys.

    Returns
    -------
    survey : :class:`~sklearn.utils.Bunch`
        data : DataFrame of shape (n_samples, 5 + n_covariates), 3 columns more with `image_dir`
            `lon` and `lat` in degrees, or `x` and `y` in meters; `elevation` in m; `date`, from
            2005 to 2020; the categorical `land_use`; and the covariates. With `image_dir` also
            `s2_path`, `s1_path` and `dem_path`, the image files of the row.
        target : Series of shape (n_samples,)
            `soc`, g/kg.
        frame : DataFrame
            `data` and `target` together.
        truth : DataFrame of shape (n_samples, 7), or 8 with `image_dir`
            The components `covariates`, `field`, `elevation`, `season` and `trend`, with
            `image_dir` also `imagery`; and `mean` and `noise_sd`, the expectation and the standard
            deviation of the target in this row given its components, g/kg. If `distribution` is
            "normal", `mean` is the sum of `intercept` and the components.
        intercept : float
        feature_names, target_names : list of str
        crs : as given
        DESCR : str

    Raises
    ------
    ImportError
        If `image_dir` is given and rasterio is not installed.
    ValueError
        If a parameter is out of range, `crs` has a unit other than degrees or meters, `coordinates`
        are invalid in it, or `image_dir` is a file.

    Notes
    -----
    Random fields are sums of 256 random cosines for each length scale [1]_, which can be evaluated
    at any location and take seconds for a million rows. They are scaled over the region, not over
    the sample: in small or clustered surveys, standard deviations differ from the parameters.

    References
    ----------
    .. [1] Rahimi, A., & Recht, B. (2007). Random features for large-scale kernel machines. NeurIPS.

    Examples
    --------
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> survey = make_soil_survey(200, n_covariates=2, n_informative=1, random_state=0)
    >>> survey.data.columns.tolist()
    ['lon', 'lat', 'elevation', 'date', 'land_use', 'cov_0', 'cov_1']

    The same functions at other locations:

    >>> other = make_soil_survey(
    ...     n_covariates=2, n_informative=1, coordinates=[[30.0, 0.5], [30.1, 0.5]], random_state=0
    ... )
    >>> other.truth.shape
    (2, 7)

    With image chips (in a temporary folder):

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     survey = make_soil_survey(5, image_dir=folder, random_state=0)
    >>> survey.data.columns[-3:].tolist()
    ['s2_path', 's1_path', 'dem_path']
    """
    if n_informative > n_covariates:
        raise ValueError(f"n_informative={n_informative} is more than n_covariates={n_covariates}.")
    spatial_reference, names = _survey_reference(crs)
    seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    # Separate generators, so that changing one setting does not change other random numbers.
    location_rng, date_rng, noise_rng, missing_rng, reference_rng = (
        np.random.default_rng([seed, stream]) for stream in range(5)
    )

    # Random functions of the location, scaled over a reference sample of the region.
    mixes = [_REGIONAL_MIX, _REGIONAL_MIX, _ELEVATION_MIX, _LAND_USE_MIX]
    mixes += [_COVARIATE_MIXES[j % len(_COVARIATE_MIXES)] for j in range(n_covariates)]
    reference_plane = _sample_plane(_N_REFERENCE, extent_km, 0.0, reference_rng)
    reference_points = _positions_km(
        _from_plane(reference_plane, spatial_reference), spatial_reference
    )
    scales = [fraction * range_km for fraction in _SCALE_FRACTIONS]
    fields = make_fields(mixes, scales, reference_points, [seed, 5])

    if coordinates is None:
        locations = _from_plane(
            _sample_plane(n_samples, extent_km, clustered, location_rng), spatial_reference
        )
    else:
        locations = check_array(coordinates, dtype=np.float64, input_name="coordinates")
        if locations.shape[1] != 2:
            raise ValueError(f"coordinates must have 2 columns; found {locations.shape[1]}.")
        check_coordinates(locations, spatial_reference, names, fitting=False)
    n_samples = len(locations)

    field, log_noise, height, land_use_latent, *columns = fields(
        _positions_km(locations, spatial_reference)
    ).T
    covariates = np.column_stack(columns) if columns else np.empty((n_samples, 0))
    land_use = _land_use_codes(land_use_latent)

    at_reference = fields(reference_points)
    effect_at_reference = _covariate_effect(
        at_reference[:, 4:], _land_use_codes(at_reference[:, 3]), n_informative
    )
    effect = _covariate_effect(covariates, land_use, n_informative) - effect_at_reference.mean()
    effect_scale = effect_at_reference.std() if n_informative else 1.0

    dates, wave, decline = _sample_dates(n_samples, date_rng)
    truth = pd.DataFrame(
        {
            "covariates": covariate_sd * effect / effect_scale,
            "field": field_sd * field,
            "elevation": elevation_sd * height,
            "season": season_sd * wave,
            "trend": trend_sd * decline,
        }
    )
    if image_dir is not None:
        signal = np.random.default_rng([seed, 6]).standard_normal(n_samples)
        truth["imagery"] = image_sd * signal
    latent = intercept + truth.sum(axis=1).to_numpy()
    spread = np.exp(noise_variation * log_noise)
    spread_at_reference = np.exp(noise_variation * at_reference[:, 1])
    sd = noise_sd * spread / np.sqrt(np.mean(spread_at_reference**2))
    noisy = latent + sd * noise_rng.standard_normal(n_samples)
    if distribution == "lognormal":
        relative_variance = (sd / intercept) ** 2
        target = intercept * np.exp(noisy / intercept - 1.0)
        truth["mean"] = intercept * np.exp(latent / intercept - 1.0 + relative_variance / 2.0)
        truth["noise_sd"] = truth["mean"] * np.sqrt(np.expm1(relative_variance))
    else:
        target = noisy
        truth["mean"] = latent
        truth["noise_sd"] = sd

    covariates[missing_rng.random(covariates.shape) < missing] = np.nan
    meters = 600.0 * np.exp(0.6 * height)
    data = pd.DataFrame(
        {
            names[0]: locations[:, 0],
            names[1]: locations[:, 1],
            "elevation": meters,
            "date": dates,
            "land_use": pd.Categorical.from_codes(land_use, categories=pd.Index(_LAND_USES)),
            **{f"cov_{j}": covariates[:, j] for j in range(n_covariates)},
        }
    )
    if image_dir is not None:
        chips = write_survey_chips(
            image_dir,
            signal,
            locations,
            crs=crs,
            elevation=meters,
            chip_size=chip_size,
            seed=[seed, 7],
        )
        for modality, column in CHIP_COLUMNS.items():
            data[column] = chips[modality]
    soc = pd.Series(target, name="soc")
    return Bunch(
        data=data,
        target=soc,
        frame=data.assign(soc=soc),
        truth=truth,
        intercept=intercept,
        feature_names=list(data.columns),
        target_names=["soc"],
        crs=crs,
        DESCR=_SURVEY_DESCR,
    )
