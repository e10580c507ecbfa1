"""Tables of soil samples as they come: twenty kinds of files and mistakes, three variants each."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

EPSG = 25833
Writer = Callable[[pd.DataFrame, Path], Path]


def soil_table(n: int = 60) -> pd.DataFrame:
    """Return samples with everyday column names: an id, coordinates, target and covariates."""
    rng = np.random.default_rng(0)
    slope = rng.gamma(2.0, 2.0, n).round(2)
    return pd.DataFrame(
        {
            "SampleID": [f"S{i:03d}" for i in range(n)],
            "Easting": (463_000 + 1000 * rng.random(n)).round(1),
            "Northing": (5_804_000 + 1000 * rng.random(n)).round(1),
            "SOC": (1.0 + 0.2 * slope + 0.3 * rng.random(n)).round(2),
            "Altitude": (40 + 10 * rng.random(n)).round(1),
            "Slope": slope,
            "ERa": (100 + 50 * rng.random(n)).round(1),
        }
    )


def _text(frame: pd.DataFrame, **options: Any) -> str:
    if options.get("decimal") == ",":  # pandas does not write the floats of object columns so
        for label in [str(label) for label in frame if frame[label].dtype == object]:
            frame = frame.assign(
                **{
                    label: [
                        str(v).replace(".", ",") if isinstance(v, float) else v
                        for v in frame[label]
                    ]
                }
            )
    return frame.to_csv(index=False, lineterminator="\n", **options)


def _writer(
    name: str,
    change: Callable[[pd.DataFrame], pd.DataFrame] = lambda frame: frame,
    *,
    encoding: str = "utf-8",
    edit: Callable[[str], str] = lambda text: text,
    **options: Any,
) -> Writer:
    """Return a writer of a text file of a changed table, edited and encoded."""

    def write(frame: pd.DataFrame, folder: Path) -> Path:
        path = folder / name
        path.write_bytes(edit(_text(change(frame), **options)).encode(encoding))
        return path

    return write


def _rename(**names: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame.rename(columns=names)


def _names(function: Callable[[str], str]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame.rename(columns=function)


def _entries(column: str, *values: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return a function that writes values into the last rows of a column."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        result = frame.copy()
        result[column] = result[column].astype(object)
        for row, value in enumerate(values, len(frame) - len(values)):
            result.loc[row, column] = value
        return result

    return change


def _packed(frame: pd.DataFrame, folder: Path) -> Path:
    path = folder / "soil.csv.gz"
    path.write_bytes(gzip.compress(_text(frame).encode()))
    return path


def _packed_without_suffix(frame: pd.DataFrame, folder: Path) -> Path:
    return _packed(frame, folder).rename(folder / "soil.csv")


def _zipped_text(frame: pd.DataFrame, folder: Path) -> Path:
    path = folder / "soil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("soil.csv", _text(frame))
    return path


def _excel(rows_above: int = 0, first_sheet: bool = True, units: bool = False) -> Writer:
    def write(frame: pd.DataFrame, folder: Path) -> Path:
        path = folder / "soil.xlsx"
        with pd.ExcelWriter(path, engine="openpyxl") as book:
            if not first_sheet:
                pd.DataFrame([["Legend"]]).to_excel(
                    book, sheet_name="About", index=False, header=False
                )
            if units:
                unit = dict.fromkeys(frame.columns, "m") | {"SampleID": None, "SOC": "%"}
                frame = pd.concat([pd.DataFrame([unit]), frame.astype(object)])
            frame.to_excel(book, sheet_name="Data", index=False, startrow=rows_above)
            if rows_above:
                book.sheets["Data"]["A1"] = "Survey of 2024"
        return path

    return write


def points(frame: pd.DataFrame, crs: int | None = EPSG, multi: bool = False) -> Any:
    """Return the table as a GeoDataFrame, with coordinates in its geometry only."""
    import geopandas
    from shapely import MultiPoint

    geometry = geopandas.points_from_xy(frame["Easting"], frame["Northing"])
    if multi:
        geometry = [MultiPoint([point]) for point in geometry]
    return geopandas.GeoDataFrame(
        frame.drop(columns=["Easting", "Northing"]), geometry=geometry, crs=crs
    )


def _vector(name: str, degrees: bool = False, **options: Any) -> Writer:
    def write(frame: pd.DataFrame, folder: Path) -> Path:
        path = folder / name
        spatial = points(frame, **options)
        # FlatGeobuf would sort its points.
        unsorted = {"SPATIAL_INDEX": "NO"} if path.suffix == ".fgb" else {}
        (spatial.to_crs(4326) if degrees else spatial).to_file(path, **unsorted)
        return path

    return write


def _two_layers(frame: pd.DataFrame, folder: Path) -> Path:
    path = folder / "layers.gpkg"
    spatial = points(frame)
    spatial.assign(geometry=spatial.buffer(5)).to_file(path, layer="fields")
    spatial.to_file(path, layer="samples")
    return path


def _zipped_shapefile(frame: pd.DataFrame, folder: Path) -> Path:
    _vector("soil.shp")(frame, folder)
    with zipfile.ZipFile(folder / "soil.zip", "w") as archive:
        for part in folder.glob("soil.*"):
            if part.suffix != ".zip":
                archive.write(part, part.name)
    return folder / "soil.zip"


def _parquet(name: str, **kind: Any) -> Writer:
    def write(frame: pd.DataFrame, folder: Path) -> Path:
        path = folder / name
        table = points(frame, **kind) if "geo" in name else frame
        table.to_parquet(path)
        return path

    return write


def _indexed_parquet(frame: pd.DataFrame, folder: Path) -> Path:
    path = folder / "indexed.parquet"
    frame.set_index("SampleID").to_parquet(path)
    return path


def _text_parquet(frame: pd.DataFrame, folder: Path) -> Path:
    path = folder / "text.parquet"
    frame.assign(Slope=frame["Slope"].astype(str).replace("x", "n/a")).to_parquet(path)
    return path


def _insert(line: str, position: int) -> Callable[[str], str]:
    def edit(text: str) -> str:
        lines = text.split("\n")
        return "\n".join([*lines[:position], line, *lines[position:]])

    return edit


def _dates(template: str, days: range | None = None) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        day = pd.Timestamp("2019-01-01") + pd.to_timedelta(
            [7 * (i % 50) for i in range(len(frame))], "D"
        )
        if days is not None:  # no day above 12
            day = pd.DatetimeIndex([date.replace(day=date.day % 12 + 1) for date in day])
        return frame.assign(Date=day.strftime(template))

    return change


def _duplicated(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame])


# Name of the kind: three writers, and the options of the command line that they need.
KINDS: dict[str, tuple[list[Writer], list[str]]] = {
    "latin-1": (
        [
            _writer("a.csv", _rename(Slope="Höhe"), encoding="latin-1"),
            _writer("b.csv", _rename(ERa="µ S"), encoding="cp1252", sep=";", decimal=","),
            _writer("c.txt", lambda f: f.assign(Use=["Grünland", "Äcker"] * 30), encoding="cp1252"),
        ],
        [],
    ),
    "UTF-16": (
        [
            _writer("a.txt", encoding="utf-16", sep="\t"),
            _writer("b.csv", encoding="utf-16-le", sep=";", decimal=","),
            _writer("c.csv", edit=lambda text: "\ufeff" + text, encoding="utf-16-be"),
        ],
        [],
    ),
    "byte order mark": (
        [
            _writer("a.csv", encoding="utf-8-sig"),
            _writer("b.csv", encoding="utf-8-sig", sep=";", decimal=","),
            _writer("c.csv", encoding="utf-8-sig", edit=lambda text: "sep=,\n" + text),
        ],
        [],
    ),
    "pipe": (
        [
            _writer("a.csv", sep="|"),
            _writer("b.txt", sep="|", decimal=","),
            _writer("c.csv", edit=lambda text: text.replace(",", " | ")),
        ],
        [],
    ),
    "tab": (
        [
            _writer("a.tsv", sep="\t"),
            _writer("b.txt", sep="\t", decimal=","),
            _writer("c.csv", sep="\t", edit=lambda text: text.replace("\n", "\t\r\n")),
        ],
        [],
    ),
    "semicolon and decimal comma": (
        [
            _writer("a.csv", sep=";", decimal=","),
            _writer("b.csv", sep=";", decimal=",", edit=lambda text: text.replace("\n", ";\n")),
            _writer("c.csv", _entries("Slope", "", "", "1e1"), sep=";", decimal=","),
        ],
        [],
    ),
    "blanks": (
        [
            _writer("a.txt", sep=" "),
            _writer("b.dat", edit=lambda text: text.replace(",", "   ")),
            # R: row names without a column name, quoted text
            _writer(
                "c.txt",
                sep=" ",
                edit=lambda text: "\n".join(
                    line if i == 0 else f'"{i}" {line}'
                    for i, line in enumerate(text.strip().split("\n"))
                ),
            ),
        ],
        [],
    ),
    "Excel": (
        [_excel(), _excel(first_sheet=False, rows_above=2), _excel(units=True)],
        [],
    ),
    "GeoPackage": ([_vector("a.gpkg"), _two_layers, _vector("c.gpkg", multi=True)], []),
    "shapefile": (
        [_vector("soil.shp"), _zipped_shapefile, _vector("c.shp", multi=True)],
        [],
    ),
    "GeoJSON": (
        [
            _vector("a.geojson", degrees=True),
            _vector("b.json", degrees=True),
            _vector("c.fgb"),
        ],
        [],
    ),
    "GeoParquet": (
        [_parquet("geo.parquet"), _parquet("geo.geoparquet"), _parquet("multi_geo.pq", multi=True)],
        [],
    ),
    "Parquet": ([_parquet("a.parquet"), _indexed_parquet, _text_parquet], []),
    "comment line": (
        [
            _writer("a.csv", edit=lambda text: f"# exported by lab, 2024\n{text}"),
            _writer("b.csv", edit=lambda text: f"Survey of 2024\n\n{text}# end\n"),
            _writer("c.txt", sep="\t", edit=lambda text: f"# made by hand\n#{text}"),
        ],
        [],
    ),
    "row of units": (
        [
            _writer("a.csv", edit=_insert(",m,m,%,m a.s.l.,degrees,Ohm m", 1)),
            _writer("b.csv", sep=";", decimal=",", edit=_insert("[-];[m];[m];[%];[m];[-];[-]", 1)),
            _writer(
                "c.csv", edit=_insert("id,east,north,carbon,height,,\n,m,m,g/kg,m,deg,Ohm m", 1)
            ),
        ],
        [],
    ),
    "names with blanks": (
        [
            _writer(
                "a.csv",
                _rename(Easting="X coord", Northing="Y coord", Altitude="Elevation (m)"),
            ),
            _writer("b.csv", _rename(Easting="POINT_X", Northing="POINT_Y", Altitude="Elev [m]")),
            _writer(
                "c.csv", _rename(Easting="E [m]", Northing="N [m]", Altitude="Altitude (m a.s.l.)")
            ),
        ],
        [],
    ),
    "leading blanks": (
        [
            _writer("a.csv", _names(lambda name: f" {name} ")),
            _writer("b.csv", edit=lambda text: text.replace(",", ", ")),
            _writer("c.csv", _names(lambda name: f'\u00a0"{name}"'), sep=";", decimal=","),
        ],
        [],
    ),
    "missing words": (
        [
            _writer("a.csv", _entries("Slope", "n.a.", "NA", "-")),
            _writer("b.csv", _entries("ERa", "N/A", "null", " "), sep=";", decimal=","),
            _writer("c.csv", _entries("Altitude", "#N/A", "missing", "no data")),
        ],
        [],
    ),
    "no-data code": (
        [
            _writer("a.csv", _entries("ERa", -9999, -9999)),
            _writer("b.csv", _entries("Slope", "-9999,0", "-9999,0"), sep=";", decimal=","),
            _writer("c.csv", _entries("SOC", -9999, "n.d.")),
        ],
        ["--na", "-9999", "n.d."],
    ),
    "limits of detection": (
        [
            _writer("a.csv", _entries("SOC", "<0.5", "< 0.5")),
            _writer("b.csv", _entries("ERa", "<10", ">200"), sep=";", decimal=","),
            _writer("c.csv", _entries("Slope", "<0,1", "≤ 0.1")),
        ],
        ["--censored", "half"],
    ),
    "unambiguous dates": (
        [
            _writer("a.csv", _dates("%d.%m.%Y")),
            _writer("b.csv", _dates("%m/%d/%Y")),
            _writer("c.csv", _dates("%d/%m/%Y 08:30")),
        ],
        [],
    ),
    "ambiguous dates": (
        [
            _writer("a.csv", _dates("%d.%m.%Y", range(12))),
            _writer("b.csv", _dates("%d/%m/%y", range(12))),
            _writer("c.csv", _dates("%d-%m-%Y", range(12)), sep=";", decimal=","),
        ],
        ["--dayfirst"],
    ),
    "missing target": (
        [
            _writer("a.csv", _entries("SOC", "", "", "")),
            _writer("b.csv", _entries("SOC", "NA", "n.a.", "")),
            _writer("c.csv", _entries("SOC", "-", "null", "?"), sep=";", decimal=","),
        ],
        [],
    ),
    "duplicates": (
        [
            _writer("a.csv", _duplicated),
            _writer("b.csv", lambda frame: _duplicated(frame).sort_values("SampleID")),
            _writer("c.csv", lambda frame: pd.concat([frame, frame.head(5)])),
        ],
        [],
    ),
    "gzip": ([_packed, _packed_without_suffix, _zipped_text], []),
}
