"""Actors in worker processes, which run the policy themselves: one message per segment.

A worker is a new interpreter, not a fork (JAX has threads) and not a ``multiprocessing`` spawn
(which would run the caller's script or notebook again). Results do not depend on the number of
workers: shards have a fixed size and are only distributed over more or fewer processes.

Starting a worker, mostly its imports, takes longer than many evaluations. So workers are kept when
a pool is closed, and reused by the next pool.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import ClassVar

import jax
import numpy as np

from jaxmaze.core.types import Policy, PyTree
from jaxmaze.envs import environment
from jaxmaze.envs.actors import Actor, ActorConfig, EpisodeResult, Segment, join
from jaxmaze.errors import UserError, WorkerError

SETUP = "setup"
"""The message that assigns shards to a worker, or none; it has no reply."""


def default_workers() -> int:
    """One worker per core this process may use; 0 (no other process) if that is a single core."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return cores if cores > 1 and os.name == "posix" else 0


_noted: set[str] = set()
"""Environments for which the note that they run in this process was printed."""


def _sent(
    info: environment.EnvInfo, workers: int, say: Callable[[str], None]
) -> tuple[int, bytes | None]:
    """The number of workers an environment can have, and the data that they need to make it."""
    if workers == 0:
        return 0, None
    try:
        return workers, environment.to_send(info)
    except environment.CannotBeSentError as error:
        if info.config.id not in _noted:
            _noted.add(info.config.id)
            advice = (
                "an environment that a module of its own registers, given as module:Name-v0,"
                if info.config.make is None and not info.config.wrappers
                else "what lies in a module of its own, given as module:name,"
            )
            say(
                f"note: {info.config.id} runs in this process, not in workers: {error}; {advice} "
                "can be sent to them"
            )
        return 0, None


class Pool:
    """All actors of a population, in worker processes or (with ``workers=0``) in this one."""

    masked: ClassVar[bool] = False

    def __init__(
        self,
        config: ActorConfig,
        info: environment.EnvInfo,
        workers: int | None = None,
        say: Callable[[str], None] = print,
    ):
        self.config = config
        workers = default_workers() if workers is None else workers
        workers, sent = _sent(info, workers, say)
        workers = min(workers, config.num_shards)
        shards = list(range(config.num_shards))
        self._actor = Actor(config, shards) if workers == 0 else None
        # Another environment's code may have been edited since a worker imported it.
        self._keep = environment.comes_with_gymnasium(info)
        self._workers = [_Worker.take() for _ in range(workers)]
        for w, worker in enumerate(self._workers):
            worker.send((SETUP, (config, shards[w::workers], sent)))

    @staticmethod
    def check(info: environment.EnvInfo) -> None:
        """Nothing to check: the existence of ``info`` shows that the environment can be made."""

    def _begin(self, method: str, *args: PyTree) -> Callable[[], list[PyTree]]:
        """Start a method of all actors; returns a function that waits for each worker's result."""
        if self._actor is not None:
            actor = self._actor  # in this process, the work is done when waiting
            return lambda: [getattr(actor, method)(*args)]
        for worker in self._workers:
            worker.send((method, args))
        return lambda: [worker.receive() for worker in self._workers]

    def reset(self, epoch: int) -> None:
        """Reset all training environments (:meth:`jaxmaze.envs.actors.Actor.reset`)."""
        self._begin("reset", epoch)()

    def begin(self, policies: Policy, iteration: int, num_steps: int) -> Callable[[], Segment]:
        """Start collecting a segment ``[L, T, N, ...]``, as :meth:`Actor.collect` does.

        Returns:
          A function that waits for the segment; it must be called before any other method.
        """
        finish = self._begin("collect", jax.device_get(policies), iteration, num_steps)

        def wait() -> Segment:
            results = finish()  # per worker, one for each of its shards
            count = len(results)
            shards = range(self.config.num_shards)
            return join([results[s % count][s // count] for s in shards])

        return wait

    def collect(self, policies: Policy, iteration: int, num_steps: int) -> Segment:
        """Collect a segment ``[L, T, N, ...]`` of all members in training."""
        return self.begin(policies, iteration, num_steps)()

    def evaluate(
        self, policies: Policy, seeds: np.ndarray, deterministic: bool, active: np.ndarray
    ) -> list[EpisodeResult]:
        """Play all members' evaluation episodes (:meth:`jaxmaze.envs.actors.Actor.evaluate`)."""
        parts = self._begin("evaluate", jax.device_get(policies), seeds, deterministic, active)()
        return [result for part in parts for result in part]

    def close(self) -> None:
        """Stop the workers, or keep them for the next pool."""
        for worker in self._workers:
            worker.release() if self._keep else worker.close()
        self._workers = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_idle: list[_Worker] = []
"""Workers without a pool. They end with this process, which closes their connections."""


def _environment() -> dict[str, str]:
    """Environment variables of a worker."""
    # One thread per worker: the cores are shared with the other workers.
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    return os.environ | {
        "XLA_FLAGS": flags.strip(),
        "JAX_PLATFORMS": "cpu",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        # Modules are searched there, so workers started in other folders are not reused.
        "PWD": str(Path.cwd()),
    }


class _Worker:
    """The parent process's handle of one worker."""

    def __init__(self, environment: dict[str, str]):
        ours, theirs = Pipe()
        self._environment = environment
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jaxmaze.envs.workers", str(theirs.fileno()), str(os.getpid())],
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self._connection = ours
        self._awaited = 0

    @classmethod
    def take(cls) -> _Worker:
        """An idle worker that was started with the same environment variables, else a new one."""
        environment = _environment()
        while _idle:
            worker = _idle.pop()
            if worker._process.poll() is None and worker._environment == environment:
                return worker
            worker.close()
        return cls(environment)

    def release(self) -> None:
        """Keep the worker for the next pool, unless an error has occurred."""
        if self._awaited or self._process.poll() is not None:
            self.close()
            return
        try:
            self._connection.send((SETUP, None))
        except (BrokenPipeError, ConnectionResetError):
            self.close()
        else:
            _idle.append(self)

    def send(self, message: tuple[str, PyTree]) -> None:
        try:
            self._connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            self._died()
        self._awaited += message[0] != SETUP

    def receive(self) -> PyTree:
        try:
            ok, value = self._connection.recv()
        except (EOFError, ConnectionResetError):
            self._died()
        self._awaited -= 1
        if ok:
            return value
        kind, message, details = value
        if kind == "user":
            raise UserError(message)
        raise WorkerError(message, details)

    def _died(self) -> None:
        code = self._process.wait()
        raise WorkerError(
            f"an environment worker died with exit code {code}; "
            "--config.env.workers=0 runs the environments in this process"
        )

    def close(self) -> None:
        self._connection.close()
        self._process.terminate()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:  # an environment that blocks
            self._process.kill()
            self._process.wait()


def _serve(connection: Connection) -> None:
    """A worker's loop: run methods of its actors until the connection closes."""
    actor: Actor | None = None
    while True:
        method, args = connection.recv()
        if method == SETUP:
            if actor is not None:
                with contextlib.suppress(Exception):  # closing may fail, which does not matter
                    actor.close()
            actor = None
            if args is not None:
                config, shards, spec = args
                environment.register(spec)
                actor = Actor(config, shards)
            continue
        try:
            connection.send((True, getattr(actor, method)(*args)))
        except UserError as error:
            connection.send((False, ("user", str(error), "")))
        except WorkerError as error:
            connection.send((False, ("error", str(error), error.details)))
        except (BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:
            line = f"a worker raised {type(error).__name__}: {error}"
            connection.send((False, ("error", line, traceback.format_exc())))


PR_SET_PDEATHSIG = 1
"""An option of Linux's prctl(2)."""


def _end_with(parent: int) -> None:
    """Make this process end with its parent, even while an environment is stepping.

    Otherwise a step that never returns would run for ever, as a closed connection is only noticed
    between steps.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:  # if there is no such call, or the parent had ended before it
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Entry point of a worker process."""
    _end_with(int(sys.argv[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent handles Ctrl-C and ends the workers.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    environment.quiet()
    if str(Path.cwd()) not in sys.path:  # unpickling may import the user's modules
        sys.path.insert(0, str(Path.cwd()))
    # The connection closes when the parent closes the pool or ends.
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _serve(Connection(int(sys.argv[1])))


if __name__ == "__main__":
    main()
