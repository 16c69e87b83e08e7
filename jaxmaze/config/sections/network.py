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
    squash_actions: bool = field(
        False, "whether tanh squashes continuous actions into their bounds, instead of clipping"
    )
    encoder: str = field(
        "auto",
        "in front of the hidden layers; for images nature (auto) or impala",
        choices=("auto", "mlp", "nature", "impala"),
    )
    memory: str = field(
        "none",
        "what remembers, behind the encoder; delta_gru also sees what changed since the last step",
        choices=("delta_gru", "gru", "none"),
    )
    memory_size: int = count(64, "units of the memory")
