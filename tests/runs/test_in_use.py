"""A folder that one command writes to is not written by a second one."""

import os

import pytest

import jaxmaze
from jaxmaze.errors import UserError

fcntl = pytest.importorskip("fcntl")
CONFIG = {"env.id": "CartPole-v1"}


def locked(folder):
    """An open file that holds a folder's lock, as another process's would."""
    file = os.open(folder, os.O_RDONLY)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def record(folder, **more):
    return jaxmaze.record(CONFIG, folder, policy="random", n_episodes=1, **more)


def test_a_folder_in_use_is_refused_and_left_as_it_is(tmp_path, monkeypatch):
    run = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("jaxmaze.stages.rollout._play", stop)
        record(run)  # begun, and interrupted
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    file = locked(run)
    with pytest.raises(UserError, match="run is being written by another command; wait for"):
        record(run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    os.close(file)
    assert record(run).summary["evaluation"]["episodes"] == 1


def test_a_folder_is_locked_until_the_run_is_done(tmp_path, monkeypatch):
    def look(config, workdir, *_, **__):
        with pytest.raises(BlockingIOError):
            locked(workdir)
        stop()

    monkeypatch.setattr("jaxmaze.stages.rollout._play", look)
    with pytest.raises(KeyboardInterrupt):
        record(tmp_path / "run")
    os.close(locked(tmp_path / "run"))


def stop(*_, **__):
    raise KeyboardInterrupt
