"""The three figures of the first page of the site."""

import json

from benchmarks.headline import headline_rst, mean_scores
from benchmarks.report import headline

from .test_report import MEASURED, RECORDS_DIR


def test_models_without_all_scores_have_no_mean():
    """A mean over some of the tables is not comparable with one over all of them."""
    assert mean_scores({"a": [0.25, 0.75], "b": [0.9, float("nan")]}) == {"a": 0.5}


def test_figures(tmp_path):
    """The best other model, the range of coverages, and the record of the map."""
    record = tmp_path / "maps-10.json"
    found = {"cells": 4e6, "map_s": 300, "covariates": 8, "threads": 2}
    record.write_text(json.dumps({**found, "peak_mb_above_imports": 512}))
    text = headline_rst({"ours": 0.5, "a": 0.3, "b": 0.4}, "ours", [0.85, 0.91], record)
    assert "**R² 0.50 on held-out blocks**" in text
    assert "b, has 0.40" in text
    assert "cover 85 to 91\N{NO-BREAK SPACE}%" in text
    assert "4 million cells in 5 minutes" in text
    assert "on 2 cores, with 0.5 GiB" in text


def test_documentation_has_the_figures_of_the_records():
    """docs/measured/headline.rst equals the text that is written from the records."""
    written = (MEASURED / "headline.rst").read_text(encoding="utf-8")
    assert headline(RECORDS_DIR, RECORDS_DIR / "maps-4000.json") == written
