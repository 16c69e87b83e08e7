"""How many small, plausible bugs the tests notice: run by hand, not collected by pytest.

    python tests/mutants.py [--only=ID,ID] [--jobs=2] [--full] [--timeout=300] [--out=FILE]

``tests/mutants.json`` lists the bugs: a text that stands once in a file of ours, what to put in its
place, and the tests most likely to notice. Each is put into a copy of the tree, whose tests then
run until one fails; with ``--full`` the rest of the suite too, if those pass. A survivor is a test
that is missing, or changes nothing that anyone could notice, and then says so under ``equivalent``.

Ends with 1 if less than 95 % are noticed, if a survivor is unexplained, or if an entry is stale.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(__file__).with_suffix(".json")
REQUIRED = 0.95
KILLED, SURVIVED, EQUIVALENT, STALE = "killed", "survived", "equivalent", "stale"


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One bug.

    Attributes:
      id: what it is called.
      file: below the root.
      old: a text that stands in it exactly once.
      new: what is put in its place.
      tests: files or node ids that are run first.
      equivalent: why nobody could notice, if that is so.
    """

    id: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    equivalent: str = ""

    def apply(self, root: Path) -> str:
        """The file's text with the bug in it.

        Raises:
          ValueError: if the entry is stale.
        """
        text = (root / self.file).read_text()
        if (count := text.count(self.old)) != 1:
            raise ValueError(f"{self.id}: the text stands {count} times in {self.file}, not once")
        if self.old == self.new:
            raise ValueError(f"{self.id} changes nothing")
        return text.replace(self.old, self.new)


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of a mutant: its state, the test that noticed, and how long that took."""

    mutant: Mutant
    state: str
    by: str
    seconds: float


def load() -> list[Mutant]:
    """All entries of the data file."""
    return [
        Mutant(**{**entry, "tests": tuple(entry["tests"])})
        for entry in json.loads(DATA.read_text())
    ]


def run_tests(folder: Path, arguments: list[str], timeout: float) -> tuple[bool, str]:
    """Run tests in a folder; whether all passed, and which was the first that did not."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False, "(it hung)"
    if process.returncode == 0:
        return True, ""
    if process.returncode not in (1, 2):  # 4 and 5: no such tests; the entry is at fault
        raise RuntimeError(output[-2000:])
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    return False, found[1] if found else "(no test: it could not be run)"


def copy_to(folder: Path) -> None:
    """All files that git knows or would."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (source := ROOT / name).is_file():  # and not deleted since
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)


def check_import(folder: Path) -> None:
    """See that the copy's code is what is tested.

    Raises:
      RuntimeError: if another installation goes first.
    """
    found = subprocess.run(
        [sys.executable, "-c", "import jaxmaze; print(jaxmaze.__file__)"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    if Path(found).resolve() != (folder / "jaxmaze" / "__init__.py").resolve():
        raise RuntimeError(f"tests would run on {found}, not on the copy")


def judge(mutant: Mutant | None, full: bool, timeout: float, tests: tuple[str, ...] = ()) -> Result:
    """Put a mutant into a copy of the tree, or none, and run its tests there."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        copy_to(folder)
        if mutant is None:
            check_import(folder)
            passed, by = run_tests(folder, list(tests), timeout)
            return Result(Mutant("none", "", "", "", tests), "" if passed else by, by, 0.0)
        try:
            text = mutant.apply(folder)
        except ValueError as error:
            return Result(mutant, STALE, str(error), 0.0)
        (folder / mutant.file).write_text(text)
        passed, by = run_tests(folder, list(mutant.tests), timeout)
        if passed and full:
            passed, by = run_tests(folder, [], 10 * timeout)
    state = KILLED if not passed else EQUIVALENT if mutant.equivalent else SURVIVED
    return Result(mutant, state, by or mutant.equivalent, time.monotonic() - start)


def main() -> int:
    """Judge what the flags ask for; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="ids, or beginnings of ids, between commas")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) // 2))
    parser.add_argument("--full", action="store_true", help="all tests, if the named ones pass")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds; more is a hang")
    parser.add_argument("--out", type=Path, help="file for the table")
    flags = parser.parse_args()
    wanted = tuple(x for x in flags.only.split(",") if x)
    mutants = [m for m in load() if not wanted or m.id.startswith(wanted)]
    if not mutants:
        parser.error(f"no entry of {DATA} is called {flags.only}")
    tests = tuple(sorted({t for m in mutants for t in m.tests}))
    sound = judge(None, False, 10 * flags.timeout, tests)
    if sound.state:
        print(f"{sound.by} fails without any mutant")
        return 1
    results = []
    with concurrent.futures.ThreadPoolExecutor(flags.jobs) as pool:
        jobs = [pool.submit(judge, m, flags.full, flags.timeout) for m in mutants]
        for job in concurrent.futures.as_completed(jobs):
            result = job.result()
            results.append(result)
            print(line(result), flush=True)
    return report(results, flags.out)


def line(result: Result) -> str:
    """A result as a row of the table."""
    return f"{result.state:10}  {result.mutant.id:34}  {result.seconds:6.1f} s  {result.by}"


def report(results: list[Result], out: Path | None) -> int:
    """Print the shares and write the table; returns the exit status."""
    ordered = sorted(results, key=lambda r: r.mutant.id)
    count = {s: sum(r.state == s for r in ordered) for s in (KILLED, SURVIVED, EQUIVALENT, STALE)}
    real = len(ordered) - count[EQUIVALENT]
    share = count[KILLED] / max(real, 1)
    last = f"{count[KILLED]} of {real} noticed ({share:.0%}); " + ", ".join(
        f"{n} {state}" for state, n in count.items() if state != KILLED
    )
    print(last)
    if out is not None:
        out.write_text("\n".join([*map(line, ordered), last]) + "\n")
    return int(share < REQUIRED or count[SURVIVED] > 0 or count[STALE] > 0)


if __name__ == "__main__":
    sys.exit(main())
