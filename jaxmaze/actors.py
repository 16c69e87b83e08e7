"""Environments of a whole population with its policies: training segments and evaluations.

An :class:`Actor` holds the environments of some shards; a shard is a fixed number of environments
of every member. Actors live in this process or in worker processes (:mod:`jaxmaze.workers`), and do
the same in both: whatever they compute is computed shard by shard, in arrays of one shape.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np

from jaxmaze import seeding
from jaxmaze.collect import env_actions, run_episodes
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Policy, Rollout, SpaceSpec
from jaxmaze.envs import gymnasium as backend

TINY = np.float32(1e-30)
NOISE_BLOCK = 128
"""Steps of an evaluation for which random numbers are drawn at once."""


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
      rollout: arrays ``[L, T, N, ...]`` of the ``L`` members in training.
      episodes: ``(member, return, length)`` of each episode that ended.
    """

    rollout: Rollout
    episodes: list[tuple[int, float, int]]


class ActorConfig(NamedTuple):
    """What an actor needs to know; can be sent to another process.

    Attributes:
      env: which environment.
      networks: the policy as a pure function.
      seeds: a root seed for each of ``M`` members.
      num_envs: environments a member over all shards, ``N``.
      num_shards: shards, each with ``N / num_shards`` environments of every member.
      training: the ``L`` members that experience is collected for; all by default.
    """

    env: backend.EnvConfig
    networks: Networks
    seeds: tuple[int, ...]
    num_envs: int
    num_shards: int
    training: tuple[int, ...] | None = None

    def learners(self) -> tuple[int, ...]:
        """Members that experience is collected for."""
        return tuple(range(len(self.seeds))) if self.training is None else self.training


@functools.partial(jax.jit, static_argnums=0)
def _choose(networks: Networks, policies: Policy, obs: Any, noise: Any) -> Any:
    """Actions of all members in one call, the modes without noise.

    Written out shard by shard: the last bit of a product depends on the shapes, which must not
    depend on how many shards a process happens to have.
    """

    def one(policy: Policy, obs: Any, noise: Any) -> Any:
        dist = networks.distribution(policy.params, policy.obs_stats, obs)
        return dist.mode() if noise is None else dist.pick(noise)

    shards = range(len(obs))
    each = jax.vmap(one, in_axes=(0, 0, None if noise is None else 0))
    return jnp.stack([each(policies, obs[s], None if noise is None else noise[s]) for s in shards])


@functools.partial(jax.jit, static_argnums=0)
def _log_prob(networks: Networks, policies: Policy, obs: Any, action: Any) -> Any:
    """Log-probabilities ``[L, T, n]`` of a shard's actions."""

    def one(policy: Policy, obs: Any, action: Any) -> Any:
        return networks.distribution(policy.params, policy.obs_stats, obs).log_prob(action)

    return jax.vmap(one)(policies, obs, action)


def choose(networks: Networks, policies: Policy, obs: np.ndarray, noise: Any) -> np.ndarray:
    """Actions ``[S, L, n, ...]`` of ``L`` members at ``obs`` ``[S, L, n, ...]``, unclipped.

    Modes where ``noise`` is None, samples with a step of what :func:`draw` gives.
    """
    return np.asarray(_choose(networks, policies, obs, noise))


def log_probs(
    networks: Networks, policies: Policy, obs: np.ndarray, action: np.ndarray
) -> np.ndarray:
    """Log-probabilities ``[L, T, n]`` of one shard's actions."""
    return np.asarray(_log_prob(networks, policies, obs, action))


def draw(
    config: ActorConfig, shards: Sequence[int], width: int, num_steps: int, *path: int,
    members: Sequence[int] | None = None,
) -> np.ndarray:  # fmt: skip
    """Random numbers ``[T, S, L, n, A]``, a function of members' seeds, ``path`` and shard.

    Gumbel or normal ones, as distributions ``pick`` with. A whole segment's at once, in numpy:
    drawing them step by step would cost more than the policy does, and there is nothing to compile.

    Args:
      config: its learners draw, if no other ``members`` are named.
      shards: the ``S`` shards.
      width: ``n``, environments of a member in a shard.
      num_steps: ``T``.
      *path: what they are for.
      members: whose.
    """
    members = config.learners() if members is None else members
    spaces = config.networks.spaces
    lead = (num_steps, len(shards), len(members))
    noise = np.empty((*lead, width, spaces.num_actions), np.float32)
    for s, shard in enumerate(shards):
        for m, member in enumerate(members):
            rng = seeding.generator(config.seeds[member], seeding.ACTION, *path, shard)
            drawn = noise[:, s, m]
            if spaces.kind == "discrete":  # minus the logarithm of an exponential is Gumbel
                drawn[...] = rng.standard_exponential(drawn.shape, np.float32)
                np.negative(np.log(np.maximum(drawn, TINY, out=drawn), out=drawn), out=drawn)
            else:
                drawn[...] = rng.standard_normal(drawn.shape, np.float32)
    return noise


def to_env(spaces: SpaceSpec, action: np.ndarray) -> np.ndarray:
    """What ``Networks.to_env`` does, in numpy, where a small call costs a tenth."""
    if spaces.kind == "discrete":
        return action
    return action.clip(np.asarray(spaces.low, np.float32), np.asarray(spaces.high, np.float32))


class Actor:
    """The environments of some shards and what is done with them."""

    def __init__(self, config: ActorConfig, shards: Sequence[int]):
        self.config, self.shards = config, list(shards)
        self.width = config.num_envs // config.num_shards
        self._training: list[gym.Env] = []
        self._evaluation: list[gym.Env] = []

    def _slots(self, members: Sequence[int]) -> list[tuple[int, int]]:
        """Member and column of each environment: shard after shard, then member after member."""
        return [
            (m, shard * self.width + i)
            for shard in self.shards
            for m in members
            for i in range(self.width)
        ]

    def _make(self, count: int) -> list[gym.Env]:
        return [backend.make(self.config.env) for _ in range(count)]

    def reset(self, epoch: int) -> None:
        """Reset all training environments, to episodes that belong to this ``epoch`` alone.

        Environments cannot save their state; starting anew at each checkpoint makes a resumed run
        see the same world as one that was never interrupted.
        """
        self.slots = self._slots(self.config.learners())
        if not self._training:
            self._training = self._make(len(self.slots))
            space = self._training[0].observation_space
            self._obs = np.zeros((len(self.slots), *(space.shape or ())), np.float32)
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
        self._obs[k] = self._training[k].reset(seed=seed)[0]

    def collect(self, policies: Policy, iteration: int, num_steps: int) -> list[Segment]:
        """``num_steps`` steps of every training environment with sampled actions.

        Args:
          policies: a policy for each member in training, leading axis ``[L]``.
          iteration: folded into the sampling keys.
          num_steps: ``T``.

        Returns:
          For each shard, arrays ``[L, T, n, ...]``.
        """
        networks, learners = self.config.networks, self.config.learners()
        policies = jax.device_put(policies)
        noise = draw(self.config, self.shards, self.width, num_steps, seeding.TRAINING, iteration)
        lead = (len(self.shards), len(learners), self.width)
        shape = (*lead, *self._obs.shape[1:])
        obs = np.empty((num_steps + 1, *self._obs.shape), np.float32)
        reward, terminated, truncated = np.zeros((3, num_steps, len(self.slots)), np.float32)
        actions: list[np.ndarray] = []
        ends: list[tuple[Any, ...]] = []
        for t in range(num_steps):
            obs[t] = self._obs
            action = choose(networks, policies, self._obs.reshape(shape), noise[t])
            actions.append(action)
            self._step(action.reshape(len(self.slots), *action.shape[3:]), reward[t], t, ends)
        obs[num_steps] = self._obs
        next_obs, episodes = obs[1:].copy(), []
        for t, k, final, over, *episode in ends:
            # The next observation is the episode's last, not the next one's first.
            next_obs[t, k] = final
            terminated[t, k], truncated[t, k] = over, not over
            episodes.append((k, (self.slots[k][0], *episode)))

        def by_shard(x: np.ndarray) -> np.ndarray:
            x = np.asarray(x).reshape(num_steps, *lead, *x.shape[2:])
            return np.moveaxis(x, 0, 2)

        parts = [by_shard(x) for x in (obs[:-1], reward, next_obs, terminated, truncated)]
        taken = np.moveaxis(np.stack(actions), 0, 2)
        return [
            Segment(
                Rollout(
                    obs=parts[0][s],
                    action=taken[s],
                    log_prob=log_probs(networks, policies, parts[0][s], taken[s]),
                    reward=parts[1][s],
                    next_obs=parts[2][s],
                    terminated=parts[3][s],
                    truncated=parts[4][s],
                ),
                [episode for k, episode in episodes if k // (lead[1] * lead[2]) == s],
            )
            for s in range(len(self.shards))
        ]

    def _step(self, action: np.ndarray, reward: np.ndarray, t: int, ends: list) -> None:
        """One step of every environment; ``reward`` ``[K]`` is filled in, ends are noted."""
        envs, progress = self._training, self._progress
        steps = env_actions(envs[0].action_space, to_env(self.config.networks.spaces, action))
        for k, env in enumerate(envs):
            observation, r, over, cut, _ = env.step(steps[k])
            reward[k] = r
            run = progress[k]
            run[0] += float(r)
            run[1] += 1
            if over or cut:
                ends.append((t, k, observation, bool(over), run[0], run[1]))
                self._start(k)
            else:
                self._obs[k] = observation

    def evaluate(
        self, policies: Policy, seeds: np.ndarray, deterministic: bool, active: np.ndarray
    ) -> list[EpisodeResult]:
        """Play these shards' part of ``seeds`` with each active member.

        Args:
          policies: a policy for each member, leading axis ``[M]``.
          seeds: ``[E]`` episodes; environment column ``n`` plays ``seeds[n::N]``.
          deterministic: the mode of the distribution instead of a sample.
          active: ``[M]`` booleans, members to evaluate.
        """
        config, members = self.config, range(len(self.config.seeds))
        slots = self._slots(members)
        if not self._evaluation:
            self._evaluation = self._make(len(slots))
        jobs = list(enumerate(int(s) for s in seeds))
        schedules = [jobs[n :: config.num_envs] if active[m] else [] for m, n in slots]
        policies = jax.device_put(policies)
        lead = (len(self.shards), len(members), self.width)
        noise: Any = None
        step = -1

        def act(obs: np.ndarray) -> np.ndarray:
            nonlocal noise, step
            step += 1
            now = step % NOISE_BLOCK
            if not deterministic and now == 0:
                noise = draw(
                    config, self.shards, self.width, NOISE_BLOCK, seeding.TEST,
                    step // NOISE_BLOCK, members=members,
                )  # fmt: skip
            obs = obs.reshape(*lead, *obs.shape[1:])
            drawn = None if noise is None else noise[now]
            action = choose(config.networks, policies, obs, drawn)
            flat = action.reshape(len(slots), *action.shape[3:])
            return to_env(config.networks.spaces, flat)

        return [
            EpisodeResult(slots[k][0], e.index, e.episode_return, len(e.rewards), e.terminated)
            for k, e in run_episodes(self._evaluation, act, schedules)
        ]


def join(segments: Sequence[Segment]) -> Segment:
    """The segments of all shards as one, shard after shard along the environment axis."""
    rollout = jax.tree.map(lambda *x: np.concatenate(x, axis=2), *[s.rollout for s in segments])
    return Segment(rollout, [episode for s in segments for episode in s.episodes])
