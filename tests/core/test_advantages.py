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
