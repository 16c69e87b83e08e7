"""Stable-Baselines3's standard policies in numpy: ``model.predict`` without torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from jaxmaze.core.spaces import Box, Discrete
from jaxmaze.core.words import counted
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.errors import UserError
from jaxmaze.teachers.sb3.archive import Archive, Name, NotStandardError

Layer: TypeAlias = tuple[np.ndarray, np.ndarray]
Params: TypeAlias = Mapping[str, np.ndarray]
Forward: TypeAlias = Callable[[np.ndarray], np.ndarray]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


_MODULE = "torch.nn.modules.activation."
ACTIVATIONS: dict[str, Forward] = {
    "ReLU": lambda x: np.maximum(x, 0),
    "Tanh": np.tanh,
    "ELU": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "LeakyReLU": lambda x: np.where(x > 0, x, x * np.float32(0.01)),
    "SiLU": lambda x: x * _sigmoid(x),
    "Sigmoid": _sigmoid,
}
"""Torch's activations, with its defaults, by the name of their class."""
_STABLE, _CONTRIB = "stable_baselines3", "sb3_contrib"
ACTOR_CRITICS = {
    f"{_STABLE}.common.policies.ActorCriticPolicy",
    f"{_CONTRIB}.common.maskable.policies.MaskableActorCriticPolicy",
}
CLASSES: dict[str, str] = dict.fromkeys(ACTOR_CRITICS, "Tanh") | {
    f"{_STABLE}.dqn.policies.DQNPolicy": "ReLU",
    f"{_CONTRIB}.qrdqn.policies.QRDQNPolicy": "ReLU",
    f"{_STABLE}.sac.policies.SACPolicy": "ReLU",
    f"{_CONTRIB}.tqc.policies.TQCPolicy": "ReLU",
    f"{_STABLE}.td3.policies.TD3Policy": "ReLU",
}
"""The policy classes that can be read here, with each one's default activation."""
FLATTEN = f"{_STABLE}.common.torch_layers.FlattenExtractor"
PLAIN_KWARGS = {
    "net_arch",
    "activation_fn",
    "ortho_init",
    "use_sde",
    "log_std_init",
    "full_std",
    "use_expln",
    "squash_output",
    "normalize_images",
    "optimizer_class",
    "optimizer_kwargs",
    "n_critics",
    "n_quantiles",
    "share_features_extractor",
    "features_extractor_class",
    "clip_mean",
}
"""Policy arguments with which it is still a standard one."""


def forward(archive: Archive, info: EnvInfo) -> Forward:
    """The policy in a zip as a function from observations ``[N, ...]`` to actions ``[N, ...]``.

    The result of ``model.predict(obs, deterministic=True)``: the greedy action of Q-networks, the
    mode of distributions, in the environment's units and within its bounds.

    Args:
      archive: the zip.
      info: the environment it will act in.

    Raises:
      NotStandardError: for a policy that cannot be read here.
      UserError: for a policy of another environment.
    """
    kind, kwargs = archive.policy_class(), archive.policy_kwargs()
    if kind not in CLASSES:
        raise NotStandardError(f"{kind} is not among the policies that are read here")
    odd = sorted(set(kwargs) - PLAIN_KWARGS)
    if odd or kwargs.get("features_extractor_class", FLATTEN) != FLATTEN:
        raise NotStandardError(f"its policy has {', '.join(odd) or 'features of its own'}")
    activation = _activation(kwargs.get("activation_fn"), CLASSES[kind])
    layers = _network(archive.params)
    size = layers[0][0].shape[1]
    parts = info.spaces.obs.parts
    if len(parts) != 1 or len(parts[0].shape) != 1:
        raise NotStandardError(f"observations {info.spaces.obs.describe()} are not one vector")
    if size != info.spaces.obs.size:
        raise UserError(
            f"sb3:{archive.path} takes observations of {counted(size, 'number')}, but "
            f"{info.config.id} has {info.spaces.obs.describe()}"
        )
    squashed = kind not in ACTOR_CRITICS or bool(kwargs.get("squash_output"))
    outputs, choose = (
        _mlp(layers, activation),
        _chooser(archive, info, len(layers[-1][1]), squashed),
    )
    return lambda obs: choose(outputs(np.asarray(obs, np.float32)))


def _activation(given: object, default: str) -> Forward:
    name = f"{_MODULE}{default}" if given is None else str(given)
    short = name.removeprefix(_MODULE)
    if short not in ACTIVATIONS or (given is not None and not isinstance(given, Name)):
        raise NotStandardError(f"the activation {given} is not among {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[short]


_NOT_ACTING = re.compile(
    r"(critic(_target)?|value_net|mlp_extractor\.value_net|actor\.log_std|actor_target|q_net_target"
    r"|quantile_net_target)\..*|log_std"
)
"""Parameters that deterministic actions do not depend on."""
_LAYOUTS = (
    (("mlp_extractor.shared_net", "mlp_extractor.policy_net"), "action_net"),
    (("actor.latent_pi",), "actor.mu"),
    (("q_net.q_net",), None),
    (("quantile_net.quantile_net",), None),
    (("actor.mu",), None),
)
"""Names of the layers, and of the last layer if it has its own."""


def _network(params: Params) -> list[Layer]:
    """The layers, found by the names of the parameters.

    Raises:
      NotStandardError: if it is not a plain MLP.
    """
    left = {k for k in params if not _NOT_ACTING.fullmatch(k)}
    for hidden, head in _LAYOUTS:
        layers = [layer for prefix in hidden for layer in _layers(params, prefix)]
        if head is not None and f"{head}.weight" in params:
            layers.append((params[f"{head}.weight"], params[f"{head}.bias"]))
        prefixes = tuple(f"{prefix}." for prefix in (*hidden, head or hidden[0]))
        if layers and all(k.startswith(prefixes) for k in left) and len(left) == 2 * len(layers):
            return layers
    raise NotStandardError(f"its network is not a plain one: it has {', '.join(sorted(left)[:3])}")


def _layers(params: Params, prefix: str) -> list[Layer]:
    """The layers of a torch ``Sequential`` in their order."""
    found = [re.fullmatch(rf"{re.escape(prefix)}\.(\d+)\.weight", k) for k in params]
    numbers = sorted(int(m[1]) for m in found if m)
    return [(params[f"{prefix}.{i}.weight"], params[f"{prefix}.{i}.bias"]) for i in numbers]


def _mlp(layers: list[Layer], activation: Forward) -> Forward:
    *hidden, (last, bias) = layers

    def outputs(x: np.ndarray) -> np.ndarray:
        x = x.reshape(len(x), -1)
        for weight, b in hidden:
            x = activation(x @ weight.T + b)
        return x @ last.T + bias  # type: ignore[no-any-return]

    return outputs


def _chooser(archive: Archive, info: EnvInfo, width: int, squashed: bool) -> Forward:
    """The function from the network's outputs ``[N, width]`` to actions."""
    space = info.spaces.action
    theirs = archive.data.get("action_space") or {}
    if isinstance(space, Discrete):
        n = space.n
        quantiles = any(k.startswith("quantile_net") for k in archive.params)
        discrete = "Discrete" in str(theirs.get(":type:", "Discrete"))
        if not discrete or (width % n if quantiles else width != n):
            raise _unfit(archive, info, width)
        # The first axis within a row holds quantiles, if any; their mean is the value.
        return lambda x: x.reshape(len(x), -1, n).mean(1).argmax(-1)
    if not isinstance(space, Box) or not hasattr(info.action_space, "low"):
        raise NotStandardError(f"{space.describe()} are not read here")
    low, high = (np.asarray(getattr(info.action_space, x), np.float32) for x in ("low", "high"))
    if width != low.size or not _same_bounds(archive, low, high):
        raise _unfit(archive, info, width)

    def choose(x: np.ndarray) -> np.ndarray:
        x = x.reshape(len(x), *low.shape)
        if not squashed:
            return np.clip(x, low, high)
        return low + np.float32(0.5) * (np.tanh(x) + 1) * (high - low)  # type: ignore[no-any-return]

    return choose


def _same_bounds(archive: Archive, low: np.ndarray, high: np.ndarray) -> bool:
    """Whether the zip's action bounds, if it shows them all, equal the environment's."""
    space = archive.data.get("action_space") or {}
    for name, ours in (("low", low), ("high", high)):
        text = str(space.get(name, "..."))
        theirs = re.findall(r"-?(?:inf|\d[\d.e+-]*)", text)
        if "..." in text or len(theirs) != ours.size:
            continue
        if not np.allclose(np.array(theirs, float), ours.reshape(-1), rtol=1e-4):
            return False
    return True


def _unfit(archive: Archive, info: EnvInfo, width: int) -> UserError:
    shown = {
        k: " ".join(str(v).split())
        for k, v in (archive.data.get("action_space") or {}).items()
        if k in ("n", "low", "high")
    }
    theirs = ", ".join(f"{k} {v}" for k, v in shown.items()) or f"{width} outputs"
    return UserError(
        f"sb3:{archive.path} was trained for other actions ({theirs}); {info.config.id} has "
        f"{info.spaces.action.describe()}"
    )
