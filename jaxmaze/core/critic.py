"""Fitting a critic to demonstrations, so that PPO does not start with an untrained one."""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from jaxmaze.core import advantages, losses, normalization, optimizer, shuffle
from jaxmaze.core.networks import Networks
from jaxmaze.core.ppo import Hyper, State
from jaxmaze.core.types import Array, Params, PyTree, Sequences


class Returns(NamedTuple):
    """Returns of demonstrated episodes, one row per step.

    Attributes:
      obs: ``[R, *obs_shape]`` raw observations.
      reward_to_go: ``[R]`` discounted sum of the rewards until the episode's end.
      left: ``[R]`` the discount of the bootstrap value at that end: ``gamma^(T - t)`` for a
        truncated episode, 0 for a terminated one.
      episode: ``[R]`` int32, the index of the row's episode.
      final_obs: ``[E, *obs_shape]`` the last observation of each episode.
      mean: mean of the discounted returns that PPO's reward scaling is based on.
      scale: standard deviation of these returns, by which rewards are divided.
      weight: ``[R]`` 0.0 for padding rows, else 1.0; None if all count. Padding changes neither
        the number of gradient steps nor the number of real rows in each.
      sequences: how episodes are cut into sequences for recurrent critics; None for others.
    """

    obs: PyTree
    reward_to_go: Array
    left: Array
    episode: Array
    final_obs: PyTree
    mean: Array
    scale: Array
    weight: Array | None = None
    sequences: Sequences | None = None


def targets(networks: Networks, state: State, returns: Returns) -> Array:
    """Scaled returns ``[R]``, bootstrapped from the critic's own value at a truncation."""
    stats = state.policy.obs_stats
    beyond = networks.value(state.value_params, stats, returns.final_obs)
    return returns.reward_to_go / returns.scale + returns.left * beyond[returns.episode]


def fit(
    networks: Networks,
    batch_size: int,
    num_epochs: int,
    state: State,
    returns: Returns,
    hyper: Hyper,
) -> tuple[State, dict[str, Array]]:
    """Fit the critic to returns by regression; the policy does not change.

    The reward scaling is also initialised from the demonstrations, so that the fitted values keep
    their scale when PPO continues.

    Args:
      networks: static.
      batch_size: static, rows of a minibatch; an epoch's incomplete last minibatch is dropped.
      num_epochs: static, passes over the rows, reshuffled each time.
      state: the member's state at iteration 0.
      returns: ``R`` rows.
      hyper: the member's hyper-parameters.

    Returns:
      The state with the fitted critic, and ``explained_variance`` and ``value_loss`` on the rows.
    """
    chex.assert_rank([returns.reward_to_go, returns.left, returns.episode], 1)
    chex.assert_equal_shape([returns.reward_to_go, returns.left, returns.episode])
    rows = jnp.asarray(len(returns.reward_to_go))
    count = rows if returns.weight is None else (returns.weight > 0).sum()
    (params, opt_state), loss = _passes(
        networks, batch_size, num_epochs, state, returns, hyper, count
    )
    state = fitted(state, params, opt_state, returns, count)
    value = networks.value(params, state.policy.obs_stats, returns.obs)
    explained = advantages.explained_variance(
        value, targets(networks, state, returns), returns.weight
    )
    return state, {"explained_variance": explained, "value_loss": loss}


def fitted(
    state: State, params: Params, opt_state: optax.OptState, returns: Returns, count: Array
) -> State:
    """The state with a critic fitted to ``count`` rows, and reward scaling from these rows."""
    reward_stats = normalization.RunningStats(
        count.astype(jnp.float32), returns.mean, jnp.square(returns.scale)
    )
    return state._replace(
        value_params=params,
        value_opt=opt_state,
        return_stats=state.return_stats._replace(stats=reward_stats),
    )


def fit_keys(state: State, num_epochs: int) -> jax.Array:
    """A key for each pass over the demonstrations."""
    # Iterations fold their number, counted from 0, into the key; the highest number is unused.
    key = jax.random.fold_in(shuffle.key_of(state.key), 2**32 - 1)
    return jax.random.split(key, num_epochs)


def _passes(
    networks: Networks,
    batch_size: int,
    num_epochs: int,
    state: State,
    returns: Returns,
    hyper: Hyper,
    count: Array,
) -> tuple[tuple[Params, optax.OptState], Array]:
    """Run all gradient steps; returns parameters, moments and the last epoch's loss."""
    rows, stats = len(returns.reward_to_go), state.policy.obs_stats
    steps = max(rows // batch_size, 1)
    own_steps = jnp.maximum(count // batch_size, 1)

    def minibatch(carry: PyTree, x: tuple[Array, Array, Array]) -> tuple[PyTree, Array]:
        number, index, target = x

        def loss_fn(params: Params) -> Array:
            obs = jax.tree.map(lambda x: x[index], returns.obs)
            value = networks.value(params, stats, obs)
            weight = None if returns.weight is None else returns.weight[index]
            return hyper.value_coef * losses.value_loss(value, target[index], weight)

        params, opt_state = carry
        loss, grads = jax.value_and_grad(loss_fn)(params)
        params, opt_state, _ = optimizer.step(
            params, opt_state, grads, hyper.value_learning_rate, hyper.max_grad_norm
        )
        if returns.weight is None:
            return (params, opt_state), loss
        goes_on = number < own_steps
        return optimizer.where(goes_on, (params, opt_state), carry), jnp.where(goes_on, loss, 0.0)

    def epoch(carry: PyTree, key: Array) -> tuple[PyTree, Array]:
        target = targets(networks, state._replace(value_params=carry[0]), returns)
        order = shuffle.permutation(key, rows)
        if returns.weight is not None:
            order = shuffle.marked_first(order, returns.weight)
        order = order[: steps * batch_size].reshape(steps, -1)
        carry, loss = jax.lax.scan(
            lambda c, x: minibatch(c, (*x, target)), carry, (jnp.arange(steps), order)
        )
        return carry, loss.sum() / own_steps

    keys = fit_keys(state, num_epochs)
    end, loss = jax.lax.scan(epoch, (state.value_params, state.value_opt), keys)
    return end, loss[-1]
