"""Room on the disk, asked for before a library that cannot do without it is let write."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

HDF5_RESERVE = 2**24
"""Bytes that must stay free: what HDF5 still has to write when it closes a file."""


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
