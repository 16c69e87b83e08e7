"""Read HuggingFace data sets on disk (Arrow) as arrays, without that library."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxmaze.errors import UserError


def rows(
    folder: Path, needed: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[dict[str, np.ndarray]]:
    """Each row's columns as arrays; other columns are not read.

    Raises:
      UserError: if it is no such folder, lacks the columns, or pyarrow is missing.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise UserError(
            f"{folder} is in Arrow's format, which takes a package: pip install 'jaxmaze[arrow]'"
        ) from None
    try:
        state = json.loads((folder / "state.json").read_text())
        if state.get("_indices_files"):
            raise UserError(
                f"{folder} is a selection of other data; save it with flatten_indices()"
            )
        for file in state["_data_files"]:
            with pa.memory_map(str(folder / Path(file["filename"]).name)) as source:
                table = pa.ipc.open_stream(source).read_all()
            missing = [name for name in needed if name not in table.column_names]
            if missing:
                raise UserError(
                    f"{folder} has no column {missing[0]!r}; it has {', '.join(table.column_names)}"
                )
            names = [*needed, *(name for name in optional if name in table.column_names)]
            for i in range(table.num_rows):
                yield {name: _array(table.column(name)[i]) for name in names}
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{folder} cannot be read as a HuggingFace data set: {reason}") from None


def _array(scalar: Any) -> np.ndarray:
    """A cell as an array: a number, or nested lists of equal length."""
    values = getattr(scalar, "values", None)
    return np.asarray(scalar.as_py()) if values is None else _nested(values)


def _nested(values: Any) -> np.ndarray:
    """Nested lists as one array, without a Python object per number."""
    if not hasattr(values, "flatten") or not hasattr(values.type, "value_type"):
        return values.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
    inner = _nested(values.flatten())
    lengths = set(np.diff(values.offsets.to_numpy())) if hasattr(values, "offsets") else set()
    if len(lengths) > 1:
        raise ValueError("its lists are of different lengths")
    return inner.reshape(len(values), -1, *inner.shape[1:])
