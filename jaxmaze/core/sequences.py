"""Sequences for recurrent networks: cutting episodes, batching, and walking through in order.

A recurrent network is trained on sequences of a few dozen steps. The hidden state at the start of
each is computed from the episode's earlier steps, with the parameters at the start of the pass
(the "stored state" of Kapturowski et al. (2019), "Recurrent Experience Replay in Distributed
Reinforcement Learning", recomputed in each pass). Gradients stop at the sequence's start.
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
"""Number of episodes that are processed in parallel."""


def cut(lengths: np.ndarray, longest: int, steps: int | None = None) -> Sequences:
    """Cut episodes into as few sequences as possible, of nearly equal lengths.

    Args:
      lengths: ``[E]`` steps of each episode; the rows of the episodes are consecutive.
      longest: maximum length of a sequence; with that of the longest episode, none is cut.
      steps: padded length ``L`` of the sequences; by default the length of the longest.

    Returns:
      Numpy arrays.
    """
    lengths = np.asarray(lengths, np.int64)
    count = -(-lengths // longest)
    first, row = np.cumsum(count) - count, np.cumsum(lengths) - lengths
    episode = np.repeat(np.arange(len(lengths)), count)
    k = np.arange(len(episode)) - first[episode]
    # Nearly equal lengths: a short remainder would weigh as much in a minibatch as the others.
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
    """Pad to ``count`` sequences and ``episodes`` episodes."""

    def fill(x: np.ndarray, size: int) -> np.ndarray:
        return np.concatenate([x, np.zeros(size - len(x), x.dtype)])

    own = len(sequences.parts)
    per_sequence = {n: fill(getattr(sequences, n), count) for n in Sequences._fields[:4]}
    per_episode = {n: fill(getattr(sequences, n), episodes) for n in ("first", "parts")}
    order = np.concatenate([sequences.order, np.arange(own, episodes, dtype=np.int32)])
    return sequences._replace(**per_sequence, **per_episode, order=order)


def together(each: list[np.ndarray], longest: int) -> Sequences:
    """Sequences ``[M, ...]`` of ``M`` data sets, given the episode lengths of ``each``.

    Padded to powers of two, so that few shapes are compiled.
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
      which: ``[B]`` indices of sequences; an index out of range takes the last one.

    Returns:
      Row indices ``[L, B]``, which may be out of range; a mask ``[L, B]``, 1.0 for steps of the
      sequence and 0.0 for padding; and 1.0 where an episode begins, ``[L, B]``.
    """
    start, length, begin = (x.at[which].get(mode="clip") for x in map(jnp.asarray, sequences[:3]))
    time = jnp.asarray(sequences.time)[:, None]
    return (
        start + time,
        (time < length).astype(jnp.float32),
        jnp.where(time == 0, begin, 0.0),
    )


class Part(NamedTuple):
    """The next sequences of ``B`` episodes that are processed in parallel.

    Attributes:
      rows: ``[L, B]`` their row indices; some may be out of range.
      mask: ``[L, B]`` 1.0 for steps, 0.0 for padding.
      memory: hidden state before the first step, and episode starts.
    """

    rows: Array
    mask: Array
    memory: Memory


class Carries(NamedTuple):
    """Hidden states at the ``start`` ``[C, H]`` of sequences and ``end`` ``[E, H]`` of episodes."""

    start: Array
    end: Array


def marked_episodes(sequences: Sequences, weight: Array) -> Array:
    """Which episodes ``[E]`` are marked, given the ``weight`` ``[R]`` of their rows."""
    row = jnp.asarray(sequences.start)[sequences.first]
    return (jnp.asarray(weight)[row] > 0) & (jnp.asarray(sequences.parts) > 0)


def walk(
    sequences: Sequences,
    marked: Array,
    carry_size: int,
    visit: Callable[[PyTree, Part], tuple[PyTree, Array]],
    total: PyTree,
) -> tuple[PyTree, Carries]:
    """Process marked episodes from their first step to their last, many in parallel.

    Episodes of similar length are grouped, so that little computation is wasted on padding.

    Args:
      sequences: of all episodes.
      marked: ``[E]`` which episodes to process.
      carry_size: size of the hidden state, ``H``.
      visit: takes ``total`` and a part; returns the new total and the hidden state after each step
        ``[L, B, H]``.
      total: the initial total.

    Returns:
      The total, and the hidden states in the marked episodes (0 in others).
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
            # Writes out of range are dropped.
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
