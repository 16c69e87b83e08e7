"""Making a video: play, draw, write."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmaze import config as config_lib
from jaxmaze.config import ConfigLike
from jaxmaze.core.types import Json
from jaxmaze.core.words import agree, counted
from jaxmaze.envs import filming
from jaxmaze.errors import UserError
from jaxmaze.reporting import page
from jaxmaze.runs import board, console, disk, run_folder
from jaxmaze.videos import drawing, files, small
from jaxmaze.videos.casting import Casting, Part

FOLDER = "videos"
HOLD = 1.5
"""Seconds for which the last picture stays."""
GIF_FPS, GIF_MOST, GIF_SAMPLES = 25.0, 1500, 24
"""Of GIFs: most pictures a second, most pictures, and those from which colours are chosen."""
MOST = 16
"""Policies side by side."""
CLOSE = 1e-6
"""Returns that differ by less, relative to those above 1, are the same."""


class Look(NamedTuple):
    """What a video looks like.

    Attributes:
      fps: pictures a second; the environment's if None.
      width: in pixels; by default 320 a picture, 640 for a single one.
      max_steps: after so many steps, episodes are cut off; None for whole ones.
      labels: what the policies are called; their own names if empty.
    """

    fps: float | None = None
    width: int | None = None
    max_steps: int | None = None
    labels: Sequence[str] = ()


def places(
    runs: Sequence[Path], output: Path | None, workdir: Path | None, seed: int
) -> list[Path]:
    """The files to write: MP4 and GIF, or the one that ``output`` names.

    Raises:
      UserError: if that is neither, or both it and a folder are given.
    """
    if output is not None:
        if workdir is not None:
            raise UserError("give --output=FILE or --workdir=DIR, not both")
        if output.suffix not in (".mp4", ".gif"):
            raise UserError(f"--output={output} must end with .mp4 or .gif; --workdir writes both")
        if output.is_dir():
            raise UserError(f"--output={output} is a folder; give a file, or --workdir={output}")
        return [output]
    if workdir is None and len(runs) == 1:
        workdir = runs[0] / FOLDER
    folder = run_folder.default_workdir("runs", "video") if workdir is None else workdir
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--workdir={folder} is a file; give a folder")
    return [folder / f"side_by_side_seed_{seed}{suffix}" for suffix in (".mp4", ".gif")]


def video(
    *runs: str | os.PathLike[str],
    seed: int | None = None,
    episode: int = 0,
    teacher: object = None,
    labels: Sequence[str] = (),
    member: int = 0,
    output: str | Path | None = None,
    workdir: str | Path | None = None,
    fps: float | None = None,
    width: int | None = None,
    max_steps: int | None = None,
    config: ConfigLike | None = None,
    trust: bool = False,
) -> Path:
    """Film the policies of runs side by side on one seed.

    Args:
      *runs: runs or their folders; a workflow alone gives its teacher, its clone and what was
        fine-tuned.
      seed: of the episode; that of a test episode by default.
      episode: which test episode of the first run that has some, counted from 0.
      teacher: shown first: a teacher's name, the folder of a rollout or another run, or a Python
        object as in :func:`jaxmaze.record`.
      labels: what the policies are called, in their order.
      member: which member of runs that have several.
      output: one file, ``.mp4`` or ``.gif``; by default both are written to a folder.
      workdir: that folder; by default ``videos/`` of a single run, or
        ``outputs/runs-video/<time>``.
      fps: steps a second; the environment's by default.
      width: in pixels; by default 320 a picture, and 640 for a single one.
      max_steps: episodes are cut off after so many.
      config: names the environment; by default each run's own.
      trust: whether code that the runs' folders name may be imported.

    Returns:
      The file; the MP4 if there are two.

    Raises:
      UserError: for input that cannot be used.
    """
    if not runs:
        raise UserError("give the folders of runs")
    settings = None if config is None else config_lib.to_settings(config)
    return make(
        [Path(run) for run in runs],
        Casting(settings, trust, member),
        Look(fps, width, max_steps, labels),
        teacher=os.fspath(teacher) if isinstance(teacher, os.PathLike) else teacher,
        seed=seed,
        episode=episode,
        output=None if output is None else Path(output),
        workdir=None if workdir is None else Path(workdir),
    )


def make(
    runs: Sequence[Path],
    casting: Casting,
    look: Look,
    *,
    teacher: object,
    seed: int | None,
    episode: int,
    output: Path | None,
    workdir: Path | None,
) -> Path:
    """The same, with what is alike together; see :func:`video`."""
    files.check()
    if seed is None:
        seed = casting.seed(runs, episode)
    paths = places(runs, output, workdir, seed)
    _check_writable(paths[0])
    parts = casting.parts(runs, teacher)
    width = _width(look, parts)
    if look.labels:
        parts = [p._replace(label=name) for p, name in zip(parts, look.labels, strict=True)]
    panels = _play(parts, seed, width, look.max_steps)
    _tell(parts, panels, seed)
    name = parts[0].info.config.id
    fps = panels[0].take.fps if look.fps is None else look.fps
    sheet = drawing.Sheet(panels, f"{name}, seed {seed}")
    _save(paths, sheet, fps)
    if output is None:
        _describe(paths[0].with_suffix(".json"), panels, seed, fps, name)
        if any(next(run.rglob(board.EVENTS), None) for run in runs):
            alone = workdir is None and len(runs) == 1
            mp4, gif = paths
            whole = len(gif_steps(sheet.count, fps)[0]) <= GIF_MOST
            small.show(runs[0] if alone else mp4.parent, mp4.stem, [gif if whole else mp4])
        if workdir is None and len(runs) == 1 and (runs[0] / page.FILE).exists():
            page.attempt(runs[0])  # with the video in it
    for path in paths[1:]:
        console.say(str(path))
    return paths[0]


def _check_writable(path: Path) -> None:
    """Check before anything is played that a file can be written; nothing is made.

    Raises:
      UserError: if it cannot.
    """
    there = next(parent for parent in path.absolute().parents if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        why = "not writable" if there.is_dir() else "a file"
        raise UserError(f"{path} cannot be written: {there} is {why}; give another --workdir")


def _save(paths: Sequence[Path], sheet: drawing.Sheet, fps: float) -> None:
    """Write the files, each whole or not at all.

    Raises:
      UserError: if one cannot be written.
    """
    for path in paths:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with disk.whole(path) as temporary:
                (_mp4 if path.suffix == ".mp4" else _gif)(temporary, sheet, fps)
        except OSError as error:
            raise UserError(
                f"{path} cannot be written: {error.strerror or error}; give another --workdir"
            ) from error


def _width(look: Look, parts: Sequence[Part]) -> int:
    """The width of each picture.

    Raises:
      UserError: if there are too many, the video is too narrow, or labels do not match.
    """
    count = len(parts)
    if count > MOST:
        raise UserError(f"{count} policies do not fit on a screen; give {MOST} at most")
    width = drawing.panel_width(look.width, count)
    if width < drawing.LEAST:
        columns = min(count, drawing.COLUMNS)
        least = columns * drawing.LEAST + (columns + 1) * drawing.GAP
        raise UserError(f"--width={look.width} is too narrow to read; give {least} at least")
    if look.labels and len(look.labels) != count:
        shown = ", ".join(part.label for part in parts)
        names = counted(len(look.labels), "name")
        policies = f"{count} {agree(count, 'policy', 'policies')}"
        raise UserError(f"--labels has {names} for {policies}: {shown}")
    return width


def _play(parts: Sequence[Part], seed: int, width: int, most: int | None) -> list[drawing.Panel]:
    panels = []
    with console.progress("film", len(parts)) as bar:
        for part in parts:
            pictures = drawing.Pictures(width)
            take = filming.film(part.info, part.act, seed, pictures.keep, most)
            panels.append(drawing.Panel(part.label, take, pictures, part.who))
            bar.advance()
    return panels


def _tell(parts: Sequence[Part], panels: Sequence[drawing.Panel], seed: int) -> None:
    """Print what was played, and where it is not what the runs have on record."""
    rows = [(p.label, str(p.take.length), f"{p.take.returns[-1]:.1f}", p.take.end) for p in panels]
    console.table(f"Seed {seed}", ("", "steps", "return", "end"), rows)
    for part, panel in zip(parts, panels, strict=True):
        recorded, played = part.known.get(seed), panel.take.returns[-1]
        if recorded is None or panel.take.end == "cut off":
            continue
        if abs(recorded - played) > CLOSE * max(1.0, abs(recorded)):
            console.say(
                f"note: {part.label} has the return {recorded:.1f} on record for this seed, not "
                f"{played:.1f}: it draws random numbers, or other batches are rounded otherwise"
            )


def _mp4(path: Path, sheet: drawing.Sheet, fps: float) -> None:
    with files.mp4(path, fps) as film:
        for step in range(sheet.count):
            film.add(picture := sheet.at(step))
        for _ in range(round(HOLD * fps)):
            film.add(picture)


def gif_steps(count: int, fps: float) -> tuple[list[int], float]:
    """The steps of ``count`` that a GIF shows, and how many it shows a second.

    At most ``GIF_FPS`` a second, in the video's own time; the last one is always among them.
    """
    every = max(1, -(-int(fps * 1000) // int(GIF_FPS * 1000)))
    steps = [*range(0, count - 1, every), count - 1]
    return steps, fps / every


def _gif(path: Path, sheet: drawing.Sheet, fps: float) -> None:
    steps, rate = gif_steps(sheet.count, fps)
    if len(steps) > GIF_MOST:
        steps = steps[:GIF_MOST]
        console.say(
            f"note: the GIF ends at step {steps[-1]} of {sheet.count - 1}; the MP4 is whole"
        )
    chosen = np.unique(np.linspace(0, len(steps) - 1, GIF_SAMPLES).round().astype(int))
    samples: Iterator[np.ndarray] = (sheet.at(steps[i]) for i in chosen)
    with files.gif(path, rate, samples, HOLD) as film:
        for step in steps:
            film.add(sheet.at(step))


def _describe(path: Path, panels: Sequence[drawing.Panel], seed: int, fps: float, env: str) -> None:
    """Write what the video shows, for programs and for those who cannot see it."""
    shown = [
        {
            "label": p.label,
            "return": float(p.take.returns[-1]),
            "length": p.take.length,
            "end": p.take.end,
        }
        for p in panels
    ]
    about: Json = {"environment": env, "seed": seed, "fps": fps, "policies": shown}
    run_folder.write_json(path, about)
