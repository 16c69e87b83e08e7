"""``config.network``."""

from __future__ import annotations

import dataclasses

from jaxmaze.config.fields import count, field


@dataclasses.dataclass(frozen=True)
class Network:
    """The networks of policy and critic."""

    hidden_sizes: tuple[int, ...] = field((64, 64), "units of the hidden layers, of both alike")
    activation: str = field(
        "tanh", "of the hidden layers", choices=("elu", "gelu", "relu", "silu", "tanh")
    )
    memory: str = field("none", "what remembers behind the encoder", choices=("none", "gru"))
    memory_size: int = count(64, "numbers that the memory passes on from step to step")
