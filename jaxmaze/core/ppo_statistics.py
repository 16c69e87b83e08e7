"""Observation statistics during PPO: updated after an update, with the networks' outputs kept."""

from __future__ import annotations

import math

import jax

from jaxmaze.core import normalization, optimizer, preserving
from jaxmaze.core.normalization import RunningStats
from jaxmaze.core.ppo_types import Context, State
from jaxmaze.core.types import Array, Params, Policy


def updated(
    context: Context, state: State, params: Params, moves: Array
) -> tuple[State, Params, RunningStats]:
    """Statistics that include the segment, and networks that go with them.

    Args:
      context: of the iteration, whose gradient steps have been made.
      state: with the critic and the moments after these steps.
      params: the policy's parameters after them.
      moves: whether the policy learned; else nothing changes by a bit.

    Returns:
      The state (average, critic and moments rewritten if outputs are kept), the policy's
      parameters likewise, and the statistics.
    """
    hyper, rows, old = context.hyper, context.rows, context.stats
    flat = context.networks.flatten_obs(rows.obs)
    flat = flat.reshape(math.prod(flat.shape[:-1]), flat.shape[-1])
    weight = None if rows.weight is None else rows.weight.reshape(-1)
    adapts = moves & (hyper.adapt_stats > 0)
    if not context.static.keeps_outputs:
        stats = normalization.update_stats(old, flat, weight)
        return state, params, optimizer.where(adapts, stats, old)
    new = preserving.update_stats(old, flat, weight, hyper.adapt_above)
    stats = optimizer.where(adapts, new, old)

    def rewritten() -> tuple[State, Params]:
        change = preserving.change_between(old, stats, flat, weight)
        layers = context.networks.input_layers
        rest = state._replace(
            average=Policy(preserving.params(state.average.params, change, layers), stats),
            value_params=preserving.params(state.value_params, change, layers),
            policy_opt=preserving.moments(state.policy_opt, change, layers),
            value_opt=preserving.moments(state.value_opt, change, layers),
        )
        return rest, preserving.params(params, change, layers)

    keeps = adapts & (hyper.keep_outputs > 0) & (stats.count != old.count)
    state, params = jax.lax.cond(keeps, rewritten, lambda: (state, params))
    return state, params, stats
