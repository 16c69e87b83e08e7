"""DAgger's data: states visited by the mixture of teacher and clone, labelled by the teacher."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from jaxmaze import policies
from jaxmaze.config import Settings
from jaxmaze.core import seeding, sequences
from jaxmaze.core.networks import Networks
from jaxmaze.core.spaces import ActionSpace
from jaxmaze.core.types import Array, Json, Policy, PyTree, Sequences
from jaxmaze.envs import environment
from jaxmaze.envs.episodes import Episode, acts_for, run_episodes
from jaxmaze.errors import UserError
from jaxmaze.runs import checkpoint, disk, run_folder, trajectories

ROUNDS = "rounds"


def teacher_of(
    config: Settings, info: environment.EnvInfo, number: int, policy: object = None
) -> policies.Act:
    """The teacher that labels a round's states; a random one is seeded with the round's own seed.

    Args:
      config: the configuration.
      info: the environment.
      number: the round's number.
      policy: a Python object as teacher instead of the configured one.

    Raises:
      UserError: if there is no such teacher, it does not fit, or it cannot be queried.
    """
    seed = seeding.episode_seed(config.seed, seeding.POLICY, number)
    if policy is not None:
        return policies.checked(policies.resolve(policy, info, seed), info)
    name = config.dagger.policy or config.rollout.policy
    folder = Path(name)
    if folder.is_dir() and name not in policies.registered():
        config_file = folder / run_folder.CONFIG
        kind = run_folder.read_config(folder)["kind"] if config_file.exists() else "data set"
        if kind == "data set" or not checkpoint.there(run_folder.delivering(folder)):
            raise UserError(
                f"{name} is a {kind}, which cannot be asked what to do in a new state, as dagger "
                "must; give a teacher that can (heuristic, a trained run's folder, "
                "package.module:function), or clone recorded episodes with the recipe bc"
            )
    found = policies.resolve(name, info, seed, deterministic=config.evaluation.deterministic)
    return policies.checked(found, info)


def beta(config: Settings, number: int) -> float:
    """The probability with which the teacher acts in a round; 1 in round 0.

    Ross, Gordon & Bagnell (2011), "A Reduction of Imitation Learning and Structured Prediction to
    No-Regret Online Learning", section 3.1, where ``indicator`` did best.
    """
    section = config.dagger
    if section.beta_schedule == "indicator":
        return float(number == 0)
    if section.beta_schedule == "exponential":
        return float(section.beta_decay**number)
    return 1.0 - number / max(section.rounds - 1, 1)


@functools.partial(jax.jit, static_argnums=0)
def _modes(
    networks: Networks, population: Policy, obs: PyTree, carry: PyTree, begin: PyTree
) -> PyTree:
    """The modes of clones ``[M]`` at ``[M, E, ...]``, and their next hidden states."""

    def one(policy: Policy, obs: PyTree, carry: PyTree) -> PyTree:
        action, carry = networks.act_on(policy, obs, carry, begin)
        return networks.to_env(action), carry

    return jax.vmap(one)(population, obs, carry)


def play(
    info: environment.EnvInfo,
    networks: Networks,
    teacher: policies.Act,
    clones: Policy | None,
    seeds: np.ndarray,
    share: float,
    generators: Sequence[np.random.Generator],
) -> list[list[Episode]]:
    """Play every member's episodes of a round, with the teacher's labels.

    Args:
      info: the environment.
      networks: of the clones.
      teacher: observations ``[K, ...]`` to actions ``[K, ...]``.
      clones: one per member, ``[M, ...]``; None where only the teacher acts.
      seeds: ``[M, E]`` the episodes.
      share: the probability that the teacher acts, at each step (beta).
      generators: one per member, for these draws.

    Returns:
      ``E`` episodes for each of ``M`` members, with the actions taken and the teacher's labels.
    """
    members, count = seeds.shape
    envs = [environment.make(info.config) for _ in range(members * count)]
    labels: list[PyTree] = []
    carry: PyTree = np.zeros((members, count, networks.carry_size), np.float32)

    def act(obs: PyTree) -> PyTree:
        nonlocal carry
        shown = teacher(obs)
        begin = np.full(count, not labels, np.float32)
        labels.append(shown)
        # Always drawn for all, so that a member's draws do not depend on the other members.
        drawn = np.concatenate([g.random(count) for g in generators])
        if clones is None:
            return shown
        apart = jax.tree.map(lambda x: x.reshape(members, count, *x.shape[1:]), obs)
        own, carry = _modes(networks, clones, apart, carry, begin)
        return jax.tree.map(functools.partial(_mixed, drawn < share), shown, own)

    try:
        # One episode per slot, all started together: step t of each is call t.
        queues = [deque([(k % count, int(seed))]) for k, seed in enumerate(seeds.reshape(-1))]
        found: dict[int, Episode] = {}
        for slot, episode in run_episodes(envs, acts_for(act, teacher), queues, record=True):
            found[slot] = _labelled(episode, labels, slot)
    finally:
        for env in envs:
            env.close()
    return [[found[m * count + i] for i in range(count)] for m in range(members)]


def _mixed(asked: np.ndarray, shown: np.ndarray, own: Array) -> np.ndarray:
    """The teacher's actions ``[K, ...]`` where ``asked``, else the clones' ``[M, E, ...]``."""
    rows = asked.reshape((-1,) + (1,) * (shown.ndim - 1))
    return np.where(rows, shown, np.asarray(own).reshape(shown.shape)).astype(shown.dtype)


def _labelled(episode: Episode, labels: Sequence[PyTree], slot: int) -> Episode:
    """An episode with the teacher's actions as labels, of the dtypes of the actions taken."""
    steps = labels[: episode.length]
    taught = jax.tree.map(
        lambda done, *x: np.stack([a[slot] for a in x]).astype(done.dtype), episode.actions, *steps
    )
    return dataclasses.replace(episode, labels=taught)


def shown(config: Settings, info: environment.EnvInfo, policy: object = None) -> Iterator[Episode]:
    """Play episodes of the teacher alone, the same for every member of every run.

    They set the units of actions without bounds, before the first round. Nothing is played before
    the first is asked for.

    Args:
      config: the configuration.
      info: the environment.
      policy: as :func:`teacher_of` takes it.
    """
    count = range(config.dagger.n_episodes)
    seeds = np.array([[seeding.episode_seed(0, seeding.AGGREGATION, 0, i) for i in count]])
    networks = policies.build_networks(config, info.spaces)  # only asked whether they remember
    teacher = teacher_of(config, info, 0, policy)
    (found,) = play(info, networks, teacher, None, seeds, 1.0, [np.random.default_rng(0)])
    yield from found


def keep_round(
    workdir: Path,
    seed: int,
    number: int,
    episodes: Sequence[Episode],
    info: environment.EnvInfo,
    provenance: Json,
) -> None:
    """Write one member's episodes of a round, whole or not at all."""
    _write(workdir / f"seed_{seed}" / ROUNDS / f"{number:03d}", episodes, info, provenance)


def kept_rounds(
    workdir: Path, seed: int, count: int, info: environment.EnvInfo
) -> tuple[list[list[Episode]], list[Json]]:
    """A member's episodes and provenance of the first ``count`` rounds; deletes later rounds.

    Raises:
      UserError: if one of them cannot be read.
    """
    folder = workdir / f"seed_{seed}" / ROUNDS
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        if not path.name.isdigit() or int(path.name) >= count:
            shutil.rmtree(path)
    whole = workdir / f"seed_{seed}" / run_folder.TRAJECTORIES
    if count and not (folder / f"{count - 1:03d}").is_dir() and whole.is_dir():
        return _apart(trajectories.read(whole, info), count)
    read = [trajectories.read(folder / f"{number:03d}", info) for number in range(count)]
    return [list(d.episodes) for d in read], [d.provenance for d in read]


def _apart(dataset: trajectories.Dataset, count: int) -> tuple[list[list[Episode]], list[Json]]:
    """Split a finished run's aggregated data set into rounds; returns the first ``count``."""
    parts, provenances, at = [], [], 0
    for part in dataset.provenance["rounds"][:count]:
        parts.append(list(dataset.episodes[at : at + part["episodes"]]))
        provenances.append({"policy": dataset.provenance["policy"], "round": part})
        at += part["episodes"]
    return parts, provenances


def keep_all(
    workdir: Path,
    seed: int,
    rounds: Sequence[Sequence[Episode]],
    provenances: Sequence[Json],
    info: environment.EnvInfo,
) -> str:
    """Write a member's aggregated data set; returns its SHA-256."""
    episodes = [e for part in rounds for e in part]
    numbered = [dataclasses.replace(e, index=i) for i, e in enumerate(episodes)]
    provenance = {
        "policy": provenances[0]["policy"],
        "seed": seed,
        "env": environment.spec_dict(info),
        "versions": run_folder.versions(),
        "rounds": [p["round"] for p in provenances],
    }
    return _write(workdir / f"seed_{seed}" / run_folder.TRAJECTORIES, numbered, info, provenance)


def drop_rounds(workdir: Path) -> None:
    """Delete the rounds' data sets, once the aggregated ones and the summary are written."""
    for folder in workdir.glob(f"seed_*/{ROUNDS}"):
        shutil.rmtree(folder)


def _write(
    path: Path, episodes: Sequence[Episode], info: environment.EnvInfo, provenance: Json
) -> str:
    with disk.whole(path) as temporary:
        return trajectories.write(temporary, episodes, info, provenance).sha256


def padded_rows(
    rounds: Sequence[Sequence[Sequence[Episode]]], action: ActionSpace
) -> tuple[PyTree, np.ndarray, np.ndarray]:
    """Members' rows, stacked: observations and labels ``[M, R, ...]``, weights ``[M, R]``.

    ``R`` is a power of two, so that few sizes are ever compiled; padding rows have weight 0.

    Args:
      rounds: each member's episodes, round by round.
      action: the action space.
    """
    each = [trajectories.rows([e for part in mine for e in part], action)[:2] for mine in rounds]
    counts = [len(actions) for _, actions in each]
    size = 1 << (max(counts) - 1).bit_length()

    def fill(x: np.ndarray) -> np.ndarray:
        return np.concatenate([x, np.zeros((size - len(x), *x.shape[1:]), x.dtype)])

    obs, actions = jax.tree.map(lambda *x: np.stack([fill(part) for part in x]), *each)
    return obs, actions, np.stack([np.arange(size) < n for n in counts]).astype(np.float32)


def padded_cuts(rounds: Sequence[Sequence[Sequence[Episode]]], longest: int) -> Sequences:
    """Where members' episodes are cut into sequences of at most ``longest`` steps, stacked.

    Args:
      rounds: as :func:`padded_rows` takes them.
      longest: the most steps of a sequence.
    """
    each = [np.array([e.length for part in mine for e in part]) for mine in rounds]
    return sequences.together(each, longest)
