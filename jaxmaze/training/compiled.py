"""One compiled program over all members, spread over the available devices."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxmaze.core.types import Json, PyTree
from jaxmaze.envs import workers
from jaxmaze.runs import console

AXIS = "members"
COMPILES = "compiles"
"""What is shown while a program is waited for."""
CPU_OPTIONS = {"xla_cpu_prefer_vector_width": 512}
"""Options of XLA's compiler: use the widest registers; without them a PPO update took 1.1-1.3 times
as long. A machine without registers of this width is not affected."""

ONCE, SHORT, LONG = 0, 1, 3
"""Optimisation levels of XLA's CPU compiler: for programs that run once, which took hundreds of
times longer to compile than to run; for cloning, which runs for seconds (and as fast as with a
higher level); and for PPO."""


def use_all_cores() -> None:
    """Make XLA treat each core as a device, so that members' updates use all of them.

    Must be called before the first computation; afterwards it has no effect.
    """
    # If the backend is running already (in a notebook, say), its devices are used.
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", max(1, workers.default_workers()))


def num_devices(members: int) -> int:
    """The largest number of devices over which ``members`` can be split evenly."""
    devices = len(jax.devices())
    return max(d for d in range(1, devices + 1) if members % d == 0)


class Program:
    """A function compiled for all members, at its first call or earlier in the background.

    Called as the function, with a leading axis ``[M]``.

    Attributes:
      sharding: sharding of its results; None on one device.
      failed: the error of the background compilation, if any. The function itself then raises it
        when called, unless it was prepared for other arguments than it is called with.
    """

    def __init__(
        self, make: Callable[[int], jax.stages.Wrapped], sharding: NamedSharding | None = None
    ):
        """``make`` gives the jitted function for a number of arguments."""
        self._make, self.sharding = functools.cache(make), sharding
        self._compiling: threading.Thread | None = None
        self.failed: Exception | None = None
        self._called = False

    def prepare(self, *args: PyTree) -> None:
        """Start to compile for arguments like these: arrays, or ``jax.ShapeDtypeStruct``.

        Arguments that will be results of such functions must carry their :attr:`sharding`, or the
        next call will compile again.

        The next call waits for the compilation, which does not block Python meanwhile.
        """

        def shape(x: PyTree) -> jax.ShapeDtypeStruct:
            placed = getattr(x, "sharding", None)
            spread = placed if isinstance(placed, NamedSharding) else None
            weak = getattr(x, "weak_type", False)
            return jax.ShapeDtypeStruct(np.shape(x), x.dtype, sharding=spread, weak_type=weak)

        shapes = jax.tree.map(shape, args)

        def compile_() -> None:
            try:
                self._make(len(args)).lower(*shapes).compile()
            except Exception as error:
                self.failed = error

        self._compiling = threading.Thread(target=compile_)
        self._compiling.start()

    def wait(self) -> None:
        """Wait for the compilation in the background."""
        if self._compiling is not None:
            with console.doing(COMPILES):
                self._compiling.join()
            self._compiling = None

    def __call__(self, *args: PyTree) -> PyTree:
        if self._called and self._compiling is None:
            return self._make(len(args))(*args)
        with console.doing(COMPILES):
            self.wait()
            found = self._make(len(args))(*args)
        self._called = True
        return found


def compiler_options(effort: int) -> Json | None:
    """Options for ``jax.jit``; ``effort`` is ``ONCE``, ``SHORT`` or ``LONG``."""
    if jax.default_backend() != "cpu":
        return None
    return CPU_OPTIONS | {"xla_backend_optimization_level": effort}


def vmap_members(
    function: Callable[..., PyTree],
    members: int,
    shared: Sequence[int] = (),
    donate: Sequence[int] = (),
    effort: int = LONG,
) -> Program:
    """Compile a function of one member for ``members`` of them.

    Args:
      function: takes and returns pytrees of arrays of one member.
      members: ``M``, the leading axis of all arguments and results.
      shared: positions of arguments without that axis, the same for all members.
      donate: positions of arguments whose memory the result may take.
      effort: of the compiler, ``ONCE``, ``SHORT`` or ``LONG``; only on the CPU.

    Returns:
      The compiled function over leading axes ``[M, ...]``. Members are split evenly over as many
      devices as divide ``M``, without any communication. Pass its results only to another such
      function or to ``jax.device_get``: indexing or other computations would be a program that
      communicates between devices, which costs far more than the work itself.

      On the CPU a device runs its members one after the other. That is as fast as a batch of them
      would be, and a ``jax.lax.cond`` skips what a member does not need.
    """
    count, on_cpu = num_devices(members), jax.default_backend() == "cpu"

    def mapped(*args: PyTree) -> PyTree:
        if not on_cpu:
            axes = tuple(None if i in shared else 0 for i in range(len(args)))
            return jax.vmap(function, in_axes=axes)(*args)
        own = [x for i, x in enumerate(args) if i not in shared]

        def one(own: list[PyTree]) -> PyTree:
            rest = iter(own)
            return function(*(x if i in shared else next(rest) for i, x in enumerate(args)))

        return jax.lax.map(one, own)

    options = compiler_options(effort)
    devices = jax.devices()[:count]
    mesh = jax.make_mesh((count,), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)

    def make(arguments: int) -> PyTree:
        jit = functools.partial(jax.jit, donate_argnums=tuple(donate), compiler_options=options)
        if count == 1:
            return jit(mapped)
        specs = tuple(
            PartitionSpec() if i in shared else PartitionSpec(AXIS) for i in range(arguments)
        )
        spread = jax.shard_map(
            mapped, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(AXIS), check_vma=False
        )
        # Fixed in advance, so that arrays from the host and from a device share one program.
        return jit(spread, in_shardings=tuple(NamedSharding(mesh, spec) for spec in specs))

    return Program(make, NamedSharding(mesh, PartitionSpec(AXIS)) if count > 1 else None)
