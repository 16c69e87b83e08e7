"""Files and folders that are there whole or not at all, and room to write them."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

HDF5_RESERVE = 2**24
"""Bytes that must stay free: what HDF5 still has to write when it closes a file."""


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A place to write a file or a folder, which takes its own place once it is whole.

    What was there before is replaced. If writing fails, nothing of it is left.
    """
    temporary = path.with_name(path.name + ".tmp")
    _remove(temporary)  # of an earlier start that was cut off
    try:
        yield temporary
    except BaseException:
        _remove(temporary)
        raise
    if temporary.is_dir():
        _remove(path)
    temporary.replace(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check_room(file: Path, size: int) -> None:
    """Check that a file can grow by ``size`` bytes.

    When a file cannot be written, HDF5 ends the process (a segmentation fault), and threads of
    Orbax's storage print tracebacks; so this has to be known before.

    Raises:
      OSError: if the disk or the limit of a file's size (``ulimit -f``) has no room for it.
    """
    if shutil.disk_usage(file.parent).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
    with contextlib.suppress(ImportError):  # not on Windows
        import resource

        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        there = file.stat().st_size if file.exists() else 0
        if limit != resource.RLIM_INFINITY and there + size > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(file))
