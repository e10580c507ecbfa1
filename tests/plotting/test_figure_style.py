"""The style of figures for print: size and resolution of files, fonts in PDF, settings restored."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from figure_checks import overlapping_texts, random_locations
from PIL import Image

from sptgnn_sklearn.plotting import ObservedPredictedDisplay, plot_map, style


def draw():
    return plot_map(random_locations(), np.arange(40.0), label="clay (%)", north_arrow=True)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (84, 63)),
        ({"width": "double"}, (174, 87)),
        ({"width": 120, "height": 50}, (120, 50)),
    ],
)
def test_files_have_the_width_of_a_column(tmp_path, options, expected):
    """PNG files have 300 dpi, and their pixels are the size in mm."""
    with style("paper", **options):
        figure = draw().figure
        figure.savefig(tmp_path / "map.png")
        figure.savefig(tmp_path / "map.pdf")
    with Image.open(tmp_path / "map.png") as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert np.divide(image.size, 300) * 25.4 == pytest.approx(expected, abs=0.1)
    (box,) = re.findall(
        rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", (tmp_path / "map.pdf").read_bytes()
    )
    assert np.array(box, dtype=float) / 72 * 25.4 == pytest.approx(expected, abs=0.1)


def test_pdf_fonts_are_embedded_truetype(tmp_path):
    """Fonts of PDF files are TrueType with their program, none is Type 3."""
    path = tmp_path / "map.pdf"
    with style("paper"):
        draw().figure.savefig(path)
    content = path.read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    with plt.rc_context({"pdf.fonttype": 3}):
        draw().figure.savefig(path)
    assert b"/Type3" in path.read_bytes()  # what the style avoids


def test_text_of_panels_is_readable_and_apart():
    """Text has 7 points or more at print size, and does not overlap in two columns."""
    with style("paper", width="double"):
        figure, (left, right) = plt.subplots(1, 2, layout="constrained")
        plot_map(random_locations(), np.arange(40.0), ax=left, label="clay (%)")
        ObservedPredictedDisplay.from_predictions(
            np.arange(40.0), np.arange(40.0)[::-1], ax=right, unit="%"
        )
        assert overlapping_texts(figure) == []
        sizes = [text.get_fontsize() for text in figure.findobj(plt.Text) if text.get_text()]
    assert min(sizes) >= 6.6


def test_settings_are_restored():
    """The style ends with its context, also after an error; as decorator it covers a function."""
    before = dict(plt.rcParams)

    @style("paper")
    def size():
        return plt.rcParams["savefig.dpi"]

    assert size() == 300
    with pytest.raises(RuntimeError, match="drawing"), style("paper"):
        raise RuntimeError("drawing")
    assert dict(plt.rcParams) == before


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"name": "poster"}, r"name='poster'.*\['paper'\]"),
        ({"width": "triple"}, "width='triple'"),
        ({"width": -1}, "width=-1"),
        ({"height": 0}, "height=0"),
    ],
)
def test_invalid_arguments_raise(arguments, match):
    """The error names the argument and the choices."""
    with pytest.raises(ValueError, match=match):
        style(**arguments)
