"""Design-based estimates: published examples, the R package survey, closed forms, coverage."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from scipy.stats import t as student_t
from small_samples import (
    CLUSTER_SIZES,
    N_CLUSTERS,
    SAMPLE,
    STRATUM_SIZES,
    design_arguments,
)

from sptgnn_sklearn.estimation import design_estimate

# svymean(~y, design) and svytotal(~y, design).
MEANS_OF_R = {
    "srs": (18.73125, 2.02603768606538),
    "str0": (19.785, 1.85277705704957),
    "str": (19.785, 1.77141168770756),
    "cl0": (18.73125, 2.68128284455824),
    "cl": (18.73125, 2.49613848444339),
    "scl": (19.51527777777778, 1.81280585913434),
    "ts0": (17.27307692307692, 2.40499099560988),
    "ts": (17.27307692307692, 2.29241165559125),
    "pp": (14.78505955463490, 1.46771289254922),
}
TOTALS_OF_R = {
    "srs": (3277.96875, 354.556595061441),
    "str": (3462.375, 309.997045348823),
    "cl": (2247.75, 252.951466971151),
    "ts0": (5774.142857142857, 844.396838227242),
    "ts": (5774.142857142857, 803.824229441197),
    "pp": (3172.216666666667, 141.761561354895),
}
# svyby(~y, ~zone, design, svymean), the same with svytotal, degf(subset(design, zone == "n")), "s".
ZONES_OF_R = {
    "srs": (
        (12.875, 24.5875, 1.12322176922331, 2.61693297856206),
        (1126.5625, 2151.40625, 294.165160082308, 576.879888420512),
        (7, 7),
    ),
    "str": (
        (13.889552238805971, 25.195890410958903, 0.969592910125789, 2.142218124585956),
        (1163.25, 2299.125, 359.457866098379, 618.065322700602),
        (5, 5),
    ),
    "cl": (
        (12.875, 24.5875, 1.29572212813293, 2.77444981944083),
        (772.5, 1475.25, 181.503659939486, 350.449469049595),
        (5, 6),
    ),
    "ts": (
        (12.82619047619048, 22.46111111111111, 1.32895430965412, 3.06690982693264),
        (2308.714285714286, 3465.428571428572, 481.660516402605, 938.370588970529),
        (5, 5),
    ),
    "pp": (
        (11.947976878612717, 20.595816890292031, 0.993804635655643, 3.206742952700647),
        (1722.5, 1449.716666666667, 453.346697106947, 384.089451748475),
        (7, 7),
    ),
}


@pytest.mark.parametrize("name", MEANS_OF_R)
def test_means_equal_those_of_r(name):
    """Mean and standard error equal svymean of the R package survey."""
    sample, design = design_arguments(name)
    result = design_estimate(sample["y"], **design)
    assert (result.estimate, result.std) == pytest.approx(MEANS_OF_R[name], rel=1e-10)
    assert result.n == len(sample)


@pytest.mark.parametrize("name", TOTALS_OF_R)
def test_totals_equal_those_of_r(name):
    """Total and standard error equal svytotal of the R package survey."""
    sample, design = design_arguments(name)
    design = {**design, "estimator": "horvitz_thompson"}
    result = design_estimate(sample["y"], statistic="total", **design)
    assert (result.estimate, result.std) == pytest.approx(TOTALS_OF_R[name], rel=1e-10)


@pytest.mark.parametrize("name", ZONES_OF_R)
def test_zones_equal_those_of_r(name):
    """Means and totals of zones that cut strata and clusters equal svyby."""
    sample, design = design_arguments(name)
    means, totals, degrees = ZONES_OF_R[name]
    for statistic, expected in (("mean", means), ("total", totals)):
        table = design_estimate(sample["y"], statistic=statistic, by=sample["zone"], **design)
        values = [*table["estimate"], *table["std"]]
        np.testing.assert_allclose(values, expected, rtol=1e-10)
        assert table.index.tolist() == ["n", "s"]
        assert table["degrees_of_freedom"].tolist() == [*degrees]
        assert table["n"].tolist() == sample.groupby("zone").size().tolist()


def test_interval_equals_that_of_r():
    """confint(svymean(~y, str), level=0.9, df=degf(str)), with 13 degrees of freedom."""
    sample, design = design_arguments("str")
    result = design_estimate(sample["y"], **design)
    assert result.degrees_of_freedom == 13
    limits = (16.6479478841972, 22.9220521158028)
    assert (result.lower, result.upper) == pytest.approx(limits, rel=1e-12)


def test_stratified_sample_of_brus():
    """Table 4.1 of Brus: mean 7.238, std 0.5071, 95 % interval 6.208797 to 8.267613.

    Manuscript of "Spatial Sampling with R" (DickBrus/SpatialSamplingwithR, SpatialSampling.tex),
    sections 4.1 and 4.2: soil organic matter in Voorst, 40 points in five strata. The estimates
    depend on the data only by the printed means and variances of the strata, as below.
    """
    table = pd.DataFrame(
        {
            "size": [2371, 1442, 1710, 659, 1346],
            "n": [12, 8, 9, 4, 7],
            "mean": [8.22, 5.55, 5.97, 7.64, 8.73],
            "variance": [10.20, 4.35, 14.42, 9.24, 11.48],
        },
        index=["BA", "EA", "PA", "RA", "XF"],
    )
    rows = []
    for stratum, row in table.iterrows():
        z = np.arange(row["n"])
        z = (z - z.mean()) / z.std(ddof=1) * np.sqrt(row["variance"]) + row["mean"]
        rows.append(pd.DataFrame({"z": z, "stratum": stratum}))
    sample = pd.concat(rows)
    result = design_estimate(
        sample["z"], strata=sample["stratum"], stratum_sizes=table["size"], coverage=0.95
    )
    # The printed means and variances are rounded to 0.01.
    assert result.estimate == pytest.approx(7.238, abs=0.005)
    assert result.std == pytest.approx(0.5071, abs=0.0005)
    assert (result.lower, result.upper) == pytest.approx((6.208797, 8.267613), abs=0.006)
    assert result.degrees_of_freedom == 35
    strata = design_estimate(
        sample["z"],
        strata=sample["stratum"],
        stratum_sizes=table["size"],
        by=sample["stratum"],
    )
    np.testing.assert_allclose(strata["std"] ** 2, [0.850, 0.544, 1.603, 2.310, 1.640], atol=2e-3)


def test_two_stage_sample_of_sarndal():
    """Särndal, Swensson and Wretman (1992): total 15,080 of the MU284 population, std 2,274.3.

    Five of 50 clusters of municipalities and three municipalities of each; data set mu284 of the R
    package survey.
    """
    seats = {
        19: (41, 49, 49),
        45: (49, 49, 45),
        47: (31, 31, 35),
        50: (39, 41, 61),
        31: (49, 51, 33),
    }
    sample = pd.DataFrame([(cluster, y) for cluster, ys in seats.items() for y in ys])
    result = design_estimate(
        sample[1],
        statistic="total",
        clusters=sample[0],
        n_clusters=50,
        cluster_sizes={19: 5, 45: 8, 47: 5, 50: 9, 31: 7},
        fpc=True,
    )
    assert result.estimate == pytest.approx(15080, rel=1e-12)
    assert result.std == pytest.approx(2274.25470087333, rel=1e-12)
    assert result.degrees_of_freedom == 4


def test_draws_with_replacement_are_those_of_hansen_and_hurwitz():
    """Mean and variance of ``y / p`` over draws; a unit that is drawn twice counts twice.

    Lohr, Sampling: Design and Analysis: five draws of classes with probabilities size / 647, total
    1,749.014 hours with std 222.42.
    """
    sizes, hours = np.array([24, 100, 100, 76, 44]), np.array([75, 203, 203, 191, 168.0])
    probability = sizes / 647
    result = design_estimate(hours, statistic="total", weights=1 / (5 * probability))
    assert result.estimate == pytest.approx(1749.014, abs=5e-4)
    assert result.std == pytest.approx(222.42, abs=5e-3)
    per_student = design_estimate(
        hours,
        weights=1 / (5 * probability),
        population_size=647,
        estimator="horvitz_thompson",
    )
    assert per_student.estimate == pytest.approx(1749.014 / 647, abs=1e-6)
    assert per_student.std == pytest.approx(222.42 / 647, abs=1e-5)


def test_clusters_by_size_have_the_mean_of_cluster_means():
    """Clusters drawn in proportion to size: mean and std are those of cluster means (Brus, 6.1)."""
    means = SAMPLE.groupby("cluster")["y"].mean()
    observed = SAMPLE.groupby("cluster")["y"].transform("size")
    result = design_estimate(SAMPLE["y"], clusters=SAMPLE["cluster"], weights=1 / observed)
    assert result.estimate == pytest.approx(means.mean())
    assert result.std == pytest.approx(means.sem())
    assert result.degrees_of_freedom == 7


def test_correction_of_hajek():
    """n / (n - 1) sum (1 - pi) (y / pi - B)^2, B the mean of y / pi with weights 1 - pi."""
    y, pi = SAMPLE["y"], SAMPLE["pi"]
    design = {"inclusion_probabilities": pi, "estimator": "horvitz_thompson", "fpc": True}
    result = design_estimate(y, statistic="total", **design)
    center = np.average(y / pi, weights=1 - pi)
    variance = 16 / 15 * np.sum((1 - pi) * (y / pi - center) ** 2)
    assert result.estimate == pytest.approx(np.sum(y / pi))
    assert result.std == pytest.approx(np.sqrt(variance))
    # With equal probabilities it is simple random sampling without replacement.
    equal = design_estimate(y, inclusion_probabilities=np.full(16, 16 / 175), fpc=True)
    assert (equal.estimate, equal.std) == pytest.approx(MEANS_OF_R["srs"], rel=1e-10)


def test_correction_of_hajek_for_whole_clusters():
    """Equal inclusion probabilities of clusters give simple random sampling of clusters."""
    result = design_estimate(
        SAMPLE["y"],
        clusters=SAMPLE["cluster"],
        inclusion_probabilities=np.full(16, 8 / 60),
        fpc=True,
    )
    assert (result.estimate, result.std) == pytest.approx(MEANS_OF_R["cl"], rel=1e-10)


def test_known_area_scales_the_total():
    """A total is the mean times the known size, also where weights add up to another one."""
    pi = SAMPLE["pi"]
    mean = design_estimate(SAMPLE["y"], inclusion_probabilities=pi)
    total = design_estimate(
        SAMPLE["y"], inclusion_probabilities=pi, statistic="total", population_size=200
    )
    assert (total.estimate, total.std) == pytest.approx((200 * mean.estimate, 200 * mean.std))
    zones = {"n": 120.0, "s": 80.0}
    by_zone = {"by": SAMPLE["zone"], "inclusion_probabilities": pi}
    means = design_estimate(SAMPLE["y"], **by_zone)
    totals = design_estimate(SAMPLE["y"], statistic="total", population_size=zones, **by_zone)
    np.testing.assert_allclose(totals["upper"], means["upper"] * pd.Series(zones))
    direct = design_estimate(
        SAMPLE["y"], population_size=zones, estimator="horvitz_thompson", **by_zone
    )
    expected = (SAMPLE["y"] / pi).groupby(SAMPLE["zone"]).sum() / pd.Series(zones)
    np.testing.assert_allclose(direct["estimate"], expected)


def test_area_and_number_give_the_same_mean():
    """Without correction only ratios of sizes matter, so that areas serve as well."""
    y, strata = SAMPLE["y"], SAMPLE["stratum"]
    areas = {label: 0.01 * size for label, size in STRATUM_SIZES.items()}
    result = design_estimate(y, strata=strata, stratum_sizes=areas)
    assert (result.estimate, result.std) == pytest.approx(MEANS_OF_R["str0"], rel=1e-10)
    total = design_estimate(y, strata=strata, stratum_sizes=areas, statistic="total")
    assert total.estimate == pytest.approx(1.75 * MEANS_OF_R["str0"][0])


def test_completely_sampled_strata_have_no_variance():
    """A stratum of which all units are in the sample has no part in std and degrees of freedom."""
    y = np.array([1.0, 2.0, 3.0, 10.0, 50.0])
    strata = ["rest"] * 3 + ["large"] * 2
    sizes = {"rest": 30, "large": 2}
    result = design_estimate(y, strata=strata, stratum_sizes=sizes, fpc=True, statistic="total")
    assert result.estimate == pytest.approx(30 * 2 + 60)
    assert result.std == pytest.approx(30 * np.sqrt(0.9 / 3))
    assert result.degrees_of_freedom == 2
    census = design_estimate(y, population_size=5, fpc=True)
    assert (census.std, census.lower, census.upper) == (0, y.mean(), y.mean())
    single = design_estimate(
        y[:4], strata=strata[:4], stratum_sizes={"rest": 30, "large": 1}, fpc=True
    )
    assert single.estimate == pytest.approx((60 + 10) / 31)


def test_subsampled_clusters_that_are_all_selected_are_strata():
    """With all clusters in the sample, two stages equal a stratified sample."""
    sample, clusters = SAMPLE[:6], [1, 1, 1, 2, 2, 2]
    sizes = {1: 20, 2: 30}
    result = design_estimate(
        sample["y"], clusters=clusters, n_clusters=2, cluster_sizes=sizes, fpc=True
    )
    expected = design_estimate(sample["y"], strata=clusters, stratum_sizes=sizes, fpc=True)
    for name in ("estimate", "std", "lower", "degrees_of_freedom"):
        assert getattr(result, name) == pytest.approx(getattr(expected, name))


def test_zones_without_std():
    """One unit has an estimate without std; a zone of known size without units has neither."""
    by = ["n"] * 8 + ["s"] * 7 + ["one"]
    with pytest.warns(UserWarning, match=r"'one', 'none'"):
        table = design_estimate(
            SAMPLE["y"], by=by, population_size={"n": 50, "s": 40, "one": 5, "none": 5}
        )
    assert table.index.tolist() == ["n", "one", "s", "none"]
    assert table["n"].tolist() == [8, 1, 7, 0]
    assert table.loc["one", "estimate"] == 29.1
    assert table["std"].isna().tolist() == table["upper"].isna().tolist()
    assert table["std"].isna().tolist() == [False, True, False, True]


def test_shares_of_area():
    """The mean of booleans is a proportion."""
    result = design_estimate(SAMPLE["y"] > 20)
    assert result.estimate == pytest.approx(6 / 16)
    assert result.std == pytest.approx(np.sqrt(6 / 16 * 10 / 16 / 15))


def test_scale_and_order_of_rows():
    """Estimates are equivariant to the unit of y and invariant to the order of rows."""
    sample, design = design_arguments("scl")
    result = design_estimate(sample["y"], **design)
    order = np.random.default_rng(0).permutation(len(sample))
    shuffled = sample.iloc[order]
    design = {**design, "strata": shuffled["stratum"], "clusters": shuffled["cluster"]}
    scaled = design_estimate(10 * shuffled["y"].to_numpy() + 5, **design)
    assert scaled.estimate == pytest.approx(10 * result.estimate + 5)
    assert scaled.std == pytest.approx(10 * result.std)


@pytest.mark.parametrize("kind", ["category", "int", "mixed", "string"])
def test_types_of_labels(kind):
    """Labels are categories, numbers, objects of several types or pandas strings."""
    labels = {"category": ["a", "b", "c"], "int": [1, 2, 3], "mixed": [1, "b", 2.5]}
    labels = dict(zip("abc", labels.get(kind, ["a", "b", "c"]), strict=True))
    strata = SAMPLE["stratum"].map(labels)
    strata = strata.astype({"mixed": object, "int": "int64"}.get(kind, kind))
    sizes = {labels[name]: size for name, size in STRATUM_SIZES.items()}
    result = design_estimate(SAMPLE["y"], strata=strata, stratum_sizes=pd.Series(sizes))
    assert (result.estimate, result.std) == pytest.approx(MEANS_OF_R["str0"], rel=1e-10)
    as_list = design_estimate(SAMPLE["y"].tolist(), strata=strata.tolist(), stratum_sizes=sizes)
    assert as_list == result


POPULATION_SEED = 7


def make_population(n=1200):
    """Return a finite population with a trend: strata, clusters of 12, sizes and skewed values."""
    rng = np.random.default_rng(POPULATION_SEED)
    position = np.arange(n) / n
    size = rng.lognormal(0, 0.4, n)
    y = 20 + 15 * position + 4 * size + rng.gamma(2, 2, n)
    return pd.DataFrame(
        {
            "y": y,
            "size": size,
            "stratum": np.digitize(position, [0.2, 0.6]),
            "cluster": np.arange(n) // 12,
        }
    )


def draw(population, kind, rng):
    """Return a sample and its design arguments."""
    n = len(population)
    if kind == "simple":
        sample = population.iloc[rng.choice(n, 40, replace=False)]
        return sample, {"population_size": n, "fpc": True}
    if kind == "stratified":
        parts = population.groupby("stratum")
        sample = pd.concat([part.iloc[rng.choice(len(part), 15, False)] for _, part in parts])
        sizes = parts.size()
        return sample, {"strata": sample["stratum"], "stratum_sizes": sizes, "fpc": True}
    if kind == "two stages":
        chosen = rng.choice(n // 12, 25, replace=False)
        sample = pd.concat(
            [population.iloc[12 * c + rng.choice(12, 4, replace=False)] for c in chosen]
        )
        sizes = population["cluster"].value_counts()
        return sample, {
            "clusters": sample["cluster"],
            "n_clusters": n // 12,
            "cluster_sizes": sizes,
            "fpc": True,
        }
    probability = population["size"] / population["size"].sum()
    if kind == "without replacement":
        order = rng.permutation(n)
        ends = np.cumsum(200 * probability.to_numpy()[order])
        rows = order[np.searchsorted(ends, rng.uniform() + np.arange(200))]
        pi = 200 * probability.iloc[rows]
        return population.iloc[rows], {"inclusion_probabilities": pi, "fpc": True}
    rows = rng.choice(n, 60, p=probability)
    return population.iloc[rows], {"weights": 1 / (60 * probability.iloc[rows])}


@pytest.mark.parametrize(
    "kind",
    ["simple", "stratified", "two stages", "with replacement", "without replacement"],
)
def test_intervals_hold_the_true_mean(kind):
    """90 % of the intervals of 200 samples hold the mean of the population, and std is right."""
    population, rng = make_population(), np.random.default_rng(1)
    true, repetitions = population["y"].mean(), 200
    results = []
    for _ in range(repetitions):
        sample, design = draw(population, kind, rng)
        results.append(design_estimate(sample["y"], **design))
    inside = sum(result.lower <= true <= result.upper for result in results)
    low, high = binom.interval(0.999, repetitions, 0.9)
    assert low <= inside <= high
    estimates = np.array([result.estimate for result in results])
    spread = estimates.std(ddof=1)
    assert np.mean([result.std for result in results]) == pytest.approx(spread, rel=0.12)
    bound = student_t.ppf(0.9995, repetitions - 1) * spread / np.sqrt(repetitions)
    assert abs(estimates.mean() - true) < bound


Y = SAMPLE["y"]
STRATA = {"strata": SAMPLE["stratum"], "stratum_sizes": STRATUM_SIZES}
CLUSTERS = {"clusters": SAMPLE["cluster"]}


@pytest.mark.parametrize(
    ("y", "arguments", "message"),
    [
        ([1.0, np.nan, 2.0], {}, r"y has missing values in 1 of 3 rows \(row position 1\)"),
        ([1.0, None, 2.0], {}, "y has missing values"),
        ([1.0, np.inf, 2.0], {}, "'y' must hold finite numbers"),
        (["a", "b"], {}, "'y' must hold numbers"),
        ([], {}, "y has no values"),
        ([3.0], {}, "one sampled unit"),
        (np.ones((4, 2)), {}, r"y must be one column.*\(4, 2\)"),
        (Y, {"statistic": "median"}, r"statistic must be one of \['mean', 'total'\]; .*'median'"),
        (Y, {"estimator": "ht"}, "estimator must be one of"),
        (Y, {"coverage": 90}, "did you mean 0.9"),
        (Y, {"fpc": 0.5}, "fpc must be True or False; found 0.5"),
        (Y, {"statistic": "total"}, "needs population_size"),
        (Y, {"statistic": "total", **CLUSTERS}, "needs population_size"),
        (Y, {"statistic": "total", "by": SAMPLE["zone"]}, "by zone if by is given"),
        (Y, {"estimator": "horvitz_thompson", **CLUSTERS}, "needs weights"),
        (Y, {"estimator": "horvitz_thompson", "weights": Y}, "needs population_size for a mean"),
        (Y, {"fpc": True}, "fpc=True needs population_size"),
        (Y, {"fpc": True, **CLUSTERS}, "fpc=True needs n_clusters"),
        (Y, {"fpc": True, "weights": Y}, "inclusion_probabilities instead of weights"),
        (Y, {"fpc": True, "population_size": 15}, "population_size is 15, fewer than the 16"),
        (Y, {"population_size": 0}, "population_size must be a positive number; found 0"),
        (Y, {"population_size": "big"}, "population_size must be a positive number"),
        (Y, {"population_size": {"n": 3, "s": 4}}, "population_size by zone needs by"),
        (
            Y,
            {"population_size": {"n": 3}, "by": SAMPLE["zone"]},
            r"population_size has no size of by \['s'\]",
        ),
        (Y, {"weights": Y[:5]}, "weights must have 16 values, one per row of y; found 5"),
        (Y, {"weights": Y - 8.3}, r"weights must be positive.*row position 6, value 0\)"),
        (Y, {"inclusion_probabilities": Y / 20}, "above 0 and up to 1; .*value 1.57"),
        (Y, {"inclusion_probabilities": Y - Y}, "above 0 and up to 1; .*value 0"),
        (Y, {"inclusion_probabilities": Y / 99, "weights": Y}, "are both given"),
        (Y, {"weights": Y, **STRATA}, "weights and stratum_sizes are both given"),
        (Y, {"weights": Y, **CLUSTERS, "cluster_sizes": CLUSTER_SIZES}, "are both given"),
        (Y, {"strata": SAMPLE["stratum"]}, "strata need stratum_sizes"),
        (Y, {"strata": SAMPLE["stratum"], **CLUSTERS}, "strata need n_clusters"),
        (Y, {"stratum_sizes": STRATUM_SIZES}, "stratum_sizes needs strata"),
        (Y, {"n_clusters": 30}, "n_clusters needs clusters"),
        (Y, {"cluster_sizes": CLUSTER_SIZES}, "cluster_sizes needs clusters"),
        (Y, {**STRATA, **CLUSTERS}, "stratum_sizes is for samples without clusters"),
        (
            Y,
            {**STRATA, "strata": ["a"] * 15 + ["b"], "stratum_sizes": {"a": 20, "b": 9}},
            r"strata \['b'\] have one sampled unit",
        ),
        (Y, {**STRATA, "strata": [None, *SAMPLE["stratum"][1:]]}, "strata has missing labels"),
        (Y, {**STRATA, "stratum_sizes": {"a": 60, "b": 25}}, r"no size of strata \['c'\]"),
        (Y, {**STRATA, "stratum_sizes": {**STRATUM_SIZES, "d": 5}}, r"strata \['d'\] without a"),
        (Y, {**STRATA, "stratum_sizes": {**STRATUM_SIZES, "b": -5}}, r"stratum_sizes\['b'\]"),
        (Y, {**STRATA, "stratum_sizes": [60, 25, 90]}, "stratum_sizes must be a mapping.*list"),
        (
            Y,
            {**STRATA, "stratum_sizes": pd.Series([60, 25, 90, 1], index=[*"abca"])},
            "several sizes for one label",
        ),
        (
            Y,
            {**STRATA, "stratum_sizes": {**STRATUM_SIZES, "b": 3}, "fpc": True},
            "stratum_sizes of strata 'b' is 3, fewer than the 4 in the sample",
        ),
        (
            Y,
            {"strata": SAMPLE["stratum"], **CLUSTERS, "n_clusters": {**N_CLUSTERS, "a": 2}}
            | {"fpc": True},
            "n_clusters of strata 'a' is 2, fewer than the 3",
        ),
        (
            Y,
            {**CLUSTERS, "n_clusters": 60, "cluster_sizes": {**CLUSTER_SIZES, 1: 2}, "fpc": True},
            "cluster_sizes of clusters 1 is 2, fewer than the 3",
        ),
        (
            Y,
            {**CLUSTERS, "n_clusters": 60, "cluster_sizes": CLUSTER_SIZES, "fpc": True},
            r"clusters \[3\] have one of several units",
        ),
        (
            Y,
            {**CLUSTERS, "n_clusters": 60, "cluster_sizes": {1: 9}},
            r"cluster_sizes has no size of clusters \[2, 3,",
        ),
        (
            Y,
            {"clusters": [1] * 7 + [2] * 9, "strata": SAMPLE["stratum"], "n_clusters": N_CLUSTERS},
            r"clusters \[1, 2\] lie in several strata",
        ),
        (
            Y,
            {"clusters": SAMPLE["stratum"], "strata": SAMPLE["stratum"], "n_clusters": N_CLUSTERS},
            r"strata \['a', 'b', 'c'\] have one cluster",
        ),
        (Y, {"clusters": ["x"] * 16}, "The sample has one cluster"),
        (
            Y,
            {**CLUSTERS, "inclusion_probabilities": SAMPLE["pi"], "fpc": True},
            "inclusion_probabilities differ within clusters",
        ),
        (Y, {"by": [np.nan, *SAMPLE["zone"][1:]]}, "by has missing labels in 1 of 16 rows"),
    ],
)
def test_invalid_arguments(y, arguments, message):
    """Errors name the parameter, the value and the stratum or cluster."""
    with pytest.raises(ValueError, match=message):
        design_estimate(y, **arguments)
