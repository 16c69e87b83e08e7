"""Compiled programs kept on disk, so that the same command starts faster the next time."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def enable() -> None:
    """Cache compiled programs, small ones too, in the user's cache folder or JAX's own setting.

    ``JAX_COMPILATION_CACHE_DIR`` chooses another folder, ``JAX_ENABLE_COMPILATION_CACHE=false``
    turns the cache off. Worker processes inherit both. Stale entries are never used: JAX's key
    includes the program, the compiler's version and the machine's features.
    """
    import jax
    import platformdirs

    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    with contextlib.suppress(OSError):  # if there is nowhere to write, nothing is cached
        if folder is None:  # else JAX makes it; it may be a bucket instead of a path
            folder = str(Path(platformdirs.user_cache_dir("jaxmaze")) / "xla")
            Path(folder).mkdir(parents=True, exist_ok=True)
        settings = {
            "jax_compilation_cache_dir": folder,
            "jax_persistent_cache_min_compile_time_secs": 0.0,
            "jax_persistent_cache_min_entry_size_bytes": -1,
        }
        for name, value in settings.items():
            if name.upper() not in os.environ:
                jax.config.update(name, value)
                os.environ[name.upper()] = str(value)
