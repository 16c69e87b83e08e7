"""Demonstration minibatches for PPO's cloning loss: each member's own rows or sequences."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxmaze.core import bc_sequences, sequences
from jaxmaze.core.memory import Memory
from jaxmaze.core.ppo_types import Context, Hyper
from jaxmaze.core.types import Array, Demonstrations, Params


def own_rows(hyper: Hyper, demonstrations: Demonstrations) -> tuple[Array, Array]:
    """Index of the member's first own demonstration row, and the number of its rows."""
    first = jnp.asarray(hyper.demo_first, jnp.int32)
    count = jnp.asarray(hyper.demo_count, jnp.int32)
    return first, jnp.where(count > 0, count, len(demonstrations.action))


Shown = tuple[Demonstrations, Array, Memory | None]
"""A minibatch of demonstrations, the weight of each row, and the hidden state before them."""
Shows = Callable[[Array], Shown]
"""A function that takes demonstrations by index."""


def shows(
    context: Context, params: Params, demonstrations: Demonstrations
) -> tuple[Shows, tuple[Array, Array], int]:
    """How to take a minibatch of demonstrations.

    Returns:
      A function that takes rows, or sequences, by index; the first index and the number of the
      member's own; and how many make up a minibatch.
    """
    first, count = own_rows(context.hyper, demonstrations)
    size, cuts = context.static.batch_size, demonstrations.sequences
    if cuts is None:
        ones = jnp.ones(size)

        def rows_of(index: Array) -> Shown:
            rows = jax.tree.map(lambda leaf: leaf[index], demonstrations)
            return rows, ones if rows.weight is None else rows.weight, None

        return rows_of, (first, count), size
    begins = jnp.asarray(cuts.start)
    mine = (begins >= first) & (begins < first + count)
    start = bc_sequences.remembered(
        context.networks, params, context.stats, demonstrations, mine[cuts.first]
    ).start

    def take(which: Array) -> Shown:
        rows, mask, begin = sequences.take(cuts, which)
        batch = bc_sequences.rows_at(demonstrations, rows)
        return batch, bc_sequences.counting(mask, batch), Memory(start[which], begin)

    own = ((begins < first).sum(), mine.sum())
    return take, own, bc_sequences.batch_of(size, len(cuts.time))
