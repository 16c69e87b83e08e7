import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmaze.core import advantages, losses, normalization
from jaxmaze.core.distributions import Categorical


@pytest.mark.parametrize("jit", [False, True])
def test_clipped_loss_equals_the_naive_loop(jit):
    rng = np.random.default_rng(0)
    new, old, advantage, entropy = rng.normal(size=(4, 64)).astype(np.float32) * 0.5
    total, clipped, kl = 0.0, 0, 0.0
    for n, o, a in zip(new, old, advantage, strict=True):
        r = np.exp(n - o)
        total += min(r * a, min(max(r, 0.8), 1.2) * a)
        clipped += abs(r - 1) > 0.2
        kl += (r - 1) - (n - o)
    function = jax.jit(losses.clipped_policy_loss) if jit else losses.clipped_policy_loss
    loss = function(new, old, advantage, entropy, 0.2, 0.01)
    assert float(loss.surrogate) == pytest.approx(-total / 64, rel=1e-4)
    assert float(loss.loss) == pytest.approx(-total / 64 - 0.01 * entropy.mean(), rel=1e-4)
    assert float(loss.clip_fraction) == pytest.approx(clipped / 64)
    assert float(loss.approx_kl) == pytest.approx(kl / 64, rel=1e-4)


def test_gradient_at_ratio_one_is_the_policy_gradient_and_vanishes_when_clipped():
    def loss(log_prob, advantage):
        zero = jnp.zeros(1)
        out = losses.clipped_policy_loss(log_prob, zero, jnp.array([advantage]), zero, 0.2, 0.0)
        return out.loss

    assert float(jax.grad(loss)(jnp.zeros(1), 2.0)[0]) == pytest.approx(-2.0)
    assert float(jax.grad(loss)(jnp.array([0.5]), 2.0)[0]) == 0.0
    assert float(jax.grad(loss)(jnp.array([-0.5]), -2.0)[0]) == 0.0
    assert float(jax.grad(loss)(jnp.array([0.5]), -2.0)[0]) != 0.0


def test_cloning_loss_ignores_rows_of_weight_zero():
    logits = jnp.log(jnp.array([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]]))
    dist = Categorical(logits)
    loss, entropy = losses.cloning_loss(dist, jnp.array([0, 1, 1]), jnp.array([1.0, 0.0, 1.0]), 0.5)
    expected_entropy = (np.log(2) - (0.2 * np.log(0.2) + 0.8 * np.log(0.8))) / 2
    assert float(entropy) == pytest.approx(expected_entropy, rel=1e-5)
    expected = -(np.log(0.5) + np.log(0.8)) / 2 - 0.5 * expected_entropy
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_advantages_are_normalised_over_all_rows():
    x = np.random.default_rng(0).normal(5, 3, (8, 4)).astype(np.float32)
    out = np.asarray(losses.normalize_advantages(x))
    assert out.mean() == pytest.approx(0.0, abs=1e-5) and out.std() == pytest.approx(1.0, rel=1e-4)


def test_arrays_of_other_shapes_are_refused_and_not_broadcast():
    row, column = jnp.ones(4), jnp.ones((4, 1))
    with pytest.raises(AssertionError, match="shape"):
        losses.value_loss(row, column)
    with pytest.raises(AssertionError, match="shape"):
        losses.clipped_policy_loss(row, row, column, row, 0.2, 0.0)
    with pytest.raises(AssertionError, match="shape"):
        advantages.gae(column, row, column, column, column, 0.9, 0.9)
    with pytest.raises(AssertionError, match="shape"):
        advantages.explained_variance(row, column)
    with pytest.raises(AssertionError, match="shape"):
        normalization.update_stats(normalization.init_stats((3,)), jnp.ones((5, 2)))
