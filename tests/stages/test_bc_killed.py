"""Cloning killed with SIGKILL goes on with the same result to the bit, and its logs are whole."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from jaxmaze import api, figures
from tests.conftest import CONFIG, ROOT, command, flags
from tests.stages.test_ppo_killed import lines, scalars

OVERRIDES = {
    "members": 2,
    "env.max_episode_steps": 200,
    "network.hidden_sizes": (16, 16),
    "bc.num_epochs": 40,
    "bc.patience": 0,
    "bc.eval_every": 4,
    "bc.eval_episodes": 2,
    "bc.best_by": "return",
    "evaluation.episodes": 2,
}


@pytest.fixture(scope="module")
def arguments(recorded):
    return [
        "jaxmaze.train", f"--config={CONFIG}:bc", f"--config.bc.data={recorded.folder}",
        *flags(OVERRIDES),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def whole(arguments, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    done = command(*arguments, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("phase", ["imitation", "refit"])
def test_killed_in_either_phase_it_goes_on_to_the_bit(arguments, whole, tmp_path, phase):
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments, f"--workdir={folder}"],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while (
        not any(f'"{phase}/' in line for line in lines(folder))
        and process.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert lines(folder) and not (folder / "summary.json").exists()
    before = len(lines(folder))
    done = command("jaxmaze.train", f"--resume={folder}")
    assert done.returncode == 0, done.stderr
    assert lines(folder) == lines(whole) and len(lines(folder)) > before
    assert scalars(folder) == scalars(whole)
    for member in range(2):
        a, b = (api.load_policy(run, member).policy for run in (folder, whole))
        jax.tree.map(np.testing.assert_array_equal, a, b)
    ours, theirs = (json.loads((run / "summary.json").read_text()) for run in (folder, whole))
    assert ours["members"] == theirs["members"]
    assert ours["members"][0]["selection"]["epoch"] == ours["members"][0]["best_epoch"]


def test_what_is_done_is_not_done_again(arguments, whole, tmp_path, monkeypatch):
    """Resumed after the last checkpoint, no epoch is trained again."""
    import shutil

    from jaxmaze import cloning

    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    (folder / "summary.json").unlink()

    def forbidden(self, steps, validates=True):
        def epoch(*_):
            raise AssertionError("an epoch was trained again")

        return epoch

    monkeypatch.setattr(cloning.Fitter, "epoch", forbidden)
    again = api.resume(folder)
    assert again.summary["members"] == json.loads((whole / "summary.json").read_text())["members"]


def test_loss_and_return_are_drawn_against_each_other(whole):
    assert (whole / figures.LOSS_AND_RETURN).stat().st_size > 10_000
    fig = figures.loss_and_return(api.Run(whole).metrics(), 2)
    points = fig.axes[0].collections[0].get_offsets()
    assert len(points) == 2 * 10
    lines_ = [x for x in api.Run(whole).metrics() if x["split"] == "eval" and x["step"] == 8]
    loss = next(x["members"]["imitation/policy_loss"] for x in lines_ if "members" in x
                and "imitation/policy_loss" in x)  # fmt: skip
    returned = next(x["members"]["rollout_stats/reward/mean"] for x in lines_
                    if "rollout_stats/reward/mean" in x)  # fmt: skip
    for point in zip(loss, returned, strict=True):
        assert any(np.allclose(point, p) for p in points)
    assert figures.loss_and_return([], 2) is None
