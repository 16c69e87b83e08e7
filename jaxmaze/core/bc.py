"""Behavioural cloning of one member as pure functions: epoch, evaluation, early stopping."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxmaze.core import losses, normalization, optimizer, schedules, shuffle
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Array, Demonstrations, Params, Policy, PyTree, Scalar

EVALUATION_CHUNK = 4096
"""Rows per forward pass when a whole data set is evaluated."""
STATISTICS_CHUNK = 2**16
"""Rows per chunk when computing statistics; the sums take several times the rows' memory."""


class Hyper(NamedTuple):
    """Hyper-parameters of one member, scalars.

    Attributes:
      learning_rate: Adam's step size.
      entropy_coef: weight of the entropy bonus.
      weight_decay: decoupled weight decay.
      max_grad_norm: the gradient is clipped to this global norm.
      num_epochs: epochs after which the member stops; a huge number for no limit.
      decay_epochs: epochs in which the step size decays linearly to 0; infinity for no decay.
    """

    learning_rate: Scalar
    entropy_coef: Scalar
    weight_decay: Scalar
    max_grad_norm: Scalar
    num_epochs: Scalar
    decay_epochs: Scalar = np.inf


class State(NamedTuple):
    """One member's training state.

    Attributes:
      policy: the policy in training, with the observation statistics of its training rows.
      opt_state: Adam's moments.
      key: data ``[2]`` of this member's root key; the epoch is folded in, the key never changes.
      epoch: epochs done.
      best: a copy of the best policy so far.
      best_epoch: the epoch after which ``best`` was copied; 0 before the first.
      stopped: whether early stopping has ended training; a stopped member no longer changes.
    """

    policy: Policy
    opt_state: optax.OptState
    key: Array
    epoch: Array
    best: Policy
    best_epoch: Array
    stopped: Array


Metrics = dict[str, Array]


def init(
    networks: Networks, seed: np.random.SeedSequence, stats: normalization.RunningStats
) -> State:
    """An initial state on the host, given the training rows' ``stats`` (:func:`statistics`)."""
    params = networks.init_policy(shuffle.child(seed, 0))
    policy = Policy(params, stats)
    return State(
        policy=policy,
        opt_state=optimizer.init(params),
        key=shuffle.fresh_key(shuffle.child(seed, 1)),
        epoch=np.zeros((), np.int32),
        best=policy,
        best_epoch=np.zeros((), np.int32),
        stopped=np.zeros((), bool),
    )


def statistics(networks: Networks, obs: Array, weight: Array) -> normalization.RunningStats:
    """Statistics of the observations ``[R, *obs_shape]`` that ``weight`` ``[R]`` marks."""
    rows = weight.shape[0]
    if rows <= STATISTICS_CHUNK:
        return normalization.update_stats(networks.init_stats(), networks.flatten_obs(obs), weight)

    def step(stats: PyTree, start: Array) -> tuple[PyTree, None]:
        place = start + jnp.arange(STATISTICS_CHUNK)
        batch, w = _take((obs, weight), place)
        w = jnp.where(place < rows, w, 0).astype(jnp.float32)
        return normalization.update_stats(stats, networks.flatten_obs(batch), w), None

    obs, weight = jax.tree.map(jnp.asarray, (obs, weight))
    starts = jnp.arange(0, rows, STATISTICS_CHUNK)
    return jax.lax.scan(step, networks.init_stats(), starts)[0]


def _take(data: PyTree, index: Array) -> PyTree:
    """The rows ``index`` ``[B]`` of every leaf ``[R, ...]``; out of range takes the last row.

    Rows are gathered one batch at a time: a padded or reordered copy of the data would take twice
    the memory.
    """
    return jax.tree.map(lambda leaf: leaf.at[index].get(mode="clip"), data)


def _counting(weight: Array, batch: Demonstrations) -> Array:
    """``weight`` ``[B]`` of the marked rows times each row's own weight."""
    return weight if batch.weight is None else weight * batch.weight


def learning_rate(hyper: Hyper, epoch: Array, part: Array) -> Array:
    """The step size after ``epoch`` epochs and a ``part`` of the next one."""
    return hyper.learning_rate * schedules.left(epoch + part, jnp.asarray(hyper.decay_epochs))


def repeated(
    one_epoch: Callable[[State], tuple[State, Metrics]], state: State, count: Array
) -> tuple[State, Metrics]:
    """Run ``count`` epochs, at least one; returns the state and the last epoch's means."""
    _, shapes = jax.eval_shape(one_epoch, state)
    means = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    return jax.lax.fori_loop(0, count, lambda _, carry: one_epoch(carry[0]), (state, means))


def _loss(
    networks: Networks,
    stats: normalization.RunningStats,
    entropy_coef: Array | float,
    params: Params,
    batch: Demonstrations,
    weight: Array,
) -> tuple[Array, Metrics]:
    """The cloning loss of a batch, and its metrics."""
    weight = _counting(weight, batch)
    dist = networks.distribution(params, stats, batch.obs)
    loss, entropy = losses.cloning_loss(dist, batch.action, weight, entropy_coef)
    agreement = networks.spaces.action.agreement(dist, batch.action, weight)
    return loss, {"policy_loss": loss, "policy_entropy": entropy, **agreement}


def epoch(
    networks: Networks,
    batch_size: int,
    steps: int,
    state: State,
    data: Demonstrations,
    weight: Array,
    hyper: Hyper,
) -> tuple[State, Metrics]:
    """One pass over the member's training rows in shuffled minibatches.

    Args:
      networks: static.
      batch_size: static, rows of a minibatch.
      steps: static, the maximum number of minibatches; only as many are run as the member's rows
        fill.
      state: the member's state; unchanged if it has stopped, which then costs one minibatch.
      data: ``R`` rows.
      weight: ``[R]`` True or 1.0 for training rows, else False or 0.0.
      hyper: the member's hyper-parameters.

    Returns:
      The new state and the means over the pass.
    """
    chex.assert_rank(weight, 1)
    chex.assert_equal_shape_prefix([data.action, weight], 1)
    active = ~state.stopped & (state.epoch < hyper.num_epochs)
    key = jax.random.fold_in(shuffle.key_of(state.key), state.epoch)
    order = shuffle.marked_first(shuffle.permutation(key, len(weight)), weight)
    count = (weight > 0).sum()
    loss_fn = functools.partial(_loss, networks, state.policy.obs_stats, hyper.entropy_coef)

    def minibatch(i: Array, carry: PyTree) -> PyTree:
        params, opt_state, totals = carry
        place = i * batch_size + jnp.arange(batch_size)
        w = (place < count).astype(jnp.float32)
        batch = _take(data, _take(order, place))
        grads, metrics = jax.grad(loss_fn, has_aux=True)(params, batch, w)
        rate = learning_rate(hyper, state.epoch, i / minibatches)
        new_params, new_opt, grad_norm = optimizer.step(
            params, opt_state, grads, rate, hyper.max_grad_norm, hyper.weight_decay
        )
        new = (networks.project(new_params), new_opt)
        params, opt_state = optimizer.where(active, new, (params, opt_state))
        metrics |= {"policy_grad_norm": grad_norm}
        w = _counting(w, batch)
        if data.weight is not None:
            metrics |= {"rows": jnp.ones(())}
        return params, opt_state, jax.tree.map(lambda t, x: t + x * w.sum(), totals, metrics)

    shown = jax.tree.map(jnp.asarray, _take(data, jnp.arange(batch_size)))
    _, shapes = jax.eval_shape(loss_fn, state.policy.params, shown, jnp.ones(batch_size))
    names = (*shapes, "policy_grad_norm", *(() if data.weight is None else ("rows",)))
    totals = {name: jnp.zeros(()) for name in names}
    # For a stopped member, one minibatch suffices to report its loss; more would change nothing.
    minibatches = jnp.where(active, jnp.minimum(steps, -(-count // batch_size)), 1)
    params, opt_state, totals = jax.lax.fori_loop(
        0, minibatches, minibatch, (state.policy.params, state.opt_state, totals)
    )
    used = totals.pop("rows", jnp.minimum(count, minibatches * batch_size))
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
) -> Metrics:
    """Loss, gradient norm and accuracy over the rows that ``weight`` ``[R]`` marks."""
    data, weight = jax.tree.map(jnp.asarray, (data, weight))
    rows = weight.shape[0]
    chunk = min(networks.spaces.obs.at_once(EVALUATION_CHUNK), rows)

    loss_fn = functools.partial(_loss, networks, policy.obs_stats, entropy_coef)
    # Marked rows come first, so that no computation is spent on the others.
    order, count = shuffle.marked_first(jnp.arange(rows), weight), (weight > 0).sum()

    def step(i: Array, total: PyTree) -> PyTree:
        place = i * chunk + jnp.arange(chunk)
        batch, w = _take((data, weight), _take(order, place))
        w = jnp.where(place < count, w, 0).astype(jnp.float32)
        grads, means = jax.grad(loss_fn, has_aux=True)(policy.params, batch, w)
        w = _counting(w, batch)
        return jax.tree.map(lambda t, m: t + m * w.sum(), total, (grads, means))

    first = _take((data, weight.astype(jnp.float32)), jnp.arange(chunk))
    shapes = jax.eval_shape(jax.grad(loss_fn, has_aux=True), policy.params, *first)
    zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    total = jax.lax.fori_loop(0, -(-count // chunk), step, zero)
    marked = _counting(weight, data).sum()
    grads, means = jax.tree.map(lambda x: x / jnp.maximum(marked, 1.0), total)
    return means | {
        "policy_l2_norm": optax.tree.norm(policy.params),
        "policy_grad_norm": optax.tree.norm(grads),
    }


def select(state: State, better: Array, patience: Scalar) -> State:
    """Early stopping: copy the policy if it is the best so far, and stop when patience runs out.

    Args:
      state: the member's state after an epoch.
      better: whether the policy is better than ``state.best``; ignored once stopped.
      patience: epochs without improvement after which the member stops; 0 for never.
    """
    better = better & ~state.stopped
    best, best_epoch = optimizer.where(
        better, (state.policy, state.epoch), (state.best, state.best_epoch)
    )
    out = (patience > 0) & (state.epoch - best_epoch >= patience)
    stopped = state.stopped | out
    return state._replace(best=best, best_epoch=best_epoch, stopped=stopped)
