"""The trajectory viewer: all that its page shows, as JSON, and the page itself."""

from __future__ import annotations

import base64
import dataclasses
import html as html_lib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxmaze.core.types import Json, PyTree
from jaxmaze.errors import UserError
from jaxmaze.inspection.recordings import Recorded
from jaxmaze.runs import disk, palette
from jaxmaze.viewing import html, names, opinions, ranking, server, traces
from jaxmaze.viewing.frames import Studio
from jaxmaze.viewing.heads import Head, heads_of, taken
from jaxmaze.viewing.names import Names
from jaxmaze.viewing.opinions import Judge, Opinion
from jaxmaze.viewing.sources import Played, Row, Source

KEPT = 32
"""Episodes whose JSON is kept."""
EXPORT_WIDTH, NOTEBOOK_WIDTH = 400, 320
"""Width of pictures in a file, and in a notebook."""
NOTEBOOK_EPISODES, NOTEBOOK_HEIGHT = 3, 900


class Viewer:
    """Recorded or played episodes, with what policies say about them.

    In a notebook it shows itself as the last value of a cell.

    Attributes:
      sources: where the episodes come from: one, or two that are shown side by side.
      judges: the policies.
    """

    def __init__(self, sources: Sequence[Source], judges: Sequence[Judge], episodes: int = 10):
        """Prepare the page.

        Args:
          sources: one or two.
          judges: policies that fit the episodes.
          episodes: how many of them go into a file.
        """
        self.sources, self.judges, self._episodes = sources, judges, episodes
        self._studio: Studio | None = None
        self._lock = threading.RLock()
        self._cache: OrderedDict[tuple[int, int], Json] = OrderedDict()
        self._names: dict[int, Names] = {}
        self._ranked: dict[int, Json] = {}

    # What the page asks for.

    def overview(self) -> Json:
        """The table of episodes, and what there is to see."""
        names = [judge.name for judge in self.judges]
        return {
            "sources": [_overview(source) for source in self.sources],
            "policies": names,
            "colours": palette.numbers([judge.who or judge.name for judge in self.judges]),
        }

    def episode(self, number: int, index: int) -> Json:
        """Everything about one episode but its pictures.

        Args:
          number: of its source.
          index: its own.

        Raises:
          UserError: if it cannot be read, or there is none.
        """
        with self._lock:
            found = self._cache.get((number, index))
            if found is None:
                found = self._cache[number, index] = self._made(number, index)
                while len(self._cache) > KEPT:
                    self._cache.popitem(last=False)
            return found

    def at_seed(self, number: int, seed: int) -> Json:
        """The episode of a seed; a policy plays it now if it has not.

        Raises:
          UserError: if there is none.
        """
        return self.episode(number, self._source(number).at_seed(seed))

    def replay(self, number: int, index: int) -> Json:
        """How playing an episode again went; waits until it is over."""
        film = self.studio.film(number, *self._of(number, index))
        film.wait()
        return film.plain()

    def frame(self, number: int, index: int, t: int) -> bytes | None:
        """The picture at a step, as a JPEG file; None if there is none."""
        film = self.studio.film(number, *self._of(number, index))
        film.wait(t + 1)
        return film.frames[t] if 0 <= t < len(film.frames) else None

    def image(self, number: int, index: int, leaf: str, t: int) -> bytes | None:
        """The picture that an array of the observation is at a step, as a PNG file."""
        array = self._of(number, index)[1].observations.get(leaf)
        if array is None or not traces.is_image(array) or not 0 <= t < len(array):
            return None
        return traces.png(traces.as_picture(array[t]))

    def disagreements(self, measure: int) -> Json:
        """The steps of all episodes with the largest disagreement; see :mod:`.ranking`.

        Raises:
          UserError: if there is no such measure.
        """
        if not 0 <= measure < len(opinions.measures(self.judges)):
            raise UserError("there is no such measure")
        with self._lock:
            if not self._ranked:
                self._ranked = ranking.over(self._measured(), self.sources[0].rows())
            return self._ranked[measure]

    @property
    def studio(self) -> Studio:
        """What draws pictures."""
        with self._lock:
            if self._studio is None:
                self._studio = Studio()
            return self._studio

    def notes(self) -> list[str]:
        """Why there are no pictures, for each source that has none."""
        return [
            f"no pictures of {source.name}: {source.made}"
            for source in self.sources
            if isinstance(source.made, UserError)
        ]

    # The page.

    def serve(self, port: int = 0, open_browser: bool = False) -> None:
        """Serve the page on this machine until Ctrl-C.

        Args:
          port: 0 for any that is free.
          open_browser: whether to open it.

        Raises:
          UserError: if the packages for it are missing, or the port is taken.
        """
        try:
            server.serve(self, port, open_browser)
        finally:
            self.close()

    def save(self, path: str | Path) -> Path:
        """Write the page as one file that needs no server; returns its path.

        It holds the ``episodes`` that the viewer was made with, evenly spread over the returns.

        Raises:
          UserError: if it cannot be written.
        """
        path = Path(path)
        if path.is_dir():
            raise UserError(f"{path} is a folder; give a file such as {path / 'episodes.html'}")
        page = self._page(self._episodes, EXPORT_WIDTH)
        path.parent.mkdir(parents=True, exist_ok=True)
        with disk.whole(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
        return path

    def _repr_html_(self) -> str:
        page = self._page(min(self._episodes, NOTEBOOK_EPISODES), NOTEBOOK_WIDTH)
        return (
            f'<iframe sandbox="allow-scripts" width="100%" height="{NOTEBOOK_HEIGHT}" '
            f'style="border:0" title="episodes" srcdoc="{html_lib.escape(page)}"></iframe>'
        )

    def close(self) -> None:
        """Close the environments."""
        with self._lock:
            if self._studio is not None:
                self._studio.close()
                self._studio = None

    def _page(self, count: int, width: int) -> str:
        chosen = ranking.spread(self.sources[0].rows(), count)
        studio, self._studio = self._studio, Studio(width)
        try:
            return html.page(self._exported(chosen))
        finally:
            self.close()
            self._studio = studio

    def _exported(self, chosen: Sequence[int]) -> Json:
        """The whole content of a page without a server."""
        overview = self.overview()
        rows = overview["sources"][0]["rows"]
        kept = [i for i, index in enumerate(rows["index"]) if index in set(chosen)]
        overview["sources"][0]["rows"] = {k: [v[i] for i in kept] for k, v in rows.items()}
        keys = [(0, index) for index in chosen]
        beside: dict[str, str | int] = {}
        for index in chosen if len(self.sources) > 1 else ():
            seed = self._of(0, index)[1].seed
            try:
                if seed is None:
                    raise UserError("the episode's seed was not recorded")
                other = self.sources[1].at_seed(int(seed))
                beside[str(seed)] = other
                keys.append((1, other))
            except UserError as error:
                beside[str(seed)] = str(error)
        return {
            "overview": overview,
            "beside": beside,
            "episodes": {f"{n}/{i}": self.episode(n, i) for n, i in keys},
            "replays": {f"{n}/{i}": self.replay(n, i) for n, i in keys},
            "pictures": {k: v for key in keys for k, v in self._pictures(*key).items()},
        }

    def _pictures(self, number: int, index: int) -> Mapping[str, list[str]]:
        """Frames and images of an episode, as data URLs."""
        film = self.studio.film(number, *self._of(number, index))
        film.wait()
        found = {f"frame/{number}/{index}": [_url("jpeg", frame) for frame in film.frames]}
        for image in self.episode(number, index)["observations"]["images"]:
            count = self.episode(number, index)["length"] + 1
            files = (self.image(number, index, image["leaf"], t) for t in range(count))
            found[f"image/{number}/{index}/{image['leaf']}"] = [_url("png", f) for f in files if f]
        return found

    # How an episode is put together.

    def _source(self, number: int) -> Source:
        if not 0 <= number < len(self.sources):
            raise UserError(f"there is no source {number}")
        return self.sources[number]

    def _of(self, number: int, index: int) -> tuple[Source, Recorded]:
        source = self._source(number)
        return source, source.episode(index)

    def _made(self, number: int, index: int) -> Json:
        source, e = self._of(number, index)
        called = self._called(number, source)
        heads = heads_of(source.leaves[1], called.actions)
        found = self._opinions(e)
        row = next((r for r in source.rows() if r.index == index), None)
        steps = len(e.rewards)
        return {
            "source": number,
            "index": index,
            "seed": None if e.seed is None else int(e.seed),
            "length": steps,
            "end": row.end if row else _end(e),
            "rewards": traces.numbers(e.rewards),
            "observations": traces.observations(source.leaves[0], e.observations, called[0]),
            "heads": [head.plain() for head in heads],
            "actions": taken(heads, e.actions),
            "labels": None if e.labels is None else _labels(heads, e.labels),
            "policies": [
                opinions.plain(judge, opinion, heads)
                for judge, opinion in zip(self.judges, found, strict=True)
            ],
            "measures": [
                {"name": name, "values": traces.numbers(values)}
                for name, values in zip(
                    opinions.measures(self.judges, e.labels is not None),
                    opinions.disagreement(found),
                    strict=True,
                )
            ],
        }

    def _opinions(self, e: Recorded) -> list[Opinion]:
        action = e.taken if e.labels is None else _like(e.taken, e.labels)
        return [judge.on(e.seen, action) for judge in self.judges]

    def _measured(self) -> ranking.Measured:
        """Each episode of the first source with its disagreements."""
        for row in self.sources[0].rows():
            try:
                e = self.sources[0].episode(row.index)
            except UserError:
                continue
            yield row.index, opinions.disagreement(self._opinions(e))

    def _called(self, number: int, source: Source) -> Names:
        """Names: of the configuration, the environment, or gymnasium's own as known here."""
        if number not in self._names:
            given = source.names
            own = Names() if all(given) else self.studio.names(number, source)
            continuous = not all(leaf.discrete for leaf in source.leaves[1])
            known = names.known(source.environment, continuous)
            self._names[number] = Names(
                given.observations or own.observations or known.observations,
                given.actions or own.actions or known.actions,
            )
        return self._names[number]


def _overview(source: Source) -> Json:
    rows = source.rows()
    fields = [field.name for field in dataclasses.fields(Row)]
    totals = [row.total for row in rows if row.total is not None]
    return {
        "name": source.name,
        "environment": source.environment,
        "episodes": len(rows),
        "steps": sum(row.length for row in rows),
        "mean": float(np.mean(totals)) if totals else None,
        "std": float(np.std(totals)) if totals else None,
        "rows": {name: [getattr(row, name) for row in rows] for name in fields},
        "played": isinstance(source, Played),
        "no_pictures": str(source.made) if isinstance(source.made, UserError) else "",
    }


def _end(e: Recorded) -> str:
    return "terminated" if e.terminations[-1] else "truncated"


def _labels(heads: Sequence[Head], labels: Mapping[str, np.ndarray]) -> list[list[float | None]]:
    return taken(heads, {_plain(name): array for name, array in labels.items()})


def _plain(name: str) -> str:
    """An array's name, where Minari's files call the parts of a tuple ``_index_0``."""
    return name.replace("_index_", "")


def _like(tree: PyTree, arrays: Mapping[str, np.ndarray]) -> PyTree:
    """Arrays by name in the structure of actions in the environment's form."""
    known = {_plain(name): array for name, array in arrays.items()}

    def build(part: PyTree, name: str) -> PyTree:
        below = f"{name}." if name else ""
        if isinstance(part, Mapping):
            return {key: build(inner, f"{below}{key}") for key, inner in part.items()}
        if isinstance(part, tuple):
            return tuple(build(inner, f"{below}{i}") for i, inner in enumerate(part))
        return known[name]

    return build(tree, "")


def _url(kind: str, file: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(file).decode()}"
