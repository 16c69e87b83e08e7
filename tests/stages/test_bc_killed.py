"""Cloning killed with SIGKILL goes on with the same result to the bit, and its logs are whole."""

import csv
import json

import numpy as np
import pytest

from jaxmaze import api
from jaxmaze.runs import figures
from tests.conftest import CONFIG, command, flags, goes_on_as, killed, lines

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
        "jaxmaze.train",
        f"--config={CONFIG}:bc",
        f"--config.bc.data={recorded.folder}",
        *flags(OVERRIDES),
    ]


@pytest.fixture(scope="module")
def whole(arguments, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    done = command(*arguments, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("phase", ["imitation", "refit"])
def test_killed_in_either_phase_it_goes_on_to_the_bit(arguments, whole, tmp_path, phase):
    folder = tmp_path / "run"
    killed(arguments, folder, text=f'"{phase}/')
    before = len(lines(folder))
    first = goes_on_as(folder, whole)["members"][0]
    assert len(lines(folder)) > before
    assert first["selection"]["epoch"] == first["best_epoch"]


def test_what_is_done_is_not_done_again(arguments, whole, tmp_path, monkeypatch):
    """Resumed after the last checkpoint, no epoch is trained again."""
    import shutil

    from jaxmaze.training import bc_learner

    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    (folder / "summary.json").unlink()

    class Forbidden:
        def prepare(self, *_):
            pass

        def __call__(self, *_):
            raise AssertionError("an epoch was trained again")

    monkeypatch.setattr(bc_learner.Fitter, "epochs", lambda *_: Forbidden())
    again = api.resume(folder)
    assert again.summary["members"] == json.loads((whole / "summary.json").read_text())["members"]


def test_loss_and_return_are_drawn_against_each_other(whole):
    assert (whole / figures.LOSS_AND_RETURN).stat().st_size > 10_000
    assert (whole / figures.LOSS_AND_RETURN).with_suffix(".svg").read_text().startswith("<?xml")
    found = figures.losses_and_returns(api.Run(whole).metrics(), 2)
    fig = figures.loss_and_return(found)
    points = np.concatenate([c.get_offsets() for c in fig.axes[0].collections])
    assert len(points) == 2 * 10
    with (whole / figures.LOSS_AND_RETURN).with_suffix(".csv").open() as file:
        written = [(float(row[2]), float(row[3])) for row in list(csv.reader(file))[1:]]
    assert sorted(written) == sorted(map(tuple, points.tolist()))
    lines_ = [x for x in api.Run(whole).metrics() if x["split"] == "eval" and x["step"] == 8]
    loss = next(
        x["members"]["imitation/policy_loss"]
        for x in lines_
        if "members" in x and "imitation/policy_loss" in x
    )
    returned = next(
        x["members"]["rollout_stats/reward/mean"]
        for x in lines_
        if "rollout_stats/reward/mean" in x
    )
    for point in zip(loss, returned, strict=True):
        assert any(np.allclose(point, p) for p in points)
    assert figures.losses_and_returns([], 2) is None
