"""Noise injection: the executed actions are perturbed; the teacher's own are the labels.

Laskey et al. (2017), "DART: Noise Injection for Robust Imitation Learning": states around the
teacher's trajectories are visited too, and labelled with the teacher's actions there.
"""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from jaxmaze.core import seeding
from jaxmaze.core.spaces import Box
from jaxmaze.core.types import PyTree
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.envs.episodes import HOOKS, Act, Episode
from jaxmaze.envs.space_kinds import stack_actions
from jaxmaze.errors import UserError


class Noisy:
    """A policy with perturbed actions; episodes get its own actions as labels.

    Random numbers depend only on the root seed and the episode's seed.
    """

    def __init__(self, act: Act, info: EnvInfo, epsilon: float, noise_std: float, seed: int):
        """Set up the noise.

        Args:
          act: the policy, whose actions fit the environment.
          info: the environment.
          epsilon: probability, at each step, of a uniformly random action instead.
          noise_std: standard deviation of the Gaussian noise, in units of half the action's range
            (1, where the range is unbounded).
          seed: the root seed.

        Raises:
          UserError: for ``noise_std`` if actions are not continuous.
        """
        self.__wrapped__ = getattr(act, "__wrapped__", act)
        self._act, self._space, self._info = act, info.spaces.action, info
        self._epsilon, self._seed = epsilon, seed
        self._scale: np.ndarray | None = None
        if noise_std:
            if not isinstance(self._space, Box):
                raise UserError(
                    f"rollout.noise_std={noise_std:g} is for continuous actions, but "
                    f"{info.config.id} has {self._space.describe()}; use rollout.epsilon"
                )
            low, high = np.asarray(self._space.low), np.asarray(self._space.high)
            half = np.where(np.isfinite(high - low), 0.5 * (high - low), 1.0)
            self._scale = (noise_std * half).reshape(self._space.shape)
        self._begin, self._end = (getattr(act, name, None) for name in HOOKS)
        self._playing: dict[int, np.random.Generator] = {}
        self._chosen: dict[int, list[PyTree]] = {}

    def begin(self, slot: int, env: object, seed: int) -> None:
        """An episode begins in a slot."""
        self._playing[slot] = seeding.generator(self._seed, seeding.NOISE, seed)
        self._chosen[slot] = []
        if self._begin is not None:
            self._begin(slot, env, seed)

    def end(self, slot: int, episode: Episode) -> Episode:
        """An episode has ended: the policy's own actions become its labels."""
        del self._playing[slot]
        if self._end is not None:
            episode = self._end(slot, episode)
        labels = stack_actions(self._info.action_space, self._chosen.pop(slot))
        return dataclasses.replace(episode, labels=labels)

    def __call__(self, obs: PyTree) -> PyTree:
        chosen, mask = self._act(obs), self._info.spaces.mask_of(obs)
        done = np.array(self._space.from_env(chosen))
        if self._scale is not None:  # whole numbers too: the sum is rounded
            done = done.astype(np.result_type(done, np.float32))
        for slot, rng in self._playing.items():
            self._chosen[slot].append(jax.tree.map(lambda x, slot=slot: x[slot].copy(), chosen))
            # Always draw the same number of values per step, whatever they are used for.
            allowed = None if mask is None else mask[slot : slot + 1]
            drawn, anything = rng.random(), self._space.uniform(rng, 1, allowed)
            if self._scale is not None:
                done[slot] += self._scale * rng.standard_normal(self._scale.shape)
            if drawn < self._epsilon:
                done[slot] = self._space.from_env(anything)[0]
        taken = self._space.to_env(done)
        return jax.tree.map(lambda c, x: np.asarray(x).astype(c.dtype), chosen, taken)
