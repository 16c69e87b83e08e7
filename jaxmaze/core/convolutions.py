"""Convolutional networks for images, computed as sums of matrix products.

On a CPU, XLA's own convolutions are an order of magnitude slower where speed matters most: inside
the loop over minibatches, and with separate kernels for each member. If the stride divides the
kernel size, a convolution equals one of stride 1 on an image whose blocks of ``stride * stride``
pixels are merged into channels, and that is a sum of matrix products, one for each kernel position.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmaze.core.observations import NUMBERS_AT_ONCE
from jaxmaze.core.types import Array

FEW_INPUTS = 64
"""The largest number of kernel inputs that are gathered into a single matrix product."""
SMALLEST_VALID = 36
"""The smallest edge, in pixels, for which the Nature network needs no padding."""


def convolve(x: Array, kernel: Array, stride: int = 1, pad: bool = True) -> Array:
    """A convolution (cross-correlation), as ``jax.lax.conv`` computes it.

    Args:
      x: ``[B, H, W, C]``.
      kernel: ``[size, size, C, O]``; ``size`` is a multiple of ``stride``, or 1.
      stride: the stride in both directions.
      pad: whether to pad with zeros, so that the output has ``ceil(H / stride)`` rows ("SAME");
        otherwise there is no padding ("VALID").

    Returns:
      ``[B, H', W', O]``.
    """
    size, _, channels, outputs = kernel.shape
    if pad:
        x = _padded(x, size, stride)
    if stride > 1:
        blocks = size // stride
        high, wide = ((n - size) // stride + blocks for n in x.shape[1:3])
        x = x[:, : high * stride, : wide * stride].reshape(-1, high, stride, wide, stride, channels)
        channels *= stride * stride
        x = x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, high, wide, channels)
        kernel = kernel.reshape(blocks, stride, blocks, stride, -1, outputs)
        kernel = kernel.transpose(0, 2, 1, 3, 4, 5).reshape(blocks, blocks, channels, outputs)
        size = blocks
    places = [(i, j) for i in range(size) for j in range(size)]
    high, wide = (n - size + 1 for n in x.shape[1:3])
    shifted = [x[:, i : i + high, j : j + wide] for i, j in places]
    if size * size * channels <= FEW_INPUTS:
        return jnp.concatenate(shifted, -1) @ kernel.reshape(-1, outputs)
    products = [part @ kernel[place] for part, place in zip(shifted, places, strict=True)]
    return sum(products[1:], products[0])


def _padded(x: Array, size: int, stride: int, value: float = 0.0) -> Array:
    """Images ``[B, H, W, C]`` padded so that there is a full window at every stride-th pixel."""
    margins = [(0, 0)]
    for n in x.shape[1:3]:
        missing = max((-(-n // stride) - 1) * stride + size - n, 0)
        margins.append((missing // 2, missing - missing // 2))
    return jnp.pad(x, (*margins, (0, 0)), constant_values=value)


def _max_pool(x: Array) -> Array:
    """3 x 3 max-pooling with stride 2: images ``[B, H, W, C]`` to half their height and width."""
    high, wide = (-(-n // 2) for n in x.shape[1:3])
    x = _padded(x, 3, 2, -jnp.inf)
    shifted = [
        x[:, i : i + 2 * high - 1 : 2, j : j + 2 * wide - 1 : 2] for i in range(3) for j in range(3)
    ]
    out = shifted[0]
    for part in shifted[1:]:
        out = jnp.maximum(out, part)
    return out


class Layer(nn.Module):
    """The parameters of a layer.

    Attributes:
      shape: shape of the kernel.
    """

    shape: tuple[int, ...]

    @nn.compact
    def __call__(self) -> tuple[Array, Array]:
        """Kernel and bias."""
        zeros = nn.initializers.zeros
        kernel = self.param("kernel", zeros, self.shape)
        return kernel, self.param("bias", zeros, self.shape[-1:])


Layers = Sequence[tuple[Array, Array]]


class Nature(nn.Module):
    """Mnih et al. (2015), "Human-level control through deep reinforcement learning", methods.

    If an image's shorter edge is below 36 pixels, which is too small for the kernels, each layer
    pads its input with zeros.
    """

    @nn.compact
    def __call__(self, images: Array) -> Array:
        """Map images uint8 ``[..., H, W, C]`` to 512 features."""
        kernels = ((8, 4, 32), (4, 2, 64), (3, 1, 64))
        edges, channels = list(images.shape[-3:-1]), images.shape[-1]
        pad = min(edges) < SMALLEST_VALID
        layers = []
        for i, (size, stride, outputs) in enumerate(kernels):
            layers.append(Layer((size, size, channels, outputs), name=f"conv_{i}")())
            edges = [-(-n // stride) if pad else (n - size) // stride + 1 for n in edges]
            channels = outputs
        layers.append(Layer((math.prod(edges) * channels, 512), name="dense")())

        def apply(x: Array) -> Array:
            for (kernel, bias), (_, stride, _) in zip(layers[:-1], kernels, strict=True):
                x = nn.relu(convolve(x, kernel, stride, pad) + bias)
            return _dense(x, *layers[-1])

        return _in_chunks(apply, images)


class Impala(nn.Module):
    """Espeholt et al. (2018), "IMPALA: Scalable Distributed Deep-RL", figure 3, right.

    Without the LSTM: three sections, each a convolution, max-pooling and two residual blocks.
    """

    @nn.compact
    def __call__(self, images: Array) -> Array:
        """Map images uint8 ``[..., H, W, C]`` to 256 features."""
        edges, inputs = list(images.shape[-3:-1]), images.shape[-1]
        blocks = []
        for b, channels in enumerate((16, 32, 32)):
            shapes = [(3, 3, inputs, channels)] + [(3, 3, channels, channels)] * 4
            blocks.append([Layer(s, name=f"block_{b}_conv_{i}")() for i, s in enumerate(shapes)])
            edges, inputs = [-(-n // 2) for n in edges], channels
        dense = Layer((math.prod(edges) * inputs, 256), name="dense")()

        def apply(x: Array) -> Array:
            for first, *residual in blocks:
                x = _max_pool(convolve(x, first[0]) + first[1])
                for (k, b), (k2, b2) in (residual[:2], residual[2:]):
                    inner = convolve(nn.relu(x), k) + b
                    x = x + convolve(nn.relu(inner), k2) + b2
            return _dense(nn.relu(x), *dense)

        return _in_chunks(apply, images)


def _dense(x: Array, kernel: Array, bias: Array) -> Array:
    """A dense layer on the flattened features ``[B, ...]`` of each image."""
    return nn.relu(x.reshape(x.shape[0], -1) @ kernel + bias)


def scaled(images: Array) -> Array:
    """Scale pixels to the range from 0 to 1."""
    return images.astype(jnp.float32) / 255.0


def _in_chunks(apply: Callable[[Array], Array], images: Array) -> Array:
    """Apply a function of scaled images ``[B, H, W, C]`` to images uint8 ``[..., H, W, C]``.

    In chunks: the activations of a whole segment or data set would take far more memory than its
    pixels.
    """
    lead, shape = images.shape[:-3], images.shape[-3:]
    rows = images.reshape(-1, *shape)
    size = max(1, NUMBERS_AT_ONCE // math.prod(shape))
    count = rows.shape[0]
    if not isinstance(count, int) or count <= size:  # symbolic in an export
        return apply(scaled(rows)).reshape(*lead, -1)
    whole = count // size * size
    chunks = rows[:whole].reshape(-1, size, *shape)
    found = jax.lax.map(lambda x: apply(scaled(x)), chunks)
    found = found.reshape(whole, -1)
    if whole < count:
        found = jnp.concatenate([found, apply(scaled(rows[whole:]))])
    return found.reshape(*lead, -1)
