"""Which episodes of a data set are held out for validation."""

from __future__ import annotations

import math

import numpy as np

from jaxmaze.errors import UserError


def split(num_episodes: int, validation_percentage: float, seed: int) -> np.ndarray:
    """Which episodes are held out: ``[num_episodes]`` booleans, True for validation.

    By episode, because neighbouring steps are nearly equal and would leak.

    Raises:
      UserError: if that leaves no episode on one side (none to validate on is allowed when the
        percentage is 0).
    """
    # Half an episode is rounded towards training: of 3 episodes at 50 %, one is held out.
    held_out = math.ceil(num_episodes * validation_percentage / 100 - 0.5)
    if validation_percentage > 0 and num_episodes < 2:
        raise UserError(
            f"bc.validation_percentage={validation_percentage:g} of one episode leaves none to "
            "train or none to validate on; record more episodes, or set it to 0"
        )
    if validation_percentage > 0 and not 0 < held_out < num_episodes:
        side = "validate" if held_out == 0 else "train"
        raise UserError(
            f"bc.validation_percentage={validation_percentage:g} of {num_episodes} episodes leaves "
            f"none to {side} on; record more episodes or choose a value between "
            f"{100 * 0.5 / num_episodes:.3g} and {100 * (1 - 0.5 / num_episodes):.3g}"
        )
    chosen = np.random.default_rng(seed).permutation(num_episodes)[:held_out]
    mask = np.zeros(num_episodes, bool)
    mask[chosen] = True
    return mask
