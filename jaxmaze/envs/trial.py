"""A trial reset and step of an environment that is not gymnasium's own, before it is used.

Violations of gymnasium's API are common, and the errors they cause later are hard to understand.
Here they are reported in one line that names the environment and what gymnasium requires.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping
from typing import NoReturn

import gymnasium as gym
import numpy as np

from jaxmaze.core.observations import Observations
from jaxmaze.core.types import JsonMap, PyTree
from jaxmaze.envs import importing
from jaxmaze.errors import UserError, WorkerError

RESET = "gymnasium wants reset(self, *, seed=None, options=None) to return (observation, info)"
STEP = (
    "gymnasium wants step(self, action) to return (observation, reward, terminated, truncated, "
    "info)"
)
HELP = "gymnasium.utils.env_checker.check_env(env) finds more of the kind"


def check(env: gym.Env, name: str) -> tuple[PyTree, PyTree]:
    """Reset an environment, take one step, and check the results.

    Args:
      env: newly made; not to be used afterwards.
      name: the environment's name.

    Returns:
      The two observations.

    Raises:
      UserError: one line, if it raises or violates gymnasium's API.
    """
    first, info = _reset(env, name)
    _check_obs(env.observation_space, first, name, "reset()", RESET)
    _check_info(info, name, "reset()", RESET)
    env.action_space.seed(0)
    found = _called(env, "step", name, STEP, lambda: env.step(_action(env, first, info)))
    if not isinstance(found, tuple) or len(found) != 5:
        _wrong(name, f"step() returned {_shape(found)}", STEP)
    obs, reward, terminated, truncated, info = found
    _check_obs(env.observation_space, obs, name, "step()", STEP)
    if np.ndim(reward) or not _finite(reward):
        _wrong(name, f"step() gave the reward {reward!r:.60}", f"{STEP}, the reward one number")
    for flag, value in (("terminated", terminated), ("truncated", truncated)):
        if np.ndim(value) or np.asarray(value).dtype.kind not in "biu":
            _wrong(name, f"step() gave {flag}={value!r:.60}", f"{STEP}, {flag} True or False")
    _check_info(info, name, "step()", STEP)
    return first, obs


def check_spaces(env: gym.Env, name: str) -> None:
    """Check that an environment says what it shows and what it takes.

    Raises:
      UserError: one line, if it lacks a space.
    """
    for space in ("observation_space", "action_space"):
        found = getattr(env, space, None)
        if not isinstance(found, gym.Space):
            _wrong(name, f"{space} is {found!r:.60}", "gymnasium wants one of gymnasium.spaces")


def _reset(env: gym.Env, name: str) -> tuple[PyTree, JsonMap]:
    inner = env.unwrapped
    taken = inspect.signature(inner.reset).parameters
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken.values())
    missing = [word for word in ("seed", "options") if word not in taken]
    if missing and not anything:
        _wrong(name, f"reset() takes no {' and no '.join(missing)}", RESET)
    found = _called(env, "reset", name, RESET, lambda: env.reset(seed=0))
    if not isinstance(found, tuple) or len(found) != 2:
        _wrong(name, f"reset() returned {_shape(found)}", RESET)
    return found


def _called(
    env: gym.Env, method: str, name: str, wanted: str, call: Callable[[], PyTree]
) -> PyTree:
    """The return value of a method; raises UserError if the method raises."""
    try:
        return call()
    except (UserError, gym.error.DependencyNotInstalled):
        raise
    except Exception as error:  # Whatever a user's environment raises.
        # A wrapper that fails to unpack a result does not show what the result was.
        if isinstance(error, ValueError) and "values to unpack" in str(error):
            _wrong(name, f"{method}() returned {_returned(env, method)}", wanted)
        raise UserError(
            f"{name} raised {type(error).__name__} in {method}(): {importing.first_line(error)}"
            f"{importing.place(error)}"
        ) from error


def _returned(env: gym.Env, method: str) -> str:
    """A readable description of what the unwrapped environment returns."""
    inner = env.unwrapped
    try:
        found = inner.reset(seed=0)
        return _shape(found if method == "reset" else inner.step(env.action_space.sample()))
    except Exception:  # an error is being reported already
        return "other values"


def _shape(found: PyTree) -> str:
    """A readable description of a return value."""
    if isinstance(found, tuple):
        return f"{len(found)} values"
    shape = f" of shape {found.shape}" if isinstance(found, np.ndarray) else ""
    return f"a {type(found).__name__}{shape}"


def _action(env: gym.Env, obs: PyTree, info: JsonMap) -> PyTree:
    """A random action that the action mask, if there is one, allows."""
    masks = [x["action_mask"] for x in (info, obs) if isinstance(x, Mapping) and "action_mask" in x]
    if masks:
        try:
            return env.action_space.sample(np.asarray(masks[0], np.int8))
        except Exception:  # a mask in another format than gymnasium's
            pass
    return env.action_space.sample()


def _check_obs(space: gym.Space, obs: PyTree, name: str, where: str, wanted: str) -> None:
    problem = _problem(space, obs, "an observation")
    if problem:
        _wrong(name, f"{where} gave {problem}", "gymnasium wants observations of observation_space")


def _problem(space: gym.Space, x: PyTree, what: str) -> str:
    """Returns an error message if an observation is invalid, else an empty string."""
    if isinstance(space, gym.spaces.Dict):
        if not isinstance(x, Mapping):
            return f"{what} that is a {type(x).__name__} and no dict, for {space}"
        missing, strange = set(space.spaces) - set(x), set(x) - set(space.spaces)
        if missing or strange:
            said = "without" if missing else "with"
            keys = ", ".join(sorted(map(repr, missing or strange)))
            return f"{what} {said} {keys}; the keys are {', '.join(map(repr, space.spaces))}"
        parts = [_problem(s, x[key], f"{what}[{key!r}]") for key, s in space.spaces.items()]
        return next(filter(None, parts), "")
    if isinstance(space, gym.spaces.Tuple):
        if not isinstance(x, tuple | list) or len(x) != len(space.spaces):
            return f"{what} that is {_shape(x)}, for {len(space.spaces)} parts"
        parts = [_problem(s, x[i], f"{what}[{i}]") for i, s in enumerate(space.spaces)]
        return next(filter(None, parts), "")
    return _array_problem(space, x, what)


def _array_problem(space: gym.Space, x: PyTree, what: str) -> str:
    try:
        array = np.asarray(x)
    except Exception:  # such as ragged lists
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        return f"{what} of type {type(x).__name__}, for {space}"
    if array.shape != (space.shape or ()):
        return f"{what} of shape {array.shape}, for {space}"
    if not np.isfinite(array).all():
        return f"{what} that is NaN or infinite"
    if np.dtype(space.dtype).kind in "biu":
        if array.dtype.kind == "f":
            return f"{what} of type {array.dtype}, for {space}"
        # Values outside a box's bounds are usable, unlike categories outside a discrete range.
        if not isinstance(space, gym.spaces.Box) and not space.contains(array.astype(space.dtype)):
            return f"{what} {array} that is not in {space}"
    return ""


def _check_info(info: PyTree, name: str, where: str, wanted: str) -> None:
    if not isinstance(info, Mapping):
        _wrong(name, f"{where} gave a {type(info).__name__} as info", f"{wanted}, info a dict")


def _finite(value: PyTree) -> bool:
    try:
        return bool(np.isfinite(float(value)))
    except (TypeError, ValueError):
        return False


def _wrong(name: str, found: str, wanted: str) -> NoReturn:
    raise UserError(f"{name}: {found}; {wanted}; {HELP}")


def reset_into(
    room: PyTree, slot: int, observations: Observations, env: gym.Env, seed: int
) -> None:
    """Reset an environment and write its first observation to its slot of the buffer ``room``.

    Raises:
      WorkerError: if it raises, or returns an observation that does not fit.
    """
    try:
        observations.put(room, slot, env.reset(seed=seed)[0])
    except Exception as error:  # whatever a user's environment raises
        raise failed(env, "reset", error) from error


def failed(env: gym.Env, method: str, error: Exception) -> Exception:
    """The exception to raise if an environment raises or returns invalid values during a run."""
    if isinstance(error, UserError | gym.error.DependencyNotInstalled):
        return error
    place = importing.place(error)
    # Raised outside the user's code, so caused by the values it returned.
    wanted = STEP if method == "step" else RESET
    more = place or f"; {wanted}, with observations of {env.observation_space}"
    return WorkerError(
        f"the environment {name_of(env)} failed in {method}(): {type(error).__name__}: "
        f"{importing.first_line(error)}{more}",
        traceback.format_exc(),
    )


def check_rewards(env: gym.Env, rewards: np.ndarray) -> None:
    """Check the rewards ``[...]`` of steps that were played.

    Raises:
      UserError: if one is NaN or infinite.
    """
    if not np.isfinite(rewards).all():
        bad = rewards[~np.isfinite(rewards)].flat[0]
        raise UserError(f"the environment {name_of(env)} gave the reward {bad} in step(); {STEP}")


def name_of(env: gym.Env) -> str:
    """The name of an environment object."""
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__
