"""Members side by side: one compiled program over all of them, spread over the devices at hand."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import AxisType, PartitionSpec

from jaxmaze import workers

AXIS = "members"
CPU_OPTIONS = {"xla_cpu_prefer_vector_width": 512}
"""Of XLA's compiler: the widest registers there are; without them a PPO update took 1.1-1.3 times
as long. A machine that has none so wide is not affected."""


def use_all_cores() -> None:
    """Let XLA see each core as a device, so that members' updates run on all of them.

    Has to come before the first computation; afterwards it changes nothing.
    """
    # Where the backend runs already (in a notebook, say), the devices it has are used.
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", max(1, workers.default_workers()))


def num_devices(members: int) -> int:
    """The most devices that so many members can be split over evenly."""
    devices = len(jax.devices())
    return max(d for d in range(1, devices + 1) if members % d == 0)


def vmap_members(
    function: Callable[..., Any],
    members: int,
    shared: Sequence[int] = (),
    donate: Sequence[int] = (),
) -> Callable[..., Any]:
    """Compile a function of one member for ``members`` of them.

    Args:
      function: takes and returns pytrees of arrays of one member.
      members: ``M``, the leading axis of all arguments and results.
      shared: positions of arguments that are the same for all members, without that axis.
      donate: positions of arguments whose memory the result may take.

    Returns:
      The compiled function over leading axes ``[M, ...]``. Members are split evenly over as many
      devices as divide ``M``; they never exchange anything. What it returns is to be passed to
      another such function or to ``jax.device_get``, not indexed or computed with otherwise: that
      would be a program with exchange between devices, which costs far more than the work.

      On the CPU a device takes its members one after the other. That is as fast as a batch of them
      would be, a ``jax.lax.cond`` skips what a member does not need, and a member's numbers are the
      same to the bit however many others there are.
    """
    count, on_cpu = num_devices(members), jax.default_backend() == "cpu"

    def mapped(*args: Any) -> Any:
        if not on_cpu:
            axes = tuple(None if i in shared else 0 for i in range(len(args)))
            return jax.vmap(function, in_axes=axes)(*args)
        own = [x for i, x in enumerate(args) if i not in shared]

        def one(own: list[Any]) -> Any:
            rest = iter(own)
            return function(*(x if i in shared else next(rest) for i, x in enumerate(args)))

        return jax.lax.map(one, own)

    def over_members(*args: Any) -> Any:
        if count == 1:
            return mapped(*args)
        specs = tuple(
            PartitionSpec() if i in shared else PartitionSpec(AXIS) for i in range(len(args))
        )
        devices = jax.devices()[:count]
        mesh = jax.make_mesh((count,), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)
        return jax.shard_map(
            mapped, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(AXIS), check_vma=False
        )(*args)

    options = CPU_OPTIONS if on_cpu else None
    return jax.jit(over_members, donate_argnums=tuple(donate), compiler_options=options)
