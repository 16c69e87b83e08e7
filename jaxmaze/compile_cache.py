"""Compiled programs kept on disk, so that the same command starts faster the next time."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def enable() -> None:
    """Keep compiled programs in the user's cache folder, unless JAX was told something else.

    ``JAX_COMPILATION_CACHE_DIR`` chooses another folder, ``JAX_ENABLE_COMPILATION_CACHE=false``
    none. Worker processes inherit the choice. JAX knows itself which programs fit: the key holds
    the program, the compiler's version and the machine's features.
    """
    import jax
    import platformdirs

    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return
    folder = Path(platformdirs.user_cache_dir("jaxmaze")) / "xla"
    with contextlib.suppress(OSError):  # Nowhere to write: nothing is kept.
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "jax_compilation_cache_dir": str(folder),
            "jax_persistent_cache_min_compile_time_secs": 0.0,
            "jax_persistent_cache_min_entry_size_bytes": -1,
        }
        for name, value in settings.items():
            jax.config.update(name, value)
            os.environ.setdefault(name.upper(), str(value))
