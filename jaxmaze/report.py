"""``jaxmaze report RUN``: write the report of a run, finished or not."""

from __future__ import annotations

from pathlib import Path

from jaxmaze import cli
from jaxmaze.errors import UserError

USAGE = """Write a run's report anew: report/index.html, one page for any browser.

jaxmaze report RUN

Every run writes its own at its end; this one serves runs that were interrupted, or are still going
on, or were made by an earlier version. Nothing is computed again."""


def main(folders: list[str], overrides: dict[str, object]) -> Path:
    """Write the report of the one run in ``folders``; returns its path."""
    from jaxmaze import api

    if len(folders) != 1:
        raise UserError("give the folder of one run: jaxmaze report RUN")
    if overrides:
        raise UserError("report takes no --config fields; it reads them from the run")
    return api.report(folders[0])


if __name__ == "__main__":
    given: list[str] = []
    cli.run(lambda overrides: main(given, overrides), USAGE, words=given)
