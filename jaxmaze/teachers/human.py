"""The teacher ``human``: a person, who can play but cannot be queried by a program."""

from __future__ import annotations

from typing import NoReturn

from jaxmaze.envs.environment import EnvInfo
from jaxmaze.errors import UserError

NAME = "human"


def make(env: EnvInfo, seed: int) -> NoReturn:
    """Always raise: only rollouts, which open the window, can let a person play.

    Raises:
      UserError: always.
    """
    del env, seed
    raise UserError(
        "policy human: a person plays in a rollout of its own, one environment in a window "
        "(jaxmaze rollout --config=... --policy=human --record); clone what was recorded "
        "with the recipe bc, --config.bc.data=DIR"
    )
