"""Ctrl-C at any moment: one line, exit code 130, and the folder to go on with."""

import signal
import subprocess
import sys

from jaxmaze import interrupts
from tests.conftest import HERE, ROOT

SENDS = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Sends:
    def find_spec(self, name, *_):
        if name == {name!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Sends())
sys.argv = ["jaxmaze", *{arguments!r}]
from jaxmaze.__main__ import main
main()
"""
"""A command that gets Ctrl-C where it imports a module."""


def interrupted(name, *arguments, cwd=ROOT):
    script = SENDS.format(name=name, arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=100,
        env=HERE | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == interrupts.CODE, (done.returncode, done.stderr)
    return done.stderr


def test_while_libraries_load_it_is_one_line(tmp_path):
    """A library in C that is being loaded would end the process with a crash."""
    for name in ("absl", "jax", "jaxlib.xla_client", "gymnasium"):
        said = interrupted(name, "rollout", "--env=CartPole-v1", cwd=tmp_path)
        assert said == f"error: {interrupts.AGAIN}\n", (name, said)
    assert not list(tmp_path.iterdir())


def test_later_the_line_names_the_folder_to_go_on_with(tmp_path):
    """Also if nobody gave one; Orbax is imported once there is something to keep."""
    command = ("train", "--config.stage=bc", "--config.members=1", "--config.bc.num_epochs=2")
    data = tmp_path / "teacher"
    record = [sys.executable, "-m", "jaxmaze.rollout", "--env=CartPole-v1", "--record"]
    record += ["--n_episodes=4", f"--workdir={data}"]
    subprocess.run(record, check=True, cwd=ROOT, capture_output=True, timeout=100)
    said = interrupted("orbax.checkpoint", *command, f"--config.bc.data={data}", cwd=tmp_path)
    (folder,) = tmp_path.glob("outputs/*/*")
    name = folder.relative_to(tmp_path)
    wanted = f"error: interrupted; the same command with --workdir={name} goes on with it\n"
    assert said == wanted


def test_a_rollout_is_not_said_to_go_on(tmp_path):
    """It plays all its episodes anew; minari is imported once they are written."""
    given = ("rollout", "--env=CartPole-v1", "--policy=random", "--record", "--n_episodes=2")
    said = interrupted("minari", *given, f"--workdir={tmp_path / 'run'}", cwd=tmp_path)
    assert (tmp_path / "run" / "config.json").exists()
    wanted = f"--workdir={tmp_path / 'run'} starts it again\n"
    assert said == f"error: interrupted; the same command with {wanted}"


def test_a_shell_that_ignores_it_is_obeyed():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        interrupts.quiet_start()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
