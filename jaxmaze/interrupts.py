"""Ctrl-C while a command still loads its libraries: one line, as later on.

Libraries in C that are being loaded answer a ``KeyboardInterrupt`` with a crash, so it is not
raised in them. Until then nothing has been computed or written, and the process may just end.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

CODE = 130
"""Exit code after Ctrl-C, as shells have it."""
AGAIN = "interrupted; the same command starts again"


def quiet_start() -> None:
    """End with one line if Ctrl-C comes while libraries load; afterwards it is raised as always."""
    ours = threading.current_thread() is threading.main_thread()
    # Elsewhere Ctrl-C may be ignored, as by a shell for what it starts in the background.
    if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)


def _interrupted(number: int, frame: FrameType | None) -> None:
    if not _loaded() and _imports(frame):
        os.write(2, f"error: {AGAIN}\n".encode())
        os._exit(CODE)
    signal.default_int_handler(number, frame)


def _loaded() -> bool:
    """Whether the library is there, so that something may have been computed."""
    spec = getattr(sys.modules.get("jaxmaze.api"), "__spec__", None)
    return spec is not None and not getattr(spec, "_initializing", False)


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported in a frame or above it."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
