"""Console output of commands: what is going on, tables and single lines."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import rich.console
import rich.text

from jaxmaze.runs import live, printed_tables

console = rich.console.Console(highlight=False)
if not console.is_terminal:
    console.width = 160  # a file or a pipe has no width of its own; tables should not be cut at 80

listeners: list[Callable[[str], None]] = []
"""Called with every line of :func:`say`, whether it is shown or not."""

_view = live.View()
_works: list[live.Work] = []  # those that are shown, each a part of the one before
_verbose = False
_hushed = False


class Progress(Protocol):
    """The interface for reporting progress."""

    def advance(self, steps: int = 1) -> None:
        """Report ``steps`` more of the total as done."""

    def note(self, text: str) -> None:
        """Show a short text behind the bar."""

    def tell(self, name: str, cells: Mapping[str, str], rank: float | None = None) -> None:
        """Show what is known of a policy in a row of its own, beside what was told before.

        Args:
          name: the policy's, or the arm's.
          cells: texts by heading.
          rank: a figure such as its return; where there is no room for all, the highest are shown.
        """


class _Bar:
    def __init__(self, work: live.Work, look: Callable[[], None]):
        self._work, self._look = work, look

    def advance(self, steps: int = 1) -> None:
        self._work.advance(steps)
        self._look()

    def note(self, text: str) -> None:
        self._work.note = text
        self._look()

    def tell(self, name: str, cells: Mapping[str, str], rank: float | None = None) -> None:
        self._work.tell(name, cells, rank)
        self._look()


def loudness(quiet: bool = False, verbose: bool = False) -> None:
    """Say less or more from now on: nothing but errors, or details too."""
    global _verbose
    console.quiet, _verbose = quiet, verbose


def _animated() -> bool:
    """Whether lines can be redrawn in place."""
    return console.is_terminal and console.is_interactive and not console.is_jupyter


@contextmanager
def progress(
    description: str, total: int, *, done: int = 0, size: float = 1, unit: str = ""
) -> Iterator[Progress]:
    """Show how far a piece of work is: a live view on a terminal, else a line every few seconds.

    Args:
      description: its name.
      total: steps of it.
      done: steps that an earlier start did.
      size: what a step counts in the speed that is shown, in units.
      unit: their name, such as ``"steps"``; without one, no speed is shown.
    """
    work = live.Work(description, total, done, size, unit)
    if console.quiet or _hushed:
        yield _Bar(work, lambda: None)
        return
    with _shown(work) as look:
        yield _Bar(work, look)
    _print(work.result())


@contextmanager
def _shown(work: live.Work) -> Iterator[Callable[[], None]]:
    """Show a work inside; gives a function that is called when something is reported."""
    _works.append(work)
    try:
        if not _animated():
            with live.Lines(work, _print) as lines:
                yield lines.look
            return
        _view.begin(work, console)
        try:
            yield lambda: None  # the view redraws itself
        finally:
            _view.end(work)
    finally:
        _works.remove(work)


@contextmanager
def doing(text: str) -> Iterator[None]:
    """Name what is done inside, such as ``"compiles"``, in what is shown of the work in progress.

    If there is no such work, it is shown as one. Other threads than the main one show nothing.
    """
    if console.quiet or threading.current_thread() is not threading.main_thread():
        yield
    elif _works:
        work, before = _works[-1], _works[-1].doing
        work.doing = (*before, text)
        try:
            yield
        finally:
            work.doing = before
    elif _hushed:
        yield
    else:
        with _shown(live.Work(text, 0)):
            yield


@contextmanager
def stage(number: int, count: int, text: str) -> Iterator[None]:
    """Print which stage of a longer job begins, and name it in what is shown inside."""
    say(f"[{number}/{count}] {text}")
    before, _view.stage = _view.stage, f"[{number}/{count}]"
    try:
        yield
    finally:
        _view.stage = before


@contextmanager
def hushed() -> Iterator[None]:
    """Suppress printing inside, for stages that run many runs; not with ``--verbose``."""
    global _hushed
    before, _hushed = _hushed, not _verbose
    try:
        yield
    finally:
        _hushed = before


def _print(text: str) -> None:
    if not _hushed:
        console.print(text, markup=False, soft_wrap=True)


def say(text: str) -> None:
    """Print a line without wrapping or markup."""
    for listen in tuple(listeners):
        listen(text)
    if text.startswith("warning:"):
        _view.warning = text
    _print(text)


def detail(text: str) -> None:
    """Print a line that is only for those who asked for details."""
    if _verbose:
        _print(text)


def returned(values: np.ndarray) -> dict[str, str]:
    """The cell with the return of some seeds: ``237.1``, with the range ``237.1 [225.0, 248.3]``.

    Args:
      values: ``[M]`` each seed's mean return.
    """
    mean = f"{values.mean():.1f}"
    if len(values) == 1:
        return {"return": mean}
    return {"return [seeds' range]": f"{mean} [{values.min():.1f}, {values.max():.1f}]"}


def small(value: float) -> str:
    """A figure near 0 in three digits, such as a divergence: ``0.0213``, ``3e-06``."""
    if not math.isfinite(value):
        return "unknown"
    return f"{value:.3g}" if abs(value) < 1e-3 else f"{value:.4f}"


def styled(text: str, style: str) -> printed_tables.Cell:
    """A cell in a colour."""
    return rich.text.Text(text, style)


def table(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[printed_tables.Cell]],
    left: Sequence[int] = (0,),
    spare: Sequence[int] = (),
) -> None:
    """Print a table, whose cells are shown as they are: nothing in them is markup.

    Args:
      title: above it.
      header: the columns' names.
      rows: their cells.
      left: columns of text, which are left-aligned, and wrapped where it is narrow. The others are
        right-aligned figures, of which at most an interval in brackets goes to the next line.
      spare: columns to leave out where all do not fit, the first one first.
    """
    if not _hushed:
        console.print(printed_tables.Grid(header, rows, left, spare).fitted(title, console))
