"""Recorded episodes: checked, written as a Minari dataset, read back, split by episode."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np
from numpy.typing import DTypeLike

from jaxmaze.core.spaces import ActionSpace
from jaxmaze.core.types import Json, PyTree
from jaxmaze.core.words import agree, counted
from jaxmaze.envs import part_names
from jaxmaze.envs.environment import EnvInfo, of_spaces, spec_for_data
from jaxmaze.envs.episodes import Episode
from jaxmaze.envs.space_kinds import actions_from_groups, space_spec
from jaxmaze.errors import UserError
from jaxmaze.runs import clipping, disk, memory, minari_files, run_folder
from jaxmaze.runs.about import About, metadata
from jaxmaze.runs.checks import check, check_numbers
from jaxmaze.runs.dataset import Dataset
from jaxmaze.runs.minari_files import Files

if TYPE_CHECKING:
    from minari.data_collector import EpisodeBuffer

LABELS = "teacher_action"
"""The name of an episode's labels among Minari's infos."""
FILE_BATCH, LARGE_BATCH = 16, 512
"""Episodes read per opening of a file, as HDF5 hoards memory; more in large, slow-to-open files."""


def fingerprint(episodes: Sequence[Episode]) -> str:
    """SHA-256 over the arrays and ends of the episodes, independent of the file format."""
    digest = hashlib.sha256()
    for e in episodes:
        add_to_fingerprint(digest, e)
    return digest.hexdigest()


def add_to_fingerprint(digest: hashlib._Hash, e: Episode) -> None:
    """Add one more episode to a fingerprint."""
    labels = () if e.labels is None else (e.labels,)
    for array in jax.tree.leaves((e.observations, e.actions, e.rewards, labels)):
        digest.update(str((array.dtype.str, array.shape)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(b"terminated" if e.terminated else b"truncated")


def write(
    path: Path,
    episodes: Sequence[Episode],
    info: EnvInfo,
    provenance: Json,
    about: About = About(),  # noqa: B008  (frozen)
) -> Dataset:
    """Check episodes and write them as a Minari dataset in the folder ``path/data``.

    Raises:
      UserError: if an episode is not whole, or a dataset is there already.
    """
    for episode in episodes:  # all of them, before anything is written
        check(episode, info, str(path))
    return Dataset(tuple(episodes), provenance, write_each(path, episodes, info, provenance, about))


def write_each(
    path: Path,
    episodes: Iterable[Episode],
    info: EnvInfo,
    provenance: Json,
    about: About = About(),  # noqa: B008  (frozen)
    where: Path | None = None,
) -> str:
    """Check and write episodes one by one as they come, so that none is kept in memory.

    The data set is in ``path/data``, and complete only when this returns its SHA-256.

    Args:
      path: a folder, new or without a data set.
      episodes: in the order of their indices.
      info: the environment that they must fit.
      provenance: JSON-like.
      about: the data set's metadata.
      where: the folder's name in messages, if the data set will be moved.

    Raises:
      UserError: if an episode is not whole, or a dataset is there already.
      OSError: if there is no room for the next episode.
    """
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    data = path.resolve() / "data"  # Minari joins relative paths with themselves
    if (data / "metadata.json").exists():
        raise UserError(f"{data} holds a dataset already; give another folder")
    data.mkdir(parents=True, exist_ok=True)
    file = data / "main_data.hdf5"
    disk.check_room(file, disk.HDF5_RESERVE)
    spaces = info.observation_space, info.action_space
    encoded = part_names.must_encode(*spaces)
    storage = MinariStorage.new(
        data,
        *(part_names.renamed(s, part_names.encode) if encoded else s for s in spaces),
        env_spec=spec_for_data(info) if info.exists else None,
        data_format="hdf5",
        **({"jpeg_encoding": False} if _knows_jpeg(MinariStorage.new) else {}),
    )
    digest, returns = hashlib.sha256(), list[float]()

    def buffers() -> Iterator[EpisodeBuffer]:
        for e in episodes:
            check(e, info, str(where or path))
            add_to_fingerprint(digest, e)
            returns.append(e.episode_return)
            size = 2 * sum(x.nbytes for x in jax.tree.leaves((e.observations, e.actions)))
            disk.check_room(file, size + disk.HDF5_RESERVE)
            yield _buffer(EpisodeBuffer, e, encoded)

    left, size = buffers(), FILE_BATCH
    for first in left:
        storage.update_episodes(itertools.chain((first,), itertools.islice(left, size - 1)))
        size = min(size + size // 4, LARGE_BATCH)
    sha256, marks = digest.hexdigest(), minari_files.ENCODED if encoded else {}
    storage.update_metadata(metadata(about, info, provenance, sha256, returns) | marks)
    return sha256


def _knows_jpeg(new: Callable[..., object]) -> bool:
    """Whether Minari would use lossy JPEG compression for images by default."""
    return "jpeg_encoding" in inspect.signature(new).parameters


def _buffer(cls: type[EpisodeBuffer], episode: Episode, encoded: bool) -> PyTree:
    ends = np.zeros(episode.length, bool)
    ends[-1] = True
    never = np.zeros(episode.length, bool)
    values = episode.observations, episode.actions, episode.labels
    if encoded:
        values = part_names.renamed(values, part_names.encode)
    observations, actions, labels = values
    return cls(
        seed=episode.seed,
        observations=observations,
        actions=actions,
        rewards=episode.rewards,
        terminations=ends if episode.terminated else never,
        truncations=never if episode.terminated else ends,
        infos=None if labels is None else {LABELS: labels},
    )


def read(path: str | Path, info: EnvInfo, clip: bool = False) -> Dataset:
    """Read a Minari dataset and check every episode against the environment.

    Args:
      path: a ``trajectory_data`` folder, a Minari dataset's folder, a folder with its files, or a
        run's folder that holds ``trajectory_data``.
      info: the environment that the episodes must fit.
      clip: whether actions outside their bounds are clipped; they are refused otherwise.

    Raises:
      UserError: one line, if it is not a dataset, or not one of this environment.
    """
    folder = _data_folder(Path(path))
    storage = _open(folder)
    raw = storage.metadata
    _check_spaces(path, storage, info)
    episodes, cut = _read_episodes(folder, storage)
    if not episodes:
        raise UserError(f"{path} holds a dataset without episodes; record some first")
    remarks, recorded = [], None
    if cut:
        how = agree(
            cut,
            "neither terminates nor is truncated at its last step; it is",
            "neither terminate nor are truncated at their last step; they are",
        )
        of = counted(len(episodes), "episode")
        remarks.append(f"{path}: {cut} of {of} {how} taken as truncated there")
    bounds = clipping.outside(episodes, info.spaces.action)
    for episode in episodes if bounds.steps else ():
        check_numbers(episode, str(path))  # infinity is no action that clipping mends
    if bounds.steps and not clip:
        raise UserError(
            f"{path} has actions outside the bounds of {info.config.id} in {bounds}; clip them "
            "with config.bc.clip_actions=True, if they are not those of another environment"
        )
    if bounds.steps:
        recorded = fingerprint(episodes)  # before clipping changes them
        episodes = clipping.clip(episodes, info.spaces.action)
        remarks.append(f"{path}: actions outside their bounds in {bounds} are clipped")
    for episode in episodes:
        check(episode, info, str(path))
    sha256 = fingerprint(episodes)
    if raw.get("jaxmaze_sha256") not in (None, recorded or sha256):
        raise UserError(f"{path} has changed since it was recorded: its checksum does not fit")
    try:
        provenance = dict(json.loads(raw.get("jaxmaze_provenance", "{}")))
    except (TypeError, ValueError):
        raise UserError(f"{path} is damaged: its provenance is not JSON; record it again") from None
    return Dataset(tuple(episodes), provenance, sha256, remarks=tuple(remarks))


def info_of(path: str | Path) -> EnvInfo:
    """The environment as its data set describes it; the environment itself need not exist.

    Args:
      path: as :func:`read` takes it.

    Raises:
      UserError: if it is not a dataset, or has spaces that are not supported.
    """
    storage = _open(_data_folder(Path(path)))
    return of_spaces(storage.observation_space, storage.action_space)


def _check_spaces(path: str | Path, storage: Files, info: EnvInfo) -> None:
    """Check that the data set's spaces are the environment's."""
    masked = None if info.spaces.masked else False
    found = space_spec(storage.observation_space, storage.action_space, masked)
    if found != info.spaces:
        hint = "; --config.env.action_masks=False leaves the masks out"
        raise UserError(
            f"{path} is data of another environment: it has {found.describe()}, but "
            f"{info.config.id} has {info.spaces.describe()}"
            f"{hint if info.spaces.masked and not found.masked else ''}"
        )


def _data_folder(path: Path) -> Path:
    if not path.is_dir():
        raise UserError(
            f"{path} is not a folder; give one with a Minari dataset, or a Minari id such as "
            "cartpole/expert-v0"
        )
    for folder in (path, path / "data", path / "trajectory_data" / "data"):
        if (folder / "metadata.json").is_file():
            return folder
    raise UserError(f"{path} {run_folder.without_data(path)}")


def _open(folder: Path) -> Files:
    minari_files.check_names_no_code(folder)
    return Files(folder)


def _parts(folder: Path, storage: Files) -> Generator[tuple[Json, int | None], None, None]:
    """Each episode as Minari gives it, and its seed; one at a time."""
    try:
        count = storage.total_episodes
        for start in range(0, count, FILE_BATCH):
            batch = range(start, min(start + FILE_BATCH, count))
            metadata = storage.get_episode_metadata(batch)
            for part, about in zip(storage.get_episodes(batch), metadata, strict=True):
                yield part, about.get("seed")
    except Exception as error:  # A damaged HDF5 file raises OSError, KeyError and others.
        raise UserError(f"{folder} cannot be read as a Minari dataset: {error}") from error


def _read_episodes(folder: Path, storage: Files) -> tuple[list[Episode], int]:
    """The episodes as they are on disk, and how many have neither end flag.

    Flags and lengths are checked here, because Minari does not check them.
    """
    episodes: list[Episode] = []
    cut = 0
    blocks: dict[str, memory.Blocks] = defaultdict(memory.Blocks)
    with contextlib.closing(_parts(folder, storage)) as parts:  # closes the file, come what may
        for i, (part, seed) in enumerate(parts):
            ends = np.asarray(part["terminations"], bool), np.asarray(part["truncations"], bool)
            if any(len(e) != len(part["rewards"]) for e in ends):
                raise UserError(f"{folder}: episode {i} has flags and rewards of different lengths")
            if len(ends[0]) and (ends[0] | ends[1])[:-1].any():
                raise UserError(f"{folder}: episode {i} goes on after its end")
            observations, actions = part["observations"], part["actions"]
            rewards = np.asarray(part["rewards"], np.float64)
            labels = _labels(folder, i, part, storage)
            # An episode without an end flag was cut by the recorder: it counts as truncated.
            cut += not (len(ends[0]) and (ends[0][-1] or ends[1][-1]))
            episodes.append(
                Episode(
                    i,
                    seed,
                    _put(blocks, "observations", observations),
                    _put(blocks, "actions", actions),
                    blocks["rewards"].put(rewards),
                    bool(len(ends[0]) and ends[0][-1]),
                    None if labels is None else _put(blocks, "labels", labels),
                )
            )
    return episodes, cut


def _put(blocks: dict[str, memory.Blocks], name: str, arrays: PyTree) -> PyTree:
    """Copy observations or actions into blocks, with separate blocks for each array."""
    return jax.tree_util.tree_map_with_path(lambda path, x: blocks[f"{name}{path}"].put(x), arrays)


def _labels(folder: Path, i: int, part: Json, storage: Files) -> PyTree:
    """The teacher's labels of an episode as Minari gives it, None where there are none."""
    found = (part.get("infos") or {}).get(LABELS)
    if found is None:
        return None
    try:
        return actions_from_groups(storage.action_space, found)
    except (KeyError, TypeError):
        raise UserError(
            f"{folder}: episode {i} has infos {LABELS!r} that are none of {storage.action_space}"
        ) from None


def rows(episodes: Sequence[Episode], action: ActionSpace) -> tuple[PyTree, np.ndarray, np.ndarray]:
    """All steps as rows: observations ``[R, ...]``, actions ``[R, ...]``, episode numbers ``[R]``.

    Images stay uint8. The last observation of an episode has no action and is left out. Where an
    episode has labels, they are the actions. Episode numbers are positions in ``episodes``.
    """
    lengths = [e.length for e in episodes]
    taken = [e.actions if e.labels is None else e.labels for e in episodes]

    def together(parts: Sequence[np.ndarray], dtype: DTypeLike) -> np.ndarray:
        whole = memory.aligned((sum(lengths), *parts[0].shape[1:]), dtype)
        at = 0
        for part, length in zip(parts, lengths, strict=True):
            whole[at : at + length] = part[:length]
            at += length
        return whole

    def kept(*parts: np.ndarray) -> np.ndarray:
        image = parts[0].dtype == np.uint8 and parts[0].ndim > 2
        return together(parts, np.uint8 if image else np.float32)

    obs = jax.tree.map(kept, *[e.observations for e in episodes])
    numbers = np.repeat(np.arange(len(episodes), dtype=np.int32), lengths)
    return obs, together([action.from_env(x) for x in taken], action.dtype), numbers
