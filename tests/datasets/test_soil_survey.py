"""Simulated surveys: components, distributions, reproducibility, coordinates and images."""

import sys

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

from sptgnn_sklearn.datasets import make_soil_survey

COMPONENTS = ["covariates", "field", "elevation", "season", "trend"]


def nearest_neighbor_correlation(survey, values):
    """Return the correlation of each value with that of the nearest other sample."""
    locations = survey.data.iloc[:, :2].to_numpy()
    nearest = cKDTree(locations).query(locations, k=2)[1][:, 1]
    return np.corrcoef(values, np.asarray(values)[nearest])[0, 1]


def test_mean_is_sum_of_components():
    """The mean is the sum of intercept and components, and the rest is noise of the given std."""
    survey = make_soil_survey(20_000, random_state=0)
    truth = survey.truth
    np.testing.assert_allclose(truth["mean"], survey.intercept + truth[COMPONENTS].sum(axis=1))
    standardized = (survey.target - truth["mean"]) / truth["noise_sd"]
    assert standardized.mean() == pytest.approx(0.0, abs=0.03)
    assert standardized.std() == pytest.approx(1.0, abs=0.03)
    assert (standardized**4).mean() == pytest.approx(3.0, abs=0.2)


def test_components_have_requested_standard_deviations():
    """Each component has its standard deviation, and the noise its root mean square."""
    requested = {"covariate": 6.0, "field": 5.0, "elevation": 4.0, "season": 3.0, "trend": 2.0}
    arguments = {f"{name}_sd": sd for name, sd in requested.items()}
    survey = make_soil_survey(20_000, **arguments, random_state=1)
    for name, sd in zip(COMPONENTS, requested.values(), strict=True):
        assert survey.truth[name].std() == pytest.approx(sd, rel=0.05), name
        assert survey.truth[name].mean() == pytest.approx(0.0, abs=0.05 * sd), name
    assert np.sqrt((survey.truth["noise_sd"] ** 2).mean()) == pytest.approx(2.8, rel=0.05)


def test_default_shares_of_variance():
    """With the defaults, shares are near those in the documentation."""
    surveys = [make_soil_survey(random_state=seed) for seed in range(5)]
    shares = np.mean([s.truth[COMPONENTS].var() / s.target.var() for s in surveys], axis=0)
    np.testing.assert_allclose(shares, [0.38, 0.38, 0.07, 0.015, 0.015], atol=0.04)
    noise = np.mean([(s.target - s.truth["mean"]).var() / s.target.var() for s in surveys])
    assert noise == pytest.approx(0.115, abs=0.02)


@pytest.mark.parametrize(
    ("component", "parameter"),
    [
        ("covariates", "covariate_sd"),
        ("field", "field_sd"),
        ("elevation", "elevation_sd"),
        ("season", "season_sd"),
        ("trend", "trend_sd"),
        ("noise_sd", "noise_sd"),
    ],
)
def test_removing_a_component_keeps_the_others(component, parameter):
    """A standard deviation of 0 makes its component zero; data and other components are equal."""
    full = make_soil_survey(300, random_state=2)
    without = make_soil_survey(300, random_state=2, **{parameter: 0.0})
    assert full.truth[component].std() > 0
    assert (without.truth[component] == 0).all()
    others = [name for name in full.truth if name not in (component, "mean")]
    pd.testing.assert_frame_equal(full.truth[others], without.truth[others])
    pd.testing.assert_frame_equal(full.data, without.data)
    if parameter == "noise_sd":
        np.testing.assert_array_equal(without.target, without.truth["mean"])


def test_field_is_autocorrelated_and_noise_is_not():
    """Nearest neighbors have similar values of the field and independent noise."""
    survey = make_soil_survey(random_state=3)
    noise = survey.target - survey.truth["mean"]
    assert nearest_neighbor_correlation(survey, survey.truth["field"]) > 0.7
    assert abs(nearest_neighbor_correlation(survey, noise)) < 0.1


def test_field_is_independent_of_covariates():
    """In a dense sample, a linear model of all covariates explains none of the field."""
    survey = make_soil_survey(20_000, random_state=4)
    columns = survey.data.filter(like="cov_").assign(
        height=np.log(survey.data["elevation"]), intercept=1.0
    )
    assert explained(columns.to_numpy(), survey.truth["field"].to_numpy()) < 0.01


def explained(columns, values):
    """Return the fraction of the variance of `values` explained by least squares on `columns`."""
    fitted = columns @ np.linalg.lstsq(columns, values, rcond=None)[0]
    return fitted.var() / values.var()


def test_effect_of_covariates_is_nonlinear_with_interactions():
    """Linear terms explain a part of the effect, polynomials more, and products the rest."""
    survey = make_soil_survey(5000, random_state=5)
    covariates = survey.data.filter(regex="cov_[0-4]").to_numpy()
    land_use = pd.get_dummies(survey.data["land_use"], dtype=float).to_numpy()
    effect = survey.truth["covariates"].to_numpy()
    powers = [covariates**power for power in range(1, 7)]
    linear = explained(np.hstack([covariates, land_use]), effect)
    polynomial = explained(np.hstack([*powers, land_use]), effect)
    products = [covariates[:, :-1] * covariates[:, 1:], covariates[:, :1] * land_use]
    assert 0.2 < linear < polynomial - 0.1
    assert polynomial < 0.9
    assert explained(np.hstack([*powers, land_use, *products]), effect) > 0.97


def test_only_informative_covariates_have_effects():
    """Further covariates change no component of the truth."""
    few = make_soil_survey(300, n_covariates=3, n_informative=3, random_state=6)
    many = make_soil_survey(300, n_covariates=6, n_informative=3, random_state=6)
    pd.testing.assert_frame_equal(few.truth, many.truth, rtol=1e-3, atol=1e-3)
    pd.testing.assert_frame_equal(few.data, many.data[few.data.columns], rtol=1e-3, atol=1e-3)
    assert many.data.columns[-1] == "cov_5"
    assert not make_soil_survey(50, n_informative=0, random_state=6).truth["covariates"].any()


def test_elevation_season_and_trend_are_documented_functions():
    """Three components can be computed from the columns."""
    survey = make_soil_survey(500, random_state=7)
    data, truth = survey.data, survey.truth
    np.testing.assert_allclose(truth["elevation"], 2.1 * np.log(data["elevation"] / 600.0) / 0.6)
    april = (data["date"].dt.month == 4) & (data["date"].dt.day == 1)
    october = (data["date"].dt.month == 10) & (data["date"].dt.day == 1)
    assert april.any()
    assert october.any()
    np.testing.assert_allclose(truth.loc[april, "season"], np.sqrt(2.0), rtol=1e-3)
    np.testing.assert_allclose(truth.loc[october, "season"], -np.sqrt(2.0), rtol=1e-3)
    order = np.argsort(data["date"].to_numpy())
    assert (np.diff(truth["trend"].to_numpy()[order]) <= 0).all()
    assert data["date"].dt.year.agg(["min", "max"]).tolist() == [2005, 2020]


def test_random_state_is_reproducible():
    """Equal seeds give identical surveys, and other seeds give others."""
    first, second = make_soil_survey(100, random_state=8), make_soil_survey(100, random_state=8)
    pd.testing.assert_frame_equal(first.frame, second.frame, check_exact=True)
    pd.testing.assert_frame_equal(first.truth, second.truth, check_exact=True)
    other = make_soil_survey(100, random_state=9)
    assert not np.isclose(first.target, other.target).any()
    assert not np.isclose(first.truth["field"], other.truth["field"]).all()


def test_global_random_state_is_not_used():
    """A seeded survey does not change the state of numpy's global generator."""
    before = np.random.get_state()[1:3]  # noqa: NPY002
    make_soil_survey(10, random_state=0)
    after = np.random.get_state()[1:3]  # noqa: NPY002
    np.testing.assert_array_equal(before[0], after[0])
    assert before[1] == after[1]


def test_larger_survey_has_the_same_distribution():
    """More samples of the same functions have the same means, deviations and classes."""
    small = make_soil_survey(4000, random_state=10)
    large = make_soil_survey(20_000, random_state=10)
    spread = large.truth.std()
    assert ((small.truth.mean() - large.truth.mean()).abs() < 0.1 * spread).all()
    assert ((small.truth.std() / spread - 1.0).abs() < 0.1).all()
    shares = [s.data["land_use"].value_counts(normalize=True) for s in (small, large)]
    assert (shares[0] - shares[1]).abs().max() < 0.03
    expected = {"cropland": 0.40, "forest": 0.25, "grassland": 0.25, "wetland": 0.10}
    assert (shares[1] - pd.Series(expected)).abs().max() < 0.06


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32636"])
def test_given_coordinates_use_the_same_functions(crs):
    """At the locations of a survey, the same seed gives equal covariates and components."""
    survey = make_soil_survey(200, crs=crs, random_state=11)
    locations = survey.data.iloc[50:60, :2]
    again = make_soil_survey(coordinates=locations, crs=crs, random_state=11)
    by_location = ["covariates", "field", "elevation", "noise_sd"]
    np.testing.assert_allclose(
        again.truth[by_location], survey.truth.loc[50:59, by_location], atol=1e-3
    )
    columns = ["elevation", *survey.data.filter(like="cov_")]
    np.testing.assert_allclose(again.data[columns], survey.data.loc[50:59, columns], atol=1e-2)
    assert again.data["land_use"].tolist() == survey.data["land_use"].iloc[50:60].tolist()


@pytest.mark.parametrize(
    ("crs", "names", "per_km"),
    [("EPSG:4326", ["lon", "lat"], 1 / 111.195), ("EPSG:32636", ["x", "y"], 1000.0)],
)
def test_region_has_requested_size(crs, names, per_km):
    """Samples fill a square of the given side, in degrees or meters, and none is outside."""
    survey = make_soil_survey(5000, extent_km=200.0, crs=crs, clustered=0.3, random_state=12)
    assert survey.data.columns[:2].tolist() == names
    sides = np.ptp(survey.data[names].to_numpy(), axis=0)
    np.testing.assert_allclose(sides, 200.0 * per_km, rtol=0.01)
    assert (sides <= 200.0 * per_km * 1.001).all()


def test_range_is_in_km_for_geographic_and_projected_crs():
    """Neighbors correlate as much in degrees as in meters, and less at a short range."""
    for crs in ("EPSG:4326", "EPSG:32636"):
        near = [
            nearest_neighbor_correlation(survey, survey.truth["field"])
            for survey in (
                make_soil_survey(1000, crs=crs, range_km=range_km, random_state=13)
                for range_km in (150.0, 20.0)
            )
        ]
        assert near[0] > 0.9
        assert 0.2 < near[1] < 0.7


def test_clustered_samples_are_close_together():
    """Clustered samples have closer neighbors; those outside of clusters do not."""

    def distances(clustered):
        survey = make_soil_survey(
            2000, clustered=clustered, crs="EPSG:32636", extent_km=500.0, random_state=14
        )
        locations = survey.data[["x", "y"]].to_numpy() / 1000.0
        return np.sort(cKDTree(locations).query(locations, k=6)[0][:, 5])

    assert np.median(distances(1.0)) < 0.6 * np.median(distances(0.0))
    assert distances(0.5)[-100] > 0.8 * distances(0.0)[-100]


def test_noise_is_heteroscedastic():
    """The standard deviation of the noise is constant only if its variation is 0."""
    assert make_soil_survey(100, noise_variation=0.0, random_state=15).truth[
        "noise_sd"
    ].to_numpy() == pytest.approx(2.8)
    sd = make_soil_survey(5000, random_state=15).truth["noise_sd"]
    assert np.log(sd).std() == pytest.approx(0.35, rel=0.1)


def test_lognormal_distribution():
    """The target is positive and skewed, and `mean` and `noise_sd` are its moments."""
    survey = make_soil_survey(50_000, distribution="lognormal", noise_sd=8.0, random_state=16)
    assert survey.target.min() > 0
    assert survey.target.skew() > 0.7
    residual = survey.target - survey.truth["mean"]
    assert residual.mean() == pytest.approx(0.0, abs=0.15)
    assert (residual**2).mean() == pytest.approx((survey.truth["noise_sd"] ** 2).mean(), rel=0.05)


def test_missing_values_are_in_covariates_only():
    """The requested fraction is missing, and the truth does not change."""
    survey = make_soil_survey(2000, missing=0.2, random_state=17)
    complete = make_soil_survey(2000, random_state=17)
    covariates = survey.data.filter(like="cov_")
    assert covariates.isna().to_numpy().mean() == pytest.approx(0.2, abs=0.02)
    assert not survey.data.drop(columns=covariates.columns).isna().any(axis=None)
    pd.testing.assert_frame_equal(survey.truth, complete.truth)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_samples": 0}, "'n_samples' parameter"),
        ({"field_sd": -1.0}, "'field_sd' parameter"),
        ({"missing": 1.0}, "'missing' parameter"),
        ({"n_covariates": 2, "n_informative": 3}, "n_informative=3 is more than"),
        ({"coordinates": [[30.0, 0.0, 5.0]]}, "coordinates must have 2 columns; found 3"),
        ({"coordinates": [[0.0, 95.0]]}, "lat"),
        ({"crs": "EPSG:2263"}, "crs .*projected in meters; found 'EPSG:2263'"),
        ({"image_dir": 3}, "'image_dir' parameter"),
        ({"image_sd": -1.0}, "'image_sd' parameter"),
        ({"chip_size": 7}, "'chip_size' parameter"),
    ],
)
def test_invalid_arguments_raise(arguments, message):
    """The error names the parameter."""
    with pytest.raises(ValueError, match=message):
        make_soil_survey(**arguments)


CHIPS = ["s2_path", "s1_path", "dem_path"]


@pytest.mark.parametrize("distribution", ["normal", "lognormal"])
def test_images_add_a_component_only(distribution, tmp_path):
    """The target gains `imagery`; all other values are identical to those without images."""
    pytest.importorskip("rasterio")
    settings = {"n_samples": 40, "distribution": distribution, "random_state": 19}
    plain = make_soil_survey(**settings)
    survey = make_soil_survey(**settings, image_dir=tmp_path, image_sd=4.0, chip_size=8)
    pd.testing.assert_frame_equal(survey.data.drop(columns=CHIPS), plain.data, check_exact=True)
    assert survey.feature_names == [*plain.feature_names, *CHIPS]
    assert survey.frame.columns.tolist() == [*survey.feature_names, "soc"]
    pd.testing.assert_frame_equal(
        survey.truth[COMPONENTS], plain.truth[COMPONENTS], check_exact=True
    )
    assert survey.truth.columns.tolist() == [*COMPONENTS, "imagery", "mean", "noise_sd"]
    if distribution == "normal":
        for result, before in (
            (survey.target, plain.target),
            (survey.truth["mean"], plain.truth["mean"]),
        ):
            np.testing.assert_allclose(result, before + survey.truth["imagery"])
    else:
        gain = np.log(survey.target / plain.target)
        np.testing.assert_allclose(gain, survey.truth["imagery"] / 30.0)
    # Parameters of images are ignored without a folder.
    other = make_soil_survey(**settings, image_sd=9.0, chip_size=64)
    pd.testing.assert_frame_equal(other.frame, plain.frame, check_exact=True)
    pd.testing.assert_frame_equal(other.truth, plain.truth, check_exact=True)


def test_imagery_component_is_independent(tmp_path, monkeypatch):
    """It has the requested standard deviation and no correlation with columns or neighbors."""
    pytest.importorskip("rasterio")
    written = {}

    def fake_writer(directory, signal, coordinates, **options):
        written.update(options, signal=signal)
        return {name: [""] * len(signal) for name in ("S2L2A", "S1GRD", "DEM")}

    monkeypatch.setattr("sptgnn_sklearn.datasets.soil_survey.write_survey_chips", fake_writer)
    survey = make_soil_survey(20_000, image_dir=tmp_path, image_sd=4.0, random_state=20)
    imagery = survey.truth["imagery"]
    assert imagery.std() == pytest.approx(4.0, rel=0.02)
    np.testing.assert_allclose(written["signal"], imagery / 4.0)
    assert abs(nearest_neighbor_correlation(survey, imagery)) < 0.03
    others = survey.data.select_dtypes("number").join(
        survey.truth[COMPONENTS].add_prefix("component ")
    )
    others["noise"] = survey.target - survey.truth["mean"]
    assert others.corrwith(imagery).abs().max() < 0.03
    seed = written["seed"]
    make_soil_survey(5, image_dir=tmp_path, random_state=21)
    assert written["seed"] != seed


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32636"])
def test_images_are_at_their_rows(crs, tmp_path):
    """Rows have separate files, at their location and elevation, also for given coordinates."""
    rasterio = pytest.importorskip("rasterio")
    import pyproj

    survey = make_soil_survey(12, image_dir=tmp_path, crs=crs, chip_size=16, random_state=21)
    locations = survey.data.iloc[3:7, :2]
    given = make_soil_survey(
        coordinates=locations, image_dir=tmp_path, crs=crs, chip_size=16, random_state=21
    )
    assert len(given.data) == 4
    for data in (survey.data, given.data):
        assert not data[CHIPS].stack().duplicated().any()
        for x, y, height, *paths in data.iloc[:, [0, 1, 2, -3, -2, -1]].itertuples(index=False):
            for path, n_bands in zip(paths, (12, 2, 1), strict=True):
                with rasterio.open(path) as chip:
                    assert (chip.count, *chip.shape) == (n_bands, 16, 16)
                    to_chip = pyproj.Transformer.from_crs(crs, chip.crs.to_wkt(), always_xy=True)
                    east, north = to_chip.transform(x, y)
                    assert (east - chip.transform.c) // 10 == 8
                    assert (chip.transform.f - north) // 10 == 8
                    values = chip.read()
            assert values[0, 8, 8] == pytest.approx(height, rel=1e-6)


def test_soil_in_images_is_darker_with_carbon(tmp_path):
    """Red reflectance of the brightest pixels, bare soil, falls with the component `imagery`."""
    rasterio = pytest.importorskip("rasterio")
    survey = make_soil_survey(150, image_dir=tmp_path, chip_size=16, random_state=22)
    bright = []
    for path in survey.data["s2_path"]:
        with rasterio.open(path) as chip:
            bright.append(np.quantile(chip.read(4), 0.8))
    assert np.corrcoef(np.log(bright), survey.truth["imagery"])[0, 1] < -0.6


def test_equal_surveys_reuse_images(tmp_path):
    """Equal arguments reuse files; another seed adds other files."""
    pytest.importorskip("rasterio")
    settings = {"n_samples": 5, "image_dir": tmp_path, "chip_size": 8}
    first = make_soil_survey(**settings, random_state=23)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    content = {path: path.read_bytes() for path in before}
    again = make_soil_survey(**settings, random_state=23)
    pd.testing.assert_frame_equal(again.frame, first.frame, check_exact=True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    make_soil_survey(**settings, random_state=24)
    assert len(list(tmp_path.iterdir())) == 2 * len(before) == 30
    assert {path: path.read_bytes() for path in before} == content


def test_missing_rasterio_raises(tmp_path, monkeypatch):
    """The error names the extra to install; surveys without images do not need it."""
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(ImportError, match=r"^Images need rasterio and terratorch: pip install"):
        make_soil_survey(5, image_dir=tmp_path)
    assert len(make_soil_survey(5).data) == 5


@pytest.mark.slow
def test_million_rows_are_finite():
    """A large survey is finite."""
    survey = make_soil_survey(1_000_000, random_state=18)
    assert survey.frame.shape == (1_000_000, 14)
    assert np.isfinite(survey.truth.to_numpy()).all()
