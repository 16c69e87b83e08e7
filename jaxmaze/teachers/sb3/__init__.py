"""Policies trained with Stable-Baselines3 or sb3-contrib, from the zip that ``model.save`` wrote.

A standard policy is read here, without torch and without executing the file's pickles
(:mod:`archive`, :mod:`networks`); any other is loaded by the library itself (:mod:`library`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxmaze.core.types import PyTree
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.errors import UserError
from jaxmaze.teachers.sb3 import archive, library, networks

PREFIX = "sb3:"
STATISTICS = ".vecnormalize.npz"
"""Suffix of the file with VecNormalize's statistics, in place of the zip's ``.zip``."""


class Model:
    """A policy from a zip: observations ``[N, ...]`` to actions ``[N, ...]``.

    Attributes:
      sha256: of the file that it was read from, in hexadecimal.
    """

    def __init__(self, act: networks.Forward, sha256: str):
        self._act, self.sha256 = act, sha256

    def __call__(self, obs: PyTree) -> np.ndarray:
        return self._act(obs)


def load(name: str, info: EnvInfo, say: Callable[[str], None] = print) -> Model | library.Library:
    """The policy that ``sb3:FILE.zip`` names, acting as ``model.predict(obs, deterministic=True)``.

    Args:
      name: the name, ``sb3:`` included.
      info: the environment it will act in.
      say: prints a warning if code of the file is run.

    Raises:
      UserError: if there is no such file, it does not fit, or the library that it needs is missing.
    """
    path = Path(name.removeprefix(PREFIX))
    if not path.exists() and path.with_suffix(".zip").exists():  # the library also adds the suffix
        path = path.with_suffix(".zip")
    normalize = _normalization(path, info)
    try:
        zipped = archive.read(path)
        act = networks.forward(zipped, info)
    except archive.NotStandardError as error:
        return library.load(path, str(error), normalize, say)
    digest = zipped.sha256
    if normalize is None:
        return Model(act, digest)
    statistics = hashlib.sha256(_beside(path).read_bytes()).hexdigest()
    return Model(lambda obs: act(normalize(obs)), f"{digest} {statistics}")


def _beside(path: Path) -> Path:
    return path.with_name(path.stem + STATISTICS)


def _normalization(path: Path, info: EnvInfo) -> networks.Forward | None:
    """VecNormalize's normalisation of observations, if its statistics are beside the zip.

    Raises:
      UserError: if there is only VecNormalize's own file, which is a pickle.
    """
    numbers = _beside(path)
    if not numbers.exists():
        for pickled in (path.parent, path.with_suffix("")):
            found = sorted(pickled.glob("*vec*normalize*.pkl"))
            if found:
                raise UserError(
                    f"{found[0]} lies beside {path}: VecNormalize's statistics, without which the "
                    "policy sees other numbers than it was trained on, are in a pickle, which is "
                    "not read; write them as "
                    f"numpy.savez({str(numbers)!r}, mean=venv.obs_rms.mean, var=venv.obs_rms.var, "
                    "clip=venv.clip_obs, epsilon=venv.epsilon), or move the pickle away if it is "
                    "not this policy's"
                )
        return None
    try:
        with np.load(numbers, allow_pickle=False) as file:
            mean, var = (np.asarray(file[k], np.float64) for k in ("mean", "var"))
            clip, epsilon = (float(file[k]) for k in ("clip", "epsilon"))
    except (OSError, KeyError, ValueError) as error:
        raise UserError(
            f"{numbers} cannot be read: {error}; it needs mean, var, clip and epsilon"
        ) from error
    if mean.size != info.spaces.obs.size or var.shape != mean.shape:
        raise UserError(
            f"{numbers} has statistics of shape {mean.shape}; {info.config.id} has observations "
            f"{info.spaces.obs.describe()}"
        )
    std = np.sqrt(var + epsilon)

    def normalize(obs: np.ndarray) -> np.ndarray:
        # In float64 and back, as VecNormalize does.
        return np.clip((obs - mean) / std, -clip, clip).astype(np.float32)

    return normalize
