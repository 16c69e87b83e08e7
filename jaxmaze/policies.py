"""Policies by name: a registered teacher, a run's folder, or ``package.module:function``."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import jax
import numpy as np

from jaxmaze import teachers, trust
from jaxmaze.config import Settings
from jaxmaze.core.networks import Networks
from jaxmaze.core.spaces import Spaces
from jaxmaze.core.types import Array, NetworkSpec, Policy, PyTree
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.errors import UserError
from jaxmaze.runs import checkpoint, run_folder

Act = Callable[[np.ndarray], np.ndarray]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _act(networks: Networks, sample: bool, policy: Policy, obs: PyTree, seed: int) -> Array:
    key = jax.random.key(seed) if sample else None
    return networks.to_env(networks.act(policy, obs, key)[0])


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
    action, carry = networks.act_on(policy, obs, carry, begin, key)
    return networks.to_env(action), carry


class LoadedPolicy:
    """A trained policy: numpy observations in, actions out. Needs neither environment nor data.

    A policy that remembers keeps what it remembers of each row from call to call, so that row ``i``
    is to be the same environment each time. It is told where episodes begin: by ``begin`` of a call
    or of :meth:`begin`, or for all rows by :meth:`reset`; all begin at the first call. Others do
    without, and are not changed by it.

    Attributes:
      networks: its networks as pure functions.
      policy: its parameters and observation statistics.
    """

    def __init__(self, networks: Networks, policy: Policy):
        self.networks, self.policy = networks, policy
        self.reset()

    def reset(self) -> None:
        """Forget everything: in every row an episode begins with the next call."""
        self._carry: np.ndarray | None = None
        self._begins: set[int] = set()

    def begin(self, slots: Iterable[int]) -> None:
        """Say in which rows an episode begins with the next call; ``slots`` are their numbers."""
        self._begins.update(int(slot) for slot in slots)

    def __call__(
        self, obs: np.ndarray, seed: int | None = None, begin: np.ndarray | None = None
    ) -> np.ndarray:
        """Actions ``[N, ...]`` for observations ``[N, *obs_shape]``, as the environment takes them.

        Deterministic (the distribution's mode) without a seed, a sample with one; the same seed
        gives the same sample. ``begin`` ``[N]`` is True in rows where an episode begins.

        Raises:
          ValueError: if the observations have another shape, or are of another number of rows than
            a policy that remembers was given before.
        """
        spaces = self.networks.spaces
        try:
            obs = spaces.obs.arrays(obs, np.float32)
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(
                f"the policy takes a batch {spaces.obs.batch()}; a part is missing: {error}"
            ) from None
        leaves = jax.tree.leaves(obs)
        if any(not x.ndim for x in leaves) or spaces.obs.problem(obs, "the policy"):
            raise ValueError(
                f"observations of shape {' and '.join(str(x.shape) for x in leaves)} do not fit; "
                f"the policy takes a batch {spaces.obs.batch()}"
            )
        rows = len(leaves[0])
        # Batches are padded to powers of two, so that few sizes are ever compiled.
        padding = spaces.obs.zeros((1 << max(rows - 1, 0).bit_length()) - rows, dtype=np.float32)
        padded = jax.tree.map(lambda *x: np.concatenate(x), obs, padding)
        if self.networks.carry_size:
            carry, begins = self._remembered(rows, len(jax.tree.leaves(padded)[0]), begin)
            given = (self.networks, seed is not None, self.policy, padded, seed or 0)
            action, carry = _act_on(*given, carry, begins)
            self._carry, self._begins = np.asarray(carry)[:rows], set()
        else:
            action = _act(self.networks, seed is not None, self.policy, padded, seed or 0)
        return np.asarray(action)[:rows]

    def _remembered(
        self, rows: int, padded: int, begin: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """What is remembered ``[padded, C]``, and where it does not count ``[padded]``."""
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
    """The policy that a run hands over: its best, as summary.json evaluates it.

    Args:
      run: the folder of a bc or ppo run, or of a workflow (its fine-tuned arm).
      member: which of the run's members.

    Raises:
      UserError: if the folder has no checkpoint, or not that many members.
    """
    networks, policies, meta = checkpoint.load_best(run_folder.delivering(Path(run)))
    count = len(meta["seeds"])
    if not 0 <= member < count:
        raise UserError(f"{run} has members 0 to {count - 1}, not {member}")
    return LoadedPolicy(networks, jax.tree.map(lambda x: x[member], policies))


def build_networks(settings: Settings, spaces: Spaces) -> Networks:
    """The networks that the settings ask for in an environment."""
    section = settings.network
    spec = NetworkSpec(tuple(section.hidden_sizes), section.activation)
    if section.memory != "none":
        spec = spec._replace(memory=section.memory, memory_size=section.memory_size)
    return Networks(spaces, spec)


def registered() -> list[str]:
    """Names of the teachers that come with the library."""
    return sorted(m.name for m in pkgutil.iter_modules(teachers.__path__))


def resolve(
    name: str, info: EnvInfo, seed: int, member: int = 0, deterministic: bool = True
) -> Act:
    """A policy by name as a function from ``[N, ...]`` observations to ``[N, ...]`` actions.

    Args:
      name: a registered teacher, a run's folder, or ``package.module:function``.
      info: the environment it will act in.
      seed: for policies that draw random numbers.
      member: which member of a run.
      deterministic: for a run's policy: the mode, instead of samples.

    Raises:
      UserError: if there is no such policy, or it does not fit the environment.
    """
    if name in registered():
        return importlib.import_module(f"jaxmaze.teachers.{name}").make(info, seed)
    if ":" in name and not Path(name).is_dir():
        return _imported(name)
    if not Path(name).is_dir():
        raise UserError(
            f"policy {name!r} is neither a teacher ({', '.join(registered())}), nor a run's "
            "folder, nor package.module:function"
        )
    policy = load_policy(name, member)
    if policy.networks.spaces != info.spaces:
        raise UserError(
            f"the policy in {name} was trained for {policy.networks.spaces.describe()}, but "
            f"{info.config.id} has {info.spaces.describe()}"
        )
    if deterministic:
        return policy
    return _Sampler(policy, seed)


class _Sampler:
    """A trained policy that draws its actions.

    Attributes:
      trained: the policy.
    """

    def __init__(self, policy: LoadedPolicy, seed: int):
        self.trained, self._rng = policy, np.random.default_rng(seed)

    def begin(self, slots: Iterable[int]) -> None:
        self.trained.begin(slots)

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        return self.trained(obs, seed=int(self._rng.integers(2**31)))


def digest_of(policy: Act | None) -> str | None:
    """What tells a trained policy from another of the same folder; None for other functions."""
    policy = getattr(policy, "__wrapped__", policy)
    trained = getattr(policy, "trained", policy)
    return checkpoint.digest(trained.policy) if isinstance(trained, LoadedPolicy) else None


def checked(policy: Act, info: EnvInfo) -> Act:
    """The policy, its actions' shape, type and range checked before the environment acts.

    Raises:
      UserError: when it is called and gives what the environment does not take.
    """
    space = info.spaces.action

    def act(obs: PyTree) -> np.ndarray:
        action = np.asarray(policy(obs))
        wanted = (len(jax.tree.leaves(obs)[0]), *space.shape)
        if action.shape != wanted:
            raise UserError(
                f"the policy gave actions of shape {action.shape} for {wanted[0]} observations; "
                f"{info.config.id} needs {wanted}"
            )
        if action.dtype.kind not in "biuf" or not np.isfinite(action).all():
            raise UserError("the policy gave actions that are NaN, infinite or no numbers")
        action = space.accept(action)
        problem = space.problem(action, info.config.id)
        if problem:
            raise UserError(f"the policy gave {problem}")
        return action.astype(info.action_space.dtype)

    act.__wrapped__ = policy  # type: ignore[attr-defined]
    if hasattr(policy, "begin"):
        act.begin = policy.begin  # type: ignore[attr-defined]
    return act


def _imported(name: str) -> Act:
    module_name, _, function_name = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        trust.refuse_runs(module_name)
        module = importlib.import_module(module_name)
    except UserError:
        raise
    except Exception as error:  # Whatever a user's module raises.
        raise UserError(
            f"policy {name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    finally:
        sys.path.pop(0)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UserError(f"policy {name!r}: {module_name} has no function {function_name!r}")
    return function
