"""Translates a policy's jaxpr, operation by operation, to nodes of an ONNX graph.

jax2onnx does this for any program, but pins an older Orbax than jaxmaze needs. Policies consist of
few operations; a further one is a line in a table below, or a function in ``RULES``. A wrong
translation would be noticed, because every export is run and compared before it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal
from numpy.typing import DTypeLike

from jaxmaze.errors import UserError

BATCH = 8191
"""The batch size in the trace, which stands for any; a prime, so that no other size equals it."""

SAME = {
    "abs": "Abs",
    "add": "Add",
    "add_any": "Add",
    "and": "And",
    "ceil": "Ceil",
    "copy": "Identity",
    "cos": "Cos",
    "div": "Div",
    "eq": "Equal",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "log": "Log",
    "logistic": "Sigmoid",
    "lt": "Less",
    "max": "Max",
    "min": "Min",
    "mul": "Mul",
    "neg": "Neg",
    "not": "Not",
    "or": "Or",
    "pow": "Pow",
    "sign": "Sign",
    "sin": "Sin",
    "sqrt": "Sqrt",
    "stop_gradient": "Identity",
    "sub": "Sub",
    "tanh": "Tanh",
}
"""Operations that ONNX has under another name, with that name."""
INLINE = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
}
"""Operations that call another jaxpr, and the parameter that holds it."""

Equation: TypeAlias = JaxprEqn
Value: TypeAlias = str | np.ndarray
"""The name of a node's output, or a constant."""


class Graph:
    """A graph under construction: its nodes and constants.

    Attributes:
      nodes: in the order in which they are to be run.
      constants: by name.
    """

    def __init__(self) -> None:
        self.nodes: list[object] = []
        self.constants: dict[str, np.ndarray] = {}
        self._names = 0
        self._rows = ""

    def translate(self, traced: ClosedJaxpr, inputs: Sequence[str]) -> list[str]:
        """Translate a whole trace; returns the names of its outputs."""
        self._rows = self.node("Shape", [inputs[0]], start=0, end=1)
        values = self._inside(traced.jaxpr, traced.consts, inputs)
        return [self.name(value) for value in values]

    def node(self, kind: str, inputs: Sequence[Value], **attributes: object) -> str:
        """Add a node; returns the name of its output."""
        import onnx

        name = self._fresh()
        given = [self.name(x) for x in inputs]
        self.nodes.append(onnx.helper.make_node(kind, given, [name], **attributes))
        return name

    def name(self, value: Value) -> str:
        """The name of a value; an array becomes a constant and gets a name."""
        if isinstance(value, str):
            return value
        name = self._fresh()
        self.constants[name] = np.asarray(value)
        return name

    def _fresh(self) -> str:
        self._names += 1
        return f"_{self._names}"

    def shape(self, shape: Sequence[int]) -> Value:
        """A shape as an input of a node, with the batch's actual size where it contains it."""
        if BATCH not in shape:
            return np.array(shape, np.int64)
        parts = [self._rows if n == BATCH else np.array([n], np.int64) for n in shape]
        return self.node("Concat", parts, axis=0)

    def _inside(
        self, jaxpr: Jaxpr, consts: Sequence[object], given: Sequence[Value]
    ) -> list[Value]:
        """Translate equations; values are names of nodes, or arrays if they are constant."""
        known: dict[object, Value] = dict(
            zip(jaxpr.constvars, map(np.asarray, consts), strict=True)
        )
        known |= dict(zip(jaxpr.invars, given, strict=True))

        def read(var: object) -> Value:
            if isinstance(var, Literal):
                return np.asarray(var.val, var.aval.dtype)  # type: ignore[attr-defined]
            return known[var]

        for equation in jaxpr.eqns:
            made = self._made(equation, [read(var) for var in equation.invars])
            known |= dict(zip(equation.outvars, made, strict=True))
        return [read(var) for var in jaxpr.outvars]

    def _made(self, equation: Equation, given: list[Value]) -> list[Value]:
        """The outputs of one equation."""
        kind, params = equation.primitive.name, equation.params
        constant = all(isinstance(x, np.ndarray) for x in given)
        if constant and not any(BATCH in _aval(var).shape for var in equation.outvars):
            found = equation.primitive.bind(*given, **params)
            several = equation.primitive.multiple_results
            return [np.asarray(x) for x in (found if several else [found])]
        if kind in INLINE:
            inner = params[INLINE[kind]]
            return self._inside(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), given)
        if kind in SAME:
            return [self.node(SAME[kind], given)]
        if kind in RULES:
            made = RULES[kind](self, equation, given)
            return made if isinstance(made, list) else [made]
        raise UserError(
            f"the format onnx does not know the operation {kind!r} of this network; choose the "
            "format jax"
        )


def _shape(equation: Equation, place: int = 0) -> tuple[int, ...]:
    """The shape of one of an equation's inputs."""
    return tuple(_aval(equation.invars[place]).shape)


def _aval(var: object) -> jax.core.ShapedArray:
    """Shape and type of a variable."""
    return var.aval  # type: ignore[attr-defined, no-any-return]


def _out(equation: Equation) -> jax.core.ShapedArray:
    return _aval(equation.outvars[0])


def _refuse(equation: Equation) -> UserError:
    kind = equation.primitive.name
    return UserError(
        f"the format onnx does not know this form of the operation {kind!r}; choose the format jax"
    )


def _type(dtype: DTypeLike) -> int:
    import onnx

    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _reshape(graph: Graph, equation: Equation, given: list[Value]) -> str:
    return graph.node("Reshape", [given[0], graph.shape(_out(equation).shape)])


def _broadcast(graph: Graph, equation: Equation, given: list[Value]) -> str:
    shape, places = _out(equation).shape, equation.params["broadcast_dimensions"]
    ones = [1] * len(shape)
    for place, size in zip(places, _shape(equation), strict=True):
        ones[place] = size
    x = graph.node("Reshape", [given[0], graph.shape(ones)])
    return x if tuple(ones) == tuple(shape) else graph.node("Expand", [x, graph.shape(shape)])


def _dot(graph: Graph, equation: Equation, given: list[Value]) -> str:
    """A dot product over some axes: MatMul where possible, else Einsum."""
    (left, right), (left_batch, right_batch) = equation.params["dimension_numbers"]
    shapes = _shape(equation, 0), _shape(equation, 1)
    plain = not left_batch and len(shapes[1]) == 2
    if plain and tuple(left) == (len(shapes[0]) - 1,) and tuple(right) == (0,):
        return graph.node("MatMul", given)
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    names = [[next(letters) for _ in shape] for shape in shapes]
    for a, b in (*zip(left, right, strict=True), *zip(left_batch, right_batch, strict=True)):
        names[1][b] = names[0][a]
    kept = [names[0][a] for a in left_batch]
    for name, used in zip(names, ({*left, *left_batch}, {*right, *right_batch}), strict=True):
        kept += [letter for i, letter in enumerate(name) if i not in used]
    text = f"{''.join(names[0])},{''.join(names[1])}->{''.join(kept)}"
    return graph.node("Einsum", given, equation=text)


def _reduce(kind: str) -> Callable[..., str]:
    def rule(graph: Graph, equation: Equation, given: list[Value]) -> str:
        axes = np.array(equation.params["axes"], np.int64)
        return graph.node(kind, [given[0], axes], keepdims=0)

    return rule


def _arg(kind: str) -> Callable[..., str]:
    def rule(graph: Graph, equation: Equation, given: list[Value]) -> str:
        (axis,) = equation.params["axes"]
        place = graph.node(kind, given, axis=int(axis), keepdims=0)
        return graph.node("Cast", [place], to=_type(equation.params["index_dtype"]))

    return rule


def _power(graph: Graph, equation: Equation, given: list[Value]) -> str:
    exponent = np.asarray(equation.params["y"], _out(equation).dtype)
    return graph.node("Pow", [given[0], exponent])


def _slice(graph: Graph, equation: Equation, given: list[Value]) -> str:
    params, shape = equation.params, _shape(equation)
    ends = [2**62 if n == BATCH else e for e, n in zip(params["limit_indices"], shape, strict=True)]
    steps = params["strides"] or [1] * len(shape)
    bounds = (params["start_indices"], ends, range(len(shape)), steps)
    return graph.node("Slice", [given[0], *(np.array([*x], np.int64) for x in bounds)])


def _split(graph: Graph, equation: Equation, given: list[Value]) -> list[Value]:
    made: list[Value] = []
    axis, at = equation.params["axis"], 0
    for size in equation.params["sizes"]:
        bounds = ([at], [at + size], [axis])
        made.append(graph.node("Slice", [given[0], *(np.array(x, np.int64) for x in bounds)]))
        at += size
    return made


def _pad(graph: Graph, equation: Equation, given: list[Value]) -> str:
    low, high, inner = zip(*equation.params["padding_config"], strict=True)
    if any(inner):
        raise _refuse(equation)
    return graph.node("Pad", [given[0], np.array([*low, *high], np.int64), given[1]])


def _convolution(graph: Graph, equation: Equation, given: list[Value]) -> str:
    params, numbers = equation.params, equation.params["dimension_numbers"]
    if set(params["lhs_dilation"]) != {1} or params["batch_group_count"] != 1:
        raise _refuse(equation)
    image = graph.node("Transpose", [given[0]], perm=list(numbers.lhs_spec))
    kernel = graph.node("Transpose", [given[1]], perm=list(numbers.rhs_spec))
    low, high = zip(*params["padding"], strict=True)
    made = graph.node(
        "Conv",
        [image, kernel],
        strides=list(params["window_strides"]),
        pads=[*low, *high],
        dilations=list(params["rhs_dilation"]),
        group=params["feature_group_count"],
    )
    return graph.node("Transpose", [made], perm=np.argsort(numbers.out_spec).tolist())


def _pool(graph: Graph, equation: Equation, given: list[Value]) -> str:
    """Max pooling; windows lie over the axes between the first and the last."""
    params = equation.params
    size, strides, padding = (
        params[name] for name in ("window_dimensions", "window_strides", "padding")
    )
    dilated = {*params["base_dilation"], *params["window_dilation"]} != {1}
    if dilated or (size[0], size[-1]) != (1, 1) or (strides[0], strides[-1]) != (1, 1):
        raise _refuse(equation)
    rank = len(size)
    image = graph.node("Transpose", [given[0]], perm=[0, rank - 1, *range(1, rank - 1)])
    low, high = zip(*padding[1:-1], strict=True)
    made = graph.node(
        "MaxPool",
        [image],
        kernel_shape=list(size[1:-1]),
        strides=list(strides[1:-1]),
        pads=[*low, *high],
    )
    return graph.node("Transpose", [made], perm=[0, *range(2, rank), 1])


def _clamp(graph: Graph, equation: Equation, given: list[Value]) -> str:
    low, x, high = given
    return graph.node("Min", [graph.node("Max", [x, low]), high])


def _select(graph: Graph, equation: Equation, given: list[Value]) -> str:
    if len(given) != 3 or _aval(equation.invars[0]).dtype != np.bool_:
        raise _refuse(equation)
    return graph.node("Where", [given[0], given[2], given[1]])


def _chain(*kinds: str) -> Callable[..., Value]:
    """A chain of nodes, each applied to the output of the one before."""

    def rule(graph: Graph, equation: Equation, given: list[Value]) -> Value:
        made = given[0]
        for kind in kinds:
            made = graph.node(kind, [made])
        return made

    return rule


def _one(graph: Graph, equation: Equation) -> np.ndarray:
    return np.ones((), _out(equation).dtype)


RULES: dict[str, Callable[[Graph, Equation, list[Value]], Value | list[Value]]] = {
    "argmax": _arg("ArgMax"),
    "argmin": _arg("ArgMin"),
    "broadcast_in_dim": _broadcast,
    "clamp": _clamp,
    "concatenate": lambda g, e, x: g.node("Concat", x, axis=e.params["dimension"]),
    "conv_general_dilated": _convolution,
    "convert_element_type": lambda g, e, x: g.node("Cast", x, to=_type(e.params["new_dtype"])),
    "dot_general": _dot,
    "expm1": lambda g, e, x: g.node("Sub", [g.node("Exp", x), _one(g, e)]),
    "integer_pow": _power,
    "log1p": lambda g, e, x: g.node("Log", [g.node("Add", [x[0], _one(g, e)])]),
    "ne": lambda g, e, x: g.node("Not", [g.node("Equal", x)]),
    "pad": _pad,
    "reduce_max": _reduce("ReduceMax"),
    "reduce_min": _reduce("ReduceMin"),
    "reduce_prod": _reduce("ReduceProd"),
    "reduce_sum": _reduce("ReduceSum"),
    "reduce_window_max": _pool,
    "reshape": _reshape,
    "rsqrt": _chain("Sqrt", "Reciprocal"),
    "select_n": _select,
    "slice": _slice,
    "split": _split,
    "square": lambda g, e, x: g.node("Mul", [x[0], x[0]]),
    "squeeze": _reshape,
    "transpose": lambda g, e, x: g.node("Transpose", x, perm=list(e.params["permutation"])),
}
"""Operations that need more than another name."""
