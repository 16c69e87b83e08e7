"""Console output of commands: progress bars, tables and single lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import rich.box
import rich.console
import rich.markup
import rich.progress
import rich.table

console = rich.console.Console(highlight=False)
if not console.is_terminal:
    console.width = 160  # a file or a pipe has no width of its own; tables should not be cut at 80

listeners: list[Callable[[str], None]] = []
"""Called with every line of :func:`say`, whether it is shown or not."""


class Progress(Protocol):
    """The interface for reporting progress."""

    def advance(self, steps: int = 1) -> None:
        """Report ``steps`` more of the total as done."""

    def note(self, text: str) -> None:
        """Show a short text behind the bar."""


class _Bar:
    def __init__(self, progress: rich.progress.Progress, task: rich.progress.TaskID):
        self._progress, self._task = progress, task

    def advance(self, steps: int = 1) -> None:
        self._progress.advance(self._task, steps)

    def note(self, text: str) -> None:
        self._progress.update(self._task, note=text)


@contextmanager
def progress(description: str, total: int) -> Iterator[Progress]:
    """A progress bar over ``total`` steps, with elapsed and remaining time."""
    columns = (
        rich.progress.TextColumn("{task.description:<14}"),
        rich.progress.BarColumn(bar_width=24),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeElapsedColumn(),
        rich.progress.TimeRemainingColumn(),
        rich.progress.TextColumn("{task.fields[note]}"),
    )
    with rich.progress.Progress(*columns, console=console) as bars:
        yield _Bar(bars, bars.add_task(description, total=total, note=""))


@contextmanager
def hushed() -> Iterator[None]:
    """Suppress printing inside, for stages that run many runs."""
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before


def escape(text: str) -> str:
    """Escape a table cell's text, whose square brackets would be read as markup."""
    return rich.markup.escape(text)


def say(text: str) -> None:
    """Print a line without wrapping or markup."""
    for listen in tuple(listeners):
        listen(text)
    console.print(text, markup=False, soft_wrap=True)


def table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)
) -> None:
    """Print a table; the columns in ``left`` are left-aligned, the others right."""
    t = rich.table.Table(title=title, title_justify="left", box=rich.box.SIMPLE_HEAD)
    for i, name in enumerate(header):
        t.add_column(name, justify="left" if i in left else "right", no_wrap=i == 0)
    for row in rows:
        t.add_row(*row)
    console.print(t)
