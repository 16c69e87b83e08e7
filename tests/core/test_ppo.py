"""PPO: its invariants, and learning on probe problems whose answers are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmaze.core import ppo, schedules
from jaxmaze.core.composite_actions import Composite
from jaxmaze.core.networks import Networks
from jaxmaze.core.observations import Observations
from jaxmaze.core.spaces import Box, Discrete, Spaces
from jaxmaze.core.types import Demonstrations, NetworkSpec, Rollout
from jaxmaze.training import ppo_update

T, N = 32, 8
NETWORKS = Networks(Spaces(Observations.array(2), Discrete(2)), NetworkSpec((16,)))
CONTINUOUS = Networks(Spaces(Observations.array(2), Box((-2.0,), (2.0,))), NetworkSpec((16,)))
STATIC = ppo.Static(num_epochs=4, batch_size=64, num_iterations=50, linear_schedule=False)


def hyper(**changes):
    values = dict(
        learning_rate=3e-3,
        value_learning_rate=3e-3,
        gamma=0.9,
        gae_lambda=0.95,
        clip_range=0.2,
        entropy_coef=0.0,
        value_coef=0.5,
        max_grad_norm=0.5,
        target_kl=np.inf,
        critic_burn_in=0,
        burn_in_until=np.inf,
        anchor_coef=0.0,
        anchor_target_kl=np.inf,
        anchor_fraction=1.0,
        cloning_coef=0.0,
        average_decay=0.9,
        adapt_stats=0.0,
    )
    return ppo.Hyper(**{k: np.float32(v) for k, v in (values | changes).items()})


def rollout(networks, state, key, reward_of, done_of=None):
    """A segment of independent steps: random observations, rewards by a rule."""
    obs_key, act_key = jax.random.split(key)
    obs = jnp.sign(jax.random.normal(obs_key, (T, N, 2)))
    action, log_prob = networks.act(state.policy, obs, act_key)
    ends = jnp.ones((T, N)) if done_of is None else done_of
    return Rollout(obs, action, log_prob, reward_of(obs, action), obs, ends, jnp.zeros((T, N)))


def learn(networks, reward_of, iterations=50, **changes):
    state = ppo.init(networks, np.random.SeedSequence(0), N)
    update = jax.jit(ppo.update, static_argnums=(0, 1))
    for i in range(iterations):
        segment = rollout(networks, state, jax.random.key(100 + i), reward_of)
        state, metrics = update(networks, STATIC, state, segment, hyper(**changes), state.policy)
    return state, metrics


def test_probe_the_action_that_fits_the_observation_is_learned():
    state, _ = learn(NETWORKS, lambda obs, a: (a == (obs[..., 0] > 0)).astype(jnp.float32))
    obs = jnp.array([[1.0, 1.0], [-1.0, 1.0]])
    p = jax.nn.softmax(
        NETWORKS.distribution(state.policy.params, state.policy.obs_stats, obs).logits
    )
    assert float(p[0, 1]) > 0.9 and float(p[1, 0]) > 0.9


def test_probe_the_value_of_a_constant_reward_is_known():
    # One-step episodes with reward 2 whatever is done: the value is 2 in units of the reward scale.
    state, metrics = learn(NETWORKS, lambda obs, a: 2.0 * obs[..., 0])
    obs = jnp.array([[1.0, 1.0], [-1.0, -1.0]])
    value = NETWORKS.value(state.value_params, state.policy.obs_stats, obs)
    np.testing.assert_allclose(value * metrics["reward_scale"], [2.0, -2.0], atol=0.15)
    assert float(metrics["explained_variance"]) > 0.95


def test_probe_a_value_beyond_a_truncation_is_bootstrapped():
    # Reward 1 for ever, cut after each step: V = 1 / (1 - gamma); terminated after each step: 1.
    def run(terminated):
        state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
        update = jax.jit(ppo.update, static_argnums=(0, 1))
        obs, zeros = jnp.ones((T, N, 2)), jnp.zeros((T, N))
        # The scale of rewards is that of returns; these do not vary, so start from a known one.
        for i in range(300):
            action, log_prob = NETWORKS.act(state.policy, obs, jax.random.key(i))
            noise = jax.random.normal(jax.random.key(1000 + i), (T, N))
            ends = zeros + terminated
            segment = Rollout(obs, action, log_prob, 1 + noise, obs, ends, zeros + 1 - terminated)
            h = hyper(gamma=0.5, learning_rate=0.0)
            state, m = update(NETWORKS, STATIC, state, segment, h, state.policy)
        value = NETWORKS.value(state.value_params, state.policy.obs_stats, obs[:1, :1])
        return float(value[0, 0] * m["reward_scale"])

    assert run(1.0) == pytest.approx(1.0, abs=0.25)
    assert run(0.0) == pytest.approx(2.0, abs=0.35)


def test_probe_a_continuous_action_is_learned():
    state, _ = learn(CONTINUOUS, lambda obs, a: -((a[..., 0] - obs[..., 0]) ** 2))
    obs = jnp.array([[1.0, 1.0], [-1.0, 1.0]])
    mean = CONTINUOUS.distribution(state.policy.params, state.policy.obs_stats, obs).mean
    np.testing.assert_allclose(mean[:, 0], [1.0, -1.0], atol=0.3)


def bits(tree):
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(tree)]


def one_update(state, clone=None, static=STATIC, demonstrations=None, **changes):
    segment = rollout(NETWORKS, state, jax.random.key(7), lambda obs, a: obs[..., 0] * a)
    update = jax.jit(ppo.update, static_argnums=(0, 1))
    clone = state.policy if clone is None else clone
    return update(NETWORKS, static, state, segment, hyper(**changes), clone, demonstrations)


def rates(static, iteration, burn_in=0, **changes):
    """The rates ``iteration`` iterations after a burn-in of ``burn_in``."""
    return ppo.rates_at(static, jnp.int32(iteration), burn_in, jnp.ones(()), hyper(**changes))


def test_nothing_of_the_policy_moves_during_burn_in_and_the_critic_does():
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    before = bits((state.policy, state.policy_opt))
    after, _ = one_update(state, critic_burn_in=2, adapt_stats=1.0)
    again, _ = one_update(after, critic_burn_in=2, adapt_stats=1.0)
    assert bits((again.policy, again.policy_opt)) == before
    assert bits(again.value_params) != bits(state.value_params)
    assert bits(again.value_opt) != bits(state.value_opt)
    moved, _ = one_update(again, critic_burn_in=2, adapt_stats=1.0)
    assert bits(moved.policy.params) != bits(again.policy.params)
    assert bits(moved.policy.obs_stats) != bits(again.policy.obs_stats)


def test_learning_rate_zero_leaves_policy_and_statistics_as_they_are():
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    after, _ = one_update(state, learning_rate=0.0, adapt_stats=1.0)
    assert bits(after.policy) == bits(state.policy)


def test_the_first_ratio_is_one_with_any_statistics():
    state = ppo.init(NETWORKS, np.random.SeedSequence(1), N)
    stats = state.policy.obs_stats._replace(mean=jnp.array([0.3, -2.0]))
    state = state._replace(policy=state.policy._replace(obs_stats=stats))
    segment = rollout(NETWORKS, state, jax.random.key(3), lambda obs, a: obs[..., 0])
    dist = NETWORKS.distribution(state.policy.params, state.policy.obs_stats, segment.obs)
    np.testing.assert_allclose(dist.log_prob(segment.action), segment.log_prob, atol=1e-6)


def test_a_standard_deviation_at_its_floor_can_grow_again():
    state = ppo.init(CONTINUOUS, np.random.SeedSequence(0), N)
    params = CONTINUOUS.project({**state.policy.params, "log_std": jnp.array([-9.0])})
    state = state._replace(policy=state.policy._replace(params=params))
    update = jax.jit(ppo.update, static_argnums=(0, 1))
    for i in range(5):
        segment = rollout(CONTINUOUS, state, jax.random.key(i), lambda obs, a: 0.0 * a[..., 0])
        state, _ = update(CONTINUOUS, STATIC, state, segment, hyper(entropy_coef=1.0), state.policy)
    assert float(state.policy.params["log_std"][0]) > float(params["log_std"][0]) + 0.05


def test_target_kl_stops_the_policy_but_not_the_critic():
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    free, m_free = one_update(state, learning_rate=0.1)
    held, m_held = one_update(state, learning_rate=0.1, target_kl=1e-3)
    assert float(m_held["approx_kl"]) < float(m_free["approx_kl"])
    assert bits(free.value_params) == bits(held.value_params)


def test_schedule_falls_linearly_after_burn_in():
    static = STATIC._replace(linear_schedule=True, num_iterations=12)
    falling = [float(rates(static, i - 2, burn_in=2).policy) for i in range(12)]
    assert falling[:3] == pytest.approx([3e-3] * 3)
    np.testing.assert_allclose(np.diff(falling[2:]), -3e-4, rtol=1e-4)


def test_an_update_counts_the_schedule_from_the_end_of_the_burn_in():
    static = STATIC._replace(linear_schedule=True, num_iterations=10)
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    late = {"iteration": np.int32(6), "burn_in": np.int32(4), "ready": np.array(True)}
    _, metrics = one_update(state._replace(**late), static=static, critic_burn_in=4)
    assert float(metrics["learning_rate"]) == pytest.approx(3e-3 * (1 - 2 / 6))


def test_a_critic_that_explains_enough_ends_the_burn_in():
    # With returns that do not depend on the observation nothing can be explained; with ones that
    # do, the critic soon explains them, and the policy moves from that iteration on.
    def run(reward_of):
        state, kinds = ppo.init(NETWORKS, np.random.SeedSequence(0), N), []
        update = jax.jit(ppo.update, static_argnums=(0, 1))
        for i in range(12):
            segment = rollout(NETWORKS, state, jax.random.key(i), reward_of)
            h = hyper(critic_burn_in=10, burn_in_until=0.8)
            before = bits((state.policy, state.policy_opt))
            state, metrics = update(NETWORKS, STATIC, state, segment, h, state.policy)
            moved = bits((state.policy, state.policy_opt)) != before
            kinds.append((moved, float(metrics["mc_explained_variance"]) >= 0.8))
            assert float(metrics["critic_ready"]) == moved
        return kinds, int(state.burn_in)

    kinds, burn_in = run(lambda obs, a: obs[..., 0])
    first = next(i for i, (_, explains) in enumerate(kinds) if explains)
    assert 0 < first < 10 and burn_in == first
    assert [moved for moved, _ in kinds] == [i >= first for i in range(12)]
    noise = jax.random.normal(jax.random.key(99), (T, N))
    kinds, burn_in = run(lambda obs, a: noise)
    assert burn_in == 10 and [moved for moved, _ in kinds] == [False] * 10 + [True] * 2


def test_a_critic_does_not_end_the_burn_in_by_its_own_opinion():
    # No episode ends, so that nobody knows a return; GAE's targets are the critic's own values.
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    update = jax.jit(ppo.update, static_argnums=(0, 1))
    opinions = []
    for i in range(6):
        segment = rollout(NETWORKS, state, jax.random.key(i), lambda obs, a: obs[..., 0])
        segment = segment._replace(terminated=jnp.zeros((T, N)), truncated=jnp.zeros((T, N)))
        h = hyper(critic_burn_in=100, burn_in_until=0.1, gamma=0.99)
        state, metrics = update(NETWORKS, STATIC, state, segment, h, state.policy)
        opinions.append(float(metrics["explained_variance"]))
        assert float(metrics["mc_explained_variance"]) == 0.0
        assert not bool(state.ready)
    assert max(opinions) > 0.1


def test_cloning_on_demonstrations_keeps_what_they_show():
    static = STATIC._replace(keeps_cloning=True, decays_linearly=False)
    obs = jnp.sign(jax.random.normal(jax.random.key(3), (256, 2)))
    # The demonstrator looks at the second coordinate, the reward at nothing.
    shown = Demonstrations(obs, (obs[:, 1] > 0).astype(jnp.int32))

    def agreement(coef):
        state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
        for _ in range(20):
            state, m = one_update(state, None, static, shown, learning_rate=0.01, cloning_coef=coef)
        dist = NETWORKS.distribution(state.policy.params, state.policy.obs_stats, obs)
        return float((dist.mode() == shown.action).mean()), float(m["cloning_loss"])

    assert agreement(0.0)[0] < 0.8
    share, loss = agreement(3.0)
    assert share == 1.0 and loss < 0.3


def test_cloning_goes_on_with_ones_own_demonstrations():
    static = STATIC._replace(keeps_cloning=True)
    obs = jnp.sign(jax.random.normal(jax.random.key(3), (90, 2)))
    bad = jnp.full((60, 2), jnp.nan)  # another member's, before and after
    shown = Demonstrations(jnp.concatenate([bad, obs, bad]), jnp.zeros(210, jnp.int32))
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    for fields in ({}, {"critic_burn_in": 1}):  # in motion and at rest
        own = {"demo_first": 60, "demo_count": 90, "cloning_coef": 1.0} | fields
        after, m = one_update(state, None, static, shown, **own)
        assert np.isfinite(float(m["cloning_loss"]))
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(after.policy.params))
    _, m = one_update(state, None, static, shown, cloning_coef=1.0)
    assert not np.isfinite(float(m["cloning_loss"]))


def test_the_average_follows_the_policy():
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    still, _ = one_update(state, critic_burn_in=1, average_decay=0.5)
    assert bits(still.average) == bits(state.policy)
    # Decays of 0.1 and 0.1818 at first, (1 + i) / (10 + i), then at most 0.15.
    first, _ = one_update(still, critic_burn_in=1, average_decay=0.15)
    second, _ = one_update(first, critic_burn_in=1, average_decay=0.15)
    for a, p0, p1, p2 in zip(
        *(jax.tree.leaves(x) for x in (second.average, state.policy, first.policy, second.policy)),
        strict=True,
    ):
        expected = 0.15 * (0.1 * p0 + 0.9 * p1) + 0.85 * p2
        np.testing.assert_allclose(a, expected, rtol=1e-5, atol=1e-6)
    plain, _ = one_update(state, average_decay=0.0)
    assert bits(plain.average) == bits(plain.policy) != bits(state.policy)


def test_the_weight_of_the_entropy_bonus_decays_if_asked_to():
    decays = STATIC._replace(entropy_decays=True)
    found = [float(rates(decays, i, entropy_coef=0.1).entropy) for i in (0, 25, 50)]
    np.testing.assert_allclose(found, [0.1, 0.05, 0.0], rtol=1e-6)
    # Iterations of a burn-in do not count.
    assert float(rates(decays, 20, 10, entropy_coef=0.1).entropy) == pytest.approx(0.05)
    assert float(rates(STATIC, 25, entropy_coef=0.1).entropy) == pytest.approx(0.1)
    # It reaches the loss: half way, an update is the one with half the weight.
    start = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    middle = start._replace(iteration=np.int32(25))
    decayed, _ = one_update(middle, static=decays, entropy_coef=0.5)
    half, _ = one_update(middle, entropy_coef=0.25)
    whole, _ = one_update(middle, entropy_coef=0.5)
    assert bits(decayed.policy) == bits(half.policy) != bits(whole.policy)


def test_the_entropy_follows_its_target():
    """Actions of equal worth but for one: unheld, the policy is soon sure of it."""
    found = [float(schedules.held(jnp.float32(2), h, jnp.float32(0.5))) for h in (0.4, 0.5, 0.6)]
    np.testing.assert_allclose(found, [2.4, 2.0, 2 / 1.2], rtol=1e-6)
    ends = [float(schedules.held(jnp.float32(f), h, 0.5)) for f, h in ((0.02, 9.0), (100.0, 0.0))]
    np.testing.assert_allclose(ends, [0.02, 100.0])
    assert float(schedules.held(jnp.float32(2), 0.1, jnp.inf)) == 1.0

    # The factor reaches the loss, and moves with the policy alone.
    start = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    doubled, metrics = one_update(
        start._replace(entropy_factor=np.float32(2.0)), entropy_coef=0.25, entropy_target=0.5
    )
    plain, _ = one_update(start, entropy_coef=0.5)
    assert bits(doubled.policy) == bits(plain.policy)
    assert float(metrics["entropy_coef"]) == 0.5
    assert float(doubled.entropy_factor) == pytest.approx(2 / 1.2)  # nearly uniform: above 0.5
    assert float(plain.entropy_factor) == 1.0
    for rest in ({"critic_burn_in": 1}, {"learning_rate": 0.0}):
        still, _ = one_update(start, entropy_target=0.1, **rest)
        assert float(still.entropy_factor) == 1.0

    # 0.6 nats at first and 0 at the end; iterations of the burn-in do not count.
    def entropy(target, burn_in=0):
        state, seen = start, []
        for _ in range(45 + burn_in):
            state, metrics = one_update(
                state,
                learning_rate=0.01,
                entropy_coef=0.1,
                entropy_target=target,
                critic_burn_in=burn_in,
            )
            seen.append(float(metrics["entropy"]))
        return np.mean(seen[20 + burn_in :])

    assert entropy(np.inf) < 0.08
    for burn_in in (0, 4):
        left = 1 - np.arange(20, 45) / (50 - burn_in)
        assert entropy(0.6, burn_in) == pytest.approx(0.6 * left.mean(), rel=0.6)


def test_the_anchor_follows_its_target():
    factors = [float(schedules.adapted(jnp.float32(1), kl, 0.1)) for kl in (0.2, 0.1, 0.05)]
    assert factors == [2.0, 1.0, 0.5]
    # The weight is the coefficient times the factor, and no schedule then.
    h = hyper(anchor_target_kl=0.1, anchor_coef=0.5)
    r = ppo.rates_at(STATIC, jnp.int32(40), 0, jnp.float32(4.0), h)
    assert float(r.anchor) == 2.0
    static = STATIC._replace(kickstarts=True)
    start = ppo.init(NETWORKS, np.random.SeedSequence(0), N)

    def drift(target):
        state, clone_kl = start, []
        for _ in range(25):
            state, metrics = one_update(
                state,
                start.policy,
                static,
                learning_rate=0.01,
                anchor_coef=0.1,
                anchor_target_kl=target,
            )
            clone_kl.append(float(metrics["clone_kl"]))
        return np.mean(clone_kl[-10:])

    free, held = drift(np.inf), drift(0.05)
    assert free > 0.2 and 0.02 < held < 0.1


def test_the_drift_from_the_clone_is_measured():
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    segment = rollout(NETWORKS, state, jax.random.key(7), lambda obs, a: obs[..., 0] * a)
    after, metrics = one_update(state, learning_rate=0.05)
    clone, policy = (
        NETWORKS.distribution(p.params, p.obs_stats, segment.obs)
        for p in (state.policy, after.policy)
    )
    p, q = jax.nn.softmax(clone.logits), jax.nn.softmax(policy.logits)
    expected = float((p * (jnp.log(p) - jnp.log(q))).sum(-1).mean())
    assert expected > 1e-3
    assert float(metrics["clone_kl"]) == pytest.approx(expected, rel=1e-3)
    _, still = one_update(state, learning_rate=0.0)
    assert float(still["clone_kl"]) == 0.0


def test_an_anchor_holds_the_policy_to_its_clone():
    static = STATIC._replace(kickstarts=True, decays_linearly=False)
    start = ppo.init(NETWORKS, np.random.SeedSequence(0), N)

    def drift(coef):
        state = start
        for _ in range(5):
            state, metrics = one_update(
                state, start.policy, static, learning_rate=0.02, anchor_coef=coef
            )
        return float(metrics["clone_kl"])

    loose, held, fixed = drift(0.0), drift(1.0), drift(30.0)
    assert loose > 0.1 and held < 0.5 * loose and fixed < 0.1 * held


def test_the_anchor_is_let_go_by_its_schedule():
    static = STATIC._replace(num_iterations=12)
    weights = [rates(static, i - 2, 2, anchor_coef=0.5, cloning_coef=1.0) for i in range(13)]
    expected = np.array([1.0, 1.0, *np.linspace(1, 0, 11)])
    np.testing.assert_allclose([w.anchor for w in weights], 0.5 * expected, atol=1e-6)
    np.testing.assert_allclose([w.cloning for w in weights], expected, atol=1e-6)
    constant = static._replace(decays_linearly=False)
    assert float(rates(constant, 7, 2, anchor_coef=0.5).anchor) == 0.5


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.5, 1.0])
def test_a_fraction_lets_go_of_the_anchor_earlier_and_of_nothing_else(fraction):
    static = STATIC._replace(num_iterations=22, linear_schedule=True)  # 20 after the burn-in
    each = [
        rates(static, i, 2, anchor_coef=0.5, cloning_coef=2.0, anchor_fraction=fraction)
        for i in range(20)
    ]
    expected = [max(0.0, 1 - i / max(fraction * 20, 1)) for i in range(20)]
    np.testing.assert_allclose([w.anchor for w in each], 0.5 * np.array(expected), atol=1e-6)
    np.testing.assert_allclose([w.cloning for w in each], 2.0 * np.array(expected), atol=1e-6)
    np.testing.assert_allclose([w.policy for w in each], 3e-3 * np.linspace(1, 0.05, 20), rtol=1e-5)


def test_the_limit_of_deviations_goes_to_its_end_in_a_straight_line_of_logarithms():
    static = STATIC._replace(num_iterations=22, linear_schedule=False)  # 20 after the burn-in
    each = [rates(static, i, 2, start_std=0.4, final_std=0.1).most_std for i in range(20)]
    np.testing.assert_allclose(each, np.geomspace(0.4, 0.1, 21)[:20], rtol=1e-5)
    assert np.isinf(rates(static, 5, 2, start_std=0.4, final_std=np.inf).most_std)


def test_deviations_are_limited_during_an_update_and_nothing_else_is():
    space = Composite((Box((-1.0, -1.0), (1.0, 1.0)), Discrete(2), Box((-1.0,), (1.0,))))
    params = {"log_std_0": jnp.log(jnp.array([0.2, 0.6])), "log_std_2": jnp.log(jnp.array([0.7]))}
    params["head"] = {"bias": jnp.ones(5)}
    found = space.project(params, 0.3)
    np.testing.assert_allclose(jnp.exp(found["log_std_0"]), [0.2, 0.3], rtol=1e-6)
    np.testing.assert_allclose(jnp.exp(found["log_std_2"]), [0.3], rtol=1e-6)
    assert found["head"] is params["head"] and float(space.widest(params)) == pytest.approx(0.7)
    free = space.project(params)
    assert all((free[name] == params[name]).all() for name in ("log_std_0", "log_std_2"))
    assert float(Discrete(2).widest({})) == 0


def test_members_differ_only_by_their_own_hyper_parameters():
    keys = jax.random.split(jax.random.key(5), 3)
    each = [ppo.init(NETWORKS, np.random.SeedSequence(m), N) for m in range(3)]
    states = jax.tree.map(lambda *x: np.stack(x), *each)
    rates = np.array([0.0, 1e-3, 1e-2], np.float32)
    h = jax.tree.map(lambda x: np.full(3, x), hyper())._replace(learning_rate=rates)
    segments = jax.vmap(lambda s, k: rollout(NETWORKS, s, k, lambda obs, a: obs[..., 0] * a))(
        states, keys
    )
    together, _ = jax.vmap(lambda s, r, h: ppo.update(NETWORKS, STATIC, s, r, h, s.policy))(
        states, segments, h
    )
    for m in range(3):
        mine = jax.tree.map(lambda x, m=m: x[m], (states, segments, h))
        alone, _ = ppo.update(NETWORKS, STATIC, *mine, mine[0].policy)
        jax.tree.map(
            lambda a, b, m=m: np.testing.assert_allclose(a[m], b, atol=2e-4),
            together.policy,
            alone.policy,
        )


def test_the_two_halves_of_an_update_make_a_whole():
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    segment = rollout(NETWORKS, state, jax.random.key(7), lambda obs, a: obs[..., 0] * a)
    update = jax.jit(ppo.update, static_argnums=(0, 1))
    whole, means = update(NETWORKS, STATIC, state, segment, hyper(), state.policy)
    halves = [
        update(NETWORKS, STATIC, state, segment, hyper(), state.policy, None, np.array(learns))
        for learns in ([True, False], [False, True])
    ]
    merged, merged_means = ppo_update.merge(*halves)
    assert bits(merged) == bits(whole)
    assert bits(merged_means) == bits(means)
    # Neither half does the other's work.
    assert bits(halves[0][0].value_params) == bits(state.value_params)
    assert bits(halves[1][0].policy.params) == bits(state.policy.params)


def test_values_beyond_a_truncation_are_the_final_observations():
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    obs = jax.random.normal(jax.random.key(1), (T + 1, N, 2))
    final = jax.random.normal(jax.random.key(2), (T, N, 2))
    cut = np.zeros((T, N), np.float32)
    zeros = jnp.zeros((T, N))
    for where in ([], [(3, 1), (T - 1, 0)]):
        for t, n in where:
            cut[t, n] = 1.0
        next_obs = jnp.where(cut[..., None] > 0, final, obs[1:])
        segment = Rollout(obs[:-1], zeros, zeros, zeros, next_obs, zeros, jnp.asarray(cut))
        value, next_value, _ = jax.jit(ppo.values, static_argnums=0)(NETWORKS, state, segment)
        stats = state.policy.obs_stats
        np.testing.assert_allclose(
            value, NETWORKS.value(state.value_params, stats, segment.obs), atol=1e-6
        )
        np.testing.assert_allclose(
            next_value, NETWORKS.value(state.value_params, stats, next_obs), atol=1e-6
        )


def test_rows_that_are_not_valid_are_not_learned_from():
    state = ppo.init(NETWORKS, np.random.SeedSequence(0), N)
    segment = rollout(NETWORKS, state, jax.random.key(7), lambda obs, a: obs[..., 0] * a)
    valid = np.ones((T, N), np.float32)
    valid[4, 2] = valid[20, 0] = valid[21, 5] = 0.0
    segment = segment._replace(valid=jnp.asarray(valid))
    out = valid == 0
    poisoned = segment._replace(
        action=jnp.where(out, 1 - segment.action, segment.action),
        log_prob=jnp.where(out, -9.0, segment.log_prob),
        obs=jnp.where(out[..., None], 50.0, segment.obs),
    )
    # The value of an observation enters the advantage of its own row alone; all rows end episodes.
    update = jax.jit(ppo.update, static_argnums=(0, 1))
    args = (hyper(adapt_stats=1.0), state.policy)
    a, means = update(NETWORKS, STATIC, state, segment, *args)
    b, same = update(NETWORKS, STATIC, state, poisoned, *args)
    learned = lambda s: (s.policy, s.value_params, s.return_stats.stats)  # noqa: E731
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), learned(a), learned(b))
    for name in ("policy_loss", "value_loss", "approx_kl", "explained_variance", "clone_kl"):
        np.testing.assert_allclose(means[name], same[name], atol=1e-5)
    whole, _ = update(NETWORKS, STATIC, state, segment._replace(valid=None), *args)
    assert bits(whole.policy) != bits(a.policy)
