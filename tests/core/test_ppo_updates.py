"""What PPO does with a segment's rows: in which order, how far, and against which policy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmaze.core import bc, critic, losses, normalization, ppo, shuffle
from tests.core.test_bc import DISCRETE, fresh, on_device, problem
from tests.core.test_bc import hyper as bc_hyper
from tests.core.test_ppo import CONTINUOUS, NETWORKS, STATIC, N, T, bits, hyper, one_update, rollout

ROWS = T * N
_update = jax.jit(ppo.update, static_argnums=(0, 1))


@pytest.fixture
def drawn(monkeypatch):
    """All orders that rows are shuffled into, as they are drawn in compiled programs."""
    found, real = [], shuffle.permutation

    def spy(key, num):
        order = real(key, num)
        jax.debug.callback(lambda x: found.append(np.array(x)), order)
        return order

    monkeypatch.setattr(shuffle, "permutation", spy)
    return found


def check_orders(drawn, count, rows):
    """So many orders of all rows, of which none is like another."""
    jax.effects_barrier()
    assert len(drawn) == count
    for i, order in enumerate(drawn):
        assert sorted(order.tolist()) == list(range(rows))
        for other in drawn[:i]:
            assert (order == other).mean() < 0.1


def test_every_epoch_of_every_iteration_of_every_member_has_its_own_order(drawn):
    update = jax.jit(lambda s, r: ppo.update(NETWORKS, STATIC, s, r, hyper(), s.policy))
    for member in range(2):
        state = ppo.init(NETWORKS, np.random.SeedSequence(member), N)
        segment = rollout(NETWORKS, state, jax.random.key(7), lambda obs, a: obs[..., 0] * a)
        for _ in range(2):
            state, _ = update(state, segment)
    check_orders(drawn, 2 * 2 * STATIC.num_epochs, ROWS)


def test_the_minibatches_of_each_epoch_are_all_rows():
    rows = rows_of(ppo.init(NETWORKS, np.random.SeedSequence(0), N))
    order = ppo.orders(STATIC, jax.random.key(0), rows)
    assert order.shape == (STATIC.num_epochs * ROWS // STATIC.batch_size, STATIC.batch_size)
    epochs = np.asarray(order).reshape(STATIC.num_epochs, -1)
    check_orders(list(epochs), STATIC.num_epochs, ROWS)


def test_an_iteration_s_number_changes_the_minibatches():
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    first, _ = one_update(state)
    second, _ = one_update(state._replace(iteration=np.int32(1)))
    assert bits(first.policy.params) != bits(second.policy.params)
    assert bits(first.value_params) != bits(second.value_params)


def test_every_epoch_of_cloning_has_its_own_order(drawn):
    data, weight = on_device(problem(rows=60)), jnp.ones(60)
    epoch = jax.jit(lambda s: bc.epoch(DISCRETE, 20, 3, s, data, weight, bc_hyper()))
    for member in range(2):
        state = fresh(DISCRETE, data, weight, member)
        for _ in range(3):
            state, _ = epoch(state)
    check_orders(drawn, 6, 60)


def test_every_epoch_of_a_critic_s_fit_has_its_own_order(drawn):
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    obs, zeros = jnp.ones((64, 2)), jnp.zeros(64)
    returns = critic.Returns(obs, zeros, zeros, zeros.astype(int), obs[:1], 0.0, 1.0)
    fit = jax.jit(lambda s: critic.fit(NETWORKS, 16, 3, s, returns, hyper()))
    fit(state)
    check_orders(drawn, 3, 64)
    fit(ppo.init(NETWORKS, np.random.SeedSequence(1), N))
    check_orders(drawn, 6, 64)


def rows_of(state):
    """A segment's rows as the passes take them."""
    segment = rollout(NETWORKS, state, jax.random.key(7), lambda obs, a: obs[..., 0] * a)
    return ppo.estimate(NETWORKS, STATIC, state, segment, hyper(), state.policy)[0]


def context_of(state, rows, h, order, static=STATIC):
    """What the updates share, at iteration 0."""
    rates = ppo.rates_at(static, jnp.int32(0), 0, jnp.ones(()), h)
    stats, key = state.policy.obs_stats, jax.random.key(0)
    return ppo.Context(NETWORKS, static, h, stats, rates, rows, order, key, None)


def test_past_the_target_the_policy_stops_for_the_rest_of_the_update():
    # The second of four minibatches comes from a policy far away, the others from this one.
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    rows, batch = rows_of(state), STATIC.batch_size
    order = jnp.arange(ROWS).reshape(-1, batch)
    rows = rows._replace(log_prob=rows.log_prob.at[batch : 2 * batch].add(-2.0))

    def moved(count, target):
        h = hyper(learning_rate=1e-3, target_kl=target)
        context = context_of(state, rows, h, order[:count])
        return ppo.update_policy(context, state.policy.params, state.policy_opt)

    (held, metrics), (one, _), (free, _) = moved(4, 0.1), moved(1, 0.1), moved(4, np.inf)
    assert len(order) == 4 and float(metrics["approx_kl"]) > 0.1
    assert bits(held) == bits(one) != bits((state.policy.params, state.policy_opt))
    assert bits(free) != bits(held)
    # The limit is one and a half times the target.
    kl = np.exp(2.0) - 1 - 2.0
    assert bits(moved(2, kl / 1.4)[0]) != bits(one) == bits(moved(2, kl / 1.6)[0])


@pytest.mark.parametrize("rate", [0.0, 1e-9])
def test_ratios_are_to_the_policy_that_acted(rate):
    # What acted may be another policy than the one that learns: one update ago, say.
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    segment = rollout(NETWORKS, state, jax.random.key(7), lambda obs, a: obs[..., 0] * a)
    shift = 0.1 * jax.random.normal(jax.random.key(1), (T, N))
    segment = segment._replace(log_prob=segment.log_prob - shift)
    _, metrics = _update(NETWORKS, STATIC, state, segment, hyper(learning_rate=rate), state.policy)
    kl = float((jnp.exp(shift) - 1 - shift).mean())
    clipped = float((jnp.abs(jnp.exp(shift) - 1) > 0.2).mean())
    assert float(metrics["approx_kl"]) == pytest.approx(kl, rel=1e-3)
    assert float(metrics["clip_fraction"]) == pytest.approx(clipped, abs=1e-3) and clipped > 0


@pytest.mark.parametrize("adapts", [0.0, 1.0])
def test_statistics_follow_the_data_only_where_they_are_to(adapts):
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    segment = rollout(NETWORKS, state, jax.random.key(7), lambda obs, a: obs[..., 0] * a)
    stats = normalization.update_stats(state.policy.obs_stats, segment.obs.reshape(-1, 2) + 3)
    state = state._replace(policy=state.policy._replace(obs_stats=stats))
    after, _ = _update(NETWORKS, STATIC, state, segment, hyper(adapt_stats=adapts), state.policy)
    assert bits(after.policy.params) != bits(state.policy.params)
    if not adapts:
        assert bits(after.policy.obs_stats) == bits(stats)
    else:
        merged = np.concatenate([segment.obs.reshape(-1, 2) + 3, segment.obs.reshape(-1, 2)])
        np.testing.assert_allclose(after.policy.obs_stats.mean, merged.mean(0), rtol=1e-4)
        np.testing.assert_allclose(after.policy.obs_stats.var, merged.var(0), rtol=1e-3)


def test_the_scale_of_rewards_starts_anew_at_either_end_of_an_episode():
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    segment = rollout(NETWORKS, state, jax.random.key(7), lambda obs, a: obs[..., 0] + a)
    ends = (np.arange(T)[:, None] % 5 == np.arange(N) % 5).astype(np.float32)

    def learned(terminated, truncated):
        given = segment._replace(
            terminated=jnp.asarray(terminated), truncated=jnp.asarray(truncated)
        )
        after, _ = _update(NETWORKS, STATIC, state, given, hyper(), state.policy)
        return after.return_stats

    running, seen = np.zeros(N), []
    for t in range(T):
        running = 0.9 * running + np.asarray(segment.reward[t])
        seen.append(running)
        running = running * (1 - ends[t])
    for stats in (learned(ends, 0 * ends), learned(0 * ends, ends)):
        np.testing.assert_allclose(stats.accumulator, running, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(stats.stats.var, np.var(seen), rtol=1e-4)
    assert float(learned(0 * ends, 0 * ends).stats.var) != pytest.approx(np.var(seen), rel=0.05)


def test_advantages_of_a_segment_are_those_of_its_scaled_rewards():
    # With a critic that says 0 and lambda 0, an advantage is a reward.
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    nothing = jax.tree.map(np.zeros_like, state.value_params)
    state = state._replace(value_params=nothing)
    segment = rollout(NETWORKS, state, jax.random.key(7), lambda obs, a: obs[..., 0] + a)
    rows, scaled, _ = ppo.estimate(
        NETWORKS, STATIC, state, segment, hyper(gae_lambda=0.0), state.policy
    )
    scale = np.sqrt(scaled.return_stats.stats.var)
    np.testing.assert_allclose(rows.target, segment.reward.reshape(-1) / scale, rtol=1e-4)
    np.testing.assert_allclose(
        rows.advantage, losses.normalize_advantages(segment.reward).reshape(-1), atol=1e-4
    )
    np.testing.assert_array_equal(rows.obs, segment.obs.reshape(-1, 2))
    np.testing.assert_array_equal(rows.action, segment.action.reshape(-1))


def test_at_rest_neither_the_average_nor_the_anchor_moves():
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    other = ppo.init(NETWORKS, np.random.SeedSequence(1), N).policy
    state = state._replace(average=other, anchor_factor=np.float32(4.0))
    rest = {"critic_burn_in": 1, "average_decay": 0.5, "anchor_target_kl": 0.1}
    for changes in (rest, rest | {"critic_burn_in": 0, "learning_rate": 0.0}):
        after, _ = one_update(state, **changes)
        assert bits(after.average) == bits(other) and float(after.anchor_factor) == 4.0
    after, _ = one_update(state, **rest | {"critic_burn_in": 0})
    assert bits(after.average) != bits(other) and float(after.anchor_factor) != 4.0


def test_policy_and_critic_have_rates_and_first_weights_of_their_own():
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    policy, value = (
        p["encoder"]["hidden_0"]["kernel"] for p in (state.policy.params, state.value_params)
    )
    assert policy.shape == value.shape and (policy != value).any()
    still, _ = one_update(state, value_learning_rate=0.0)
    assert bits(still.value_params) == bits(state.value_params)
    assert bits(still.policy.params) != bits(state.policy.params)
    usual, slow = (
        one_update(state, learning_rate=rate, value_learning_rate=1e-3)[0] for rate in (1e-3, 1e-6)
    )
    assert bits(usual.value_params) == bits(slow.value_params) != bits(state.value_params)


def test_a_standard_deviation_never_leaves_its_range():
    state = ppo.init(CONTINUOUS, np.random.SeedSequence(0), N)
    params = {**state.policy.params, "log_std": np.array([1.99], np.float32)}
    state = state._replace(policy=state.policy._replace(params=params))
    segment = rollout(CONTINUOUS, state, jax.random.key(0), lambda obs, a: 0.0 * a[..., 0])
    after, _ = _update(
        CONTINUOUS, STATIC, state, segment, hyper(entropy_coef=1.0, learning_rate=0.1), state.policy
    )
    assert float(after.policy.params["log_std"][0]) == 2.0


def test_the_anchor_is_the_clones_divergence_from_the_policy():
    clone, state = (ppo.init(NETWORKS, np.random.SeedSequence(i), N) for i in (1, 0))
    grown = jax.tree.map(np.array, clone.policy.params)
    grown["head"]["bias"][:] = [2.0, 0.0]
    segment = rollout(NETWORKS, state, jax.random.key(7), lambda obs, a: obs[..., 0] * a)
    h = hyper(anchor_coef=0.5)
    rows, *_ = ppo.estimate(
        NETWORKS, STATIC, state, segment, h, clone.policy._replace(params=grown)
    )

    def loss(kickstarts):
        static = STATIC._replace(kickstarts=kickstarts, decays_linearly=False)
        context = context_of(state, rows, h, None, static)
        return float(ppo.policy_loss(context, state.policy.params, rows, None)[0])

    p = jax.nn.softmax(NETWORKS.distribution(grown, clone.policy.obs_stats, rows.obs).logits)
    q = jax.nn.softmax(
        NETWORKS.distribution(state.policy.params, state.policy.obs_stats, rows.obs).logits
    )
    there, back = (float((a * jnp.log(a / b)).sum(-1).mean()) for a, b in ((p, q), (q, p)))
    assert abs(there - back) > 0.01 * there
    assert loss(True) - loss(False) == pytest.approx(0.5 * there, rel=1e-3)


def test_the_scale_of_rewards_counts_only_steps():
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    segment = rollout(NETWORKS, state, jax.random.key(7), lambda obs, a: obs[..., 0] + a)
    valid = (np.arange(T * N).reshape(T, N) % 3 > 0).astype(np.float32)
    # Rows that are no steps have no reward; every row of this segment ends an episode.
    segment = segment._replace(valid=jnp.asarray(valid), reward=segment.reward * valid)
    after, _ = _update(NETWORKS, STATIC, state, segment, hyper(), state.policy)
    counted = np.asarray(segment.reward)[valid > 0]
    assert float(after.return_stats.stats.count) == valid.sum()
    np.testing.assert_allclose(after.return_stats.stats.mean, counted.mean(), rtol=1e-4)
    np.testing.assert_allclose(after.return_stats.stats.var, counted.var(), rtol=1e-4)
