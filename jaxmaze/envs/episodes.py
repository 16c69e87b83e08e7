"""The host loop, which plays whole episodes with any policy and records numpy arrays."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import gymnasium as gym
import numpy as np

from jaxmaze.core.spaces import Spaces
from jaxmaze.core.types import PyTree
from jaxmaze.envs import environment, space_kinds
from jaxmaze.errors import ActionError

Act = Callable[[np.ndarray], np.ndarray]
"""Maps observations ``[K, ...]`` to actions ``[K, ...]`` in the environments' form."""

MOST_NAMED = 8
"""Episodes that a message names at most."""
HOOKS = ("begin", "end")
"""Optional methods of a policy; functions that wrap the policy forward them.

``begin(slot, env, seed)`` is called when an episode begins in the environment of a slot (a row of
the observations); ``end(slot, episode)`` when it is over, and returns the episode to keep.
"""


def acts_for(act: Act, policy: object) -> Act:
    """Give ``act``, which wraps a policy, the policy's hooks (:data:`HOOKS`)."""
    for name in HOOKS:
        if hasattr(policy, name):
            setattr(act, name, getattr(policy, name))
    return act


@dataclasses.dataclass(frozen=True)
class Episode:
    """One whole episode of length ``T``.

    Attributes:
      index: its index in the list of requested episodes.
      seed: the seed of the environment's reset; replays the episode.
      observations: ``[T + 1, *shape]`` raw, the final one included; a pytree of arrays if the
        environment's are; empty if not recorded.
      actions: ``[T, ...]`` in the environment's form, nested dicts and tuples of arrays if its
        actions are; empty if not recorded.
      rewards: ``[T]`` float64, in the environment's units.
      terminated: whether the episode terminated; otherwise it was truncated.
      labels: ``[T, ...]`` the teacher's actions, if others were taken; None if ``actions`` are
        the teacher's own.
    """

    index: int
    seed: int | None
    observations: PyTree
    actions: PyTree
    rewards: np.ndarray
    terminated: bool
    labels: PyTree = None

    @property
    def episode_return(self) -> float:
        """Undiscounted sum of rewards."""
        return float(self.rewards.sum())

    @property
    def length(self) -> int:
        """Number of steps."""
        return len(self.rewards)


def run_episodes(
    envs: Sequence[gym.Env],
    act: Act,
    queues: Sequence[deque[tuple[int, int]]],
    record: bool = False,
    after_step: Callable[[int], None] | None = None,
    on_start: Callable[[int], None] | None = None,
) -> Iterable[tuple[int, Episode]]:
    """Play a fixed set of whole episodes, several in parallel.

    The episodes are determined beforehand by their seeds, so that long ones count as much as short
    ones (taking "the first N to finish" would favour short ones).

    Args:
      envs: ``K`` environments.
      act: the policy on all ``K`` observations; rows of environments that are done are ignored. It
        may have ``HOOKS``.
      queues: for each environment, the ``(index, seed)`` of the episodes it plays in order;
        environments may share a queue. All queues are emptied.
      record: whether to keep observations, actions and rewards.
      after_step: called with the slot after each reset and step, for rendering.
      on_start: called with the slot before an episode's first action.

    Raises:
      ActionError: if the policy gives what is no action; the message names the episode and step.
      UserError: if an episode without a step limit exceeds
        :data:`jaxmaze.envs.environment.LONGEST` steps.
      WorkerError: if an environment raises.

    Yields:
      ``(slot, episode)`` as episodes end. Episodes without ``record`` have empty arrays.
    """
    slots = _Slots(envs, act, queues, record, after_step, on_start)
    envs, spaces, obs, current, logs = slots.envs, slots.spaces, slots.obs, slots.jobs, slots.logs
    for slot in range(len(envs)):
        slots.start(slot)
    while any(job is not None for job in current):
        try:
            actions = act(obs)
        except ActionError as error:
            raise ActionError(f"{slots.asking(error.row)}: {error}") from error
        for slot, action in enumerate(spaces.action.each(actions)):
            if current[slot] is None:
                continue
            observations, taken, rewards = logs[slot]
            try:
                observation, reward, terminated, truncated, _ = envs[slot].step(action)
                spaces.obs.put(obs, slot, observation)
                rewards.append(float(reward))
            except Exception as error:  # whatever a user's environment raises
                raise environment.failed(envs[slot], "step", error) from error
            if record:
                observations.append(spaces.obs.take(obs, slot))
                taken.append(action)
            if after_step is not None:
                after_step(slot)
            if terminated or truncated:
                yield slot, slots.end(slot, bool(terminated))
                slots.start(slot)


class _Slots:
    """Environments, each with the episode that it plays.

    Attributes:
      envs: the environments.
      spaces: their spaces.
      obs: ``[K, ...]`` their latest observations.
      jobs: index and seed of each one's episode; None if it has none left.
      logs: observations and actions (if recorded) and rewards of each one's episode so far.
    """

    def __init__(
        self,
        envs: Sequence[gym.Env],
        act: Act,
        queues: Sequence[deque[tuple[int, int]]],
        record: bool,
        after_step: Callable[[int], None] | None,
        on_start: Callable[[int], None] | None,
    ):
        """As :func:`run_episodes` takes them."""
        self.envs = [environment.bounded(env) for env in envs]
        first = self.envs[0]
        self.spaces = space_kinds.space_spec(first.observation_space, first.action_space)
        self.obs = self.spaces.obs.zeros(len(envs))
        self.jobs: list[tuple[int, int] | None] = [None] * len(envs)
        self.logs: list[tuple[list, list, list]] = [([], [], []) for _ in envs]
        self._queues, self._record = queues, record
        self._after_step, self._on_start = after_step, on_start
        self._begin, self._end = (getattr(act, name, None) for name in HOOKS)

    def start(self, slot: int) -> None:
        """Begin the slot's next episode, if there is one."""
        queue, env, obs = self._queues[slot], self.envs[slot], self.spaces.obs
        self.jobs[slot] = job = queue.popleft() if queue else None
        if job is None:
            return
        environment.reset_into(self.obs, slot, obs, env, job[1])
        self.logs[slot] = ([obs.take(self.obs, slot)] if self._record else [], [], [])
        if self._begin is not None:
            self._begin(slot, env, job[1])
        if self._on_start is not None:
            self._on_start(slot)
        if self._after_step is not None:
            self._after_step(slot)

    def asking(self, row: int | None) -> str:
        """The step in which the policy was asked, in words: of a row, or of all if it is None."""
        playing = {slot: job for slot, job in enumerate(self.jobs) if job is not None}
        if len(playing) == 1:
            (row,) = playing
        if row in playing:
            index, seed = playing[row]
            return f"episode {index} (seed {seed}), step {len(self.logs[row][2])}"
        listed = [str(index) for index, _ in playing.values()]
        more = ", ..." if len(listed) > MOST_NAMED else ""
        return f"a step of episodes {', '.join(listed[:MOST_NAMED])}{more}"

    def end(self, slot: int, terminated: bool) -> Episode:
        """The slot's episode, which is over."""
        job, env = self.jobs[slot], self.envs[slot]
        assert job is not None
        episode: Episode = _episode(env, self.spaces, job, self.logs[slot], terminated)
        return episode if self._end is None else self._end(slot, episode)


def _episode(
    env: gym.Env,
    spaces: Spaces,
    job: tuple[int, int],
    log: tuple[list, list, list],
    terminated: bool,
) -> Episode:
    rewards = np.array(log[2], np.float64)
    environment.check_rewards(env, rewards)
    return Episode(
        index=job[0],
        seed=job[1],
        observations=spaces.obs.stack(log[0]),
        actions=space_kinds.stack_actions(env.action_space, log[1]),
        rewards=rewards,
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
      seeds: one per episode.
      num_envs: environments stepped in parallel.
      record: whether the episodes keep their observations and actions.
      on_episode: called with each episode as it ends.

    Yields:
      The episodes in the order of their seeds; one that ends before an earlier one is held back.
    """
    count = min(num_envs, len(seeds))
    envs = [environment.make(info.config) for _ in range(count)]
    jobs = list(enumerate(int(s) for s in seeds))
    waiting: dict[int, Episode] = {}
    following = 0
    try:
        queues = [deque(jobs[k::count]) for k in range(count)]
        for _, episode in run_episodes(envs, act, queues, record):
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
    """The episodes of :func:`iter_episodes`, as a list."""
    return list(iter_episodes(info, act, seeds, num_envs, record, on_episode))
