"""Atomic writing of files and folders, and checks for disk space."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

HDF5_RESERVE = 2**24
"""Bytes that must stay free for what HDF5 still has to write when it closes a file."""


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path for a file or a folder, which is moved to ``path`` once it is whole.

    An existing file or folder is replaced. If writing fails, nothing of the new one is left.
    """
    temporary = path.with_name(path.name + ".tmp")
    _remove(temporary)  # left by an earlier start that was interrupted
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
    Orbax's storage print tracebacks; so the room is checked before.

    Raises:
      OSError: if the disk, or the limit on file sizes (``ulimit -f``), has no room for it.
    """
    if shutil.disk_usage(file.parent).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
    with contextlib.suppress(ImportError):  # not on Windows
        import resource

        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        there = file.stat().st_size if file.exists() else 0
        if limit != resource.RLIM_INFINITY and there + size > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(file))
