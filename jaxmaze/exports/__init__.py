"""Export of policies to files: each format is a module here, and an entry in ``FORMATS``.

A format's module has ``write`` and ``load``, as :class:`Format` says. Every export is loaded again
and must act as the policy does before it is published (:mod:`jaxmaze.exports.proof`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast

from jaxmaze.exports import arrays, onnx_file, stablehlo
from jaxmaze.exports.function import Loaded, Source


class Format(Protocol):
    """The interface of a format's module.

    Attributes:
      NEEDS: how to install the packages that writing and loading need; empty if none.
    """

    NEEDS: str

    def write(self, source: Source, folder: Path) -> None:
        """Write a policy into an empty folder.

        Raises:
          UserError: one line, for a policy that the format cannot hold.
          ImportError: if a package is missing.
        """

    def load(self, source: Source, folder: Path) -> Loaded:
        """Load an export from its files alone; ``source`` describes its inputs."""


FORMATS: dict[str, Format] = {
    "jax": cast(Format, stablehlo),
    "npz": cast(Format, arrays),
    "onnx": cast(Format, onnx_file),
}
"""Formats by name."""
