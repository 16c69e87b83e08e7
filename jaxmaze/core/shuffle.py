"""Random keys, and shuffling without sorting."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxmaze.core.types import Array, PyTree

ROUNDS = 8


def child(seed: np.random.SeedSequence, number: int) -> np.random.SeedSequence:
    """Child ``number`` of ``seed``; always the same, unlike with ``spawn``."""
    return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, number))


def fresh_key(seed: np.random.SeedSequence) -> np.ndarray:
    """Data of a new JAX key, drawn on the host, for ``jax.random.wrap_key_data``."""
    shape = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0))).shape
    return np.random.default_rng(seed).integers(0, 2**32, shape, np.uint32)


def key_of(data: Array) -> Array:
    """The JAX key with the given data ``[2]``, which is how a state stores it."""
    return jax.random.wrap_key_data(jnp.asarray(data))


def permutation(key: Array, num: int) -> Array:
    """A pseudo-random order ``[num]`` of the numbers ``0 ... num - 1``, int32.

    A Feistel network is a bijection on n-bit numbers, whatever its round function (Luby & Rackoff
    (1988), "How to construct pseudorandom permutations from pseudorandom functions"); numbers
    mapped to ``num`` or beyond are mapped again until they fall below it (cycle walking: Black &
    Rogaway (2002), "Ciphers with arbitrary finite domains"). Every element costs a few integer
    operations; ``jax.random.permutation``, which sorts random numbers, took a third of a whole PPO
    update on the CPU.

    Args:
      key: a JAX key.
      num: static, at least 1.
    """
    half = max(1, ((num - 1).bit_length() + 1) // 2)  # bits of each half of a number
    mask = (1 << half) - 1
    keys = jax.random.bits(key, (ROUNDS,), jnp.uint32)

    def mix(i: Array, halves: tuple[Array, Array]) -> tuple[Array, Array]:
        left, right = halves
        return right, (left ^ _mixed(right ^ keys[i])) & mask

    def walk(state: PyTree) -> PyTree:
        x, outside = state
        left, right = jax.lax.fori_loop(0, ROUNDS, mix, (x >> half, x & mask))
        x = jnp.where(outside, (left << half) | right, x)
        return x, x >= num

    start = (jnp.arange(num, dtype=jnp.uint32), jnp.ones(num, bool))
    order, _ = jax.lax.while_loop(lambda state: state[1].any(), walk, start)
    return order.astype(jnp.int32)


def _mixed(x: Array) -> Array:
    """The finaliser of MurmurHash3: every bit of the result depends on every bit of ``x``."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def marked_first(order: Array, weight: Array) -> Array:
    """The rows of ``order`` ``[R]`` with a positive weight, in that order, then the others."""
    trains = weight[order] > 0
    place = jnp.where(trains, jnp.cumsum(trains), trains.sum() + jnp.cumsum(~trains)) - 1
    return jnp.zeros_like(order).at[place].set(order, unique_indices=True)
