"""The critic fitted to demonstrations, against values known by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmaze.core import critic, normalization, ppo
from tests.core.test_ppo import NETWORKS, bits, hyper


def corridor(episodes, length, gamma, truncated):
    """Episodes of ``length`` steps with reward 1; the observation tells how far they are."""
    t = np.tile(np.arange(length), episodes)
    left = gamma ** (length - t)
    return critic.Returns(
        obs=jnp.asarray(np.stack([t / length, np.ones_like(t)], -1), jnp.float32),
        reward_to_go=jnp.asarray((1 - left) / (1 - gamma), jnp.float32),
        left=jnp.asarray(left * truncated, jnp.float32),
        episode=jnp.asarray(np.repeat(np.arange(episodes), length), jnp.int32),
        final_obs=jnp.ones((episodes, 2)),
        mean=jnp.float32(3.0),
        scale=jnp.float32(2.0),
    )


def fitted(truncated, epochs=200):
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), 4)
    returns = corridor(20, 10, 0.8, truncated)
    fit = jax.jit(critic.fit, static_argnums=(0, 1, 2))
    return state, *fit(NETWORKS, 32, epochs, state, returns, hyper(value_learning_rate=5e-3))


def test_values_of_terminated_episodes_are_their_returns():
    before, state, metrics = fitted(truncated=False)
    assert bits((state.policy, state.policy_opt)) == bits((before.policy, before.policy_opt))
    value = NETWORKS.value(state.value_params, state.policy.obs_stats, jnp.array([[0.0, 1.0]]))
    # (1 - 0.8^10) / (1 - 0.8) = 4.463, in units of the scale 2.
    assert float(value[0]) * 2 == pytest.approx(4.463, abs=0.15)
    assert float(metrics["explained_variance"]) > 0.98
    assert float(state.return_stats.stats.var) == pytest.approx(4.0)
    assert float(state.return_stats.stats.count) == 200
    # Returns like the demonstrations' leave the unit that the critic has learned as it is.
    like = 3.0 + 2.0 * jnp.where(jnp.arange(200) % 2 == 0, 1.0, -1.0)
    merged = normalization.update_stats(state.return_stats.stats, like)
    assert float(merged.var) == pytest.approx(4.0, rel=1e-4)


def test_values_of_truncated_episodes_go_on_beyond_the_cut():
    _, state, _ = fitted(truncated=True, epochs=400)
    value = NETWORKS.value(state.value_params, state.policy.obs_stats, jnp.array([[0.0, 1.0]]))
    # Reward 1 for ever is 1 / (1 - 0.8) = 5.
    assert float(value[0]) * 2 == pytest.approx(5.0, abs=0.35)


def test_targets_by_hand():
    state = ppo.init(NETWORKS, np.random.SeedSequence(1), 4)
    returns = corridor(2, 3, 0.5, True)
    beyond = NETWORKS.value(state.value_params, state.policy.obs_stats, jnp.ones((1, 2)))[0]
    expected = [1.75 / 2 + beyond / 8, 1.5 / 2 + beyond / 4, 1.0 / 2 + beyond / 2] * 2
    np.testing.assert_allclose(critic.targets(NETWORKS, state, returns), expected, rtol=1e-5)


def filled(returns, filler, count):
    """The same returns with rows that only fill up."""

    def fill(x):
        return jnp.concatenate([x, jnp.full((count, *x.shape[1:]), filler, x.dtype)])

    rows = len(returns.obs)
    return returns._replace(
        **{n: fill(getattr(returns, n)) for n in ("obs", "reward_to_go", "left")},
        episode=jnp.concatenate([returns.episode, jnp.zeros(count, jnp.int32)]),
        weight=jnp.concatenate([jnp.ones(rows), jnp.zeros(count)]),
    )


@pytest.mark.parametrize("count", [28, 300])
def test_rows_that_fill_up_have_no_influence(count):
    """Another member may have more data: that gives a critic neither other rows nor more steps."""
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), 4)
    returns = corridor(10, 10, 0.8, False)
    fit = jax.jit(critic.fit, static_argnums=(0, 1, 2))

    def run(returns):
        fitted, metrics = fit(NETWORKS, 32, 10, state, returns, hyper(value_learning_rate=5e-3))
        return fitted, {name: float(x) for name, x in metrics.items()}

    a, b = (run(filled(returns, filler, count)) for filler in (0.0, 7.0))
    assert bits(a[0].value_params) == bits(b[0].value_params) and a[1] == b[1]
    alone, metrics = run(returns)
    assert int(a[0].value_opt.count) == int(alone.value_opt.count) == 10 * 3
    assert float(a[0].return_stats.stats.count) == float(alone.return_stats.stats.count) == 100
    # Another order of the same rows, which makes little difference; more steps would make much.
    ours, theirs = (
        NETWORKS.value(s.value_params, s.policy.obs_stats, returns.obs) for s in (a[0], alone)
    )
    np.testing.assert_allclose(ours, theirs, atol=0.1)
    assert a[1]["value_loss"] == pytest.approx(metrics["value_loss"], rel=0.3)


def test_each_episode_goes_on_from_its_own_end():
    state = ppo.init(NETWORKS, np.random.SeedSequence(1), 4)
    ends = jnp.array([[3.0, 1.0], [-3.0, 1.0]])
    returns = corridor(2, 3, 0.5, True)._replace(final_obs=ends, reward_to_go=jnp.zeros(6))
    first, second = NETWORKS.value(state.value_params, state.policy.obs_stats, ends)
    expected = [first / 8, first / 4, first / 2, second / 8, second / 4, second / 2]
    np.testing.assert_allclose(critic.targets(NETWORKS, state, returns), expected, rtol=1e-5)
    assert abs(float(first - second)) > 0.1


@pytest.mark.parametrize("batch_size", [100, 128])
def test_in_one_batch_a_filled_up_critic_is_the_one_fitted_alone(batch_size):
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), 4)
    returns, h = corridor(10, 10, 0.8, False), hyper(value_learning_rate=5e-3)
    fit = jax.jit(critic.fit, static_argnums=(0, 1, 2))
    alone, _ = fit(NETWORKS, batch_size, 20, state, returns, h)
    among, _ = fit(NETWORKS, batch_size, 20, state, filled(returns, 7.0, 300), h)
    for a, b in zip(*map(jax.tree.leaves, (alone.value_params, among.value_params)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    assert int(alone.value_opt.count) == int(among.value_opt.count) == 20
