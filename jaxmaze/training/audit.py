"""The audit of a handover: a clone's recorded behaviour, checked when PPO takes it over.

A finished run keeps ``audit.npz``: states, the log-probabilities that its policies gave there, and
the returns of a few fixed episodes. Code that takes over the policies computes both again with its
own networks, statistics and environment, and stops if they differ.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxmaze import config as config_lib
from jaxmaze import policies
from jaxmaze.config import Settings
from jaxmaze.core import exploration
from jaxmaze.core.networks import Networks
from jaxmaze.core.spaces import ActionSpace
from jaxmaze.core.types import Json, JsonMap, Policy, PyTree
from jaxmaze.core.words import counted
from jaxmaze.envs import environment, importing
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.envs.episodes import Episode, play_episodes
from jaxmaze.errors import UserError
from jaxmaze.runs import console, disk, run_folder, trajectories
from jaxmaze.runs.checkpoint import digest
from jaxmaze.training import compiled, evaluation

FILE = "audit.npz"
STATES, EPISODES, NUM_ENVS = 512, 10, 16
AROUND: JsonMap = {
    "wrappers": [],
    "reset_options": {},
    "frame_skip": 1,
    "frame_stack": 1,
    "grayscale": False,
    "resize": None,
}
"""Wrapper options of an environment, with the value that applies where a run names none."""
IN_TURN = 2048
"""Number of states of whole episodes, for policies with memory."""
TOLERANCE = 1e-6
"""Largest difference of log-probabilities, relative to their size where that is above 1."""


class Shown(NamedTuple):
    """States with actions, separate for each member.

    Attributes:
      obs: ``[M, S, *obs_shape]``.
      action: ``[M, S, ...]``.
      begin: ``[M, S]`` 1.0 where an episode begins, for states of whole episodes one after another;
        None for single states, which are enough for policies without memory.
    """

    obs: PyTree
    action: np.ndarray
    begin: np.ndarray | None = None


class Record(NamedTuple):
    """The recorded behaviour of ``M`` policies.

    Attributes:
      obs: ``[M, S, *obs_shape]`` states, separate for each member.
      action: ``[M, S, ...]`` actions there: the teacher's, or the policy's own.
      log_prob: ``[M, S]`` the policies' log-probabilities of these actions.
      seeds: ``[E]`` seeds of the episodes.
      returns: ``[M, E]`` returns in them, with deterministic actions.
      demonstrated: whether states and actions are held-out demonstrations; refitted clones have
        been trained on them since.
      temperature: ``[M]`` the temperature that maximises the likelihood of those actions, before
        any refit; NaN without held-out episodes.
      digest: SHA-256 of the policies, in hexadecimal.
      begin: ``[M, S]`` as :class:`Shown` has it.
    """

    obs: PyTree
    action: np.ndarray
    log_prob: np.ndarray
    seeds: np.ndarray
    returns: np.ndarray
    demonstrated: np.ndarray
    temperature: np.ndarray
    digest: np.ndarray
    begin: np.ndarray | None = None


@functools.partial(jax.jit, static_argnums=0)
def _log_probs(
    networks: Networks, policy: Policy, obs: PyTree, action: PyTree, begin: PyTree
) -> PyTree:
    memory = None if begin is None else networks.blank(begin)
    return networks.distribution(policy.params, policy.obs_stats, obs, memory).log_prob(action)


def log_probs(
    networks: Networks,
    population: Policy,
    obs: PyTree,
    action: PyTree,
    begin: np.ndarray | None = None,
) -> np.ndarray:
    """Log-probabilities ``[M, S]``, member by member; over sequences where ``begin`` is given.

    One program of one shape for any number of members, so that the numbers are equal to the bit on
    the same machine.
    """
    each = [
        jax.tree.map(lambda x, m=m: x[m], (population, obs, action, begin))
        for m in range(len(action))
    ]
    return np.stack([np.asarray(_log_probs(networks, *mine)) for mine in each])


def _play(
    networks: Networks,
    population: Policy,
    info: EnvInfo,
    seeds: np.ndarray,
    record: bool,
) -> list[list[Episode]]:
    """Each member's episodes with deterministic actions, also in one shape for all members."""
    count = len(jax.tree.leaves(population)[0])
    if not len(seeds):
        return [[] for _ in range(count)]
    each = [jax.tree.map(lambda x, m=m: x[m], population) for m in range(count)]
    return [
        play_episodes(info, policies.LoadedPolicy(networks, policy), seeds, NUM_ENVS, record)
        for policy in each
    ]


@console.doing("keeps a record for later audits")
def write(
    run: Path,
    networks: Networks,
    population: Policy,
    info: EnvInfo,
    config: Settings,
    demonstrated: Shown | None = None,
    temperature: np.ndarray | None = None,
) -> None:
    """Record the behaviour of a run's policies in its folder.

    Args:
      run: the folder.
      networks: of the policies.
      population: the policies that the run hands over, ``[M, ...]`` on the host.
      info: the environment; without one (cloning of data alone), there are no episodes.
      config: the configuration; its ``evaluation`` section fixes the episodes.
      demonstrated: held-out demonstrations; if None, states that the policies themselves visit are
        recorded.
      temperature: ``[M]`` from :func:`temperature_of`, if known.
    """
    seeds = evaluation.selection_seeds(config, EPISODES if info.exists else 0)
    played = _play(networks, population, info, seeds, record=demonstrated is None)
    if demonstrated is None:
        remembers = networks.carry_size > 0
        states = [_visited(episodes, networks.spaces.action, remembers) for episodes in played]
        shown: Shown = jax.tree.map(lambda *x: np.stack(x), *states)
    else:
        shown = Shown(*demonstrated)
    record = Record(
        shown.obs,
        shown.action,
        log_probs(networks, population, *shown),
        seeds,
        np.array([[e.episode_return for e in episodes] for episodes in played]),
        np.array(demonstrated is not None),
        np.full(len(shown.action), np.nan) if temperature is None else temperature,
        np.array(digest(population)),
        shown.begin,
    )
    rest = {n: x for n, x in record._asdict().items() if n != "obs" and x is not None}
    named = {_array_of(name): x for name, x in networks.spaces.obs.named(shown.obs)}
    with disk.whole(run / FILE) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **named, **rest)


def _array_of(part: str) -> str:
    """The name in the file of a part of the observations."""
    return f"obs.{part}" if part else "obs"


def _visited(episodes: list[Episode], action: ActionSpace, remembers: bool) -> Shown:
    obs, taken, episode = trajectories.rows(episodes, action)
    return spread(obs, taken, _begins(episode) if remembers else None)


def _begins(episode: np.ndarray) -> np.ndarray:
    """1.0 where a new episode begins, given the episode number of each row ``[R]``."""
    return np.diff(episode, prepend=-1).astype(bool).astype(np.float32)


def spread(obs: PyTree, action: np.ndarray, begin: np.ndarray | None = None) -> Shown:
    """``STATES`` rows spread evenly over ``[R, ...]`` (repeated where there are fewer).

    If ``begin`` ``[R]`` is given, ``IN_TURN`` rows of whole episodes instead; the last episode may
    be cut.
    """
    if begin is None:
        index = np.linspace(0, len(action) - 1, STATES).astype(int)
    else:
        parts = np.split(np.arange(len(action)), np.flatnonzero(begin)[1:])
        drawn = np.random.default_rng(0).permutation(len(parts))
        mixed = np.concatenate([parts[i] for i in drawn])
        index = mixed[np.arange(IN_TURN) % len(mixed)]
    return jax.tree.map(lambda x: x[index], Shown(obs, action, begin))  # type: ignore[no-any-return]


def held_out(
    obs: PyTree, action: np.ndarray, validation: np.ndarray, episode: np.ndarray | None = None
) -> Shown:
    """Each member's held-out states and the teacher's actions, ``[M, S, ...]``.

    Args:
      obs: ``[R, *obs_shape]`` all rows.
      action: ``[R, ...]``.
      validation: ``[M, R]`` above 0 for a member's held-out rows; if none is, all rows are used.
      episode: ``[R]`` the episode of each row, for policies with memory.
    """
    rows = Shown(obs, action, None if episode is None else _begins(episode))
    chosen = [
        spread(*(jax.tree.map(lambda x, v=v: x[v > 0], rows) if v.any() else rows))
        for v in validation
    ]
    return jax.tree.map(lambda *x: np.stack(x), *chosen)


def temperature_of(networks: Networks, population: Policy, demonstrated: Shown) -> np.ndarray:
    """The temperature ``[M]`` that maximises the likelihood of actions ``[M, S, ...]``.

    The policies must not have been trained on these actions, or they would seem too confident.
    """
    find = functools.partial(exploration.likely_temperature, networks)
    options = compiled.compiler_options(compiled.ONCE)
    return np.asarray(jax.jit(jax.vmap(find), compiler_options=options)(population, *demonstrated))


def read(run: Path, networks: Networks) -> Record | None:
    """A run's record of policies with these networks, None without one.

    Raises:
      UserError: if it cannot be read.
    """
    path = run / FILE
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            spec = networks.spaces.obs
            parts = [file[_array_of(part.name)] for part in spec.parts]
            optional = set(Record._field_defaults) - set(file.files)
            rest = {n: file[n] for n in Record._fields if n != "obs" and n not in optional}
            return Record(spec.build(parts), **rest)
    except Exception as error:  # A damaged archive may raise anything.
        raise UserError(
            f"{path} cannot be read ({type(error).__name__}); delete it to go on without its proof"
        ) from error


def env_difference(theirs: JsonMap, ours: JsonMap) -> str:
    """The first argument of two ``env`` sections that differs, in words; empty if none does.

    An argument that only one of them names may be the environment's own default; such a difference
    would show in the episodes' returns. A clone of data alone has no environment to compare.
    """
    if theirs.get("id") is None and theirs.get("make") is None:
        return ""
    # An environment made by a function has an id that is only a label.
    made = theirs.get("make") is not None or ours.get("make") is not None
    name = "make" if made else "id"
    if theirs.get(name) != ours.get(name):
        return f"env.{name} is {theirs.get(name)!r} there and {ours.get(name)!r} here"
    there, here = theirs.get("max_episode_steps"), ours.get("max_episode_steps")
    if there != here and None not in (there, here):
        return f"env.max_episode_steps is {there!r} there and {here!r} here"
    a, b = theirs.get("kwargs", {}), ours.get("kwargs", {})
    for name in a:
        if name in b and a[name] != b[name]:
            return f"env.kwargs.{name} is {a[name]!r} there and {b[name]!r} here"
    for name, default in AROUND.items():
        a, b = theirs.get(name, default), ours.get(name, default)
        each = [x if name != "wrappers" else list(map(importing.wrapping, x)) for x in (a, b)]
        if each[0] != each[1]:
            return f"env.{name} is {a!r} there and {b!r} here"
    return ""


def check(
    run: Path,
    networks: Networks,
    population: Policy,
    info: EnvInfo,
    config: Settings,
    record: Record | None,
) -> Json:
    """Compare policies taken over from a run with that run's record.

    Args:
      run: where they come from.
      networks: as they will be used.
      population: the policies, ``[M, ...]``, one for each member in the record.
      info: the environment they will be used in.
      config: the configuration they will be used with; ``ppo.audit`` says whether a difference
        stops (``"stop"``) or is only reported.
      record: of the run.

    Returns:
      The audit's figures, as in summary.json.

    Raises:
      UserError: one line that names what differs.
    """
    raw = run_folder.read_config(run)
    theirs, ours = raw.get("config", {}).get("env", {}), config_lib.to_dict(config)["env"]
    assert isinstance(ours, dict)
    # If unset, the registered step limit applies, on either side.
    registered = environment.registered_limit(info)
    ours = ours | {"max_episode_steps": ours["max_episode_steps"] or registered}
    if theirs.get("max_episode_steps") is None:
        theirs = theirs | {"max_episode_steps": registered}
    difference = env_difference(theirs, ours)
    figures: Json = {"origin": str(run), "difference": difference}
    if difference:
        _differs(config, f"{run} was trained in another environment: {difference}")
    if record is None:
        return figures | {"states": 0, "episodes": 0}
    if digest(population) != str(record.digest):
        news = "its parameters or observation statistics are not those it was evaluated with"
        _differs(config, f"the policy taken over from {run} differs: {news}")
        return figures | {"states": 0, "episodes": 0, "difference": difference or news}
    again = log_probs(networks, population, record.obs, record.action, record.begin)
    gap = np.abs(again - record.log_prob)
    figures |= {
        "states": int(gap.size),
        "held_out_demonstrations": bool(record.demonstrated),
        "max_log_prob_difference": float(gap.max()),
        "episodes": int(record.returns.size),
    }
    if len(record.seeds):
        figures |= _episodes(networks, population, info, record)
    else:
        console.say(
            f"note: {run} was cloned without an environment, so only its log-probabilities are "
            f"compared, in {gap.size} states, and no episodes"
        )
    figures["difference"] = difference or _verdict(figures, gap, record, raw)
    if figures["difference"] and not difference:
        _differs(config, f"the policy taken over from {run} differs: {figures['difference']}")
    return figures


def _episodes(networks: Networks, population: Policy, info: EnvInfo, record: Record) -> Json:
    """The policies' returns now in the recorded episodes, next to the recorded returns."""
    played = _play(networks, population, info, record.seeds, record=False)
    returns = np.array([[e.episode_return for e in episodes] for episodes in played])
    return {
        "clone_return": float(record.returns.mean()),
        "return": float(returns.mean()),
        "max_return_difference": float(np.abs(returns - record.returns).max()),
    }


def _verdict(figures: Json, gap: np.ndarray, record: Record, raw: Json) -> str:
    """The difference found with equal environment arguments, in words; empty if there is none."""
    versions, old = run_folder.versions(), raw.get("versions", {})
    news = [f"{n} {old[n]} there and {v} here" for n, v in versions.items() if old.get(n, v) != v]
    why = f" ({', '.join(news)})" if news else ""
    limit = TOLERANCE * np.maximum(1.0, np.abs(record.log_prob))
    if not (gap <= limit).all():
        return f"log-probabilities by {gap.max():.2g}, more than {TOLERANCE:g}{why}"
    if not len(record.seeds):
        return ""
    if not math.isclose(figures["return"], figures["clone_return"], rel_tol=1e-6, abs_tol=1e-6):
        return (
            f"its mean return on the same {counted(len(record.seeds), 'episode')} is "
            f"{figures['return']:.2f}, the clone's {figures['clone_return']:.2f}: the environment "
            f"acts differently{why}"
        )
    return ""


def _differs(config: Settings, message: str) -> None:
    if config.ppo.audit == "stop":
        raise UserError(
            f"{message}; use the same, or --config.ppo.audit=report to go on all the same"
        )
