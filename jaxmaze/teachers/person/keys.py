"""The mapping from a person's keys to actions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from jaxmaze.core.spaces import Box
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.errors import UserError

CONTROLS = ("r", "x", "escape")
"""Keys that decide on the episode (such as restart), which cannot have an action."""
HELD = 0.5
"""Deflection of a stick from which it counts as a pressed key."""
OLD_CODES = {273: "up", 274: "down", 275: "right", 276: "left"}
"""Key codes of the arrow keys in pygame 1, which environments still use."""
DISCRETE: dict[str, Mapping[str, object]] = {
    "Acrobot": {"left": 0, "": 1, "right": 2},
    "CarRacing": {"": 0, "right": 1, "left": 2, "up": 3, "down": 4},
    "CartPole": {"left": 0, "right": 1},
    "LunarLander": {"": 0, "left": 1, "up": 2, "right": 3},
    "MountainCar": {"left": 0, "": 1, "right": 2},
}
CONTINUOUS: dict[str, Mapping[str, object]] = {
    "CarRacing": {"left": [-1, 0, 0], "right": [1, 0, 0], "up": [0, 1, 0], "down": [0, 0, 0.8]},
    "LunarLander": {"up": [1, 0], "left": [0, -1], "right": [0, 1]},
    "LunarLanderContinuous": {"up": [1, 0], "left": [0, -1], "right": [0, 1]},
    "MountainCarContinuous": {"left": [-1], "right": [1]},
    "Pendulum": {"left": [2], "right": [-2]},
}
"""Default keys of gymnasium's environments; ``""`` is for no key."""


class KeyMap:
    """Keys to actions.

    With continuous actions, the actions of keys held together add up, and a stick counts in
    proportion to how far it is pushed. With other actions, a combination of keys may have its own
    action; otherwise the key pressed last counts. Without a key held, the action of ``""`` is taken
    if there is one; otherwise the last action is repeated (continuous: no action).

    Attributes:
      names: all keys with an action.
    """

    def __init__(self, actions: Mapping[frozenset[str], np.ndarray], info: EnvInfo):
        """Set up with the actions of keys held together."""
        self._actions, self._space = dict(actions), info.spaces.action
        self.names = frozenset[str]().union(*actions)
        self.reset()

    def reset(self) -> None:
        """Reset at the beginning of an episode."""
        self._last = next(iter(self._actions.values()))

    def action(self, pressed: Mapping[str, float]) -> np.ndarray:
        """The action for keys by name, with how far each is pressed, in the order of pressing."""
        held = {k: amount for k, amount in pressed.items() if k in self.names}
        if isinstance(self._space, Box):
            return self._sum(held)
        down = [k for k, amount in held.items() if amount > HELD]
        # The combination held, or else the key pressed last that has an action alone.
        for keys in (frozenset(down), *(frozenset((k,)) for k in reversed(down))):
            if keys in self._actions:
                self._last = self._actions[keys]
                break
        return self._last

    def _sum(self, held: Mapping[str, float]) -> np.ndarray:
        keys = frozenset(held)
        if keys in self._actions and (len(keys) != 1):
            return self._actions[keys]
        parts = [
            amount * self._actions[frozenset((k,))]
            for k, amount in held.items()
            if frozenset((k,)) in self._actions
        ]
        total = np.sum(parts, axis=0) if parts else np.zeros_like(self._last)
        return self._space.accept(np.asarray(total, np.float32)[None])[0]  # type: ignore[no-any-return]


def find(info: EnvInfo, given: Mapping[str, object], own: Mapping[object, object] | None) -> KeyMap:
    """The key map of an environment.

    Args:
      info: the environment.
      given: ``rollout.keyboard``; pygame's key names, joined by ``+``, to actions.
      own: the result of the environment's ``get_keys_to_action``, if it has that method.

    Raises:
      UserError: one line that says how to set keys, if there are none or they do not fit.
    """
    known = CONTINUOUS if isinstance(info.spaces.action, Box) else DISCRETE
    if given:
        by_keys = {frozenset(filter(None, k.split("+"))): value for k, value in given.items()}
    elif own is not None:
        by_keys = {frozenset(_names(k)): value for k, value in own.items()}
    elif info.spec.name in known:
        default = known[info.spec.name]
        by_keys = {frozenset(filter(None, (k,))): value for k, value in default.items()}
    else:
        raise UserError(
            f"no keys are known for {info.config.id}; give them as "
            f'--config.rollout.keyboard="{_example(info)}" (names as pygame\'s, joined by + where '
            "held together, '' for none)"
        )
    actions = {keys: _checked(keys, value, info) for keys, value in by_keys.items()}
    taken = sorted({k for keys in actions for k in keys} & set(CONTROLS))
    if taken:
        raise UserError(
            f"rollout.keyboard: {', '.join(taken)} cannot be an action's; r, x and escape redo, "
            "throw away and stop an episode"
        )
    unknown = sorted(k for keys in actions for k in keys if not _is_key(k))
    if unknown:
        raise UserError(
            f"rollout.keyboard: there is no key {unknown[0]!r}; keys are called as pygame calls "
            "them ('left', 'space', 'a'), and 'button0' is a gamepad's"
        )
    return KeyMap(actions, info)


def _is_key(name: str) -> bool:
    import pygame

    if name.startswith("button"):
        return name.removeprefix("button").isdigit()
    try:
        pygame.key.key_code(name)
    except ValueError:
        return False
    return True


def _checked(keys: Iterable[str], value: object, info: EnvInfo) -> np.ndarray:
    """An action as an array, checked against the environment's action space."""
    space = info.spaces.action
    try:
        action = np.asarray(value, space.dtype)
        same = action.shape == space.shape and np.array_equal(action, np.asarray(value, float))
        problem = "" if same or isinstance(space, Box) else "not an action"
        problem = problem or space.problem(action[None], info.config.id)
    except (TypeError, ValueError) as error:
        problem = str(error)
    if problem:
        raise UserError(
            f"rollout.keyboard: {'+'.join(sorted(keys))!r} means {value!r}, but {info.config.id} "
            f"has {space.describe()}"
        )
    return action


def _names(keys: object) -> list[str]:
    """Key names from the environment's form: key codes or characters, one or several."""
    if isinstance(keys, int):
        keys = (keys,)
    if not isinstance(keys, Sequence):
        raise UserError(f"the environment's get_keys_to_action names keys {keys!r}")
    return [_name(key) for key in keys]


def _name(key: object) -> str:
    import pygame

    if isinstance(key, str):
        return key
    return OLD_CODES.get(int(str(key))) or pygame.key.name(int(str(key)))


def _example(info: EnvInfo) -> str:
    space = info.spaces.action
    actions = space.uniform(np.random.default_rng(0), 2)
    first, second = (np.round(a, 1).tolist() for a in actions)
    return f"{{'left': {first}, 'right': {second}}}"
