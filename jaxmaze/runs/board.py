"""TensorBoard's event file, written without a background thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from jaxmaze.core.types import PyTree
from jaxmaze.runs import console

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from tensorboardX.proto.summary_pb2 import Summary


class Board:
    """Writes scalars and figures to a run's event file.

    tensorboardX's own writer passes events to a thread; if that thread cannot write (a full disk, a
    limit on file sizes), it ends, and the logging code waits for it forever. Here the caller writes
    the events itself, and a file that cannot be written stops TensorBoard logging, not training:
    all values are in metrics.jsonl too.
    """

    def __init__(self, run: Path):
        """Start a new event file in a run's folder."""
        self._run, self._writer = run, None
        self._try(self._open)

    def _open(self) -> None:
        from tensorboardX.event_file_writer import EventsWriter

        self._writer = EventsWriter(str(self._run / "events"))

    def _try(self, write: Callable[..., None], *args: PyTree) -> None:
        """Write to the file, or print once that it cannot be written."""
        try:
            write(*args)
        except OSError as error:
            self._writer = None
            console.say(
                f"warning: TensorBoard's file in {self._run} cannot be written "
                f"({error.strerror or error}); the run goes on without, see metrics.jsonl"
            )

    def _add(self, summary: Summary, step: int) -> None:
        from tensorboardX.proto import event_pb2

        if self._writer is not None:
            event = event_pb2.Event(wall_time=time.time(), step=step, summary=summary)
            self._try(self._writer.write_event, event)

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Log a number."""
        from tensorboardX import summary

        self._add(summary.scalar(tag, value), step)

    def add_figure(self, tag: str, figure: Figure, step: int) -> None:
        """Log a matplotlib figure as an image."""
        from tensorboardX import summary, utils

        self._add(summary.image(tag, utils.figure_to_image(figure), dataformats="CHW"), step)

    def flush(self) -> None:
        """Put everything logged so far on disk."""
        if self._writer is not None:
            self._try(self._writer.flush)

    def close(self) -> None:
        """Flush and close."""
        if self._writer is not None:
            self._try(self._writer.close)
            self._writer = None
