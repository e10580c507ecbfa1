"""Image columns of the parameter `images`."""

from types import SimpleNamespace

import pandas as pd
import pytest

from sptgnn_sklearn.table.image_columns import ImageColumn, image_columns


def test_columns_may_be_labels_positions_or_image_columns():
    """Labels and positions become an ImageColumn with default settings."""
    column = ImageColumn("s1", linear=True)
    result = image_columns({"S2L2A": "s2", "DEM": 4, "S1GRD": column})
    assert result == {"S2L2A": ImageColumn("s2"), "DEM": ImageColumn(4), "S1GRD": column}


def test_objects_with_columns_are_unwrapped():
    """Objects such as TerraMindImages hold the mapping as an attribute."""
    assert image_columns(SimpleNamespace(columns={"DEM": "path"})) == {"DEM": ImageColumn("path")}


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (None, "images=None"),
        ({}, "images={}"),
        ("path", "images='path'"),
        (pd.DataFrame({"DEM": ["a.tif"]}), r"images=.*'DEM'"),
        ({2: "path"}, "images has the modality 2"),
        ({"": "path"}, "images has the modality ''"),
        ({"DEM": ["a", "b"]}, r"images\['DEM'\]=\['a', 'b'\]"),
        ({"DEM": "a", "RGB": ImageColumn("a")}, "images has the column 'a'"),
    ],
)
def test_invalid_images_raise(images, message):
    """The error contains the parameter and the value."""
    with pytest.raises(ValueError, match=message):
        image_columns(images)
