"""The metadata of a Minari data set: id, authors, requirements, reference scores."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxmaze.config.sections.rollout import FORM, is_minari_id
from jaxmaze.core.types import Json
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.errors import UserError
from jaxmaze.runs import disk

DATASET_ID = "trajectory_data-v0"
"""The default id of a data set."""
_EXTRAS = ("box2d", "classic_control", "mujoco", "toy_text")
"""Groups of gymnasium's environments that have their own pip extra."""


@dataclasses.dataclass(frozen=True)
class About:
    """Metadata to write to a data set.

    Attributes:
      dataset_id: ``(namespace/)(env/)name-vN``.
      author: names.
      author_email: their email addresses.
      code_permalink: link to the code that made it.
      reference: mean return of the random policy over ``reference_episodes``; None if unknown.
      reference_episodes: the number of these episodes.
    """

    dataset_id: str = DATASET_ID
    author: tuple[str, ...] = ()
    author_email: tuple[str, ...] = ()
    code_permalink: str | None = None
    reference: float | None = None
    reference_episodes: int = 0

    def __post_init__(self) -> None:
        """Check the id.

        Raises:
          UserError: if Minari could not find a data set of that name.
        """
        if not is_minari_id(self.dataset_id):
            raise UserError(f"dataset_id={self.dataset_id!r} is not a Minari id; {FORM}")


def metadata(
    about: About, info: EnvInfo, provenance: Json, sha256: str, returns: Sequence[float]
) -> Json:
    """The metadata that Minari stores with the episodes."""
    import minari

    values: Json = {
        "dataset_id": about.dataset_id,
        "minari_version": minari.__version__,
        "algorithm_name": str(provenance.get("policy", "unknown")),
        "description": "Episodes recorded by jaxmaze; see the field jaxmaze_provenance.",
        "jaxmaze_provenance": json.dumps(provenance),
        "jaxmaze_sha256": sha256,
        "requirements": requirements(info),
    }
    for name in ("author", "author_email"):
        if getattr(about, name):
            values[name] = set(getattr(about, name))
    if about.code_permalink:
        values["code_permalink"] = about.code_permalink
    if about.reference is not None:
        values |= {
            "ref_min_score": float(about.reference),
            "ref_max_score": float(np.mean(returns)),
            "num_episodes_average_score": about.reference_episodes,
        }
    return values


def requirements(info: EnvInfo) -> list[str]:
    """The packages needed to make the environment, as pip requirements."""
    entry_point = getattr(info.spec, "entry_point", None)
    module = entry_point if isinstance(entry_point, str) else getattr(entry_point, "__module__", "")
    parts = module.partition(":")[0].split(".")
    extra = next((name for name in _EXTRAS if parts[:1] == ["gymnasium"] and name in parts), "")
    extra = f"[{extra.replace('_', '-')}]" if extra else ""
    listed = [f"gymnasium{extra}>={importlib.metadata.version('gymnasium')}"]
    if parts[0] not in ("", "gymnasium"):
        # A user's own module, in no package, adds nothing here; the entry point names it.
        for name in importlib.metadata.packages_distributions().get(parts[0], [])[:1]:
            listed.append(f"{name}>={importlib.metadata.version(name)}")
    return listed


def minari_root() -> Path:
    """Minari's root folder of data sets."""
    # The same as minari.storage.datasets_root_dir, which would also make the folder.
    return Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")


def check_new(dataset_id: str) -> Path:
    """The place of a data set with this id below Minari's root.

    Raises:
      UserError: if one lies there already.
    """
    place = minari_root() / dataset_id
    if place.exists():
        raise UserError(
            f"{place} holds a Minari data set already, which nothing overwrites: choose another "
            "name or the next version for config.rollout.dataset_id"
        )
    return place


def publish(path: Path, dataset_id: str) -> Path:
    """Copy the data set in ``path/data`` to where ``minari.load_dataset`` finds it.

    Raises:
      UserError: if one lies there already.
    """
    place = check_new(dataset_id)
    place.parent.mkdir(parents=True, exist_ok=True)
    with disk.whole(place) as temporary:
        shutil.copytree(path / "data", temporary / "data")
    return place
