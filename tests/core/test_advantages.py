import jax
import numpy as np
import pytest

from jaxmaze.core import advantages


def naive_gae(reward, value, next_value, terminated, truncated, gamma, lam):
    """The definition, one environment and one step at a time."""
    steps, envs = reward.shape
    out = np.zeros_like(reward)
    for n in range(envs):
        for t in range(steps):
            weight, total = 1.0, 0.0
            for k in range(t, steps):
                alive = 0.0 if terminated[k, n] else 1.0
                delta = reward[k, n] + gamma * alive * next_value[k, n] - value[k, n]
                total += weight * delta
                if terminated[k, n] or truncated[k, n]:
                    break
                weight *= gamma * lam
            out[t, n] = total
    return out


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("gamma,lam", [(0.99, 0.95), (1.0, 1.0), (0.9, 0.0)])
def test_gae_equals_the_naive_loop(jit, gamma, lam):
    rng = np.random.default_rng(0)
    shape = (12, 5)
    reward, value, next_value = rng.normal(size=(3, *shape)).astype(np.float32)
    terminated = (rng.random(shape) < 0.2).astype(np.float32)
    truncated = ((rng.random(shape) < 0.2) * (1 - terminated)).astype(np.float32)
    gae = jax.jit(advantages.gae) if jit else advantages.gae
    advantage, target = gae(reward, value, next_value, terminated, truncated, gamma, lam)
    expected = naive_gae(reward, value, next_value, terminated, truncated, gamma, lam)
    np.testing.assert_allclose(advantage, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(target, expected + value, rtol=1e-4, atol=1e-5)


def test_gae_by_hand_bootstraps_from_truncation_but_not_from_termination():
    reward = np.array([[1.0, 1.0], [1.0, 1.0]])
    value = np.array([[0.5, 0.5], [0.5, 0.5]])
    next_value = np.array([[10.0, 10.0], [2.0, 2.0]])
    terminated = np.array([[1.0, 0.0], [0.0, 0.0]])
    truncated = np.array([[0.0, 1.0], [0.0, 0.0]])
    advantage, _ = advantages.gae(reward, value, next_value, terminated, truncated, 0.5, 1.0)
    # first step: 1 - 0.5 if terminated; 1 + 0.5 * 10 - 0.5 if truncated; both cut the trace.
    np.testing.assert_allclose(advantage, [[0.5, 5.5], [1.5, 1.5]])


def test_explained_variance():
    target = np.array([1.0, 2.0, 3.0, 4.0])
    assert float(advantages.explained_variance(target, target)) == pytest.approx(1.0)
    assert float(advantages.explained_variance(np.zeros(4), target)) == pytest.approx(0.0)
    assert float(advantages.explained_variance(-target, target)) == pytest.approx(-3.0)
    assert float(advantages.explained_variance(target, np.ones(4))) == 0.0


def test_monte_carlo_returns_equal_the_naive_loop_and_know_what_they_know():
    rng = np.random.default_rng(3)
    shape, gamma = (40, 6), 0.9
    reward, next_value = rng.normal(size=(2, *shape)).astype(np.float32)
    terminated = (rng.random(shape) < 0.05).astype(np.float32)
    truncated = ((rng.random(shape) < 0.05) * (1 - terminated)).astype(np.float32)
    found, known = jax.jit(advantages.monte_carlo)(reward, next_value, terminated, truncated, gamma)
    expected, sure = np.zeros(shape), np.zeros(shape)
    for n in range(shape[1]):
        for t in range(shape[0]):
            total, discount = 0.0, 1.0
            for k in range(t, shape[0]):
                total += discount * reward[k, n]
                discount *= gamma
                if terminated[k, n] or truncated[k, n]:
                    break
            beyond = 0.0 if terminated[k, n] else discount
            expected[t, n], sure[t, n] = total + beyond * next_value[k, n], beyond <= 0.05
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(known, sure)
    assert 0.2 < sure.mean() < 0.9


def test_a_critic_that_knows_nothing_explains_lambda_returns_but_no_monte_carlo_returns():
    """A random walk of values: the targets are the values again, the rewards have none of it."""
    rng = np.random.default_rng(4)
    value = np.cumsum(rng.normal(size=(201, 8)), 0).astype(np.float32)
    reward = rng.normal(size=(200, 8)).astype(np.float32)
    terminated = np.zeros((200, 8), np.float32)
    terminated[[60, 130, 199]] = 1
    ends = (terminated, np.zeros_like(terminated))
    _, target = advantages.gae(reward, value[:-1], value[1:], *ends, 0.99, 0.8)
    returns, known = advantages.monte_carlo(reward, value[1:], *ends, 0.99)
    assert float(advantages.explained_variance(value[:-1], target)) > 0.5
    assert float(advantages.explained_variance(value[:-1], returns, known)) < 0.1
    assert known.min() == 1
