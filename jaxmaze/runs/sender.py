"""Hands a run's metrics to a service, in a thread of its own that training never waits for."""

from __future__ import annotations

import contextlib
import json
import queue
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxmaze.core.types import Json
from jaxmaze.runs import console, disk, trackers
from jaxmaze.runs.trackers import About, Point, Tracker, Value

FOLDER = "trackers"
"""In a run's folder, with a file for each service."""
GATHER = 1.0
"""Seconds in which points are gathered before they are handed over together."""
PATIENCE = 60.0
"""Seconds that a service is waited for at the end of a run."""

_places: set[str] = set()


class _Mark(NamedTuple):
    """What a service has of a run, kept in the run's folder so that nothing is sent twice.

    Attributes:
      key: what finds the run at the service; None if it has none.
      lines: of metrics.jsonl that it has, counted from the first.
      step: the last step of anything else that it has.
    """

    key: Json | None
    lines: int
    step: int


class _Line(NamedTuple):
    points: tuple[Point, ...]


class _End(NamedTuple):
    finished: bool


class Sender:
    """A run's metrics on their way to a service.

    A service that raises, or does not answer, is given up with one warning: the run goes on, and
    metrics.jsonl has everything. When the run is resumed, the service gets what it has not yet got.
    """

    def __init__(self, service: str, about: About):
        """Begin; the service is opened in the background."""
        self._service, self._about = service, about
        self._file = about.folder / FOLDER / f"{service}.json"
        self._mark = _read(self._file)
        self._lines = 0
        self._queue: queue.SimpleQueue[_Line | Point | _End] = queue.SimpleQueue()
        self._hurry = threading.Event()
        self._error: str | None = None
        self._warned = False
        self._place = ""
        self._thread = threading.Thread(target=self._work, name=service, daemon=True)
        self._thread.start()

    def line(self, points: Sequence[Point]) -> None:
        """Hand over the points of the next line of metrics.jsonl, unless the service has them."""
        self._lines += 1
        if self._lines > self._mark.lines and self._error is None:
            self._queue.put(_Line(tuple(points)))

    def value(self, tag: str, value: Value, step: int) -> None:
        """Hand over a histogram or a picture, unless the service has it."""
        if step > self._mark.step and self._error is None:
            self._queue.put(Point(step, tag, value))

    def flush(self) -> None:
        """Say what has become of it; never waits."""
        if self._error is not None and not self._warned:
            self._warned = True
            console.say(
                f"warning: {self._service} cannot be written ({self._error}); the run goes on "
                "without, see metrics.jsonl"
            )
        if self._place and self._place not in _places:
            _places.add(self._place)
            console.say(f"{self._service}: {self._place}")

    def close(self) -> None:
        """End, after waiting a while for what is on its way."""
        # In an exception's finally or __exit__, the run was interrupted.
        self._queue.put(_End(sys.exc_info()[0] is None))
        self._hurry.set()
        self._thread.join(PATIENCE)
        if self._thread.is_alive() and self._error is None:
            self._error = f"it did not answer for {PATIENCE:.0f} seconds"
        self.flush()

    def _work(self) -> None:
        """The thread: open, hand over, close."""
        try:
            tracker = trackers.find(self._service).start(self._about, self._mark.key)
            self._place = tracker.place
            mark = self._mark._replace(key=tracker.key)
            _write(self._file, mark)
            end = None
            while end is None:
                items = self._gathered()
                mark = _send(tracker, items, mark)
                _write(self._file, mark)
                end = next((item for item in items if isinstance(item, _End)), None)
            tracker.close(end.finished)
        except BaseException as error:  # whatever a service raises, the run goes on
            self._error = " ".join(f"{type(error).__name__}: {error}".split())[:300]

    def _gathered(self) -> list[_Line | Point | _End]:
        """What comes within a second, as services take many points as fast as one."""
        items = [self._queue.get()]
        self._hurry.wait(GATHER)
        with contextlib.suppress(queue.Empty):
            while True:
                items.append(self._queue.get_nowait())
        return items


def lines_sent(run: Path, service: str) -> int:
    """How many lines of a run's metrics.jsonl a service has."""
    return _read(run / FOLDER / f"{service}.json").lines


def _send(tracker: Tracker, items: Sequence[_Line | Point | _End], mark: _Mark) -> _Mark:
    """Hand over; returns what the service has now."""
    lines = [item for item in items if isinstance(item, _Line)]
    values = [item for item in items if isinstance(item, Point)]
    points = [point for line in lines for point in line.points] + values
    if points:
        tracker.send(sorted(points, key=lambda point: point.step))
    return _Mark(tracker.key, mark.lines + len(lines), max((mark.step, *(v.step for v in values))))


def _read(file: Path) -> _Mark:
    """A service's mark; one without a key if there is none that can be read."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(file.read_text())
        if isinstance(found["key"], dict):
            return _Mark(found["key"], int(found["lines"]), int(found["step"]))
    return _Mark(None, 0, -1)


def _write(file: Path, mark: _Mark) -> None:
    file.parent.mkdir(exist_ok=True)
    with disk.whole(file) as temporary:
        temporary.write_text(json.dumps(mark._asdict()))
