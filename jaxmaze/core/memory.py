"""Memories: what stands between an encoder and the heads and passes something on from step to step.

To add one, write a module like :class:`GRU` and give it a line in ``MEMORIES``.
"""

from __future__ import annotations

from typing import NamedTuple

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


MEMORIES: dict[str, type[GRU] | None] = {"none": None, "gru": GRU}
"""Memories by name."""
