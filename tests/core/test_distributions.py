import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxmaze.core.distributions import LOG_STD_MIN, Categorical, DiagGaussian


def test_categorical_by_hand():
    dist = Categorical(jnp.log(jnp.array([[0.5, 0.25, 0.25]])))
    np.testing.assert_allclose(dist.log_prob(jnp.array([1])), np.log([0.25]), rtol=1e-6)
    np.testing.assert_allclose(dist.entropy(), [1.5 * np.log(2)], rtol=1e-6)
    assert dist.mode().tolist() == [0]
    other = Categorical(jnp.zeros((1, 3)))
    np.testing.assert_allclose(dist.kl(other), [np.log(3) - 1.5 * np.log(2)], rtol=1e-5)
    np.testing.assert_allclose(dist.kl(dist), [0.0], atol=1e-7)


def test_gaussian_agrees_with_scipy():
    rng = np.random.default_rng(0)
    mean, log_std, x = rng.normal(size=(3, 4, 2))
    dist = DiagGaussian(jnp.asarray(mean), jnp.asarray(log_std))
    normal = stats.norm(mean, np.exp(log_std))
    np.testing.assert_allclose(dist.log_prob(x), normal.logpdf(x).sum(-1), rtol=1e-4)
    np.testing.assert_allclose(dist.entropy(), normal.entropy().sum(-1), rtol=1e-4)


def test_gaussian_kl_equals_a_sampled_one():
    a = DiagGaussian(jnp.array([0.3, -1.0]), jnp.array([-0.5, 0.2]))
    b = DiagGaussian(jnp.array([0.0, -0.5]), jnp.array([0.0, 0.0]))
    samples = jax.vmap(a.sample)(jax.random.split(jax.random.key(0), 100_000))
    sampled = float((a.log_prob(samples) - b.log_prob(samples)).mean())
    assert float(a.kl(b)) == pytest.approx(sampled, abs=0.01)


def test_gaussian_standard_deviation_has_a_floor():
    dist = DiagGaussian(jnp.zeros(1), jnp.array([-100.0]))
    assert float(dist.log_prob(jnp.zeros(1))) == pytest.approx(
        -LOG_STD_MIN - 0.5 * np.log(2 * np.pi)
    )


@pytest.mark.parametrize("jit", [False, True])
def test_samples_follow_the_probabilities(jit):
    p = np.array([0.7, 0.2, 0.1])
    dist = Categorical(jnp.broadcast_to(jnp.log(p), (20_000, 3)))
    sample = jax.jit(lambda d, k: d.sample(k)) if jit else (lambda d, k: d.sample(k))
    share = np.bincount(sample(dist, jax.random.key(1)), minlength=3) / 20_000
    np.testing.assert_allclose(share, p, atol=0.015)


def test_samples_and_densities_share_the_floor():
    dist = DiagGaussian(jnp.zeros((1, 1)), jnp.full((1, 1), -9.0))
    action = dist.pick(jnp.ones((1, 1)))
    np.testing.assert_allclose(action, [[np.exp(-3.0)]], rtol=1e-5)
    np.testing.assert_allclose(
        dist.log_prob(action), stats.norm(0, np.exp(-3)).logpdf(action)[0], rtol=1e-5
    )
