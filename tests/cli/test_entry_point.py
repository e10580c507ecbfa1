"""Tests of the entry point: usage errors, version, exit codes and imports."""

import subprocess
import sys

import pytest

import sptgnn_sklearn
from sptgnn_sklearn.cli import main


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["check", "t.csv"], ["compare", "t.csv", "--target", "a", "--folds", "x"]),
        *(["predict", "m", "t.csv", "--quantiles", "x"], ["nonsense"]),
    ],
)
def test_wrong_usage_exits_with_2(arguments, capsys):
    """Errors of argparse have the same exit code and print the usage."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: sptgnn" in capsys.readouterr().err


def test_version_and_help(capsys):
    """--version and --help of each command exit with 0."""
    for arguments in (["--version"], *([name, "--help"] for name in ("check", "compare", "fit"))):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
    assert sptgnn_sklearn.__version__ in capsys.readouterr().out


def test_module_runs_as_program(tmp_path):
    """``python -m sptgnn_sklearn`` runs the command line and returns its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "sptgnn_sklearn", "check", "missing.csv", "--target", "soc"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stderr == "sptgnn: error: missing.csv: no such file.\n"


@pytest.mark.parametrize("arguments", [["--help"], ["check", "soil.csv", "--target", "c"]])
def test_help_and_check_import_no_heavy_libraries(tmp_path, arguments):
    """--help, `check` and errors about tables import no library of models."""
    (tmp_path / "soil.csv").write_text("x,y,c\n" + "".join(f"{i},{i % 7},{i}\n" for i in range(30)))
    code = (
        "import sys\nfrom sptgnn_sklearn.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'xgboost', 'numba', 'mapie', 'esda', 'skorch', 'geopandas'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout.splitlines()[-1] == "[]"
