"""Command-line options that select tables."""

import argparse

import pytest

from benchmarks.simulated_surveys import SIMULATED_SURVEYS
from benchmarks.table_selection import add_table_arguments, selected_tables
from benchmarks.tables import TASKS, WIDE_TASKS, Task


def parse(*arguments):
    parser = argparse.ArgumentParser()
    add_table_arguments(parser)
    return parser.parse_args(arguments)


def test_one_table_with_its_roles(parquet):
    """--table and --target select one Parquet file."""
    (source,) = selected_tables(parse("--table", str(parquet), "--target", "target_soc", "--log"))
    assert source.task == Task("soil", "target_soc", log=True)
    assert len(source.load().y) == 200


def test_simulated_surveys():
    """--simulated without names selects all surveys."""
    assert [s.task.table for s in selected_tables(parse("--simulated"))] == list(SIMULATED_SURVEYS)


def test_other_simulated_surveys():
    """A benchmark with surveys of its own offers their names."""
    parser = argparse.ArgumentParser()
    add_table_arguments(parser, ["noisy"])
    assert parser.parse_args(["--simulated", "noisy"]).simulated == ["noisy"]
    with pytest.raises(SystemExit):
        parser.parse_args(["--simulated", next(iter(SIMULATED_SURVEYS))])


def test_missing_selection_and_missing_file(tmp_path):
    """Both end the program with a message."""
    with pytest.raises(SystemExit, match="--simulated"):
        selected_tables(parse())
    with pytest.raises(SystemExit, match=r"meuse.parquet does not exist"):
        selected_tables(parse("--data", str(tmp_path), "--tables", "meuse"))


def test_wide_tables_are_apart(tmp_path):
    """The standard set is the default, and --wide selects the other one."""
    for name in (*TASKS, *WIDE_TASKS):
        (tmp_path / f"{name}.parquet").touch()
    for options, tasks in (([], TASKS), (["--wide"], WIDE_TASKS)):
        found = selected_tables(parse("--data", str(tmp_path), *options))
        assert [source.task for source in found] == list(tasks.values())
    assert not set(TASKS) & set(WIDE_TASKS)
