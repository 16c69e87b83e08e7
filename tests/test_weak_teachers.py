"""``benchmarks/weak_teachers.py``: its teachers, and what its tables say."""

import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import sidebyside, weak_teachers
from jaxmaze.runs import intervals, outcomes
from jaxmaze.teachers import heuristic
from tests.conftest import HERE, ROOT

TINY = {
    "bc.num_updates": 50,
    "ppo.total_env_steps": 2048,
    "ppo.num_envs": 4,
    "ppo.num_steps": 64,
    "ppo.eval_episodes": 2,
    "ppo.playoff_episodes": 0,
    "ppo.critic_burn_in": 1,
    "evaluation.episodes": 4,
    "env.max_episode_steps": 100,
    "env.workers": 0,
}


def played(teacher, seed, observations):
    teacher.reset(seed)
    return np.array([teacher.act(obs) for obs in observations])


@pytest.mark.parametrize(
    ("teacher", "share"), [(weak_teachers.Noisy, 0.3), (weak_teachers.VeryNoisy, 0.6)]
)
def test_a_share_of_actions_is_drawn_and_others_with_another_seed(teacher, share):
    observations = np.random.default_rng(0).normal(size=(4000, 8)).astype(np.float32)
    right = heuristic.lunar_lander(observations, False)
    actions = played(teacher(), 1, observations)
    # One of four drawn actions is the right one.
    assert (actions != right).mean() == pytest.approx(0.75 * share, abs=0.03)
    assert (actions == played(teacher(), 1, observations)).all()
    assert (actions != played(teacher(), 2, observations)).any()


def test_half_of_the_episodes_are_failed():
    observations = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    right = heuristic.lunar_lander(observations, False)
    assert right.any()
    failed = []
    for seed in range(200):
        actions = played(weak_teachers.Fails(), seed, observations)
        failed.append(not actions.any())
        assert failed[-1] or (actions == right).all()
    assert np.mean(failed) == pytest.approx(0.5, abs=0.1)


def test_what_cannot_be_run_is_told_in_a_line(monkeypatch, capsys, tmp_path):
    for words, line in (
        (["--only=all"], "error: there is no part 'all'; there are few, bad"),
        (["--set=ppo.gama=1"], "error: config.ppo.gama is not a field; did you mean"),
    ):
        monkeypatch.setattr(sys, "argv", ["weak_teachers.py", f"--workdir={tmp_path}", *words])
        assert sidebyside.exit_code(weak_teachers.main) == 2
        captured = capsys.readouterr()
        assert (captured.out + captured.err).startswith(line)


@pytest.mark.slow
def test_its_figures_are_those_of_its_runs_and_it_does_nothing_twice(tmp_path):
    sets = [f"--set={name}={value}" for name, value in TINY.items()]
    command = [
        *(sys.executable, str(ROOT / "benchmarks" / "weak_teachers.py"), f"--workdir={tmp_path}"),
        *("--only=few", "--draws=2", "--draw_members=2", *sets),
    ]
    for again in (False, True):
        done = subprocess.run(command, env=HERE, capture_output=True, text=True, timeout=1200)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("finished already") == (7 if again else 0), done.stdout
    found = json.loads((tmp_path / "few.json").read_text())
    runs = [tmp_path / "few" / "ppo" / name for name in ("draw_0", "draw_1", "scratch")]
    first, second, scratch = (outcomes.read_episodes(run).returns for run in runs)
    assert [row["tuned"] for row in found["draws"]] == pytest.approx([first.mean(), second.mean()])
    assert found["worst_draw"] == pytest.approx(min(first.mean(), second.mean()))
    assert found["worst_seed"] == pytest.approx(min(*first.mean(1), *second.mean(1)))
    pairs = (first + second) / 2 - scratch
    assert found["less_scratch"]["iqm"] == pytest.approx(intervals.estimate(pairs).value)
    # Other episodes in each draw, and clones of their own.
    assert found["draws"][0]["recorded"] != found["draws"][1]["recorded"]
