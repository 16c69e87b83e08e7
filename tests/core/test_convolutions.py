"""Convolutions as sums of matrix products, held to XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmaze.core import convolutions
from jaxmaze.core.networks import Networks, orthogonal_of_image
from jaxmaze.core.observation_kinds import Image
from jaxmaze.core.observations import Observations, Part
from jaxmaze.core.spaces import Discrete, Spaces
from jaxmaze.core.types import NetworkSpec


def conv(x, kernel, stride, padding):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@pytest.mark.parametrize("channels", [1, 3, 32])
@pytest.mark.parametrize(("size", "stride"), [(8, 4), (4, 2), (3, 1), (1, 1)])
@pytest.mark.parametrize("shape", [(17, 24), (36, 21), (8, 9)])
def test_they_are_those_of_xla(shape, size, stride, channels):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *shape, channels)).astype(np.float32)
    kernel = rng.normal(size=(size, size, channels, 5)).astype(np.float32)
    for pad, name in ((True, "SAME"), (False, "VALID")):
        found = convolutions.convolve(x, kernel, stride, pad)
        np.testing.assert_allclose(found, conv(x, kernel, stride, name), atol=2e-4)


def images(*shape, kind=None):
    return Observations((Part((), shape, "uint8", Image.of(shape)),))


def networks(encoder, *shape):
    return Networks(Spaces(images(*shape), Discrete(3)), NetworkSpec((7,), "tanh", encoder))


def test_the_nature_network_is_that_of_the_paper():
    net = networks("nature", 84, 84, 4)
    seen = net.policy_shapes()["encoder"]["image_0"]
    kernels = [(8, 8, 4, 32), (4, 4, 32, 64), (3, 3, 64, 64)]
    assert [seen[f"conv_{i}"]["kernel"].shape for i in range(3)] == kernels
    assert seen["dense"]["kernel"].shape == (7 * 7 * 64, 512)
    params = net.init_policy(np.random.SeedSequence(0))
    pixels = np.random.default_rng(0).integers(256, size=(2, 84, 84, 4), dtype=np.uint8)
    x, p = pixels / np.float32(255), params["encoder"]["image_0"]
    for i, stride in enumerate((4, 2, 1)):
        x = jax.nn.relu(conv(x, p[f"conv_{i}"]["kernel"], stride, "VALID"))
    x = jax.nn.relu(x.reshape(2, -1) @ p["dense"]["kernel"])
    x = jnp.tanh(x @ params["encoder"]["hidden_0"]["kernel"])
    wanted = x @ params["head"]["kernel"]
    found = jax.jit(net.distribution)(params, net.init_stats(), pixels).logits
    assert np.abs(wanted).max() > 1e-4
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_the_impala_network_is_that_of_the_paper():
    net = networks("impala", 21, 18, 3)
    params = net.init_policy(np.random.SeedSequence(0))
    pixels = np.random.default_rng(0).integers(256, size=(2, 21, 18, 3), dtype=np.uint8)
    x, p = pixels / np.float32(255), params["encoder"]["image_0"]
    for b in range(3):
        k = [p[f"block_{b}_conv_{i}"]["kernel"] for i in range(5)]
        x = conv(x, k[0], 1, "SAME")
        x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")
        x = x + conv(jax.nn.relu(conv(jax.nn.relu(x), k[1], 1, "SAME")), k[2], 1, "SAME")
        x = x + conv(jax.nn.relu(conv(jax.nn.relu(x), k[3], 1, "SAME")), k[4], 1, "SAME")
    x = jax.nn.relu(jax.nn.relu(x).reshape(2, -1) @ p["dense"]["kernel"])
    assert x.shape == (2, 256)
    wanted = jnp.tanh(x @ params["encoder"]["hidden_0"]["kernel"]) @ params["head"]["kernel"]
    found = jax.jit(net.distribution)(params, net.init_stats(), pixels).logits
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("encoder", ["mlp", "nature", "impala"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (9, 30)])
def test_small_images_will_do(encoder, shape):
    net = networks(encoder, *shape)
    params = net.init_value(np.random.SeedSequence(0))
    pixels = np.random.default_rng(0).integers(256, size=(2, 3, *shape), dtype=np.uint8)
    assert jax.jit(net.value)(params, net.init_stats(), pixels).shape == (2, 3)


def test_many_images_pass_in_several_parts(monkeypatch):
    net = networks("nature", 24, 24)
    params = net.init_value(np.random.SeedSequence(0))
    pixels = np.random.default_rng(0).integers(256, size=(11, 24, 24), dtype=np.uint8)
    whole = jax.jit(net.value)(params, net.init_stats(), pixels)
    monkeypatch.setattr(convolutions, "NUMBERS_AT_ONCE", 4 * 24 * 24)
    again = jax.jit(lambda x: net.value(params, net.init_stats(), x))
    assert "scan" in str(jax.make_jaxpr(again)(pixels))
    np.testing.assert_allclose(again(pixels), whole, atol=1e-6)


def test_kernels_are_orthogonal():
    for shape in ((8, 8, 3, 32), (3, 3, 3, 64), (60, 10)):
        kernel = orthogonal_of_image(np.random.default_rng(0), shape, 2.0).reshape(-1, shape[-1])
        gram = kernel.T @ kernel if kernel.shape[0] >= kernel.shape[1] else kernel @ kernel.T
        np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-5)
