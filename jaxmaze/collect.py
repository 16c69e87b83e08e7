"""The host loop: environments and a policy, to numpy arrays.

An :class:`Actor` holds the environments of one shard: some environments of every member. Actors
live in this process or in worker processes (:mod:`jaxmaze.workers`), and do the same in both.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import jax
import numpy as np

from jaxmaze import seeding
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Policy, Rollout
from jaxmaze.envs import gymnasium as backend
from jaxmaze.trajectories import Episode

Act = Callable[[np.ndarray], np.ndarray]
"""Observations ``[K, ...]`` to actions ``[K, ...]`` as the environments take them."""


class EpisodeResult(NamedTuple):
    """How an evaluated episode went."""

    member: int
    episode: int
    episode_return: float
    length: int
    terminated: bool


class Segment(NamedTuple):
    """What a collection gives: experience, and the episodes that ended in it.

    Attributes:
      rollout: arrays ``[M, T, N, ...]``.
      episodes: ``(member, return, length)`` of each episode that ended.
    """

    rollout: Rollout
    episodes: list[tuple[int, float, int]]


def env_actions(space: gym.Space, action: np.ndarray) -> Sequence[Any]:
    """A batch of actions, one by one as ``step`` takes them (Python ints for discrete spaces)."""
    return action.tolist() if isinstance(space, gym.spaces.Discrete) else list(action)


def run_episodes(
    envs: Sequence[gym.Env],
    act: Act,
    schedules: Sequence[Sequence[tuple[int, int]]],
    record: bool = False,
    after_step: Callable[[int], None] | None = None,
) -> Iterable[tuple[int, Episode]]:
    """Play fixed episodes, several at once, each from its first to its last step.

    Which episodes are played is fixed beforehand by their seeds, so that long ones count as much as
    short ones ("the first N to finish" would favour the short).

    Args:
      envs: ``K`` environments.
      act: the policy on all ``K`` observations; rows of environments that are done are ignored.
      schedules: for each environment the ``(index, seed)`` of the episodes it plays in turn.
      record: whether to keep observations, actions and rewards.
      after_step: called with the slot after each reset and step, for rendering.

    Yields:
      ``(slot, episode)`` as episodes end. Episodes without ``record`` have empty arrays.
    """
    queues = [list(reversed(schedule)) for schedule in schedules]
    current: list[tuple[int, int] | None] = [None] * len(envs)
    space = envs[0].observation_space
    obs = np.zeros((len(envs), *(space.shape or ())), space.dtype)
    logs: list[tuple[list, list, list]] = [([], [], []) for _ in envs]

    def start(slot: int) -> None:
        current[slot] = queues[slot].pop() if queues[slot] else None
        if current[slot] is None:
            return
        obs[slot] = envs[slot].reset(seed=current[slot][1])[0]  # type: ignore[index]
        logs[slot] = ([obs[slot].copy()] if record else [], [], [])
        if after_step is not None:
            after_step(slot)

    for slot in range(len(envs)):
        start(slot)
    while any(job is not None for job in current):
        actions = act(obs)
        for slot, action in enumerate(env_actions(envs[0].action_space, actions)):
            job = current[slot]
            if job is None:
                continue
            observation, reward, terminated, truncated, _ = envs[slot].step(action)
            obs[slot] = observation
            observations, taken, rewards = logs[slot]
            rewards.append(float(reward))
            if record:
                observations.append(obs[slot].copy())
                taken.append(action)
            if after_step is not None:
                after_step(slot)
            if terminated or truncated:
                yield slot, _episode(envs[slot], job, logs[slot], bool(terminated))
                start(slot)


def _episode(
    env: gym.Env, job: tuple[int, int], log: tuple[list, list, list], terminated: bool
) -> Episode:
    space, actions = env.observation_space, env.action_space
    return Episode(
        index=job[0],
        seed=job[1],
        observations=np.array(log[0], space.dtype),
        actions=np.array(log[1], actions.dtype),
        rewards=np.array(log[2], np.float64),
        terminated=terminated,
    )


class ActorConfig(NamedTuple):
    """What an actor needs to know; can be sent to another process.

    Attributes:
      env: which environment.
      networks: the policy as a pure function.
      seeds: a root seed for each of ``M`` members.
      num_envs: environments a member over all shards, ``N``.
      num_shards: shards, each with ``N / num_shards`` environments of every member.
    """

    env: backend.EnvConfig
    networks: Networks
    seeds: tuple[int, ...]
    num_envs: int
    num_shards: int


@functools.partial(jax.jit, static_argnums=(0, 1))
def _act(networks: Networks, sample: bool, policies: Policy, obs: Any, keys: Any, t: Any) -> Any:
    """All members' actions in one call: environment's, the policy's own, log-probabilities."""

    def one(policy: Policy, obs: Any, key_data: Any) -> Any:
        key = jax.random.fold_in(jax.random.wrap_key_data(key_data), t) if sample else None
        action, log_prob = networks.act(policy, obs, key)
        return networks.to_env(action), action, log_prob

    return jax.vmap(one)(policies, obs, keys)


@jax.jit
def _fold(seeds: Any, path: Any) -> Any:
    """Key data ``[M, 2]`` for members' seeds ``[M]`` and a path of integers."""

    def one(seed: Any) -> Any:
        key = jax.random.key(seed)
        for i in range(path.shape[0]):
            key = jax.random.fold_in(key, path[i])
        return jax.random.key_data(key)

    return jax.vmap(one)(seeds)


class Actor:
    """The environments of one shard and what is done with them."""

    def __init__(self, config: ActorConfig, shard: int):
        self.config, self.shard = config, shard
        per_shard = config.num_envs // config.num_shards
        self.columns = range(shard * per_shard, (shard + 1) * per_shard)
        self.slots = [(m, n) for m in range(len(config.seeds)) for n in self.columns]
        self._training: list[gym.Env] = []
        self._evaluation: list[gym.Env] = []

    def _make(self) -> list[gym.Env]:
        return [backend.make(self.config.env) for _ in self.slots]

    def _keys(self, *path: int) -> np.ndarray:
        seeds = np.array([s % 2**32 for s in self.config.seeds], np.uint32)
        return np.asarray(_fold(seeds, np.array([*path, self.shard], np.uint32)))

    def reset(self, epoch: int) -> None:
        """Reset all training environments, to episodes that belong to this ``epoch`` alone.

        Environments cannot save their state; starting anew at each checkpoint makes a resumed run
        see the same world as one that was never interrupted.
        """
        if not self._training:
            self._training = self._make()
            space = self._training[0].observation_space
            self._obs = np.zeros((len(self.slots), *(space.shape or ())), np.float32)
        self._epoch = epoch
        self._played = [0] * len(self.slots)
        self._progress = [[0.0, 0.0] for _ in self.slots]
        for k in range(len(self.slots)):
            self._start(k)

    def _start(self, k: int) -> None:
        member, column = self.slots[k]
        seed = seeding.episode_seed(
            self.config.seeds[member], seeding.TRAINING, column, self._epoch, self._played[k]
        )
        self._played[k] += 1
        self._progress[k] = [0.0, 0.0]
        self._obs[k] = self._training[k].reset(seed=seed)[0]

    def collect(self, policies: Policy, iteration: int, num_steps: int) -> Segment:
        """``num_steps`` steps of every environment with sampled actions.

        Args:
          policies: a policy for each member, leading axis ``[M]``.
          iteration: folded into the sampling keys.
          num_steps: ``T``.

        Returns:
          Arrays ``[M, T, n, ...]`` for this shard's ``n`` environments.
        """
        config, members, width = self.config, len(self.config.seeds), len(self.columns)
        envs, slots = self._training, range(len(self.slots))
        shape = (members, width, *self._obs.shape[1:])
        obs = np.empty((num_steps, *self._obs.shape), np.float32)
        next_obs = np.empty_like(obs)
        reward, terminated, truncated = np.zeros((3, num_steps, len(self.slots)), np.float32)
        actions, log_probs, episodes = [], [], []
        keys, policies = self._keys(seeding.TRAINING, iteration), jax.device_put(policies)
        for t in range(num_steps):
            obs[t] = self._obs
            to_env, action, log_prob = _act(
                config.networks, True, policies, self._obs.reshape(shape), keys, np.int32(t)
            )
            actions.append(np.asarray(action))
            log_probs.append(np.asarray(log_prob))
            flat = np.asarray(to_env).reshape(len(self.slots), *np.shape(to_env)[2:])
            steps = env_actions(envs[0].action_space, flat)
            for k in slots:
                observation, r, over, cut, _ = envs[k].step(steps[k])
                self._obs[k] = next_obs[t, k] = observation
                reward[t, k] = r
                progress = self._progress[k]
                progress[0] += float(r)
                progress[1] += 1
                if over or cut:
                    terminated[t, k], truncated[t, k] = over, cut and not over
                    episodes.append((self.slots[k][0], progress[0], int(progress[1])))
                    self._start(k)

        def members_first(x: np.ndarray) -> np.ndarray:
            x = x.reshape(num_steps, members, width, *x.shape[2:])
            return np.moveaxis(x, 0, 1)

        rollout = Rollout(
            obs=members_first(obs),
            action=np.stack(actions, 1),
            log_prob=np.stack(log_probs, 1),
            reward=members_first(reward),
            next_obs=members_first(next_obs),
            terminated=members_first(terminated),
            truncated=members_first(truncated),
        )
        return Segment(rollout, episodes)

    def evaluate(
        self, policies: Policy, seeds: np.ndarray, deterministic: bool, active: np.ndarray
    ) -> list[EpisodeResult]:
        """Play this shard's part of ``seeds`` with each active member.

        Args:
          policies: a policy for each member, leading axis ``[M]``.
          seeds: ``[E]`` episodes; environment column ``n`` plays ``seeds[n::N]``.
          deterministic: the mode of the distribution instead of a sample.
          active: ``[M]`` booleans, members to evaluate.
        """
        if not self._evaluation:
            self._evaluation = self._make()
        config, members, width = self.config, len(self.config.seeds), len(self.columns)
        jobs = list(enumerate(int(s) for s in seeds))
        schedules = [jobs[n :: config.num_envs] if active[m] else [] for m, n in self.slots]
        keys, policies = self._keys(seeding.TEST), jax.device_put(policies)
        step = iter(range(2**31))

        def act(obs: np.ndarray) -> np.ndarray:
            obs = obs.reshape(members, width, *obs.shape[1:])
            to_env, _, _ = _act(
                config.networks, not deterministic, policies, obs, keys, np.int32(next(step))
            )
            return np.asarray(to_env).reshape(len(self.slots), *np.shape(to_env)[2:])

        return [
            EpisodeResult(
                self.slots[slot][0], e.index, e.episode_return, len(e.rewards), e.terminated
            )
            for slot, e in run_episodes(self._evaluation, act, schedules)
        ]


def join(segments: Sequence[Segment]) -> Segment:
    """The segments of all shards as one, shard after shard along the environment axis."""
    rollout = jax.tree.map(lambda *x: np.concatenate(x, axis=2), *[s.rollout for s in segments])
    return Segment(rollout, [episode for s in segments for episode in s.episodes])


def in_order(
    info: backend.EnvInfo,
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
    envs = [backend.make(info.config) for _ in range(count)]
    jobs = list(enumerate(int(s) for s in seeds))
    waiting: dict[int, Episode] = {}
    following = 0
    try:
        schedules = [jobs[k::count] for k in range(count)]
        for _, episode in run_episodes(envs, act, schedules, record):
            if on_episode is not None:
                on_episode(episode)
            waiting[episode.index] = episode
            while following in waiting:
                yield waiting.pop(following)
                following += 1
    finally:
        for env in envs:
            env.close()


def play(
    info: backend.EnvInfo,
    act: Act,
    seeds: Sequence[int] | np.ndarray,
    num_envs: int,
    record: bool = False,
    on_episode: Callable[[Episode], None] | None = None,
) -> list[Episode]:
    """What :func:`in_order` yields, as a list."""
    return list(in_order(info, act, seeds, num_envs, record, on_episode))
