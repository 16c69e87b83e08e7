"""Demonstrations that PPO goes on cloning from: a member's own, in rows or in sequences."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxmaze.core import bc_sequences, sequences
from jaxmaze.core.memory import Memory
from jaxmaze.core.ppo_types import Context, Hyper
from jaxmaze.core.types import Array, Demonstrations, Params


def own_rows(hyper: Hyper, demonstrations: Demonstrations) -> tuple[Array, Array]:
    """The first row of the member's own demonstrations, and how many there are."""
    first = jnp.asarray(hyper.demo_first, jnp.int32)
    count = jnp.asarray(hyper.demo_count, jnp.int32)
    return first, jnp.where(count > 0, count, len(demonstrations.action))


Shown = tuple[Demonstrations, Array, Memory | None]
"""Demonstrations of a minibatch, what each counts, and what was remembered before them."""
Shows = Callable[[Array], Shown]
"""What takes some of the demonstrations, by their numbers."""


def shows(
    context: Context, params: Params, demonstrations: Demonstrations
) -> tuple[Shows, tuple[Array, Array], int]:
    """How a minibatch of demonstrations is taken.

    Returns:
      What takes rows, or sequences, by their numbers; the first number of the member's own, and how
      many there are; and how many make up a minibatch.
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
