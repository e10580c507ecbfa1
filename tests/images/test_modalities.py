"""Modalities: bands and statistics from an `ImageColumn`, and their positions in a file."""

import sys

import pytest

from sptgnn_sklearn.images.modalities import KNOWN, band_name, band_positions, make_modality
from sptgnn_sklearn.table.image_columns import ImageColumn


def modality(name, n_bands=1, **column):
    """Return the modality of an image column with the given options and file bands."""
    return make_modality(name, ImageColumn("path", **column), n_bands)


def test_known_modality_has_terraminds_bands_and_statistics():
    """By default a known modality is complete, whatever the number of bands in the file."""
    m = modality("S2L2A", n_bands=7)
    assert m.known and m.complete and not m.named
    assert m.bands == tuple(KNOWN["S2L2A"])
    assert (m.mean[0], m.std[0]) == (1390.458, 2106.761)
    assert (m.scale, m.offset, m.linear) == (1.0, 0.0, False)


def test_declared_bands_keep_their_order_and_statistics():
    """Declared bands are in the order of the file, each with its own statistics."""
    m = modality("S2L2A", bands=("B11", "red", "B08"), scale=2, offset=-1000, linear=True)
    assert m.known and m.named and not m.complete
    assert m.bands == ("SWIR_1", "RED", "NIR_BROAD")
    assert m.mean == tuple(KNOWN["S2L2A"][band][0] for band in m.bands)
    assert m.std == tuple(KNOWN["S2L2A"][band][1] for band in m.bands)
    assert (m.scale, m.offset, m.linear) == (2.0, -1000.0, True)
    shuffled = modality("S1GRD", bands=("VH", "VV"))
    assert not shuffled.complete and shuffled.mean == (-20.293, -12.599)
    assert modality("S1GRD", bands=("VV", "VH")).complete


def test_new_modality_has_the_bands_of_the_file():
    """Bands are numbered or declared; only the user's statistics are set."""
    m = modality("CLIMATE", n_bands=3)
    assert (m.bands, m.mean, m.std) == (("0", "1", "2"), (), ())
    assert not m.known and not m.complete
    declared = modality("CLIMATE", bands=("rain", "heat"), mean=(1, 2), std=(3, 4))
    assert (declared.bands, declared.mean, declared.std) == (
        ("rain", "heat"),
        (1.0, 2.0),
        (3.0, 4.0),
    )
    assert modality("DEM", mean=(5,), std=(6,)).mean == (5.0,)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"bands": ("B1", "B77")}, r"has bands \['B1', 'B77'\]; choose from"),
        ({"bands": ("B10",)}, "choose from"),
        ({"bands": ("B2", "BLUE")}, "each once"),
        ({"bands": ()}, "choose from"),
        ({"mean": (1, 2), "std": (1, 2)}, "has 2 values in mean for 12 bands"),
        ({"mean": [1] * 12, "std": [1] * 11}, "has 11 values in std for 12 bands"),
        ({"mean": [1] * 12, "std": [1] * 11 + [0]}, "all must be positive"),
        ({"mean": [1] * 12}, "needs both mean and std, or neither"),
        ({"std": [1] * 12}, "needs both mean and std, or neither"),
    ],
)
def test_invalid_bands_and_statistics_raise(column, message):
    """Unknown or repeated bands, and statistics that do not fit them, raise."""
    with pytest.raises(ValueError, match=message):
        modality("S2L2A", **column)


@pytest.mark.parametrize("name", ["s2l2a", "S2_L2A", "Sentinel2-L2A", "dem"])
def test_misspelled_modalities_raise(name):
    """A misspelled name would otherwise be a new modality with random weights."""
    with pytest.raises(ValueError, match=f"modality '{name}'; use TerraMind's name"):
        modality(name)


def test_band_names():
    """Sentinel-2 band numbers in any spelling become TerraMind's names; others are upper-cased."""
    names = [f"B{i}" for i in range(1, 9)] + ["B8A", "B9", "B10", "B11", "B12"]
    assert [band_name(name) for name in names] == list(KNOWN["S2L1C"])
    assert [band_name(name) for name in ("b02", " B08 ", "b8a", "B08A")] == [
        "BLUE",
        "NIR_BROAD",
        "NIR_NARROW",
        "NIR_NARROW",
    ]
    assert [band_name(name) for name in ("nir broad", "swir-1", "vv", "", "B")] == [
        "NIR_BROAD",
        "SWIR_1",
        "VV",
        "",
        "B",
    ]


def test_positions_by_description():
    """Bands are found by description if all are described, in any order."""
    radar = modality("S1GRD")
    assert band_positions(radar, 2, ["VH", "VV"]) == (1, 0)
    assert band_positions(radar, 3, ["angle", "vh", "vv"]) == (2, 1)
    assert band_positions(radar, 2, ["VH", None]) == (0, 1)
    assert band_positions(radar, 2, [None, None]) == (0, 1)


def test_declared_bands_override_descriptions():
    """The declared order is the file's order, whatever the descriptions are."""
    declared = modality("S1GRD", bands=("VV", "VH"))
    assert band_positions(declared, 2, ["VH", "VV"]) == (0, 1)


def test_thirteen_bands_of_s2l2a_are_read_without_cirrus():
    """A file in level 1C order is read as level 2A without band 10, unless bands are declared."""
    positions = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12)
    assert band_positions(modality("S2L2A"), 13, [None] * 13) == positions
    with pytest.raises(ValueError, match="has 13 bands where S2L2A has 1 "):
        band_positions(modality("S2L2A", bands=("B4",)), 13, [None] * 13)


def test_other_numbers_of_bands_raise():
    """The message has both numbers and the band names."""
    with pytest.raises(ValueError, match=r"^has 1 band where S1GRD has 2 \(VV, VH\); name the"):
        band_positions(modality("S1GRD"), 1, [None])
    with pytest.raises(ValueError, match="has 14 bands where S2L2A has 12"):
        band_positions(modality("S2L2A"), 14, [None] * 14)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_statistics_equal_those_of_terratorch():
    """Bands, their order, means and standard deviations are those of TerraMind's training."""
    pytest.importorskip("rasterio")
    from sptgnn_sklearn.encoders.terramind import import_registry

    import_registry()  # handles a torchvision without compiled operators
    register = sys.modules["terratorch.models.backbones.terramind.model.terramind_register"]
    keys = {
        "S2L2A": "untok_sen2l2a@224",
        "S2L1C": "untok_sen2l1c@224",
        "S1GRD": "untok_sen1grd@224",
        "S1RTC": "untok_sen1rtc@224",
        "DEM": "untok_dem@224",
        "RGB": "untok_sen2rgb@224",
    }
    assert set(keys) == set(KNOWN)
    for name, key in keys.items():
        mean, std = zip(*KNOWN[name].values(), strict=True)
        assert list(KNOWN[name]) == list(register.PRETRAINED_BANDS[key])
        assert list(mean) == pytest.approx(list(register.v1_pretraining_mean[key]))
        assert list(std) == pytest.approx(list(register.v1_pretraining_std[key]))


def test_subset_of_bands_of_a_complete_file():
    """Declared bands are found by description or by their position among all bands."""
    some = make_modality("S2L2A", ImageColumn("a", bands=("B8", "B4")), 12)
    assert band_positions(some, 12, [None] * 12) == (7, 3)
    assert band_positions(some, 2, [None] * 2) == (0, 1)
    assert band_positions(some, 3, ["B4", "B2", "B8"]) == (2, 0)
    with pytest.raises(ValueError, match="has 5 bands where S2L2A has 2"):
        band_positions(some, 5, [None] * 5)
