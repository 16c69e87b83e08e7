"""Behavioural cloning of recurrent networks: :mod:`jaxmaze.core.bc`'s functions on sequences.

Each minibatch consists of sequences cut from episodes, padded and masked; losses and metrics are
means over their steps. Data are evaluated in whole episodes, with the hidden state carried along
from each episode's start.
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import optax

from jaxmaze.core import bc, losses, normalization, optimizer, sequences, shuffle
from jaxmaze.core.memory import Memory
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Array, Demonstrations, Params, Policy, PyTree, Sequences


def batch_of(batch_size: int, steps: int) -> int:
    """The number of sequences, each of at most ``steps`` steps, in ``batch_size`` steps."""
    return max(batch_size // steps, 1)


def rows_at(data: Demonstrations, index: Array) -> Demonstrations:
    """The rows ``index`` ``[L, B]``; an index out of range takes the last row."""
    rows = data._replace(sequences=None)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf).at[index].get(mode="clip"), rows)


def counting(weight: Array, batch: Demonstrations) -> Array:
    """``weight`` ``[L, B]`` of the steps times each row's own weight."""
    return weight if batch.weight is None else weight * batch.weight


def _cuts(data: Demonstrations) -> Sequences:
    assert data.sequences is not None, "networks that remember need to know where episodes begin"
    return data.sequences


def _loss(
    networks: Networks,
    stats: normalization.RunningStats,
    entropy_coef: Array | float,
    params: Params,
    batch: Demonstrations,
    weight: Array,
    memory: Memory,
) -> tuple[Array, tuple[bc.Metrics, Array]]:
    """The cloning loss of sequences ``[L, B]``, its metrics, and the hidden state of each step."""
    dist, passed = networks.follow(params, stats, batch.obs, memory)
    weight = counting(weight, batch)
    loss, entropy = losses.cloning_loss(dist, batch.action, weight, entropy_coef)
    agreement = networks.spaces.action.agreement(dist, batch.action, weight)
    return loss, ({"policy_loss": loss, "policy_entropy": entropy, **agreement}, passed)


def remembered(
    networks: Networks,
    params: Params,
    stats: normalization.RunningStats,
    data: Demonstrations,
    marked: Array,
) -> sequences.Carries:
    """The policy's hidden state at the start of each sequence of ``marked`` ``[E]`` episodes."""

    def visit(total: PyTree, part: sequences.Part) -> tuple[PyTree, Array]:
        obs = rows_at(data, part.rows).obs
        return total, networks.follow(params, stats, obs, part.memory)[1]

    return sequences.walk(_cuts(data), marked, networks.carry_size, visit, ())[1]


def epoch(
    networks: Networks,
    batch_size: int,
    steps: int,
    state: bc.State,
    data: Demonstrations,
    weight: Array,
    hyper: bc.Hyper,
) -> tuple[bc.State, bc.Metrics]:
    """One pass over the member's training sequences in shuffled minibatches.

    As :func:`jaxmaze.core.bc.epoch`; ``weight`` marks whole episodes, and a minibatch has enough
    sequences to make up ``batch_size`` steps.
    """
    chex.assert_rank(weight, 1)
    chex.assert_equal_shape_prefix([data.action, weight], 1)
    cuts, stats = _cuts(data), state.policy.obs_stats
    active = ~state.stopped & (state.epoch < hyper.num_epochs)
    key = jax.random.fold_in(shuffle.key_of(state.key), state.epoch)
    episodes = sequences.marked_episodes(cuts, weight)
    trains = episodes[cuts.episode] & (jnp.asarray(cuts.length) > 0)
    size = batch_of(batch_size, len(cuts.time))
    order = jnp.asarray(shuffle.marked_first(shuffle.permutation(key, len(cuts.start)), trains))
    count = trains.sum()
    start = remembered(networks, state.policy.params, stats, data, episodes & active).start

    def loss_fn(params: Params, *batch: PyTree) -> tuple[Array, bc.Metrics]:
        loss, (metrics, _) = _loss(networks, stats, hyper.entropy_coef, params, *batch)
        return loss, metrics

    def drawn(i: Array) -> tuple[Demonstrations, Array, Memory]:
        place = i * size + jnp.arange(size)
        which = order.at[place].get(mode="clip")
        index, mask, begin = sequences.take(cuts, which)
        return rows_at(data, index), mask * (place < count), Memory(start[which], begin)

    def minibatch(i: Array, carry: PyTree) -> PyTree:
        params, opt_state, totals = carry
        batch, w, memory = drawn(i)
        grads, metrics = jax.grad(loss_fn, has_aux=True)(params, batch, w, memory)
        rate = bc.learning_rate(hyper, state.epoch, i / minibatches)
        new_params, new_opt, grad_norm = optimizer.step(
            params, opt_state, grads, rate, hyper.max_grad_norm, hyper.weight_decay
        )
        new = (networks.project(new_params), new_opt)
        params, opt_state = optimizer.where(active, new, (params, opt_state))
        metrics |= {"policy_grad_norm": grad_norm, "steps": jnp.ones(())}
        w = counting(w, batch)
        return params, opt_state, jax.tree.map(lambda t, x: t + x * w.sum(), totals, metrics)

    shapes = jax.eval_shape(lambda: loss_fn(state.policy.params, *drawn(jnp.int32(0))))[1]
    totals = {name: jnp.zeros(()) for name in (*shapes, "policy_grad_norm", "steps")}
    # For a stopped member, one minibatch suffices to report its loss; more would change nothing.
    minibatches = jnp.where(active, jnp.minimum(steps, -(-count // size)), 1)
    params, opt_state, totals = jax.lax.fori_loop(
        0, minibatches, minibatch, (state.policy.params, state.opt_state, totals)
    )
    used = totals.pop("steps")
    means = {name: x / jnp.maximum(used, 1) for name, x in totals.items()}
    means["policy_l2_norm"] = optax.tree.norm(params)
    state = state._replace(
        policy=state.policy._replace(params=params),
        opt_state=opt_state,
        epoch=state.epoch + active.astype(jnp.int32),
    )
    return state, means


def evaluate(
    networks: Networks,
    policy: Policy,
    data: Demonstrations,
    weight: Array,
    entropy_coef: Array | float = 0.0,
) -> bc.Metrics:
    """Loss, gradient norm and accuracy over the whole episodes that ``weight`` marks.

    As in training, gradients are backpropagated to the start of each sequence only.
    """
    cuts, stats = _cuts(data), policy.obs_stats

    def graded(part: sequences.Part) -> PyTree:
        def loss_fn(params: Params) -> tuple[Array, tuple[bc.Metrics, Array]]:
            batch = rows_at(data, part.rows)
            return _loss(networks, stats, entropy_coef, params, batch, part.mask, part.memory)

        grads, (means, passed) = jax.grad(loss_fn, has_aux=True)(policy.params)
        return (grads, means), passed

    def visit(total: PyTree, part: sequences.Part) -> tuple[PyTree, Array]:
        found, passed = graded(part)
        w = counting(part.mask, rows_at(data, part.rows)).sum()
        return jax.tree.map(lambda t, x: t + x * w, total, found), passed

    # The structure of the sums, derived from the first sequence without computing anything.
    index, mask, begin = sequences.take(cuts, jnp.zeros(1, jnp.int32))
    blank = Memory(jnp.zeros((1, networks.carry_size)), begin)
    shapes = jax.eval_shape(lambda: graded(sequences.Part(index, mask, blank)))[0]
    zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    marked = sequences.marked_episodes(cuts, weight)
    total, _ = sequences.walk(cuts, marked, networks.carry_size, visit, zero)
    steps = counting((jnp.asarray(weight) > 0).astype(jnp.float32), data).sum()
    grads, means = jax.tree.map(lambda x: x / jnp.maximum(steps, 1), total)
    return means | {
        "policy_l2_norm": optax.tree.norm(policy.params),
        "policy_grad_norm": optax.tree.norm(grads),
    }
