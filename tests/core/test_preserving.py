"""Observation statistics change, and what the networks compute does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmaze.core import normalization, optimizer, ppo, preserving
from jaxmaze.core.memory import Memory
from jaxmaze.core.networks import Networks
from jaxmaze.core.observation_kinds import Binary, Image, OneHot
from jaxmaze.core.observations import Observations, Part
from jaxmaze.core.spaces import Discrete, Spaces
from jaxmaze.core.types import NetworkSpec
from jaxmaze.training import ppo_update
from tests.core.test_ppo import NETWORKS, STATIC, N, T, bits, hyper, rollout

KEEPS = STATIC._replace(keeps_outputs=True)
ADAPTS = {"adapt_stats": 1.0, "keep_outputs": 1.0}
VECTOR = Observations.array(3)
PARTS = Observations(
    (
        Part(("a",), (2,)),
        Part(("b",), (), kind=OneHot((4,), (0,))),
        Part(("c",), (3,), kind=Binary()),
        Part(("d",), (36, 36), "uint8", Image("HW")),
        Part(("e",), (1,)),
    )
)
_update = jax.jit(ppo.update, static_argnums=(0, 1))


def stats_of(rows):
    return normalization.update_stats(
        normalization.init_stats(rows.shape[1:]), np.asarray(rows, np.float32)
    )


def features(stats, rows):
    """Normalised features, computed one by one."""
    out = np.zeros(rows.shape)
    for i, row in enumerate(rows):
        for j, x in enumerate(row):
            std = np.sqrt(float(stats.var[j]) + normalization.EPSILON)
            out[i, j] = np.clip((float(x) - float(stats.mean[j])) / std, -10, 10)
    return out


def changed(before, rows, weight=None):
    """Statistics of old data and rows, and the change to them."""
    old = stats_of(before)
    new = normalization.update_stats(old, rows, weight)
    return old, new, preserving.change_between(old, new, rows, weight)


def test_old_features_are_a_linear_function_of_new_ones():
    rng = np.random.default_rng(0)
    before = rng.normal([1, -200, 0.5], [2, 30, 0.01], (50, 3)).astype(np.float32)
    rows = rng.normal([3, -100, 0.5], [1, 50, 0.02], (80, 3)).astype(np.float32)
    old, new, change = changed(before, rows)
    z, x = features(old, rows), features(new, rows)
    assert 4 < np.abs(z).max() < 9.9 and not np.allclose(change.scale, 1, atol=0.1)
    np.testing.assert_allclose(change.scale * x + change.offset, z, atol=1e-4)


def test_clipped_features_get_the_nearest_line_of_all_data():
    rng = np.random.default_rng(1)
    # The second is constant at first, the third far away later, the fourth never clipped.
    before = rng.normal([0, 5, 0, 0], [1, 0, 1, 1], (300, 4)).astype(np.float32)
    rows = rng.normal([0, 5, 40, 1], [6, 0.3, 5, 1], (100, 4)).astype(np.float32)
    rows[7] = 1e6  # does not count
    weight = np.ones(100, np.float32)
    weight[7] = 0
    old, new, change = changed(before, rows, weight)
    both = np.concatenate([before, np.delete(rows, 7, 0)])
    z, x = features(old, both), features(new, both)
    assert ((np.abs(z) > 9.99).any(0) == [True, True, True, False]).all()
    for j in range(3):
        line = np.polyfit(x[:, j], z[:, j], 1)
        np.testing.assert_allclose((change.scale[j], change.offset[j]), line, rtol=2e-3)
    np.testing.assert_allclose(change.scale[3] * x[:, 3] + change.offset[3], z[:, 3], atol=1e-4)


def test_weights_of_what_was_constant_stay_small():
    rng = np.random.default_rng(2)
    for spread in (0.1, 1.0, 1000.0):
        rows = rng.normal(7, spread, (4096, 1)).astype(np.float32)
        old, new, change = changed(np.full((1000, 1), 7.0), rows)
        ratio = float(np.sqrt((new.var + normalization.EPSILON) / (old.var + 1e-6))[0])
        assert ratio > 50 and 0.1 < float(change.scale[0]) < normalization.CLIP
    _, _, jump = changed(np.zeros((1000, 1)), np.full((4096, 1), 3.0, np.float32))
    assert 0.1 < float(jump.scale[0]) < normalization.CLIP


def test_only_constant_features_that_are_clipped_often_are_updated():
    rng = np.random.default_rng(3)
    old = stats_of(rng.normal([0, 5, 3000, 7], [1, 0, 0, 0], (500, 4)))
    assert preserving.constant(old).tolist() == [False, True, True, True]
    rows = rng.normal([1, 5, 3000, 7], [1, 0, 0, 0.001], (200, 4)).astype(np.float32)
    rows[:5, 0], rows[:2, 1], rows[:3, 2] = 50, 5.5, 3100
    rows[3:9] = 50
    weight = np.ones(200, np.float32)
    weight[3:9] = 0  # so that the second feature is clipped at 2 of 194 rows, the third at 3
    all_of_them = normalization.update_stats(old, rows, weight)
    assert bits(preserving.update_stats(old, rows, weight)) == bits(all_of_them)
    found = preserving.update_stats(old, rows, weight, 0.012)
    for j, wanted in enumerate((old, old, all_of_them, old)):
        assert found.mean[j] == wanted.mean[j] and found.var[j] == wanted.var[j]
    assert float(found.count) == 694
    change = preserving.change_between(old, found, rows, weight)
    assert change.scale[:2].tolist() == [1, 1] and change.offset[:2].tolist() == [0, 0]
    assert float(change.offset[2]) != 0
    assert bits(preserving.update_stats(old, rows, weight, 0.02)) == bits(old)
    nothing = normalization.init_stats((4,))
    assert bits(preserving.update_stats(nothing, rows, None, 0.5)) == bits(
        normalization.update_stats(nothing, rows)
    )


def test_before_any_data_there_is_nothing_to_keep():
    old = normalization.init_stats((2,))
    rows = np.random.default_rng(3).normal(5, 0.1, (40, 2)).astype(np.float32)
    change = preserving.change_between(old, normalization.update_stats(old, rows), rows)
    assert change.scale.tolist() == [1, 1] and change.offset.tolist() == [0, 0]
    assert preserving.change_between(*[normalization.init_stats((0,))] * 2, rows[:, :0]) is None


def drawn(networks, seed):
    """Parameters of both networks with nothing at 0."""
    rng = np.random.default_rng(seed)
    return [
        jax.tree.map(
            lambda x: rng.normal(0, np.prod(x.shape[:-1]) ** -0.5, x.shape).astype(np.float32),
            params,
        )
        for params in (
            networks.init_policy(np.random.SeedSequence(0)),
            networks.init_value(np.random.SeedSequence(1)),
        )
    ]


def setting(obs, spec, steps=9, envs=4):
    """Networks, observations ``[T, N]``, their memory, old statistics and the change."""
    networks = Networks(Spaces(obs, Discrete(3)), spec)
    rng = np.random.default_rng(4)
    leaves = [part.kind.draw(rng, (steps * envs, *part.shape)) for part in obs.parts]
    each = zip(leaves, obs.parts, strict=True)
    seen = obs.build([x.reshape(steps, envs, *part.shape) for x, part in each])
    begin = (rng.random((steps, envs)) < 0.2).astype(np.float32)
    carry = rng.normal(size=(envs, networks.carry_size)).astype(np.float32)
    memory = Memory(jnp.asarray(carry), jnp.asarray(begin)) if networks.carry_size else None
    rows = np.asarray(networks.flatten_obs(seen)).reshape(steps * envs, -1)
    old, new, change = changed(rng.normal(1, 2, (100, rows.shape[1])), rows)
    return networks, seen, memory, old, new, change


@pytest.mark.parametrize("obs", [VECTOR, PARTS], ids=["vector", "parts"])
@pytest.mark.parametrize("hidden", [(8, 8), ()], ids=["layers", "none"])
@pytest.mark.parametrize("memory", ["none", "gru", "delta_gru"])
def test_policy_and_critic_compute_the_same(obs, hidden, memory):
    encoder = "mlp" if obs is VECTOR or not hidden else "nature"
    size = 0 if memory == "none" else 5
    spec = NetworkSpec(hidden, encoder=encoder, memory=memory, memory_size=size)
    networks, seen, memory, old, new, change = setting(obs, spec)
    policy, value = drawn(networks, 5)
    ours, theirs = (preserving.params(p, change, networks.input_layers) for p in (policy, value))
    assert jax.tree.structure(ours) == jax.tree.structure(policy)
    for follow, before, after in (
        (networks.follow, policy, ours),
        (networks.follow_value, value, theirs),
    ):
        found = follow(after, new, seen, memory)
        wanted = follow(before, old, seen, memory)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), found, wanted)
        wrong = follow(before, new, seen, memory)[0]
        assert distance(wrong, wanted[0]) > 10 * 2e-5


def distance(a, b):
    return max(
        float(jnp.abs(x - y).max()) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True)
    )


@pytest.mark.parametrize("memory", ["none", "delta_gru"])
def test_first_moments_are_those_of_the_new_gradients(memory):
    spec = NetworkSpec((), memory=memory, memory_size=0 if memory == "none" else 5)
    networks, seen, memory, old, new, change = setting(VECTOR, spec)
    params, _ = drawn(networks, 6)
    layers = networks.input_layers

    def gradient(params, stats):
        def loss(params):
            logits = networks.distribution(params, stats, seen, memory).logits
            return (jnp.sin(3 * logits) * logits).mean()

        return jax.grad(loss)(params)

    state = optimizer.init(params)._replace(mu=gradient(params, old))
    found = preserving.moments(state, change, layers)
    wanted = gradient(preserving.params(params, change, layers), new)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found.mu, wanted)
    assert distance(state.mu, wanted) > 1e-3 and int(found.count) == 0


def test_second_moments_are_those_of_uncorrelated_gradients():
    rng = np.random.default_rng(7)
    kernel, bias = rng.normal(size=(20000, 3, 2)), rng.normal(0, 2, (20000, 2))
    change = preserving.Change(np.array([0.5, 3.0]), np.array([0.7, -1.5]))
    after = (kernel[:, :2] - change.offset[:, None] * bias[:, None]) / change.scale[:, None]
    wanted = np.concatenate([(after**2).mean(0), (kernel[:, 2:] ** 2).mean(0)])
    square = {"head": {"kernel": (kernel**2).mean(0), "bias": (bias**2).mean(0)}}
    state = optimizer.init(square)._replace(mu=square, nu=square)
    found = preserving.moments(state, change, (("head",),)).nu["head"]
    np.testing.assert_allclose(found["kernel"], wanted, rtol=0.05)
    np.testing.assert_array_equal(found["bias"], square["head"]["bias"])


def started(seed=0):
    """A state as taken over from a clone, whose data were elsewhere."""
    state = ppo.init(NETWORKS, np.random.SeedSequence(seed), N)
    stats = stats_of(np.random.default_rng(seed).normal(0.5, 1.5, (300, 2)))
    policy = state.policy._replace(obs_stats=stats)
    return state._replace(policy=policy, average=policy)


def segment_of(state, key=7):
    return rollout(NETWORKS, state, jax.random.key(key), lambda obs, a: obs[..., 0] * a)


def test_an_update_that_adapts_computes_what_a_frozen_one_does():
    state = started()
    segment = segment_of(state)
    frozen, _ = _update(NETWORKS, KEEPS, state, segment, hyper(), state.policy)
    assert bits(frozen.policy.obs_stats) == bits(state.policy.obs_stats)
    found, _ = _update(NETWORKS, KEEPS, state, segment, hyper(**ADAPTS), state.policy)
    rows = np.concatenate(
        [
            np.random.default_rng(0).normal(0.5, 1.5, (300, 2)),
            np.asarray(segment.obs).reshape(-1, 2),
        ]
    )
    for policy in (found.policy, found.average):
        np.testing.assert_allclose(policy.obs_stats.mean, rows.mean(0), rtol=1e-4)
        np.testing.assert_allclose(policy.obs_stats.var, rows.var(0), rtol=1e-4)
        assert float(policy.obs_stats.count) == len(rows)

    def outputs(state):
        policies = [
            NETWORKS.distribution(*policy, segment.obs).logits
            for policy in (state.policy, state.average)
        ]
        return *policies, NETWORKS.value(state.value_params, state.policy.obs_stats, segment.obs)

    for a, b, before in zip(outputs(found), outputs(frozen), outputs(state), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
        assert np.abs(a - before).max() > 1e-3
    assert distance(found.policy.params, frozen.policy.params) > 1e-2
    # A member beside it whose statistics run, and whose networks stay as they are.
    running, _ = _update(NETWORKS, KEEPS, state, segment, hyper(adapt_stats=1.0), state.policy)
    assert bits(running.policy) == bits(frozen.policy._replace(obs_stats=found.policy.obs_stats))
    assert bits(running.value_params) == bits(frozen.value_params)
    change = preserving.change_between(
        state.policy.obs_stats, found.policy.obs_stats, segment.obs.reshape(-1, 2)
    )
    for a, b in ((found.policy_opt, frozen.policy_opt), (found.value_opt, frozen.value_opt)):
        wanted = preserving.moments(b, change, NETWORKS.input_layers)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), a, wanted)
        assert distance(b.mu, wanted.mu) > 1e-4


def test_what_was_constant_adapts_alone():
    state, above = started(), {"adapt_above": np.float32(0.01)}
    flat = state.policy.obs_stats._replace(
        mean=np.array([0.5, 1.0], np.float32), var=np.array([2.0, 0.0], np.float32)
    )
    policy = state.policy._replace(obs_stats=flat)
    state = state._replace(policy=policy, average=policy)
    segment = segment_of(state)
    still = segment._replace(obs=segment.obs.at[..., 1].set(1.0).at[:9, 0, 0].set(90.0))
    for seen, varies in ((still, False), (segment, True)):
        frozen, _ = _update(NETWORKS, KEEPS, state, seen, hyper(), state.policy)
        found, _ = _update(NETWORKS, KEEPS, state, seen, hyper(**ADAPTS | above), state.policy)
        assert (bits(found) == bits(frozen)) == (not varies)
        stats = found.policy.obs_stats
        assert (float(stats.mean[0]), float(stats.var[0])) == (0.5, 2.0)
        assert bool(preserving.constant(stats)[1]) == (not varies)


def test_every_first_ratio_is_one_while_statistics_adapt():
    static = KEEPS._replace(num_epochs=1, batch_size=T * N)
    state, seen = started(), []
    for i in range(5):
        segment = segment_of(state, i)
        before = state
        state, metrics = _update(
            NETWORKS, static, state, segment, hyper(**ADAPTS, learning_rate=0.01), state.policy
        )
        seen.append((abs(float(metrics["approx_kl"])), float(metrics["clip_fraction"])))
        assert bits(before.policy.obs_stats) != bits(state.policy.obs_stats)
    assert max(kl for kl, _ in seen) < 1e-7 and not any(clipped for _, clipped in seen)


@pytest.mark.parametrize("rest", [{"critic_burn_in": 1}, {"learning_rate": 0.0}])
def test_what_rests_does_not_change_by_a_bit(rest):
    state = started()
    after, _ = _update(
        NETWORKS, KEEPS, state, segment_of(state), hyper(**ADAPTS | rest), state.policy
    )
    plain, _ = _update(NETWORKS, KEEPS, state, segment_of(state), hyper(**rest), state.policy)
    still = lambda s: bits((s.policy, s.average, s.policy_opt))  # noqa: E731
    assert still(after) == still(state)
    # The critic learns, in the old statistics.
    assert bits(after) == bits(plain) and bits(after.value_params) != bits(state.value_params)


def test_the_reference_keeps_statistics_of_its_own():
    clone = started().policy
    state, static = started(), KEEPS._replace(kickstarts=True)
    h = hyper(**ADAPTS, learning_rate=1e-7, anchor_coef=1.0)
    for i in range(3):
        state, metrics = _update(NETWORKS, static, state, segment_of(state, i), h, clone)
        assert abs(float(metrics["clone_kl"])) < 1e-6
    assert np.abs(state.policy.obs_stats.mean - clone.obs_stats.mean).max() > 0.2
    assert distance(state.policy.params, clone.params) > 1e-2


def test_an_update_in_two_halves_adapts_both_networks_once():
    state = started()
    segment = segment_of(state)
    args = (NETWORKS, KEEPS, state, segment, hyper(**ADAPTS), state.policy, None)
    yes, no = jnp.array(True), jnp.array(False)
    whole, policy, value = (_update(*args, learns) for learns in ((yes, yes), (yes, no), (no, yes)))
    whole, halves = whole[0], (policy, value)
    merged, _ = ppo_update.merge(*halves)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), merged, whole)
