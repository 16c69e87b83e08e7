"""A run's report as HTML: self-contained, without scripts, all strings from data as text."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import os
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from jaxmaze.config import ConfigLike, to_dict, validate
from jaxmaze.core.types import Json
from jaxmaze.core.words import agree
from jaxmaze.errors import UserError
from jaxmaze.reporting import again, facts
from jaxmaze.reporting.blocks import Block, Film, Links, Notes, Page, Section
from jaxmaze.reporting.charts import true_minus
from jaxmaze.reporting.facts import Facts
from jaxmaze.reporting.kinds import STORIES, Story
from jaxmaze.runs import console, disk, history, pages, run_folder

FILE = Path("report") / "index.html"
FOLDER = Path(__file__).parent / "page"
EMBEDDED, EMBEDDED_ALL = 3 * 2**20, 9 * 2**20
"""Bytes up to which a video is part of the page, and all of them together."""
FILMS = {".mp4": "video/mp4", ".webm": "video/webm", ".gif": "image/gif"}
MOST_FILMS = 12
LONG_WORD = 18
"""Letters of the longest word that a narrow column does not break."""


def write(run: Path) -> Path:
    """Write the report of a run, finished or not; returns its path.

    Raises:
      UserError: if it is not a run's folder.
    """
    text = html(run)
    path = run / FILE
    try:
        path.parent.mkdir(exist_ok=True)
        with disk.whole(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def attempt(run: Path) -> None:
    """Write the report at the end of a run, which must not fail for it: say so instead."""
    try:
        write(run)
    except Exception as error:  # whatever is in the folder, the run is done
        why = " ".join(f"{type(error).__name__}: {error}".split())
        console.say(f"warning: the report of {run} could not be written ({why}); the run is whole")


def html(run: Path) -> str:
    """The report's text.

    Raises:
      UserError: if it is not a run's folder.
    """
    found = facts.read(run)
    style = pages.style(FOLDER)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return _template().render(page=page(found), style=style, digest=digest)


@functools.cache
def _template() -> jinja2.Template:
    # Everything is escaped; what is not (drawings) was made here, as markupsafe.Markup.
    loader = jinja2.FileSystemLoader(FOLDER)
    env = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["whole_words"] = whole_words
    return env.get_template("report.html")


def whole_words(cell: str) -> Markup:
    """A table's cell, whose long words (paths, hashes) may be broken, and no others."""
    parts = re.split(r"(\s+)", str(cell))
    long = Markup('<span class="long">{}</span>')
    return Markup("").join(long.format(x) if len(x) > LONG_WORD else escape(x) for x in parts)


def page(found: Facts) -> Page:
    """What is told of a run."""
    told = STORIES.get(found.kind, lambda f: Story(f"A {f.kind}.", [], []))(found)
    said = _said(found)
    sections = [*told.sections, *_films(found.run)]
    if said:
        intro = "Printed while it ran."
        sections.insert(0, Section("Notes and warnings", [Notes(said)], intro))
    ends = (again.section(found), again.settings(found), _files(found.run))
    sections += [section for section in ends if section is not None]
    state = "" if found.summary else _stopped(found)
    foot = f"Written by jaxmaze {again.VERSION} from the files in this folder"
    return Page(
        again.name_of(found.run),
        found.kind,
        told.about,
        state,
        told.tiles,
        [s for s in sections if s.blocks],
        foot,
    )


def _stopped(found: Facts) -> str:
    """What is said of a run that is not finished."""
    why = next((x.get("why") for x in reversed(found.history) if x["event"] == "stopped"), None)
    return f"Not finished{f' ({why})' if why else ''}: what follows is what there is so far."


def _said(found: Facts) -> list[str]:
    """The notes and warnings that were printed, each once, with how often."""
    counts: dict[str, int] = {}
    for line in found.history:
        if line["event"] == "said":
            text = str(line.get("text", ""))
            counts[text] = counts.get(text, 0) + 1
    return [text if n == 1 else f"{text} ({n} times)" for text, n in counts.items()]


def _address(path: Path, run: Path) -> str:
    """A file's address, relative to the page."""
    beside = os.path.relpath(path, (run / FILE).parent)
    return urllib.parse.quote(Path(beside).as_posix())


def _films(run: Path) -> list[Section]:
    """The videos in the folder: small ones as part of the page, others by their address."""
    listed = [
        path
        for folder in ("videos", "report")
        for path in sorted((run / folder).glob("*"))
        if path.suffix in FILMS
        and path.is_file()
        and not (path.suffix == ".gif" and path.with_suffix(".mp4").is_file())  # the same film
    ]
    films: list[Block] = []
    room = EMBEDDED_ALL
    for path in listed[:MOST_FILMS]:
        size, kind = path.stat().st_size, FILMS[path.suffix]
        address = _address(path, run)
        if size <= min(EMBEDDED, room):
            room -= size
            address = _embedded(path, kind)
        films.append(Film(_told(path), address, path.suffix == ".gif"))
    left = len(listed) - len(films)
    intro = f"{left} more {agree(left, 'is', 'are')} in the folder." if left else ""
    return [Section("Videos", films, intro)] if films else []


def _embedded(path: Path, kind: str) -> str:
    """A file as an address that holds all of it."""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _told(film: Path) -> str:
    """What stands below a video: its name, and what the JSON beside it says it shows."""
    with contextlib.suppress(UserError, KeyError, TypeError, ValueError):
        about = run_folder.read_json(film.with_suffix(".json"))
        shown = [f"{p['label']} {p['return']:.1f} ({p['end']})" for p in about["policies"]]
        return true_minus(
            f"{about['environment']}, seed {about['seed']}; return: {', '.join(shown)}"
        )
    return film.name


def _files(run: Path) -> Section:
    """Links to the run's other files, and to the reports of the runs below it."""
    names = (
        run_folder.CONFIG,
        run_folder.SUMMARY,
        run_folder.METRICS,
        run_folder.EPISODES,
        "curve.csv",
    )
    paths = [run / name for name in names]
    paths += sorted(p for p in (run / "report").glob("*") if p.suffix in (".png", ".svg", ".csv"))
    inner = sorted({p.parent for depth in ("*", "*/*") for p in run.glob(f"{depth}/config.json")})
    paths += [(p / FILE if (p / FILE).exists() else p / run_folder.SUMMARY) for p in inner]
    items = [(str(p.relative_to(run)), _address(p, run)) for p in paths if p.exists()]
    return Section("Files", [Links(items)])


@contextlib.contextmanager
def reported(
    workdir: str | Path, anew: bool = False, config: ConfigLike | None = None, **about: object
) -> Iterator[None]:
    """Keep the history of the run that is done inside, and write its report at the end.

    A run that is finished already stays as it is, unless it is always done ``anew``.

    Args:
      workdir: the run's folder.
      anew: whether it is done again if it is finished.
      config: a configuration that was given for a run that keeps none itself.
      **about: more that the history says of the start.
    """
    run = Path(workdir)
    if not anew and run_folder.finished(run):
        yield
        return
    given: Json = {} if config is None else {"config": to_dict(validate(config))}
    with history.kept(run, run_folder.versions(), **given, **about):
        yield
    attempt(run)
