"""What a run does with its observation statistics, as it is asked to."""

import gymnasium as gym
import jax
import numpy as np
import pytest

from jaxmaze import api
from jaxmaze.stages import ppo
from jaxmaze.training import ppo_learner
from tests.conftest import CONFIG, command

BURN_IN = 2
ONE_STEP = {
    # One gradient step an update, so that its figures are those of the first ratio.
    "env.max_episode_steps": 40,
    "ppo.num_epochs": 1,
    "ppo.batch_size": 128,
    "ppo.burn_in_until": None,
    "ppo.critic_burn_in": BURN_IN,
    "ppo.audit": "report",
}


@pytest.fixture
def states(monkeypatch):
    """All members' states before each update of a run, and after the last."""
    found, real = [], ppo_learner.Population.update

    def update(self, rollout):
        found.extend([self.whole()] if not found else [])
        means = real(self, rollout)
        found.append(self.whole())
        return means

    monkeypatch.setattr(ppo_learner.Population, "update", update)
    return found


def equal(a, b):
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, a, b)))


@pytest.mark.parametrize("kind", ["adapt", "frozen"])
def test_every_first_ratio_is_one_whatever_the_statistics_do(small, cloned, tmp_path, states, kind):
    config = api.override(small, ONE_STEP | {"ppo.observation_statistics": kind})
    run = api.fine_tune(config, cloned, tmp_path / "run")
    updates = [x for x in run.metrics() if "ppo/approx_kl" in x]
    assert len(updates) == 6 == len(states) - 1
    assert max(abs(x["ppo/approx_kl"]) for x in updates) < 1e-6
    assert not any(x["ppo/clip_fraction"] for x in updates)
    clone = cloned.policy(1).policy.obs_stats
    for i, state in enumerate(states):
        for stats in (state.policy.obs_stats, state.average.obs_stats):
            steps = max(i - BURN_IN, 0) * 128 if kind == "adapt" else 0
            assert stats.count.tolist() == [clone.count + steps] * 2
            assert equal(clone, jax.tree.map(lambda x: x[1], stats)) == (steps == 0)
    # The burn-in is the critic's alone.
    start, burnt_in, after = states[0], states[BURN_IN], states[BURN_IN + 1]
    for name in ("policy", "average", "policy_opt"):
        assert equal(getattr(start, name), getattr(burnt_in, name))
        assert not equal(getattr(burnt_in, name), getattr(after, name))


def test_a_wrong_wish_is_answered_in_one_line():
    done = command(
        "jaxmaze.train", f"--config={CONFIG}:ppo", "--config.ppo.observation_statistics=thawed"
    )
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
    assert "config.ppo.observation_statistics" in done.stderr and "adapt" in done.stderr


class Reach(gym.Env):
    """A point on a line that is to be at a target, which is always the same without ``spread``."""

    observation_space = gym.spaces.Box(-2, 2, (2,), np.float32)
    action_space = gym.spaces.Discrete(3)

    def __init__(self, spread=0.0):
        self.spread = spread

    def see(self):
        return np.array([self.x, self.target], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.t = self.np_random.uniform(-1, 1), 0
        self.target = 0.2 + self.spread * self.np_random.uniform(-1, 1)
        return self.see(), {}

    def step(self, action):
        self.x, self.t = self.x + 0.15 * (int(action) - 1), self.t + 1
        return self.see(), -abs(self.x - self.target), False, self.t >= 20, {}


gym.register("Reach-v0", Reach)


def towards(obs):
    """The teacher."""
    left = obs[:, 1] - obs[:, 0]
    return np.where(np.abs(left) < 0.08, 1, np.where(left > 0, 2, 0))


@pytest.mark.slow
def test_what_was_constant_in_demonstrations_can_be_learned_from(tmp_path):
    config = api.make_config(
        {
            "env.id": "tests.stages.test_statistics:Reach-v0",
            "env.workers": 0,
            "members": 1,
            "rollout.n_episodes": 20,
            "rollout.policy": "tests.stages.test_statistics:towards",
            "bc.num_epochs": 10,
            "bc.eval_every": 0,
            "ppo.num_steps": 64,
            "ppo.total_env_steps": 30_000,
            "ppo.gamma": 0.9,
            "ppo.learning_rate": 1e-3,
            "ppo.audit": "report",
            "ppo.eval_every": 28,
            "evaluation.episodes": 100,
        }
    )
    taught = api.record(config, tmp_path / "taught")
    clone = api.clone(config, taught, tmp_path / "clone")
    origin = {"stage": "ppo", "ppo.init_from": str(clone.folder), "env.kwargs": {"spread": 1.0}}
    arms = {
        wish: (
            api.override(config, origin | {"ppo.observation_statistics": wish}),
            tmp_path / wish,
        )
        for wish in ("frozen", "auto")
    }
    summaries = ppo.run_arms(arms)
    frozen, adapted = (summaries[wish]["evaluation"]["mean"] for wish in arms)
    best = api.evaluate(arms["auto"][0], towards)["mean"]
    # A frozen deviation of 0.001 shows of any target only on which side it is.
    assert adapted > best - 1.0 and frozen < best - 3.0
