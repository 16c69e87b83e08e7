"""Learning does not depend on the unit of actions, from cloning to fine-tuning and what is left."""

import gymnasium as gym
import numpy as np
import pytest

import jaxmaze
from jaxmaze import api
from jaxmaze.core.spaces import Spaces
from jaxmaze.envs import environment
from jaxmaze.envs.episodes import Episode
from jaxmaze.errors import UserError
from jaxmaze.runs import checkpoint
from jaxmaze.stages import ppo
from jaxmaze.training import units
from tests.conftest import SMALL
from tests.unit_env import Teacher

TINY = {k: v for k, v in SMALL.items() if k != "env.max_episode_steps"} | {
    "env.id": "tests.unit_env:Units-v0",
    "members": 1,
    "rollout.n_episodes": 16,
    "bc.num_epochs": 12,
    "bc.learning_rate": 1e-2,
    "bc.batch_size": 32,
    "bc.eval_every": 0,
    "ppo.learning_rate": 5e-3,
    "ppo.cloning_coef": 0.1,
    "ppo.total_env_steps": 1536,
    "evaluation.episodes": 8,
}


def config(unit, bounded=True, **more):
    return api.make_config(TINY | {"env.kwargs": {"unit": unit, "bounded": bounded}, **more})


def made(folder, unit, bounded):
    """A clone and what PPO made of it, in some unit."""
    settings = config(unit, bounded)
    data = api.record(settings, folder / "data", policy=Teacher(unit))
    clone = api.clone(settings, data, folder / "clone")
    return clone, api.fine_tune(settings, clone, folder / "tuned")


@pytest.fixture(scope="module", params=[True, False], ids=["bounded", "unbounded"])
def runs(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("units")
    each = (0.01, 1.0, 200.0) if request.param else (1.0, 200.0)
    return request.param, {unit: made(folder / str(unit), unit, request.param) for unit in each}


def losses(run):
    names = ("imitation/policy_loss", "imitation/box_mean_abs_deviation", "ppo/action_std")
    names += ("ppo/approx_kl", "ppo/value_loss", "critic_fit/explained_variance")
    found = {n: [line[n] for line in run.metrics() if n in line] for n in names}
    return {name: values for name, values in found.items() if values}


@pytest.mark.slow
def test_cloning_and_fine_tuning_are_the_same_in_every_unit(runs):
    by_unit = dict(runs[1])
    seen = set()
    for one, *others in zip(by_unit.pop(1.0), *by_unit.values(), strict=True):
        expected = losses(one)
        seen |= set(expected)
        for other in others:
            found = losses(other)
            assert set(found) == set(expected)
            for name, values in expected.items():
                np.testing.assert_allclose(found[name], values, rtol=2e-3, atol=2e-4, err_msg=name)
            for which in ("evaluation", "last"):
                if which in one.summary:
                    a, b = one.summary[which]["mean"], other.summary[which]["mean"]
                    assert b == pytest.approx(a, rel=1e-3, abs=1e-3)
    assert {"imitation/policy_loss", "ppo/action_std", "ppo/value_loss"} <= seen
    clone, tuned = by_unit[200.0]
    assert tuned.summary["last"]["mean"] > clone.summary["evaluation"]["mean"] + 0.05  # it learned


@pytest.mark.slow
def test_actions_come_in_the_environments_unit(runs, tmp_path):
    bounded, by_unit = runs
    obs = np.random.default_rng(0).uniform(-1, 1, (64, 3)).astype(np.float32)
    for unit, (clone, tuned) in by_unit.items():
        actions = jaxmaze.load_policy(clone.folder)(obs)
        assert np.abs(actions / unit - Teacher(1.0)(obs)).mean() < 0.1
        assert tuned.summary["audit"]["max_log_prob_difference"] == 0
        assert tuned.summary["audit"]["difference"] == ""
        if bounded:
            sampled = jaxmaze.load_policy(tuned.folder)(np.tile(obs, (50, 1)), seed=0)
            assert np.abs(sampled).max() == np.float32(unit)
    policy, folder = jaxmaze.load_policy(by_unit[200.0][1].folder), by_unit[200.0][1].folder
    jaxmaze.export(folder, tmp_path / "npz", "npz")  # proves log-probabilities and modes
    arrays = dict(np.load(tmp_path / "npz" / "policy.npz"))
    assert arrays["action_scale"].shape == arrays["action_middle"].shape == (2,)
    assert "action_scale" in (tmp_path / "npz" / "read_policy.py").read_text()
    assert policy.networks.spaces.action.units is not None


@pytest.mark.slow
def test_standard_deviations_come_down_to_where_they_are_to_end(tmp_path):
    """From the clone's, and from 1 without one; in a straight line of logarithms at most."""
    given = {"ppo.final_std": 0.05, "ppo.num_envs": 4, "ppo.num_steps": 32, "members": 2}
    more = {"ppo.entropy_coef": 0.3, "ppo.critic_burn_in": 2, "ppo.burn_in_until": None}
    settings = config(1.0, **given, **more)
    data = api.record(settings, tmp_path / "data", policy=Teacher(1.0))
    clone = api.clone(settings, data, tmp_path / "clone")
    for arm, start in (("tuned", clone), ("scratch", None)):
        run = api.fine_tune(settings, start, tmp_path / arm)
        entries = [line["members"] for line in run.metrics() if "ppo/action_std" in line]
        each = np.array([entry["ppo/action_std"] for entry in entries])
        burnt_in = 2 if start else 0
        begins = [
            x["members"]["handover/action_std"] for x in run.metrics() if "handover" in str(x)
        ]
        begin = np.array(begins[0]) if start else np.ones(2)
        left = 1 - np.arange(len(each) - burnt_in) / (len(each) - burnt_in)
        limit = 0.05 * (begin / 0.05) ** left[:, None]
        # The entropy bonus pushes against the limit, where the dimension that is widest begins.
        assert (each[burnt_in:] <= 1.5 * limit).all() and (each[burnt_in:] > 0.5 * limit).all()
        assert each[-1].max() < 0.075 < 0.2 < each[0].min()


@pytest.mark.slow
def test_dagger_finds_the_unit_of_unbounded_actions_from_its_teacher(tmp_path):
    found = {}
    for unit in (1.0, 200.0):
        settings = config(unit, False)
        run = api.dagger(settings, tmp_path / f"{unit}", Teacher(unit))
        found[unit] = load(run).spaces.action.units.scale[0] / unit, run.summary["last"]["mean"]
    tuned = api.fine_tune(settings, run, tmp_path / "tuned")
    assert tuned.summary["audit"]["max_log_prob_difference"] == 0
    np.testing.assert_allclose(found[200.0], found[1.0], rtol=1e-3, atol=1e-3)
    assert 0.1 < found[1.0][0] < 0.6


def test_the_unit_is_that_of_what_was_shown_not_of_what_was_done_instead(tmp_path):
    boxes = (gym.spaces.Box(-x, x, (1,), np.float32) for x in (1.0, np.inf))
    rng = np.random.default_rng(0)
    done, shown = rng.normal(0, 50, (40, 1)), rng.normal(3, 2, (40, 1))
    episode = Episode(0, 0, np.zeros((41, 1)), done, np.zeros(40), True, shown)
    found = units.spaces_of(tmp_path / "new", environment.of_spaces(*boxes), [episode])
    assert found.action.units.middle == pytest.approx((shown.mean(),))
    assert found.action.units.scale == pytest.approx((shown.std(),))


def load(run):
    return checkpoint.load_best(run.folder)[0]


@pytest.mark.slow
def test_runs_of_a_version_without_units_are_read_and_taken_over_as_they_were(
    tmp_path, monkeypatch
):
    settings = config(4.0)
    data = api.record(settings, tmp_path / "data", policy=Teacher(4.0))
    with monkeypatch.context() as before:
        before.setattr(Spaces, "in_units", lambda self, actions=None: self)
        old = api.clone(settings, data, tmp_path / "old")
    assert load(old).spaces.action.units is None
    obs = np.random.default_rng(0).uniform(-1, 1, (8, 3)).astype(np.float32)
    played = jaxmaze.load_policy(old.folder)(obs)
    assert np.abs(played / 4 - Teacher(1.0)(obs)).mean() < 0.2
    tuned = api.fine_tune(settings, old, tmp_path / "tuned")
    assert tuned.summary["audit"]["max_log_prob_difference"] == 0
    assert load(tuned).spaces.action.units is None
    assert api.evaluate(settings, old.folder)["mean"] > -1
    # What is resumed keeps its units too.
    info = environment.describe(environment.EnvConfig.of(settings.env))
    assert units.spaces_of(old.folder, info, ()).action.units is None
    assert units.spaces_of(tmp_path / "none", info, ()).action.units.scale == (4.0, 4.0)
    # Side by side with a clone of now, they could not be members of one program.
    new = api.clone(settings, data, tmp_path / "new")
    arms = {}
    for name, run in (("a", old), ("b", new)):
        arm = api.override(settings, {"stage": "ppo", "ppo.init_from": str(run.folder)})
        arms[name] = (api.config_lib.to_settings(arm), tmp_path / name)
    with pytest.raises(UserError, match="different units of actions"):
        ppo.run_arms(arms)
