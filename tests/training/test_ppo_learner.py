"""A population's members: who learns, who stays, whose critic is fitted, and to which data."""

from pathlib import Path

import jax
import numpy as np
import pytest

from jaxmaze import api
from jaxmaze import config as config_lib
from jaxmaze.core.observations import Observations
from jaxmaze.core.spaces import Discrete, Spaces
from jaxmaze.core.types import Policy, Rollout
from jaxmaze.errors import UserError
from jaxmaze.policies import build_networks
from jaxmaze.training import handover, ppo_arms
from jaxmaze.training.ppo_learner import Population, stop_if_diverged
from jaxmaze.training.ppo_update import Updater
from tests.core.test_ppo import rollout

SPACES = Spaces(Observations.array(2), Discrete(2))
SIZES = {"members": 2, "ppo.num_envs": 8, "ppo.num_steps": 32, "ppo.batch_size": 64}


def settings(small, **fields):
    changes = {f"ppo.{name}": value for name, value in fields.items()}
    return config_lib.to_settings(api.override(small, SIZES | changes))


def data(steps, value, reward):
    """One episode that ends, with the same action and reward at every step."""
    rng = np.random.default_rng(int(value))
    return handover.Demonstrations(
        rng.normal(size=(steps, 2)).astype(np.float32),
        np.full(steps, value, np.int32),
        np.full(steps, reward),
        np.zeros(steps, np.int32),
        np.zeros((1, 2), np.float32),
        np.zeros(1, bool),
    )


@pytest.fixture
def population(small):
    """Three arms: a clone that stays, one from scratch, and a clone that learns."""
    configs = [
        settings(small, init_from="clone", learning_rate=0.0),
        settings(small, init_from=None),
        settings(small, init_from="clone", cloning_coef=0.1),
    ]
    networks = build_networks(configs[0], SPACES)
    clones = [networks.init_policy(np.random.SeedSequence(100 + m)) for m in range(2)]
    stats = networks.init_stats()
    policies = jax.tree.map(lambda *x: np.stack(x), *[Policy(params, stats) for params in clones])
    origin = handover.Origin(policies, policies, {}, {})
    demos = ppo_arms.DemonstrationSets(None, None)
    demos.sets, demos.of_member = [data(40, 0, 1.0), data(70, 1, -1.0)], [0, 1, -1, -1, 0, 1]
    arms = [
        ppo_arms.Arm(str(i), config, Path(str(i)), slice(2 * i, 2 * i + 2), start)
        for i, (config, start) in enumerate(zip(configs, (origin, None, origin), strict=True))
    ]
    found = Population(arms, networks, demos, Updater(configs, networks))
    return found, policies


def at(tree, members):
    return jax.tree.map(lambda x: np.asarray(x)[members], tree)


def equal(a, b):
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: np.array_equal(x, y), a, b)))


def segment(found):
    """A segment for each learner, of its own."""
    state = at(found.whole(), found.learners)
    each = [
        rollout(found.networks, at(state, m), jax.random.key(m), lambda obs, a: obs[..., 0] * a)
        for m in range(len(found.learners))
    ]
    return jax.tree.map(lambda *x: np.stack(x), *each)


def test_members_start_with_their_clones_or_their_seeds(population):
    found, clones = population
    assert found.learners.tolist() == [2, 3, 4, 5] and len(found.seeds) == 6
    whole = found.whole()
    for members in ([0, 1], [4, 5]):
        assert equal(at(whole.policy, members), clones) and equal(
            at(whole.average, members), clones
        )
    assert not equal(at(whole.policy, [2, 3]), clones)
    # Critics are fresh, each from its seed, which arms share.
    assert equal(at(whole.value_params, [0, 1]), at(whole.value_params, [4, 5]))
    assert not equal(at(whole.value_params, 2), at(whole.value_params, 3))


def test_an_update_is_of_the_learners_alone_and_can_be_taken_back(population):
    found, clones = population
    before = found.whole()
    means = found.update(segment(found))
    assert all(x.shape == (4,) for x in means.values())
    after = found.whole()
    assert equal(at(after, [0, 1]), at(before, [0, 1]))
    assert equal(at(found.policies(), [0, 1]), clones)
    assert after.iteration.tolist() == [0, 0, 1, 1, 1, 1]
    assert not equal(at(after.value_params, [2, 3, 4, 5]), at(before.value_params, [2, 3, 4, 5]))
    found.restore(before)
    assert equal(found.whole(), before)


def test_environments_that_start_anew_reset_the_accumulators_alone(population):
    found, _ = population
    goes_on = segment(found)
    found.update(goes_on._replace(terminated=np.zeros_like(goes_on.terminated)))
    before = found.whole()
    assert np.abs(before.return_stats.accumulator[2:]).max() > 0
    found.reset_environments()
    after = found.whole()
    assert not after.return_stats.accumulator.any()
    cleared = before.return_stats._replace(accumulator=after.return_stats.accumulator)
    assert equal(after, before._replace(return_stats=cleared))


def test_critics_are_fitted_to_their_own_clones_data(population):
    found, _ = population
    before = found.whole()
    asked, figures = found.fit_critics()
    # The first arm does not learn, the second has no clone.
    assert asked.tolist() == [False] * 4 + [True] * 2
    assert (
        np.isnan(figures["value_loss"][:4]).all() and np.isfinite(figures["value_loss"][4:]).all()
    )
    after = found.whole()
    assert equal(after.policy, before.policy)
    assert equal(at(after, [0, 1, 2, 3]), at(before, [0, 1, 2, 3]))
    # Rewards of 1 in the one set, of -1 in the other.
    mean = after.return_stats.stats.mean[4:]
    assert mean[0] > 0 > mean[1]
    assert after.return_stats.stats.count.tolist() == [0, 0, 0, 0, 40, 70]


def test_a_fitted_critic_that_explains_nothing_starts_anew(population):
    found, _ = population
    fresh = found.whole()
    found.fit_critics()
    found.update(segment(found))
    before = found.whole()
    # Learners are members 2 to 5, of whom only 4 and 5 were fitted to demonstrations.
    explained, known = np.array([-1.0, 0.5, -0.5, 0.5]), np.ones(4)
    # Hardly a return is known: nothing can be said of the critics.
    assert not found.judge_critics(explained, 0.05 * known).any()
    assert equal(found.whole(), before)
    lost = found.judge_critics(explained, known)
    assert lost.tolist() == [False, False, True, False]
    after = found.whole()
    for name in ("value_params", "value_opt"):
        then, now, first = (getattr(x, name) for x in (before, after, fresh))
        assert equal(at(now, [0, 1, 2, 3, 5]), at(then, [0, 1, 2, 3, 5]))
        assert equal(at(now, 4), at(first, 4)) and not equal(at(then, 4), at(first, 4))
    same = {name: getattr(before, name) for name in ("value_params", "value_opt")}
    assert equal(after._replace(**same), before)


def test_each_learner_goes_on_cloning_from_rows_of_its_own(population):
    found, _ = population
    hyper = found._hyper
    rows = np.asarray(found._demos.action)
    for m, own in ((2, 0), (3, 1)):  # the learning clones
        first, count = int(hyper.demo_first[m]), int(hyper.demo_count[m])
        assert (rows[first : first + count] == own).all() and count == (40, 70)[own]
    assert len(rows) == 110


def test_what_is_not_finite_is_laid_to_the_environment_if_it_showed_such_observations():
    fine, bad = {"policy_loss": np.ones(2)}, {"policy_loss": np.array([1.0, np.nan])}
    zeros = np.zeros((2, 3, 4))

    def segment(**seen):
        return Rollout(**{"obs": zeros, "next_obs": zeros} | seen, **dict.fromkeys(rest, zeros))

    rest = ("action", "log_prob", "reward", "terminated", "truncated")
    stop_if_diverged(fine, segment(), 7, "Ball-v0")
    with pytest.raises(UserError, match=r"policy_loss not finite after 7 .*config.ppo.learning_r"):
        stop_if_diverged(bad, segment(), 7, "Ball-v0")
    for name in ("obs", "next_obs"):
        nan = {"a": zeros, "b": np.full((2, 3, 4, 2), np.nan)}
        with pytest.raises(UserError, match=r"^Ball-v0 gave an observation .* by step 7"):
            stop_if_diverged(bad, segment(**{name: nan}), 7, "Ball-v0")
