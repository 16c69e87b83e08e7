"""What commands show: on a terminal, in a pipe, with ``--quiet`` and ``--verbose``."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time

import pytest

from tests.conftest import CONFIG, HERE, ROOT, SMALL, command, flags
from tests.test_cli import fails

ROLLOUT = ("jaxmaze.rollout", f"--config={CONFIG}", "--policy=random", "--n_episodes=4")
MODULE = "import runpy, sys; runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
OFTEN = f"from jaxmaze.runs import live; live.EVERY = live.SHARE = 0.0; {MODULE}"
CONTROL = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|[\r\n]|[^\x1b\r\n]+")


def on_terminal(*args, code=MODULE, rows=40, columns=120, cwd=ROOT):
    """Run a module's command in a terminal; returns its exit code and what it wrote."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        here = HERE | {"TERM": "xterm-256color"}
        os.execve(sys.executable, [sys.executable, "-c", code, *map(str, args)], here)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    written = b""
    try:
        while data := os.read(terminal, 65536):
            written += data
    except OSError:  # how a terminal ends on Linux
        pass
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), written.decode()


def screen(written):
    """The lines that are left on a terminal at the end."""
    lines, row = [""], 0
    column = 0
    for match in CONTROL.finditer(written):
        text = match[0]
        if text == "\r":
            column = 0
        elif text == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif match[2] == "A":
            row -= int(match[1] or 1)
        elif match[2] == "K":
            assert match[1] == "2"
            lines[row] = ""
        elif match[2] is None:
            line = lines[row].ljust(column)
            lines[row] = line[:column] + text + line[column + len(text) :]
            column += len(text)
        else:
            assert match[2] in "mhl", repr(text)
    return [line.rstrip() for line in lines if line.strip()]


def test_the_screen_is_read_as_a_terminal_shows_it():
    assert screen("one\r\ntwo\r\x1b[2K\x1b[1A\x1b[2Kthree\r\n\x1b[1mfour\x1b[0m") == [
        "three",
        "four",
    ]


def test_a_terminal_shows_a_live_view_and_keeps_the_result(tmp_path):
    run = tmp_path / "run"
    # Drawn as often as possible, as four episodes are over in a moment.
    code = f"from jaxmaze.runs import live; live.REFRESHES = 200; {MODULE}"
    done, written = on_terminal(*ROLLOUT, f"--workdir={run}", code=code)
    assert done == 0
    assert "━" in written and "0/4" in written  # the bar, while it ran
    left = screen(written)
    assert not any("━" in line for line in left)
    assert any(
        re.fullmatch(r"rollout  4/4  0:\d\d(, \S+ episodes/s)?, mean return \S+", x) for x in left
    )
    assert left[-1] == str(run)


STUMBLES = """
import time
calls = 0
def teacher(obs):
    global calls
    calls += 1
    time.sleep(0.5 if calls == 20 else 0)  # until the bar has been drawn
    return 0 if calls < 30 else 7
"""


def test_nothing_is_left_standing_before_an_error(tmp_path):
    (tmp_path / "mine.py").write_text(STUMBLES)
    args = ("jaxmaze.rollout", "--env=CartPole-v1", "--policy=mine:teacher", "--n_episodes=50")
    code = f"from jaxmaze.runs import live; live.REFRESHES = 200; {MODULE}"
    done, written = on_terminal(*args, f"--workdir={tmp_path / 'run'}", code=code, cwd=tmp_path)
    assert done == 2 and "━" in written
    (line,) = [" ".join(screen(written))]
    assert line.startswith("error: ") and "rollout  " not in line


def test_a_pipe_gets_lines_while_the_work_goes_on(tmp_path):
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", OFTEN, *ROLLOUT, "--config.rollout.num_envs=1", f"--workdir={run}"],
        cwd=ROOT,
        env=HERE,
        stdout=subprocess.PIPE,
        text=True,
    )
    seen = []
    for line in process.stdout:
        seen.append((line.rstrip(), (run / "summary.json").exists()))
    assert process.wait() == 0
    early = [line for line, finished in seen if line.startswith("rollout  ") and not finished]
    assert any(re.match(r"rollout  1/4 \(25 %\)  0:\d\d", line) for line in early), seen
    assert seen[-1][0] == str(run)
    assert not any("\x1b" in line for line, _ in seen)


def test_quiet_prints_the_folder_alone_and_errors(tmp_path):
    run = tmp_path / "run"
    done = command(*ROLLOUT, f"--workdir={run}", "--quiet")
    assert done.returncode == 0 and (done.stdout, done.stderr) == (f"{run}\n", "")
    fails(command(*ROLLOUT, f"--workdir={run}", "--quiet", "--seed=3"), "another configuration")
    fails(command(*ROLLOUT, "--quiet", "--verbose"), "exclude each other")
    assert "--[no]quiet" in command("jaxmaze.compare", "--help").stdout


ENDLESS = """
import gymnasium as gym
import numpy as np


class Ball(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 1.0, True, False, {}


gym.register("Endless-v0", Ball)


def teacher(obs):
    return np.zeros(len(obs), int), np.ones(3)
"""


def test_quiet_holds_for_notes_on_teachers_and_environments(tmp_path):
    (tmp_path / "mine.py").write_text(ENDLESS)
    rollout = ("jaxmaze.rollout", "--env=mine:Endless-v0", "--policy=mine:teacher")
    rollout = (*rollout, "--n_episodes=2", "--record")
    said = command(*rollout, "--workdir=a", cwd=tmp_path).stdout
    assert "gives a state with its actions" in said and "has no step limit" in said
    done = command(*rollout, "--workdir=b", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "b\n", "")


def test_verbose_tells_where_an_error_comes_from(tmp_path):
    done = command("jaxmaze.rollout", "--env=Nowhere-v0", "--verbose")
    *trace, line = done.stderr.strip().splitlines()
    assert done.returncode == 2 and line.startswith("error: ")
    assert trace[0].startswith("Traceback") and any("environment.py" in x for x in trace)


@pytest.mark.slow
def test_verbose_tells_each_evaluation_and_where_time_goes(tmp_path):
    small = SMALL | {"evaluation.episodes": 1, "ppo.total_env_steps": 256, "ppo.critic_burn_in": 0}
    args = ("jaxmaze.train", f"--config={CONFIG}:ppo", *flags(small))
    start = time.monotonic()
    done = command(*args, f"--workdir={tmp_path / 'run'}", "--verbose")
    assert done.returncode == 0, done.stderr
    evaluated = re.findall(r"^run: return -?[\d.]+ \[.*\] after (\d+) steps$", done.stdout, re.M)
    assert evaluated == ["0", "256"]
    update = re.search(r"^update: ([\d.]+) s, ", done.stdout, re.M)
    assert update and 0 < float(update[1]) < time.monotonic() - start
