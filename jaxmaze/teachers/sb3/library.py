"""Loads policies that are not standard with Stable-Baselines3 itself, which runs their code."""

from __future__ import annotations

import hashlib
import importlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from jaxmaze.core.types import Json, PyTree
from jaxmaze.errors import UserError

BY_POLICY = {
    "maskable": "MaskablePPO",
    "recurrent": "RecurrentPPO",
    "qrdqn": "QRDQN",
    "crossq": "CrossQ",
}
"""Algorithms of sb3-contrib by a part of the name of their policies' module."""
BY_FIELD = (
    ("cg_max_steps", "sb3_contrib", "TRPO"),
    ("top_quantiles_to_drop_per_net", "sb3_contrib", "TQC"),
    ("delta_std", "sb3_contrib", "ARS"),
    ("clip_range_vf", "stable_baselines3", "PPO"),
    ("target_policy_noise", "stable_baselines3", "TD3"),
    ("target_entropy", "stable_baselines3", "SAC"),
    ("exploration_fraction", "stable_baselines3", "DQN"),
    ("normalize_advantage", "stable_baselines3", "A2C"),
)
"""A field that the algorithm saves but none below it here does; its package and name."""


class Predicts(Protocol):
    """A model of Stable-Baselines3."""

    def predict(
        self,
        observation: PyTree,
        state: PyTree = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, PyTree]: ...


class Library:
    """A model loaded by the library, with normalised observations if needed.

    Attributes:
      sha256: of its file, in hexadecimal.
    """

    def __init__(
        self, model: Predicts, normalize: Callable[[np.ndarray], np.ndarray] | None, sha256: str
    ):
        self._model, self._normalize, self.sha256 = model, normalize, sha256

    def predict(
        self,
        observation: PyTree,
        state: PyTree = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, PyTree]:
        """The model's actions and next hidden state."""
        if self._normalize is not None:
            observation = self._normalize(observation)
        return self._model.predict(observation, state, episode_start, deterministic)


def load(
    path: Path,
    why: str,
    normalize: Callable[[np.ndarray], np.ndarray] | None,
    say: Callable[[str], None],
) -> Library:
    """Load a model with its library.

    Args:
      path: of the zip.
      why: the reason why it could not be read here.
      normalize: normalisation of observations, if any.
      say: prints the warning that code of the file is run.

    Raises:
      UserError: if the library is missing, or cannot load it either.
    """
    package, name = _algorithm(path)
    try:
        algorithm = getattr(importlib.import_module(package), name)
    except ImportError as error:
        raise UserError(
            f"sb3:{path} is not a standard policy ({why}), so it takes {package} to load it, which "
            f"is missing: pip install 'jaxmaze[sb3]' ({error})"
        ) from error
    say(
        f"warning: sb3:{path} is not a standard policy ({why}); {package}.{name}.load loads it, "
        "which runs code from that file"
    )
    try:
        model = algorithm.load(path, device="cpu")
    except Exception as error:  # an unknown file may make it raise anything
        raise UserError(
            f"sb3:{path} cannot be loaded by {package}.{name}: {type(error).__name__}: {error}"
        ) from error
    return Library(model, normalize, hashlib.sha256(path.read_bytes()).hexdigest())


def _algorithm(path: Path) -> tuple[str, str]:
    """Package and name of the algorithm's class, which the zip itself does not name."""
    with zipfile.ZipFile(path) as file:
        data: Json = json.loads(file.read("data"))
    policy = data.get("policy_class")
    module = str(policy.get("__module__", "")) if isinstance(policy, dict) else ""
    for part, name in BY_POLICY.items():
        if part in module:
            return "sb3_contrib", name
    for field, package, name in BY_FIELD:
        if field in data:
            return package, name
    raise UserError(f"sb3:{path} does not say which algorithm saved it")
