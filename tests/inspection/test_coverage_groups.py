"""Groups by numbers, categories, regions and distances."""

import numpy as np
import pandas as pd
import pytest

from sptgnn_sklearn.inspection.coverage_groups import (
    GroupSources,
    categories,
    column_groups,
    distance_to_nearest,
    quantile_groups,
    region_groups,
)
from sptgnn_sklearn.spatial.crs import resolve_crs

PLANE = resolve_crs(None, ["x", "y"])
SPHERE = resolve_crs(None, ["lon", "lat"])


def sizes(groups):
    return groups.value_counts().to_dict()


def make_sources(n_rows=6, **changes):
    def absent():
        raise ValueError("not known")

    defaults = {
        "std": np.arange(n_rows, dtype=float),
        "width": 2.0 * np.arange(n_rows),
        "frame": pd.DataFrame({"soil": list("aabbab")[:n_rows]}),
        "locate": absent,
        "distance": absent,
        "n_groups": 2,
        "min_rows": 1,
        "random_state": 0,
    }
    return GroupSources(n_rows, **(defaults | changes))


def test_quantile_groups_have_equal_sizes():
    """They are in increasing order, whatever the order of the rows."""
    values = np.random.default_rng(0).permutation(100.0 * np.arange(100))
    groups = quantile_groups(values, 5, 20, "m")
    assert sizes(groups) == dict.fromkeys(groups.categories, 20)
    assert groups.categories[[0, -1]].tolist() == ["0 to 1900 m", "8000 to 9900 m"]
    np.testing.assert_array_equal(groups.codes, values // 2000)


def test_fewer_quantile_groups_of_few_rows():
    """No group is smaller than min_rows, and 39 rows are one group of at least 20."""
    values = np.arange(39.0)
    assert sizes(quantile_groups(values, 5, 10)) == {
        "0 to 12": 13,
        "13 to 25": 13,
        "26 to 38": 13,
    }
    assert len(quantile_groups(values, 5, 20).categories) == 1


def test_ties_are_not_split():
    """A value of most rows is one group; a small group between is joined to the smaller side."""
    values = np.r_[np.zeros(79), 1.0, np.linspace(2, 3, 20)]
    assert sizes(quantile_groups(values, 5, 10)) == {"0.0": 79, "1.0 to 3.0": 21}
    assert sizes(quantile_groups(np.full(30, 4.0), 3, 5)) == {"4": 30}


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([1000.001, 1000.002, 1000.003, 1000.004], ["1000.0010 to 1000.0020", None]),
        ([1e-9, 2e-9, 5, 6], ["0.0", "5.0 to 6.0"]),
        ([0.011, 0.012, 0.1, 0.2], ["0.011 to 0.012", "0.100 to 0.200"]),
        ([-0.001, 0.001, 10, 20], ["0", "10 to 20"]),
    ],
)
def test_names_distinguish_groups(values, names):
    """There are as many decimals as needed, and no negative zero."""
    found = quantile_groups(np.array(values), 2, 1).categories.tolist()
    assert len(set(found)) == 2
    assert all(name in (None, other) for name, other in zip(names, found, strict=True))


def test_infinite_and_missing_numbers():
    """Infinite widths are in the last group, missing values in their own."""
    values = np.array([1.0, 2.0, np.inf, np.inf, np.nan])
    groups = quantile_groups(values, 2, 1)
    assert groups.tolist() == ["1 to 2", "1 to 2", "inf", "inf", "missing"]
    assert quantile_groups(np.array([np.nan]), 2, 1).tolist() == ["missing"]


def test_rare_categories_are_joined():
    """They come after the others; missing ones stay apart, and one rare one keeps its name."""
    column = pd.Series(["z"] * 3 + ["a"] * 3 + ["k", "m", None])
    groups = categories(column, 3)
    assert groups.categories.tolist() == ["a", "z", "other (2)", "missing"]
    assert sizes(groups) == {"a": 3, "z": 3, "other (2)": 2, "missing": 1}
    assert categories(pd.Series(["a", "a", "b"]), 2).categories.tolist() == ["a", "b"]


def test_order_and_names_of_categories():
    """Ordered categories keep their order, unused ones are absent, 1.0 is "1"."""
    column = pd.Series(pd.Categorical(["low", "high"], ["low", "middle", "high"], ordered=True))
    assert categories(column, 1).categories.tolist() == ["low", "high"]
    assert categories(pd.Series([2.0, 1.0, 10.0]), 1).categories.tolist() == ["1", "2", "10"]


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (pd.Series([True, False, True, False]), ["False", "True"]),
        (pd.Series([True, None, True, False], dtype="boolean"), ["False", "True", "missing"]),
        (pd.Series([3, 7, 7, 3]), ["3", "7"]),
        (pd.Series([3, 7, 8, 9]), ["3 to 7", "8 to 9"]),
        (pd.Series(["3", "7", "8", "9"]), ["3", "7", "8", "9"]),
        (pd.Series([1.0, 2.0, 3.0, None]), ["1 to 2", "3", "missing"]),
        (pd.cut(pd.Series([0.5, 1.5, 0.6, 1.6]), [0, 1, 2]), ["(0, 1]", "(1, 2]"]),
        (
            pd.Series(pd.to_datetime(["2001-01-01", "2003-01-01", "2010-01-01", "2020-01-01"])),
            ["2001 to 2003", "2010 to 2020"],
        ),
    ],
    ids=["bool", "boolean", "two numbers", "integers", "text", "gaps", "intervals", "dates"],
)
def test_types_of_columns(column, names):
    """Few distinct numbers are categories; others and dates are grouped by size."""
    assert column_groups(column, "column", 2, 1).categories.tolist() == names


def test_mixed_types_raise():
    """The error names the column."""
    with pytest.raises(TypeError, match="'depth'"):
        column_groups(pd.Series([1.0, "deep"]), "depth", 2, 1)


@pytest.mark.parametrize(
    ("reference", "xy"),
    [
        (PLANE, [[0, 0], [1, 0], [50, 0], [51, 0], [90, 0], [91, 0]]),
        (SPHERE, [[176, 0], [176.1, 0], [179.9, 5], [-179.9, 5], [-176, 0], [-176.1, 0]]),
    ],
    ids=["plane", "across the date line"],
)
def test_regions_are_numbered_from_the_west(reference, xy):
    """Also across the date line and in another order of rows."""
    xy = np.array(xy, dtype=float)
    order = np.array([3, 0, 5, 1, 4, 2])
    groups = region_groups(xy[order], reference, 3, 2)
    assert groups.tolist() == np.array(["1", "1", "2", "2", "3", "3"])[order].tolist()


def test_small_regions_join_the_nearest_one():
    """A single distant row has no region of its own."""
    rng = np.random.default_rng(0)
    xy = np.concatenate([rng.uniform(0, 1, (20, 2)), rng.uniform(10, 11, (20, 2)), [[30.0, 30.0]]])
    groups = region_groups(xy, PLANE, 3, 5)
    assert sizes(groups) == {"1": 20, "2": 21}
    assert groups[-1] == "2"
    assert len(region_groups(xy, PLANE, 3, 30).categories) == 1


def test_distances_are_on_the_ground():
    """In units of the plane, and in great-circle km."""
    training = np.array([[0.0, 0.0], [10.0, 0.0]])
    xy = np.array([[3.0, 4.0], [10.0, 0.0]])
    np.testing.assert_allclose(distance_to_nearest(xy, training, PLANE), [5, 0])
    quarter = distance_to_nearest(np.array([[0.0, 90.0]]), training, SPHERE)
    np.testing.assert_allclose(quarter, np.pi / 2 * 6371.0088)


def test_forms_of_by():
    """A name, a label, a mapping or a sequence of these."""
    rows = np.arange(6)
    values = np.array([5.0, 1, 3, 2, 4, 0])
    everything = make_sources().groups(["std", "soil", {"zone": list("xyxyxy"), "v": values}], rows)
    assert list(everything) == ["std", "soil", "zone", "v"]
    assert everything["v"].tolist() == [
        everything["v"].categories[int(value > 2)] for value in values
    ]
    for by in ("soil", ["soil"], {"soil": list("aabbab")}, 0):
        assert make_sources().groups(by, rows)["soil"].tolist() == list("aabbab")


def test_width_replaces_an_unknown_std():
    """The name in the table is that of the values used."""
    groups = make_sources(std=None).groups("std", np.arange(6))
    assert list(groups) == ["width"]
    assert groups["width"].codes.tolist() == [0, 0, 0, 1, 1, 1]


def test_only_chosen_rows_are_grouped():
    """Quantiles are those of the chosen rows."""
    groups = make_sources().groups(["std", {"zone": list("xyxyzz")}], np.array([0, 1, 2, 3]))
    assert groups["std"].codes.tolist() == [0, 0, 1, 1]
    assert groups["zone"].tolist() == list("xyxy")


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ([], r"by must hold at least one"),
        (["std", "std"], r"by must hold distinct names .*'std' twice"),
        ({"all": np.arange(6)}, r"found 'all'"),
        (["soil", {"soil": list("aabbab")}], r"'soil' twice"),
        ("soils", r"by='soils' is not a column.*did you mean 'soil'"),
        ({"zone": [1, 2]}, r"by\['zone'\] .* 6 rows; found shape \(2,\)"),
        ({"zone": 3}, r"by\['zone'\] .*shape \(\)"),
        ({"zone": pd.Series(range(6), index=range(1, 7))}, r"by\['zone'\] .*another index"),
    ],
)
def test_invalid_names_raise(by, message):
    """The error names the entry and what was found."""
    with pytest.raises(ValueError, match=message):
        make_sources().groups(by, np.arange(6))


def test_columns_need_a_table():
    """The error names the column and both remedies."""
    with pytest.raises(ValueError, match=r"by='soil' .*pass X="):
        make_sources(frame=None).groups("soil", np.arange(6))
