"""Proximal policy optimisation: initial state and update of one member, as pure functions.

Schulman et al. (2017), "Proximal Policy Optimization Algorithms", algorithm 1. Policy and critic
have separate networks and optimizers, so that during the critic's burn-in nothing of the policy
changes, not even its optimizer state.
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxmaze.core import (
    advantages,
    losses,
    normalization,
    optimizer,
    ppo_cloning,
    ppo_statistics,
    schedules,
    shuffle,
)
from jaxmaze.core.memory import Memory
from jaxmaze.core.networks import Networks
from jaxmaze.core.ppo_types import Context, Hyper, Rates, Rows, State, Static, rates_at
from jaxmaze.core.types import Array, Demonstrations, Params, Policy, PyTree, Rollout

__all__ = [
    "OF_VALUE",
    "Context",
    "Hyper",
    "Metrics",
    "Rates",
    "Rows",
    "State",
    "Static",
    "estimate",
    "init",
    "orders",
    "policy_at_rest",
    "policy_loss",
    "update",
    "update_policy",
    "update_value",
    "values",
]

Metrics = dict[str, Array]
OF_VALUE = ("value_loss", "value_grad_norm")
"""Metrics of the critic's update."""


def init(networks: Networks, seed: np.random.SeedSequence, num_envs: int) -> State:
    """A state at iteration 0 with initial networks and empty statistics, as numpy arrays."""
    policy = Policy(networks.init_policy(shuffle.child(seed, 0)), networks.init_stats())
    value_params, carries = networks.init_value(shuffle.child(seed, 1)), networks.carry_size
    carry = np.zeros((num_envs, carries), np.float32) if carries else None
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
        entropy_factor=np.ones((), np.float32),
        value_carry=carry,
        clone_carry=carry,
    )


def update(
    networks: Networks,
    static: Static,
    state: State,
    rollout: Rollout,
    hyper: Hyper,
    clone: Policy,
    demonstrations: Demonstrations | None = None,
    learns: tuple[PyTree, PyTree] = (True, True),
) -> tuple[State, Metrics]:
    """One PPO iteration: advantages, then epochs of shuffled minibatches.

    Args:
      networks: static.
      static: static.
      state: the member's state.
      rollout: a segment ``[T, N, ...]`` collected with ``state.policy``.
      hyper: the member's hyper-parameters.
      clone: the reference policy of the KL, which the member started from; any policy if unused.
      demonstrations: ``R`` rows for the cloning loss; None without one.
      learns: whether the policy, and whether the critic, is updated in this iteration.

    Returns:
      The new state, and means over the minibatches (scalars).
    """
    chex.assert_rank([rollout.reward, rollout.log_prob, rollout.terminated], 2)
    chex.assert_equal_shape(
        [rollout.reward, rollout.log_prob, rollout.terminated, rollout.truncated]
    )
    rows, state, metrics = estimate(networks, static, state, rollout, hyper, clone)
    ready, burn_in = _burnt_in(state, hyper, metrics["mc_explained_variance"])
    state = state._replace(ready=ready, burn_in=burn_in)
    moves = ready & (hyper.learning_rate > 0)
    context = _context(networks, static, state, hyper, rows, demonstrations)
    start = (state.policy.params, state.policy_opt)
    (params, policy_opt), of_policy = jax.lax.cond(
        moves if learns[0] is True else moves & learns[0],
        lambda: update_policy(context, *start),
        lambda: policy_at_rest(context, *start),
    )
    critic = (state.value_params, state.value_opt)
    (value_params, value_opt), of_value = jax.lax.cond(
        jnp.asarray(learns[1]),
        lambda: update_value(context, *critic),
        lambda: (critic, dict.fromkeys(OF_VALUE, jnp.zeros(()))),
    )
    state = state._replace(value_params=value_params, policy_opt=policy_opt, value_opt=value_opt)
    state, after = _advanced(context, state, params, moves)
    return state, metrics | of_policy | of_value | after


def _burnt_in(state: State, hyper: Hyper, explained: Array) -> tuple[Array, Array]:
    """Whether the critic's burn-in is over, and how many iterations it has taken so far."""
    ready = (
        state.ready | (state.burn_in >= hyper.critic_burn_in) | (explained >= hyper.burn_in_until)
    )
    return ready, state.burn_in + (~ready).astype(jnp.int32)


def _context(
    networks: Networks,
    static: Static,
    state: State,
    hyper: Hyper,
    rows: Rows,
    demonstrations: Demonstrations | None,
) -> Context:
    """Context shared by the policy and value updates of one iteration."""
    age = state.iteration - state.burn_in
    rates = rates_at(static, age, state.burn_in, state.anchor_factor, hyper, state.entropy_factor)
    key = jax.random.fold_in(shuffle.key_of(state.key), state.iteration)
    order, stats = orders(static, key, rows), state.policy.obs_stats
    return Context(networks, static, hyper, stats, rates, rows, order, key, demonstrations)


def estimate(
    networks: Networks, static: Static, state: State, rollout: Rollout, hyper: Hyper, clone: Policy
) -> tuple[Rows, State, Metrics]:
    """Scale rewards, estimate advantages, and arrange the data for the losses.

    Returns:
      The rows; the state with updated reward scaling and critic hidden state; and metrics.
    """
    done = jnp.maximum(rollout.terminated, rollout.truncated)
    return_stats, reward = normalization.scale_rewards(
        state.return_stats, rollout.reward, done, hyper.gamma, rollout.valid
    )
    value, next_value, value_carry = values(networks, state, rollout)
    ends = (rollout.terminated, rollout.truncated)
    advantage, target = advantages.gae(
        reward, value, next_value, *ends, hyper.gamma, hyper.gae_lambda
    )
    known_return, known = advantages.monte_carlo(reward, next_value, *ends, hyper.gamma)
    known = known if rollout.valid is None else known * rollout.valid
    memory = _memory(rollout.carry, rollout.begin)
    held_to, clone_carry = networks.follow(
        *clone, rollout.obs, _memory(state.clone_carry, rollout.begin)
    )
    rows = Rows(
        rollout.obs,
        rollout.action,
        rollout.log_prob,
        losses.normalize_advantages(advantage, rollout.valid),
        target,
        rollout.valid,
        held_to if static.cloned else None,
    )
    if memory is None:
        rows = jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), rows)
    else:
        own = _memory(state.value_carry, rollout.begin)
        rows = rows._replace(memory=memory, value_memory=own)
    state = state._replace(
        return_stats=return_stats,
        value_carry=value_carry,
        clone_carry=clone_carry[-1] if memory and static.cloned else state.clone_carry,
    )
    metrics = {
        "explained_variance": advantages.explained_variance(value, target, rollout.valid),
        "mc_explained_variance": advantages.explained_variance(value, known_return, known),
        "mc_known": known.mean(),
        "value_mean": value.mean(),
        "reward_scale": jnp.sqrt(return_stats.stats.var + normalization.EPSILON),
    }
    return rows, state, metrics


def _memory(carry: Array | None, begin: Array | None) -> Memory | None:
    """Hidden state and episode starts of recurrent networks; None for feed-forward ones."""
    return None if carry is None or begin is None else Memory(carry, begin)


def values(networks: Networks, state: State, rollout: Rollout) -> tuple[Array, Array, Array | None]:
    """Values ``[T, N]`` of observations and of next observations; the critic's hidden state."""
    stats = state.policy.obs_stats
    memory = _memory(state.value_carry, rollout.begin)
    if memory is not None:
        return networks.values_in_turn(
            state.value_params, stats, rollout.obs, rollout.next_obs, memory
        )
    if networks.spaces.obs.num_pixels:  # in two parts, to avoid copying images
        last = jax.tree.map(lambda x: x[-1:], rollout.next_obs)
        each = [networks.value(state.value_params, stats, x) for x in (rollout.obs, last)]
        value: Array = jnp.concatenate(each)
    else:
        obs = jax.tree.map(
            lambda x, last: jnp.concatenate([x, last[-1:]]), rollout.obs, rollout.next_obs
        )
        value = networks.value(state.value_params, stats, obs)

    def cut_short() -> Array:
        return networks.value(state.value_params, stats, rollout.next_obs)

    # The next observation is the next row's, except at an episode's end. After a termination its
    # value is not used, so that only a truncation needs a separate evaluation.
    next_value = jax.lax.cond((rollout.truncated > 0).any(), cut_short, lambda: value[1:])
    return value[:-1], next_value, None


def orders(static: Static, key: Array, rows: Rows) -> Array:
    """Row indices of each minibatch ``[epochs * minibatches, ...]``; each row once per epoch."""
    count, size = rows.advantage.shape[0], static.batch_size
    if rows.memory is not None:  # whole sequences, enough to make up a batch
        steps, count = rows.advantage.shape
        most = min(max(size // steps, 1), count)
        size = max(d for d in range(1, most + 1) if count % d == 0)
    keys = jax.random.split(key, static.num_epochs)
    # Rolled loop: batching or unrolling it is no faster, and takes longer to compile.
    each = jax.vmap(lambda k: shuffle.permutation(k, count))(keys)
    return each.reshape(-1, size)


def policy_loss(
    context: Context, params: Params, rows: Rows, shown: ppo_cloning.Shown | None
) -> tuple[Array, Metrics]:
    """PPO's loss, plus KL(clone || policy) and the cloning loss where they are enabled."""
    networks, hyper, static = context.networks, context.hyper, context.static
    dist = networks.distribution(params, context.stats, rows.obs, rows.memory)
    loss = losses.clipped_policy_loss(
        dist.log_prob(rows.action),
        rows.log_prob,
        rows.advantage,
        dist.entropy(),
        hyper.clip_range,
        context.rates.entropy,
        rows.weight,
    )
    total = loss.loss
    metrics = {
        "policy_loss": loss.surrogate,
        "entropy": loss.entropy,
        "approx_kl": loss.approx_kl,
        "clip_fraction": loss.clip_fraction,
    }
    if static.kickstarts and rows.clone is not None:
        total = total + context.rates.anchor * losses.mean(rows.clone.kl(dist), rows.weight)
    if static.keeps_cloning and shown is not None:
        taught, weight, memory = shown
        demonstrated = networks.distribution(params, context.stats, taught.obs, memory)
        cloning, _ = losses.cloning_loss(demonstrated, taught.action, weight, 0.0)
        total = total + context.rates.cloning * cloning
        metrics["cloning_loss"] = cloning
    return total, metrics


def update_policy(
    context: Context, params: Params, opt_state: optax.OptState
) -> tuple[tuple[Params, optax.OptState], Metrics]:
    """Run all gradient steps of the policy; metrics are means over the minibatches."""
    hyper, order, demonstrations = context.hyper, context.order, context.demonstrations
    chosen: Array = jnp.zeros((len(order), 0), jnp.int32)
    shows: ppo_cloning.Shows | None = None
    if context.static.keeps_cloning and demonstrations is not None:
        draw = jax.random.fold_in(context.key, context.static.num_epochs)
        shows, (first, count), size = ppo_cloning.shows(context, params, demonstrations)
        chosen = first + jax.random.randint(draw, (len(order), size), 0, count)

    def minibatch(carry: PyTree, x: tuple[Array, Array]) -> tuple[PyTree, Metrics]:
        params, opt_state, go_on = carry
        batch = context.rows.take(x[0])
        shown = None if shows is None else shows(x[1])

        def loss(params: Params) -> tuple[Array, Metrics]:
            return policy_loss(context, params, batch, shown)

        grads, metrics = jax.grad(loss, has_aux=True)(params)
        go_on = go_on & (metrics["approx_kl"] <= 1.5 * hyper.target_kl)
        new, opt, norm = optimizer.step(
            params, opt_state, grads, context.rates.policy, hyper.max_grad_norm
        )
        new = context.networks.project(new, context.rates.most_std)
        moved = optimizer.where(go_on, (new, opt), (params, opt_state))
        return (*moved, go_on), metrics | {"policy_grad_norm": norm}

    start = (params, opt_state, jnp.array(True))
    (params, opt_state, _), metrics = jax.lax.scan(minibatch, start, (order, chosen))
    return (params, opt_state), {name: x.mean() for name, x in metrics.items()}


def policy_at_rest(
    context: Context, params: Params, opt_state: optax.OptState
) -> tuple[tuple[Params, optax.OptState], Metrics]:
    """The result of :func:`update_policy` for a frozen policy, from a single forward pass."""
    shown = None
    if context.demonstrations is not None:
        shows, (first, count), size = ppo_cloning.shows(context, params, context.demonstrations)
        shown = shows(first + jnp.arange(size) % count)
    _, metrics = policy_loss(context, params, context.rows, shown)
    return (params, opt_state), metrics | {"policy_grad_norm": jnp.zeros(())}


def update_value(
    context: Context, params: Params, opt_state: optax.OptState
) -> tuple[tuple[Params, optax.OptState], Metrics]:
    """Run all gradient steps of the critic; metrics are means over the minibatches."""
    networks, hyper = context.networks, context.hyper

    def minibatch(carry: PyTree, index: PyTree) -> tuple[PyTree, Metrics]:
        params, opt_state = carry
        batch = context.rows.take(index)

        def loss(params: Params) -> Array:
            value = networks.value(params, context.stats, batch.obs, batch.value_memory)
            return hyper.value_coef * losses.value_loss(value, batch.target, batch.weight)

        value, grads = jax.value_and_grad(loss)(params)
        params, opt_state, norm = optimizer.step(
            params, opt_state, grads, context.rates.value, hyper.max_grad_norm
        )
        return (params, opt_state), {"value_loss": value, "value_grad_norm": norm}

    end, metrics = jax.lax.scan(minibatch, (params, opt_state), context.order)
    return end, {name: x.mean() for name, x in metrics.items()}


def _advanced(
    context: Context, state: State, params: Params, moves: Array
) -> tuple[State, Metrics]:
    """Update the rest of the state: statistics, EMA of parameters, weight of the KL."""
    networks, hyper, rows = context.networks, context.hyper, context.rows
    state, params, stats = ppo_statistics.updated(context, state, params, moves)
    after = networks.distribution(params, stats, rows.obs, rows.memory)
    clone_kl = (
        jnp.zeros(()) if rows.clone is None else losses.mean(rows.clone.kl(after), rows.weight)
    )
    policy = Policy(params, stats)
    # The EMA averages out the minibatch noise of single iterations.
    average = schedules.averaged(
        state.average, policy, state.iteration - state.burn_in, hyper.average_decay
    )
    factor = schedules.adapted(state.anchor_factor, clone_kl, hyper.anchor_target_kl)
    entropy = losses.mean(after.entropy(), rows.weight)
    held = schedules.held(state.entropy_factor, entropy, context.rates.entropy_target)
    state = state._replace(
        policy=policy,
        average=optimizer.where(moves, average, state.average),
        iteration=state.iteration + 1,
        anchor_factor=jnp.where(moves, factor, state.anchor_factor),
        entropy_factor=jnp.where(moves, held, state.entropy_factor),
    )
    return state, {
        "learning_rate": jnp.where(state.ready, context.rates.policy, 0.0),
        "critic_ready": state.ready.astype(jnp.float32),
        "clone_kl": clone_kl,
        "anchor_coef": context.rates.anchor,
        "entropy_coef": context.rates.entropy,
        "policy_l2_norm": optax.tree.norm(params),
        **after.exploration(),
    }
