"""Fuzzing of thousands of unusual tables and damaged files, in parts that can be resumed.

    PYTHONPATH=. python tests/fuzz.py properties --examples 10000 --parts 20 --seed 0
    PYTHONPATH=. python tests/fuzz.py properties --examples 10000 --parts 20 --part 3 --seed 0
    PYTHONPATH=. python tests/fuzz.py files --minutes 60 --parts 12 --seed 0
    PYTHONPATH=. python tests/fuzz.py again chip 0/3/1207   # one damaged file, by its seed

Each part appends a line to a file in benchmarks/records/fuzz; recorded parts without failures are
not run again. Tables are fitted in one process per part. Files are read in one process per reader
with limited memory; a process that dies or hangs is a failure and is replaced.
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
from typing import IO, Any, cast

RECORDS = Path(__file__).resolve().parents[1] / "benchmarks" / "records" / "fuzz"
EXTRA_MEMORY = 2 * 2**30  # bytes that a reader may allocate after its start
TIMEOUT = 60.0  # wall-clock seconds after which a worker is considered to hang
MAX_CHARACTERS = 300  # of a reported failure


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 1 if anything failed."""
    options = _parser().parse_args(arguments)
    return int(options.run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    kinds = parser.add_subparsers(required=True)
    tables = kinds.add_parser("properties", help="fit unusual tables")
    tables.add_argument("--examples", type=int, default=10_000, help="total of all parts")
    tables.set_defaults(run=_fit_tables)
    files = kinds.add_parser("files", help="read damaged files")
    files.add_argument("--minutes", type=float, default=60.0, help="total of all parts")
    files.add_argument("--readers", nargs="+", help="names of readers (default: all)")
    files.set_defaults(run=_read_files)
    for kind in (tables, files):
        kind.add_argument("--parts", type=int, default=20)
        kind.add_argument("--part", type=int, help="run this part only, from 0")
        kind.add_argument("--seed", type=int, default=0)
        kind.add_argument("--records", type=Path, default=RECORDS)
    again = kinds.add_parser("again", help="read one damaged file and print its error")
    again.add_argument("reader")
    again.add_argument("seed")
    again.set_defaults(run=_read_again)
    part = kinds.add_parser("one-part")
    part.add_argument("seed", type=int)
    part.add_argument("examples", type=int)
    part.set_defaults(run=_fit_part)
    worker = kinds.add_parser("worker")
    worker.add_argument("reader")
    worker.set_defaults(run=_run_worker)
    return parser


# Tables ------------------------------------------------------------------------------------------


def _fit_tables(options: argparse.Namespace) -> int:
    n_failed = 0
    examples = -(-options.examples // options.parts)
    for part in _missing_parts(options, "properties.jsonl", examples=examples):
        seed = options.seed * 1000 + part
        command = [sys.executable, __file__, "one-part", str(seed), str(examples)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            results: dict[str, Any] = {"failures": {f"the process ended by {done.returncode}": 1}}
        else:
            results = json.loads(done.stdout.strip().split("\n")[-1])
        n_failed += sum(results["failures"].values())
        _append_record(options, "properties.jsonl", part, {"examples": examples, **results})
    return n_failed > 0


def _fit_part(options: argparse.Namespace) -> int:
    """Fit the tables of one part and print the counts of their outcomes as JSON."""
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from odd_tables import Case, cases, outcome

    outcomes: Counter[str] = Counter()
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
            outcomes[outcome(case)] += 1
        except Exception as error:
            outcomes["failed"] += 1
            where = traceback.extract_tb((error.__cause__ or error).__traceback__)[-1]
            message = f"{type(error).__name__} ({Path(where.filename).name}): {error}"
            message = message[:MAX_CHARACTERS]
            if not failures[message]:
                print(f"{message}\n    {case!r}", file=sys.stderr)
            failures[message] += 1

    start = time.perf_counter()
    run()
    results = {
        "ends": dict(outcomes),
        "failures": dict(failures),
        "seconds": round(time.perf_counter() - start, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(results))
    return 0


# Files -------------------------------------------------------------------------------------------


def _read_files(options: argparse.Namespace) -> int:
    from file_readers import READERS, SECONDS, Damaged

    names = options.readers or list(READERS)
    seconds_per_reader = 60 * options.minutes / options.parts / len(names)
    n_failed = 0
    for part in _missing_parts(options, "files.jsonl", minutes=options.minutes, readers=names):
        outcomes: dict[str, dict[str, int]] = {}
        failures: dict[str, str] = {}
        slowest = peak = 0.0
        for name in names:
            with tempfile.TemporaryDirectory() as folder, Worker(name) as worker:
                damaged, counts = Damaged(name, Path(folder)), Counter[str]()
                end = time.monotonic() + seconds_per_reader
                while time.monotonic() < end:
                    seed = f"{options.seed}/{part}/{counts.total()}"
                    result, seconds = worker.read(damaged.write(seed))
                    slowest = max(slowest, seconds)
                    if result not in ("read", "rejected") or seconds > SECONDS:
                        message = result[:MAX_CHARACTERS]
                        failures[f"{name} {seed}"] = f"{message} ({seconds:.1f} s)"
                        print(f"{name} {seed}: {message}", file=sys.stderr)
                        result = "failed"
                    counts[result] += 1
                outcomes[name] = dict(counts)
                peak = max(peak, worker.peak_mb)
        n_failed += len(failures)
        record = {
            "minutes": options.minutes,
            "readers": names,
            "ends": outcomes,
            "failures": failures,
            "slowest_s": round(slowest, 2),
            "peak_mb": round(peak),
        }
        _append_record(options, "files.jsonl", part, record)
    return n_failed > 0


class Worker:
    """A process that reads files with limited memory, replaced when it dies or hangs.

    Parameters
    ----------
    name : str
        Name of a reader.
    timeout : float
        Wall-clock seconds for one file.
    script : path
        Script to run with the arguments "worker" and the name.
    """

    def __init__(self, name: str, timeout: float = TIMEOUT, script: str | Path = __file__):
        self.name, self.timeout, self.script = name, timeout, script
        self.peak_mb = 0.0

    def __enter__(self) -> Worker:
        self._start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop()

    def read(self, path: Path) -> tuple[str, float]:
        """Return the outcome of a file and the seconds of processor time."""
        self.stdin.write(f"{path}\n")
        self.stdin.flush()
        answer = self._read_line(self.timeout)
        if answer is None:
            ended = self.process.poll()
            self._stop()
            self._start()
            return f"the process {'hung' if ended is None else f'ended by {ended}'}", 0.0
        result = json.loads(answer)
        self.peak_mb = max(self.peak_mb, result["peak_mb"])
        return result["outcome"], result["seconds"]

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, self.script, "worker", self.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )
        self.stdin, self.stdout = (
            cast(IO[str], pipe) for pipe in (self.process.stdin, self.process.stdout)
        )
        if self._read_line(10 * TIMEOUT) is None:
            raise RuntimeError(f"no worker for {self.name} can be started")

    def _stop(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _read_line(self, timeout: float) -> str | None:
        """Return a line of output; None after the timeout or the end of the process."""
        ready, _, _ = select.select([self.stdout], [], [], timeout)
        if not ready:
            return None
        line: str = self.stdout.readline()
        if not line:
            self.process.wait()
        return line or None


def _run_worker(options: argparse.Namespace) -> int:
    """Read the files whose paths are on stdin, and print a line of JSON for each."""
    from file_readers import READERS, outcome

    results = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # keeps output of libraries out of the results
    allocated = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (allocated + EXTRA_MEMORY, resource.RLIM_INFINITY))
    print("ready", file=results)
    for line in sys.stdin:
        start = time.process_time()
        try:
            result = outcome(READERS[options.reader], Path(line.rstrip("\n")))
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            location = f"{Path(where.filename).name}:{where.lineno}"
            result = f"{type(error).__name__} at {location}: {error}"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        seconds = time.process_time() - start
        record = {"outcome": result, "seconds": seconds, "peak_mb": peak}
        print(json.dumps(record), file=results)
    return 0


def _read_again(options: argparse.Namespace) -> int:
    from file_readers import READERS, Damaged, outcome

    with tempfile.TemporaryDirectory() as folder:
        path = Damaged(options.reader, Path(folder)).write(options.seed)
        try:
            READERS[options.reader].read(path)
        except BaseException:
            traceback.print_exc()
        print(outcome(READERS[options.reader], path))
    return 0


# Records -----------------------------------------------------------------------------------------


def _missing_parts(options: argparse.Namespace, name: str, **settings: Any) -> list[int]:
    """Return the parts that are not recorded without failures for the same settings."""
    path = options.records / name
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    settings |= {"seed": options.seed, "parts": options.parts}
    done = {
        record["part"]
        for record in map(json.loads, lines)
        if not record["failures"]
        and all(record.get(key) == value for key, value in settings.items())
    }
    parts = range(options.parts) if options.part is None else [options.part]
    return [part for part in parts if part not in done]


def _append_record(
    options: argparse.Namespace, name: str, part: int, result: dict[str, Any]
) -> None:
    options.records.mkdir(parents=True, exist_ok=True)
    record = {"seed": options.seed, "part": part, "parts": options.parts, **result}
    with open(options.records / name, "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    print(f"part {part} of {options.parts}: {json.dumps(result)[:200]}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
