"""Proximal policy optimisation: one member's state and its whole update as one pure function.

Policy and value have networks and optimizers of their own, so that a critic can be burnt in while
nothing of the policy changes, not even the age of its moments, and each can be updated on a device
of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxmaze.core import (
    advantages,
    losses,
    normalization,
    optimizer,
    ppo_passes,
    schedules,
    shuffle,
)
from jaxmaze.core.networks import Networks
from jaxmaze.core.ppo_passes import Demonstrations, Hyper, Metrics, Rates, Rows, Static
from jaxmaze.core.types import Array, Params, Policy, Rollout

__all__ = [
    "OF_VALUE", "POLICY", "VALUE", "Demonstrations", "Hyper", "Metrics", "State", "Static", "init",
    "merge", "update",
]  # fmt: skip

POLICY, VALUE = 0, 1
"""The two parts of an update."""
OF_VALUE = ("value_loss", "value_grad_norm")
"""Metrics that the value's part gives."""


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
    key: Any
    iteration: Any
    burn_in: Any
    ready: Any
    anchor_factor: Any


def init(networks: Networks, seed: np.random.SeedSequence, num_envs: int) -> State:
    """A state at iteration 0 with fresh networks and statistics of nothing, as numpy arrays."""
    policy = Policy(networks.init_policy(shuffle.child(seed, 0)), networks.init_stats())
    value_params = networks.init_value(shuffle.child(seed, 1))
    return State(
        policy=policy,
        average=policy,
        value_params=value_params,
        policy_opt=optimizer.init(policy.params),
        value_opt=optimizer.init(value_params),
        return_stats=normalization.init_return_stats(num_envs),
        key=shuffle.fresh_key(shuffle.child(seed, 2)),
        iteration=np.zeros((), np.int32),
        burn_in=np.zeros((), np.int32),
        ready=np.zeros((), bool),
        anchor_factor=np.ones((), np.float32),
    )


def _prepare(
    networks: Networks, static: Static, state: State, rollout: Rollout, hyper: Hyper, clone: Policy
) -> tuple[Rows, normalization.ReturnStats, Metrics]:
    """Scale rewards, estimate advantages and flatten time and environments."""
    done = jnp.maximum(rollout.terminated, rollout.truncated)
    return_stats, reward = normalization.scale_rewards(
        state.return_stats, rollout.reward, done, hyper.gamma, rollout.valid
    )
    value, next_value = _values(networks, state, rollout)
    advantage, target = advantages.gae(
        reward, value, next_value, rollout.terminated, rollout.truncated,
        hyper.gamma, hyper.gae_lambda,
    )  # fmt: skip
    known_return, known = advantages.monte_carlo(
        reward, next_value, rollout.terminated, rollout.truncated, hyper.gamma
    )
    known = known if rollout.valid is None else known * rollout.valid
    held_to = networks.distribution(clone.params, clone.obs_stats, rollout.obs)
    rows = Rows(
        rollout.obs,
        rollout.action,
        rollout.log_prob,
        losses.normalize_advantages(advantage, rollout.valid),
        target,
        rollout.valid,
        held_to if static.cloned else None,
    )
    rows = jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), rows)
    return rows, return_stats, {
        "explained_variance": advantages.explained_variance(value, target, rollout.valid),
        "mc_explained_variance": advantages.explained_variance(value, known_return, known),
        "value_mean": value.mean(),
    }  # fmt: skip


def _values(networks: Networks, state: State, rollout: Rollout) -> tuple[Array, Array]:
    """Values ``[T, N]`` of the observations and of the ones that follow them."""
    stats = state.policy.obs_stats
    obs = jax.tree.map(
        lambda x, last: jnp.concatenate([x, last[-1:]]), rollout.obs, rollout.next_obs
    )
    value = networks.value(state.value_params, stats, obs)

    def cut_short() -> Array:
        return networks.value(state.value_params, stats, rollout.next_obs)

    # What follows is the next row, but where an episode ended; beyond a terminal state no value
    # counts, so that only a truncation asks for others.
    next_value = jax.lax.cond((rollout.truncated > 0).any(), cut_short, lambda: value[1:])
    return value[:-1], next_value


def update(
    networks: Networks, static: Static, state: State, rollout: Rollout, hyper: Hyper, clone: Policy,
    demonstrations: Demonstrations | None = None, part: Array | None = None,
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
      part: which half to do, ``POLICY`` or ``VALUE``, for :func:`merge` to put them together; both
        by default.

    Returns:
      The new state, and means over the minibatches (scalars).
    """
    rows, return_stats, metrics = _prepare(networks, static, state, rollout, hyper, clone)
    ready = (
        state.ready
        | (state.burn_in >= hyper.critic_burn_in)
        | (metrics["mc_explained_variance"] >= hyper.burn_in_until)
    )
    burn_in = state.burn_in + (~ready).astype(jnp.int32)
    policy_moves = ready & (hyper.learning_rate > 0)
    rates = _rates(static, state.iteration - burn_in, burn_in, state.anchor_factor, hyper)
    stats = state.policy.obs_stats
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.iteration)
    order = ppo_passes.orders(static, key, len(rows.advantage))
    common = (networks, static, stats, hyper, rates)
    start = (state.policy.params, state.policy_opt)
    (policy_params, policy_opt), of_policy = jax.lax.cond(
        policy_moves if part is None else policy_moves & (part == POLICY),
        lambda: ppo_passes.policy_passes(*common, start, rows, order, key, demonstrations),
        lambda: ppo_passes.policy_at_rest(*common, start, rows, demonstrations),
    )
    start = (state.value_params, state.value_opt)
    (value_params, value_opt), of_value = jax.lax.cond(
        jnp.array(True) if part is None else part == VALUE,
        lambda: ppo_passes.value_passes(*common, start, rows, order),
        lambda: (start, dict.fromkeys(OF_VALUE, jnp.zeros(()))),
    )
    new_stats = optimizer.where(
        policy_moves & (hyper.adapt_stats > 0),
        normalization.update_stats(stats, networks.flatten_obs(rows.obs), rows.weight),
        stats,
    )
    after = networks.distribution(policy_params, new_stats, rows.obs)
    clone_kl = (
        jnp.zeros(()) if rows.clone is None else losses.mean(rows.clone.kl(after), rows.weight)
    )
    policy = Policy(policy_params, new_stats)
    # Single iterations differ by their luck with minibatches; their average does not.
    average = schedules.averaged(
        state.average, policy, state.iteration - burn_in, hyper.average_decay
    )
    factor = schedules.adapted(state.anchor_factor, clone_kl, hyper.anchor_target_kl)
    state = State(
        policy=policy,
        average=optimizer.where(policy_moves, average, state.average),
        value_params=value_params,
        policy_opt=policy_opt,
        value_opt=value_opt,
        return_stats=return_stats,
        key=state.key,
        iteration=state.iteration + 1,
        burn_in=burn_in,
        ready=ready,
        anchor_factor=jnp.where(policy_moves, factor, state.anchor_factor),
    )
    return state, metrics | of_policy | of_value | {
        "learning_rate": jnp.where(ready, rates.policy, 0.0),
        "critic_ready": ready.astype(jnp.float32),
        "clone_kl": clone_kl,
        "anchor_coef": rates.anchor,
        "policy_l2_norm": optax.tree.norm(policy_params),
        "reward_scale": jnp.sqrt(return_stats.stats.var + normalization.EPSILON),
        **after.exploration(),
    }


def merge(policy: tuple[State, Metrics], value: tuple[State, Metrics]) -> tuple[State, Metrics]:
    """One update from its two parts, which started from the same state and segment."""
    state = policy[0]._replace(value_params=value[0].value_params, value_opt=value[0].value_opt)
    return state, policy[1] | {name: value[1][name] for name in OF_VALUE}


def _rates(
    static: Static, iteration: Array, burn_in: Array, anchor_factor: Array, hyper: Hyper
) -> Rates:
    """What the schedules give ``iteration`` iterations after the burn-in."""
    left = schedules.left(iteration, jnp.maximum(static.num_iterations - burn_in, 1))
    rate = left if static.linear_schedule else 1.0
    hold = left if static.linear_anchor else jnp.ones(())
    adapts = jnp.isfinite(hyper.anchor_target_kl)
    return Rates(
        hyper.learning_rate * rate,
        hyper.value_learning_rate * rate,
        hyper.anchor_coef * jnp.where(adapts, anchor_factor, hold),
        hyper.cloning_coef * hold,
    )
