"""Noise in execution: other actions are done, the teacher's are kept as labels."""

import gymnasium as gym
import numpy as np
import pytest

from jaxmaze import api, policies
from jaxmaze.core.spaces import Discrete
from jaxmaze.envs import environment
from jaxmaze.envs.environment import of_spaces
from jaxmaze.errors import UserError
from jaxmaze.runs import trajectories
from jaxmaze.teachers.adapters.noise import Noisy
from tests.conftest import SMALL


def lean(obs):
    return (obs[:, 2] + 3 * obs[:, 3] > 0).astype(int)


def torque(obs):
    return np.clip(-obs[:, 2:], -0.5, 0.5)


def config(env, **rollout):
    return api.make_config({"env": {"id": env}, "rollout": {"n_episodes": 12} | rollout})


def recorded(tmp_path, env, policy, **rollout):
    settings = config(env, **rollout)
    run = api.record(settings, tmp_path / f"run{len(list(tmp_path.iterdir()))}", policy=policy)
    info = environment.describe(environment.EnvConfig.of(settings.env))
    return run, trajectories.read(run.folder, info)


def test_random_actions_are_done_as_often_as_said_and_labelled(tmp_path):
    _, data = recorded(tmp_path, "CartPole-v1", lean, epsilon=0.4)
    for e in data.episodes:
        np.testing.assert_array_equal(e.labels, lean(e.observations[:-1]))
    actions, labels = (
        np.concatenate([getattr(e, x) for e in data.episodes]) for x in ("actions", "labels")
    )
    # Half of the random actions are the teacher's own.
    assert len(actions) > 500 and (actions != labels).mean() == pytest.approx(0.2, abs=0.04)
    assert data.provenance["noise"] == {"epsilon": 0.4, "noise_std": 0.0}
    _, learned, _ = trajectories.rows(data.episodes, Discrete(2))
    np.testing.assert_array_equal(learned, labels)


def test_gaussian_noise_is_in_halves_of_the_range_and_clipped(tmp_path):
    _, data = recorded(tmp_path, "Pendulum-v1", torque, noise_std=0.3)
    actions, labels = (
        np.concatenate([getattr(e, x) for e in data.episodes]) for x in ("actions", "labels")
    )
    observations = np.concatenate([e.observations[:-1] for e in data.episodes])
    np.testing.assert_array_equal(labels, torque(observations))
    noise = (actions - labels)[np.abs(actions) < 1.99]
    assert noise.std() == pytest.approx(0.3 * 2, rel=0.06) and abs(noise.mean()) < 0.05
    assert np.abs(actions).max() <= 2


def test_gaussian_noise_on_whole_numbers_is_rounded():
    spaces = gym.spaces.Box(-1, 1, (2,), np.float32), gym.spaces.Box(-50, 50, (2,), np.int32)
    noisy = Noisy(lambda obs: np.full((len(obs), 2), 7, np.int32), of_spaces(*spaces), 0.0, 0.1, 0)
    noisy.begin(0, None, 3)
    taken = np.array([noisy(np.zeros((1, 2), np.float32))[0] for _ in range(500)])
    assert taken.dtype == np.int32
    assert taken.std() == pytest.approx(0.1 * 50, rel=0.1) and abs(taken.mean() - 7) < 0.6


class Remembers:
    def reset(self, seed):
        self.rng = np.random.default_rng(seed)

    def act(self, obs):
        return lean(obs[None])[0] if self.rng.random() < 0.9 else 0


@pytest.mark.parametrize("policy", [lean, Remembers])
def test_it_does_not_depend_on_how_many_environments_there_are(tmp_path, policy):
    runs = [
        recorded(tmp_path, "CartPole-v1", policy, epsilon=0.2, num_envs=n)[1].sha256
        for n in (1, 5, 12)
    ]
    assert len(set(runs)) == 1
    other = api.override(config("CartPole-v1", epsilon=0.2), {"seed": 1})
    changed = api.record(other, tmp_path / "other", policy=policy)
    info = environment.describe(environment.EnvConfig.of(other.env))
    assert trajectories.read(changed.folder, info).sha256 != runs[0]


def test_a_rollout_without_noise_has_no_labels(tmp_path):
    run, data = recorded(tmp_path, "CartPole-v1", lean)
    assert all(e.labels is None for e in data.episodes) and "noise" not in data.provenance
    assert run.summary["evaluation"]["mean"] > 200


@pytest.mark.parametrize(
    "env,rollout,words",
    [
        ("CartPole-v1", {"noise_std": 0.1}, r"noise_std=0.1 is for continuous.*rollout.epsilon"),
        ("CartPole-v1", {"epsilon": 1.5}, r"rollout.epsilon is 1.5.*at most 1"),
        ("Pendulum-v1", {"noise_std": -1.0}, r"rollout.noise_std is -1.0.*at least 0"),
    ],
)
def test_noise_that_makes_no_sense_is_refused(tmp_path, env, rollout, words):
    with pytest.raises(UserError, match=words):
        api.record({"env": {"id": env}, "rollout": rollout}, tmp_path / "run", policy="random")
    assert not (tmp_path / "run").exists()


def test_a_disturbed_teacher_is_not_what_runs_are_compared_with(tmp_path):
    """Its returns on record are those under noise; it plays anew, without."""
    settings = api.override(config("CartPole-v1", epsilon=0.9), {"evaluation.episodes": 3})
    run = api.record(settings, tmp_path / "noisy", policy="heuristic")
    compared = api.compare([run], tmp_path / "compare", teacher=run)
    calm = compared.summary["teacher"]["evaluation"]["mean"]
    assert calm > 3 * run.summary["evaluation"]["mean"]
    unknown = api.record(settings, tmp_path / "unknown", policy=lean)
    with pytest.raises(UserError, match=r"was recorded with noise.*--trust"):
        api.compare([run], tmp_path / "again", teacher=unknown)


@pytest.mark.slow
def test_a_workflow_clones_the_labels_and_judges_the_teacher_itself(tmp_path):
    changes = SMALL | {
        "env.max_episode_steps": 60,
        "rollout.epsilon": 0.5,
        "rollout.n_episodes": 10,
        "stage": "workflow",
        "bc.validation_percentage": 50.0,
        "bc.num_epochs": 30,
    }
    settings = api.override({"env": {"id": "CartPole-v1"}}, changes)
    run = api.train(settings, tmp_path / "run")
    assert run.summary["teacher"]["evaluation"] == api.evaluate(settings, "heuristic")
    accuracy = [
        x["imitation/discrete_accuracy"]
        for x in api.Run(run.folder / "bc").metrics()
        if "imitation/discrete_accuracy" in x
    ]
    assert (
        np.max(accuracy[-1]) > 0.85
    )  # of actions that were done, no one could foretell above 0.75
    assert policies.registered()
