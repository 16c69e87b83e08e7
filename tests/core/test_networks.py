import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmaze.core.networks import Networks, orthogonal
from jaxmaze.core.observations import Observations
from jaxmaze.core.spaces import Box, Discrete, Spaces
from jaxmaze.core.types import NetworkSpec, Policy


def make(spaces):
    networks = Networks(spaces, NetworkSpec((8, 8), "relu"))
    return networks, Policy(networks.init_policy(np.random.SeedSequence(0)), networks.init_stats())


def test_shapes_of_any_batch_and_any_observation():
    networks, policy = make(Spaces(Observations.array(3, 2), Discrete(5)))
    for lead in ((), (4,), (2, 3)):
        obs = jnp.ones((*lead, 3, 2))
        action, log_prob = networks.act(policy, obs)
        assert action.shape == lead and log_prob.shape == lead
        assert (
            networks.value(
                networks.init_value(np.random.SeedSequence(1)), policy.obs_stats, obs
            ).shape
            == lead
        )


@pytest.mark.parametrize("shape", [(8, 64), (64, 64), (64, 3), (5, 1)])
def test_initial_weights_are_orthonormal(shape):
    for seed in range(3):
        w = orthogonal(np.random.default_rng(seed), shape, 2.0)
        assert w.shape == shape and w.dtype == np.float32
        gram = w @ w.T if shape[0] <= shape[1] else w.T @ w
        np.testing.assert_allclose(gram, 4 * np.eye(min(shape)), atol=1e-5)


def test_initial_weights_prefer_no_direction():
    rng = np.random.default_rng(0)
    many = np.stack([orthogonal(rng, (3, 3), 1.0) for _ in range(4000)])
    # Each entry of a uniformly distributed orthogonal matrix has mean 0 and variance 1/3.
    np.testing.assert_allclose(many.mean(0), 0.0, atol=0.05)
    np.testing.assert_allclose((many**2).mean(0), 1 / 3, atol=0.03)


def test_fresh_parameters_have_the_gains_of_their_layers():
    networks = Networks(Spaces(Observations.array(6), Box((-1, -1), (1, 1))), NetworkSpec((8, 4)))
    policy = networks.init_policy(np.random.SeedSequence(0))
    critic = networks.init_value(np.random.SeedSequence(0))
    for params, last in ((policy, 0.01), (critic, 1.0)):
        hidden = params["encoder"]
        layers = (
            (hidden["hidden_0"], 2**0.5),
            (hidden["hidden_1"], 2**0.5),
            (params["head"], last),
        )
        for layer, gain in layers:
            norms = np.linalg.svd(layer["kernel"], compute_uv=False)
            np.testing.assert_allclose(norms, gain, rtol=1e-5)
            assert not layer["bias"].any()
    assert not policy["log_std"].any()
    shapes = jax.tree.map(lambda x: x.shape, networks.policy_shapes())
    assert shapes == jax.tree.map(lambda x: x.shape, policy)


def test_continuous_actions_are_clipped_for_the_environment_only():
    networks, policy = make(Spaces(Observations.array(2), Box((-0.1, -1.0), (0.1, 1.0))))
    action, _ = networks.act(policy, jnp.ones((500, 2)), jax.random.key(0))
    assert float(jnp.abs(action).max()) > 1.0
    sent = np.asarray(networks.to_env(action))
    assert sent[:, 0].max() <= 0.1 + 1e-6 and sent[:, 1].min() >= -1.0


def test_a_fresh_policy_is_nearly_uniform():
    networks, policy = make(Spaces(Observations.array(2), Discrete(4)))
    dist = networks.distribution(policy.params, policy.obs_stats, jnp.ones((10, 2)))
    np.testing.assert_allclose(jax.nn.softmax(dist.logits), 0.25, atol=0.02)


def test_policy_and_value_see_observations_through_the_statistics():
    networks = Networks(Spaces(Observations.array(2), Discrete(3)), NetworkSpec((8,)))
    params, value = (
        f(np.random.SeedSequence(0)) for f in (networks.init_policy, networks.init_value)
    )
    obs = jnp.array([[1.0, -2.0], [0.5, 3.0]])
    stats = networks.init_stats()._replace(mean=np.array([2.0, -1.0]), var=np.array([4.0, 9.0]))
    seen = (obs - stats.mean) / np.array([2.0, 3.0])
    fresh = networks.init_stats()
    np.testing.assert_allclose(
        networks.value(value, stats, obs), networks.value(value, fresh, seen), atol=1e-5
    )
    np.testing.assert_allclose(
        networks.distribution(params, stats, obs).logits,
        networks.distribution(params, fresh, seen).logits,
        atol=1e-6,
    )
    assert not np.allclose(networks.value(value, stats, obs), networks.value(value, fresh, obs))
