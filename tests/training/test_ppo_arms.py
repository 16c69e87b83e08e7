"""Settings of runs that train together: each in its place, and only where it means something."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jaxmaze import api
from jaxmaze import config as config_lib
from jaxmaze.core import normalization, ppo
from jaxmaze.core.box_actions import Box
from jaxmaze.core.composite_actions import Composite
from jaxmaze.core.discrete_actions import Discrete, MultiDiscrete
from jaxmaze.core.types import Policy
from jaxmaze.training import handover, ppo_arms

OF_CLONES = ("critic_burn_in", "anchor_coef", "cloning_coef")
OF_STATISTICS = ("adapt_stats", "keep_outputs", "adapt_above")
FIELDS = sorted(
    {*ppo.Hyper._fields}
    - {*OF_STATISTICS, "entropy_target", "start_std", "demo_first", "demo_count"}
)


def hyper(small, origin, action=None, **fields):
    config = api.override(small, {f"ppo.{name}": value for name, value in fields.items()})
    arm = ppo_arms.Arm("arm", config, Path("arm"), slice(0, 2), origin)
    return ppo_arms.hyper(arm, Discrete(4) if action is None else action)


def test_each_setting_is_its_own_and_what_is_a_clones_is_nobody_elses(small):
    # All different, and all within their ranges.
    given = {name: 0.31 + 0.01 * i for i, name in enumerate(FIELDS)} | {"critic_burn_in": 5}
    for origin in (SimpleNamespace(policies=Policy({}, None)), None):
        found = hyper(small, origin, **given)
        for name, value in given.items():
            expected = 0.0 if origin is None and name in OF_CLONES else value
            np.testing.assert_allclose(getattr(found, name), [expected] * 2, rtol=1e-6)


def test_deviations_are_limited_from_where_each_member_starts(small):
    params = {"log_std": np.log([[0.1, 0.4], [0.3, 0.2]])}
    numbers, origin = Box((-1.0,) * 2, (1.0,) * 2), SimpleNamespace(policies=Policy(params, None))
    found = hyper(small, origin, numbers, final_std=0.05)
    np.testing.assert_allclose(found.start_std, [0.4, 0.3], rtol=1e-6)
    np.testing.assert_allclose(found.final_std, [0.05] * 2, rtol=1e-6)
    assert (hyper(small, None, numbers, final_std=0.05).start_std == 1).all()
    assert np.isinf(hyper(small, origin, numbers).final_std).all()


def test_an_entropy_is_held_for_choices_alone(small):
    numbers, pairs = Box((-1.0,), (1.0,)), MultiDiscrete((2, 4))
    both = Composite((numbers, Discrete(4)), ("a", "b"))
    for origin in (object(), None):
        for action, share, wanted in (
            (None, None, 0.5 * np.log(4)),
            (None, 0.25, 0.25 * np.log(4)),
            (pairs, 1.0, np.log(8)),
            (numbers, None, np.inf),
            (both, 0.5, np.inf),
        ):
            asked = {"entropy_schedule": "target", "start_exploration": share}
            found = hyper(small, origin, action, **asked).entropy_target
            np.testing.assert_allclose(found, [wanted] * 2, rtol=1e-6)
        for other in ("constant", "linear"):
            assert np.isinf(hyper(small, origin, entropy_schedule=other).entropy_target).all()


@pytest.mark.parametrize("origin", [object(), None], ids=["clone", "scratch"])
@pytest.mark.parametrize(
    ("wish", "wanted"),
    [
        ("adapt", (1, 1, -1)),
        ("constant", (1, 1, ppo_arms.CLIPPED)),
        ("running", (1, 0, -1)),
        ("frozen", (0, 0, -1)),
        ("auto", None),
    ],
)
def test_statistics_adapt_as_they_are_wished(small, origin, wish, wanted):
    wanted = wanted or ((1, 0, -1) if origin is None else (0, 0, -1))
    found = hyper(small, origin, observation_statistics=wish)
    for name, value in zip(OF_STATISTICS, wanted, strict=True):
        np.testing.assert_allclose(getattr(found, name), [value] * 2, rtol=1e-6)
    fields = {"ppo.observation_statistics": wish, "ppo.init_from": origin and "clone"}
    configs = [api.override(small, fields)]
    assert ppo_arms.static(configs).keeps_outputs == bool(wanted[1])
    # One arm's wish is enough for the program of all.
    assert ppo_arms.static([small, *configs]).keeps_outputs == bool(wanted[1])


def test_what_was_constant_in_demonstrations_is_noticed(small, capsys):
    auto = config_lib.to_settings(api.override(small, {"ppo.init_from": "clone"}))

    def settled(var, config=auto):
        stats = normalization.RunningStats(np.full(2, 9.0), np.zeros((2, 3)), np.array(var))
        given = handover.Given(Path("clone"), Policy({}, stats), 2, None)
        return ppo_arms.settled(config, given).ppo.observation_statistics

    assert settled([[1.0, 1e-4, 1]] * 2) == "auto" and not capsys.readouterr().out
    assert settled([[1.0, 1e-4, 1], [1, 1e-4, 1e-12]]) == "constant"
    assert "1 of 3 features" in capsys.readouterr().out
    frozen = auto.replace("ppo", observation_statistics="frozen")
    assert settled([[0.0] * 3] * 2, frozen) == "frozen"
    images = handover.Given(Path("x"), Policy({}, normalization.init_stats((0,))), 2, None)
    assert ppo_arms.settled(auto, images) is auto is ppo_arms.settled(auto, None)


def test_arms_of_one_program_let_go_of_their_clones_at_their_own_time(small):
    for fraction in (0.2, 1.0):
        found = hyper(small, "clone", anchor_coef=0.5, anchor_fraction=fraction)
        np.testing.assert_allclose(found.anchor_fraction, [fraction] * 2, rtol=1e-6)
        np.testing.assert_allclose(found.anchor_coef, [0.5] * 2)


def test_what_is_not_set_has_no_effect(small):
    found = hyper(
        small,
        None,
        learning_rate=0.02,
        value_learning_rate=None,
        target_kl=None,
        anchor_target_kl=None,
        burn_in_until=None,
    )
    assert found.value_learning_rate == pytest.approx(0.02)
    for name in ("target_kl", "anchor_target_kl", "burn_in_until"):
        assert np.isinf(getattr(found, name)).all()


def test_iterations_fit_into_the_steps_and_checkpoints_are_two_episodes_apart(small):
    sizes = {"ppo.num_envs": 4, "ppo.num_steps": 32, "ppo.eval_every": 3}
    config = api.override(small, sizes | {"ppo.total_env_steps": 1000})
    assert ppo_arms.num_iterations(config) == 7
    # An episode of 200 steps is 2.1 times 3 x 32 steps.
    assert [ppo_arms.checkpoint_every(config, limit) for limit in (200, 48, 49)] == [15, 3, 6]
