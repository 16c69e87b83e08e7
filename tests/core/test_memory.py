"""The GRU: by hand, step by step and in sequences, and as it begins."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxmaze.core.memory import GRU, DeltaGRU, Memory
from jaxmaze.core.networks import Networks
from jaxmaze.core.observations import Observations
from jaxmaze.core.spaces import Discrete, Spaces
from jaxmaze.core.types import NetworkSpec, Policy

SPEC = NetworkSpec((6,), "tanh", "mlp", "gru", 5)
NETWORKS = Networks(Spaces(Observations.array(3), Discrete(4)), SPEC)


def by_hand(params, x, h):
    """One step, as the formula says, in numpy."""

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    w, b = np.split(params["input"]["kernel"], 3, 1), np.split(params["input"]["bias"], 3)
    u = np.split(params["recurrent"]["kernel"], 3, 1)
    r = sigmoid(x @ w[0] + b[0] + h @ u[0])
    z = sigmoid(x @ w[1] + b[1] + h @ u[1])
    n = np.tanh(x @ w[2] + b[2] + r * (h @ u[2]))
    return (1 - z) * n + z * h


def test_the_gru_is_its_formula_in_steps_and_in_sequences():
    rng = np.random.default_rng(0)
    params = {
        "input": {"kernel": rng.normal(size=(3, 15)), "bias": rng.normal(size=15)},
        "recurrent": {"kernel": rng.normal(size=(5, 15))},
    }
    params = jax.tree.map(np.float32, params)
    x = rng.normal(size=(7, 2, 3)).astype(np.float32)
    begin = np.zeros((7, 2), np.float32)
    begin[3, 0] = begin[5, 1] = 1.0
    carry = rng.normal(size=(2, 5)).astype(np.float32)
    passed, carries = GRU(5).apply({"params": params}, x, carry, begin)
    np.testing.assert_array_equal(passed, carries)
    wanted, step = carry, carry
    for t in range(7):
        wanted = by_hand(params, x[t], wanted * (1 - begin[t])[:, None])
        np.testing.assert_allclose(passed[t], wanted, atol=1e-5)
        step, _ = GRU(5).apply({"params": params}, x[t], step, begin[t])
        np.testing.assert_allclose(step, wanted, atol=1e-5)
    # Where an episode begins, nothing is left of what was before.
    other, _ = GRU(5).apply({"params": params}, x, carry + 1, begin)
    np.testing.assert_array_equal(other[3:, 0], passed[3:, 0])
    assert np.abs(other[:3] - passed[:3]).max() > 1e-2


def test_recurrent_kernels_are_orthogonal_gate_by_gate():
    params = NETWORKS.init_policy(np.random.SeedSequence(0))
    assert set(params) == {"encoder", "memory", "head"}
    for part in np.split(params["memory"]["recurrent"]["kernel"], 3, 1):
        np.testing.assert_allclose(part @ part.T, np.eye(5), atol=1e-5)
    for part in np.split(params["memory"]["input"]["kernel"], 3, 1):
        np.testing.assert_allclose(part.T @ part, np.eye(5), atol=1e-5)
    assert not params["memory"]["input"]["bias"].any()


def test_a_delta_gru_is_a_gru_that_sees_scaled_changes():
    networks = NETWORKS.__class__(NETWORKS.spaces, SPEC._replace(memory="delta_gru"))
    params = networks.init_policy(np.random.SeedSequence(0))["memory"]
    assert networks.carry_size == 10 and params["seen"]["kernel"].any()
    params["gain"] = np.log(np.arange(2, 7, dtype=np.float32))
    rng = np.random.default_rng(0)
    x, carry = rng.normal(size=(4, 6)).astype(np.float32), rng.normal(size=10).astype(np.float32)
    begin = np.array([0, 0, 1, 0], np.float32)
    units, carries = DeltaGRU(5).apply({"params": params}, x, carry, begin)
    h, before, step = carry[:5], carry[5:], carry
    for t in range(4):
        seen = x[t] @ params["seen"]["kernel"]
        change = (seen - before) * np.arange(2, 7) * (1 - begin[t])
        h = by_hand(params["gru"], np.concatenate([x[t], change]), h * (1 - begin[t]))
        np.testing.assert_allclose(units[t], h, atol=1e-5)
        _, step = DeltaGRU(5).apply({"params": params}, x[t], step, begin[t])
        np.testing.assert_allclose(step, carries[t], atol=1e-5)
        before = seen


def test_networks_without_memory_have_nothing_of_it():
    plain = Networks(NETWORKS.spaces, NetworkSpec((6,)))
    assert plain.carry_size == 0 and set(plain.policy_shapes()) == {"encoder", "head"}
    assert plain.blank(np.ones((3, 2))) is None and NETWORKS.carry_size == 5


def test_a_network_acts_in_steps_as_it_is_judged_in_sequences():
    params = NETWORKS.init_policy(np.random.SeedSequence(1))
    params["head"]["kernel"] *= 100
    policy = Policy(params, NETWORKS.init_stats())
    rng = np.random.default_rng(1)
    obs = rng.normal(size=(6, 2, 3)).astype(np.float32)
    begin = np.zeros((6, 2), np.float32)
    begin[0] = begin[4, 1] = 1.0
    dist, carries = NETWORKS.follow(*policy, obs, NETWORKS.blank(begin))
    carry = jnp.zeros((2, 5))
    for t in range(6):
        one, carry = NETWORKS.step(policy, obs[t], carry, begin[t])
        np.testing.assert_allclose(one.logits, dist.logits[t], atol=1e-5)
        np.testing.assert_allclose(carry, carries[t], atol=1e-5)
    single = NETWORKS.distribution(*policy, obs)
    np.testing.assert_allclose(single.logits[0], dist.logits[0], atol=1e-5)
    assert np.abs(single.logits[3] - dist.logits[3]).max() > 1e-3


def test_the_critic_values_what_follows_with_what_it_remembers():
    params, stats = NETWORKS.init_value(np.random.SeedSequence(0)), NETWORKS.init_stats()
    rng = np.random.default_rng(0)
    obs = rng.normal(size=(5, 3, 3)).astype(np.float32)
    begin = np.zeros((5, 3), np.float32)
    begin[2, 1] = 1.0
    memory = Memory(rng.normal(size=(3, 5)).astype(np.float32), begin)
    value, beyond, carry = NETWORKS.values_in_turn(params, stats, obs, np.roll(obs, -1, 0), memory)
    wanted, carries = NETWORKS.follow_value(params, stats, obs, memory)
    np.testing.assert_allclose(value, wanted, atol=1e-6)
    np.testing.assert_allclose(carry, carries[-1], atol=1e-6)
    # What follows a step is the next one's observation, but where another episode begins there.
    same = begin[1:] == 0
    np.testing.assert_allclose(beyond[:-1][same], value[1:][same], atol=1e-5)
    assert (np.abs(beyond[:-1] - value[1:])[~same] > 1e-4).all()
