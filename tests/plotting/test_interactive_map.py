"""Pages of interactive maps: structure, embedded data, escaped text and no reference that loads."""

import html
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401  (gives arrays their attribute `rio`)
import xarray

import sptgnn_sklearn
from sptgnn_sklearn.plotting import write_interactive_map

LIBRARY = Path(sptgnn_sklearn.__file__).parent / "plotting" / "maplibre"


@pytest.fixture
def table():
    """Return a table of points with two columns of numbers."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"lon": rng.uniform(5, 6, 20), "lat": rng.uniform(50, 51, 20)} | {"om": np.arange(20.0)}
    ).assign(clay=1)


def page_data(page):
    """Return the data of a page."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.html)
    return json.loads(text)


def own_parts(page):
    """Return a page without the text of the library."""
    script = (LIBRARY / "maplibre-gl.js").read_text(encoding="utf-8")
    style = (LIBRARY / "maplibre-gl.css").read_text(encoding="utf-8")
    script = script.rpartition("//# sourceMappingURL=")[0]
    assert script in page.html
    assert style in page.html
    return page.html.replace(script, "").replace(style, "")


def test_page_of_a_table(table, tmp_path):
    """The file has the title, the layers in order, and one feature for each row."""
    page = write_interactive_map(
        table,
        tmp_path / "soil.html",
        layers=["clay", "om"],
        title="Farm <1>",
        labels={"om": "organic matter </script>"},
    )
    assert page.path.read_text(encoding="utf-8") == page.html
    assert "<h1>Farm &lt;1&gt;</h1>" in page.html
    data = page_data(page)
    assert [layer["label"] for layer in data["layers"]] == ["clay", "organic matter </script>"]
    assert len(data["features"]["features"]) == 20
    assert page.html.count("</script>") == 3  # names cannot end the script of the data
    assert '<html lang="en">' in page.html
    assert "soil.html" in repr(page)


def test_page_of_a_map(tmp_path):
    """All layers of a Dataset are images in the page; arrays are maps of one layer."""
    coords = {"y": 5e6 - 10.0 * np.arange(5), "x": 5e5 + 10.0 * np.arange(4)}
    layer = xarray.DataArray(np.arange(20.0).reshape(5, 4), coords, ("y", "x")).rio.write_crs(32636)
    soil = xarray.Dataset({"mean": layer, "std": layer})
    data = page_data(write_interactive_map(soil, tmp_path / "soil.htm"))
    assert [layer["name"] for layer in data["layers"]] == ["mean", "std"]
    assert all(layer["image"].startswith("data:image/png") for layer in data["layers"])
    single = page_data(write_interactive_map(soil, tmp_path / "soil.html", layers="std"))
    assert [layer["name"] for layer in single["layers"]] == ["std"]
    array = page_data(write_interactive_map(layer, tmp_path / "soil.html"))
    assert [layer["name"] for layer in array["layers"]] == ["values"]
    with pytest.raises(ValueError, match=r"layers=\['q5'\] must be layers of the map"):
        write_interactive_map(soil, tmp_path / "soil.html", layers=["q5"])


def test_page_loads_nothing(table, tmp_path):
    """No element or style refers to another file, and the policy of the page forbids it."""
    own = own_parts(write_interactive_map(table, tmp_path / "soil.html"))
    assert re.findall(r"(?:src|href)=", own) == []
    assert re.findall(r"url\(|@import|https?:|//[a-z]", own) == []
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', own)
    assert policy.startswith("default-src 'none';")
    assert not re.search(r"https?|\*", policy)
    style = (LIBRARY / "maplibre-gl.css").read_text(encoding="utf-8")
    assert all(url.startswith("data:") for url in re.findall(r"url\([\"']?([^\"')]*)", style))


def test_library_has_its_license():
    """The license of MapLibre GL JS is beside the file, and its version is known."""
    text = (LIBRARY / "LICENSE.txt").read_text(encoding="utf-8")
    assert text.startswith("Copyright (c) 2023, MapLibre contributors")
    script = (LIBRARY / "maplibre-gl.js").read_text(encoding="utf-8")
    assert re.search(r"maplibre-gl-js/blob/v5\.\d+\.\d+/LICENSE", script)
    assert "</script" not in script


def test_outline_is_drawn(table, tmp_path):
    """The outline is in the data of the page."""
    geopandas = pytest.importorskip("geopandas")
    shapely = pytest.importorskip("shapely")
    field = geopandas.GeoSeries([shapely.box(5, 50, 6, 51)], crs=4326)
    data = page_data(write_interactive_map(table, tmp_path / "soil.html", outline=field))
    assert data["outline"]["geometry"]["type"] == "MultiLineString"


def test_notebooks_show_a_frame(table, tmp_path):
    """The frame contains the whole page."""
    page = write_interactive_map(table, tmp_path / "soil.html")
    frame = page._repr_html_()
    (content,) = re.findall(r'srcdoc="([^"]*)"', frame)
    assert html.unescape(content) == page.html
    assert 'title="interactive map"' in frame


def test_invalid_arguments_raise(table, tmp_path):
    """The error names the argument, and no file is left."""
    path = tmp_path / "soil.html"
    with pytest.raises(ValueError, match=r"soil.png' must end in .html"):
        write_interactive_map(table, tmp_path / "soil.png")
    with pytest.raises(TypeError, match=r"predictions must be .* found list"):
        write_interactive_map([[1, 2]], path)
    with pytest.raises(ValueError, match=r"labels has \['oc'\]"):
        write_interactive_map(table, path, labels={"oc": "carbon"})
    assert not path.exists()
