"""PPO's passes over a segment: gradient steps of the policy, and of the critic.

The two share nothing but the order of the rows, so that each may run on a device of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmaze.core import losses, normalization, optimizer, shuffle
from jaxmaze.core.distributions import Distribution
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Array, Params

Metrics = dict[str, Array]


class Static(NamedTuple):
    """What shapes the compiled program; the same for all members.

    Attributes:
      num_epochs: passes over each segment.
      batch_size: rows of a minibatch; divides the segment's ``T * N`` rows.
      num_iterations: iterations of the whole run, for the learning-rate schedule.
      linear_schedule: whether the learning rate falls linearly to 0.
      cloned: whether any member starts from a clone, whose distance is then measured.
      anchored: whether any member is held to its clone (:attr:`Hyper.anchor_coef`).
      rehearses: whether any member goes on cloning (:attr:`Hyper.cloning_coef`).
      linear_anchor: whether both holds are let go linearly until the end.
    """

    num_epochs: int
    batch_size: int
    num_iterations: int
    linear_schedule: bool
    cloned: bool = True
    anchored: bool = False
    rehearses: bool = False
    linear_anchor: bool = True


class Hyper(NamedTuple):
    """Hyper-parameters of one member, scalars.

    Attributes:
      learning_rate: the policy's; 0 leaves policy and statistics as they are, to the bit.
      value_learning_rate: the critic's.
      gamma: discount.
      gae_lambda: trace decay of the advantages.
      clip_range: PPO's epsilon.
      entropy_coef: weight of the entropy bonus.
      value_coef: weight of the value loss, half the mean squared error (before its gradient is
        clipped): 0.5 is 0.25 in terms of Stable-Baselines3's ``vf_coef``.
      max_grad_norm: limit of each network's gradient norm.
      target_kl: the policy stops for the rest of an update past 1.5 times this; inf for never.
      critic_burn_in: at most so many first iterations only the critic learns.
      burn_in_until: share of the variance of Monte-Carlo returns that the critic must explain to
        end the burn-in sooner; inf for never.
      anchor_coef: weight of ``KL(clone || policy)`` in the policy's loss.
      anchor_target_kl: divergence that the weight is adapted to; inf for the schedule instead.
      cloning_coef: weight of the cloning loss on demonstrations in the policy's loss.
      average_decay: how slowly the averaged policy follows, an iteration; 0 for no averaging.
      adapt_stats: 1.0 if the observation statistics follow the data, 0.0 if they stay.
      shown_first: the first row of the member's own demonstrations among all members'.
      shown_count: how many rows are its own; 0 if all are.
    """

    learning_rate: Any
    value_learning_rate: Any
    gamma: Any
    gae_lambda: Any
    clip_range: Any
    entropy_coef: Any
    value_coef: Any
    max_grad_norm: Any
    target_kl: Any
    critic_burn_in: Any
    burn_in_until: Any
    anchor_coef: Any
    anchor_target_kl: Any
    cloning_coef: Any
    average_decay: Any
    adapt_stats: Any
    shown_first: Any = 0
    shown_count: Any = 0


class Demonstrations(NamedTuple):
    """What teachers did, one row a step: those of all members, one data set after another.

    Attributes:
      obs: ``[R, *obs_shape]`` raw observations.
      action: ``[R]`` int32 or ``[R, A]`` float32.
    """

    obs: Any
    action: Any


class Rows(NamedTuple):
    """A segment's rows, flattened to ``[T * N, ...]``, with what the losses need.

    ``weight`` is 0 for rows that do not count, None where all do. ``clone`` is the clone's
    distribution in each row, None where nobody starts from one.
    """

    obs: Array
    action: Array
    log_prob: Array
    advantage: Array
    target: Array
    weight: Array | None
    clone: Distribution | None


class Rates(NamedTuple):
    """Learning rates of policy and value, and the weights of both anchors, in one iteration."""

    policy: Array
    value: Array
    anchor: Array
    cloning: Array


def policy_loss(
    networks: Networks, static: Static, stats: normalization.RunningStats, hyper: Hyper,
    rates: Rates, params: Params, rows: Rows, shown: Demonstrations | None,
) -> tuple[Array, Metrics]:  # fmt: skip
    """PPO's loss with what holds the policy to its clone."""
    dist = networks.distribution(params, stats, rows.obs)
    loss = losses.clipped_policy_loss(
        dist.log_prob(rows.action), rows.log_prob, rows.advantage, dist.entropy(),
        hyper.clip_range, hyper.entropy_coef, rows.weight,
    )  # fmt: skip
    total = loss.loss
    metrics = {
        "policy_loss": loss.surrogate,
        "entropy": loss.entropy,
        "approx_kl": loss.approx_kl,
        "clip_fraction": loss.clip_fraction,
    }
    if static.anchored and rows.clone is not None:
        total = total + rates.anchor * losses.mean(rows.clone.kl(dist), rows.weight)
    if static.rehearses and shown is not None:
        demonstrated = networks.distribution(params, stats, shown.obs)
        cloning, _ = losses.cloning_loss(
            demonstrated, shown.action, jnp.ones(len(shown.action)), 0.0
        )
        total = total + rates.cloning * cloning
        metrics["cloning_loss"] = cloning
    return total, metrics


def own_rows(hyper: Hyper, demonstrations: Demonstrations) -> tuple[Array, Array]:
    """The first row of the member's own demonstrations, and how many there are."""
    first = jnp.asarray(hyper.shown_first, jnp.int32)
    count = jnp.asarray(hyper.shown_count, jnp.int32)
    return first, jnp.where(count > 0, count, len(demonstrations.action))


def orders(static: Static, key: Array, num_rows: int) -> Array:
    """The rows of each minibatch ``[epochs * minibatches, batch_size]``: each row once an epoch."""
    keys = jax.random.split(key, static.num_epochs)
    # A loop, not a batch and not written out: neither costs less, and both take longer to compile.
    each = jax.vmap(lambda k: shuffle.permutation(k, num_rows))(keys)
    return each.reshape(-1, static.batch_size)


def policy_passes(
    networks: Networks, static: Static, stats: normalization.RunningStats, hyper: Hyper,
    rates: Rates, start: tuple[Params, optax.OptState], rows: Rows, order: Array, key: Array,
    demonstrations: Demonstrations | None,
) -> tuple[tuple[Params, optax.OptState], Metrics]:  # fmt: skip
    """All passes of the policy in the ``order`` of :func:`orders`; means over the minibatches."""
    chosen = jnp.zeros((len(order), 0), jnp.int32)
    if static.rehearses and demonstrations is not None:
        draw = jax.random.fold_in(key, static.num_epochs)
        first, count = own_rows(hyper, demonstrations)
        chosen = first + jax.random.randint(draw, order.shape, 0, count)

    def minibatch(carry: Any, x: tuple[Array, Array]) -> tuple[Any, Metrics]:
        params, opt_state, go_on = carry
        batch = jax.tree.map(lambda leaf: leaf[x[0]], rows)
        shown = jax.tree.map(lambda leaf: leaf[x[1]], demonstrations)

        def loss(params: Params) -> tuple[Array, Metrics]:
            return policy_loss(networks, static, stats, hyper, rates, params, batch, shown)

        grads, metrics = jax.grad(loss, has_aux=True)(params)
        go_on = go_on & (metrics["approx_kl"] <= 1.5 * hyper.target_kl)
        new, opt, norm = optimizer.step(params, opt_state, grads, rates.policy, hyper.max_grad_norm)
        moved = optimizer.where(go_on, (networks.project(new), opt), (params, opt_state))
        return (*moved, go_on), metrics | {"policy_grad_norm": norm}

    (params, opt_state, _), metrics = jax.lax.scan(
        minibatch, (*start, jnp.array(True)), (order, chosen)
    )
    return (params, opt_state), {name: x.mean() for name, x in metrics.items()}


def policy_at_rest(
    networks: Networks, static: Static, stats: normalization.RunningStats, hyper: Hyper,
    rates: Rates, start: tuple[Params, optax.OptState], rows: Rows,
    demonstrations: Demonstrations | None,
) -> tuple[tuple[Params, optax.OptState], Metrics]:  # fmt: skip
    """What :func:`policy_passes` gives where the policy does not move, for one forward pass."""
    shown = None
    if demonstrations is not None:
        first, count = own_rows(hyper, demonstrations)
        rows_shown = first + jnp.arange(static.batch_size) % count
        shown = jax.tree.map(lambda leaf: leaf[rows_shown], demonstrations)
    _, metrics = policy_loss(networks, static, stats, hyper, rates, start[0], rows, shown)
    return start, metrics | {"policy_grad_norm": jnp.zeros(())}


def value_passes(
    networks: Networks, static: Static, stats: normalization.RunningStats, hyper: Hyper,
    rates: Rates, start: tuple[Params, optax.OptState], rows: Rows, order: Array,
) -> tuple[tuple[Params, optax.OptState], Metrics]:  # fmt: skip
    """All passes of the critic in the ``order`` of :func:`orders`; means over the minibatches."""

    def minibatch(carry: Any, index: Array) -> tuple[Any, Metrics]:
        params, opt_state = carry
        obs, target, weight = jax.tree.map(
            lambda leaf: leaf[index], (rows.obs, rows.target, rows.weight)
        )

        def loss(params: Params) -> Array:
            value = networks.value(params, stats, obs)
            return hyper.value_coef * losses.value_loss(value, target, weight)

        value, grads = jax.value_and_grad(loss)(params)
        params, opt_state, norm = optimizer.step(
            params, opt_state, grads, rates.value, hyper.max_grad_norm
        )
        return (params, opt_state), {"value_loss": value, "value_grad_norm": norm}

    end, metrics = jax.lax.scan(minibatch, start, order)
    return end, {name: x.mean() for name, x in metrics.items()}
