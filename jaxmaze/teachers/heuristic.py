"""Hand-written controllers, on batches of observations.

Those of LunarLander and BipedalWalker are published with gymnasium; those of CartPole, Acrobot,
Pendulum and the two mountain cars are our own, because gymnasium has none: textbook rules that
leave room for improvement. Their returns were measured over 1000 episodes, ``python -m
jaxmaze.rollout --config=configs/cartpole.py --n_episodes=1000`` (BipedalWalker's over 250).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jaxmaze.core.spaces import Box
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.errors import UserError
from jaxmaze.teachers.controllers.bipedal_walker import BipedalWalker


def lunar_lander(obs: np.ndarray, continuous: bool) -> np.ndarray:
    """The published controller of gymnasium's LunarLander.

    Steers the angle against horizontal position and speed, and the height against horizontal
    distance; with a leg on the ground only the fall is slowed. Equal, action by action, to
    ``gymnasium.envs.box2d.lunar_lander.heuristic``, whose mixture of float32 and Python floats is
    kept, because a threshold may depend on the last bit.

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


def cart_pole(obs: np.ndarray, continuous: bool = False) -> np.ndarray:
    """Push the cart to the side to which the pole leans and, mainly, rotates.

    State feedback on the sign of ``angle + 3 s * angular velocity``. It stops the pole's turning
    rather than setting it upright, and is blind to where the cart is, so most episodes end before
    the limit of 500 steps: mean return 307.7 ± 109.8 in CartPole-v1. (Weights from 0.05 s to 0.5 s
    reach 500, which would leave nothing to fine-tune.)

    Args:
      obs: ``[N, 4]`` cart position, cart velocity, pole angle (rad), its angular velocity (rad/s).
      continuous: not used; the environment has two actions.

    Returns:
      ``[N]`` int64 actions: 0 pushes left, 1 right.
    """
    del continuous
    _, _, angle, spin = np.asarray(obs, np.float32).T
    return np.where(angle + np.float32(3) * spin > 0, 1, 0)


def acrobot(obs: np.ndarray, continuous: bool = False) -> np.ndarray:
    """Pump energy into the swing: full torque in the direction in which the elbow turns.

    The power that the torque gives is torque * angular velocity of the joint it acts on, so this
    never takes energy out; it does not care when and how the tip gets up. Mean return
    -89.3 ± 39.5 in Acrobot-v1.

    Args:
      obs: ``[N, 6]`` cosine and sine of both joints' angles, then their angular velocities (rad/s).
      continuous: not used; the environment has three actions.

    Returns:
      ``[N]`` int64 actions: torque of -1 (0) or +1 (2), never none (1): at rest something must
      begin the swing.
    """
    del continuous
    elbow = np.asarray(obs, np.float32)[:, 5]
    return np.where(elbow < 0, 0, 2)


def mountain_car(obs: np.ndarray, continuous: bool = False) -> np.ndarray:
    """Push in the direction in which the car rolls, so that each swing goes higher.

    It never waits, and takes one swing too many: mean return -119.4 ± 3.7 in MountainCar-v0.
    With throttles it is at full throttle all the way: 89.3 ± 0.1 in MountainCarContinuous-v0.

    Args:
      obs: ``[N, 2]`` position and velocity.
      continuous: whether the environment takes a throttle.

    Returns:
      ``[N]`` int64 actions: 0 pushes left, 2 right; or ``[N, 1]`` float32 throttles, -1 or 1.
    """
    back = np.asarray(obs, np.float32)[:, 1] < 0
    if continuous:
        return np.where(back, np.float32(-1), np.float32(1))[:, None]
    return np.where(back, 0, 2)


def pendulum(obs: np.ndarray, continuous: bool = True) -> np.ndarray:
    """Swing up by energy, then hold upright by PD control.

    Astrom & Furuta (2000), "Swinging up a pendulum by energy control": the torque has the sign of
    the angular velocity as long as the energy is below that of standing upright, in proportion to
    what is missing. Its gains are low, so that the swing takes its time: mean return
    -255.0 ± 145.2 in Pendulum-v1, where about -145 is possible.

    Args:
      obs: ``[N, 3]`` cosine and sine of the angle from upright, and its velocity (rad/s).
      continuous: not used; the environment takes a torque.

    Returns:
      ``[N, 1]`` float32 torques in ``[-2, 2]`` (N m).
    """
    del continuous
    cos, sin, speed = np.asarray(obs, np.float32).T
    angle = np.arctan2(sin, cos)
    # Energy per moment of inertia; 15 is 3 g / 2 l.
    missing = np.float32(15) * (1 - cos) - np.float32(0.5) * speed**2
    swing = np.float32(0.1) * missing * np.where(speed < 0, np.float32(-1), np.float32(1))
    hold = -np.float32(10) * angle - np.float32(2) * speed
    torque = np.where(np.abs(angle) < 0.5, hold, swing)
    return np.clip(torque, -2, 2)[:, None]


_BY_ENVIRONMENT: dict[str, Callable[[np.ndarray, bool], np.ndarray]] = {
    "Acrobot": acrobot,
    "CartPole": cart_pole,
    "LunarLander": lunar_lander,
    "LunarLanderContinuous": lunar_lander,
    "MountainCar": mountain_car,
    "MountainCarContinuous": mountain_car,
    "Pendulum": pendulum,
}
_THAT_REMEMBER = {"BipedalWalker": BipedalWalker}


def make(env: EnvInfo, seed: int) -> Callable[[np.ndarray], np.ndarray] | type[BipedalWalker]:
    """The controller of this environment; it is deterministic, ``seed`` is not used.

    Returns a function, or a class of which each environment gets an object.

    Raises:
      UserError: if there is none for this environment.
    """
    del seed
    name = env.spec.name
    if name in _THAT_REMEMBER:
        return _THAT_REMEMBER[name]
    if name not in _BY_ENVIRONMENT:
        raise UserError(
            f"no heuristic is known for {env.config.id}: there is one for "
            f"{', '.join(sorted((*_BY_ENVIRONMENT, *_THAT_REMEMBER)))}; give another teacher "
            "(--policy or config.rollout.policy): my_module:function of your own, "
            "sb3:model.zip, the folder of a trained run, human, or random; or train from scratch "
            "with the stage ppo, --env=ID:ppo"
        )
    function = _BY_ENVIRONMENT[name]
    return lambda obs: function(obs, isinstance(env.spaces.action, Box))
