"""The controllers that environments publish for themselves, on whole batches of observations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jaxmaze.envs.gymnasium import EnvInfo
from jaxmaze.errors import UserError


def lunar_lander(obs: np.ndarray, continuous: bool) -> np.ndarray:
    """The published controller of gymnasium's LunarLander.

    Steers the angle against horizontal position and speed, and the height against horizontal
    distance; with a leg on the ground only the fall is slowed. Equal, action by action, to
    ``gymnasium.envs.box2d.lunar_lander.heuristic``, whose mixture of float32 and Python floats is
    kept, because a threshold may hang on the last bit.

    Args:
      obs: ``[N, 8]`` float32.
      continuous: whether the environment takes ``[main, side]`` throttles.

    Returns:
      ``[N]`` int64 actions, or ``[N, 2]`` float32 throttles in ``[-1, 1]``.
    """
    x, y, vx, vy, angle, spin, left, right = np.asarray(obs, np.float32).T
    angle_target = np.clip(x * np.float32(0.5) + vx, np.float32(-0.4), np.float32(0.4))
    hover_target = np.float32(0.55) * np.abs(x)
    angle_todo = (angle_target - angle) * np.float32(0.5) - spin
    hover_todo = (hover_target - y) * np.float32(0.5) - vy * np.float32(0.5)
    contact = (left != 0) | (right != 0)
    angle_todo = np.where(contact, np.float32(0), angle_todo)
    hover_todo = np.where(contact, -vy * np.float32(0.5), hover_todo)
    if continuous:
        throttle = np.stack([hover_todo * 20 - 1, -angle_todo * 20], axis=-1)
        return np.clip(throttle, -1, 1).astype(np.float32)
    main = (hover_todo > np.abs(angle_todo)) & (hover_todo > 0.05)
    return np.where(main, 2, np.where(angle_todo < -0.05, 3, np.where(angle_todo > 0.05, 1, 0)))


_BY_ENVIRONMENT = {"LunarLander": lunar_lander, "LunarLanderContinuous": lunar_lander}


def make(env: EnvInfo, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """The controller of this environment; it is deterministic, ``seed`` is not used.

    Raises:
      UserError: if the environment publishes none.
    """
    del seed
    name = env.spec.name
    if name not in _BY_ENVIRONMENT:
        raise UserError(
            f"no heuristic is known for {env.config.id}: there is one for "
            f"{', '.join(sorted(_BY_ENVIRONMENT))}; give --policy=package.module:function"
        )
    function = _BY_ENVIRONMENT[name]
    return lambda obs: function(obs, env.spaces.kind == "continuous")
