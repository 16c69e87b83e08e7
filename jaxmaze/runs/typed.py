"""The command that this process runs, and the folder that it writes.

Alone in its file, because commands start before JAX.
"""

from __future__ import annotations

from pathlib import Path

_commands: list[str] = []
_folders: list[Path] = []


def keep(command: str) -> None:
    """Say which command this process runs, for the histories of its runs."""
    _commands[:] = [command]
    _folders.clear()


def command() -> str | None:
    """The command, as a user would type it; None in a program of the user's own."""
    return _commands[0] if _commands else None


def writes(folder: Path) -> None:
    """Say that the command has begun a run in a folder; the first is that of all others."""
    _folders.append(folder)
    del _folders[1:]


def folder() -> Path | None:
    """The folder of the run that the command has begun; None as long as there is none."""
    return _folders[0] if _folders else None
