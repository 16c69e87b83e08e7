"""``python -m jaxmaze.compare DIR...``: finished runs to a table and a figure."""

from __future__ import annotations

import sys
from pathlib import Path

from absl import flags

from jaxmaze import cli
from jaxmaze.errors import UserError

USAGE = """Compare finished runs.

python -m jaxmaze.compare DIR DIR ... [--teacher=ROLLOUT_DIR]"""

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
        raise UserError("give the folders of finished runs: python -m jaxmaze.compare DIR DIR ...")
    workdir = FLAGS.workdir or run_folder.default_workdir("runs", "compare")
    return api.compare(folders, workdir, teacher=FLAGS.teacher, trust=FLAGS.trust).folder


def split_folders(argv: list[str]) -> tuple[list[str], list[str]]:
    """The flags and the folders of a command line, in any order."""
    flagged, folders, i = argv[:1], [], 1
    while i < len(argv):
        word = argv[i]
        if not word.startswith("-"):
            folders.append(word)
        else:
            flagged.append(word)
            if word.lstrip("-") in ("teacher", "workdir") and i + 1 < len(argv):
                i += 1
                flagged.append(argv[i])
        i += 1
    return flagged, folders


if __name__ == "__main__":
    define_flags()
    sys.argv, given = split_folders(sys.argv)

    def compare(overrides: dict[str, object]) -> Path:
        """The command; it has no configuration of its own."""
        if overrides:
            raise UserError("compare takes no --config fields; it reads them from the runs")
        return main(given)

    cli.run(compare, USAGE)
