"""Episodes as sequences, for networks that remember: cut, batched, and walked through in turn.

A network that remembers is trained on sequences of a few dozen steps. What it remembers at the
start of each comes from the episode's steps before, as the network was at the start of the pass
(the "stored state" of Kapturowski et al. (2019), "Recurrent Experience Replay in Distributed
Reinforcement Learning", anew in each pass); gradients go back to the sequence's start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmaze.core import shuffle
from jaxmaze.core.memory import Memory
from jaxmaze.core.types import Array, PyTree, Sequences

GROUP = 64
"""Episodes that are walked through side by side."""


def cut(lengths: np.ndarray, longest: int, steps: int | None = None) -> Sequences:
    """Cut episodes into as few sequences as can be, of nearly equal lengths.

    Args:
      lengths: ``[E]`` steps of each episode; their rows lie one after another.
      longest: the most steps of a sequence; one as long as the longest episode leaves all whole.
      steps: room for the steps of a sequence, ``L``; as many as the longest has by default.

    Returns:
      Numpy arrays.
    """
    lengths = np.asarray(lengths, np.int64)
    count = -(-lengths // longest)
    first, row = np.cumsum(count) - count, np.cumsum(lengths) - lengths
    episode = np.repeat(np.arange(len(lengths)), count)
    k = np.arange(len(episode)) - first[episode]
    # Of nearly equal lengths: a short rest would weigh as much in a minibatch as the others.
    low, high = (i * lengths[episode] // count[episode] for i in (k, k + 1))
    room = int((high - low).max()) if steps is None else steps
    whole = Sequences(
        start=row[episode] + low,
        length=high - low,
        begin=k == 0,
        episode=episode,
        first=first,
        parts=count,
        order=np.argsort(-count, kind="stable"),
        time=np.arange(room),
    )
    return Sequences(*(x.astype(np.int32) for x in whole))._replace(
        begin=whole.begin.astype(np.float32)
    )


def filled(sequences: Sequences, count: int, episodes: int) -> Sequences:
    """The same with room for ``count`` sequences of as many ``episodes``."""

    def fill(x: np.ndarray, size: int) -> np.ndarray:
        return np.concatenate([x, np.zeros(size - len(x), x.dtype)])

    own = len(sequences.parts)
    per_sequence = {n: fill(getattr(sequences, n), count) for n in Sequences._fields[:4]}
    per_episode = {n: fill(getattr(sequences, n), episodes) for n in ("first", "parts")}
    order = np.concatenate([sequences.order, np.arange(own, episodes, dtype=np.int32)])
    return sequences._replace(**per_sequence, **per_episode, order=order)


def together(each: list[np.ndarray], longest: int) -> Sequences:
    """Sequences ``[M, ...]`` of data sets with episodes of ``each`` so many steps, filled up.

    To powers of two, so that few sizes are ever compiled.
    """
    steps = min(longest, max(int(lengths.max()) for lengths in each))
    parts = [cut(lengths, longest, steps) for lengths in each]
    count, episodes = (
        1 << (max(len(x) for x in sizes) - 1).bit_length()
        for sizes in ([p.start for p in parts], [p.parts for p in parts])
    )
    return jax.tree.map(lambda *x: np.stack(x), *(filled(p, count, episodes) for p in parts))  # type: ignore[no-any-return]


def take(sequences: Sequences, which: Array) -> tuple[Array, Array, Array]:
    """Rows of some sequences.

    Args:
      sequences: all of them.
      which: ``[B]`` numbers of sequences; beyond the last they are the last.

    Returns:
      ``[L, B]`` row numbers, which may be beyond the last row; 1.0 for those that are steps of the
      sequence, else 0.0; and 1.0 where an episode begins.
    """
    start, length, begin = (x.at[which].get(mode="clip") for x in map(jnp.asarray, sequences[:3]))
    time = jnp.asarray(sequences.time)[:, None]
    return (
        start + time,
        (time < length).astype(jnp.float32),
        jnp.where(time == 0, begin, 0.0),
    )


class Part(NamedTuple):
    """The next sequences of the episodes that are being walked through, ``B`` side by side.

    Attributes:
      rows: ``[L, B]`` their rows; some may be beyond the last.
      mask: ``[L, B]`` 1.0 for steps, 0.0 for what only fills up.
      memory: what was passed on to them.
    """

    rows: Array
    mask: Array
    memory: Memory


class Carries(NamedTuple):
    """What was remembered: ``start`` ``[C, H]`` of each sequence, and ``end`` ``[E, H]``."""

    start: Array
    end: Array


def marked_episodes(sequences: Sequences, weight: Array) -> Array:
    """Which episodes ``[E]`` those are whose rows ``weight`` ``[R]`` marks."""
    row = jnp.asarray(sequences.start)[sequences.first]
    return (jnp.asarray(weight)[row] > 0) & (jnp.asarray(sequences.parts) > 0)


def walk(
    sequences: Sequences,
    marked: Array,
    carry_size: int,
    visit: Callable[[PyTree, Part], tuple[PyTree, Array]],
    total: PyTree,
) -> tuple[PyTree, Carries]:
    """Walk through marked episodes, each from its first step to its last, many side by side.

    Episodes of like length go together, so that little is computed for nothing.

    Args:
      sequences: of all episodes.
      marked: ``[E]`` which episodes.
      carry_size: ``H``.
      visit: takes ``total`` and a part, and gives the new total and what each step passed on
        ``[L, B, H]``.
      total: to begin with.

    Returns:
      The total, and what was remembered in the marked episodes (0 in others).
    """
    episodes = len(sequences.parts)
    size = min(GROUP, episodes)
    first, count, length = (
        jnp.asarray(x) for x in (sequences.first, sequences.parts, sequences.length)
    )
    order = jnp.asarray(shuffle.marked_first(jnp.asarray(sequences.order), marked))
    num = marked.sum()

    def group(g: Array, state: PyTree) -> PyTree:
        place = g * size + jnp.arange(size)
        who = order.at[place].get(mode="clip")
        depth = jnp.where(place < num, count[who], 0)

        def onward(k: Array, state: PyTree) -> PyTree:
            carry, total, carries = state
            which, there = first[who] + k, k < depth
            index, mask, begin = take(sequences, which)
            total, passed = visit(total, Part(index, mask * there, Memory(carry, begin)))
            last = jnp.maximum(length.at[which].get(mode="clip") - 1, 0)
            carry = passed[last, jnp.arange(size)]
            # What is beyond the arrays is written nowhere.
            onwards = jnp.where(k + 1 < depth, which + 1, len(length))
            ends = jnp.where(k + 1 == depth, who, episodes)
            carries = Carries(
                carries.start.at[onwards].set(carry, mode="drop"),
                carries.end.at[ends].set(carry, mode="drop"),
            )
            return carry, total, carries

        total, carries = state
        state = (jnp.zeros((size, carry_size)), total, carries)
        return jax.lax.fori_loop(0, depth.max(), onward, state)[1:]

    none = Carries(jnp.zeros((len(length), carry_size)), jnp.zeros((episodes, carry_size)))
    end: PyTree = jax.lax.fori_loop(0, -(-num // size), group, (total, none))
    return end
