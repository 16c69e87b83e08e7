"""Policies by name: a registered teacher, a run's folder, an SB3 zip, or ``module:function``."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import jax
import numpy as np

from jaxmaze import teachers, trust
from jaxmaze.config import Settings
from jaxmaze.core import encoders
from jaxmaze.core.action_space import Leaf
from jaxmaze.core.networks import Networks
from jaxmaze.core.spaces import Spaces
from jaxmaze.core.types import Array, NetworkSpec, Policy, PyTree
from jaxmaze.core.words import counted
from jaxmaze.envs import importing
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.envs.episodes import Act, acts_for
from jaxmaze.envs.space_kinds import action_types
from jaxmaze.errors import ActionError, UserError
from jaxmaze.runs import checkpoint, console, run_folder
from jaxmaze.teachers import sb3
from jaxmaze.teachers.adapters import given
from jaxmaze.teachers.adapters.numbers import NotAnActionError


@functools.partial(jax.jit, static_argnums=(0, 1))
def _act(networks: Networks, sample: bool, policy: Policy, obs: PyTree, seed: int) -> Array:
    key = jax.random.key(seed) if sample else None
    return networks.act(policy, obs, key)[0]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _act_on(
    networks: Networks,
    sample: bool,
    policy: Policy,
    obs: PyTree,
    seed: int,
    carry: Array,
    begin: Array,
) -> tuple[Array, Array]:
    key = jax.random.key(seed) if sample else None
    return networks.act_on(policy, obs, carry, begin, key)


class LoadedPolicy:
    """A trained policy: numpy observations in, actions out. Needs neither environment nor data.

    A recurrent policy keeps each row's hidden state between calls, so row ``i`` must be the same
    environment in each call. Mark where episodes begin by the argument ``begin`` of a call, by
    :meth:`begin`, or for all rows by :meth:`reset`; at the first call, all rows begin an episode.
    Feed-forward policies do not need this and ignore it.

    Attributes:
      networks: its networks as pure functions.
      policy: its parameters and observation statistics.
    """

    def __init__(self, networks: Networks, policy: Policy):
        self.networks, self.policy = networks, policy
        self.reset()

    def reset(self) -> None:
        """Reset all hidden states: an episode begins in every row with the next call."""
        self._carry: np.ndarray | None = None
        self._begins: set[int] = set()

    def begin(
        self, slots: int | Iterable[int], env: object = None, seed: int | None = None
    ) -> None:
        """Mark the rows in which an episode begins with the next call.

        Args:
          slots: the index of a row, or several.
          env: not used; part of the hook's signature (:data:`jaxmaze.envs.episodes.HOOKS`).
          seed: likewise.
        """
        del env, seed
        self._begins.update([slots] if isinstance(slots, int) else map(int, slots))

    def __call__(
        self, obs: np.ndarray, seed: int | None = None, begin: np.ndarray | None = None
    ) -> np.ndarray:
        """Actions ``[N, ...]``, in the environment's form, for observations ``[N, *obs_shape]``.

        Deterministic (the distribution's mode) without a seed, a sample with one; the same seed
        gives the same sample. ``begin`` ``[N]`` is True in rows where an episode begins.

        Raises:
          ValueError: if the observations have the wrong shape, or if the number of rows changes
            between calls of a recurrent policy.
        """
        spaces = self.networks.spaces
        try:
            obs = spaces.obs.arrays(obs)
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(
                f"the policy takes a batch {spaces.obs.batch()}; a part is missing: {error}"
            ) from None
        leaves = jax.tree.leaves(obs)
        problem = any(not x.ndim for x in leaves) or spaces.obs.problem(obs, "the policy")
        if problem:
            wrong = f": {problem}" if isinstance(problem, str) and " with " in problem else ""
            raise ValueError(
                f"observations of shape {' and '.join(str(x.shape) for x in leaves)} do not fit"
                f"{wrong}; the policy takes a batch {spaces.obs.batch()}"
            )
        rows = len(leaves[0])
        # Batches are padded to powers of two, so that few shapes are compiled.
        padding = spaces.obs.stored((1 << max(rows - 1, 0).bit_length()) - rows)
        padded = jax.tree.map(lambda *x: np.concatenate(x), obs, padding)
        if self.networks.carry_size:
            carry, begins = self._remembered(rows, len(jax.tree.leaves(padded)[0]), begin)
            given = (self.networks, seed is not None, self.policy, padded, seed or 0)
            action, carry = _act_on(*given, carry, begins)
            self._carry, self._begins = np.asarray(carry)[:rows], set()
        else:
            action = _act(self.networks, seed is not None, self.policy, padded, seed or 0)
        return self.networks.to_env(np.asarray(action)[:rows])  # in numpy, which supports all types

    def _remembered(
        self, rows: int, padded: int, begin: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Hidden states ``[padded, C]``, and 1.0 where they are ignored ``[padded]``."""
        begins = np.ones(padded, np.float32)
        if self._carry is not None:
            begins[:rows] = [row in self._begins for row in range(rows)]
        if begin is not None:
            begin = np.asarray(begin, bool)
            if begin.shape != (rows,):
                raise ValueError(f"begin has shape {begin.shape}, not ({rows},): one for each row")
            begins[:rows] = np.maximum(begins[:rows], begin)
        carry = np.zeros((padded, self.networks.carry_size), np.float32)
        if begins.all():
            return carry, begins
        if self._carry is None or len(self._carry) != rows:
            raise ValueError(
                f"the policy remembers {0 if self._carry is None else len(self._carry)} rows, but "
                f"is given {rows}; keep all rows from call to call, or call reset() first"
            )
        carry[:rows] = self._carry
        return carry, begins


def load_policy(run: str | Path, member: int = 0) -> LoadedPolicy:
    """Load the final policy of a run: its best one, which summary.json evaluates.

    Args:
      run: the folder of a bc or ppo run, or of a workflow (its fine-tuned arm).
      member: index of the run's member.

    Raises:
      UserError: if the folder has no checkpoint, or not that many members.
    """
    networks, policies, meta = checkpoint.load_best(run_folder.delivering(Path(run)))
    count = len(meta["seeds"])
    if not 0 <= member < count:
        raise UserError(f"{run} has members 0 to {count - 1}, not {member}")
    return LoadedPolicy(networks, jax.tree.map(lambda x: x[member], policies))


def build_networks(settings: Settings, spaces: Spaces) -> Networks:
    """Build the networks that the settings configure, for an environment's spaces.

    Args:
      settings: all settings.
      spaces: the environment's, with the units of actions in which policies are to work
        (:meth:`jaxmaze.core.spaces.Spaces.in_units`).

    Raises:
      UserError: if squashing is configured for unbounded actions, or a convolutional encoder for
        observations without images.
    """
    section = settings.network
    if section.squash_actions:
        try:
            spaces.action.squashed()
        except ValueError as error:
            raise UserError(
                f"config.network.squash_actions needs bounds in every dimension, but {error}; "
                "leave it False, or give the environment's action space bounds"
            ) from None
    spec = NetworkSpec(
        tuple(section.hidden_sizes),
        section.activation,
        _encoder(section.encoder, spaces),
        squash_actions=section.squash_actions,
    )
    if section.memory != "none":
        spec = spec._replace(memory=section.memory, memory_size=section.memory_size)
    return Networks(spaces, spec)


def _encoder(name: str, spaces: Spaces) -> str:
    """The name of the encoder that a setting selects."""
    images = bool(spaces.features.num_pixels)
    if name == encoders.AUTO:
        return "nature" if images else "mlp"
    if name in encoders.CONVOLUTIONAL and not images:
        raise UserError(
            f"config.network.encoder={name} is for images (uint8 from 0 to 255 of 2 to 4 "
            f"dimensions), but the observations are {spaces.obs.describe()}; choose mlp or auto"
        )
    return name


def registered() -> list[str]:
    """Names of the teachers that come with the library."""
    return sorted(m.name for m in pkgutil.iter_modules(teachers.__path__) if not m.ispkg)


def resolve(
    policy: object, info: EnvInfo, seed: int, member: int = 0, deterministic: bool = True
) -> Act:
    """A policy as a function from ``[N, ...]`` observations to ``[N, ...]`` actions.

    Args:
      policy: a name: a registered teacher, a run's folder, ``sb3:model.zip``, or
        ``package.module:function``; or a Python object. Both a Python object and what
        ``package.module:function`` names may be anything that
        :func:`jaxmaze.teachers.adapters.given.adapt` accepts.
      info: the environment it will act in.
      seed: for policies that draw random numbers.
      member: index of a run's member.
      deterministic: for a run's policy, whether to take the mode instead of samples.

    Raises:
      UserError: if there is no such policy, or it does not fit the environment.
    """
    if isinstance(policy, LoadedPolicy):
        return _fitting(policy, info, "a trained policy")
    if not isinstance(policy, str | Path):
        return given.adapt(policy, info, given.name_of(policy), console.say)
    name = str(policy)
    if name in registered():
        made = importlib.import_module(f"jaxmaze.teachers.{name}").make(info, seed)
        return given.adapt(made, info, name, console.say) if hasattr(made, "act") else made
    if name.startswith(sb3.PREFIX):
        model = sb3.load(name, info, console.say)
        if isinstance(model, sb3.Model):
            return model
        return given.adapt(model, info, name, console.say)
    if ":" in name and not Path(name).is_dir():
        return given.adapt(_imported(name), info, name, console.say)
    if not Path(name).is_dir():
        raise UserError(
            f"policy {name!r} is neither a teacher ({', '.join(registered())}), nor a run's "
            "folder, nor sb3:model.zip, nor package.module:function"
        )
    trained = _fitting(load_policy(name, member), info, f"the policy in {name}")
    return trained if deterministic else _Sampler(trained, seed)


def _fitting(policy: LoadedPolicy, info: EnvInfo, name: str) -> LoadedPolicy:
    """Return the policy after checking that it was trained for this environment's spaces."""
    if policy.networks.spaces.bare() != info.spaces:
        raise UserError(
            f"{name} was trained for {policy.networks.spaces.describe()}, but "
            f"{info.config.id} has {info.spaces.describe()}"
        )
    return policy


class _Sampler:
    """A trained policy with sampled actions.

    Attributes:
      trained: the policy.
    """

    def __init__(self, policy: LoadedPolicy, seed: int):
        self.trained, self._rng = policy, np.random.default_rng(seed)

    def begin(self, slot: int, env: object, seed: int) -> None:
        self.trained.begin(slot, env, seed)

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        return self.trained(obs, seed=int(self._rng.integers(2**31)))


def digest_of(policy: object) -> str | None:
    """A digest that identifies a trained policy's parameters; None for other functions."""
    policy = getattr(policy, "__wrapped__", policy)
    trained = getattr(policy, "trained", policy)
    if isinstance(trained, LoadedPolicy):
        return checkpoint.digest(trained.policy)
    return getattr(trained, "sha256", None)


def checked(policy: Act, info: EnvInfo) -> Act:
    """Wrap a policy so that the shape, type and range of its actions are checked.

    Real numbers outside their bounds are clipped; a line says so, once.

    Raises:
      ActionError: when the policy is called and returns actions that the environment does not take.
    """
    space, dtypes = info.spaces.action, action_types(info.action_space)
    name = getattr(policy, "name", None)
    who = "the policy" if name is None else f"policy {name}"
    told = False

    def act(obs: PyTree) -> PyTree:
        nonlocal told
        given, count = policy(obs), len(jax.tree.leaves(obs)[0])
        try:
            leaves = space.leaves(given)
        except (KeyError, TypeError, ValueError) as error:
            raise ActionError(
                f"{who} gave a {type(given).__name__} that does not fit {info.config.id}, "
                f"which takes {space.describe()}: {error.args[0]}"
            ) from None
        pairs = zip(leaves, dtypes, strict=True)
        try:
            kept = [_mended(*leaf, count, info, dtype) for leaf, dtype in pairs]
        except NotAnActionError as error:
            raise ActionError(f"{who} {error}", error.row) from None
        told = told or _tell_clipped([action for _, _, action in leaves], kept, info)
        return space.build(kept)

    act.__wrapped__ = policy  # type: ignore[attr-defined]
    return acts_for(act, policy)


def _tell_clipped(given: Sequence[np.ndarray], kept: Sequence[np.ndarray], info: EnvInfo) -> bool:
    """Say that real numbers have been clipped to their bounds, if any have; whether it was said."""
    for action, clipped in zip(given, kept, strict=True):
        if clipped.dtype.kind != "f":
            continue
        apart = np.abs(action - clipped)
        if (apart > 1e-4 * (1 + np.abs(clipped))).any():
            worst = np.unravel_index(apart.argmax(), apart.shape)
            console.say(
                f"note: actions of the policy are outside the bounds of {info.config.id} and are "
                f"clipped, such as {action[worst]:g} to {clipped[worst]:g}"
            )
            return True
    return False


def _mended(
    name: str, space: Leaf, action: np.ndarray, count: int, info: EnvInfo, dtype: np.dtype
) -> np.ndarray:
    """One array of a policy's actions, converted to the environment's form.

    Raises:
      NotAnActionError: if the environment does not take them.
    """
    of, env = f" {name}" if name else "", info.config.id
    wanted = (count, *space.env_shape)
    if action.shape != wanted:
        raise NotAnActionError(
            f"actions{of} of shape {action.shape} for {counted(count, 'observation')}; {env} "
            f"needs {wanted}"
        )
    if action.dtype.kind not in "biuf" or not np.isfinite(action).all():
        raise NotAnActionError.of_rows(
            f"actions{of} that are NaN, infinite or no numbers",
            [action.dtype.kind not in "biuf" or not np.isfinite(x).all() for x in action],
        )
    action = space.accept(action)
    problem = space.problem(action, env)
    if problem:
        each = [bool(space.problem(action[i : i + 1], env)) for i in range(count)]
        raise NotAnActionError.of_rows(f"{f'in{of} ' if of else ''}{problem}", each)
    return action.astype(dtype)


def _imported(name: str) -> object:
    module_name, _, function_name = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        trust.refuse_runs(module_name)
        module = importlib.import_module(module_name)
    except UserError:
        raise
    except Exception as error:  # Whatever a user's module raises.
        raise UserError(
            f"policy {name!r} cannot be imported: {type(error).__name__}: {error} (modules are "
            f"searched in {importing.searched()}, and among the installed packages)"
        ) from error
    finally:
        sys.path.pop(0)
    found: object = module
    for part in function_name.split("."):
        found = getattr(found, part, None)
    if found is None:
        hint = "; it was a Python object, so give it again" if "<" in name else ""
        raise UserError(f"policy {name!r}: {module_name} has no function {function_name!r}{hint}")
    return found
