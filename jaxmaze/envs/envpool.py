"""envpool: environments in C++ threads, for training. Needs ``pip install 'jaxmaze[envpool]'``.

Evaluation uses gymnasium: envpool's physics differ slightly (LunarLander's contacts), and reported
results should not depend on that.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from jaxmaze.core import seeding
from jaxmaze.core.types import Policy, Rollout
from jaxmaze.envs import acting
from jaxmaze.envs.actors import ActorConfig, EpisodeResult, Segment
from jaxmaze.envs.environment import EnvConfig, EnvInfo, registered_spec
from jaxmaze.envs.workers import Pool
from jaxmaze.errors import UserError


class EnvpoolCollector:
    """The training environments of a population in one envpool.

    envpool takes a separate step to reset an environment, which ignores the action and has no
    reward; such rows are marked as not valid.
    """

    masked: ClassVar[bool] = True

    def __init__(
        self,
        config: ActorConfig,
        info: EnvInfo,
        workers: int | None = None,
        say: Callable[[str], None] = print,
    ):
        self.config, self._info = config, info
        self._pool = Pool(config, info, workers, say)
        learners = config.learners()
        self._slots = [(m, n) for m in learners for n in range(config.num_envs)]
        self._lead = (len(learners), config.num_envs)
        self._stored = info.spaces.obs.parts[0].stored
        self._env: Any = None

    @staticmethod
    def check(info: EnvInfo) -> None:
        """Check that envpool has the same environment.

        Raises:
          UserError: if envpool is not installed, does not have the environment, or does not support
            its arguments or wrappers.
        """
        if info.spaces.masked:
            raise UserError(
                "config.env.backend=envpool gives no action masks; use config.env.backend=gymnasium"
            )
        _check_plain(info.config)
        try:
            import envpool
        except ImportError as error:
            raise UserError(
                "config.env.backend=envpool needs a package that is missing; install it with "
                "pip install 'jaxmaze[envpool]'"
            ) from error
        name, parts = info.config.id, info.spaces.obs.parts
        if len(parts) > 1 or not (parts[0].kind.measured or parts[0].kind.image):
            raise UserError(
                f"config.env.backend=envpool takes observations of one Box, but {name} has "
                f"{info.spaces.obs.describe()}; config.env.backend=gymnasium runs it"
            )
        if name not in envpool.list_all_envs():
            raise UserError(
                f"config.env.backend=envpool has no {name}; config.env.backend=gymnasium runs it"
            )
        spec = registered_spec(info)
        creator = spec.entry_point
        if isinstance(creator, str):
            creator = gym.envs.registration.load_env_creator(creator)
        defaults = {n: p.default for n, p in inspect.signature(creator).parameters.items()}
        defaults |= spec.kwargs
        for argument, value in json.loads(info.config.kwargs).items():
            if argument not in defaults or defaults[argument] != value:
                raise UserError(
                    f"config.env.backend=envpool cannot set env.kwargs.{argument}={value!r}; leave "
                    "it at the environment's default, or use config.env.backend=gymnasium"
                )

    def reset(self, epoch: int) -> None:
        """Restart all environments, with episodes that are unique to this ``epoch``."""
        import envpool

        config = self.config
        seeds = [
            seeding.episode_seed(config.seeds[m], seeding.TRAINING, n, epoch)
            for m, n in self._slots
        ]
        limit = self._info.spec.max_episode_steps
        options = {} if limit is None else {"max_episode_steps": limit}
        self._end()
        self._env = envpool.make(
            config.env.id, env_type="gymnasium", num_envs=len(seeds), seed=seeds, **options
        )
        self._obs = self._env.reset()[0].astype(self._stored)
        self._resets = np.zeros(len(seeds), bool)
        self._returns, self._lengths = np.zeros(len(seeds)), np.zeros(len(seeds), np.int64)

    def begin(self, policies: Policy, iteration: int, num_steps: int) -> Callable[[], Segment]:
        """A function that collects a segment; see :meth:`jaxmaze.envs.workers.Pool.begin`."""
        return lambda: self.collect(policies, iteration, num_steps)

    def collect(self, policies: Policy, iteration: int, num_steps: int) -> Segment:
        """Collect ``num_steps`` rows ``[L, T, N, ...]`` per environment with sampled actions."""
        config, count = self.config, len(self._slots)
        spaces, packed = config.networks.spaces, acting.pack(config.networks, policies)
        seeds = [config.seeds[m] for m in config.learners()]
        noise = acting.draw(
            spaces.action, seeds, [0], config.num_envs, num_steps, seeding.TRAINING, iteration
        )
        chooser = acting.Chooser(config.networks, (1, *self._lead), sampled=True)
        obs = np.empty((num_steps + 1, *self._obs.shape), self._stored)
        reward = np.empty((num_steps, count), np.float32)
        over, cut = np.empty((2, num_steps, count), bool)
        chosen: list[np.ndarray] = []
        obs[0] = self._obs
        for t in range(num_steps):
            chooser.obs[...] = obs[t]
            chosen.append(chooser(packed, noise[t]))
            sent = spaces.action.to_env(spaces.action.from_numbers(chosen[-1]))
            obs[t + 1], reward[t], over[t], cut[t], _ = self._env.step(sent)
        self._obs = obs[-1]
        done = over | cut
        resets = np.concatenate([self._resets[None], done])
        self._resets = resets[-1]

        def members_first(x: np.ndarray) -> np.ndarray:
            return np.moveaxis(x.reshape(num_steps, *self._lead, *x.shape[2:]), 0, 1)

        numbers = members_first(np.stack(chosen))
        rollout = Rollout(
            obs=members_first(obs[:-1]),
            action=spaces.action.from_numbers(numbers),
            log_prob=numbers[..., -1],
            reward=members_first(reward),
            next_obs=members_first(obs[1:]),
            terminated=members_first(over.astype(np.float32)),
            truncated=members_first((cut & ~over).astype(np.float32)),
            valid=members_first((~resets[:-1]).astype(np.float32)),
        )
        return Segment(rollout, self._episodes(reward, done, ~resets[:-1]))

    def _episodes(
        self, reward: np.ndarray, done: np.ndarray, valid: np.ndarray
    ) -> list[tuple[int, float, int]]:
        """Member, return and length of the episodes that ended, in chronological order."""
        episodes = []
        for t in range(len(reward)):
            self._returns += reward[t]
            self._lengths += valid[t]
            for k in np.flatnonzero(done[t]):
                member = self._slots[k][0]
                episodes.append((member, float(self._returns[k]), int(self._lengths[k])))
                self._returns[k], self._lengths[k] = 0.0, 0
        return episodes

    def evaluate(
        self, policies: Policy, seeds: np.ndarray, deterministic: bool, active: np.ndarray
    ) -> list[EpisodeResult]:
        """Evaluate on gymnasium, whose episodes are determined by their seeds."""
        return self._pool.evaluate(policies, seeds, deterministic, active)

    def close(self) -> None:
        """Stop the environments' threads and the workers."""
        self._pool.close()
        self._end()

    def _end(self) -> None:
        if self._env is not None:
            self._env.close()
            self._env = None


def _check_plain(config: EnvConfig) -> None:
    """Check that the environment is a registered one, without wrappers or other changes.

    Raises:
      UserError: one line that names the field.
    """
    plain = EnvConfig(config.id, config.kwargs, config.max_episode_steps)
    for name, value in config._asdict().items():
        if value != getattr(plain, name):
            raise UserError(
                f"config.env.backend=envpool cannot do env.{name}: it has its own environments, as "
                "they are; use config.env.backend=gymnasium"
            )
