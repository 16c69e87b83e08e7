"""Action masks, which say which actions an environment currently allows, as part of observations.

Environments provide them in three ways: ``info["action_mask"]`` (gymnasium's Taxi), a part
``action_mask`` of a Dict observation (PettingZoo), or a method ``action_masks()`` (sb3-contrib's
MaskablePPO). In the first and the last case :class:`ActionMasks` adds them to the observation,
``{"observation": ..., "action_mask": ...}``, so that masks are stored wherever observations are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import gymnasium as gym
import numpy as np

from jaxmaze.core.spaces import MASK
from jaxmaze.core.types import PyTree
from jaxmaze.envs import space_kinds
from jaxmaze.errors import UserError

Source: TypeAlias = Literal["", "observation", "info", "method"]
"""Where an environment's masks come from; empty for none."""
METHOD, OBSERVATION = "action_masks", "observation"


def find(env: gym.Env, name: str, wanted: bool | None) -> Source:
    """Find out where an environment's action masks come from.

    Looks at the spaces, then at the methods, and last at the ``info`` of a reset.

    Args:
      env: the environment.
      name: its id, for messages.
      wanted: whether masks are required; None if they are optional.

    Raises:
      UserError: if masks are required and there are none, or none of the right size.
    """
    if wanted is False:
        return ""
    size = space_kinds.actions_of(env.action_space).mask_size
    source: Source = ""
    if size:
        source = _source(env)
    if not source:
        if not wanted:
            return ""
        kinds = "Discrete and MultiDiscrete actions"
        ways = f'info["{MASK}"], a part {MASK!r} of a Dict observation, or a method {METHOD}()'
        why = f"has no {ways}" if size else f"has other actions than the {kinds} that can have some"
        raise UserError(f"config.env.action_masks=True, but {name} {why}")
    if source == "observation" and space_kinds.mask_length(env.observation_space) != size:
        if not wanted:
            return ""  # a part of the observation that only has the same name
        raise UserError(
            f"{name} has observations {env.observation_space}, but a part {MASK} for its actions "
            f"is one array of {size} entries"
        )
    return source


def _source(env: gym.Env) -> Source:
    space = env.observation_space
    if isinstance(space, gym.spaces.Dict) and MASK in space.spaces:
        return "observation"
    if env.has_wrapper_attr(METHOD) and callable(env.get_wrapper_attr(METHOD)):
        return "method"
    try:
        info = env.reset(seed=0)[1]
    except Exception:  # Errors are reported when an episode begins.
        return ""
    return "info" if isinstance(info, dict) and MASK in info else ""


class ActionMasks(gym.Wrapper):
    """Checks an environment's masks, and adds them to the observations unless they are there.

    Attributes:
      observation_space: the observation space, mask included.
    """

    def __init__(self, env: gym.Env, source: Source, name: str):
        super().__init__(env)
        self._action = space_kinds.actions_of(env.action_space)
        self._size = self._action.mask_size
        self._source, self._name = source, name
        self._ask: Callable[[], PyTree] | None = None
        if source == "method":
            self._ask = env.get_wrapper_attr(METHOD)
        if source != "observation":
            mask = gym.spaces.Box(0, 1, (self._size,), np.int8)
            self.observation_space = gym.spaces.Dict(
                {OBSERVATION: env.observation_space, MASK: mask}
            )

    def reset(
        self, *, seed: int | None = None, options: dict[str, object] | None = None
    ) -> tuple[PyTree, dict[str, object]]:
        """Reset the environment; the observation includes a mask."""
        obs, info = self.env.reset(seed=seed, options=options)
        return self._with_mask(obs, info, False), info

    def step(self, action: PyTree) -> tuple[PyTree, PyTree, bool, bool, dict[str, object]]:
        """One step; the observation includes a mask."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        obs = self._with_mask(obs, info, bool(terminated or truncated))
        return obs, reward, terminated, truncated, info

    def _with_mask(self, obs: PyTree, info: dict[str, object], over: bool) -> PyTree:
        """An observation with its mask, which is checked unless the episode is over."""
        if self._source == "observation":
            self._check(obs[MASK], over)
            return obs
        mask = self._ask() if self._ask is not None else info.get(MASK)
        if mask is None and over:
            mask = np.ones(self._size, np.int8)
        return {OBSERVATION: obs, MASK: self._check(mask, over)}

    def _check(self, mask: PyTree, over: bool) -> np.ndarray:
        if mask is None:
            raise UserError(f'{self._name} gave no info["{MASK}"] with an observation')
        found = np.asarray(mask).reshape(-1)
        if found.size != self._size:
            raise UserError(
                f"{self._name} gave an {MASK} of {found.size} entries; its actions need "
                f"{self._size}, one for each"
            )
        if not over and self._action.blocked(found[None])[0]:
            raise UserError(f"{self._name} gave an {MASK} that leaves no action to choose")
        return (found > 0).astype(np.int8)
