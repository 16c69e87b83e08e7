"""A run's folder: claimed with config.json, and completed with summary.json."""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import ml_collections

from jaxmaze import config as config_lib
from jaxmaze.config import Settings
from jaxmaze.core.types import Json
from jaxmaze.errors import UserError
from jaxmaze.runs import disk, history, in_use

CONFIG, SUMMARY, METRICS, EPISODES = (
    "config.json",
    "summary.json",
    "metrics.jsonl",
    "episodes.jsonl",
)
TRAJECTORIES = "trajectory_data"
FORMAT = 3
"""The layout of a run's folder. Raised when that changes, so that no version goes on with a folder
that it would misread; folders from before there was a number count as another format."""
_PACKAGES = ("jaxmaze", "jax", "flax", "optax", "gymnasium", "numpy", "orbax-checkpoint", "minari")


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def default_workdir(config_name: str, recipe: str) -> Path:
    """``outputs/<config>-<recipe>/<timestamp>``, with a number appended if that exists."""
    stamp = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    base = Path("outputs") / f"{config_name}-{recipe}" / stamp
    path, i = base, 1
    while path.exists():
        i += 1
        path = base.with_name(f"{base.name}-{i}")
    return path


def write_json(path: Path, value: object) -> None:
    """Write a JSON file whole or not at all."""
    with disk.whole(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, default=str) + "\n")


def read_json(path: Path) -> Json:
    """Read a JSON object.

    Raises:
      UserError: if it is missing or is not JSON.
    """
    try:
        value = json.loads(path.read_text())
        if not isinstance(value, dict):
            raise UserError(f"{path} is damaged: it holds no JSON object")
        return value
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path.parent} is not a run's folder: it has no {path.name}") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def read_config(run: Path) -> Json:
    """The content of a run's config.json, after checking its format version.

    Raises:
      UserError: if it is not a run's folder, or was written in another format.
    """
    if not run.is_dir():
        raise UserError(f"{run} is not a folder; give the folder of a run")
    values = read_json(run / CONFIG)
    if not isinstance(values.get("kind"), str):
        raise UserError(f"{run / CONFIG} is not a run's configuration: it has no 'kind'")
    found = values.get("format")
    if found != FORMAT:
        theirs = _versions_of(values).get("jaxmaze", "of an unknown version")
        raise UserError(
            f"{run} was written by jaxmaze {theirs} in another format "
            f"({'without a number' if found is None else found}, not {FORMAT}), this is jaxmaze "
            f"{versions()['jaxmaze']}: use it with the version that wrote it, or make it anew in "
            "another folder"
        )
    return values


def _versions_of(values: Json) -> Json:
    """The versions in a config.json; empty if that part is damaged."""
    named = values.get("versions")
    return named if isinstance(named, dict) else {}


def version_note(run: Path) -> str:
    """Names packages whose version has changed since the run began; empty if there are none.

    Also empty if there is nothing to resume: no run in the folder, or a finished one.

    Raises:
      UserError: if the folder was written in another format.
    """
    try:
        if not (run / CONFIG).exists() or finished(run):
            return ""
    except OSError:
        return ""  # A folder that cannot be used: claim() says why.
    here = versions()
    changed = [
        f"{name} {theirs} (now {here[name]})"
        for name, theirs in _versions_of(read_config(run)).items()
        if name in here and here[name] != theirs
    ]
    if not changed:
        return ""
    return (
        f"note: {run} was begun with {', '.join(changed)}; the result may differ in the last bits "
        "from an uninterrupted run's"
    )


def finished_note(run: Path, more: str) -> str:
    """A note that the run is finished, and what can be done instead.

    Args:
      run: its folder.
      more: how to continue from it, such as ``"to fine-tune it, start a ppo run"``.

    Raises:
      UserError: if its files cannot be read.
    """
    kind, found = read_config(run)["kind"], summary(run)
    facts = []
    if found.get("members") and "last" in found:  # trained on its own environment steps
        facts.append(f"{found['members'][0]['env_steps']} environment steps a seed")
    if "evaluation" in found:
        facts.append(f"mean return {found['evaluation']['mean']:.1f}")
    return (
        f"{run} is finished already ({', '.join(facts) or kind}); nothing is left to do: its "
        f"figures are in {run / SUMMARY}; {more} with --config.ppo.init_from={run}"
    )


def identity(config: Settings, kind: str, **more: object) -> Json:
    """What identifies a run: its configuration, and hashes of the data it starts from."""
    return {"kind": kind, "seed": config.seed, "config": config_lib.to_dict(config), **more}


def already_finished(workdir: Path, wanted: Json) -> bool:
    """Whether a folder holds this run, finished; nothing is written.

    Args:
      workdir: the run's folder, which need not exist.
      wanted: the run's :func:`identity`.

    Raises:
      UserError: if it holds another run, or one in another format.
    """
    return _holds(workdir, wanted) and finished(workdir)


def _holds(workdir: Path, wanted: Json) -> bool:
    """Whether a folder holds this run, finished or not.

    Raises:
      UserError: if it holds another run, or cannot be used.
    """
    try:
        taken = (workdir / CONFIG).exists()
    except OSError as error:
        raise UserError(f"--workdir={workdir} cannot be used: {error}") from error
    if not taken:
        return False
    difference = _difference(wanted, read_config(workdir))
    if difference:
        raise UserError(
            f"{workdir} holds a run with another configuration ({difference}); give another "
            "--workdir, or the same configuration to go on"
        )
    return True


def claim(workdir: Path, wanted: Json, **about: object) -> bool:
    """Claim a folder for a run: write its config.json, or check that it holds this run.

    Args:
      workdir: the run's folder; made if it does not exist.
      wanted: the run's :func:`identity`.
      **about: more entries that are not part of the run's identity: ``hands_over``, the folder
        below whose policies it hands over, if not its own; ``demonstrations``, the origin of its
        policies' demonstrations (:func:`demonstrations`).

    Returns:
      Whether the run is finished already (its summary.json is there).

    Raises:
      UserError: if the folder holds another run, one in another format, or something else, or if
        another process is writing to it.
    """
    path = workdir / CONFIG
    if _holds(workdir, wanted):
        in_use.lock(workdir)
        history.claimed(workdir)
        return finished(workdir)
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"--workdir={workdir} is a file; give a folder")
    try:
        if workdir.exists() and any(workdir.iterdir()):
            raise UserError(f"{workdir} is not empty and holds no run; give another --workdir")
        workdir.mkdir(parents=True, exist_ok=True)
        in_use.lock(workdir)
        write_json(path, {"format": FORMAT} | wanted | about | {"versions": versions()})
    except OSError as error:
        raise UserError(f"--workdir={workdir} cannot be written: {error}") from error
    history.claimed(workdir)
    return False


def _difference(wanted: Json, found: Json, prefix: str = "") -> str:
    """The first field that differs, in words; empty if none does."""
    for key, value in wanted.items():
        name = f"{prefix}{key}"
        field = config_lib.FIELDS.get(name.removeprefix("config."))
        if field is not None and name.startswith("config.") and not field.identity:
            continue
        # A field added since the run: its default keeps the former behaviour.
        missing = field is not None and key not in found
        other = field.default if missing and field is not None else found.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            inner = _difference(value, other, f"{name}.")
            if inner:
                return inner
        elif value != other:
            return f"{name} is {other!r} there and {value!r} here"
    return ""


def load_config(run: Path) -> ml_collections.ConfigDict:
    """The configuration of a run's folder.

    Raises:
      UserError: if it is not a run's folder, or was written in another format, or with settings
        that this version does not have.
    """
    values = read_config(run)
    if not isinstance(values.get("config"), dict):
        raise UserError(f"{run / CONFIG} is not a run's configuration: it has no 'config'")
    try:
        return config_lib.from_dict(values["config"])
    except UserError as error:
        theirs = _versions_of(values).get("jaxmaze", "of an unknown version")
        raise UserError(
            f"{run} has other settings than this version of jaxmaze, {versions()['jaxmaze']} "
            f"({error}): it was made by jaxmaze {theirs}, or its {CONFIG} was changed; use it with "
            "the version that made it, or make it anew in another folder"
        ) from None


def delivering(folder: Path) -> Path:
    """The folder whose checkpoint a run hands over: its own, or a subfolder that it names.

    Raises:
      UserError: if it is not a run's folder, was written in another format, or names one elsewhere.
    """
    named = read_config(folder).get("hands_over", ".")
    if not isinstance(named, str) or Path(named).is_absolute() or ".." in Path(named).parts:
        raise UserError(f"{folder / CONFIG} is damaged: hands_over must be a folder below")
    return folder / named


def labels(folders: Sequence[Path]) -> dict[str, Path]:
    """A short name for each run: its folder's, with parent folders where that is ambiguous.

    Raises:
      UserError: for the same folder twice.
    """
    resolved = [folder.resolve() for folder in folders]
    if len(set(resolved)) < len(resolved):
        raise UserError("the same run was given twice")
    depth = 1
    while True:
        names = ["/".join(folder.parts[-depth:]) for folder in resolved]
        if len(set(names)) == len(names):
            return dict(zip(names, folders, strict=True))
        depth += 1


class Source(NamedTuple):
    """Where demonstrations are, and how they are read.

    Attributes:
      paths: folders, or their former names if they no longer exist.
      sha256: of the data as used; None if unknown.
      taken: how they are filtered and weighted: fields of ``config.bc`` by name, as JSON; hashable.
    """

    paths: tuple[str, ...]
    sha256: str | None
    taken: str = "{}"


def about_demonstrations(workdir: Path, sources: Sequence[Source]) -> list[Json]:
    """The entry ``demonstrations`` for :func:`claim`: one per member, or one for all."""
    listed = []
    for source in sources:
        paths = [str(Path(path).resolve()) for path in source.paths]
        # Relative paths, because a workflow's folder may be moved as a whole.
        beside = [os.path.relpath(path, workdir) for path in source.paths]
        entry: Json = {"path": paths, "beside": beside} if len(paths) > 1 else {}
        entry = entry or {"path": paths[0], "beside": beside[0]}
        taken = json.loads(source.taken)
        listed.append(entry | {"sha256": source.sha256} | ({"taken": taken} if taken else {}))
    return listed


def _several(value: str | list[str]) -> list[Path]:
    """The paths of an entry: one is stored as a string, several as a list."""
    return [Path(path) for path in ([value] if isinstance(value, str) else value)]


def demonstrations(run: Path) -> list[Source]:
    """The demonstrations of each member of a run, or of all; empty if nothing was cloned.

    Raises:
      UserError: if the run has not written them yet.
    """
    listed = read_config(run).get("demonstrations") or []
    if any(entry["sha256"] is None for entry in listed):  # the run's own data, known at its end
        if not finished(run):
            raise UserError(f"{run} is not finished, so that its data sets are not whole")
        for entry, member in zip(listed, summary(run)["members"], strict=True):
            entry["sha256"] = member["data_sha256"]
    sources = []
    for entry in listed:
        paths = [
            str(place if place.is_dir() or not (run / beside).is_dir() else run / beside)
            for place, beside in zip(*(_several(entry[k]) for k in ("path", "beside")), strict=True)
        ]
        sources.append(Source(tuple(paths), entry["sha256"], json.dumps(entry.get("taken", {}))))
    return sources


def finished(run: Path) -> bool:
    """Whether the run is finished."""
    try:
        return (run / SUMMARY).exists()
    except OSError:  # such as a name that is too long
        return False


def without_data(folder: Path) -> str:
    """Why an existing folder holds no recorded episodes, and what to do, to follow its name."""
    how = "record one with jaxmaze rollout --record"
    if not any(folder.iterdir()):
        return f"is empty; {how}"
    try:
        kind = read_json(folder / CONFIG).get("kind")
    except UserError:
        return f"holds no Minari dataset; {how}"
    if kind == "rollout":
        why = f"its episodes were played without --record; {how}, into another --workdir"
    else:
        why = f"it is a {kind} run; give the folder of a rollout, or {how}"
    return f"holds no Minari dataset: {why}"


def summary(run: Path) -> Json:
    """The summary of a finished run.

    Raises:
      UserError: if there is none.
    """
    return read_json(run / SUMMARY)
