"""Comparisons: the same episodes on both sides, and the right sign."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from jaxmaze import api
from jaxmaze.errors import UserError
from jaxmaze.runs import arms_figure, outcomes, report, run_folder
from jaxmaze.stages import compare
from tests.runs.test_report import curve, summary_of

SEEDS = np.array([30, 10, 20])


def result(returns):
    values = np.array(returns, float)
    return outcomes.Evaluation(values, values.astype(int) + 1)


def run_of(folder, seeds, *returns):
    """A run's folder with nothing but each member's episodes."""
    folder.mkdir()
    played = {"best": [result(r) for r in returns]}
    outcomes.write_episodes(folder, range(len(returns)), np.array(seeds), played)
    return folder


def test_a_gain_is_ours_less_theirs_in_the_same_episodes(tmp_path):
    ours = run_of(tmp_path / "ours", SEEDS, [5, 6, 7], [15, 16, 17])
    theirs = run_of(tmp_path / "theirs", SEEDS[::-1], [4, 3, 2], [14, 13, 12])
    gain = compare.gain(ours, theirs)
    assert gain == {"iqm": 3.0, "iqm_low": 3.0, "iqm_high": 3.0}
    other = run_of(tmp_path / "other", [30, 10, 21], [4, 3, 2], [14, 13, 12])
    fewer = run_of(tmp_path / "fewer", SEEDS, [4, 3, 2])
    for run in (other, fewer):
        with pytest.raises(UserError, match="have played different episodes"):
            compare.gain(ours, run)


def test_nothing_to_compare_is_one_line(tmp_path):
    for teacher in (None, right):
        with pytest.raises(UserError, match="there is nothing to compare; give the folder of at"):
            api.compare([], tmp_path / "compared", teacher=teacher)
    assert not (tmp_path / "compared").exists()


def test_a_teacher_plays_what_is_not_on_record_and_nothing_twice():
    asked = []

    def play(seeds):
        asked.append(seeds.tolist())
        return result(10 * seeds)

    teacher = compare.Teacher({10: (1.0, 5)}, play)
    for _ in range(2):
        assert teacher(SEEDS).tolist() == [300.0, 1.0, 200.0]
    assert asked == [[30, 20]]
    block = teacher.evaluation(np.array([10, 20]))
    assert block["episodes"] == 2 and block["mean"] == 100.5 and block["mean_step_count"] == 103.0
    silent = compare.Teacher({10: (1.0, 5), 30: (3.0, 5)})
    assert silent(SEEDS) is None and silent(np.array([30])).tolist() == [3.0]
    assert silent.evaluation(SEEDS)["mean"] == 2.0


def test_runs_are_named_as_shortly_as_tells_them_apart():
    named = run_folder.labels([Path("/a/x/ppo"), Path("/a/y/ppo"), Path("/b/z")])
    assert list(named) == ["x/ppo", "y/ppo", "b/z"]
    with pytest.raises(UserError, match="given twice"):
        run_folder.labels([Path("/a/x"), Path("/a/../a/x")])


def of_a_notebook():
    """An environment that cannot be imported, as a class of a notebook; with its configuration."""

    class Line(gym.Env):
        observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
        action_space = gym.spaces.Discrete(2)

        def __init__(self, pays=1.0):
            self.pays = pays

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return self._observed(), {}

        def _observed(self):
            self.x = self.np_random.uniform(-1, 1, 1).astype(np.float32)
            return self.x

        def step(self, action):
            paid = self.pays if (self.x[0] > 0) == action else 0.0
            return self._observed(), paid, False, False, {}

    changes = {"env.max_episode_steps": 5, "rollout.n_episodes": 4, "members": 2}
    changes |= {
        "network.hidden_sizes": (8,),
        "bc.num_updates": 20,
        "bc.batch_size": 8,
        "evaluation.episodes": 3,
    }
    return api.override({"env": {"make": Line}}, changes)


def right(obs):
    return (obs[:, 0] > 0).astype(int)


@pytest.mark.slow
def test_a_teacher_plays_in_an_environment_of_a_notebook_that_is_given_again(tmp_path, capsys):
    config = of_a_notebook()
    data = api.record(config, tmp_path / "data", policy=right)
    clone = api.clone(config, data, tmp_path / "clone")
    with pytest.raises(UserError, match=r"was given in Python.* config=config to jaxmaze.compare"):
        api.compare([clone], tmp_path / "without", teacher=right)
    assert not (tmp_path / "without").exists()
    compared = api.compare([clone], tmp_path / "with", teacher=right, config=config)
    assert compared.summary["teacher"]["evaluation"]["mean"] == 5.0
    assert compared.summary["arms"]["clone"]["gain"]["iqm"] <= 0.0
    capsys.readouterr()
    again = api.compare([clone], tmp_path / "again", teacher=data, config=config, trust=True)
    assert again.summary["arms"]["clone"]["gain"] == compared.summary["arms"]["clone"]["gain"]
    assert "cannot be asked to play" not in capsys.readouterr().out
    other = api.override(config, {"env.kwargs.pays": 2.0, "env.max_episode_steps": 6})
    for teacher in (right, data):
        with pytest.raises(UserError, match=r"env.max_episode_steps is 5 there and 6 here"):
            api.compare([clone], tmp_path / "other", teacher=teacher, config=other)


def test_steps_saved_and_steps_in_the_table_name_their_criteria():
    """An arm can be at the teacher's level without being above it beyond doubt."""

    def teacher(seeds):
        return np.array([-50.0, -1.0, 1.0, 50.0]) + 10

    def arm(*points):
        return summary_of([30, 5], [25, 5], curve(*points), teacher)

    arms = {
        "pretrained": arm([5, 40], [6, 40], [7, 40]),
        "from_scratch": arm([0, 0], [1, 1], [2, 2]),
    }
    saved = arms_figure.saved(arms)
    row = dict(zip(report.HEADER, report.rows(arms)[0], strict=True))
    assert saved is not None and row["steps to beat teacher"].startswith("never")
    line = compare.told(saved)
    assert "until the interquartile mean is at the teacher's level" in line
    assert "to beat the teacher, as in the table, a 95 % interval must be above it" in line
