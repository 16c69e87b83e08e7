"""What a user's teacher raises while it acts, in a line that names it."""

from __future__ import annotations

import traceback

from jaxmaze.envs import importing
from jaxmaze.errors import UserError, WorkerError


def failed(name: str, method: str, error: Exception) -> Exception:
    """The exception to raise if a teacher raises during a run.

    Args:
      name: the teacher's name.
      method: its method; empty for a function.
      error: what it has raised; the one that is being handled.
    """
    if isinstance(error, UserError):
        return error
    where = f" in {method}()" if method else ""
    return WorkerError(
        f"policy {name} failed{where}: {type(error).__name__}: {importing.first_line(error)}"
        f"{importing.place(error)}",
        traceback.format_exc(),
    )
