"""Reads a Stable-Baselines3 zip without running any code from it.

Such a zip holds ``data``, JSON with base64-encoded pickles for whatever JSON cannot hold, and
``policy.pth``, the parameters, a zip of its own with a pickle and raw arrays. The pickles in
``data`` are only scanned, opcode by opcode; that of the parameters is read by an unpickler that can
make dictionaries and arrays, and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import itertools
import json
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmaze.core.types import Json
from jaxmaze.errors import UserError

STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
"""Torch's storage types as numpy dtypes."""


class NotStandardError(Exception):
    """Something that cannot be read here, in words; the library itself may be able to."""


class Archive(NamedTuple):
    """A zip's content.

    Attributes:
      path: of the zip.
      data: its JSON; pickles in it are strings.
      params: the policy's parameters by torch's name.
      sha256: of the whole file, in hexadecimal.
    """

    path: Path
    data: Json
    params: Mapping[str, np.ndarray]
    sha256: str

    def policy_class(self) -> str:
        """The full name of the policy's class.

        Raises:
          NotStandardError: if it is a class that is not importable but stored in the file.
        """
        found = self._pickle("policy_class")
        names = [x for x in found if isinstance(x, Name)]
        if len(names) != 1 or any(not isinstance(x, str | Name) for x in found):
            raise NotStandardError("its policy's class is not a published one")
        return str(names[0])

    def policy_kwargs(self) -> dict[str, object]:
        """The policy's arguments; a class among them is a :class:`Name`.

        Raises:
          NotStandardError: if they contain code other than names of classes.
        """
        given = self.data.get("policy_kwargs") or {}
        if ":serialized:" not in given:
            return dict(given)
        tokens = self._pickle("policy_kwargs")
        plain = {k: v for k, v in given.items() if not k.startswith(":")}
        # The value of an argument directly follows its name.
        following = dict(itertools.pairwise(tokens))
        named = {k: x for k in plain if isinstance(x := following.get(k), Name)}
        return plain | named

    def _pickle(self, name: str) -> list[object]:
        try:
            return _tokens(base64.b64decode(self.data[name][":serialized:"]))
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise NotStandardError(f"its {name} cannot be read: {error}") from error


class Name(str):
    """The full name of a class or function that a pickle refers to."""


_HARMLESS = {"PROTO", "FRAME", "STOP", "MARK", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"} | {
    "SETITEM",
    "SETITEMS",
    "APPEND",
    "APPENDS",
    "TUPLE",
    "TUPLE1",
    "TUPLE2",
    "TUPLE3",
    "NONE",
}
"""Opcodes that build plain values; none of them calls anything."""


def _tokens(data: bytes) -> list[object]:
    """Strings, numbers and :class:`Name` in a pickle, in order; nothing is built or imported.

    Raises:
      NotStandardError: for a pickle that calls something.
    """
    found: list[object] = []
    memo: list[object] = []
    numbered: dict[int, object] = {}
    for opcode, argument, _ in pickletools.genops(data):
        name = opcode.name
        if name == "MEMOIZE":
            memo.append(found[-1] if found else None)
        elif name in ("BINPUT", "LONG_BINPUT"):
            numbered[int(str(argument))] = found[-1] if found else None
        elif name in ("BINGET", "LONG_BINGET"):
            at = int(str(argument))
            found.append(numbered[at] if at in numbered else memo[at])
        elif name == "GLOBAL":
            found.append(Name(str(argument).replace(" ", ".")))
        elif name == "STACK_GLOBAL":
            module, attribute = found[-2:]
            found[-2:] = [Name(f"{module}.{attribute}")]
        elif "UNICODE" in name or name.startswith(("BININT", "LONG")) or name == "BINFLOAT":
            found.append(argument)
        elif name in ("NEWTRUE", "NEWFALSE"):
            found.append(name == "NEWTRUE")
        elif name not in _HARMLESS:
            raise NotStandardError(f"a pickle in it would run code ({name})")
    return found


def read(path: Path) -> Archive:
    """Read a zip.

    Raises:
      UserError: if it does not exist or is not one of Stable-Baselines3.
      NotStandardError: if its parameters are stored in another format.
    """
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            data = json.loads(file.read("data"))
            weights = file.read("policy.pth")
    except OSError as error:
        raise UserError(f"sb3:{path} cannot be read: {error.strerror}") from error
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise UserError(
            f"sb3:{path} is not a model saved by Stable-Baselines3 (a zip with 'data' and "
            f"'policy.pth'): {error}"
        ) from error
    return Archive(path, data, _parameters(weights), hashlib.sha256(content).hexdigest())


def _parameters(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of a ``.pth``.

    Raises:
      NotStandardError: if it contains anything but named arrays.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            names = file.namelist()
            (pickled,) = (name for name in names if name.endswith("data.pkl"))
            root = pickled.removesuffix("data.pkl")
            order = file.read(f"{root}byteorder") if f"{root}byteorder" in names else b"little"
            if order != b"little":
                raise NotStandardError("its parameters come from a big-endian machine")
            params = _Arrays(file, root).load()
    except (zipfile.BadZipFile, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise NotStandardError(f"its parameters are not plain tensors: {error}") from error
    if not isinstance(params, dict) or not all(isinstance(x, np.ndarray) for x in params.values()):
        raise NotStandardError("its parameters are not tensors by name")
    return dict(params)


class _Arrays(pickle.Unpickler):
    """Makes ordered dictionaries and numpy arrays, and refuses everything else."""

    def __init__(self, file: zipfile.ZipFile, root: str):
        super().__init__(io.BytesIO(file.read(f"{root}data.pkl")))
        self._file, self._root = file, root

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not among what is read")

    def persistent_load(self, pid: Sequence[object]) -> np.ndarray:
        _, dtype, key, _, count = pid
        raw = self._file.read(f"{self._root}data/{key}")
        return np.frombuffer(raw, dtype, int(str(count)))  # type: ignore[call-overload,no-any-return]


def _tensor(
    storage: np.ndarray, offset: int, size: Sequence[int], stride: Sequence[int], *_: object
) -> np.ndarray:
    """Stands in for torch's function of that place: a view of a storage, here copied."""
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if min((offset, *stride), default=0) < 0 or (min(size, default=1) and last >= len(storage)):
        raise ValueError("a tensor reaches beyond its storage")
    steps = [s * storage.itemsize for s in stride]
    return np.array(np.lib.stride_tricks.as_strided(storage[offset:], size, steps))
