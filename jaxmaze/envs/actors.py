"""Stepping a population's environments with its policies: training segments and evaluations.

An :class:`Actor` holds the environments of some shards; a shard is a fixed number of environments
of every member. Actors live in this process or in worker processes (:mod:`jaxmaze.envs.workers`),
with equal results: everything is computed shard by shard, in arrays of the same shape.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import gymnasium as gym
import jax
import numpy as np

from jaxmaze.core import seeding
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Policy, PyTree, Rollout
from jaxmaze.envs import acting, environment
from jaxmaze.envs.episodes import run_episodes

NOISE_BLOCK = 128
"""Number of evaluation steps for which random numbers are drawn at once."""


class EpisodeResult(NamedTuple):
    """Result of an evaluation episode."""

    member: int
    episode: int
    episode_return: float
    length: int
    terminated: bool


class Segment(NamedTuple):
    """A segment of collected experience, and the episodes that ended in it.

    Attributes:
      rollout: arrays ``[L, T, N, ...]`` of the ``L`` members in training.
      episodes: ``(member, return, length)`` of each episode that ended.
    """

    rollout: Rollout
    episodes: list[tuple[int, float, int]]


class ActorConfig(NamedTuple):
    """Configuration of an actor; can be sent to another process.

    Attributes:
      env: the environment's configuration.
      networks: the policy as a pure function.
      seeds: a root seed for each of ``M`` members.
      num_envs: environments per member over all shards, ``N``.
      num_shards: shards, each with ``N / num_shards`` environments of every member.
      training: the ``L`` members that experience is collected for; all by default.
    """

    env: environment.EnvConfig
    networks: Networks
    seeds: tuple[int, ...]
    num_envs: int
    num_shards: int
    training: tuple[int, ...] | None = None

    def learners(self) -> tuple[int, ...]:
        """Members that experience is collected for."""
        return tuple(range(len(self.seeds))) if self.training is None else self.training


class Actor:
    """The environments of some shards, for collecting experience and for evaluation."""

    def __init__(self, config: ActorConfig, shards: Sequence[int]):
        self.config, self.shards = config, list(shards)
        self.width = config.num_envs // config.num_shards
        self._spaces = config.networks.spaces
        self._remembers = config.networks.carry_size > 0
        self._training: list[gym.Env] = []
        self._evaluation: list[gym.Env] = []

    def close(self) -> None:
        """Close all environments."""
        for env in (*self._training, *self._evaluation):
            env.close()

    def _slots(self, members: Sequence[int]) -> list[tuple[int, int]]:
        """Member and column of each environment: shard after shard, then member after member."""
        return [
            (m, shard * self.width + i)
            for shard in self.shards
            for m in members
            for i in range(self.width)
        ]

    def _make(self, count: int) -> list[gym.Env]:
        return [environment.make(self.config.env) for _ in range(count)]

    def reset(self, epoch: int) -> None:
        """Reset all training environments, to episodes that are unique to this ``epoch``.

        The state of environments cannot be saved; resetting them at each checkpoint makes a resumed
        run see the same episodes as one that was never interrupted.
        """
        learners = self.config.learners()
        self.slots = self._slots(learners)
        if not self._training:
            self._training = self._make(len(self.slots))
            lead = (len(self.shards), len(learners), self.width)
            self._chooser = acting.Chooser(self.config.networks, lead, sampled=True)
            self._obs = self._chooser.obs
        self._epoch = epoch
        self._played = [0] * len(self.slots)
        self._progress = [[0.0, 0] for _ in self.slots]
        for k in range(len(self.slots)):
            self._start(k)

    def _start(self, k: int) -> None:
        member, column = self.slots[k]
        seed = seeding.episode_seed(
            self.config.seeds[member], seeding.TRAINING, column, self._epoch, self._played[k]
        )
        self._played[k] += 1
        self._progress[k] = [0.0, 0]
        environment.reset_into(self._obs, k, self._spaces.obs, self._training[k], seed)
        if self._remembers:
            self._chooser.begin[k] = 1.0

    def collect(self, policies: Policy, iteration: int, num_steps: int) -> list[Segment]:
        """Take ``num_steps`` steps in every training environment with sampled actions.

        Args:
          policies: a policy for each member in training, leading axis ``[L]``.
          iteration: folded into the sampling keys.
          num_steps: ``T``.

        Returns:
          For each shard, arrays ``[L, T, n, ...]``.
        """
        spaces, learners = self._spaces, self.config.learners()
        packed = acting.pack(self.config.networks, policies)
        noise = self._draw(learners, num_steps, seeding.TRAINING, iteration)
        steps = (num_steps + 1, len(self.slots))
        rows = np.empty((*steps, spaces.obs.size), np.float32)
        pixels = np.empty((*steps, spaces.obs.num_pixels), np.uint8)
        sees = spaces.obs.num_pixels > 0
        begin, carry = [], self._chooser.carry.copy()
        reward, terminated, truncated = np.zeros((3, num_steps, len(self.slots)), np.float32)
        chosen: list[np.ndarray] = []
        ends: list[tuple[PyTree, ...]] = []
        for t in range(num_steps):
            rows[t] = self._chooser.rows
            if sees:
                pixels[t] = self._chooser.pixels
            if self._remembers:
                begin.append(self._chooser.begin.copy())
            numbers = self._chooser(packed, noise[t])
            chosen.append(numbers)
            self._step(spaces.action.from_numbers(numbers), reward[t], t, ends)
        rows[num_steps], pixels[num_steps] = self._chooser.rows, self._chooser.pixels
        obs = spaces.obs.unflatten(rows[:-1], pixels[:-1])
        next_obs = spaces.obs.unflatten(rows[1:].copy(), pixels[1:].copy())
        episodes = []
        for t, k, final, over, *episode in ends:
            # next_obs is this episode's final observation, not the next episode's first.
            spaces.obs.put(next_obs, (t, k), final)
            terminated[t, k], truncated[t, k] = over, not over
            episodes.append((k, (self.slots[k][0], *episode)))
        environment.check_rewards(self._training[0], reward)
        numbers = np.stack(chosen)
        every = Rollout(
            obs=obs,
            action=spaces.action.from_numbers(numbers),
            log_prob=numbers[..., -1],
            reward=reward,
            next_obs=next_obs,
            terminated=terminated,
            truncated=truncated,
            begin=np.stack(begin) if begin else None,
        )
        return self._by_shard(every, carry if self._remembers else None, episodes)

    def _by_shard(
        self,
        every: Rollout,
        carry: np.ndarray | None,
        episodes: list[tuple[int, tuple[int, float, int]]],
    ) -> list[Segment]:
        """Split arrays ``[T, K, ...]`` of all environments into one segment per shard."""
        lead = (len(self.shards), len(self.config.learners()), self.width)

        def apart(x: np.ndarray) -> np.ndarray:
            x = x.reshape(len(x), *lead, *x.shape[2:])
            return np.moveaxis(x, 0, 2)

        parts = jax.tree.map(apart, every)
        if carry is not None:
            parts = parts._replace(carry=carry.reshape(*lead, -1))
        return [
            Segment(
                jax.tree.map(lambda x, s=s: x[s], parts),
                [episode for k, episode in episodes if k // (lead[1] * lead[2]) == s],
            )
            for s in range(len(self.shards))
        ]

    def _draw(self, members: Sequence[int], num_steps: int, *path: int) -> np.ndarray:
        """Random numbers ``[T, K, A]`` for these shards' environments of ``members``."""
        seeds = [self.config.seeds[m] for m in members]
        return acting.draw(self._spaces.action, seeds, self.shards, self.width, num_steps, *path)

    def _step(self, action: np.ndarray, reward: np.ndarray, t: int, ends: list) -> None:
        """Step every environment; fills ``reward`` ``[K]`` and appends episode ends to ``ends``."""
        progress, put = self._progress, self._spaces.obs.put
        sent = self._spaces.action.each(self._spaces.action.to_env(action))
        for k, env in enumerate(self._training):
            try:
                observation, r, over, cut, _ = env.step(sent[k])
                reward[k] = r
                run = progress[k]
                run[0] += float(r)
                run[1] += 1
                if not (over or cut):
                    put(self._obs, k, observation)
                    continue
            except Exception as error:  # whatever a user's environment raises
                raise environment.failed(env, "step", error) from error
            # A copy: the environment may reuse the memory for its next observation.
            ends.append((t, k, copy.deepcopy(observation), bool(over), run[0], run[1]))
            self._start(k)

    def evaluate(
        self, policies: Policy, seeds: np.ndarray, deterministic: bool, active: np.ndarray
    ) -> list[EpisodeResult]:
        """Play these shards' part of ``seeds`` with each active member.

        Args:
          policies: a policy for each member, leading axis ``[M]``.
          seeds: ``[E]`` seeds of episodes; of ``S`` shards, shard ``s`` plays ``seeds[s::S]``.
          deterministic: whether actions are the distribution's mode instead of samples.
          active: ``[M]`` booleans, members to evaluate.
        """
        config, members = self.config, range(len(self.config.seeds))
        slots = self._slots(members)
        if not self._evaluation:
            self._evaluation = self._make(len(slots))
        jobs = list(enumerate(int(s) for s in seeds))
        # A member's environments within a shard share a queue of episodes, so that none is idle.
        # Which shard plays which episode is fixed, so that results do not depend on workers.
        parts = {
            (m, shard): deque(jobs[shard :: config.num_shards] if active[m] else [])
            for m in members
            for shard in self.shards
        }
        queues = [parts[m, n // self.width] for m, n in slots]
        spaces, lead = self._spaces, (len(self.shards), len(members), self.width)
        chooser = acting.Chooser(config.networks, lead, sampled=not deterministic)
        packed = acting.pack(config.networks, policies)
        noise: PyTree = None
        step = -1

        def act(obs: np.ndarray) -> np.ndarray:
            nonlocal noise, step
            step += 1
            now = step % NOISE_BLOCK
            if not deterministic and now == 0:
                noise = self._draw(members, NOISE_BLOCK, seeding.TEST, step // NOISE_BLOCK)
            spaces.obs.put(chooser.obs, ..., obs)
            numbers = chooser(packed, None if noise is None else noise[now])
            return spaces.action.to_env(spaces.action.from_numbers(numbers))

        def on_start(k: int) -> None:
            if self._remembers:
                chooser.begin[k] = 1.0

        return [
            EpisodeResult(slots[k][0], e.index, e.episode_return, len(e.rewards), e.terminated)
            for k, e in run_episodes(self._evaluation, act, queues, on_start=on_start)
        ]


def join(segments: Sequence[Segment]) -> Segment:
    """Concatenate the segments of all shards along the environment axis."""
    rollouts = [s.rollout for s in segments]
    episodes = [episode for s in segments for episode in s.episodes]
    carries: PyTree = [r.carry for r in rollouts]  # the only leaf without a time axis
    rollout = jax.tree.map(
        lambda *x: np.concatenate(x, axis=2), *[r._replace(carry=None) for r in rollouts]
    )
    if carries[0] is not None:
        rollout = rollout._replace(carry=np.concatenate(carries, axis=1))
    return Segment(rollout, episodes)
