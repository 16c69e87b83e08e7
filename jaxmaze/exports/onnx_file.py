"""ONNX: the policy as a graph for onnxruntime and others, translated from its jaxpr."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from jaxmaze.core.types import PyTree
from jaxmaze.exports import function
from jaxmaze.exports.function import Loaded, Source
from jaxmaze.exports.onnx_graph import BATCH, Graph

NEEDS = "pip install 'jaxmaze[onnx]'"
FILE = "policy.onnx"
OPSET, IR_VERSION = 18, 9
"""Old enough for most runtimes in use; nothing newer is needed."""


def write(source: Source, folder: Path) -> None:
    """Write ``policy.onnx``, as ``Format.write`` says.

    Raises:
      UserError: for a network with an unsupported operation.
    """
    shapes = function.inputs(source, BATCH)
    made = model(function.function(source), shapes, function.arguments(source, shapes))
    (folder / FILE).write_bytes(made)


def model(
    act: Callable[..., PyTree], shapes: Mapping[str, PyTree], arguments: Sequence[PyTree]
) -> bytes:
    """A function of batches as an ONNX model.

    Args:
      act: the function; its results are a dict.
      shapes: inputs by name for a batch of ``BATCH``, in the order of the arrays of ``arguments``.
      arguments: the same inputs as the function takes them.

    Raises:
      UserError: for an unsupported operation.
    """
    import onnx

    traced, outputs = jax.make_jaxpr(act, return_shape=True)(*arguments)
    graph = Graph()
    names = graph.translate(traced, list(shapes))
    nodes = [*graph.nodes]
    for (name, _), made in zip(function.named("", outputs), names, strict=True):
        nodes.append(onnx.helper.make_node("Identity", [made], [name]))
    described = [
        [_described(name, x) for name, x in listed]
        for listed in (shapes.items(), function.named("", outputs))
    ]
    weights = [onnx.numpy_helper.from_array(x, name) for name, x in graph.constants.items()]
    whole = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "policy", *described, initializer=weights),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="jaxmaze",
    )
    onnx.checker.check_model(whole, full_check=True)
    serialized: bytes = whole.SerializeToString()
    return serialized


def _described(name: str, array: PyTree) -> object:
    """The description of an input or an output, with a batch of any size."""
    import onnx

    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(array.dtype))
    return onnx.helper.make_tensor_value_info(name, kind, ["N", *array.shape[1:]])


def load(source: Source, folder: Path) -> Loaded:
    """The graph in ``policy.onnx``, run by onnxruntime on the CPU."""
    import onnxruntime

    del source
    path = str(folder / FILE)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def act(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(None, dict(given)), strict=True))

    return act
