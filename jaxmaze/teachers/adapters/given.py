"""A user's teacher as a policy: a function, an object, a class, or a model."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from jaxmaze.core.types import PyTree
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.envs.episodes import Act
from jaxmaze.errors import UserError
from jaxmaze.teachers.adapters.functions import Function
from jaxmaze.teachers.adapters.objects import PerSlot, Predictor, per_slot


def adapt(policy: object, info: EnvInfo, name: str, say: Callable[[str], None] = print) -> Act:
    """A user's teacher as a function from observations ``[N, ...]`` to actions ``[N, ...]``.

    Args:
      policy: one of

        * an object with ``reset(seed)`` and ``act(obs)`` or ``act(obs, env)``, or its class;
        * a model with ``predict(obs)``, of Stable-Baselines3 or scikit-learn, say;
        * a function of a batch of observations or of one.
      info: the environment it will act in.
      name: its name in messages.
      say: prints a note on how it will be asked.

    Raises:
      UserError: one line, if it is none of these or does not fit the environment.
    """
    if hasattr(policy, "act"):
        return per_slot(policy, info, name)
    if isinstance(policy, type):
        try:
            policy = policy()
        except TypeError as error:
            raise UserError(
                f"policy {name} is a class that cannot be made without arguments: {error}"
            ) from error
    if hasattr(policy, "predict"):
        return _model(policy, info, name)
    if callable(policy):
        function = Function(policy, info, name)
        if function.form.state:
            say(
                f"note: policy {name} gives a state with its actions, which is not given back to "
                "it; a teacher that remembers is an object with reset(seed) and act(obs)"
            )
        return function
    raise UserError(
        f"policy {name} is a {type(policy).__name__}; give a function of observations, an object "
        "with reset(seed) and act(obs), or a model with predict(obs)"
    )


def _model(model: object, info: EnvInfo, name: str) -> Act:
    """A model with ``predict``, which gets its hidden state back if it has one."""
    predict: Callable[..., object] = model.predict  # type: ignore[attr-defined]
    arguments = inspect.signature(predict).parameters
    modes = {"deterministic": True} if "deterministic" in arguments else {}

    def whole(obs: PyTree) -> object:
        return predict(obs, **modes)

    batched = Function(whole, info, name)
    function: Function | PerSlot = batched
    if batched.form.state and {"state", "episode_start"} <= set(arguments):
        function = PerSlot(lambda _slot: Predictor(predict), info, name)
    function.sha256 = getattr(model, "sha256", None)
    return function


def name_of(policy: object) -> str:
    """A name for a Python teacher: its module and qualified name."""
    named = policy if hasattr(policy, "__qualname__") else type(policy)
    return f"{named.__module__}:{named.__qualname__}"  # type: ignore[attr-defined]
