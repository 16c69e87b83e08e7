"""Arrays as a page shows them: numbers as lists, pictures as files."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

import numpy as np

from jaxmaze.core.types import Json
from jaxmaze.envs.leaves import Leaf
from jaxmaze.viewing import names

MOST = 128
"""Numbers of an observation that are shown."""


def numbers(array: np.ndarray, digits: int = 6) -> list[float | None]:
    """A list for JSON, with few digits; None for what is not finite.

    Args:
      array: ``[T]``.
      digits: significant ones.
    """
    return [
        float(f"{x:.{digits}g}") if math.isfinite(x) else None
        for x in np.asarray(array, np.float64).tolist()
    ]


def is_image(array: np.ndarray) -> bool:
    """Whether a batch of arrays ``[T, ...]`` is shown as pictures: bytes in two dimensions."""
    return array.dtype == np.uint8 and array.ndim > 2 and min(array.shape[1:3]) > 1


def observations(
    leaves: Sequence[Leaf], arrays: Mapping[str, np.ndarray], given: Sequence[str]
) -> Json:
    """The numbers and the pictures of an episode's observations.

    Args:
      leaves: the arrays of an observation.
      arrays: ``[T + 1, ...]`` by name.
      given: names of the numbers, see :func:`jaxmaze.viewing.names.of_numbers`.

    Returns:
      ``numbers``: name and values ``[T + 1]`` of each; ``left_out``: how many more there are;
      ``images``: name, array, height and width of each picture.
    """
    present = [leaf for leaf in leaves if leaf.name in arrays]
    images = [leaf for leaf in present if is_image(arrays[leaf.name])]
    plain = [leaf for leaf in present if not is_image(arrays[leaf.name])]
    columns = [
        column
        for leaf in plain
        for column in arrays[leaf.name].reshape(len(arrays[leaf.name]), -1).T
    ]
    called = names.of_numbers(plain, given)
    shown = [
        {"name": name, "values": numbers(column)}
        for name, column in zip(called[:MOST], columns[:MOST], strict=True)
    ]
    pictures = []
    for leaf in images:
        height, width = as_picture(arrays[leaf.name][0]).shape[:2]
        entry = {"name": leaf.name or "image", "leaf": leaf.name}
        pictures.append(entry | {"height": height, "width": width})
    return {
        "numbers": shown,
        "left_out": len(columns) - len(shown),
        "images": pictures,
    }


def as_picture(x: np.ndarray) -> np.ndarray:
    """One observation as a grey ``[H, W]`` or coloured ``[H, W, 3]`` picture.

    Of stacked frames, the last is taken.
    """
    while x.ndim > 3:
        x = x[-1]
    if x.ndim == 2 or x.shape[-1] == 3:
        return x
    if x.shape[-1] <= 16:  # frames stacked last, or one channel
        return x[..., -1]
    if x.shape[0] == 3:
        return np.moveaxis(x, 0, -1)
    return x[-1]


def png(picture: np.ndarray) -> bytes:
    """A lossless file."""
    return _file(picture, "PNG", {})


def jpeg(picture: np.ndarray, width: int) -> bytes:
    """A small file, at most ``width`` pixels wide."""
    return _file(picture, "JPEG", {"quality": 85, "subsampling": 0}, width)


def _file(
    picture: np.ndarray, kind: str, options: Mapping[str, int], width: int | None = None
) -> bytes:
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(picture, np.uint8))
    if width is not None and image.width > width:
        image = image.resize((width, max(1, image.height * width // image.width)))
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()
