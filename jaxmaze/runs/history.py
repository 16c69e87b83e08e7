"""How a run came about: ``report/log.jsonl`` holds its starts, its notes and warnings, its ends.

It is for readers, not part of the run: a run that was interrupted and resumed has two starts, and
apart from that the same files as one that was not.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from jaxmaze.core.types import Json
from jaxmaze.runs import console, in_use, typed

FILE = Path("report") / "log.jsonl"
MARKS = ("note:", "warning:")
"""How the lines begin that are kept."""
LONGEST = 2000
"""Characters kept of a line."""


class History:
    """The history of one start of a run.

    Lines are held back until the folder is known to be the run's (:func:`claimed`): until then it
    may be someone else's, which nothing may be written to.
    """

    def __init__(self, run: Path):
        self.run = run.resolve()
        self._held: list[Json] = []
        self._ours = False

    def add(self, event: str, **values: object) -> None:
        """Add a line, once the folder is the run's."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self._held.append({"event": event, "at": now, **values})
        self._write()

    def claim(self) -> None:
        """From now on the folder is the run's."""
        self._ours = True
        self._write()

    def _write(self) -> None:
        if not self._ours:
            return
        # The run is worth more than its history: a full disk says so elsewhere.
        with contextlib.suppress(OSError):
            path = self.run / FILE
            path.parent.mkdir(exist_ok=True)
            with path.open("a") as file:
                file.writelines(json.dumps(line, default=str) + "\n" for line in self._held)
            self._held.clear()


_open: list[History] = []


def claimed(run: Path) -> None:
    """Say that a folder was found to be a run's own, or was made for it."""
    typed.writes(run)
    for history in _open:
        if history.run == run.resolve():
            history.claim()


@contextlib.contextmanager
def kept(run: Path, versions: Mapping[str, str], **about: object) -> Iterator[History]:
    """Keep the history of what is done inside: one start of a run.

    Args:
      run: its folder.
      versions: of the packages that it runs with.
      **about: more that is said of the start.
    """
    history = History(run)
    given = typed.command()
    command = {} if given is None else {"command": given}
    place = {} if _here() is None else {"folder": _here()}
    history.add("start", **command, **place, versions=dict(versions), machine=machine(), **about)

    def listen(text: str) -> None:
        if text.startswith(MARKS):
            history.add("said", text=text[:LONGEST])

    start = time.perf_counter()
    _open.append(history)
    console.listeners.append(listen)
    try:
        with in_use.released():
            yield history
    except BaseException as error:
        why = f"{type(error).__name__}: {error}"
        history.add("stopped", why=why[:LONGEST], seconds=time.perf_counter() - start)
        raise
    finally:
        console.listeners.remove(listen)
        _open.remove(history)
    history.add("end", seconds=time.perf_counter() - start)


def _here() -> str | None:
    """The current folder; None if it was deleted."""
    try:
        return str(Path.cwd())
    except OSError:
        return None


def machine() -> Json:
    """What this process runs on, as far as the system tells."""
    found: Json = {"system": platform.platform(), "processor": _processor()}
    found["cores"] = os.cpu_count()
    with contextlib.suppress(AttributeError, ValueError, OSError):  # not on every system
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        found["memory_gib"] = round(size / 2**30, 1)
    return found


def _processor() -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def read(run: Path) -> list[Json]:
    """The lines of a run's history; without those that are damaged, and empty if there is none."""
    try:
        texts = (run / FILE).read_text(errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for text in texts:
        with contextlib.suppress(json.JSONDecodeError):
            line = json.loads(text)
            if isinstance(line, dict) and isinstance(line.get("event"), str):
                found.append(line)
    return found
