"""``jax.export``: the compiled function itself, as StableHLO, for any batch and platform."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.export
import numpy as np

from jaxmaze.exports import function
from jaxmaze.exports.function import Loaded, Source

NEEDS = ""
FILE = "policy.stablehlo"
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def write(source: Source, folder: Path) -> None:
    """Write ``policy.stablehlo``, as :meth:`jaxmaze.exports.Format.write` says."""
    (rows,) = jax.export.symbolic_shape("N")
    shapes = function.arguments(source, function.inputs(source, rows))
    exported = jax.export.export(jax.jit(function.function(source)), platforms=PLATFORMS)(*shapes)
    (folder / FILE).write_bytes(exported.serialize())


def load(source: Source, folder: Path) -> Loaded:
    """The function in ``policy.stablehlo``."""
    loaded = jax.export.deserialize(bytearray((folder / FILE).read_bytes()))

    def act(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = jax.jit(loaded.call)(*function.arguments(source, given))
        return {name: np.asarray(x) for name, x in outputs.items()}

    return act
