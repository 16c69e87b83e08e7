"""Recurrent layers (memories) between an encoder and the heads.

To add one, write a module like :class:`GRU` and register it in ``MEMORIES``.
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
    """Hidden state and episode starts, for consecutive steps of a recurrent network.

    Attributes:
      carry: ``[..., C]`` hidden state before the first step.
      begin: ``[T, ...]`` 1.0 where an episode begins, so that the carry is ignored there.
    """

    carry: Array
    begin: Array


class _Kernel(nn.Module):
    """A kernel parameter without a layer; the caller multiplies by it."""

    shape: tuple[int, int]

    @nn.compact
    def __call__(self) -> Array:
        kernel: Array = self.param("kernel", nn.initializers.zeros, self.shape)
        return kernel


class GRU(nn.Module):
    """A gated recurrent unit.

    Cho et al. (2014), "Learning Phrase Representations using RNN Encoder-Decoder", with the reset
    gate after the multiplication, as in cuDNN: ``r = s(W_r x + b_r + U_r h)``, ``z = s(W_z x +
    b_z + U_z h)``, ``n = tanh(W_n x + b_n + r * U_n h)``, ``h' = (1 - z) * n + z * h``, where ``s``
    is the logistic function and ``h`` is 0 where an episode begins.

    Attributes:
      size: number of units; the output equals the new hidden state.
    """

    CARRIED: ClassVar[int] = 1
    """Size of the hidden state, in multiples of ``size``."""
    INPUT_LAYERS: ClassVar[tuple[tuple[str, ...], ...]] = (("input",),)
    """Paths of the layers that take the features."""
    size: int

    @nn.compact
    def __call__(self, features: Array, carry: Array, begin: Array) -> tuple[Array, Array]:
        """One step, or several consecutive steps.

        Args:
          features: ``[..., F]`` of one step; ``[T, ..., F]`` of several.
          carry: ``[..., size]`` hidden state before the (first) step.
          begin: shaped as ``features`` without the last axis; 1.0 where an episode begins.

        Returns:
          Features ``[..., size]``, and the hidden state after each step, which equals them; both
          have a time axis if ``features`` has one.
        """
        zeros = nn.initializers.zeros
        # Computed for all steps at once: only the recurrent part depends on the previous step.
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
    """A GRU that also takes the change of its input features since the previous step.

    Delta features: Furui (1986), "Speaker-independent isolated word recognition using dynamic
    features of speech spectrum". A velocity is a small difference of two positions; a GRU can
    compute it only with large weights that nearly cancel. Here changes are scaled by learned
    factors, ``exp(gain)``; they are 0 where an episode begins.

    Attributes:
      size: number of units.
    """

    CARRIED: ClassVar[int] = 2
    """Size of the hidden state, in multiples of ``size``: GRU units and the previous features."""
    INPUT_LAYERS: ClassVar[tuple[tuple[str, ...], ...]] = (("seen",), ("gru", "input"))
    """Paths of the layers that take the features, as the first of their inputs."""
    size: int

    @nn.compact
    def __call__(self, features: Array, carry: Array, begin: Array) -> tuple[Array, Array]:
        """As :class:`GRU`; the hidden state is ``[..., 2 * size]``."""
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
    """Size of the hidden state of a memory with ``size`` units."""
    known = MEMORIES[memory]
    return 0 if known is None else known.CARRIED * size
