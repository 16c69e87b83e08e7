"""``jaxmaze export RUN``: export a policy as files that run without jaxmaze."""

from __future__ import annotations

from pathlib import Path

from absl import flags

from jaxmaze import cli
from jaxmaze.errors import UserError

USAGE = """Write a trained policy for use without jaxmaze: StableHLO, numpy or ONNX.

jaxmaze export RUN [--format=jax|npz|onnx] [--member=0] [--workdir=DIR]"""

FLAGS = flags.FLAGS


def define_flags() -> None:
    """The command's flags."""
    flags.DEFINE_string("format", "jax", "jax (StableHLO), npz (numpy) or onnx.")
    flags.DEFINE_integer("member", 0, "Which member of the run.", lower_bound=0)
    flags.DEFINE_string("workdir", None, "Folder to write; outputs/<run>-export/<time> if unset.")


def main(runs: list[str]) -> Path:
    """Export the policy of the one run in ``runs``; returns the folder written."""
    if len(runs) != 1:
        raise UserError("give the folder of one run: jaxmaze export RUN")
    from jaxmaze import api
    from jaxmaze.runs import run_folder

    cli.prepare()
    name = Path(runs[0]).resolve().name
    path = FLAGS.workdir or run_folder.default_workdir(name, "export")
    return api.export(runs[0], path, format=FLAGS.format, member=FLAGS.member)


if __name__ == "__main__":
    define_flags()
    given: list[str] = []

    def export(overrides: dict[str, object]) -> Path:
        """The command; it has no configuration of its own."""
        if overrides:
            raise UserError("export takes no --config fields; it reads them from the run")
        return main(given)

    cli.run(export, USAGE, words=given)
