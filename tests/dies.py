"""Run a module's command and be killed, workers and all, once its metrics are so far.

    python -m tests.dies COUNT TEXT MODULE [FLAGS...]

So far: ``COUNT`` lines have been written, one of them with ``TEXT``. Killed by itself in the middle
of things, and not by a watcher that may be late.
"""

import os
import runpy
import signal
import sys
from typing import Any

from jaxmaze.runs import metrics


def main() -> None:
    count, text, module = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    write = metrics.MetricsWriter.write

    def counted(self: Any, *args: Any, **kwargs: Any) -> None:
        write(self, *args, **kwargs)
        self._file.flush()
        lines = self._path.read_text().splitlines()
        if len(lines) >= count and any(text in line for line in lines):
            os.killpg(os.getpgid(0), signal.SIGKILL)

    metrics.MetricsWriter.write = counted  # type: ignore[method-assign]
    sys.argv = sys.argv[3:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
