import jax
import jax.numpy as jnp
import numpy as np

from jaxmaze.core import normalization


def test_running_statistics_equal_those_of_all_data_at_once():
    rng = np.random.default_rng(0)
    parts = [rng.normal(3, 2, size=(n, 4)).astype(np.float32) for n in (1, 7, 50)]
    stats = normalization.init_stats((4,))
    for part in parts:
        stats = jax.jit(normalization.update_stats)(stats, part)
    whole = np.concatenate(parts)
    np.testing.assert_allclose(stats.mean, whole.mean(0), rtol=1e-5)
    np.testing.assert_allclose(stats.var, whole.var(0), rtol=1e-4)
    assert float(stats.count) == 58


def test_weights_of_zero_do_not_count():
    x = np.array([[1.0], [3.0], [100.0]])
    stats = normalization.update_stats(
        normalization.init_stats((1,)), x, jnp.array([1.0, 1.0, 0.0])
    )
    np.testing.assert_allclose(stats.mean, [2.0], rtol=1e-6)
    np.testing.assert_allclose(stats.var, [1.0], rtol=1e-6)
    nothing = normalization.update_stats(normalization.init_stats((1,)), x, jnp.zeros(3))
    assert float(nothing.mean[0]) == 0.0 and float(nothing.var[0]) == 1.0


def test_normalising_before_any_data_is_the_identity_and_large_values_are_clipped():
    stats = normalization.init_stats((2,))
    np.testing.assert_allclose(
        normalization.normalize(stats, jnp.array([0.5, 99.0])), [0.5, normalization.CLIP], rtol=1e-5
    )


def test_rewards_are_scaled_by_the_deviation_of_discounted_returns():
    rng = np.random.default_rng(1)
    reward = rng.normal(size=(30, 2)).astype(np.float32)
    done = (rng.random((30, 2)) < 0.1).astype(np.float32)
    returns, g = [], np.zeros(2)
    for t in range(30):
        g = 0.9 * g + reward[t]
        returns.append(g.copy())
        g = g * (1 - done[t])
    state, scaled = normalization.scale_rewards(
        normalization.init_return_stats(2), reward, done, jnp.float32(0.9)
    )
    np.testing.assert_allclose(scaled, reward / np.std(returns), rtol=1e-3)
    np.testing.assert_allclose(state.accumulator, g, rtol=1e-4)
