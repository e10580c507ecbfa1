"""Odd tables and damaged files by the thousand, in parts that go on where they were stopped.

    PYTHONPATH=. python tests/fuzz.py properties --examples 10000 --parts 20 --seed 0
    PYTHONPATH=. python tests/fuzz.py properties --examples 10000 --parts 20 --part 3 --seed 0
    PYTHONPATH=. python tests/fuzz.py files --minutes 60 --parts 12 --seed 0
    PYTHONPATH=. python tests/fuzz.py again chip 0/3/1207   # one damaged file, by its number

Each part appends a line to a file in benchmarks/records/fuzz; a part that is there without failures
is not run again. Tables are fitted in a process for each part. Files are read in one for each
reader, with a bound on its memory; it is started anew when it dies or hangs, which is a failure.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

RECORDS = Path(__file__).resolve().parents[1] / "benchmarks" / "records" / "fuzz"
SPARE_MEMORY = 2 * 2**30  # that a reader may take beyond what it has when it begins
PATIENCE = 60.0  # seconds by the clock after which a worker is taken to hang
MOST_SHOWN = 300  # characters of a failure


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line says; 1 if anything failed."""
    options = _parser().parse_args(arguments)
    return int(options.run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    kinds = parser.add_subparsers(required=True)
    tables = kinds.add_parser("properties", help="fit odd tables")
    tables.add_argument("--examples", type=int, default=10_000, help="in all parts together")
    tables.set_defaults(run=_properties)
    files = kinds.add_parser("files", help="read damaged files")
    files.add_argument("--minutes", type=float, default=60.0, help="in all parts together")
    files.add_argument("--readers", nargs="+", help="some of them (default: all)")
    files.set_defaults(run=_files)
    for kind in (tables, files):
        kind.add_argument("--parts", type=int, default=20)
        kind.add_argument("--part", type=int, help="only this one, from 0")
        kind.add_argument("--seed", type=int, default=0)
        kind.add_argument("--records", type=Path, default=RECORDS)
    again = kinds.add_parser("again", help="read one damaged file, and show what is raised")
    again.add_argument("reader")
    again.add_argument("number")
    again.set_defaults(run=_again)
    one = kinds.add_parser("one-part")
    one.add_argument("seed", type=int)
    one.add_argument("examples", type=int)
    one.set_defaults(run=_one_part)
    worker = kinds.add_parser("worker")
    worker.add_argument("reader")
    worker.set_defaults(run=_worker)
    return parser


# Tables ------------------------------------------------------------------------------------------


def _properties(options: argparse.Namespace) -> int:
    failed = 0
    examples = -(-options.examples // options.parts)
    for part in _todo(options, "properties.jsonl", examples=examples):
        seed = options.seed * 1000 + part
        command = [sys.executable, __file__, "one-part", str(seed), str(examples)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            found: dict[str, Any] = {"failures": {f"the process ended by {done.returncode}": 1}}
        else:
            found = json.loads(done.stdout.strip().split("\n")[-1])
        failed += sum(found["failures"].values())
        _append(options, "properties.jsonl", part, {"examples": examples, **found})
    return failed > 0


def _one_part(options: argparse.Namespace) -> int:
    """Fit the tables of one part and print what came of them."""
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from odd_tables import Case, cases, outcome

    ends: Counter[str] = Counter()
    failures: Counter[str] = Counter()

    @seed(options.seed)
    @settings(
        max_examples=options.examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases())
    def run(case: Case) -> None:
        try:
            ends[outcome(case)] += 1
        except Exception as error:
            ends["failed"] += 1
            where = traceback.extract_tb((error.__cause__ or error).__traceback__)[-1]
            said = f"{type(error).__name__} ({Path(where.filename).name}): {error}"
            if not failures[said[:MOST_SHOWN]]:
                print(f"{said[:MOST_SHOWN]}\n    {case!r}", file=sys.stderr)
            failures[said[:MOST_SHOWN]] += 1

    start = time.perf_counter()
    run()
    found = {
        "ends": dict(ends),
        "failures": dict(failures),
        "seconds": round(time.perf_counter() - start, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(found))
    return 0


# Files -------------------------------------------------------------------------------------------


def _files(options: argparse.Namespace) -> int:
    from file_readers import READERS, SECONDS, Damaged

    names = options.readers or list(READERS)
    share = 60 * options.minutes / options.parts / len(names)
    failed = 0
    for part in _todo(options, "files.jsonl", minutes=options.minutes, readers=names):
        ends: dict[str, dict[str, int]] = {}
        failures: dict[str, str] = {}
        slowest = peak = 0.0
        for name in names:
            with tempfile.TemporaryDirectory() as folder, Worker(name) as worker:
                damaged, found = Damaged(name, Path(folder)), Counter[str]()
                end = time.monotonic() + share
                while time.monotonic() < end:
                    number = f"{options.seed}/{part}/{found.total()}"
                    said, seconds = worker.read(damaged.write(number))
                    slowest = max(slowest, seconds)
                    if said not in ("read", "refused") or seconds > SECONDS:
                        failures[f"{name} {number}"] = f"{said[:MOST_SHOWN]} ({seconds:.1f} s)"
                        print(f"{name} {number}: {said[:MOST_SHOWN]}", file=sys.stderr)
                        said = "failed"
                    found[said] += 1
                ends[name] = dict(found)
                peak = max(peak, worker.peak_mb)
        failed += len(failures)
        record = {
            "minutes": options.minutes,
            "readers": names,
            "ends": ends,
            "failures": failures,
            "slowest_s": round(slowest, 2),
            "peak_mb": round(peak),
        }
        _append(options, "files.jsonl", part, record)
    return failed > 0


class Worker:
    """A process that reads files, with a bound on its memory; anew when it is lost.

    Parameters
    ----------
    name : str
        Of a reader.
    patience : float
        Seconds by the clock that it is given for one file.
    script : path
        That is run with the arguments "worker" and the name.
    """

    def __init__(self, name: str, patience: float = PATIENCE, script: str | Path = __file__):
        self.name, self.patience, self.script = name, patience, script
        self.peak_mb = 0.0

    def __enter__(self) -> Worker:
        self._start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop()

    def read(self, path: Path) -> tuple[str, float]:
        """Return what came of a file, and the seconds of work that it took."""
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        answer = self._line(self.patience)
        if answer is None:
            ended = self.process.poll()
            self._stop()
            self._start()
            return f"the process {'hung' if ended is None else f'ended by {ended}'}", 0.0
        found = json.loads(answer)
        self.peak_mb = max(self.peak_mb, found["peak_mb"])
        return found["said"], found["seconds"]

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, self.script, "worker", self.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )
        if self._line(10 * PATIENCE) is None:
            raise RuntimeError(f"no worker for {self.name} can be started")

    def _stop(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _line(self, patience: float) -> str | None:
        """One line of what the worker says; None if it says nothing any more."""
        ready, _, _ = select.select([self.process.stdout], [], [], patience)
        if not ready:
            return None
        line: str = self.process.stdout.readline()
        if not line:
            self.process.wait()
        return line or None


def _worker(options: argparse.Namespace) -> int:
    """Read the files whose paths come in, and answer a line for each."""
    from file_readers import READERS, outcome

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + SPARE_MEMORY, resource.RLIM_INFINITY))
    print("ready", file=answers)
    for line in sys.stdin:
        start = time.process_time()
        try:
            said = outcome(READERS[options.reader], Path(line.rstrip("\n")))
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(where.filename).name}:{where.lineno}"
            said = f"{type(error).__name__} at {place}: {error}"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        seconds = time.process_time() - start
        print(json.dumps({"said": said, "seconds": seconds, "peak_mb": peak}), file=answers)
    return 0


def _again(options: argparse.Namespace) -> int:
    from file_readers import READERS, Damaged, outcome

    with tempfile.TemporaryDirectory() as folder:
        path = Damaged(options.reader, Path(folder)).write(options.number)
        try:
            READERS[options.reader].read(path)
        except BaseException:
            traceback.print_exc()
        print(outcome(READERS[options.reader], path))
    return 0


# Records -----------------------------------------------------------------------------------------


def _todo(options: argparse.Namespace, name: str, **same: Any) -> list[int]:
    """Parts that are not on record, or with failures only."""
    path = options.records / name
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    same |= {"seed": options.seed, "parts": options.parts}
    done = {
        record["part"]
        for record in map(json.loads, lines)
        if not record["failures"] and all(record.get(key) == value for key, value in same.items())
    }
    wanted = range(options.parts) if options.part is None else [options.part]
    return [part for part in wanted if part not in done]


def _append(options: argparse.Namespace, name: str, part: int, found: dict[str, Any]) -> None:
    options.records.mkdir(parents=True, exist_ok=True)
    record = {"seed": options.seed, "part": part, "parts": options.parts, **found}
    with open(options.records / name, "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    print(f"part {part} of {options.parts}: {json.dumps(found)[:200]}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
