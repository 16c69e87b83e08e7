"""Actors in worker processes: one message a segment, the policy inside the worker.

A worker is a fresh interpreter, not a fork (JAX has threads) and not a ``multiprocessing`` spawn
(which would run the caller's script or notebook again). What is computed does not depend on the
number of workers: shards have a fixed size and are only spread over more or fewer processes.

Starting a worker takes longer than many an evaluation, most of it imports. So workers are kept when
a pool is closed, and the next one takes them over.
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
"""The message that gives a worker other shards, or none; it has no answer."""


def default_workers() -> int:
    """One worker a core this process may run on; 0 (in this process) where that is one core."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return cores if cores > 1 and os.name == "posix" else 0


_noted: set[str] = set()
"""Environments that were said to run in this process."""


def _sent(
    info: environment.EnvInfo, workers: int, say: Callable[[str], None]
) -> tuple[int, bytes | None]:
    """How many workers an environment can have, and what they are told of it."""
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
        """Nothing more than that it could be made, which ``info`` shows."""

    def _begin(self, method: str, *args: PyTree) -> Callable[[], list[PyTree]]:
        """Let all actors start; what is returned waits for their results, worker by worker."""
        if self._actor is not None:
            actor = self._actor  # in this process nothing goes on before it is waited for
            return lambda: [getattr(actor, method)(*args)]
        for worker in self._workers:
            worker.send((method, args))
        return lambda: [worker.receive() for worker in self._workers]

    def reset(self, epoch: int) -> None:
        """Reset all training environments (:meth:`jaxmaze.envs.actors.Actor.reset`)."""
        self._begin("reset", epoch)()

    def begin(self, policies: Policy, iteration: int, num_steps: int) -> Callable[[], Segment]:
        """Start to collect a segment ``[L, T, N, ...]``, as :meth:`Actor.collect` does.

        Returns:
          What waits for the segment; nothing else may be asked of the pool before.
        """
        finish = self._begin("collect", jax.device_get(policies), iteration, num_steps)

        def wait() -> Segment:
            results = finish()  # of each worker, for each of its shards
            count = len(results)
            shards = range(self.config.num_shards)
            return join([results[s % count][s // count] for s in shards])

        return wait

    def collect(self, policies: Policy, iteration: int, num_steps: int) -> Segment:
        """A segment ``[L, T, N, ...]`` of all members in training."""
        return self.begin(policies, iteration, num_steps)()

    def evaluate(
        self, policies: Policy, seeds: np.ndarray, deterministic: bool, active: np.ndarray
    ) -> list[EpisodeResult]:
        """All members' episodes (:meth:`jaxmaze.envs.actors.Actor.evaluate`)."""
        parts = self._begin("evaluate", jax.device_get(policies), seeds, deterministic, active)()
        return [result for part in parts for result in part]

    def close(self) -> None:
        """End the workers, or keep them for the next pool."""
        for worker in self._workers:
            worker.release() if self._keep else worker.close()
        self._workers = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_idle: list[_Worker] = []
"""Workers that belong to no pool. They end with this process, which closes their connections."""


def _environment() -> dict[str, str]:
    """Environment variables of a worker."""
    # One thread a worker: its cores are shared with the other workers.
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    return os.environ | {
        "XLA_FLAGS": flags.strip(),
        "JAX_PLATFORMS": "cpu",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        # Modules are searched there, so a worker that was started elsewhere is another one.
        "PWD": str(Path.cwd()),
    }


class _Worker:
    """This process's end of one worker."""

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
        """An idle worker that would be started just like this, else a new one."""
        environment = _environment()
        while _idle:
            worker = _idle.pop()
            if worker._process.poll() is None and worker._environment == environment:
                return worker
            worker.close()
        return cls(environment)

    def release(self) -> None:
        """Keep the worker for the next pool, unless something has gone wrong."""
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
        except subprocess.TimeoutExpired:  # an environment that will not be ended
            self._process.kill()
            self._process.wait()


def _serve(connection: Connection) -> None:
    """A worker's loop: run methods of its actors until the connection closes."""
    actor: Actor | None = None
    while True:
        method, args = connection.recv()
        if method == SETUP:
            if actor is not None:
                with contextlib.suppress(Exception):  # of no use to anyone any more
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
"""Of Linux's prctl(2)."""


def _end_with(parent: int) -> None:
    """Let this process end when its parent does, whatever an environment is doing here.

    A step that never returns would go on for ever: the connection, whose end is noticed between
    steps, is no help then.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:  # where there is no such call, or the parent was gone before it
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Entry point of a worker process."""
    _end_with(int(sys.argv[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; it ends the workers.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    environment.quiet()
    if str(Path.cwd()) not in sys.path:  # what is unpickled may name the user's own modules
        sys.path.insert(0, str(Path.cwd()))
    # The connection ends when the parent closes the pool, or is gone.
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _serve(Connection(int(sys.argv[1])))


if __name__ == "__main__":
    main()
