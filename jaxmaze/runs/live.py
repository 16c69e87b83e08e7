"""What is going on: a live view on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import rich.box
import rich.console
import rich.live
import rich.progress_bar
import rich.table
import rich.text

REFRESHES = 2
"""Of a live view, a second."""
EVERY, SHARE = 5.0, 0.02
"""Seconds between two lines where there is no terminal; of a long run this share of its time."""
SOONEST = 0.1
"""Seconds after which it is looked again whether a line is due, at the least."""
FEW = 4
"""Rows that such a line holds, those of the highest rank."""
AROUND = 7
"""Lines of a terminal that are not for rows."""


class Row(NamedTuple):
    """What is known of one policy: cells by heading, and the figure that rows are ordered by."""

    cells: Mapping[str, str]
    rank: float


class Work:
    """A piece of work, and how far it is.

    Attributes:
      name: what it is called.
      total: units of work; 0 if they are not counted.
      done: units done so far.
      note: a short text on how far it is.
      doing: what is done now, each a part of what is before it.
      rows: what is known of each policy, by its name.
    """

    def __init__(
        self,
        name: str,
        total: int,
        done: int = 0,
        size: float = 1,
        unit: str = "",
        clock: Callable[[], float] = time.monotonic,
    ):
        """Begin.

        Args:
          name: what it is called.
          total: units of work; 0 if they are not counted.
          done: units that were done before this start, which say nothing of its speed.
          size: what a unit counts in its speed, such as the environment steps of an iteration.
          unit: the word for that; no speed is shown without one.
          clock: seconds; for tests.
        """
        self.name, self.total, self.done, self.note = name, total, done, ""
        self.doing: tuple[str, ...] = ()
        self.rows: dict[str, Row] = {}
        self._size, self._unit, self._clock = size, unit, clock
        self._start, self._before = clock(), done
        # What the first unit takes, which compiles programs, says nothing of the others.
        self._first: tuple[float, int] | None = None
        self._now = self._start

    def advance(self, units: int) -> None:
        """Count ``units`` more as done."""
        self.done += units
        self._now = self._clock()
        if self._first is None:
            self._first = (self._now, self.done)

    def tell(self, name: str, cells: Mapping[str, str], rank: float | None) -> None:
        """Add to what is known of a policy."""
        known = self.rows.get(name, Row({}, 0.0))
        row = Row({**known.cells, **cells}, known.rank if rank is None else rank)
        self.rows = {**self.rows, name: row}  # new, as another thread may be reading the old

    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    def pace(self) -> float | None:
        """Units a second; None while that is unknown."""
        if self._first is not None and self.done > self._first[1] and self._now > self._first[0]:
            return (self.done - self._first[1]) / (self._now - self._first[0])
        return None

    def left(self) -> float | None:
        """Seconds left; None while that is unknown."""
        pace = self.pace()
        if pace is None or self.done >= self.total:
            return None
        return max(0.0, (self.total - self.done) / pace - (self._clock() - self._now))

    def speed(self) -> str:
        """How fast it is, in words; empty while that is unknown."""
        pace = self.pace()
        if pace is None or not self._unit or not self._size:
            return ""
        value = pace * self._size
        return f"{value:,.0f} {self._unit}/s" if value >= 10 else f"{value:.2g} {self._unit}/s"

    def first_rows(self, count: int) -> tuple[dict[str, Row], int]:
        """The ``count`` rows of highest rank in their usual order, and how many others there are.

        Ranks that are no number come last.
        """
        rows = self.rows
        ranks = {name: -row.rank if row.rank == row.rank else 1e300 for name, row in rows.items()}
        chosen = set(sorted(rows, key=ranks.__getitem__)[:count])
        return {n: row for n, row in rows.items() if n in chosen}, len(rows) - len(chosen)

    def now(self) -> str:
        """How far it is and what is done, in words; empty if nothing is said."""
        return ", ".join(dict.fromkeys(text for text in (self.note, *self.doing) if text))

    def count(self) -> str:
        """What is done of the total; empty if that is not counted."""
        return f"{self.done:,}/{self.total:,}" if self.total else ""

    def result(self) -> str:
        """What is said at its end: how much it was, and how long it took."""
        parts = (f"{self.name}  {self.done:,}/{self.total:,}  {clock(self.elapsed())}",)
        return ", ".join(text for text in (*parts, self.speed(), self.note) if text)

    def line(self) -> str:
        """How far it is, in one line."""
        percent = f"{self.count()} ({100 * self.done // self.total} %)" if self.total else ""
        parts = ["  ".join(filter(None, (self.name, percent, clock(self.elapsed()))))]
        left = self.left()
        if left is not None:
            parts.append(f"{clock(left)} left")
        parts += [text for text in (self.speed(), self.now()) if text]
        rows, more = self.first_rows(FEW)
        told = [
            f"{name} " + ", ".join(_cell(heading, text) for heading, text in row.cells.items())
            for name, row in rows.items()
        ]
        if more:
            told.append(f"{more} more")
        return ", ".join(parts) + (f"  |  {'; '.join(told)}" if told else "")


def _cell(heading: str, text: str) -> str:
    """A cell in a line; the return needs no heading."""
    return text if heading.startswith("return") else f"{heading} {text}"


def clock(seconds: float) -> str:
    """Seconds as ``0:21`` or ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class View:
    """The works in progress on a terminal, redrawn in place below the lines that are printed.

    Attributes:
      stage: where the work stands in a longer job, such as ``"[3/4]"``.
      warning: the last warning that was printed.
    """

    def __init__(self) -> None:
        self.stage = self.warning = ""
        self._works: list[Work] = []
        self._live: rich.live.Live | None = None

    def begin(self, work: Work, console: rich.console.Console) -> None:
        """Show a work; below those that it is a part of."""
        self._works.append(work)
        if self._live is None:
            self.warning = ""
            self._live = rich.live.Live(
                get_renderable=lambda: self._drawn(console),
                console=console,
                refresh_per_second=REFRESHES,
                transient=True,  # nothing is left standing, before an error's line least of all
            )
            self._live.start()

    def end(self, work: Work) -> None:
        """Show it no more."""
        self._works.remove(work)
        if not self._works and self._live is not None:
            self._live.stop()
            self._live = None

    def _drawn(self, console: rich.console.Console) -> rich.console.RenderableType:
        parts: list[rich.console.RenderableType] = []
        room = max(3, console.height - AROUND - len(self._works))
        for work in tuple(self._works):
            parts.append(self._bar(work, console.width))
            if work.rows:
                parts.append(_table(work, room))
        if self.warning:
            parts.append(rich.text.Text(self.warning, "yellow", no_wrap=True, overflow="ellipsis"))
        return rich.console.Group(*parts)

    def _bar(self, work: Work, width: int) -> rich.table.Table:
        """One line: name, bar, count, times, speed, note; the first of them if it is narrow."""
        left = work.left()
        cells: list[rich.console.RenderableType] = [
            rich.text.Text(f"{self.stage} {work.name}".strip(), "bold"),
            rich.progress_bar.ProgressBar(
                work.total or None, work.done, width=24 if width >= 100 else 10
            ),
            work.count(),
            clock(work.elapsed()),
            "" if left is None else rich.text.Text(f"{clock(left)} left", "cyan"),
            work.speed(),
            rich.text.Text(work.now()),
        ]
        line = rich.table.Table.grid(padding=(0, 2, 0, 0))
        for _ in cells:
            line.add_column(no_wrap=True)
        line.add_row(*cells)
        return line


def _table(work: Work, room: int) -> rich.table.Table:
    rows, more = work.first_rows(room)
    headings = list(dict.fromkeys(h for row in rows.values() for h in row.cells))
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("")
    for heading in headings:
        table.add_column(rich.text.Text(heading), justify="right", no_wrap=True)
    for name, row in rows.items():
        cells = [rich.text.Text(row.cells.get(heading, "")) for heading in headings]
        table.add_row(rich.text.Text(name, overflow="ellipsis", no_wrap=True), *cells)
    if more:
        table.add_row(rich.text.Text(f"and {more} more", "dim"))
    return table


class Lines:
    """A work in lines: every few seconds, more seldom the longer it takes.

    Inside ``with``, a thread prints them, also while nothing is reported. Outside, none is printed.
    """

    def __init__(self, work: Work, put: Callable[[str], None]):
        self._work, self._put, self._last = work, put, 0.0
        self._lock, self._over = threading.Lock(), threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._repeat, name="lines", daemon=True)

    def __enter__(self) -> Lines:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join()

    def look(self) -> None:
        """Print a line if it is time.

        Raises:
          SystemExit: if nobody reads them any more, whichever thread found out.
        """
        with self._lock:
            if self._failed is not None:
                raise self._failed
            if self._due() <= 0:
                self._last = self._work.elapsed()
                self._put(self._work.line())

    def _due(self) -> float:
        """Seconds until the next line."""
        now = self._work.elapsed()
        return max(EVERY, SHARE * now) - (now - self._last)

    def _repeat(self) -> None:
        while not self._over.wait(max(SOONEST, self._due())):
            try:
                self.look()
            except BaseException as error:  # such as a broken pipe; the work is to end by it
                self._failed = error
                return
