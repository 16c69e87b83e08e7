"""Pictures of episodes: recorded actions are taken again from the recorded seed, and rendered.

All environments are made and stepped in one thread, as some renderers demand it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from jaxmaze.core.types import Json, PyTree
from jaxmaze.envs import filming, importing, replay
from jaxmaze.errors import UserError
from jaxmaze.inspection.recordings import Recorded
from jaxmaze.viewing.names import Names, of_environment
from jaxmaze.viewing.sources import Source
from jaxmaze.viewing.traces import jpeg

KEPT, AT_ONCE = 12, 2
"""Episodes whose pictures are kept, and those that are drawn although others were asked for."""
MOST = 20_000
"""Steps that are drawn of one episode."""
WIDTH = 640


class Film:
    """The pictures of one episode, which appear one by one.

    Attributes:
      frames: JPEG files, the first after the reset.
      differs_at: the first step whose observation or reward differs from the recorded one; None if
        none does.
      says: what went wrong, in words; empty if nothing did.
      done: whether no more frames will appear.
    """

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.differs_at: int | None = None
        self.says = ""
        self.done = self.cancelled = False
        self._changed = threading.Condition()

    def add(self, frame: bytes) -> None:
        """Append a frame."""
        with self._changed:
            self.frames.append(frame)
            self._changed.notify_all()

    def finish(self) -> None:
        """Say that it is whole."""
        with self._changed:
            self.done = True
            self._changed.notify_all()

    def wait(self, count: int | None = None, timeout: float = 120.0) -> None:
        """Wait for so many frames, or for all of them."""
        with self._changed:
            self._changed.wait_for(
                lambda: self.done or (count is not None and len(self.frames) >= count), timeout
            )

    def plain(self) -> Json:
        """What is known of it, as JSON has it."""
        return {"frames": len(self.frames), "differs_at": self.differs_at, "says": self.says}


class Studio:
    """Draws episodes.

    Args:
      width: of the pictures, at most.
      frames: whether to draw at all; otherwise episodes are only compared.
    """

    def __init__(self, width: int = WIDTH):
        self._width = width
        self._thread = ThreadPoolExecutor(1, "pictures")
        self._films: OrderedDict[tuple[int, int], Film] = OrderedDict()
        self._lock = threading.Lock()
        self._envs: dict[int, PyTree] = {}
        self._why: dict[int, str] = {}

    def film(self, number: int, source: Source, episode: Recorded) -> Film:
        """The pictures of an episode of the source with that number; begun if they are not."""
        key = (number, episode.index)
        with self._lock:
            film = self._films.get(key)
            if film is not None:
                self._films.move_to_end(key)
                return film
            for other in [k for k, f in self._films.items() if not f.done][: -AT_ONCE + 1 or None]:
                self._films.pop(other).cancelled = True
            film = self._films[key] = Film()
            while len(self._films) > KEPT:
                self._films.popitem(last=False)[1].cancelled = True
        self._thread.submit(self._draw, number, source, episode, film)
        return film

    def names(self, number: int, source: Source) -> Names:
        """The names that a source's environment gives; none if it cannot be made."""
        if isinstance(source.made, UserError):
            return Names()
        found: Future[Names] = self._thread.submit(
            lambda: of_environment(env) if (env := self._env(number, source)) else Names()
        )
        return found.result()

    def close(self) -> None:
        """Stop drawing, and close the environments."""
        with self._lock:
            for film in self._films.values():
                film.cancelled = True
        self._thread.submit(self._close).result()
        self._thread.shutdown()

    def _close(self) -> None:
        for env in self._envs.values():
            if env is not None:
                env.close()
        self._envs = {}

    def _env(self, number: int, source: Source) -> PyTree:
        """The environment that draws; one without pictures, or None, with the reason kept."""
        if number in self._envs:
            return self._envs[number]
        env, made = None, source.made
        if isinstance(made, UserError):
            self._why[number] = str(made)
        else:
            for mode in ("rgb_array", None):
                try:
                    env = made.make(mode)
                    break
                except Exception as error:  # Whatever a user's environment raises.
                    self._why.setdefault(number, _line(error))
        self._envs[number] = env
        return env

    def _draw(self, number: int, source: Source, episode: Recorded, film: Film) -> None:
        try:
            env = self._env(number, source)
            if episode.seed is None:
                film.says = "The episode's seed was not recorded, so it cannot be played again."
            elif env is not None and not film.cancelled:
                self._play(env, episode, film)
            if not film.says and not film.frames:
                film.says = self._why.get(number, "")
        except Exception as error:  # Whatever a user's environment raises.
            film.says = f"The environment raises {_line(error)}"
        finally:
            film.finish()

    def _play(self, env: PyTree, e: Recorded, film: Film) -> None:
        assert e.seed is not None
        steps, draws = min(len(e.rewards), MOST), env.render_mode == "rgb_array"
        t = -1
        for t, (seen, reward) in enumerate(
            replay.follow(env, int(e.seed), e.options, e.taken, steps)
        ):
            if film.cancelled:
                return
            recorded = {name: array[t] for name, array in e.observations.items()}
            other = replay.apart(seen, recorded)
            if reward is not None and film.differs_at is None:
                other |= not np.isclose(reward, e.rewards[t - 1], replay.ROUNDING, replay.ROUNDING)
            if other and film.differs_at is None:
                film.differs_at = t
            if draws:
                draws = self._picture(env, film)
        if t < steps and film.differs_at is None:
            film.differs_at = t + 1  # it ended before the recorded episode did

    def _picture(self, env: PyTree, film: Film) -> bool:
        """Add a picture; returns whether there was one."""
        try:
            picture = filming.rendered(env)
        except UserError as error:
            film.says = str(error)
            return False
        try:
            frame = jpeg(np.asarray(picture), self._width)
        except Exception:  # it may be anything
            film.says = str(filming.no_picture(env, picture))
            return False
        film.add(frame)
        return True


def _line(error: BaseException) -> str:
    return str(error) if isinstance(error, UserError) else importing.told(error)
