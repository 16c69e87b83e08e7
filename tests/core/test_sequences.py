"""Episodes cut into sequences, and what is learned from them, against a naive loop."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmaze.core import (
    bc,
    bc_sequences,
    critic_sequences,
    losses,
    optimizer,
    ppo,
    ppo_cloning,
    sequences,
)
from jaxmaze.core.critic import Returns
from jaxmaze.core.networks import Networks
from jaxmaze.core.observations import Observations
from jaxmaze.core.spaces import Discrete, Spaces
from jaxmaze.core.types import Demonstrations, NetworkSpec, Policy

NETWORKS = Networks(
    Spaces(Observations.array(3), Discrete(4)), NetworkSpec((6,), "tanh", "mlp", "gru", 5)
)
LENGTHS = np.array([3, 11, 1, 8, 5])
ROWS = int(LENGTHS.sum())
STARTS = np.cumsum(LENGTHS) - LENGTHS


@pytest.fixture
def few(monkeypatch):
    """Fewer episodes side by side than there are."""
    monkeypatch.setattr(sequences, "GROUP", 2)


def data(longest=4, cuts=None):
    rng = np.random.default_rng(0)
    return Demonstrations(
        rng.normal(size=(ROWS, 3)).astype(np.float32),
        rng.integers(0, 4, ROWS).astype(np.int32),
        sequences=sequences.cut(LENGTHS, longest) if cuts is None else cuts,
    )


def policy():
    params = NETWORKS.init_policy(np.random.SeedSequence(1))
    params["head"]["kernel"] *= 100
    return Policy(params, NETWORKS.init_stats())


def whole(policy, rows, episode):
    """An episode's distribution, from its first step to its last."""
    at = slice(STARTS[episode], STARTS[episode] + LENGTHS[episode])
    begin = np.zeros((LENGTHS[episode], 1), np.float32)
    begin[0] = 1.0
    dist, carries = NETWORKS.follow(*policy, rows.obs[at][:, None], NETWORKS.blank(begin))
    return at, dist, carries[:, 0]


def marked(*episodes):
    weight = np.zeros(ROWS, bool)
    for e in episodes:
        weight[STARTS[e] : STARTS[e] + LENGTHS[e]] = True
    return weight


@pytest.mark.parametrize("longest", [1, 3, 4, 100])
def test_episodes_are_cut_into_nearly_equal_parts_that_cover_them(longest):
    cuts = sequences.cut(LENGTHS, longest)
    rows = [np.arange(s, s + n) for s, n in zip(cuts.start, cuts.length, strict=True)]
    np.testing.assert_array_equal(np.concatenate(rows), np.arange(ROWS))
    assert cuts.length.max() <= longest and len(cuts.time) == cuts.length.max()
    for e, (first, parts) in enumerate(zip(cuts.first, cuts.parts, strict=True)):
        assert cuts.length[first : first + parts].sum() == LENGTHS[e]
        assert np.ptp(cuts.length[first : first + parts]) <= 1
        np.testing.assert_array_equal(cuts.begin[first : first + parts], np.arange(parts) == 0)
        assert (cuts.episode[first : first + parts] == e).all()
    assert (np.diff(cuts.parts[cuts.order]) <= 0).all()


def test_every_marked_step_is_visited_once_with_what_came_before(few):
    rows, weight, own = data(), marked(1, 3, 4), policy()

    def visit(total, part):
        seen, values = total
        obs = bc_sequences.rows_at(rows, part.rows).obs
        dist, passed = NETWORKS.follow(*own, obs, part.memory)
        at = jnp.where(part.mask > 0, part.rows, ROWS)
        log_prob = dist.log_prob(jnp.zeros(at.shape, int))
        return (seen.at[at].add(1.0, mode="drop"), values.at[at].set(log_prob, mode="drop")), passed

    cuts, zeros = rows.sequences, jnp.zeros(ROWS)
    episodes = sequences.marked_episodes(cuts, weight)
    (seen, values), carries = sequences.walk(cuts, episodes, 5, visit, (zeros, zeros))
    np.testing.assert_array_equal(seen, weight)
    for e in (1, 3, 4):
        at, dist, passed = whole(own, rows, e)
        wanted = dist.log_prob(np.zeros((LENGTHS[e], 1), int))[:, 0]
        np.testing.assert_allclose(values[at], wanted, atol=1e-5)
        np.testing.assert_allclose(carries.end[e], passed[-1], atol=1e-5)
        for c in range(cuts.first[e], cuts.first[e] + cuts.parts[e]):
            k = cuts.start[c] - STARTS[e]
            before = np.zeros(5) if k == 0 else passed[k - 1]
            np.testing.assert_allclose(carries.start[c], before, atol=1e-5)


def test_evaluation_is_the_mean_over_whole_episodes(few):
    rows, own = data(), policy()
    found = bc_sequences.evaluate(NETWORKS, own, rows, marked(0, 1, 2))
    losses_, hits = [], []
    for e in (0, 1, 2):
        at, dist, _ = whole(own, rows, e)
        losses_ += (-dist.log_prob(rows.action[at][:, None])[:, 0]).tolist()
        hits += (dist.mode()[:, 0] == rows.action[at]).tolist()
    assert found["policy_loss"] == pytest.approx(np.mean(losses_), abs=1e-5)
    assert found["discrete_accuracy"] == pytest.approx(np.mean(hits), abs=1e-6)


def test_rows_weigh_what_they_are_said_to(few):
    rows, own = data(), policy()
    weight = np.where(marked(1), 3.0, 1.0).astype(np.float32)
    found = bc_sequences.evaluate(NETWORKS, own, rows._replace(weight=weight), marked(0, 1))
    each = [bc_sequences.evaluate(NETWORKS, own, rows, marked(e))["policy_loss"] for e in (0, 1)]
    share = np.array([3.0, 33.0]) / 36
    assert found["policy_loss"] == pytest.approx(float(np.dot(share, each)), abs=1e-5)


def hyper(num_epochs=9):
    values = (3e-3, 0.0, 0.0, np.inf)
    return bc.Hyper(*(np.float32(x) for x in values), np.int32(num_epochs))


def test_a_pass_of_one_minibatch_is_one_step_on_whole_episodes():
    """Gradients of whole episodes, by hand; rows that only fill up change nothing."""
    rows, weight = data(longest=100), marked(0, 1, 3)
    stats = bc.statistics(NETWORKS, rows.obs, weight)
    state = bc.init(NETWORKS, np.random.SeedSequence(0), jax.device_get(stats))

    def loss(params):
        total = 0.0
        for e in (0, 1, 3):
            at, dist, _ = whole(Policy(params, stats), rows, e)
            total -= dist.log_prob(rows.action[at][:, None]).sum()
        return total / weight.sum()

    wanted, _, norm = optimizer.step(
        state.policy.params, state.opt_state, jax.grad(loss)(state.policy.params), 3e-3
    )
    for cuts in (rows.sequences, sequences.filled(rows.sequences, 9, 8)):
        own = rows._replace(sequences=cuts)
        after, means = bc_sequences.epoch(NETWORKS, 200, 4, state, own, weight, hyper())
        assert means["policy_loss"] == pytest.approx(float(loss(state.policy.params)), abs=1e-5)
        assert means["policy_grad_norm"] == pytest.approx(float(norm), rel=1e-3)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), after.policy.params, wanted
        )
        assert after.epoch == 1


def test_sequences_begin_with_what_was_before_them(few):
    """Where nothing is learned, a pass over short sequences sees what whole episodes show."""
    rows, weight = data(longest=3), marked(0, 1, 3)
    state = bc.init(NETWORKS, np.random.SeedSequence(0), NETWORKS.init_stats())
    state = state._replace(policy=policy())
    still = hyper()._replace(learning_rate=np.float32(0.0))
    _, means = bc_sequences.epoch(NETWORKS, 6, 99, state, rows, weight, still)
    wanted = bc_sequences.evaluate(NETWORKS, policy(), rows, weight)
    for name in ("policy_loss", "discrete_accuracy", "policy_entropy"):
        assert means[name] == pytest.approx(float(wanted[name]), abs=1e-5)


def test_a_member_that_has_stopped_stays_as_it_is():
    rows, weight = data(), marked(0, 1, 3)
    state = bc.init(NETWORKS, np.random.SeedSequence(0), NETWORKS.init_stats())
    after, _ = bc_sequences.epoch(NETWORKS, 8, 9, state, rows, weight, hyper(0))
    jax.tree.map(np.testing.assert_array_equal, after.policy, state.policy)
    moved, _ = bc_sequences.epoch(NETWORKS, 8, 9, state, rows, weight, hyper())
    assert not np.array_equal(
        moved.policy.params["head"]["kernel"], state.policy.params["head"]["kernel"]
    )


def test_data_sets_of_several_members_are_filled_up():
    each = [LENGTHS, LENGTHS[:2]]
    both = sequences.together(each, 4)
    assert both.start.shape == (2, 8 if len(sequences.cut(LENGTHS, 4).start) <= 8 else 16)
    assert both.parts.shape == (2, 8)
    rows, own = data(), policy()
    small = rows._replace(sequences=jax.tree.map(lambda x: x[1], both))
    found = bc_sequences.evaluate(NETWORKS, own, small, marked(0, 1))
    wanted = bc_sequences.evaluate(NETWORKS, own, rows, marked(0, 1))
    assert found["policy_loss"] == pytest.approx(float(wanted["policy_loss"]), abs=1e-6)


def returns(rows):
    rng = np.random.default_rng(3)
    left = np.zeros(ROWS, np.float32)
    left[STARTS[1] : STARTS[1] + LENGTHS[1]] = 0.9 ** np.arange(LENGTHS[1], 0, -1)
    return Returns(
        rows.obs,
        rng.normal(size=ROWS).astype(np.float32),
        left,
        np.repeat(np.arange(5), LENGTHS).astype(np.int32),
        rng.normal(size=(5, 3)).astype(np.float32),
        np.float32(0),
        np.float32(2),
        sequences=rows.sequences,
    )


@pytest.mark.parametrize("first,count", [(14, 14), (15, 8)])
def test_fine_tuning_goes_on_cloning_from_sequences_of_ones_own(first, count):
    rows = data()
    context = types.SimpleNamespace(
        networks=NETWORKS,
        stats=NETWORKS.init_stats(),
        hyper=types.SimpleNamespace(demo_first=first, demo_count=count),
        static=types.SimpleNamespace(batch_size=8),
    )
    take, (start, number), _ = ppo_cloning.shows(context, policy().params, rows)
    shown, weight, _ = take(start + jnp.arange(int(number)))
    seen = np.asarray(shown.obs)[np.asarray(weight) > 0]
    assert {x.tobytes() for x in seen} == {x.tobytes() for x in rows.obs[first : first + count]}
    assert len(seen) == count


def test_a_critic_that_remembers_is_fitted_to_returns(few):
    rows = data()
    given, state = returns(rows), ppo.init(NETWORKS, np.random.SeedSequence(0), 2)
    value, target, _ = critic_sequences.judged(NETWORKS, state, state.value_params, given)
    for e in range(5):
        at = slice(STARTS[e], STARTS[e] + LENGTHS[e])
        begin = np.zeros((LENGTHS[e] + 1, 1), np.float32)
        begin[0] = 1.0
        seen = np.concatenate([rows.obs[at], given.final_obs[e][None]])[:, None]
        wanted = NETWORKS.value(
            state.value_params, state.policy.obs_stats, seen, NETWORKS.blank(begin)
        )[:, 0]
        np.testing.assert_allclose(value[at], wanted[:-1], atol=1e-5)
        beyond = given.reward_to_go[at] / 2 + given.left[at] * wanted[-1]
        np.testing.assert_allclose(target[at], beyond, atol=1e-5)
    own = ppo.Hyper(*[np.float32(0.0)] * len(ppo.Hyper._fields))
    own = own._replace(value_coef=1.0, value_learning_rate=1e-2, max_grad_norm=np.inf)
    after, means = critic_sequences.fit(NETWORKS, 8, 60, state, given, own)
    assert means["explained_variance"] > 0.6
    jax.tree.map(np.testing.assert_array_equal, after.policy, state.policy)
    fitted = critic_sequences.judged(NETWORKS, state, after.value_params, given)[0]
    assert losses.value_loss(fitted, target) < 0.5 * losses.value_loss(value, target)
