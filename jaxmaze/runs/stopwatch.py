"""Timing of the parts of a run."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator


class Stopwatch:
    """Wall-clock seconds spent in each part of a run.

    The first time that a part is entered is kept separate: it includes compilation and start-up,
    which do not grow with a run's length.
    """

    def __init__(self) -> None:
        self._first: dict[str, float] = {}
        self._rest: dict[str, float] = defaultdict(float)
        self._count: dict[str, int] = defaultdict(int)

    @contextlib.contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Time the enclosed code as a part of the run; parts are not nested."""
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            if part in self._first:
                self._rest[part] += seconds
                self._count[part] += 1
            else:
                self._first[part] = seconds

    def summary(self) -> dict[str, dict[str, float]]:
        """For each part ``first`` and ``rest`` (seconds), and the number of times in ``rest``."""
        return {
            part: {"first": first, "rest": self._rest[part], "count": self._count[part]}
            for part, first in self._first.items()
        }
