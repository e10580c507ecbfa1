"""Soil surveys to learn on: a real one, and a made-up one whose truth is known part by part."""

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

__all__ = ["make_soil_survey"]

SurveyArray = NDArray[np.float64]
# Where the made-up region lies. The middle of a projected one is inside every northern UTM zone.
_CENTRE_LON_LAT = (30.0, 0.0)
_CENTRE_XY = (500_000.0, 5_000_000.0)
_DATES = (np.datetime64("2005-01-01"), np.datetime64("2021-01-01"))
_LAND_USES = ("cropland", "forest", "grassland", "wetland")
_SAMPLES_PER_CLUSTER = 25
_N_REFERENCE = 4096
# Length scales of everything that is smooth in space, as shares of `range_km`, and how the variance
# of one covariate is made up of them: like climate, like terrain, like texture, in turn.
_SCALES = (1.0, 0.3, 0.08)
_COVARIATE_MIXES = ((0.45, 0.25, 0.30), (0.0, 0.25, 0.75), (0.15, 0.45, 0.40))
_ELEVATION_MIX = (0.3, 0.4, 0.3)
_LAND_USE_MIX = (0.0, 0.5, 0.5)
_REGIONAL_MIX = (1.0, 0.0, 0.0)
_SURVEY_DESCR = """\
A made-up soil survey
=====================

Made by sptgnn_sklearn.datasets.make_soil_survey; any likeness to a real place is in the statistics
only. Target: soil organic carbon, g/kg. See `truth` for the parts that it is the sum of.

lon, lat (degrees) or x, y (metres)   where the sample was taken
elevation    m above sea level
date         day of sampling
land_use     cropland, forest, grassland or wetland
cov_0 ..     covariates of mean 0 and variance 1 over the region; the first `n_informative` matter
s2_path, s1_path, dem_path   files of made-up satellite chips, only if a folder for them was given
"""


def _survey_center(frame: SpatialReference) -> tuple[float, float]:
    """Middle of the region, in the unit of its coordinates."""
    return _CENTRE_LON_LAT if frame.geographic else _CENTRE_XY


def _positions_km(coordinates: SurveyArray, frame: SpatialReference) -> SurveyArray:
    """Give positions in km between which a straight line is the distance, shape (n, 2 or 3).

    Geographic positions become points on the sphere, so that a range in km means the same at every
    latitude. The middle of the region is subtracted, because small numbers keep phases exact.
    """
    center = np.asarray([_survey_center(frame)])
    km_per_unit = 1.0 if frame.geographic else 1e-3
    return km_per_unit * (
        to_metric_coordinates(coordinates, frame) - to_metric_coordinates(center, frame)
    )


def _from_plane(plane_km: SurveyArray, frame: SpatialReference) -> SurveyArray:
    """Coordinates of points given in km east and north of the middle of the region.

    The sinusoidal projection keeps areas, so that points which are evenly spread in the plane are
    evenly spread on the ground.
    """
    first, second = _survey_center(frame)
    if not frame.geographic:
        return np.asarray([first, second]) + 1000.0 * plane_km
    km_per_degree = np.pi * EARTH_RADIUS_KM / 180.0
    lat = second + plane_km[:, 1] / km_per_degree
    lon = first + plane_km[:, 0] / (km_per_degree * np.cos(np.radians(lat)))
    return np.column_stack([lon, lat])


def _land_use(latent: SurveyArray) -> NDArray[np.intp]:
    """Classes 0 to 3, of shares .40, .25, .25 and .10, along a smooth function of variance 1."""
    return np.searchsorted([-0.253, 0.385, 1.282], latent)


# Shapes that a covariate's effect takes, in turn: saturating, optimum, straight, threshold, wave.
_SHAPES = (
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
    """Add up the curved and interacting effects of covariates and land use, before scaling."""
    effect = np.zeros(len(covariates))
    if n_informative == 0:
        return effect
    informative = covariates[:, :n_informative]
    for j in range(n_informative):
        effect += _SHAPES[j % len(_SHAPES)](informative[:, j])
        if j:
            effect += 0.4 * informative[:, j - 1] * informative[:, j]
    effect += _LAND_USE_EFFECTS[land_use]
    return effect + _LAND_USE_SLOPES[land_use] * informative[:, 0]


def _sample_plane(
    n_samples: int, extent_km: float, clustered: float, rng: np.random.Generator
) -> SurveyArray:
    """Places in a square, in km from its middle: evenly spread, but for the share in clusters."""
    half = extent_km / 2.0
    plane = rng.uniform(-half, half, (n_samples, 2))
    n_clustered = round(clustered * n_samples)
    if n_clustered:
        n_clusters = max(1, n_clustered // _SAMPLES_PER_CLUSTER)
        centers = rng.uniform(-half, half, (n_clusters, 2))
        offsets = rng.normal(0.0, 0.02 * extent_km, (n_clustered, 2))
        near = centers[rng.integers(n_clusters, size=n_clustered)] + offsets
        # Folding back at the edges keeps every sample inside the square.
        near = half - np.abs((near + half) % (2.0 * extent_km) - extent_km)
        plane[rng.choice(n_samples, n_clustered, replace=False)] = near
    return plane


def _sample_dates(
    n_samples: int, rng: np.random.Generator
) -> tuple[pd.DatetimeIndex, SurveyArray, SurveyArray]:
    """Dates, and at each a yearly wave and a straight decline of standard deviation 1."""
    n_days = int((_DATES[1] - _DATES[0]).astype(int))
    days = rng.integers(n_days, size=n_samples)
    dates = pd.DatetimeIndex(_DATES[0] + days.astype("timedelta64[D]"))
    wave = np.sqrt(2.0) * np.cos(2.0 * np.pi * (dates.day_of_year.to_numpy() - 91) / 365.25)
    return dates, wave, np.sqrt(12.0) * (0.5 - (days + 0.5) / n_days)


def _survey_frame(crs: Any) -> tuple[SpatialReference, list[str]]:
    """Read the CRS and name the coordinates, or refuse a unit other than degrees and metres."""
    frame = resolve_crs(crs, ["lon", "lat"])
    if not frame.geographic and frame.unit != "metre":
        raise ValueError(f"crs must be geographic, or projected in metres; {crs!r} is not.")
    return frame, ["lon", "lat"] if frame.geographic else ["x", "y"]


_STRENGTH = [Interval(Real, 0, None, closed="left")]


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_covariates": [Interval(Integral, 0, 256, closed="both")],
        "n_informative": [Interval(Integral, 0, 256, closed="both")],
        "covariate_sd": _STRENGTH,
        "field_sd": _STRENGTH,
        "elevation_sd": _STRENGTH,
        "season_sd": _STRENGTH,
        "trend_sd": _STRENGTH,
        "noise_sd": _STRENGTH,
        "noise_variation": _STRENGTH,
        "intercept": [Interval(Real, 0, None, closed="neither")],
        "distribution": [StrOptions({"normal", "lognormal"})],
        "extent_km": [Interval(Real, 0, 8000, closed="right")],
        "range_km": [Interval(Real, 0, None, closed="neither")],
        "clustered": [Interval(Real, 0, 1, closed="both")],
        "missing": [Interval(Real, 0, 1, closed="left")],
        "coordinates": ["array-like", None],
        "crs": "no_validation",
        "image_dir": [str, os.PathLike, None],
        "image_sd": _STRENGTH,
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
    """Make a soil survey like one of organic carbon, with its truth known part by part.

    The target, in g/kg, is an intercept plus a curved and interacting effect of covariates and land
    use, a smooth spatial field that no covariate carries, an effect of elevation, a season, a trend
    over the years, and noise. Every part has a standard deviation of its own, and 0 switches it
    off without any change to the others. With the defaults the covariates hold 53 % of the
    variance, the field 26 %, elevation 6.5 %, season and trend 3 %, and noise 11.5 %.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of samples, taken evenly over a square region. Not used if `coordinates` are given.
    n_covariates : int, default=8
        Number of columns `cov_0`, `cov_1`, ..., each a function of the place that varies over
        several distances at once, as climate, terrain and texture do; at most 256.
    n_informative : int, default=3
        How many of them the target depends on, the first ones. With 0, land use has no effect
        either, and the part `covariates` is zero.
    covariate_sd : float, default=5.0
        Standard deviation over the region of the effect of covariates and land use, g/kg.
    field_sd : float, default=5.0
        Standard deviation over the region of the spatial field, g/kg.
    elevation_sd : float, default=2.1
        Standard deviation over the region of the effect of elevation, g/kg: the target rises with
        the logarithm of elevation.
    season_sd : float, default=1.0
        Standard deviation over a year of the season, g/kg: a wave with its crest on 1 April.
    trend_sd : float, default=1.0
        Standard deviation over all dates of the trend, g/kg: a straight decline.
    noise_sd : float, default=2.8
        Root mean square over the region of the noise's standard deviation, g/kg.
    noise_variation : float, default=0.35
        How much that standard deviation varies from place to place: the standard deviation of its
        logarithm, smooth in space. 0 makes the noise the same everywhere.
    intercept : float, default=30.0
        Mean of the target, g/kg.
    distribution : {"normal", "lognormal"}, default="normal"
        With "normal" the target is the sum of the parts and noise, and may be slightly negative.
        With "lognormal" that sum `z` becomes ``intercept * exp(z / intercept - 1)``: positive and
        skewed, as organic carbon is, with parts that multiply and, near the intercept, keep
        their size in g/kg.
    extent_km : float, default=500.0
        Side of the square region, km; at most 8000. With a geographic CRS it lies around
        30 degrees E on the equator, with a projected one around x = 500 000 m, y = 5 000 000 m.
    range_km : float, default=50.0
        Distance at which the field's correlation has fallen to 0.05, km. Its covariance is of the
        Matern family with smoothness 3/2. Covariates vary over this distance, 30 % and 8 % of it.
        At the default size it is about 3 times the spacing between samples.
    clustered : float, default=0.0
        Share of the samples that lie in clusters, of about 25 samples and 2 % of `extent_km`
        (one standard deviation) around random places.
    missing : float, default=0.0
        Share of the covariates' values replaced by NaN, at random. The truth is as if known.
    coordinates : array-like of shape (n, 2), default=None
        Places to sample instead of random ones, in the units and order of the survey's first two
        columns. With the same `random_state` and settings they lie in the same world: the parts of
        the truth that depend on the place are the same functions, whatever the number of samples;
        dates and noise are drawn anew.
    crs : any form that pyproj reads, default="EPSG:4326"
        A geographic CRS gives columns `lon` and `lat`, a projected CRS in metres `x` and `y`. None
        is longitude and latitude too.
    image_dir : path, default=None
        Folder for made-up satellite chips of every sample: Sentinel-2, Sentinel-1 and heights, with
        bare soil that is the darker the more carbon it holds. The target gets a part `imagery` that
        only they show. The rest of the survey is the same as without them. Names of files hold a
        digest of their content's origin: the same survey finds its files again, and several surveys
        may share a folder. Needs rasterio.
    image_sd : float, default=5.0
        Standard deviation of the part `imagery`, g/kg: independent from row to row and of all other
        columns. Not used without `image_dir`.
    chip_size : int, default=32
        Side of a chip, in pixels of 10 m, 8 to 1024. Not used without `image_dir`.
    random_state : int, RandomState instance or None, default=None
        Decides the world, the sampled places, dates, noise and chips. The same int gives the same
        survey.

    Returns
    -------
    survey : :class:`~sklearn.utils.Bunch`
        data : DataFrame of shape (n_samples, 5 + n_covariates), 3 columns more with `image_dir`
            `lon` and `lat` in degrees, or `x` and `y` in metres; `elevation` in m; `date`, from
            2005 to 2020; `land_use`, a category; and the covariates. With `image_dir` also
            `s2_path`, `s1_path` and `dem_path`, the files of the row's chips.
        target : Series of shape (n_samples,)
            `soc`, g/kg.
        frame : DataFrame
            `data` and `target` together.
        truth : DataFrame of shape (n_samples, 7), or 8 with `image_dir`
            The parts `covariates`, `field`, `elevation`, `season` and `trend`, and with `image_dir`
            `imagery`; and what a perfect model would give: `mean` and `noise_sd`, the expectation
            and the standard deviation of the target in this row, g/kg. If `distribution` is
            "normal", `mean` is the sum of `intercept` and the parts.
        intercept : float
        feature_names, target_names : list of str
        crs : as given
        DESCR : str

    Raises
    ------
    ImportError
        If `image_dir` is given and rasterio is not installed.
    ValueError
        If a parameter is out of its range, `crs` is in another unit than degrees or metres,
        `coordinates` cannot be coordinates in it, or `image_dir` is a file.

    Notes
    -----
    The smooth functions are sums of 256 random cosines for each distance [1]_, so that a million
    rows take seconds, and any place can be asked for. They are scaled over the whole region, not
    over the sample: parts of a small or clustered survey deviate from their standard deviation as
    a sample does.

    References
    ----------
    .. [1] Rahimi, A., & Recht, B. (2007). Random features for large-scale kernel machines. NeurIPS.

    Examples
    --------
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> survey = make_soil_survey(200, n_covariates=2, n_informative=1, random_state=0)
    >>> survey.data.columns.tolist()
    ['lon', 'lat', 'elevation', 'date', 'land_use', 'cov_0', 'cov_1']

    The same world at other places:

    >>> there = make_soil_survey(
    ...     n_covariates=2, n_informative=1, coordinates=[[30.0, 0.5], [30.1, 0.5]], random_state=0
    ... )
    >>> there.truth.shape
    (2, 7)

    With chips (written to a folder that is not kept here):

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     survey = make_soil_survey(5, image_dir=folder, random_state=0)
    >>> survey.data.columns[-3:].tolist()
    ['s2_path', 's1_path', 'dem_path']
    """
    if n_informative > n_covariates:
        raise ValueError(f"n_informative={n_informative} is more than n_covariates={n_covariates}.")
    world, names = _survey_frame(crs)
    seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    # A stream for each purpose: changing one setting leaves everything else as it was.
    place_rng, date_rng, noise_rng, missing_rng, reference_rng = (
        np.random.default_rng([seed, stream]) for stream in range(5)
    )

    # The world: functions of the place, scaled over a reference sample of the region.
    mixes = [_REGIONAL_MIX, _REGIONAL_MIX, _ELEVATION_MIX, _LAND_USE_MIX]
    mixes += [_COVARIATE_MIXES[j % len(_COVARIATE_MIXES)] for j in range(n_covariates)]
    reference_plane = _sample_plane(_N_REFERENCE, extent_km, 0.0, reference_rng)
    reference = _positions_km(_from_plane(reference_plane, world), world)
    scales = [share * range_km for share in _SCALES]
    fields = make_fields(mixes, scales, reference, [seed, 5])

    if coordinates is None:
        places = _from_plane(_sample_plane(n_samples, extent_km, clustered, place_rng), world)
    else:
        places = check_array(coordinates, dtype=np.float64, input_name="coordinates")
        if places.shape[1] != 2:
            raise ValueError(f"coordinates must have 2 columns, got {places.shape[1]}.")
        check_coordinates(places, world, names, fitting=False)
    n_samples = len(places)

    field, log_noise, height, land_use_latent, *columns = fields(_positions_km(places, world)).T
    covariates = np.column_stack(columns) if columns else np.empty((n_samples, 0))
    land_use = _land_use(land_use_latent)

    at_reference = fields(reference)
    effect_at_reference = _covariate_effect(
        at_reference[:, 4:], _land_use(at_reference[:, 3]), n_informative
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
            names[0]: places[:, 0],
            names[1]: places[:, 1],
            "elevation": meters,
            "date": dates,
            "land_use": pd.Categorical.from_codes(land_use, categories=pd.Index(_LAND_USES)),
            **{f"cov_{j}": covariates[:, j] for j in range(n_covariates)},
        }
    )
    if image_dir is not None:
        from .chips import CHIP_COLUMNS, write_survey_chips

        chips = write_survey_chips(
            image_dir,
            signal,
            places,
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
