"""Collectors, which collect experience for a population and play its evaluation episodes.

A backend is a file in this folder with a class like :class:`Collector`, registered in ``BACKENDS``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

import jax
import numpy as np
from numpy.typing import DTypeLike

from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Policy, PyTree, Rollout
from jaxmaze.envs.actors import ActorConfig, EpisodeResult, Segment
from jaxmaze.envs.environment import EnvInfo, EnvSection
from jaxmaze.envs.envpool import EnvpoolCollector
from jaxmaze.envs.workers import Pool


class Collector(Protocol):
    """The environments of a population.

    Attributes:
      masked: whether rollouts have ``valid``, as some of their rows are not steps.
      config: the environment, the networks, and the members.
    """

    masked: ClassVar[bool]
    config: ActorConfig

    def __init__(
        self, config: ActorConfig, info: EnvInfo, workers: int | None, say: Callable[[str], None]
    ) -> None:
        """Use ``workers`` processes, or one per core if None; ``say`` prints a note."""

    @staticmethod
    def check(info: EnvInfo) -> None:
        """Check that the backend supports the environment; raises UserError otherwise."""

    def reset(self, epoch: int) -> None:
        """Reset all training environments, to episodes that are unique to this ``epoch``."""

    def begin(self, policies: Policy, iteration: int, num_steps: int) -> Callable[[], Segment]:
        """Start collecting a segment of ``num_steps`` steps of every training environment.

        Args:
          policies: of the ``L`` members in training, ``[L, ...]``.
          iteration: makes the random numbers of each segment different.
          num_steps: ``T``.

        Returns:
          A function that waits for the segment, ``[L, T, N, ...]``, and must be called before any
          other method.
        """

    def evaluate(
        self, policies: Policy, seeds: np.ndarray, deterministic: bool, active: np.ndarray
    ) -> list[EpisodeResult]:
        """Play one episode per seed ``[E]`` with each of ``M`` members that is active ``[M]``."""

    def close(self) -> None:
        """Close environments and processes."""


BACKENDS: dict[str, type[Collector]] = {"gymnasium": Pool, "envpool": EnvpoolCollector}
"""Possible values of ``env.backend``."""


def num_shards(num_envs: int, most: int) -> int:
    """The largest number of shards, up to ``most``, that divides ``num_envs``.

    It depends on a setting, not on the number of cores, so that results do not depend on the
    machine.
    """
    return max(s for s in range(1, most + 1) if num_envs % s == 0)


def open_collector(
    section: EnvSection,
    info: EnvInfo,
    networks: Networks,
    seeds: Sequence[int],
    num_envs: int,
    learners: Sequence[int] | None = None,
    say: Callable[[str], None] = print,
) -> Collector:
    """Open the collector that the ``env`` section of a configuration selects.

    Args:
      section: the section ``env``.
      info: the environment.
      networks: of all members.
      seeds: a root seed for each member.
      num_envs: environments per member.
      learners: indices of the members in training; all by default.
      say: prints a line.
    """
    shards = num_shards(num_envs, section.shards)
    training = None if learners is None else tuple(int(m) for m in learners)
    config = ActorConfig(info.config, networks, tuple(seeds), num_envs, shards, training)
    return BACKENDS[section.backend](config, info, section.workers, say)


def rollout_shapes(backend: str, networks: Networks, lead: tuple[int, int, int]) -> Rollout:
    """Shapes and types of a backend's rollouts, for ``lead`` ``(L, T, N)``; nothing is run."""
    spaces, carries = networks.spaces, networks.carry_size

    def of(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> PyTree:
        return jax.ShapeDtypeStruct((*lead, *shape), dtype)

    obs = spaces.obs.build([of(part.shape, part.stored) for part in spaces.obs.parts])
    carry: PyTree = jax.ShapeDtypeStruct((lead[0], lead[2], carries), np.float32)
    action, scalar = of(spaces.action.shape, spaces.action.dtype), of(())
    return Rollout(
        obs,
        action,
        scalar,
        scalar,
        obs,
        scalar,
        scalar,
        valid=scalar if BACKENDS[backend].masked else None,
        begin=scalar if carries else None,
        carry=carry if carries else None,
    )
