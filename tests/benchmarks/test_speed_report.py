"""Tables of time and memory records."""

from pathlib import Path

from benchmarks.experiments import RECORDS_DIR
from benchmarks.speed_report import REPORTS, speed_tables

MEASURED = Path(__file__).resolve().parents[2] / "docs" / "measured"


def test_documentation_has_the_tables_of_the_records():
    """docs/measured/speed.rst equals the tables of the records."""
    assert (MEASURED / "speed.rst").read_text(encoding="utf-8") == speed_tables(
        RECORDS_DIR / "speed"
    )


def test_missing_values_are_dashes():
    """A record without memory has no number in that column."""
    result = {"relations": {"spatial": 1.0}, "search_seconds": 1.0, "search_mib": None}
    record = {"results": {"graph": result | {"n_neighbors": 10, "rows": 1000}}}
    ((title, table),) = REPORTS["graph"](record)
    assert title == "Search for 10 neighbors of 1,000 rows"
    assert table.rows[-1] == ["all relations in one call", "1.0", "–"]
