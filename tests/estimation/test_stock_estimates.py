"""Stocks of zones and their change, against closed forms."""

import numpy as np
import pandas as pd
import pytest
from known_draws import KnownDraws, cell_table, known_model
from sklearn.linear_model import LinearRegression

from sptgnn_sklearn.estimation import (
    UncertainValue,
    estimate,
    estimate_change,
    estimate_stock,
    estimate_stock_change,
    stock,
)
from sptgnn_sklearn.estimation.stock_estimates import LayerValue, StockConversion

LAYER = {"bulk_density": 1.3, "thickness": 30.0, "content_unit": "%"}
LINEAR = ["estimate", "std", "lower", "upper"]


def test_known_layer_multiplies_the_content():
    """Without an error of the layer, 1 % is 39 t/ha; the total is that times the area."""
    cells, model = cell_table(8), known_model(std=0.3)
    content = estimate(model, cells, weights=2.0)
    table = estimate_stock(model, cells, **LAYER, weights=2.0)
    np.testing.assert_allclose(table[LINEAR], 39 * content[LINEAR])
    np.testing.assert_allclose(table["n_effective"], content["n_effective"])
    total = estimate_stock(model, cells, **LAYER, weights=2.0, statistic="total")
    np.testing.assert_allclose(total[LINEAR], 16 * table[LINEAR])
    stony = estimate_stock(model, cells, **LAYER, coarse_fragments=0.1)
    np.testing.assert_allclose(stony["estimate"], 0.9 * table["estimate"])
    gram = estimate_stock(model, cells, **{**LAYER, "content_unit": "g/kg"})
    np.testing.assert_allclose(gram["std"], table["std"] / 10)


def test_columns_of_the_cells():
    """Density, thickness and fragments of each cell; also mean and std of an error."""
    cells = cell_table(5, bd=[1.0, 1.1, 1.2, 1.3, 1.4], cm=30.0, stones=[0, 0.1, 0.2, 0.3, 0.4])
    model = known_model(std=0.2)
    settings = {"bulk_density": "bd", "thickness": "cm", "coarse_fragments": "stones"}
    table = estimate_stock(model, cells, **settings, content_unit="%")
    expected = stock(cells["value"], cells["bd"], cells["cm"], cells["stones"], content_unit="%")
    assert table["estimate"].iloc[0] == pytest.approx(expected.mean())
    settings["bulk_density"] = UncertainValue("bd", "error")
    exact = estimate_stock(model, cells.assign(error=0.0), **settings, content_unit="%")
    pd.testing.assert_frame_equal(exact, table)


@pytest.mark.parametrize("shared", [True, False])
def test_errors_of_the_bulk_density(shared):
    """A shared error stays in a mean, that of single cells averages out."""
    cells, model = cell_table(10, value=[2.0] * 10), known_model(std=0.0)
    density = UncertainValue(1.3, 0.1, shared=shared)
    table = estimate_stock(
        model, cells, **{**LAYER, "bulk_density": density}, n_samples=5000, block_rows=4
    )
    expected = 78 * 0.1 / 1.3 / (1 if shared else np.sqrt(10))
    assert table["estimate"].iloc[0] == pytest.approx(78)
    assert table["std"].iloc[0] == pytest.approx(expected, rel=0.04)
    assert table["n_effective"].iloc[0] == pytest.approx(1 if shared else 10, rel=0.1)


@pytest.mark.parametrize("shared", [True, False])
def test_blocks_equal_the_whole(shared):
    """Errors of single cells are drawn in the order of the cells."""
    cells = cell_table(9, farm=list("aabbaabba"))
    value = UncertainValue(1.3, 0.1, shared=shared)
    settings = {**LAYER, "bulk_density": value, "coarse_fragments": UncertainValue(0.1, 0.05)}
    whole = estimate_stock(known_model(), cells, "farm", **settings, correlation=-0.5)
    parts = estimate_stock(
        known_model(), [cells[:2], cells[2:]], "farm", **settings, correlation=-0.5, block_rows=3
    )
    pd.testing.assert_frame_equal(parts, whole)


@pytest.mark.parametrize("correlation", [-0.8, 0.0, 0.8])
def test_covariance_of_content_and_density(correlation):
    """E(CB) = E(C) E(B) + cov; the std of one cell is that of a product of normal variables."""
    cells, model = cell_table(1, value=[2.0]), known_model(std=0.4)
    settings = {**LAYER, "bulk_density": UncertainValue(1.3, 0.1), "correlation": correlation}
    row = estimate_stock(model, cells, **settings, n_samples=4000).iloc[0]
    covariance = correlation * 0.4 * 0.1
    assert row["estimate"] == pytest.approx(30 * (2.6 + covariance), rel=0.002)
    variance = (2 * 0.1) ** 2 + (1.3 * 0.4) ** 2 + 2 * 2.6 * covariance + (0.4 * 0.1) ** 2
    variance += covariance**2
    assert row["std"] == pytest.approx(30 * np.sqrt(variance), rel=0.04)


@pytest.mark.parametrize("correlation", [0.0, -0.9])
def test_fitted_model_of_bulk_density(correlation):
    """Its draws keep their distribution; their order follows the content."""
    cells = cell_table(6, value=[2.0] * 6).assign(density=1.3)
    renamed = cells.drop(columns="value").rename(columns={"density": "value"})[
        ["x", "y", "cell", "year", "value"]
    ]
    assert (renamed["value"] == 1.3).all()

    class Density(KnownDraws):
        def predict(self, X):
            return X["density"].to_numpy(dtype=float)

    columns = ["x", "y", "cell", "year", "density"]
    density = Density(std=0.1, share=1.0).fit(cells[columns])
    settings = {**LAYER, "bulk_density": density, "correlation": correlation}
    row = estimate_stock(known_model(std=0.4, share=1.0), cells, **settings, n_samples=2000).iloc[0]
    covariance = correlation * 0.4 * 0.1
    assert row["estimate"] == pytest.approx(30 * (2.6 + covariance), rel=0.003)
    variance = 0.2**2 + 0.52**2 + 2 * 2.6 * covariance + 0.04**2 + covariance**2
    assert row["std"] == pytest.approx(30 * np.sqrt(variance), rel=0.05)


def two_dates(n_cells=6, **columns):
    first = cell_table(n_cells, value=[2.0] * n_cells, **columns)
    return first, first.assign(year=2020.0, value=2.2)


def change(model, *tables, **settings):
    return estimate_stock_change(model, *tables, **{**LAYER, "n_samples": 300, **settings})


def test_change_at_a_fixed_depth():
    """One layer multiplies the change of the content; another density changes it by hand."""
    model, tables = known_model(std=0.3), two_dates()
    content = estimate_change(model, *tables, n_samples=300)
    table = change(model, *tables)
    for name in (*LINEAR, "before", "after", "std_independent", "minimum_detectable_difference"):
        np.testing.assert_allclose(table[name], 39 * content[name])
    looser = change(model, *tables, bulk_density_after=1.1)
    assert looser["after"].iloc[0] == pytest.approx(2.2 * 1.1 * 30)
    assert looser["estimate"].iloc[0] == pytest.approx(72.6 - 78)


def test_change_at_an_equivalent_mass():
    """Looser soil needs a thicker layer: 30 cm x 1.3 / 1.1; the stock is that of 3900 t/ha."""
    model, tables = known_model(std=0.3), two_dates()
    settings = {"method": "equivalent_mass", "bulk_density_after": 1.1}
    row = change(model, *tables, **settings).iloc[0]
    assert row["after"] == pytest.approx(0.022 * 3900)
    assert row["estimate"] == pytest.approx(7.8)
    assert row["equivalent_thickness"] == pytest.approx(30 * 1.3 / 1.1)
    np.testing.assert_allclose(row["std"], change(model, *tables)["std"].iloc[0])


def test_equivalent_thickness_is_a_weighted_mean_by_zone():
    """Blocks and zones in any order."""
    first, second = two_dates(bd=[1.0, 1.2, 1.3, 1.4, 1.0, 1.1], farm=list("abbaab"))
    second["bd"] = [1.2, 1.0, 1.3, 1.2, 1.2, 1.2]
    weights = np.arange(1.0, 7)
    table = change(
        known_model(),
        first,
        second,
        "farm",
        weights=weights,
        bulk_density="bd",
        bulk_density_after="bd",
        method="equivalent_mass",
        block_rows=4,
    )
    thickness = 30 * first["bd"] / second["bd"]
    for farm in "ab":
        rows = first["farm"] == farm
        expected = np.average(thickness[rows], weights=weights[rows])
        assert table.loc[farm, "equivalent_thickness"] == pytest.approx(expected)


def test_one_bulk_density_has_the_same_error_at_both_dates():
    """Its relative error is that of the change; two of them have independent errors."""
    model, tables = known_model(std=0.0), two_dates()
    density = UncertainValue(1.3, 0.1)
    same = change(model, *tables, bulk_density=density, n_samples=4000).iloc[0]
    assert same["std"] == pytest.approx(7.8 * 0.1 / 1.3, rel=0.05)
    two = change(
        model, *tables, bulk_density=density, bulk_density_after=density, n_samples=4000
    ).iloc[0]
    expected = 30 * 0.1 * np.hypot(2.0, 2.2)
    assert two["std"] == pytest.approx(expected, rel=0.05)
    assert two["std_independent"] == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "depth"}, "method.*'depth'"),
        ({"bulk_density": "bd"}, "bulk_density='bd' is not a column of cells"),
        ({"bulk_density": np.ones(6)}, "bulk_density is an array"),
        ({"bulk_density": 1300.0}, "bulk_density.*found 1300"),
        ({"thickness": known_model()}, "thickness must not be a model"),
        ({"coarse_fragments": 30}, "coarse_fragments.*found 30"),
        ({"bulk_density_after": "ca"}, "bulk_density_after='ca'.*did you mean"),
        ({"correlation": 0.5}, "correlation=0.5 needs a bulk_density with an error"),
        ({"correlation": 3}, "correlation.*found 3"),
        ({"content_unit": "percent"}, "content_unit"),
        ({"thickness": "value_cm"}, "thickness='value_cm'"),
        ({"bulk_density": "holes"}, r"bulk_density='holes' has missing values in 1 of 6"),
    ],
)
def test_invalid_arguments_raise(settings, message):
    """Messages have the parameter and what was found."""
    holes = [1.3, np.nan, 1.3, 1.3, 1.3, 1.3]
    with pytest.raises(ValueError, match=message):
        change(known_model(), *two_dates(holes=holes, cat=1.0), **settings)


def test_contents_above_the_whole_soil_raise():
    """Predictions in g/kg are no percent."""
    with pytest.raises(ValueError, match=r"content.*found 250"):
        estimate_stock(known_model(), cell_table(3, value=[20, 250, 30]), **LAYER)


def test_models_of_bulk_density_need_joint_draws():
    """The message names the regressor."""
    model = LinearRegression().fit(cell_table()[["x"]], np.ones(12))
    with pytest.raises(TypeError, match="LinearRegression has no sample_y"):
        LayerValue("bulk_density", model)


def test_conversion_of_one_block():
    """Predictions and draws of a block, by hand."""
    conversion = StockConversion(1.0, 10.0, 0.5, content_unit="%", correlation=0.0)
    conversion.seed(2, 0)
    frame = pd.DataFrame(index=range(2))
    predictions, draws = conversion.apply(frame, np.array([1.0, 2]), np.array([[1.0, 2], [3, 4]]))
    np.testing.assert_allclose(predictions, [5, 10])
    np.testing.assert_allclose(draws, [[5, 10], [15, 20]])
