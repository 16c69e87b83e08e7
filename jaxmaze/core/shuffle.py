"""Shuffling without sorting."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxmaze.core.types import Array

ROUNDS = 8


def permutation(key: Array, num: int) -> Array:
    """A pseudo-random order ``[num]`` of the numbers ``0 ... num - 1``, int32.

    A Feistel network is a bijection of the numbers of some bits whatever its round function is
    (Luby & Rackoff (1988), "How to construct pseudorandom permutations from pseudorandom
    functions"); numbers that it maps beyond ``num`` are mapped again until they fall inside (cycle
    walking: Black & Rogaway (2002), "Ciphers with arbitrary finite domains"). Every element costs a
    few integer operations, where sorting random numbers, which is what ``jax.random.permutation``
    does, took a third of a whole PPO update on the CPU.

    Args:
      key: a JAX key.
      num: static, at least 1.
    """
    bits = max(2, (num - 1).bit_length())
    low = bits // 2
    keys = jax.random.bits(key, (ROUNDS,), jnp.uint32)

    def once(x: Array) -> Array:
        # The number is (left, right); each round mixes right into left and swaps the two, so that
        # with an odd number of bits their widths alternate.
        for i in range(ROUNDS):
            width = low if i % 2 == 0 else bits - low
            left, right = x >> width, x & ((1 << width) - 1)
            left = (left ^ _mixed(right ^ keys[i])) & ((1 << (bits - width)) - 1)
            x = (right << (bits - width)) | left
        return x

    order = once(jnp.arange(num, dtype=jnp.uint32))
    if num != 1 << bits:
        order = jax.lax.while_loop(
            lambda x: (x >= num).any(), lambda x: jnp.where(x >= num, once(x), x), order
        )
    return order.astype(jnp.int32)


def _mixed(x: Array) -> Array:
    """The finaliser of MurmurHash3: every bit of the result depends on every bit of ``x``."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
