"""``config.evaluation``."""

from __future__ import annotations

import dataclasses

from jaxmaze.config.fields import count, field


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The episodes that results are reported on."""

    episodes: int = count(300, "test episodes, the same for every policy and for the teacher")
    deterministic: bool = field(True, "the distribution's mode instead of samples")
    seed: int = field(20_250, "of these episodes", low=0, high=2**31 - 1)
