"""Mutation testing of one module: python tests/mutate.py graph/knn_graph graph/test_knn_graph.

mutmut makes many small changes to the module in a copy of the project, and runs the tests on each.
The number of changes that no test detects goes to a file in benchmarks/records/mutation, and these
changes are printed, because some of them do not matter, such as the words of a message.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "benchmarks" / "records" / "mutation"
_CONFIG = """[mutmut]
source_paths=
    sptgnn_sklearn/{module}.py
pytest_add_cli_args_test_selection=
{tests}
also_copy=
    sptgnn_sklearn
    tests
    pyproject.toml
    README.md
"""


def main(arguments: list[str] | None = None) -> None:
    """Run mutmut on a module and record the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("module", help="path inside the package, such as metrics/accuracy")
    parser.add_argument(
        "tests", nargs="+", help="paths inside tests, such as metrics/test_accuracy"
    )
    options = parser.parse_args(arguments)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".venv*", ".git", "_build"))
        tests = "\n".join(f"    tests/{name}.py" for name in options.tests)
        config = _CONFIG.format(module=options.module, tests=tests)
        (copy / "setup.cfg").write_text(config, encoding="utf-8")
        mutmut = str(Path(sys.executable).with_name("mutmut"))
        settings = {"cwd": copy, "env": {**os.environ, "OMP_NUM_THREADS": "1"}}
        subprocess.run(
            [mutmut, "run", "--max-children", "1"], **settings, stdout=subprocess.DEVNULL
        )
        subprocess.run([mutmut, "export-cicd-stats"], **settings, check=True)
        result = json.loads((copy / "mutants" / "mutmut-cicd-stats.json").read_text())
        if not result["killed"]:
            parser.error("no change was detected: check that the tests pass without changes")
        captured = {"capture_output": True, "text": True, **settings}
        listed = subprocess.run([mutmut, "results"], **captured).stdout
        survivors = [line.split(":")[0].strip() for line in listed.splitlines() if ":" in line]
        changes = [subprocess.run([mutmut, "show", name], **captured).stdout for name in survivors]
    record = {
        "module": options.module,
        "tests": options.tests,
        **result,
        # A change that makes a loop endless is detected by the timeout.
        "share_killed": round((result["killed"] + result["timeout"]) / result["total"], 3),
        "seconds": round(time.monotonic() - start),
        "not_killed": survivors,
    }
    RECORDS.mkdir(parents=True, exist_ok=True)
    path = RECORDS / f"{options.module.replace('/', '.')}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print({key: value for key, value in record.items() if key != "not_killed"})
    print("\n".join(changes))


if __name__ == "__main__":
    main()
