"""Every operation that is translated to ONNX gives there what it gives in JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxmaze.errors import UserError
from jaxmaze.exports import onnx_file, onnx_graph

RNG = np.random.default_rng(0)
W = RNG.normal(size=(6, 5)).astype(np.float32)
KERNEL = RNG.normal(size=(3, 2, 2, 4)).astype(np.float32)


def same(x):
    p, yes = jnp.abs(x) + 0.5, x > 0
    big, small = x > 1, lax.ceil(x) < lax.floor(x) + 1
    return {
        "sum": x + 2 - x * 3 / p,
        "neg": -x,
        "exp": jnp.exp(x),
        "log": jnp.log(p),
        "trig": jnp.sin(x) + jnp.cos(x),
        "erf": lax.erf(x),
        "tanh": jnp.tanh(x),
        "sigmoid": jax.nn.sigmoid(x),
        "sqrt": jnp.sqrt(p),
        "sign": jnp.sign(x),
        "steps": lax.floor(x) + lax.ceil(x),
        "max": lax.max(x, p - 1),
        "min": lax.min(x, p),
        "pow": lax.pow(p, x),
        "and": yes & ~big | (x <= -1),
        "ge": (x >= 0.5) | small,
        "eq": lax.floor(x) == 0,
        "lt": x < 0,
        "stop": lax.stop_gradient(x) + jnp.copy(x),
    }


def added(x):
    return {"added": jax.vjp(lambda y: y * y, x)[1](x)[0]}  # two gradients of one: add_any


def shaped(x):
    cube = x.reshape((-1, 2, 3))
    first, second = jnp.split(x, [2], axis=1)
    image = jnp.broadcast_to(x[:, None, :, None], (len(x), 7, 6, 2))
    rows = jnp.broadcast_to(jnp.arange(6.0), x.shape)
    return {
        "reshape": cube,
        "transpose": cube.transpose(0, 2, 1),
        "slice": x[:, 1:5:2],
        "rows": rows,
        "joined": jnp.concatenate([second, first], 1),
        "squeeze": x[:, :1].squeeze(1),
        "expand": lax.expand_dims(x, (1,)),
        "padded": jnp.pad(x, ((0, 0), (1, 2)), constant_values=7),
        "image": image,
        "integers": x.astype(jnp.int32),
    }


def reduced(x):
    cube = x.reshape((-1, 2, 3))
    return {
        "sum": cube.sum((1, 2)),
        "max": cube.max(1),
        "min": cube.min(2),
        "prod": cube.prod(1),
        "argmax": lax.argmax(x, 1, jnp.int32),
        "argmin": lax.argmin(x, 1, jnp.int32),
        "dot": x @ W,
        "turned": jnp.einsum("ni,ji->nj", x, W.T),
        "batched": jnp.einsum("nij,nkj->nik", cube, cube),
        "softmax": jax.nn.log_softmax(x),
    }


def mixed(x):
    return {
        "clamp": lax.clamp(-0.5, x, 0.25),
        "expm1": jnp.expm1(x),
        "log1p": jnp.log1p(jnp.abs(x)),
        "cube": x**3,
        "rsqrt": lax.rsqrt(jnp.abs(x) + 1),
        "square": lax.square(x),
        "ne": lax.floor(x) != 0,
        "where": jnp.where(x > 0, x, 10.0),
        "elu": jax.nn.elu(x),
        "gelu": jax.nn.gelu(x),
        "relu": jax.nn.relu(x),
        "checkpoint": jax.checkpoint(jnp.sin)(x),
    }


def seen(x):
    image = jnp.broadcast_to(x[:, None, :, None], (len(x), 7, 6, 2)) * jnp.arange(2.0)
    conv = lax.conv_general_dilated(
        image,
        KERNEL,
        (2, 1),
        ((1, 2), (0, 1)),
        rhs_dilation=(1, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    window = (1, 3, 2, 1), (1, 2, 1, 1)
    pool = lax.reduce_window(image, -jnp.inf, lax.max, *window, ((0, 0), (1, 0), (0, 1), (0, 0)))
    return {"conv": conv, "pool": pool}


def translated(function, rows):
    """What a function's ONNX model gives for a batch, and the operations in its trace."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    shape = jax.ShapeDtypeStruct((onnx_graph.BATCH, 6), np.float32)
    model = onnx_file.model(function, {"x": shape}, [shape])
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"x": rows}), strict=True))


FUNCTIONS = (same, added, shaped, reduced, mixed, seen)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("count", [1, 4])
def test_operations_are_as_in_jax(function, count):
    rows = RNG.normal(0, 1.5, (count, 6)).astype(np.float32)
    found, wanted = translated(function, rows), function(rows)
    assert set(found) == set(wanted)
    for name, x in wanted.items():
        assert found[name].dtype == x.dtype, name
        np.testing.assert_allclose(found[name], x, atol=1e-5, rtol=1e-5, err_msg=name)


def test_no_rule_goes_untried():
    tried = set()

    def look(jaxpr):
        for equation in jaxpr.eqns:
            tried.add(equation.primitive.name)
            if equation.primitive.name in onnx_graph.INLINE:
                inner = equation.params[onnx_graph.INLINE[equation.primitive.name]]
                look(getattr(inner, "jaxpr", inner))

    for function in FUNCTIONS:
        look(jax.make_jaxpr(function)(np.ones((4, 6), np.float32)).jaxpr)
    rules = {*onnx_graph.SAME, *onnx_graph.RULES}
    assert rules - tried == set()


def test_what_is_not_translated_is_one_line():
    with pytest.raises(UserError, match="does not know the operation 'cumsum'"):
        translated(lambda x: {"y": jnp.cumsum(x, 1)}, np.ones((2, 6), np.float32))
    with pytest.raises(UserError, match="does not know this form of the operation 'pad'"):
        pads = ((0, 0, 0), (0, 0, 1))
        translated(lambda x: {"y": lax.pad(x, 0.0, pads)}, np.ones((2, 6), np.float32))
