"""Changing observation statistics without changing what networks compute.

If mean and standard deviation change from ``m, s`` to ``m', s'``, then the old normalised features
are ``z = (s' / s) z' + (m' - m) / s``, a linear function of the new ones. A first layer ``W z + b``
keeps its output if its weights are multiplied by ``s' / s`` and its bias takes up the offset: van
Hasselt et al. (2016), "Learning values across many orders of magnitude" (PopArt), proposition 1,
for inputs instead of targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import chex
import jax.numpy as jnp
import optax

from jaxmaze.core import normalization
from jaxmaze.core.normalization import CLIP, EPSILON, RunningStats
from jaxmaze.core.types import Array, Params, Scalar

LEAST_SLOPE = 0.01
"""Smallest slope of a fitted line, by which Adam's moments are divided."""
ALL = -1.0
"""In place of a share of clipped rows: all features are updated."""


class Change(NamedTuple):
    """Old normalised features as a function of new ones: ``old = scale * new + offset``.

    Attributes:
      scale: ``[D]``, positive.
      offset: ``[D]``.
    """

    scale: Array
    offset: Array


def update_stats(
    old: RunningStats, rows: Array, weight: Array | None = None, above: Scalar = ALL
) -> RunningStats:
    """Merge a batch into the statistics, or only into those of features that were constant.

    Args:
      old: statistics ``[D]``.
      rows: ``[B, D]`` raw.
      weight: ``[B]`` 0.0 for rows that do not count; all do by default.
      above: only features that were constant are updated, and only if a larger share of the rows
        than this is clipped with the old statistics; :data:`ALL` for all features. Before any
        data, all are.

    Returns:
      New statistics; the old ones, bitwise, if no feature is updated.
    """
    new = normalization.update_stats(old, rows, weight)
    if old.mean is None:
        return new
    counts = jnp.ones(len(rows)) if weight is None else weight
    clipped = (counts[:, None] * _clipped(old, rows)).sum(0) / jnp.maximum(counts.sum(), 1e-8)
    varies_now = constant(old) & (clipped > above)
    chosen = (above < 0) | varies_now | (old.count == 0)
    return RunningStats(
        jnp.where(chosen.any(), new.count, old.count),
        jnp.where(chosen, new.mean, old.mean),
        jnp.where(chosen, new.var, old.var),
    )


def constant(stats: RunningStats) -> Array:
    """Which features ``[..., D]`` did not vary, but for rounding, so that they have no scale."""
    return stats.var <= EPSILON + jnp.square(1e-6 * stats.mean)


def _clipped(stats: RunningStats, rows: Array) -> Array:
    """Which of the numbers ``[B, D]`` normalising clips."""
    return jnp.abs(rows - stats.mean) > CLIP * jnp.sqrt(stats.var + EPSILON)


def change_between(
    old: RunningStats, new: RunningStats, rows: Array, weight: Array | None = None
) -> Change | None:
    """How normalised features change with their statistics.

    Exact for features that are clipped at no row, with the old statistics or the new. For the
    others it is the line with the least squared error over all data of the new statistics: the
    rows, and those that the old statistics summarise. So a feature that was (nearly) constant in
    the old data, and is clipped nearly everywhere now, does not get weights as large as the ratio
    of the standard deviations.

    Args:
      old: statistics ``[D]``; without any data (count 0) there is nothing to keep, and the change
        is none at all.
      new: the old ones, updated by the rows, or by some of their features.
      rows: ``[B, D]`` raw.
      weight: ``[B]`` 0.0 for rows that do not count; all do by default.

    Returns:
      The change; None if nothing is normalised.
    """
    if old.mean is None or new.mean is None:
        return None
    chex.assert_rank(rows, 2)
    before, after = (jnp.sqrt(stats.var + EPSILON) for stats in (old, new))
    exact = Change(after / before, (new.mean - old.mean) / before)
    counts = jnp.ones(len(rows)) if weight is None else weight
    clipped = (_clipped(old, rows) | _clipped(new, rows)).any(0)
    line = _nearest_line(old, new, exact, rows, counts)
    change = Change(*(jnp.where(clipped, a, b) for a, b in zip(line, exact, strict=True)))
    changes = (old.count > 0) & ((new.mean != old.mean) | (new.var != old.var))
    return Change(jnp.where(changes, change.scale, 1.0), jnp.where(changes, change.offset, 0.0))


def _nearest_line(
    old: RunningStats, new: RunningStats, exact: Change, rows: Array, weight: Array
) -> Change:
    """Linear regression of old features on new ones, over old data and rows together."""
    share = (weight / jnp.maximum(weight.sum(), 1e-8))[:, None]
    z, x = (normalization.normalize(stats, rows) for stats in (old, new))
    mean_z, mean_x = (share * z).sum(0), (share * x).sum(0)
    var = (share * (x - mean_x) ** 2).sum(0)
    cov = (share * (x - mean_x) * (z - mean_z)).sum(0)
    # The old data, whose old features have mean 0 and variance (nearly) 1.
    old_mean, old_var = -exact.offset / exact.scale, old.var / (old.var + EPSILON)
    f = weight.sum() / jnp.maximum(new.count, 1e-8)
    apart = f * (1 - f) * (mean_x - old_mean)
    var = (1 - f) * old_var / exact.scale**2 + f * var + apart * (mean_x - old_mean)
    cov = (1 - f) * old_var / exact.scale + f * cov + apart * mean_z
    slope = cov / jnp.maximum(var, 1e-8)
    # Clipping makes features vary less, never more.
    slope = jnp.minimum(jnp.maximum(slope, LEAST_SLOPE), exact.scale)
    return Change(slope, f * mean_z - slope * ((1 - f) * old_mean + f * mean_x))


def params(params: Params, change: Change | None, layers: Sequence[tuple[str, ...]]) -> Params:
    """Parameters whose outputs for new features equal those of ``params`` for old ones.

    Args:
      params: a network's parameters.
      change: of the first ``D`` inputs of some layers; None for none.
      layers: paths of these layers, which have a kernel ``[inputs, outputs]`` and a bias.
    """
    if change is None:
        return params
    count = len(change.scale)

    def rewritten(layer: Params) -> Params:
        kernel, rest = layer["kernel"][:count], layer["kernel"][count:]
        return {
            "kernel": jnp.concatenate([change.scale[:, None] * kernel, rest]),
            "bias": layer["bias"] + change.offset @ kernel,
        }

    return _changed(params, rewritten, layers)


def moments(
    opt_state: optax.OptState, change: Change | None, layers: Sequence[tuple[str, ...]]
) -> optax.OptState:
    """Adam's moments for the parameters that :func:`params` returns.

    By the chain rule, a gradient ``g`` of a kernel's row becomes ``(g - offset * h) / scale``,
    where ``h`` is the bias's gradient, which stays as it is. The first moment, which is linear, is
    exact; the second is, if ``g`` and ``h`` are uncorrelated.

    Args:
      opt_state: as returned by :func:`jaxmaze.core.optimizer.init`.
      change: as in :func:`params`.
      layers: likewise.
    """
    if change is None:
        return opt_state
    count, scale, offset = len(change.scale), change.scale[:, None], change.offset[:, None]

    def first(layer: Params) -> Params:
        kernel, rest = layer["kernel"][:count], layer["kernel"][count:]
        kernel = (kernel - offset * layer["bias"]) / scale
        return {"kernel": jnp.concatenate([kernel, rest]), "bias": layer["bias"]}

    def second(layer: Params) -> Params:
        kernel, rest = layer["kernel"][:count], layer["kernel"][count:]
        kernel = (kernel + offset**2 * layer["bias"]) / scale**2
        return {"kernel": jnp.concatenate([kernel, rest]), "bias": layer["bias"]}

    return opt_state._replace(  # type: ignore[union-attr, call-arg]
        mu=_changed(opt_state.mu, first, layers),  # type: ignore[union-attr]
        nu=_changed(opt_state.nu, second, layers),  # type: ignore[union-attr]
    )


def _changed(
    tree: Params, change: Callable[[Params], Params], layers: Sequence[tuple[str, ...]]
) -> Params:
    """A copy of nested dicts in which the layers at some paths are changed."""
    for path in layers:
        tree = _put(tree, path, change)
    return tree


def _put(tree: Params, path: tuple[str, ...], change: Callable[[Params], Params]) -> Params:
    if not path:
        return change(tree)
    return {**tree, path[0]: _put(tree[path[0]], path[1:], change)}
