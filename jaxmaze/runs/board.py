"""TensorBoard's event file, written without a background thread."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxmaze.core.types import Json, PyTree
from jaxmaze.runs import console
from jaxmaze.runs.trackers import Histogram, Point, Value

if TYPE_CHECKING:
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

EVENTS = "events.out.tfevents.*"
VIDEO = "video/"
"""Tags of moving pictures begin with it."""
_GIF_SIZE = 6
"""Where a GIF file has its width and height."""
_LENGTH, _CHECKSUM = 8, 4
"""Bytes around each event in a file: its length and that one's checksum, and its own behind it."""


class Board:
    """Writes scalars, histograms, pictures and hyper-parameters to a run's event file.

    tensorboardX's own writer passes events to a thread; if that thread cannot write (a full disk, a
    limit on file sizes), it ends, and the logging code waits for it forever. Here the caller writes
    the events itself, and a file that cannot be written stops TensorBoard logging, not training:
    all values are in metrics.jsonl too.
    """

    def __init__(self, run: Path, resume_step: int | None = None):
        """Start a new event file in a run's folder.

        Args:
          run: the folder.
          resume_step: histograms and pictures of earlier files up to this step are taken over;
            scalars are not, as metrics.jsonl has them, nor videos, whose policies will change.
        """
        self._run, self._writer = run, None
        old = sorted(run.glob(EVENTS))
        # A crash may have cut off the file, so that it is written anew.
        kept = [] if resume_step is None else _drawn(old, resume_step)
        for path in old:
            path.unlink()
        self._try(self._open)
        for event in kept:
            self._put(event)

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

    def _put(self, event: Event) -> None:
        if self._writer is not None:
            self._try(self._writer.write_event, event)

    def _add(self, summary: Summary, step: int) -> None:
        from tensorboardX.proto import event_pb2

        self._put(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))

    def line(self, points: Sequence[Point]) -> None:
        """Log the points of a line of metrics.jsonl."""
        from tensorboardX import summary

        for step, tag, value in points:
            self._add(summary.scalar(tag, value), step)

    def value(self, tag: str, value: Value, step: int) -> None:
        """Log a histogram or a picture."""
        from tensorboardX import summary

        if isinstance(value, Histogram):
            self._add(_histogram(tag, value), step)
        elif isinstance(value, np.ndarray):
            self._add(summary.image(tag, value, dataformats="HWC"), step)

    def hparams(self, values: Json) -> None:
        """Log what tells this run from others, for the page HPARAMS.

        Only the run's own values are written, without a list of all: TensorBoard then makes that
        list itself, of all runs that it finds, and those fields come first in which they differ.
        """
        from tensorboardX import summary

        plain = {
            name: value if isinstance(value, bool | int | float | str) else str(value)
            for name, value in values.items()
            if value is not None
        }
        _, session, _ = summary.hparams(plain, {})
        self._add(session, 0)

    def flush(self) -> None:
        """Put everything logged so far on disk."""
        if self._writer is not None:
            self._try(self._writer.flush)

    def close(self) -> None:
        """Flush and close."""
        if self._writer is not None:
            self._try(self._writer.close)
            self._writer = None


def films(folder: Path, tag: str, gifs: Sequence[bytes]) -> None:
    """Write moving pictures to a file of their own among a folder's event files.

    Pictures that an earlier file has under the tag are replaced; nothing is written if they are the
    same.

    Args:
      folder: a run's, which is finished, or any other.
      tag: begins with ``VIDEO``.
      gifs: GIF files, shown as steps 0, 1, ...

    Raises:
      OSError: if the file cannot be written.
    """
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto import event_pb2, summary_pb2

    suffix = "." + tag.replace("/", "-")
    old = sorted(folder.glob(EVENTS + suffix))
    values = [v for p in old for e in _events(p.read_bytes()) for v in e.summary.value]
    if [v.image.encoded_image_string for v in values] == list(gifs):
        return
    for path in old:
        path.unlink()
    writer = EventsWriter(str(folder / "events"), suffix)
    for step, gif in enumerate(gifs):
        width, height = struct.unpack_from("<HH", gif, _GIF_SIZE)
        image = summary_pb2.Summary.Image(
            width=width, height=height, colorspace=3, encoded_image_string=gif
        )
        summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, image=image)])
        writer.write_event(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))
    writer.close()


def _histogram(tag: str, histogram: Histogram) -> Summary:
    from tensorboardX import summary

    counts, edges = (np.asarray(x, np.float64) for x in histogram)
    middle = (edges[:-1] + edges[1:]) / 2
    filled = np.flatnonzero(counts)
    low, high = (edges[filled[0]], edges[filled[-1] + 1]) if len(filled) else (0.0, 0.0)
    total, squares = float(counts @ middle), float(counts @ middle**2)
    # The first bucket has no lower limit of its own, so that an empty one goes before.
    limits, numbers = edges.tolist(), [0.0, *counts.tolist()]
    return summary.histogram_raw(
        tag, low, high, float(counts.sum()), total, squares, limits, numbers
    )


def _drawn(files: Sequence[Path], last: int) -> list[Event]:
    """The histograms and pictures in event files, up to a step, in order."""
    found = [
        event
        for path in files
        for event in _events(path.read_bytes())
        if event.step <= last and any(_kept(value) for value in event.summary.value)
    ]
    return sorted(found, key=lambda event: event.step)


def _kept(value: Summary.Value) -> bool:
    kind = value.WhichOneof("value")
    return kind == "histo" or (kind == "image" and not value.tag.startswith(VIDEO))


def _events(data: bytes) -> Iterator[Event]:
    """The events in a file, up to the first that is cut off or damaged."""
    from tensorboardX.proto import event_pb2
    from tensorboardX.record_writer import masked_crc32c

    at = 0
    while at + _LENGTH + _CHECKSUM <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        start = at + _LENGTH + _CHECKSUM
        body = data[start : start + length]
        if len(data) < start + length + _CHECKSUM:
            return
        (checksum,) = struct.unpack_from("<I", data, start + length)
        if checksum != masked_crc32c(body):
            return
        yield event_pb2.Event.FromString(body)
        at = start + length + _CHECKSUM
