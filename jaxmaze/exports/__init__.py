"""Policies as files for others: a format is a file here, and a line in ``FORMATS``.

A format's module has ``write`` and ``load``, as :class:`Format` says. Whatever it writes is loaded
again and must act as the policy did before anyone sees it (:mod:`jaxmaze.exports.proof`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast

from jaxmaze.exports import arrays, onnx_file, stablehlo
from jaxmaze.exports.function import Loaded, Source


class Format(Protocol):
    """What the module of a format offers.

    Attributes:
      NEEDS: how to install what loading and writing it takes beside jaxmaze; empty if nothing.
    """

    NEEDS: str

    def write(self, source: Source, folder: Path) -> None:
        """Write a policy into an empty folder.

        Raises:
          UserError: one line, for a policy that the format cannot hold.
          ImportError: if a package is missing.
        """

    def load(self, source: Source, folder: Path) -> Loaded:
        """Read back what was written, from the files alone; ``source`` says what they take."""


FORMATS: dict[str, Format] = {
    "jax": cast(Format, stablehlo),
    "npz": cast(Format, arrays),
    "onnx": cast(Format, onnx_file),
}
"""Formats by name."""
