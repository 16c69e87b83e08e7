"""Convert recordings of other libraries to a Minari data set. No pickle is ever loaded."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from jaxmaze.config.fields import names_of
from jaxmaze.core.types import Json, PyTree
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.errors import UserError
from jaxmaze.runs import arrays, arrow, tables
from jaxmaze.runs.about import DATASET_ID, About
from jaxmaze.runs.arrays import Flat
from jaxmaze.runs.foreign import Given, Raw, info_for, write
from jaxmaze.runs.tables import Columns

SYNONYMS = {
    "observations": ("observations", "observation", "obs", "states"),
    "actions": ("actions", "action", "acts", "acs"),
    "rewards": ("rewards", "reward", "rews"),
    "terminations": ("terminations", "terminals", "terminated", "termination", "dones", "done"),
    "truncations": ("truncations", "truncated", "truncation", "timeouts"),
    "next_observations": ("next_observations", "next_observation", "next_obs"),
    "lengths": ("lengths", "episode_lengths"),
    "episode_ends": ("episode_ends",),
    "seeds": ("seeds", "seed"),
}
"""The usual names of arrays in a file, by their meaning."""

Reader: TypeAlias = Callable[[Path, EnvInfo, Columns], Iterator[Raw]]


def convert(
    source: Given,
    path: str | Path,
    format: str | None = None,
    *,
    env: Given,
    observations: str | tuple[str, ...] | None = None,
    actions: str | tuple[str, ...] | None = None,
    rewards: str | None = None,
    terminations: str | None = None,
    truncations: str | None = None,
    episodes: str | None = None,
    seeds: str | None = None,
    clip_actions: bool = False,
    policy: str = "recorded",
    dataset_id: str | None = None,
    author: str | tuple[str, ...] | None = None,
    author_email: str | tuple[str, ...] | None = None,
    code_permalink: str | None = None,
) -> Path:
    """Convert recordings of other libraries to a Minari data set, which ``bc.data`` takes.

    Args:
      source: a file, a folder, or a pandas DataFrame.
      path: the folder to write.
      format: ``"npz"`` (a file, or a folder with one file per episode), ``"csv"``, ``"imitation"``
        (a folder in HuggingFace's format, or the older ``.npz``) or ``"d3rlpy"`` (``.h5``);
        detected by default.
      env: the environment that they must fit, as :func:`jaxmaze.dataset` takes it.
      observations: for tables: names of columns, or patterns such as ``"obs_*"``.
      actions: likewise.
      rewards: name of a column.
      terminations: likewise.
      truncations: likewise.
      episodes: name of the column with the episode's number or name.
      seeds: name of the column with the episodes' seeds.
      clip_actions: whether actions outside their bounds are clipped; they are refused otherwise.
      policy: name of the behaviour policy.
      dataset_id: Minari id, such as ``"cartpole/mine-v0"``.
      author: one or several.
      author_email: likewise.
      code_permalink: link to the code behind the data.

    Returns:
      The folder.

    Raises:
      UserError: one line with what is wrong; nothing is written then.
    """
    info = info_for(env)
    single = (rewards, terminations, truncations, episodes, seeds)
    columns = Columns(names_of(observations), names_of(actions), *single)
    authors = names_of(author), names_of(author_email)
    about = About(dataset_id or DATASET_ID, *authors, code_permalink)
    raws, said = _recordings(source, format, info, columns)
    provenance = {"policy": policy, "source": said}
    return write(Path(path), raws, info, provenance, about, clip_actions)


def _recordings(
    source: Given, format: str | None, info: EnvInfo, columns: Columns
) -> tuple[Iterator[Raw], Json]:
    """The episodes of a file, a folder or a DataFrame, and what the provenance says of it.

    Raises:
      UserError: for what does not exist, or is of no known format.
    """
    if tables.is_frame(source):
        return tables.episodes(tables.of_frame(source), info, columns), {"format": "pandas"}
    file = Path(str(source))
    if not file.exists():
        raise UserError(f"{file} does not exist; give a file or a folder with recordings")
    name = format or _guess(file)
    if name not in READERS:
        raise UserError(f"format={name!r} is not known; it must be one of {', '.join(READERS)}")
    if name != "csv" and any(columns):
        raise UserError(f"names of columns are for tables; {name} has names of its own")
    return READERS[name](file, info, columns), {"format": name, "file": file.name}


def _guess(file: Path) -> str:
    """Guess the format of a file or folder.

    Raises:
      UserError: if it cannot be guessed; lists the formats.
    """
    if file.is_dir():
        if (file / "state.json").is_file():
            return "imitation"
        if any(file.glob("*.npz")):
            return "npz"
    by_suffix = {".csv": "csv", ".npz": "npz", ".h5": "d3rlpy", ".hdf5": "d3rlpy"}
    if file.suffix.lower() in by_suffix:
        return by_suffix[file.suffix.lower()]
    if file.suffix.lower() in (".pkl", ".pickle", ".pt", ".pth"):
        raise UserError(
            f"{file} is a pickle, which is not loaded, as that would run code from it; save its "
            "arrays with numpy.savez in a process that trusts it"
        )
    raise UserError(
        f"nothing about {file} tells its format; say which of {', '.join(READERS)} it is "
        "(--format; in Python: format=)"
    )


def read_npz(file: Path, info: EnvInfo, columns: Columns) -> Iterator[Raw]:
    """Episodes of an ``.npz`` file, or of a folder of them: one episode per file, or flat arrays.

    Raises:
      UserError: for files that are no ``.npz``, or hold pickled objects.
    """
    files = sorted(file.glob("*.npz"), key=_natural) if file.is_dir() else [file]
    if not files:
        raise UserError(f"{file} holds no .npz files")
    for each in files:
        try:
            yield from _of_npz(each, info)
        except UserError as error:
            raise UserError(f"{each}: {error}") from None


def _natural(file: Path) -> list[tuple[int, str]]:
    """A sort key that puts ``episode_10`` behind ``episode_9``."""
    parts = re.split(r"(\d+)", file.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _of_npz(file: Path, info: EnvInfo) -> Iterator[Raw]:
    try:
        loaded = np.load(file, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise UserError("it is one array, not an .npz file with several")
        with loaded:
            names, named = list(loaded), _Named(loaded, info)
            if "indices" in loaded and "terminal" in loaded:
                yield from _old_imitation(loaded, named)
                return
            found = {name: named.find(name) for name in SYNONYMS}
    except UserError:
        raise
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if not zipfile.is_zipfile(file):
            why = "it is not an .npz file, or its end is missing (no pickle is ever loaded)"
        elif isinstance(error, zipfile.BadZipFile | zlib.error):
            why = f"it is damaged: {error}"
        else:
            why = f"it cannot be read without loading pickles, which is not done: {error}"
        raise UserError(why) from None
    lengths, ends = found.pop("lengths"), found.pop("episode_ends")
    if found["observations"] is None or found["actions"] is None:
        raise UserError(
            f"it has no {'observations' if found['observations'] is None else 'actions'}; it has "
            f"{', '.join(names) or 'nothing'}"
        )
    for name in ("terminations", "truncations", "seeds"):
        if found[name] is not None and not np.ndim(found[name]):  # one for the whole file
            found[name] = np.reshape(found[name], 1)
    rows = len(found["actions"])
    flags = [found[name] for name in ("terminations", "truncations")]
    if lengths is None and ends is None and not any(len(x) == rows for x in flags if x is not None):
        lengths = [rows]  # one episode per file
    yield from arrays.split(Flat(**found), info, lengths, ends)


class _Named:
    """A file's arrays, looked up by their meaning under any of their usual names."""

    def __init__(self, loaded: Mapping[str, np.ndarray], info: EnvInfo):
        self._loaded, self._obs = loaded, info.spaces.obs

    def find(self, name: str) -> PyTree:
        """The array with this meaning (observations may be a dict or tuple); None if missing."""
        for synonym in SYNONYMS[name]:
            if synonym in self._loaded:
                return self._loaded[synonym]
            if "observations" in name and self._obs.parts[0].path:
                keys = [f"{synonym}.{part.name}" for part in self._obs.parts]
                if all(key in self._loaded for key in keys):
                    return self._obs.build([self._loaded[key] for key in keys])
        return None


def _old_imitation(loaded: Mapping[str, np.ndarray], named: _Named) -> Iterator[Raw]:
    """Imitation's format before version 0.4; its ``infos``, which are pickles, are not read."""
    obs, acts = np.asarray(named.find("observations")), np.asarray(named.find("actions"))
    rewards, indices, terminal = named.find("rewards"), loaded["indices"], loaded["terminal"]
    stops = [*indices.tolist(), len(acts)]
    for i, (start, stop) in enumerate(zip([0, *stops[:-1]], stops, strict=True)):
        yield Raw(
            obs[start + i : stop + i + 1],
            acts[start:stop],
            None if rewards is None else np.asarray(rewards)[start:stop],
            bool(terminal[i]),
            not terminal[i],
        )


def read_imitation(file: Path, info: EnvInfo, columns: Columns) -> Iterator[Raw]:
    """Trajectories that imitation saved; their ``infos`` are not read.

    Raises:
      UserError: for files that are none.
    """
    if file.is_file():
        yield from read_npz(file, info, columns)
        return
    for row in arrow.rows(file, ("obs", "acts", "terminal"), ("rews",)):
        ended = bool(row["terminal"])
        yield Raw(row["obs"], row["acts"], row.get("rews"), ended, not ended)


def read_d3rlpy(file: Path, info: EnvInfo, columns: Columns) -> Iterator[Raw]:
    """Episodes that d3rlpy dumped (version 2.1 of its format, or 1).

    Raises:
      UserError: for files that are none.
    """
    import h5py

    try:
        with h5py.File(file, "r") as h5:
            if "observations" in h5:  # version 1: flat
                flat = {k: h5[k][()] for k in ("observations", "actions", "rewards", "terminals")}
                ended = flat["terminals"].reshape(-1) > 0
                marks = h5["episode_terminals"][()] if "episode_terminals" in h5 else ended
                cut = (marks.reshape(-1) > 0) & ~ended
                values = (flat["observations"], flat["actions"], flat["rewards"])
                yield from arrays.split(Flat(*values, ended, cut), info)
                return
            for i in range(int(h5["num_episodes"][()])):
                part = {k: h5[f"{k}_{i}"][()] for k in ("observations", "actions", "rewards")}
                whole = bool(h5[f"terminated_{i}"][()])
                yield Raw(part["observations"], part["actions"], part["rewards"], whole, not whole)
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{file} cannot be read as d3rlpy's episodes with one array of observations: {reason}"
        ) from None


def read_csv(file: Path, info: EnvInfo, columns: Columns) -> Iterator[Raw]:
    """Episodes of a CSV file."""
    yield from tables.episodes(tables.of_csv(file), info, columns)


READERS: dict[str, Reader] = {
    "npz": read_npz,
    "csv": read_csv,
    "imitation": read_imitation,
    "d3rlpy": read_d3rlpy,
}
"""The formats by name."""
