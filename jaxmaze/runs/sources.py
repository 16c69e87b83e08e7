"""Sources of demonstrations: folders and Minari ids, and how they are filtered."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import socket
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxmaze import config as config_lib
from jaxmaze.config.fields import names_of
from jaxmaze.config.sections.bc import BC
from jaxmaze.config.sections.rollout import is_minari_id
from jaxmaze.core.types import Json
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.errors import UserError
from jaxmaze.runs import console, filters, run_folder, trajectories
from jaxmaze.runs.about import minari_root
from jaxmaze.runs.dataset import Dataset

TAKING = ("data_weights", "clip_actions", "seeds", "min_return", "top_fraction", "first_n")
"""The fields of ``config.bc`` that filter, clip or weight the data."""
SECONDS_TO_CONNECT = 5.0


def locate(name: str) -> Path:
    """The folder of a data set, given its folder or its Minari id.

    An existing folder takes precedence. An id is looked up below Minari's root, and downloaded if
    it is not there.

    Raises:
      UserError: for an id that is not there and cannot be downloaded; names the places searched.
    """
    path = Path(name)
    if path.is_dir() or not is_minari_id(name):
        return path
    place = minari_root() / name
    if not (place / "data").is_dir():
        _download(name)
    return place


def absolute(names: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """Make data sets' paths absolute; Minari ids that are no folders are unchanged."""
    if isinstance(names, tuple):
        return tuple(str(absolute(name)) for name in names)
    is_id = is_minari_id(names) and not Path(names).is_dir()
    return names if is_id else str(Path(names).resolve())


def _download(name: str) -> None:
    """Download a data set with Minari.

    Raises:
      UserError: if that is not possible.
    """
    import minari

    try:
        _check_network()
        console.say(f"downloading the Minari data set {name} to {minari_root()}")
        minari.download_dataset(name)
    except (Exception, SystemExit) as error:  # whatever Minari's layers raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"{name} is neither a folder nor a Minari data set in {minari_root()}, and cannot be "
            f"downloaded: {lines[0]}"
        ) from error


def _check_network() -> None:
    """Fail at once without a network, where the download would retry for half a minute.

    Raises:
      OSError: if Minari's server cannot be reached.
      ImportError: if the package for downloads is not installed.
    """
    if not os.environ.get("MINARI_REMOTE", "hf://").startswith("hf://"):
        return
    try:
        from huggingface_hub import constants
    except ImportError:
        raise ImportError("that takes a package: pip install 'jaxmaze[download]'") from None
    if urllib.request.getproxies():
        return
    host = urllib.parse.urlsplit(constants.ENDPOINT).hostname or ""
    try:
        socket.create_connection((host, 443), SECONDS_TO_CONNECT).close()
    except OSError as error:
        raise OSError(f"{host} cannot be reached ({error.strerror or error})") from None


def taken_of(section: BC) -> Json:
    """The section's fields on filtering and weighting of data that differ from the defaults."""
    usual = BC()
    values = {name: getattr(section, name) for name in TAKING}
    return {name: value for name, value in values.items() if value != getattr(usual, name)}


def source(section: BC, dataset: Dataset) -> run_folder.Source:
    """The source of a data set and how it was filtered, so that it can be read again."""
    paths = tuple(str(locate(name)) for name in names_of(section.data))
    return run_folder.Source(paths, dataset.sha256, json.dumps(taken_of(section)))


def section_of(paths: Sequence[str], taken: Mapping[str, Any]) -> BC:
    """The section that reads data with the given settings (:func:`taken_of`).

    Raises:
      UserError: if ``taken``, which may come from a file, has unknown fields or values.
    """
    values: Json = {k: tuple(v) if isinstance(v, list) else v for k, v in taken.items()}
    for name, value in values.items():
        if name not in TAKING or not config_lib.fits(f"bc.{name}", value):
            raise UserError(
                f"the record of how demonstrations were taken is damaged: {name}={value!r}"
            )
    return BC(data=tuple(paths), **values)


@console.doing("reads the data")
def read(section: BC, info: EnvInfo, quiet: bool = False) -> Dataset:
    """The demonstrations that ``config.bc`` asks for: read, checked, joined and filtered.

    Args:
      section: says where they are, and how they are filtered.
      info: the environment that they must fit.
      quiet: whether to print no remarks on them.

    Raises:
      UserError: one line, if they cannot be read, do not fit, or the filters leave nothing.
    """
    BC.check(section, None)  # again, as a workflow names its own data
    parts = [
        trajectories.read(locate(p), info, section.clip_actions) for p in names_of(section.data)
    ]
    joined = parts[0] if len(parts) == 1 else _joined(section, parts)
    dataset = filters.apply(joined, section)
    for remark in () if quiet else dataset.remarks:
        console.say(remark)
    return dataset


def _joined(section: BC, parts: Sequence[Dataset]) -> Dataset:
    """Several data sets as one, with their episodes concatenated."""
    weights = section.data_weights
    if weights is not None and len(set(weights)) == 1:
        weights = None  # equal weights: the same result, to the bit, as without
    episodes = [e for part in parts for e in part.episodes]
    digest = hashlib.sha256("".join(part.sha256 for part in parts).encode())
    if weights is not None:
        digest.update(np.array(weights, np.float64).tobytes())
    shown = weights or (1.0,) * len(parts)
    about: list[Json] = [
        {
            "path": path,
            "sha256": part.sha256,
            "episodes": len(part.episodes),
            "steps": part.num_steps,
            "weight": weight,
            **part.provenance,
        }
        for path, part, weight in zip(names_of(section.data), parts, shown, strict=True)
    ]
    remarks = [line for part in parts for line in part.remarks]
    rewards = min((p.provenance.get("rewards", "") for p in parts), default="")
    return Dataset(
        tuple(dataclasses.replace(e, index=i) for i, e in enumerate(episodes)),
        {"sources": about} | ({"rewards": rewards} if rewards else {}),
        digest.hexdigest(),
        None if weights is None else np.repeat(weights, [len(p.episodes) for p in parts]),
        tuple(remarks),
    )
