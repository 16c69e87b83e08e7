"""Encoders: observations to features, on which the heads of policy and critic sit.

To add one, write a module like :class:`MLP` and give it a line in ``ENCODERS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import flax.linen as nn
import jax.numpy as jnp

from jaxmaze.core import convolutions
from jaxmaze.core.observations import Observations
from jaxmaze.core.types import Array, NetworkSpec

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": nn.tanh,
    "relu": nn.relu,
    "elu": nn.elu,
    "silu": nn.silu,
    "gelu": nn.gelu,
}
IMAGE = "image_"
"""With what the names of networks of images begin."""
AUTO = "auto"
"""The encoder that observations ask for: ``nature`` for images, else ``mlp``."""
Inputs: TypeAlias = Array | tuple[Array, tuple[Array, ...]]
"""Rows ``[..., D]``; with images, rows (``D`` may be 0) and images ``[..., H, W, channels]``."""


class MLP(nn.Module):
    """Dense layers over all numbers of an observation, those of images included.

    Attributes:
      obs: what observations are made of.
      spec: sizes and activation.
    """

    obs: Observations
    spec: NetworkSpec

    @staticmethod
    def carry_size(spec: NetworkSpec) -> int:
        """Numbers that are passed on from step to step: none, this encoder remembers nothing."""
        return 0

    @nn.compact
    def __call__(self, rows: Inputs, carry: Array, begin: Array) -> tuple[Array, Array]:
        """One step.

        Args:
          rows: ``[..., D]`` normalised observations, and images where there are some.
          carry: ``[..., carry_size]`` what the step before passed on.
          begin: ``[...]`` 1.0 where an episode begins, and nothing counts of the carry.

        Returns:
          Features ``[..., F]`` and the carry for the next step.
        """
        if isinstance(rows, tuple):
            rows, images = rows
            seen = [self.see(i, x).reshape((*rows.shape[:-1], -1)) for i, x in enumerate(images)]
            rows = jnp.concatenate([rows, *seen], -1)
        for i, size in enumerate(self.spec.hidden_sizes):
            layer = nn.Dense(size, kernel_init=nn.initializers.zeros, name=f"hidden_{i}")
            rows = ACTIVATIONS[self.spec.activation](layer(rows))
        return rows, carry

    def see(self, number: int, images: Array) -> Array:
        """Features ``[..., F]`` of one of the observation's images: its pixels."""
        return convolutions.scaled(images)


class Nature(MLP):
    """A convolutional network for each image; the dense layers take its features and the rest."""

    def see(self, number: int, images: Array) -> Array:
        return convolutions.Nature(name=f"{IMAGE}{number}")(images)


class Impala(MLP):
    """A deeper convolutional network for each image, likewise."""

    def see(self, number: int, images: Array) -> Array:
        return convolutions.Impala(name=f"{IMAGE}{number}")(images)


ENCODERS: dict[str, type[MLP]] = {"mlp": MLP, "nature": Nature, "impala": Impala}
"""Encoders by name."""
CONVOLUTIONAL = ("nature", "impala")
"""Those that need images."""
