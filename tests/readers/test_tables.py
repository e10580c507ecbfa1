"""Tests of the reader of tables: formats, mistakes and errors."""

import builtins
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from table_files import EPSG, KINDS, points, soil_table

from sptgnn_sklearn.readers import read_table
from sptgnn_sklearn.table.infer_roles import TableError

VARIANTS = [(kind, number) for kind, (writers, _) in KINDS.items() for number in range(3)]
# Columns that a variant renames or whose entries it changes.
CHANGED = {"SOC", "Slope", "ERa", "Altitude", "Easting", "Northing"}


def read_variant(kind, number, folder):
    """Write one variant and read it."""
    frame = soil_table()
    path = KINDS[kind][0][number](frame, folder)
    na = [-9999, "n.d."] if kind == "no-data code" else ()
    dayfirst = True if kind == "ambiguous dates" else None
    return frame, read_table(path, na=na, dayfirst=dayfirst)


@pytest.mark.parametrize(("kind", "number"), VARIANTS)
def test_files_as_they_come(tmp_path, kind, number):
    """Each kind of file, encoding, separator and mistake gives the samples and their numbers."""
    frame, result = read_variant(kind, number, tmp_path)
    assert len(result) in (60, 65, 120)
    assert list(result["SampleID"])[:3] in (["S000", "S001", "S002"], ["S000", "S000", "S001"])
    if kind != "duplicates":
        for label in CHANGED & set(result.columns):
            known = pd.to_numeric(result[label], errors="coerce")
            rows = known.notna() & (np.arange(60) < 57)
            assert rows.sum() >= (0 if kind == "limits of detection" else 57)
            np.testing.assert_allclose(known[rows], frame.loc[rows, label])
    if kind != "limits of detection":
        numbers = result.drop(columns=["SampleID", "Date", "Use", "geometry"], errors="ignore")
        assert all(pd.api.types.is_numeric_dtype(dtype) for dtype in numbers.dtypes)


def test_geometry_and_crs_are_kept(tmp_path):
    """Vector formats give GeoDataFrames with the CRS of the file."""
    for kind in ("GeoPackage", "shapefile", "GeoParquet"):
        for number in range(3):
            folder = tmp_path / f"{kind}{number}"
            folder.mkdir()
            frame, result = read_variant(kind, number, folder)
            assert result.crs.to_epsg() == EPSG
            np.testing.assert_allclose(result.geometry.x, frame["Easting"])
    frame, result = read_variant("GeoJSON", 0, tmp_path)
    assert result.crs.to_epsg() == 4326


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("latin-1", ["read as cp1252"]),
        ("comment line", ["exported by lab", "Survey of 2024", "made by hand"]),
        ("row of units", ["read as units"]),
        ("Excel", ["", "sheet 'Data' of About, Data", "read as units"]),
    ],
)
def test_choices_are_noted(tmp_path, kind, words):
    """The attribute "notes" lists what was guessed or left out."""
    for number, word in zip(range(3), words * 3 if len(words) == 1 else words, strict=False):
        _, result = read_variant(kind, number, tmp_path)
        assert word in " ".join(result.attrs["notes"])


def test_units_are_kept(tmp_path):
    """Units of names and of the row below the names are an attribute."""
    for number in range(3):
        _, result = read_variant("row of units", number, tmp_path)
        assert result.attrs["units"]["Easting"] in ("m", "east")
    _, result = read_variant("names with blanks", 0, tmp_path)
    assert result.attrs["units"] == {"Elevation (m)": "m"}


@pytest.mark.parametrize("sheet", ["Data", 2, "2"])
def test_sheets_by_name_and_number(tmp_path, sheet):
    """A sheet is chosen by its name or number; a misspelt one raises with the nearest."""
    path = KINDS["Excel"][0][1](soil_table(), tmp_path)
    assert len(read_table(path, sheet=sheet)) == 60
    with pytest.raises(TableError, match="did you mean 'Data'"):
        read_table(path, sheet="data")
    with pytest.raises(TableError, match="its sheets are About, Data"):
        read_table(path, sheet="7")


def test_layers_by_name(tmp_path):
    """A layer is chosen by its name; polygons and misspelt names raise."""
    path = KINDS["GeoPackage"][0][1](soil_table(), tmp_path)
    assert len(read_table(path, layer="samples")) == 60
    with pytest.raises(TableError, match=r"Polygons \(data row 1\), but samples are points"):
        read_table(path, layer="fields")
    with pytest.raises(TableError, match="did you mean 'samples'"):
        read_table(path, layer="sample")


@pytest.mark.parametrize(
    ("column", "thousands"),
    [
        (["463,123.21", "1,463.5", "12"], ","),
        (["463.123,21", "1.463,5", "12"], "."),
        (["463'123", "1’463", "12"], "'"),
        (["463 123", "1 463", "12"], " "),
        (["1,463,123", "12", "7"], ","),
    ],
)
def test_thousands_marks(tmp_path, column, thousands):
    """Thousands marks raise with column and row; the parameter reads them."""
    path = tmp_path / "soil.csv"
    decimal = "," if thousands == "." else "."
    pd.DataFrame({"x": column, "y": ["1", "2", "3"]}).to_csv(path, sep=";", index=False)
    with pytest.raises(TableError, match=r"'x' holds numbers with thousands marks .*data row 1"):
        read_table(path)
    result = read_table(path, thousands=thousands, decimal=decimal)
    assert result["x"].iloc[0] in (463123.21, 463123.0, 1463123.0)


def test_comma_with_three_digits(tmp_path):
    """A comma before three digits raises beside decimal points, and is noted without them."""
    path = tmp_path / "soil.csv"
    path.write_text("x;y;z\n1,234;1.5;a\n2,345;2.5;b\n")
    with pytest.raises(TableError, match="thousands marks such as '1,234'"):
        read_table(path)
    assert read_table(path, thousands=",")["x"].tolist() == [1234, 2345]
    path.write_text("x;y;z\n1,234;1;a\n2,345;2;b\n")
    result = read_table(path)
    assert result["x"].tolist() == [1.234, 2.345]
    assert "read as a decimal mark" in result.attrs["notes"][0]


def write(path, content):
    """Write text or bytes and return the path."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "\n\n  \n", "is empty"),
        ("a.csv", "x,y,soc\n", "has no rows"),
        ("a.csv", "just one column\nof words\nand more of it\n", "no separator"),
        ("a.csv", "a,b\n1,2\n1,2,3\n4,5\n", "line 3 has 3 fields, but there are 2 column names"),
        ("a.csv", "a,b\n" + "1,2\n" * 400 + "1,2,3\n", "line 402 has 3 fields"),
        ("a.csv", "5.1,50.2,3\n5.2,50.3,4\n", "holds numbers such as '5.1'"),
        ("a.csv", bytes(range(256)) * 4, "control characters"),
        ("a.csv", b"\x1f\x8b\x08\x00\x00", "compressed data is damaged"),
        ("a.csv", "<!DOCTYPE html><table>", "is a web page"),
        ("a.csv", b"\xff\xfex", "byte order mark"),
        ("a.xlsx", "x,y\n1,2\n", "is no Excel file"),
        ("a.xlsx", b"PK\x03\x04 damaged", "damaged zip or Excel"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Excel format"),
        ("a.parquet", b"PAR1 damaged", "cannot be read as Parquet"),
        ("a.gpkg", b"SQLite format 3\0 damaged", "cannot be read as a GIS file"),
        ("a.shp", b"\0\0\x27\x0a damaged", "needs its .shp, .shx, .dbf"),
        ("a.geojson", '{"type": "nonsense"}', "cannot be read as a GIS file"),
        ("a.dbf", b"\x03", "give a.shp"),
        ("a.rds", b"X\n", "write.csv"),
        ("a.tif", b"II*\0", "a raster"),
    ],
)
def test_unreadable_files(tmp_path, name, content, words):
    """The error names the file and what was found or what to do."""
    path = write(tmp_path / name, content)
    with pytest.raises(TableError, match=r".") as raised:
        read_table(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert words in str(raised.value)


def test_missing_files_and_folders(tmp_path):
    """A missing file raises with the nearest name in the folder."""
    write(tmp_path / "samples.csv", "x,y\n1,2\n")
    with pytest.raises(TableError, match=r"no such file; did you mean samples\.csv\?"):
        read_table(tmp_path / "sample.csv")
    with pytest.raises(TableError, match="is a folder"):
        read_table(tmp_path)
    with pytest.raises(TableError, match="no such file"):
        read_table(tmp_path / "nowhere" / "sample.csv")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sep": ";;"}, "sep=';;' must be one character"),
        ({"sep": ";"}, "sep=';' does not occur"),
        ({"encoding": "utf-9"}, "encoding='utf-9' is unknown"),
        ({"encoding": "ascii"}, "not text in encoding='ascii'"),
        ({"decimal": "x"}, "decimal='x'"),
        ({"thousands": "..", "decimal": "."}, "thousands='..'"),
        ({"skip_rows": -1}, "skip_rows=-1"),
    ],
)
def test_invalid_options(tmp_path, options, words):
    """Invalid options are named."""
    path = write(tmp_path / "a.csv", "x,Höhe\n1,2\n")
    with pytest.raises(TableError) as raised:
        read_table(path, **options)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "module", "words"),
    [
        ("Excel", "openpyxl", "needs openpyxl"),
        ("GeoPackage", "geopandas", "needs geopandas"),
        ("GeoPackage", "pyogrio", "needs pyogrio"),
        ("Parquet", "pyarrow.parquet", "needs pyarrow"),
    ],
)
def test_missing_packages(tmp_path, monkeypatch, kind, module, words):
    """A missing package is named with the extra that installs it."""
    path = KINDS[kind][0][0](soil_table(), tmp_path)
    find = builtins.__import__

    def fail(name, *rest):
        if name == module:
            raise ImportError(name)
        return find(name, *rest)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(TableError, match=words) as raised:
        read_table(path)
    assert 'pip install "sptgnn-sklearn[files]"' in str(raised.value)


def test_points_that_are_no_single_points(tmp_path):
    """A multipoint with several points raises with its row."""
    from shapely import MultiPoint

    frame = points(soil_table(), multi=True)
    geometry = frame.geometry.to_list()
    geometry[4] = MultiPoint([(0, 0), (1, 1)])
    frame.set_geometry(geometry, crs=EPSG).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(TableError, match="data row 5 holds 2 points"):
        read_table(tmp_path / "a.parquet")


def test_file_without_crs_and_missing_geometry(tmp_path):
    """A missing CRS is noted; rows without geometry are kept."""
    frame = points(soil_table(), crs=None)
    frame.loc[3, "geometry"] = None
    frame.to_parquet(tmp_path / "a.parquet")
    result = read_table(tmp_path / "a.parquet")
    assert len(result) == 60 and result.geometry.isna().sum() == 1
    assert "no coordinate reference system" in result.attrs["notes"][0]


def test_row_labels_are_rows_of_the_file(tmp_path):
    """Empty rows are left out without renumbering."""
    path = write(tmp_path / "a.csv", "x,y\n1,2\n,\n3,4\n,\n")
    result = read_table(path)
    assert result.index.tolist() == [0, 2]
    assert "left out 2 empty rows" in result.attrs["notes"]


def test_reading_does_not_import_heavy_libraries():
    """Reading text imports neither torch nor the libraries of models."""
    code = (
        "import sys, io, tempfile, pathlib\n"
        "from sptgnn_sklearn.readers.tables import read_table\n"
        "path = pathlib.Path(tempfile.mkdtemp()) / 'a.csv'\n"
        "path.write_text('x,y\\n1,2\\n')\n"
        "read_table(path)\n"
        "print(sorted({'torch', 'xgboost', 'numba', 'mapie', 'esda', 'skorch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
