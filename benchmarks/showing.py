"""What it costs to be seen: logging, drawing, reporting in a run; how soon a viewer is there.

    python benchmarks/showing.py overhead --workdir=outputs/shown [--config=configs/lunar_lander.py]
    python benchmarks/showing.py viewer DATA [--repeats=4] [--chromium=/usr/bin/chromium]

``overhead`` runs the job in this process with a stopwatch around every call that logs, draws or
reports (of nested calls the outermost), and prints the share of the wall clock that its main thread
spent in them; threads that write in the background are not counted. ``viewer`` opens recorded
episodes with ``jaxmaze view`` and takes the time from the start of the command until the table of
episodes is drawn in a headless chromium that is open already.
"""

from __future__ import annotations

import argparse
import collections
import functools
import re
import runpy
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from jaxmaze.reporting import page
from jaxmaze.runs import arms_figure, console, figures, metrics, style
from jaxmaze.training import action_histograms

CALLS: dict[str, list[tuple[Any, tuple[str, ...]]]] = {
    "metrics": [
        (metrics.MetricsWriter, ("write", "add_histogram", "add_figure", "flush", "close")),
        (action_histograms, ("write",)),
    ],
    "figures": [
        (style, ("save", "write_csv")),
        (figures, ("losses_and_returns", "loss_and_return")),
        (arms_figure, ("figure", "table", "saved")),
    ],
    "console": [
        (console._Bar, ("advance", "note", "tell")),
        (console, ("say", "detail", "table")),
    ],
    "report": [(page, ("write",))],
}


class Watch:
    """Seconds of the main thread in the calls that it is put around."""

    def __init__(self) -> None:
        self.seconds: collections.Counter[str] = collections.Counter()
        self._inside = False

    def put(self, owner: type | ModuleType, name: str, label: str) -> None:
        """Replace a function or method by one that is timed."""
        call: Callable[..., object] = getattr(owner, name)

        @functools.wraps(call)
        def timed(*args: object, **kwargs: object) -> object:
            if self._inside or threading.current_thread() is not threading.main_thread():
                return call(*args, **kwargs)
            self._inside, start = True, time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self._inside = False
                self.seconds[label] += time.perf_counter() - start

        setattr(owner, name, timed)


def overhead(args: argparse.Namespace) -> int:
    """Print the share of a job that goes into showing it."""
    watch = Watch()
    for label, listed in CALLS.items():
        for owner, names in listed:
            for name in names:
                watch.put(owner, name, label)
    sys.argv = ["jaxmaze.train", f"--config={args.config}", f"--workdir={args.workdir}"]
    start = time.perf_counter()
    try:
        runpy.run_module("jaxmaze.train", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            return int(end.code)
    whole, shown = time.perf_counter() - start, sum(watch.seconds.values())
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in watch.seconds.items())
    print(f"{shown:.2f} of {whole:.1f} s, {shown / whole:.1%}: {parts}")
    return 0


def viewer(args: argparse.Namespace) -> int:
    """Print how long it takes from the command to the table of episodes."""
    from playwright.sync_api import sync_playwright

    seconds = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=args.chromium, args=["--no-sandbox"])
        for _ in range(args.repeats):
            tab, start = browser.new_page(), time.perf_counter()
            command = [sys.executable, "-m", "jaxmaze", "view", args.data]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
                try:
                    assert served.stdout is not None
                    found = None
                    while found is None:
                        line = served.stdout.readline()
                        if not line:
                            return 1
                        found = re.search(r"http://\S+", line)
                    tab.goto(found[0])
                    tab.wait_for_selector("#episodes tbody tr")
                    seconds.append(time.perf_counter() - start)
                finally:
                    served.terminate()
            tab.close()
    told = ", ".join(f"{x:.2f}" for x in seconds)
    print(f"median {statistics.median(seconds):.2f} s of {told}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(required=True)
    part = parts.add_parser("overhead")
    part.add_argument("--workdir", required=True)
    part.add_argument("--config", default="configs/lunar_lander.py")
    part.set_defaults(run=overhead)
    part = parts.add_parser("viewer")
    part.add_argument("data")
    part.add_argument("--repeats", type=int, default=4)
    part.add_argument("--chromium", help="its path; the one that playwright installed if unset")
    part.set_defaults(run=viewer)
    args = parser.parse_args()
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())
