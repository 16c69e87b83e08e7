"""The handover from a clone to PPO: audited policies, demonstrations and exploration.

The run that ``ppo.init_from`` names provides policies with their observation statistics; the
demonstrations they were cloned from, if the critic or the policy's loss uses them; and the record
of the clone's behaviour (:mod:`jaxmaze.training.audit`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmaze.config import Settings
from jaxmaze.config.fields import names_of
from jaxmaze.config.sections.bc import BC
from jaxmaze.core import exploration, observations, sequences
from jaxmaze.core.action_space import ActionSpace, or_start
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Array, Json, Params, Policy, PyTree
from jaxmaze.envs import environment
from jaxmaze.errors import UserError
from jaxmaze.runs import checkpoint, console, run_folder, sources, trajectories
from jaxmaze.runs.filters import NO_REWARDS
from jaxmaze.training import audit, compiled

IMAGE_STATES = 8
"""Exploration is measured on one in this many of the recorded states with images."""


class Origin(NamedTuple):
    """The policies that PPO starts from, audited.

    Attributes:
      clones: the policies as the run hands them over, ``[M, ...]``.
      policies: the same at the temperature that ``ppo.exploration`` asks for; PPO's initial
        policies and the reference policies of ``clone_kl``.
      figures: the audit's figures, and ``temperature``, ``entropy`` and ``action_std`` at the
        start.
      start: the latter three as arrays ``[M]``, to be logged.
    """

    clones: Policy
    policies: Policy
    figures: Json
    start: dict[str, np.ndarray]


class Demonstrations(NamedTuple):
    """Episodes for fitting a critic or for a cloning loss; ``R`` steps of ``E`` episodes.

    Attributes:
      obs: ``[R, *obs_shape]``.
      action: ``[R, ...]`` the teacher's.
      reward: ``[R]`` in the environment's units.
      episode: ``[R]`` int32 episode numbers.
      final_obs: ``[E, *obs_shape]``.
      truncated: ``[E]``.
      weight: ``[R]`` weights of the rows in a cloning loss; None if all are equal.
    """

    obs: PyTree
    action: np.ndarray
    reward: np.ndarray
    episode: np.ndarray
    final_obs: PyTree
    truncated: np.ndarray
    weight: np.ndarray | None = None

    def lengths(self) -> np.ndarray:
        """Steps of each episode ``[E]``."""
        return np.bincount(self.episode, minlength=len(self.truncated))


class Given(NamedTuple):
    """The policies and record of the run that others start from.

    Attributes:
      run: its folder.
      population: its policies, ``[M, ...]``.
      members: ``M``.
      record: the audit's record of their behaviour, if there is one.
    """

    run: Path
    population: Policy
    members: int
    record: audit.Record | None


@console.doing("reads what it starts from")
def read(config: Settings, networks: Networks) -> Given | None:
    """The policies and record of the run in ``config.ppo.init_from``; None from scratch.

    Raises:
      UserError: one line that names what differs, if it has no checkpoint, another network or other
        spaces.
    """
    if config.ppo.init_from is None:
        return None
    run = run_folder.delivering(Path(config.ppo.init_from))
    theirs, population, meta = checkpoint.load_best(run)
    if theirs.spaces.bare() != networks.spaces.bare():
        raise UserError(
            f"{run} has {theirs.spaces.describe()}, but this run has {networks.spaces.describe()}"
        )
    for name, wanted in networks.spec._asdict().items():
        found = getattr(theirs.spec, name)
        if found != wanted:
            raise UserError(f"{run} has network.{name}={found}, but this run has {wanted}")
    return Given(run, population, len(meta["seeds"]), audit.read(run, networks))


def clones(given: Given, config: Settings) -> Policy:
    """Initial policies of the members, ``[M, ...]``: the run's, repeated cyclically if needed."""
    return _cycled(given.population, config.members, given.members)


def _cycled(tree: PyTree, wanted: int, there: int) -> PyTree:
    index = np.arange(wanted) % there
    return jax.tree.map(lambda x: x[index], tree)


def take(
    given: Given | None,
    config: Settings,
    networks: Networks,
    info: environment.EnvInfo,
) -> Origin | None:
    """PPO's initial policies: audited, with the configured exploration.

    None from scratch.

    Raises:
      UserError: one line that names what differs, if the environment differs, or the policies do
        not reproduce their record.
    """
    if given is None:
        return None
    run, population, members, record = given
    figures = audit.check(run, networks, population, info, config, record)
    own = clones(given, config)
    seen = None
    if record is not None:
        seen = _cycled((record.obs, record.begin), config.members, members)
    states = _states(networks, own, seen)
    wanted = _temperature(config, run, record)
    temperature, params, start, asked = _started(config, networks, own, states, wanted)
    ends = (temperature <= 1.01 * exploration.LOWEST) | (temperature >= 0.99 * exploration.HIGHEST)
    if wanted is None:  # of squashed actions there may be less at any temperature
        ends |= start["entropy"] < asked - 0.01
    if ends.any():
        console.say(
            f"note: the exploration asked for is out of reach of {ends.sum()} of {len(ends)} "
            f"members; they start at a temperature of {temperature[ends][0]:.2g}"
        )
    # At temperature 1 they stay unchanged, to the bit.
    policies = own if (temperature == 1.0).all() else Policy(params, own.obs_stats)
    start |= {"temperature": temperature}
    shown = {name: float(x.mean()) for name, x in start.items()}
    return Origin(own, policies, figures | shown, start)


def _states(networks: Networks, clones: Policy, recorded: PyTree | None) -> PyTree:
    """States to measure exploration on: recorded ones, or samples of the clones' statistics.

    Also gives where episodes begin among them; None for single states.
    """
    if recorded is not None:
        # Some 40 temperatures are tried on all of them, which would be too slow on images.
        if networks.spaces.obs.num_pixels and recorded[1] is None:
            return jax.tree.map(lambda x: x[:, ::IMAGE_STATES], recorded)
        return recorded
    stats, spaces = clones.obs_stats, networks.spaces
    spread = None if stats.var is None else np.sqrt(stats.var)
    members, rng = len(stats.count), np.random.default_rng(0)
    drawn = observations.draw(spaces.features, rng, audit.STATES, stats.mean, spread, members)
    return spaces.with_mask(drawn), None


def _temperature(config: Settings, run: Path, record: audit.Record | None) -> np.ndarray | None:
    """The initial temperature ``[M]``; None for the one that gives the wanted entropy."""
    if config.ppo.exploration == "kept":
        return np.ones(config.members, np.float32)
    if config.ppo.exploration == "reset":
        return None
    if record is None or not np.isfinite(record.temperature).all():
        raise UserError(
            f"config.ppo.exploration=calibrated needs held-out demonstrations, which {run} has not "
            "on record; start from a finished bc run with some, or choose kept or reset"
        )
    return record.temperature[np.arange(config.members) % len(record.temperature)]


def _started(
    config: Settings,
    networks: Networks,
    clones: Policy,
    states: PyTree,
    wanted: np.ndarray | None,
) -> tuple[np.ndarray, Params, dict[str, np.ndarray], np.ndarray]:
    """Temperature, the clones' parameters at it, their entropy and std, and the entropy asked for.

    In ``states``; a share of the entropy is one of what action masks leave there.

    All ``[M, ...]``, in one program, because compilation takes nearly all of the time here.
    """
    share = config.ppo.start_exploration
    asked = networks.action.entropy_of_share(share)

    def start(clone: Policy, states: PyTree, temperature: PyTree) -> PyTree:
        obs, begin = states
        entropy: Array = jnp.asarray(asked)
        if networks.spaces.masked:  # of choices alone
            entropy = or_start(share) * exploration.most_entropy(networks, clone, obs, begin)
        if temperature is None:
            temperature = exploration.entropy_temperature(networks, clone, obs, entropy, begin)
            if share is None and networks.action.never_cooled:
                temperature = jnp.maximum(temperature, 1.0)
        params = networks.temper(clone.params, temperature)
        memory = None if begin is None else networks.blank(begin)
        dist = networks.distribution(params, clone.obs_stats, obs, memory)
        measured = {"entropy": dist.entropy().mean(), **dist.exploration()}
        return temperature, params, measured, entropy

    options = compiled.compiler_options(compiled.ONCE)
    started = jax.jit(jax.vmap(start), compiler_options=options)
    return jax.device_get(started(clones, states, wanted))


def demonstrations(
    config: Settings, info: environment.EnvInfo, action: ActionSpace
) -> list[tuple[str, Demonstrations]]:
    """The demonstrations of each member's clone, with their SHA-256.

    Clones of bc share one data set; each clone of dagger has its own. They are clipped, filtered
    and weighted as in the clone's run. If ``config.bc.data`` is set, for example because the data
    have moved, it is read instead, with the other settings of ``config.bc``.

    Args:
      config: all settings.
      info: the environment.
      action: the policies' actions, which have units of their own.

    Raises:
      UserError: if they cannot be found or read, or differ from the clone's.
    """
    if config.bc.data is not None:
        return [_read(config.bc, None, config, info, action)] * config.members
    listed = sources_of(config)
    missing = [path for source in listed for path in source.paths if not Path(path).is_dir()]
    if missing or not listed:
        raise UserError(
            f"the demonstrations behind {config.ppo.init_from} are not at hand "
            f"({missing[0] if missing else 'it is not a clone'}); name some with "
            "--config.bc.data=DIR"
        )
    read = {
        source: _read(
            sources.section_of(source.paths, json.loads(source.taken)),
            source.sha256,
            config,
            info,
            action,
        )
        for source in dict.fromkeys(listed)
    }
    return [read[listed[m % len(listed)]] for m in range(config.members)]


def sources_of(config: Settings) -> list[run_folder.Source]:
    """Where the demonstrations behind ``ppo.init_from`` are; empty from scratch.

    One source if all members share it, else each member's own: those who start from this run have
    its members, not the clones, to count by.

    Raises:
      UserError: if that run has not written them yet.
    """
    if config.ppo.init_from is None:
        return []
    listed = run_folder.demonstrations(run_folder.delivering(Path(config.ppo.init_from)))
    if len(listed) < 2:
        return listed
    return [listed[m % len(listed)] for m in range(config.members)]


def _read(
    section: BC,
    wanted: str | None,
    config: Settings,
    info: environment.EnvInfo,
    action_space: ActionSpace,
) -> tuple[str, Demonstrations]:
    # The run that cloned them has already printed the remarks.
    dataset = sources.read(section, info, quiet=wanted is not None)
    if config.ppo.critic_fit_epochs > 0 and dataset.provenance.get("rewards") == NO_REWARDS:
        raise UserError(
            f"{', '.join(names_of(section.data))} has no rewards to fit a critic to; set "
            "config.ppo.critic_fit_epochs=0"
        )
    if wanted not in (None, dataset.sha256):
        raise UserError(
            f"{', '.join(names_of(section.data))} has changed since {config.ppo.init_from} was "
            "cloned from it; name the demonstrations to use with --config.bc.data=DIR"
        )
    obs, action, episode = trajectories.rows(dataset.episodes, action_space)
    demos = Demonstrations(
        obs,
        action,
        np.concatenate([e.rewards for e in dataset.episodes]),
        episode.astype(np.int32),
        jax.tree.map(
            lambda like, *x: np.stack([part[-1] for part in x]).astype(like.dtype),
            *(obs, *[e.observations for e in dataset.episodes]),
        ),
        np.array([not e.terminated for e in dataset.episodes]),
        dataset.row_weights(),
    )
    return dataset.sha256, demos


def discounted(demos: Demonstrations, gamma: float) -> dict[str, np.ndarray]:
    """The critic's targets, as :class:`jaxmaze.core.critic.Returns` names them.

    ``mean`` and ``scale`` are those of ``G <- gamma * G + r`` over all steps, by whose standard
    deviation PPO divides rewards (:func:`jaxmaze.core.normalization.scale_rewards`).
    """
    reward = demos.reward.tolist()  # plain numbers: a loop over numpy's takes ten times as long
    to_go, left, running = ([0.0] * len(reward) for _ in range(3))
    ends = np.flatnonzero(np.append(np.diff(demos.episode) != 0, True)) + 1
    begin = 0
    for episode, end in enumerate(ends.tolist()):
        ahead, discount, behind = 0.0, float(demos.truncated[episode]), 0.0
        for t in range(end - 1, begin - 1, -1):
            ahead, discount = reward[t] + gamma * ahead, gamma * discount
            to_go[t], left[t] = ahead, discount
        for t in range(begin, end):
            behind = gamma * behind + reward[t]
            running[t] = behind
        begin = end
    return {
        "reward_to_go": np.array(to_go, np.float32),
        "left": np.array(left, np.float32),
        "mean": np.asarray(np.mean(running), np.float32),
        "scale": np.asarray(max(np.std(running), 1e-3), np.float32),
    }


def returns(
    demos: Sequence[Demonstrations], gammas: Sequence[float], longest: int | None = None
) -> tuple[dict[str, PyTree], dict[str, PyTree]]:
    """The targets of members' critics, as :class:`jaxmaze.core.critic.Returns` names them.

    Args:
      demos: each member's demonstrations; the same object for members that share one data set.
      gammas: their discounts.
      longest: the largest number of steps of a sequence, for recurrent critics; None for others.

    Returns:
      Arrays with a leading axis of members, and arrays that all share. Data sets of different
      length are padded with rows of weight 0.
    """
    each = [discounted(d, gamma) for d, gamma in zip(demos, gammas, strict=True)]
    names = ("obs", "episode", "final_obs")
    if all(d is demos[0] for d in demos):
        own = {name: np.stack([e[name] for e in each]) for name in each[0]}
        shared = {n: getattr(demos[0], n) for n in names}
        if longest is not None:
            shared["sequences"] = sequences.cut(demos[0].lengths(), longest)
        return own, shared
    for e, d in zip(each, demos, strict=True):
        e |= {n: getattr(d, n) for n in names} | {"weight": np.ones(len(d.action), np.float32)}

    def filled(*parts: np.ndarray) -> np.ndarray:
        if not parts[0].ndim:
            return np.stack(parts)
        longest = max(map(len, parts))
        rest = [np.zeros((longest - len(x), *x.shape[1:]), x.dtype) for x in parts]
        return np.stack([np.concatenate(both) for both in zip(parts, rest, strict=True)])

    own = jax.tree.map(filled, *each)
    if longest is not None:
        own["sequences"] = sequences.together([d.lengths() for d in demos], longest)
    return own, {}
