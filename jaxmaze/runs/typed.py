"""The command that this process runs; alone in its file, because commands start before JAX."""

from __future__ import annotations

_commands: list[str] = []


def keep(command: str) -> None:
    """Say which command this process runs, for the histories of its runs."""
    _commands[:] = [command]


def command() -> str | None:
    """The command, as a user would type it; None in a program of the user's own."""
    return _commands[0] if _commands else None
