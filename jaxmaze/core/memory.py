"""Memories: what stands between an encoder and the heads and passes something on from step to step.

To add one, write a module like :class:`GRU` and give it a line in ``MEMORIES``.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmaze.core.types import Array

GATES = 3
"""Parts of a GRU's kernels: reset gate, update gate, candidate."""


class Memory(NamedTuple):
    """What steps of one after another need to know of those before.

    Attributes:
      carry: ``[..., C]`` what the step before the first passed on.
      begin: ``[T, ...]`` 1.0 where an episode begins, so that nothing counts of the carry.
    """

    carry: Array
    begin: Array


class _Kernel(nn.Module):
    """A kernel alone, for whoever multiplies by it."""

    shape: tuple[int, int]

    @nn.compact
    def __call__(self) -> Array:
        kernel: Array = self.param("kernel", nn.initializers.zeros, self.shape)
        return kernel


class GRU(nn.Module):
    """A gated recurrent unit.

    Cho et al. (2014), "Learning Phrase Representations using RNN Encoder-Decoder", with the reset
    gate after the multiplication, as cuDNN has it: ``r = s(W_r x + b_r + U_r h)``, ``z = s(W_z x +
    b_z + U_z h)``, ``n = tanh(W_n x + b_n + r * U_n h)``, ``h' = (1 - z) * n + z * h``, where ``s``
    is the logistic function and ``h`` is 0 where an episode begins.

    Attributes:
      size: units; what it gives is what it passes on.
    """

    CARRIED: ClassVar[int] = 1
    """Times ``size``: what is passed on."""
    size: int

    @nn.compact
    def __call__(self, features: Array, carry: Array, begin: Array) -> tuple[Array, Array]:
        """One step, or steps one after another.

        Args:
          features: ``[..., F]`` of one step; ``[T, ..., F]`` of several.
          carry: ``[..., size]`` what the step before (the first) passed on.
          begin: as ``features`` without the last axis; 1.0 where an episode begins.

        Returns:
          Features ``[..., size]``, and what each step passes on, which is the same; both with an
          axis of time where ``features`` has one.
        """
        zeros = nn.initializers.zeros
        # Of all steps at once: only what depends on the step before has to wait for it.
        inputs = nn.Dense(GATES * self.size, kernel_init=zeros, name="input")(features)
        kernel = _Kernel((self.size, GATES * self.size), name="recurrent")()
        keeps = 1.0 - begin[..., None]

        def step(h: Array, x: tuple[Array, Array]) -> tuple[Array, Array]:
            h = h * x[1]
            r_in, z_in, n_in = jnp.split(x[0], GATES, -1)
            r_of, z_of, n_of = jnp.split(h @ kernel, GATES, -1)
            n = jnp.tanh(n_in + jax.nn.sigmoid(r_in + r_of) * n_of)
            z = jax.nn.sigmoid(z_in + z_of)
            h = (1.0 - z) * n + z * h
            return h, h

        if carry.ndim == features.ndim:
            return step(carry, (inputs, keeps))
        _, passed = jax.lax.scan(step, carry, (inputs, keeps))
        return passed, passed


class DeltaGRU(nn.Module):
    """A GRU that also sees what has changed since the step before.

    Delta features: Furui (1986), "Speaker-independent isolated word recognition using dynamic
    features of speech spectrum". A velocity is a small difference of two places; a GRU finds it
    only by weights that are large and cancel each other nearly. Here changes are scaled by factors
    that are learned, ``exp(gain)``; there are none where an episode begins.

    Attributes:
      size: units.
    """

    CARRIED: ClassVar[int] = 2
    """Times ``size``: what is passed on, the GRU's units and what changes are of."""
    size: int

    @nn.compact
    def __call__(self, features: Array, carry: Array, begin: Array) -> tuple[Array, Array]:
        """As :class:`GRU`; what is passed on is ``[..., 2 * size]``."""
        zeros = nn.initializers.zeros
        seen = nn.Dense(self.size, kernel_init=zeros, name="seen")(features)
        carry, before = jnp.split(carry, 2, -1)
        if before.ndim < seen.ndim:
            before = jnp.concatenate([before[None], seen[:-1]])
        gain = self.param("gain", zeros, (self.size,))
        change = (seen - before) * jnp.exp(gain) * (1.0 - begin[..., None])
        inputs = jnp.concatenate([features, change], -1)
        units, passed = GRU(self.size, name="gru")(inputs, carry, begin)
        return units, jnp.concatenate([passed, seen], -1)


MEMORIES: dict[str, type[GRU] | type[DeltaGRU] | None] = {
    "none": None,
    "gru": GRU,
    "delta_gru": DeltaGRU,
}
"""Memories by name."""


def carry_size(memory: str, size: int) -> int:
    """Numbers that a memory of so many units passes on from step to step."""
    known = MEMORIES[memory]
    return 0 if known is None else known.CARRIED * size
