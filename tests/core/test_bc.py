"""Behavioural cloning on problems with known answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmaze.core import bc, shuffle
from jaxmaze.core.networks import Networks
from jaxmaze.core.observations import Observations
from jaxmaze.core.spaces import Box, Discrete, Spaces
from jaxmaze.core.types import Demonstrations, NetworkSpec

DISCRETE = Networks(Spaces(Observations.array(2), Discrete(3)), NetworkSpec((16,)))
CONTINUOUS = Networks(Spaces(Observations.array(2), Box((-1.0,), (1.0,))), NetworkSpec((16,)))


def hyper(**changes):
    values = dict(
        learning_rate=1e-2,
        entropy_coef=0.0,
        weight_decay=0.0,
        max_grad_norm=np.inf,
        num_epochs=1000,
    )
    return bc.Hyper(**(values | changes))


def problem(rows=300, continuous=False):
    rng = np.random.default_rng(0)
    obs = rng.normal(5, 3, size=(rows, 2)).astype(np.float32)
    if continuous:
        action = np.clip((obs[:, :1] - 5) / 6 + rng.normal(size=(rows, 1)) * 0.1, -1, 1)
        return Demonstrations(obs, action.astype(np.float32))
    return Demonstrations(
        obs, ((obs[:, 0] > 5).astype(np.int32) + (obs[:, 1] > 5)).astype(np.int32)
    )


def on_device(data):
    return jax.tree.map(jnp.asarray, data)


def fresh(networks, data, weight, seed=0):
    stats = bc.statistics(networks, data.obs, weight)
    return bc.init(networks, np.random.SeedSequence(seed), stats)


def train(networks, data, weight, epochs, batch_size=32, **changes):
    steps = -(-int(weight.sum()) // batch_size)
    state = fresh(networks, data, weight)
    epoch = jax.jit(bc.epoch, static_argnums=(0, 1, 2))
    for _ in range(epochs):
        state, metrics = epoch(networks, batch_size, steps, state, data, weight, hyper(**changes))
    return state, metrics


def test_a_separable_teacher_is_cloned():
    data, weight = problem(), np.ones(300, np.float32)
    state, metrics = train(DISCRETE, data, weight, 60)
    assert float(metrics["discrete_accuracy"]) > 0.95
    held_out = bc.evaluate(DISCRETE, state.policy, data, weight)
    assert float(held_out["discrete_accuracy"]) > 0.95


def test_a_gaussian_teacher_is_cloned_with_its_deviation():
    data, weight = problem(continuous=True), np.ones(300, np.float32)
    state, _ = train(CONTINUOUS, data, weight, 150)
    dist = CONTINUOUS.distribution(state.policy.params, state.policy.obs_stats, data.obs)
    assert float(np.abs(dist.mean - data.action).mean()) < 0.1
    assert float(np.exp(dist.log_std).mean()) == pytest.approx(0.1, rel=0.3)


def test_probabilities_of_a_stochastic_teacher_are_learned():
    rng = np.random.default_rng(1)
    data = Demonstrations(
        np.ones((3000, 2), np.float32), rng.choice(3, 3000, p=[0.6, 0.3, 0.1]).astype(np.int32)
    )
    state, _ = train(DISCRETE, data, np.ones(3000, np.float32), 30, batch_size=1000)
    logits = DISCRETE.distribution(state.policy.params, state.policy.obs_stats, data.obs[:1]).logits
    share = np.bincount(data.action) / 3000
    np.testing.assert_allclose(jax.nn.softmax(logits)[0], share, atol=0.03)


def test_statistics_and_updates_come_from_the_training_rows_alone():
    data = problem()
    weight = np.ones(300, np.float32)
    weight[200:] = 0
    poisoned = Demonstrations(data.obs.copy(), data.action.copy())
    poisoned.obs[200:] = 1e3
    poisoned.action[200:] = 2
    a, _ = train(DISCRETE, data, weight, 3)
    b, _ = train(DISCRETE, poisoned, weight, 3)
    jax.tree.map(np.testing.assert_array_equal, a.policy, b.policy)
    np.testing.assert_allclose(a.policy.obs_stats.mean, data.obs[:200].mean(0), rtol=1e-4)


def test_every_training_row_is_used_once_an_epoch():
    # With nothing learned, the weighted mean over an epoch's minibatches is that over its rows.
    data = on_device(problem(rows=50))
    weight = (np.arange(50) % 3 > 0).astype(np.float32)
    state = fresh(DISCRETE, data, weight)
    _, more = bc.epoch(DISCRETE, 7, 8, state, data, weight, hyper(learning_rate=0.0))
    whole = bc.evaluate(DISCRETE, state.policy, data, weight)
    for name in ("policy_loss", "policy_entropy", "discrete_accuracy"):
        assert float(more[name]) == pytest.approx(float(whole[name]), rel=1e-5)


def test_more_minibatches_than_a_member_has_rows_for_change_nothing():
    data, weight = on_device(problem(rows=60)), np.ones(60, np.float32)
    state = fresh(DISCRETE, data, weight)
    exact, _ = bc.epoch(DISCRETE, 20, 3, state, data, weight, hyper())
    longer, _ = bc.epoch(DISCRETE, 20, 5, state, data, weight, hyper())
    jax.tree.map(np.testing.assert_array_equal, exact.policy, longer.policy)


def test_evaluation_in_chunks_equals_one_pass(monkeypatch):
    data, weight = problem(), (np.arange(300) % 2).astype(np.float32)
    state = fresh(DISCRETE, data, weight)
    whole = bc.evaluate(DISCRETE, state.policy, data, weight)
    monkeypatch.setattr(bc, "EVALUATION_CHUNK", 64)
    chunked = bc.evaluate(DISCRETE, state.policy, data, weight)
    assert float(whole["policy_grad_norm"]) > 0
    for name in whole:
        assert float(whole[name]) == pytest.approx(float(chunked[name]), rel=1e-5)


def test_entropy_bonus_and_weight_decay_do_what_they_say():
    data, weight = problem(), np.ones(300, np.float32)
    plain, m0 = train(DISCRETE, data, weight, 20)
    _, m1 = train(DISCRETE, data, weight, 20, entropy_coef=0.5)
    decayed, _ = train(DISCRETE, data, weight, 20, weight_decay=1.0)
    assert float(m1["policy_entropy"]) > float(m0["policy_entropy"]) + 0.1
    norm = lambda s: sum(float((x**2).sum()) for x in jax.tree.leaves(s.policy.params))  # noqa: E731
    assert norm(decayed) < 0.9 * norm(plain)


def test_the_best_is_copied_and_patience_stops():
    data, weight = on_device(problem(rows=60)), np.ones(60, np.float32)
    state = fresh(DISCRETE, data, weight)
    scores, stopped_at = [1.0, 3.0, 2.0, 2.5, 9.0], None
    kept = None
    for i, score in enumerate(scores, start=1):
        state, _ = bc.epoch(DISCRETE, 20, 3, state, data, weight, hyper())
        if i == 2:
            kept = jax.tree.map(np.asarray, state.policy)
        state = bc.select(state, score >= max(scores[:i]), 2)
        if bool(state.stopped) and stopped_at is None:
            stopped_at = i
    assert stopped_at == 4 and int(state.best_epoch) == 2
    jax.tree.map(np.testing.assert_array_equal, state.best, kept)
    assert int(state.epoch) == 4  # the fifth epoch changed nothing


def test_members_vmapped_equal_members_alone():
    data = on_device(problem())
    weights = np.stack([np.arange(300) < 200, np.arange(300) >= 150]).astype(np.float32)
    h = jax.tree.map(lambda x: np.full(2, x, np.float32), hyper())
    each = [fresh(DISCRETE, data, weight, seed) for seed, weight in enumerate(weights)]
    states = jax.tree.map(lambda *x: np.stack(x), *each)

    def one(state, weight, h):
        return bc.epoch(DISCRETE, 32, 7, state, data, weight, h)[0].policy

    together = jax.vmap(one)(states, weights, h)
    for m in range(2):
        alone = one(each[m], weights[m], jax.tree.map(lambda x, m=m: x[m], h))
        jax.tree.map(
            lambda a, b, m=m: np.testing.assert_allclose(a[m], b, atol=1e-5), together, alone
        )


def test_the_gradient_of_an_evaluation_is_that_of_the_whole_loss():
    data, weight = on_device(problem()), (np.arange(300) % 3 == 0).astype(np.float32)
    state = fresh(DISCRETE, data, weight)

    def loss(params):
        dist = DISCRETE.distribution(params, state.policy.obs_stats, data.obs)
        return -(dist.log_prob(data.action) * weight).sum() / weight.sum()

    grads = jax.grad(loss)(state.policy.params)
    expected = np.sqrt(sum(float((g**2).sum()) for g in jax.tree.leaves(grads)))
    norm = bc.evaluate(DISCRETE, state.policy, data, weight)["policy_grad_norm"]
    assert float(norm) == pytest.approx(expected, rel=1e-4)


def test_statistics_in_parts_equal_one_pass(monkeypatch):
    data, weight = on_device(problem()), np.arange(300) % 3 > 0
    whole = fresh(DISCRETE, data, weight).policy.obs_stats
    monkeypatch.setattr(bc, "STATISTICS_CHUNK", 64)
    parts = fresh(DISCRETE, data, weight).policy.obs_stats
    assert float(parts.count) == float(whole.count) == 200
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-5)
    np.testing.assert_allclose(parts.var, whole.var, rtol=1e-5)


def test_marked_rows_come_first_and_in_order():
    order, weight = np.random.default_rng(0).permutation(1000), np.arange(1000) % 5 > 0
    expected = np.concatenate([order[weight[order]], order[~weight[order]]])
    np.testing.assert_array_equal(shuffle.marked_first(jnp.asarray(order), weight), expected)


def test_a_member_that_has_stopped_changes_nothing_and_tells_its_loss():
    data, weight = on_device(problem()), np.ones(300, np.float32)
    state, _ = train(DISCRETE, data, weight, 5)
    stopped = state._replace(stopped=jnp.array(True))
    after, means = bc.epoch(DISCRETE, 32, 10, stopped, data, weight, hyper())
    jax.tree.map(np.testing.assert_array_equal, after, stopped)
    held_out = bc.evaluate(DISCRETE, state.policy, data, weight)
    assert float(means["policy_loss"]) == pytest.approx(float(held_out["policy_loss"]), abs=0.15)
    assert float(means["policy_loss"]) > 0


def test_rows_may_be_marked_by_booleans():
    data, mask = on_device(problem(rows=60)), np.arange(60) % 4 > 0
    results = []
    for weight in (mask, mask.astype(np.float32)):
        state = fresh(DISCRETE, data, weight)
        state, means = bc.epoch(DISCRETE, 20, 3, state, data, weight, hyper())
        results.append((state, means, bc.evaluate(DISCRETE, state.policy, data, weight)))
    jax.tree.map(np.testing.assert_array_equal, *results)


def test_a_gradient_limit_holds_the_clone_back():
    # Far below Adam's epsilon, its steps shrink with the gradient.
    data, weight = problem(), np.ones(300, np.float32)
    start = fresh(DISCRETE, data, weight)
    far, _ = train(DISCRETE, data, weight, 1)
    near, _ = train(DISCRETE, data, weight, 1, max_grad_norm=1e-9)

    def moved(state):
        pairs = zip(jax.tree.leaves(state.policy), jax.tree.leaves(start.policy), strict=True)
        return max(float(np.abs(a - b).max()) for a, b in pairs)

    assert moved(far) > 1e-2 and 0 < moved(near) < 1e-4


def test_a_row_of_weight_two_is_as_two_rows():
    data = on_device(problem(rows=40))
    count = np.arange(40) % 3  # 0, 1 or 2 times
    index = np.repeat(np.arange(40), count)
    often = Demonstrations(data.obs[index], data.action[index])
    weighted = data._replace(weight=jnp.asarray(count / count.mean(), jnp.float32))
    state = fresh(DISCRETE, data, np.ones(40, np.float32))
    evaluate = jax.jit(bc.evaluate, static_argnums=0)
    epoch = jax.jit(bc.epoch, static_argnums=(0, 1, 2))

    def of(data):  # evaluated, and after one minibatch of all its rows
        rows = len(data.action)
        ones = np.ones(rows, np.float32)
        after, means = epoch(DISCRETE, rows, 1, state, data, ones, hyper())
        return evaluate(DISCRETE, state.policy, data, ones), means, after.policy.params

    level = data._replace(weight=jnp.ones(40))
    heavy, twice, plain = of(weighted), of(often), of(level)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-5), heavy, twice)
    for one, other in zip(heavy[:2], plain[:2], strict=True):
        assert float(one["policy_grad_norm"]) != pytest.approx(float(other["policy_grad_norm"]))


def test_weighted_means_over_minibatches_are_those_over_the_rows():
    weight = jnp.asarray(np.linspace(0.1, 1.9, 50), jnp.float32)
    data = on_device(problem(rows=50))._replace(weight=weight)
    marked = (np.arange(50) % 3 > 0).astype(np.float32)
    state = fresh(DISCRETE, data, marked)
    epoch = jax.jit(bc.epoch, static_argnums=(0, 1, 2))
    _, more = epoch(DISCRETE, 7, 8, state, data, marked, hyper(learning_rate=0.0))
    whole = jax.jit(bc.evaluate, static_argnums=0)(DISCRETE, state.policy, data, marked)
    assert "rows" not in more
    for name in ("policy_loss", "policy_entropy", "discrete_accuracy"):
        assert float(more[name]) == pytest.approx(float(whole[name]), rel=1e-5)


def test_the_learning_rate_decays_linearly_minibatch_by_minibatch():
    h = hyper(learning_rate=0.1, decay_epochs=4.0)
    # Ten minibatches an epoch: the 25th of 40 starts the third epoch's sixth minibatch.
    assert float(bc.learning_rate(h, jnp.int32(2), 5 / 10)) == pytest.approx(0.1 * (1 - 2.5 / 4))
    assert float(bc.learning_rate(h, jnp.int32(9), 0.0)) == 0.0
    assert float(bc.learning_rate(hyper(learning_rate=0.1), jnp.int32(9), 0.5)) == np.float32(0.1)


def test_an_epoch_takes_the_decayed_steps():
    # Adam's first step is about the learning rate, whatever the gradient.
    data, weight = on_device(problem(rows=40)), np.ones(40, np.float32)
    start = fresh(DISCRETE, data, weight)._replace(epoch=jnp.int32(3))

    def moved(**changes):
        state, _ = bc.epoch(DISCRETE, 40, 1, start, data, weight, hyper(**changes))
        bias = state.policy.params["head"]["bias"] - start.policy.params["head"]["bias"]
        return float(np.abs(bias).max())

    assert moved(decay_epochs=4.0) == pytest.approx(moved() / 4, rel=1e-3)


def test_several_epochs_in_one_call_are_those_one_by_one():
    data, weight = on_device(problem(rows=60)), jnp.ones(60)
    start = fresh(DISCRETE, data, weight)

    def one(state):
        return bc.epoch(DISCRETE, 20, 3, state, data, weight, hyper(decay_epochs=5.0))

    state, means = start, None
    for _ in range(3):
        state, means = one(state)
    together, last = jax.jit(lambda count: bc.repeated(one, start, count))(3)
    assert int(together.epoch) == 3
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), (together, last), (state, means)
    )
