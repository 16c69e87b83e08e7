"""The host loop: whole episodes of environments and any policy, to numpy arrays."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import gymnasium as gym
import numpy as np

from jaxmaze.core.spaces import Spaces
from jaxmaze.core.types import PyTree
from jaxmaze.envs import environment

Act = Callable[[np.ndarray], np.ndarray]
"""Observations ``[K, ...]`` to actions ``[K, ...]`` as the environments take them."""


@dataclasses.dataclass(frozen=True)
class Episode:
    """One whole episode of length ``T``.

    Attributes:
      index: its place in the list of episodes that was asked for.
      seed: what the environment was reset with; replays the episode.
      observations: ``[T + 1, *shape]`` raw, the final one included; a pytree of arrays where the
        environment's are one; empty if not recorded.
      actions: ``[T, ...]`` as the environment took them; empty if not recorded.
      rewards: ``[T]`` float64, in the environment's units.
      terminated: whether the task ended; otherwise the episode was truncated.
      labels: ``[T, ...]`` what the teacher would have done, where that is not what was done; None
        where the actions are the teacher's own.
    """

    index: int
    seed: int | None
    observations: PyTree
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool
    labels: np.ndarray | None = None

    @property
    def episode_return(self) -> float:
        """Undiscounted sum of rewards."""
        return float(self.rewards.sum())

    @property
    def length(self) -> int:
        """Number of steps."""
        return len(self.rewards)


def beginning(act: Act) -> Callable[[int], None] | None:
    """What tells a policy that remembers where episodes begin; None for others.

    Such a policy has a method ``begin(slots)``, called before the first action of an episode with
    the rows whose episodes begin.
    """
    begin = getattr(act, "begin", None)
    return None if begin is None else lambda slot: begin([slot])


def run_episodes(
    envs: Sequence[gym.Env],
    act: Act,
    queues: Sequence[deque[tuple[int, int]]],
    record: bool = False,
    after_step: Callable[[int], None] | None = None,
    on_start: Callable[[int], None] | None = None,
) -> Iterable[tuple[int, Episode]]:
    """Play fixed episodes, several at once, each from its first to its last step.

    Which episodes are played is fixed beforehand by their seeds, so that long ones count as much as
    short ones ("the first N to finish" would favour the short).

    Args:
      envs: ``K`` environments.
      act: the policy on all ``K`` observations; rows of environments that are done are ignored.
      queues: for each environment the ``(index, seed)`` of the episodes it plays in turn; some may
        share one and take from it as they get free. All are emptied.
      record: whether to keep observations, actions and rewards.
      after_step: called with the slot after each reset and step, for rendering.
      on_start: called with the slot before an episode's first action.

    Yields:
      ``(slot, episode)`` as episodes end. Episodes without ``record`` have empty arrays.
    """
    current: list[tuple[int, int] | None] = [None] * len(envs)
    spaces = environment.space_spec(envs[0].observation_space, envs[0].action_space)
    obs = spaces.obs.zeros(len(envs))
    logs: list[tuple[list, list, list]] = [([], [], []) for _ in envs]

    def start(slot: int) -> None:
        current[slot] = queues[slot].popleft() if queues[slot] else None
        if (job := current[slot]) is None:
            return
        spaces.obs.put(obs, slot, envs[slot].reset(seed=job[1])[0])
        logs[slot] = ([spaces.obs.take(obs, slot)] if record else [], [], [])
        if on_start is not None:
            on_start(slot)
        if after_step is not None:
            after_step(slot)

    for slot in range(len(envs)):
        start(slot)
    while any(job is not None for job in current):
        for slot, action in enumerate(spaces.action.each(act(obs))):
            job = current[slot]
            if job is None:
                continue
            observation, reward, terminated, truncated, _ = envs[slot].step(action)
            spaces.obs.put(obs, slot, observation)
            observations, taken, rewards = logs[slot]
            rewards.append(float(reward))
            if record:
                observations.append(spaces.obs.take(obs, slot))
                taken.append(action)
            if after_step is not None:
                after_step(slot)
            if terminated or truncated:
                yield slot, _episode(envs[slot], spaces, job, logs[slot], bool(terminated))
                start(slot)


def _episode(
    env: gym.Env,
    spaces: Spaces,
    job: tuple[int, int],
    log: tuple[list, list, list],
    terminated: bool,
) -> Episode:
    return Episode(
        index=job[0],
        seed=job[1],
        observations=spaces.obs.stack(log[0]),
        actions=np.array(log[1], env.action_space.dtype),
        rewards=np.array(log[2], np.float64),
        terminated=terminated,
    )


def iter_episodes(
    info: environment.EnvInfo,
    act: Act,
    seeds: Sequence[int] | np.ndarray,
    num_envs: int,
    record: bool = False,
    on_episode: Callable[[Episode], None] | None = None,
) -> Iterator[Episode]:
    """Play fixed episodes with any policy, in this process.

    Args:
      info: the environment.
      act: observations ``[K, ...]`` to actions ``[K, ...]``.
      seeds: one a episode.
      num_envs: environments stepped at once.
      record: whether the episodes keep their observations and actions.
      on_episode: called with each episode as it ends.

    Yields:
      The episodes in the order of their seeds. Only those wait here that end before earlier ones.
    """
    count = min(num_envs, len(seeds))
    envs = [environment.make(info.config) for _ in range(count)]
    jobs = list(enumerate(int(s) for s in seeds))
    waiting: dict[int, Episode] = {}
    following = 0
    try:
        queues = [deque(jobs[k::count]) for k in range(count)]
        for _, episode in run_episodes(envs, act, queues, record, on_start=beginning(act)):
            if on_episode is not None:
                on_episode(episode)
            waiting[episode.index] = episode
            while following in waiting:
                yield waiting.pop(following)
                following += 1
    finally:
        for env in envs:
            env.close()


def play_episodes(
    info: environment.EnvInfo,
    act: Act,
    seeds: Sequence[int] | np.ndarray,
    num_envs: int,
    record: bool = False,
    on_episode: Callable[[Episode], None] | None = None,
) -> list[Episode]:
    """What :func:`iter_episodes` yields, as a list."""
    return list(iter_episodes(info, act, seeds, num_envs, record, on_episode))
