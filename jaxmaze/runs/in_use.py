"""One command at a time writes to a run's folder: two would overwrite each other's files.

The folder itself is locked, so that no file is left behind, and a process that is killed holds
nothing. Where folders cannot be locked (Windows, some network drives), nothing is checked.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from jaxmaze.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_held: dict[Path, int] = {}
"""Folders that this process has locked, and the open files that hold the locks."""
_inside: list[None] = []
"""One entry for each run that is going on in this process."""


@contextlib.contextmanager
def released() -> Iterator[None]:
    """Release at its end what is locked inside; nothing is locked outside of it."""
    before = set(_held)
    _inside.append(None)
    try:
        yield
    finally:
        _inside.pop()
        for folder in set(_held) - before:
            os.close(_held.pop(folder))


def lock(folder: Path) -> None:
    """Lock a folder until the run is done.

    Raises:
      UserError: if another process is writing to it.
    """
    path = folder.resolve()
    if fcntl is None or not _inside or path in _held:
        return
    file = os.open(path, os.O_RDONLY)  # not inherited by programs that are started
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise UserError(
            f"{folder} is being written by another command; wait for its end, or give another "
            "--workdir"
        ) from None
    except OSError:  # not on every file system
        os.close(file)
        return
    _held[path] = file
