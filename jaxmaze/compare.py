"""``jaxmaze compare DIR...``: compare finished runs in a table and a figure."""

from __future__ import annotations

from pathlib import Path

from absl import flags

from jaxmaze import cli
from jaxmaze.errors import UserError

USAGE = """Compare finished runs.

jaxmaze compare DIR DIR ... [--teacher=ROLLOUT_DIR]"""

FLAGS = flags.FLAGS


def define_flags() -> None:
    """The command's flags."""
    flags.DEFINE_string(
        "teacher",
        None,
        "Folder of the teacher's rollout, or a teacher's name; it plays the runs' own episodes.",
    )
    flags.DEFINE_boolean("trust", False, "Import code that the folders name.")
    flags.DEFINE_string("workdir", None, "Folder to write; outputs/compare/<time> if unset.")


def main(folders: list[str]) -> Path:
    """Compare the runs in ``folders``; returns the folder written."""
    from jaxmaze import api
    from jaxmaze.runs import run_folder

    if not folders:
        raise UserError("give the folders of finished runs: jaxmaze compare DIR DIR ...")
    workdir = FLAGS.workdir or run_folder.default_workdir("runs", "compare")
    return api.compare(folders, workdir, teacher=FLAGS.teacher, trust=FLAGS.trust).folder


if __name__ == "__main__":
    define_flags()
    given: list[str] = []

    def compare(overrides: dict[str, object]) -> Path:
        """The command; it has no configuration of its own."""
        if overrides:
            raise UserError("compare takes no --config fields; it reads them from the runs")
        return main(given)

    cli.run(compare, USAGE, words=given)
