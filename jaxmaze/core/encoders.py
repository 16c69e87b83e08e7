"""Encoders: observations to features, on which the heads of policy and critic sit.

To add one, write a module like :class:`MLP` and give it a line in ``ENCODERS``.
"""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn

from jaxmaze.core.observations import Observations
from jaxmaze.core.types import Array, NetworkSpec

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": nn.tanh,
    "relu": nn.relu,
    "elu": nn.elu,
    "silu": nn.silu,
    "gelu": nn.gelu,
}


class MLP(nn.Module):
    """Dense layers over all numbers of an observation.

    Attributes:
      obs: what observations are made of; an encoder for images unflattens rows by it.
      spec: sizes and activation.
    """

    obs: Observations
    spec: NetworkSpec

    @staticmethod
    def carry_size(spec: NetworkSpec) -> int:
        """Numbers that are passed on from step to step: none, this encoder remembers nothing."""
        return 0

    @nn.compact
    def __call__(self, rows: Array, carry: Array, begin: Array) -> tuple[Array, Array]:
        """One step.

        Args:
          rows: ``[..., D]`` normalised observations.
          carry: ``[..., carry_size]`` what the step before passed on.
          begin: ``[...]`` 1.0 where an episode begins, and nothing counts of the carry.

        Returns:
          Features ``[..., F]`` and the carry for the next step.
        """
        for i, size in enumerate(self.spec.hidden_sizes):
            layer = nn.Dense(size, kernel_init=nn.initializers.zeros, name=f"hidden_{i}")
            rows = ACTIVATIONS[self.spec.activation](layer(rows))
        return rows, carry


ENCODERS: dict[str, type[MLP]] = {"mlp": MLP}
"""Encoders by name."""
