"""Encoders, which map observations to the features that the policy and value heads take.

To add one, write a module like :class:`MLP` and register it in ``ENCODERS``.
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
"""Name prefix of the image networks."""
AUTO = "auto"
"""Choose the encoder by the observations: ``nature`` for images, else ``mlp``."""
Inputs: TypeAlias = Array | tuple[Array, tuple[Array, ...]]
"""Rows ``[..., D]``; with images, rows (``D`` may be 0) and images ``[..., H, W, channels]``."""


class MLP(nn.Module):
    """Dense layers on all numbers of an observation, including the pixels of images.

    Attributes:
      obs: structure of the observations.
      spec: layer sizes and activation.
    """

    obs: Observations
    spec: NetworkSpec

    @staticmethod
    def carry_size(spec: NetworkSpec) -> int:
        """Size of the hidden state: 0, as this encoder is not recurrent."""
        return 0

    @staticmethod
    def input_layers(spec: NetworkSpec) -> tuple[tuple[str, ...], ...]:
        """Paths of the layers that take the rows, as the first of their inputs.

        Empty without layers, where the rows are features as they are.
        """
        return (("hidden_0",),) if spec.hidden_sizes else ()

    @nn.compact
    def __call__(self, rows: Inputs, carry: Array, begin: Array) -> tuple[Array, Array]:
        """One step.

        Args:
          rows: ``[..., D]`` normalised observations, and images if there are any.
          carry: ``[..., carry_size]`` hidden state after the previous step.
          begin: ``[...]`` 1.0 where an episode begins and the carry is ignored.

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
        """Features ``[..., F]`` of the observation's image ``number``: here, its pixels."""
        return convolutions.scaled(images)


class Nature(MLP):
    """The Nature CNN for each image; the dense layers take its features and all other numbers."""

    def see(self, number: int, images: Array) -> Array:
        return convolutions.Nature(name=f"{IMAGE}{number}")(images)


class Impala(MLP):
    """As :class:`Nature`, with the deeper IMPALA network for each image."""

    def see(self, number: int, images: Array) -> Array:
        return convolutions.Impala(name=f"{IMAGE}{number}")(images)


ENCODERS: dict[str, type[MLP]] = {"mlp": MLP, "nature": Nature, "impala": Impala}
"""Encoders by name."""
CONVOLUTIONAL = ("nature", "impala")
"""Encoders that need images."""
