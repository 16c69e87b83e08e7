"""Proximal policy optimisation: one member's state and its whole update as one pure function.

Policy and value have networks and optimizers of their own, so that a critic can be burnt in while
nothing of the policy changes, not even the age of its moments.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmaze.core import advantages, exploration, losses, normalization, optimizer, schedules
from jaxmaze.core.distributions import Distribution
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Array, Params, Policy, Rollout

Metrics = dict[str, Array]


class Static(NamedTuple):
    """What shapes the compiled program; the same for all members.

    Attributes:
      num_epochs: passes over each segment.
      batch_size: rows of a minibatch; divides the segment's ``T * N`` rows.
      num_iterations: iterations of the whole run, for the learning-rate schedule.
      linear_schedule: whether the learning rate falls linearly to 0.
      anchored: whether any member is held to its clone (:attr:`Hyper.anchor_coef`).
      rehearses: whether any member goes on cloning (:attr:`Hyper.cloning_coef`).
      linear_anchor: whether both holds are let go linearly until the end.
    """

    num_epochs: int
    batch_size: int
    num_iterations: int
    linear_schedule: bool
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
      value_coef: weight of the value loss (before its gradient is clipped).
      max_grad_norm: limit of each network's gradient norm.
      target_kl: the policy stops for the rest of an update past 1.5 times this; inf for never.
      critic_burn_in: at most so many first iterations only the critic learns.
      burn_in_until: explained variance that ends the burn-in sooner; inf for never.
      anchor_coef: weight of ``KL(clone || policy)`` in the policy's loss.
      anchor_target_kl: divergence that the weight is adapted to; inf for the schedule instead.
      cloning_coef: weight of the cloning loss on demonstrations in the policy's loss.
      average_decay: how slowly the averaged policy follows, an iteration; 0 for no averaging.
      adapt_stats: 1.0 if the observation statistics follow the data, 0.0 if they stay.
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


class State(NamedTuple):
    """One member's complete training state.

    Attributes:
      policy: parameters and observation statistics; the critic shares the statistics.
      average: the same, averaged over the latest iterations: what is evaluated and handed over.
      value_params: the critic's parameters; it predicts returns of scaled rewards.
      policy_opt: Adam's moments of the policy.
      value_opt: Adam's moments of the critic.
      return_stats: the scale of rewards.
      key: data ``[2]`` of the root key; folded with the iteration, never used up.
      iteration: updates done.
      burn_in: how many of them only the critic learned.
      ready: whether the burn-in is over.
      anchor_factor: what the anchor's weight is multiplied by, adapted to its target.
    """

    policy: Policy
    average: Policy
    value_params: Params
    policy_opt: optax.OptState
    value_opt: optax.OptState
    return_stats: normalization.ReturnStats
    key: Array
    iteration: Array
    burn_in: Array
    ready: Array
    anchor_factor: Array


class Demonstrations(NamedTuple):
    """What the teacher did, one row a step; the same for all members.

    Attributes:
      obs: ``[R, *obs_shape]`` raw observations.
      action: ``[R]`` int32 or ``[R, A]`` float32.
    """

    obs: Any
    action: Any


class _Rows(NamedTuple):
    """A segment's rows, flattened to ``[T * N, ...]``, with what the losses need."""

    obs: Array
    action: Array
    log_prob: Array
    advantage: Array
    target: Array
    clone: Distribution


class _Rates(NamedTuple):
    """Learning rates of policy and value, and the weights of both anchors, in one iteration."""

    policy: Array
    value: Array
    anchor: Array
    cloning: Array


class _Learner(NamedTuple):
    """What changes from minibatch to minibatch."""

    policy_params: Params
    value_params: Params
    policy_opt: optax.OptState
    value_opt: optax.OptState
    go_on: Array


def init(networks: Networks, key: Array, num_envs: int) -> State:
    """A state at iteration 0 with fresh networks and statistics of nothing."""
    policy_key, value_key, train_key = jax.random.split(key, 3)
    policy = Policy(networks.init_policy(policy_key), networks.init_stats())
    value_params = networks.init_value(value_key)
    return State(
        policy=policy,
        average=policy,
        value_params=value_params,
        policy_opt=optimizer.init(policy.params),
        value_opt=optimizer.init(value_params),
        return_stats=normalization.init_return_stats(num_envs),
        key=jax.random.key_data(train_key),
        iteration=jnp.zeros((), jnp.int32),
        burn_in=jnp.zeros((), jnp.int32),
        ready=jnp.zeros((), bool),
        anchor_factor=jnp.ones(()),
    )


def reset_environments(state: State) -> State:
    """Start the return accumulators anew, because the environments were reset between segments."""
    accumulator = jnp.zeros_like(state.return_stats.accumulator)
    return state._replace(return_stats=state.return_stats._replace(accumulator=accumulator))


def _prepare(
    networks: Networks, state: State, rollout: Rollout, hyper: Hyper, clone: Policy
) -> tuple[_Rows, normalization.ReturnStats, Metrics]:
    """Scale rewards, estimate advantages and flatten time and environments."""
    done = jnp.maximum(rollout.terminated, rollout.truncated)
    return_stats, reward = normalization.scale_rewards(
        state.return_stats, rollout.reward, done, hyper.gamma
    )
    stats = state.policy.obs_stats
    value = networks.value(state.value_params, stats, rollout.obs)
    next_value = networks.value(state.value_params, stats, rollout.next_obs)
    advantage, target = advantages.gae(
        reward, value, next_value, rollout.terminated, rollout.truncated,
        hyper.gamma, hyper.gae_lambda,
    )  # fmt: skip
    rows = _Rows(
        rollout.obs,
        rollout.action,
        rollout.log_prob,
        losses.normalize_advantages(advantage),
        target,
        networks.distribution(clone.params, clone.obs_stats, rollout.obs),
    )
    rows = jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), rows)
    return rows, return_stats, {
        "explained_variance": advantages.explained_variance(value, target),
        "value_mean": value.mean(),
    }  # fmt: skip


def _policy_loss(
    networks: Networks, static: Static, stats: normalization.RunningStats, hyper: Hyper,
    rates: _Rates, params: Params, rows: _Rows, shown: Demonstrations | None,
) -> tuple[Array, Metrics]:  # fmt: skip
    """PPO's loss with what holds the policy to its clone."""
    dist = networks.distribution(params, stats, rows.obs)
    loss = losses.clipped_policy_loss(
        dist.log_prob(rows.action), rows.log_prob, rows.advantage, dist.entropy(),
        hyper.clip_range, hyper.entropy_coef,
    )  # fmt: skip
    total = loss.loss
    metrics = {
        "policy_loss": loss.surrogate,
        "entropy": loss.entropy,
        "approx_kl": loss.approx_kl,
        "clip_fraction": loss.clip_fraction,
    }
    if static.anchored:
        total = total + rates.anchor * rows.clone.kl(dist).mean()
    if static.rehearses and shown is not None:
        demonstrated = networks.distribution(params, stats, shown.obs)
        cloning, _ = losses.cloning_loss(demonstrated, shown.action, jnp.ones(len(shown.obs)), 0.0)
        total = total + rates.cloning * cloning
        metrics["cloning_loss"] = cloning
    return total, metrics


def _minibatch(
    networks: Networks, static: Static, stats: normalization.RunningStats, hyper: Hyper,
    rates: _Rates, policy_moves: Array, learner: _Learner, rows: _Rows,
    shown: Demonstrations | None,
) -> tuple[_Learner, Metrics]:  # fmt: skip
    """One gradient step of policy and value."""

    def policy_loss(params: Params) -> tuple[Array, Metrics]:
        return _policy_loss(networks, static, stats, hyper, rates, params, rows, shown)

    def value_loss(params: Params) -> Array:
        value = networks.value(params, stats, rows.obs)
        return hyper.value_coef * losses.value_loss(value, rows.target)

    grads, metrics = jax.grad(policy_loss, has_aux=True)(learner.policy_params)
    v_loss, v_grads = jax.value_and_grad(value_loss)(learner.value_params)
    go_on = learner.go_on & (metrics["approx_kl"] <= 1.5 * hyper.target_kl)
    policy = optimizer.step(
        learner.policy_params, learner.policy_opt, grads, rates.policy, hyper.max_grad_norm
    )
    value = optimizer.step(
        learner.value_params, learner.value_opt, v_grads, rates.value, hyper.max_grad_norm
    )
    policy_params, policy_opt = optimizer.where(
        go_on & policy_moves,
        (networks.project(policy[0]), policy[1]),
        (learner.policy_params, learner.policy_opt),
    )
    metrics |= {
        "value_loss": v_loss,
        "policy_grad_norm": policy[2],
        "value_grad_norm": value[2],
    }
    return _Learner(policy_params, value[0], policy_opt, value[1], go_on), metrics


def _epochs(
    networks: Networks, static: Static, state: State, rows: _Rows, hyper: Hyper, rates: _Rates,
    policy_moves: Array, demonstrations: Demonstrations | None,
) -> tuple[_Learner, Metrics]:  # fmt: skip
    """All passes over a segment; metrics are means over the minibatches."""
    num_rows, stats = rows.advantage.shape[0], state.policy.obs_stats
    learner = _Learner(
        state.policy.params, state.value_params, state.policy_opt, state.value_opt, jnp.array(True)
    )

    def epoch(learner: _Learner, key: Array) -> tuple[_Learner, Metrics]:
        order = jax.random.permutation(key, num_rows).reshape(-1, static.batch_size)
        chosen = jnp.zeros((len(order), 0), jnp.int32)
        if static.rehearses and demonstrations is not None:
            chosen = jax.random.randint(
                jax.random.fold_in(key, 1), order.shape, 0, len(demonstrations.obs)
            )

        def minibatch(learner: _Learner, x: tuple[Array, Array]) -> tuple[_Learner, Metrics]:
            batch = jax.tree.map(lambda leaf: leaf[x[0]], rows)
            shown = jax.tree.map(lambda leaf: leaf[x[1]], demonstrations)
            return _minibatch(
                networks, static, stats, hyper, rates, policy_moves, learner, batch, shown
            )

        return jax.lax.scan(minibatch, learner, (order, chosen))

    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.iteration)
    learner, metrics = jax.lax.scan(epoch, learner, jax.random.split(key, static.num_epochs))
    return learner, {name: x.mean() for name, x in metrics.items()}


def update(
    networks: Networks, static: Static, state: State, rollout: Rollout, hyper: Hyper, clone: Policy,
    demonstrations: Demonstrations | None = None,
) -> tuple[State, Metrics]:  # fmt: skip
    """One PPO iteration: advantages, then epochs of shuffled minibatches.

    Args:
      networks: static.
      static: static.
      state: the member's state.
      rollout: a segment ``[T, N, ...]`` collected with ``state.policy``.
      hyper: the member's hyper-parameters.
      clone: what the member started from, or anything where nothing holds it to a clone.
      demonstrations: ``R`` rows to go on cloning from; None where nothing does.

    Returns:
      The new state, and means over the minibatches (scalars).
    """
    rows, return_stats, metrics = _prepare(networks, state, rollout, hyper, clone)
    ready = (
        state.ready
        | (state.burn_in >= hyper.critic_burn_in)
        | (metrics["explained_variance"] >= hyper.burn_in_until)
    )
    burn_in = state.burn_in + (~ready).astype(jnp.int32)
    policy_moves = ready & (hyper.learning_rate > 0)
    rates = _rates(static, state.iteration - burn_in, burn_in, state.anchor_factor, hyper)
    learner, means = _epochs(
        networks, static, state, rows, hyper, rates, policy_moves, demonstrations
    )
    stats = state.policy.obs_stats
    new_stats = optimizer.where(
        policy_moves & (hyper.adapt_stats > 0),
        normalization.update_stats(stats, networks.flatten_obs(rows.obs)),
        stats,
    )
    after = networks.distribution(learner.policy_params, new_stats, rows.obs)
    clone_kl = rows.clone.kl(after).mean()
    policy = Policy(learner.policy_params, new_stats)
    # Single iterations differ by their luck with minibatches; their average does not.
    average = schedules.averaged(
        state.average, policy, state.iteration - burn_in, hyper.average_decay
    )
    factor = schedules.adapted(state.anchor_factor, clone_kl, hyper.anchor_target_kl)
    state = State(
        policy=policy,
        average=optimizer.where(policy_moves, average, state.average),
        value_params=learner.value_params,
        policy_opt=learner.policy_opt,
        value_opt=learner.value_opt,
        return_stats=return_stats,
        key=state.key,
        iteration=state.iteration + 1,
        burn_in=burn_in,
        ready=ready,
        anchor_factor=jnp.where(policy_moves, factor, state.anchor_factor),
    )
    return state, metrics | means | {
        "learning_rate": jnp.where(ready, rates.policy, 0.0),
        "critic_ready": ready.astype(jnp.float32),
        "clone_kl": clone_kl,
        "anchor_coef": rates.anchor,
        "policy_l2_norm": optax.tree.norm(learner.policy_params),
        "reward_scale": jnp.sqrt(return_stats.stats.var + normalization.EPSILON),
        **exploration.metrics(after),
    }


def _rates(
    static: Static, iteration: Array, burn_in: Array, anchor_factor: Array, hyper: Hyper
) -> _Rates:
    """What the schedules give ``iteration`` iterations after the burn-in."""
    left = schedules.left(iteration, jnp.maximum(static.num_iterations - burn_in, 1))
    rate = left if static.linear_schedule else 1.0
    hold = left if static.linear_anchor else jnp.ones(())
    adapts = jnp.isfinite(hyper.anchor_target_kl)
    return _Rates(
        hyper.learning_rate * rate,
        hyper.value_learning_rate * rate,
        hyper.anchor_coef * jnp.where(adapts, anchor_factor, hold),
        hyper.cloning_coef * hold,
    )
