"""Plain numpy: weights in an ``.npz`` without pickle, and a script that acts with them.

The script is generated for the given policy, so that it is a few lines that anyone can read, and
translate to a language without numpy.
"""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from jaxmaze.core import normalization
from jaxmaze.core.observations import Observations
from jaxmaze.core.types import PyTree
from jaxmaze.errors import UserError
from jaxmaze.exports import function
from jaxmaze.exports.function import Loaded, Source

NEEDS = ""
FILE, READER = "policy.npz", "read_policy.py"
TIMEOUT = 300
"""Seconds that the script may take on the recorded states."""

ACTIVATIONS = {
    "tanh": "np.tanh(x)",
    "relu": "np.maximum(x, 0)",
    "elu": "np.where(x > 0, x, np.expm1(np.minimum(x, 0)))",
    "silu": "x / (1 + np.exp(-x))",
    "gelu": "0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))",
}
"""Numpy code of the activations in :data:`jaxmaze.core.encoders.ACTIVATIONS`."""

HEADS = {
    "Categorical": """\
    return {{"action": x.argmax(-1).astype(np.int32){start}, "logits": x}}""",
    "DiagGaussian": """\
    action = {action}.clip(w["low"], w["high"]){dims}
    return {{"action": action, "mean": x, "log_std": np.broadcast_to(w["log_std"], x.shape)}}""",
}
"""Numpy code from the last layer's outputs to mode and parameters, by distribution."""

SCRIPT = '''\
"""Acts with policy.npz, beside this file. Needs numpy and nothing else.

    from read_policy import policy
    policy(obs)["action"]   # obs: a batch {shape}

{formula}
"""

import pathlib

import numpy as np

w = dict(np.load(pathlib.Path(__file__).with_name("policy.npz"), allow_pickle=False))
w = {{name: x.astype(np.float64) for name, x in w.items()}}


def policy(obs):
    """Actions (the mode) and the numbers of the action distribution, for a batch."""
    rows = {rows}
    x = np.concatenate([np.asarray(r, np.float64).reshape(len(r), -1) for r in rows], 1)
    x = ((x - w["obs_mean"]) / np.sqrt(w["obs_var"] + {epsilon})).clip(-{clip:g}, {clip:g})
    for i in range({layers}):
        x = x @ w[f"hidden_{{i}}.kernel"] + w[f"hidden_{{i}}.bias"]
        x = {activation}
    x = x @ w["head.kernel"] + w["head.bias"]
{head}
'''
FORMULAS = {
    "Categorical": "The log-probability of an action is logits[action] - log(sum(exp(logits))).",
    "DiagGaussian": """\
The log-probability of an action a, in the units of mean, is the sum over its dimensions of
-((a - mean) / exp(log_std))**2 / 2 - log_std - log(2 pi) / 2.""",
}


def write(source: Source, folder: Path) -> None:
    """Write ``policy.npz`` and ``read_policy.py``, as ``Format.write`` says.

    Raises:
      UserError: for a policy that the script cannot express.
    """
    networks, policy = source
    spec, action, obs = networks.spec, networks.spaces.action, networks.spaces.obs
    kind = type(function.kind_of(source)).__name__
    _check(source, kind)
    encoder, stats = policy.params.get("encoder", {}), policy.obs_stats
    layers = {**encoder, "head": policy.params["head"]}
    arrays = {f"{name}.{part}": x for name, layer in layers.items() for part, x in layer.items()}
    arrays |= {name: policy.params[name] for name in action.free_params()}
    arrays |= {"obs_mean": stats.mean, "obs_var": stats.var}
    bounds = {name: getattr(action, name, None) for name in ("low", "high")}
    arrays |= {name: np.array(x, np.float32) for name, x in bounds.items() if x is not None}
    units = getattr(action, "units", None)
    if units is not None:
        arrays |= {f"action_{n}": np.array(x, np.float32) for n, x in units._asdict().items()}
    np.savez(folder / FILE, **jax.tree.map(np.asarray, arrays))
    start, dims = getattr(action, "start", 0), getattr(action, "dims", None)
    head = HEADS[kind].format(
        action="x" if units is None else '(x * w["action_scale"] + w["action_middle"])',
        start=f" + {start}" if start else "",
        dims="" if dims is None else f".reshape({', '.join(map(str, (-1, *dims)))})",
    )
    script = SCRIPT.format(
        shape=obs.batch(),
        formula=FORMULAS[kind],
        rows=_rows(obs),
        epsilon=normalization.EPSILON,
        clip=normalization.CLIP,
        layers=len(encoder),
        activation=ACTIVATIONS[spec.activation],
        head=head,
    )
    (folder / READER).write_text(script)


def _check(source: Source, kind: str) -> None:
    """Check that a policy is an MLP on numbers, with a simple distribution.

    Raises:
      UserError: if it is not.
    """
    networks, stats = source.networks, source.policy.obs_stats
    numbers = sum(math.prod(part.shape) for part in networks.spaces.obs.parts)
    problem = ""
    if networks.spec.encoder != "mlp" or networks.spec.activation not in ACTIVATIONS:
        problem = f"not the encoder {networks.spec.encoder!r}"
    elif networks.carry_size:
        problem = "not memory"
    elif np.shape(stats.mean) != (numbers,):
        problem = f"not observations {networks.spaces.obs.describe()}"
    elif kind not in HEADS or getattr(networks.spaces.action, "whole", False):
        problem = f"not {networks.spaces.action.describe()} by a {kind}"
    if problem:
        raise UserError(
            f"the format npz holds plain layers on normalised numbers, {problem}; choose the "
            "format jax"
        )


def _rows(obs: Observations) -> str:
    """The arrays of an observation as Python source."""
    each = ["obs" + "".join(f"[{name!r}]" for name in part.path) for part in obs.parts]
    return f"[{', '.join(each)}]"


ASK = """
import io, json, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from read_policy import policy
parts = list(np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False).values())
tree = {}
for path, x in zip(json.loads(sys.argv[2]), parts):
    inner, (*path, leaf) = tree, ["obs", *path]
    for part in path:
        inner = inner.setdefault(part, {})
    inner[leaf] = x
file = io.BytesIO()
np.savez(file, **policy(tree["obs"]))
assert not {"jax", "jaxmaze", "flax"} & set(sys.modules)
sys.stdout.buffer.write(file.getvalue())
"""
"""The program of that process: act with the script on observations from its input."""


def load(source: Source, folder: Path) -> Loaded:
    """Run the script in a separate Python process, which has loaded numpy alone."""
    paths = json.dumps([part.path for part in source.networks.spaces.obs.parts])

    def act(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        file = io.BytesIO()
        np.savez(file, **dict[str, PyTree](given))
        return dict(np.load(io.BytesIO(_asked(folder, paths, file.getvalue())), allow_pickle=False))

    return act


def _asked(folder: Path, paths: str, sent: bytes) -> bytes:
    done = subprocess.run(
        # Import no modules from the current folder, and write no files beside the script.
        [sys.executable, "-P", "-B", "-c", ASK, str(folder), paths],
        input=sent,
        capture_output=True,
        timeout=TIMEOUT,
    )
    if done.returncode:
        raise RuntimeError(f"{READER} failed: {done.stderr.decode()}")
    return done.stdout
