"""Checkpoints and logs of runs that train together, each in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import numpy as np

from jaxmaze.core.types import Json, Policy, PyTree
from jaxmaze.runs import checkpoint, metrics
from jaxmaze.training.ppo_arms import Arm


class ArmFiles:
    """The files of all arms. Arrays have a leading axis ``[M]``: the members of all arms."""

    def __init__(self, arms: Sequence[Arm]):
        self.arms = arms
        self._checkpoints = [checkpoint.Checkpoints(arm.workdir) for arm in arms]
        self._writers: list[metrics.MetricsWriter] = []

    def newest(self) -> int | None:
        """The newest checkpoint that all arms hold; None without one.

        A crash between two arms' saves leaves one ahead of the others; checkpoints that not all
        arms have are deleted.
        """
        common = set.intersection(*(set(saved.steps()) for saved in self._checkpoints))
        newest = max(common, default=None)
        for saved in self._checkpoints:
            saved.drop_after(-1 if newest is None else newest)
        return newest

    def restore(self, whole: PyTree, step: int) -> tuple[PyTree, float]:
        """A checkpoint with the structure of ``whole``, and the training time in seconds so far."""
        whole = jax.tree.map(np.array, whole)
        for arm, saved in zip(self.arms, self._checkpoints, strict=True):
            restored = saved.restore(_of(arm, whole), step)
            for target, source in zip(
                jax.tree.leaves(whole), jax.tree.leaves(restored), strict=True
            ):
                target[arm.members] = source
        return whole, self._checkpoints[0].meta(step)["wall_seconds"]

    def open_logs(self, resumed: int | None) -> None:
        """Open the logs; of a resumed run, after the step it is resumed at."""
        self._writers = [
            metrics.MetricsWriter(arm.workdir, resumed, arm.config, ("network", "ppo"))
            for arm in self.arms
        ]

    def each(self) -> Iterator[tuple[Arm, metrics.MetricsWriter]]:
        """The arms with their logs."""
        return zip(self.arms, self._writers, strict=True)

    def write(
        self,
        step: int,
        split: str,
        group: str,
        values: Mapping[str, np.ndarray],
        returns: np.ndarray | None = None,
        where: np.ndarray | None = None,
    ) -> None:
        """Log values ``[M]``, and returns ``[M, E]`` if given, in each arm's own file.

        ``where`` ``[M]`` marks the members that have values; arms without any log nothing.
        """
        for arm, writer in self.each():
            if where is None or where[arm.members].any():
                own = None if returns is None else returns[arm.members]
                writer.write(step, split, group, _of(arm, dict(values)), own)

    def flush_logs(self) -> None:
        """Write everything logged so far to disk."""
        for _, writer in self.each():
            writer.flush()

    def flush(self) -> None:
        """Write everything logged so far, and the last checkpoints, to disk."""
        self.flush_logs()
        self.wait()  # keeps arms within one checkpoint of each other, as only two are kept

    def save(self, step: int, whole: PyTree, best: Policy, about: Callable[[Arm], Json]) -> None:
        """Write a checkpoint of each arm: the training state, the best policies, a description."""
        for arm, saved in zip(self.arms, self._checkpoints, strict=True):
            saved.save(step, _of(arm, whole), _of(arm, best), about(arm))

    def wait(self) -> None:
        """Wait until the checkpoints are on disk."""
        for saved in self._checkpoints:
            saved.wait()

    def close(self) -> None:
        """Close logs and checkpoints."""
        for writer in self._writers:
            writer.close()
        for saved in self._checkpoints:
            saved.close()


def _of(arm: Arm, tree: PyTree) -> PyTree:
    """The rows of an arm's members, out of arrays ``[M, ...]``."""
    return jax.tree.map(lambda x: x[arm.members], tree)
