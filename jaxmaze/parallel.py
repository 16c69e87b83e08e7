"""Members side by side: one compiled program over all of them, spread over the devices at hand."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import AxisType, PartitionSpec

from jaxmaze import workers

AXIS = "members"


def use_all_cores() -> None:
    """Let XLA see each core as a device, so that members' updates run on all of them.

    Has to come before the first computation; afterwards it changes nothing.
    """
    # Where the backend runs already (in a notebook, say), the devices it has are used.
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", max(1, workers.default_workers()))


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
    """
    devices = jax.devices()
    count = max(d for d in range(1, len(devices) + 1) if members % d == 0)

    def over_members(*args: Any) -> Any:
        axes = tuple(None if i in shared else 0 for i in range(len(args)))
        mapped = jax.vmap(function, in_axes=axes)
        if count == 1:
            return mapped(*args)
        specs = tuple(
            PartitionSpec() if i in shared else PartitionSpec(AXIS) for i in range(len(args))
        )
        mesh = jax.make_mesh(
            (count,), (AXIS,), axis_types=(AxisType.Auto,), devices=devices[:count]
        )
        return jax.shard_map(
            mapped, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(AXIS), check_vma=False
        )(*args)

    return jax.jit(over_members, donate_argnums=tuple(donate))
