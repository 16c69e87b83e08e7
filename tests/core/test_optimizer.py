import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmaze.core import optimizer


@pytest.mark.parametrize("size", [1.0, 1e-5])
def test_steps_equal_optax(size):
    # Gradients above the limit, and ones so far below that their size matters to Adam.
    params = {"w": jnp.array([1.0, -2.0]), "b": jnp.array(0.5)}
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-2, eps=1e-5, weight_decay=0.1))
    theirs, their_state = params, tx.init(params)
    ours, our_state = params, optimizer.init(params)
    for i in range(5):
        grads = jax.tree.map(lambda p, i=i: size * (p * (i + 1) + 0.1), ours)
        updates, their_state = tx.update(grads, their_state, theirs)
        theirs = optax.apply_updates(theirs, updates)
        ours, our_state, norm = optimizer.step(ours, our_state, grads, 1e-2, 1.0, 0.1)
        assert float(norm) == pytest.approx(float(optax.tree.norm(grads)), rel=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), ours, theirs)


def test_learning_rate_zero_keeps_every_bit():
    params = {"w": jnp.asarray(np.random.default_rng(0).normal(size=100).astype(np.float32))}
    after, _, _ = optimizer.step(params, optimizer.init(params), params, 0.0, 0.5, 0.1)
    assert np.asarray(after["w"]).tobytes() == np.asarray(params["w"]).tobytes()
