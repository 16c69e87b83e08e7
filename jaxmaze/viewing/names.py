"""What the numbers of observations and the choices of actions are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jaxmaze.core.types import PyTree
from jaxmaze.envs.leaves import Leaf

LANDER = (
    "x",
    "y",
    "speed x",
    "speed y",
    "angle",
    "angular speed",
    "left leg touches",
    "right leg touches",
)
WALKER = (
    *("hull angle", "hull angular speed", "speed x", "speed y"),
    *(
        f"{what} {leg}"
        for leg in (1, 2)
        for what in ("hip angle", "hip speed", "knee angle", "knee speed", "ground contact")
    ),
    *(f"lidar {i}" for i in range(10)),
)


class Names(NamedTuple):
    """Names in order; empty where nothing is known.

    Attributes:
      observations: of the numbers of an observation.
      actions: of the choices of one discrete action, or of the numbers of an action.
    """

    observations: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()


KNOWN = {
    "CartPole": Names(
        ("position", "speed", "pole angle", "pole angular speed"), ("push left", "push right")
    ),
    "MountainCar": Names(("position", "speed"), ("push left", "none", "push right")),
    "MountainCarContinuous": Names(("position", "speed"), ("force",)),
    "Pendulum": Names(("cos angle", "sin angle", "angular speed"), ("torque",)),
    "Acrobot": Names(
        (
            "cos angle 1",
            "sin angle 1",
            "cos angle 2",
            "sin angle 2",
            "angular speed 1",
            "angular speed 2",
        ),
        ("torque -1", "none", "torque +1"),
    ),
    "LunarLander": Names(LANDER, ("none", "left engine", "main engine", "right engine")),
    "LunarLanderContinuous": Names(LANDER, ("main engine", "side engines")),
    "BipedalWalker": Names(WALKER, ("hip 1", "knee 1", "hip 2", "knee 2")),
}
"""Those of environments that come with gymnasium, by name without version."""


def known(environment: str, continuous: bool) -> Names:
    """The names for an environment of gymnasium; empty for others.

    Args:
      environment: its id.
      continuous: whether its actions are real numbers.
    """
    name = environment.rpartition("-v")[0]
    if name == "LunarLander" and continuous:
        name = "LunarLanderContinuous"
    return KNOWN.get(name, Names())


def of_environment(env: PyTree) -> Names:
    """The names that an environment itself gives.

    They are its attributes ``observation_names`` and ``action_names`` (lists, or functions that
    return some), or Atari's ``get_action_meanings()``.
    """
    inner = env.unwrapped
    actions = _texts(getattr(inner, "action_names", ()))
    return Names(
        _texts(getattr(inner, "observation_names", ())),
        actions or _texts(getattr(inner, "get_action_meanings", ())),
    )


def _texts(given: object) -> tuple[str, ...]:
    try:
        found = given() if callable(given) else given
    except Exception:  # A user's code may raise anything; numbers do for names.
        return ()
    if isinstance(found, str) or not isinstance(found, Sequence):
        return ()
    return tuple(map(str, found))


def of_numbers(leaves: Sequence[Leaf], given: Sequence[str]) -> list[str]:
    """A name for each number of the arrays, in order.

    Args:
      leaves: the arrays; those of images are left out by the caller.
      given: names for all numbers; ignored unless there are as many.
    """
    plain = [name for leaf in leaves for name in _plain(leaf)]
    return list(given) if len(given) == len(plain) else plain


def _plain(leaf: Leaf) -> list[str]:
    """The array's name, with indices if it holds several numbers."""
    base = leaf.name or "obs"
    if not leaf.shape:
        return [base]
    if len(leaf.shape) == 1:
        return [f"{base}[{i}]" for i in range(leaf.shape[0])]
    columns = 1
    for n in leaf.shape[1:]:
        columns *= n
    return [f"{base}[{i}][{j}]" for i in range(leaf.shape[0]) for j in range(columns)]
