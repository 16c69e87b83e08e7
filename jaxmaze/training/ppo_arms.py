"""Runs that train together as members of one program, and the settings of each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxmaze.config import Settings, get
from jaxmaze.config import settings as settings_lib
from jaxmaze.config.sections.ppo import PPO, policy_rate, segment_steps
from jaxmaze.core import ppo, preserving
from jaxmaze.core.action_space import ActionSpace
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import PyTree
from jaxmaze.envs import environment
from jaxmaze.errors import UserError
from jaxmaze.runs import console
from jaxmaze.training import handover
from jaxmaze.training.handover import Demonstrations, Origin

UNLIMITED_EPISODE = 1000
"""Assumed length of an episode in an environment without a step limit."""

KEEP_OUTPUTS = ("adapt", "constant")
"""Choices of ``ppo.observation_statistics`` that leave the networks' outputs as they are."""
CLIPPED = 0.01
"""Share of clipped steps above which a constant feature adapts with the choice ``constant``."""


class Arm(NamedTuple):
    """One run among those that train together.

    Attributes:
      name: what progress and tables call it.
      config: its configuration.
      workdir: its folder.
      members: positions of its members on the common leading axis.
      origin: the initial policies; None from scratch.
    """

    name: str
    config: Settings
    workdir: Path
    members: slice
    origin: Origin | None


def check_shared(configs: Sequence[Settings]) -> None:
    """Check that runs can train together.

    Raises:
      UserError: if a field that they must share differs.
    """
    for name in settings_lib.shared("ppo"):
        values = [get(config, name) for config in configs]
        if any(value != values[0] for value in values):
            raise UserError(f"runs that train together need the same {name}; train them apart")


def num_iterations(config: Settings) -> int:
    """Iterations that fit into ``total_env_steps``."""
    return config.ppo.total_env_steps // (config.ppo.num_envs * segment_steps(config.ppo))


def checkpoint_every(config: Settings, episode_limit: int | None) -> int:
    """Iterations between checkpoints: at evaluations that are two episode lengths apart.

    Environments are reset at a checkpoint, because their state cannot be saved. If that happened
    more often than an episode lasts, no episode would ever reach its end.
    """
    steps = config.ppo.eval_every * segment_steps(config.ppo)
    return config.ppo.eval_every * -(-2 * (episode_limit or UNLIMITED_EPISODE) // steps)


def needs_demonstrations(config: Settings) -> bool:
    """Whether a run uses its clone's demonstrations."""
    section = config.ppo
    asks = section.critic_fit_epochs > 0 or section.cloning_coef > 0
    return section.init_from is not None and asks


class DemonstrationSets:
    """The demonstrations of the members of all arms; each data set is kept once.

    Attributes:
      sets: the data sets.
      of_member: for each member of all arms the position of its data set; -1 for none.
    """

    def __init__(self, info: environment.EnvInfo, action: ActionSpace):
        """Prepare for an environment and the policies' actions, which have units of their own."""
        self._info, self._action, self._known = info, action, dict[str, int]()
        self._found: dict[str, list[tuple[str, Demonstrations]]] = {}
        self.sets: list[Demonstrations] = []
        self.of_member: list[int] = []

    def _read(self, config: Settings) -> list[tuple[str, Demonstrations]]:
        """As :func:`handover.demonstrations`, once for settings that lead to the same data."""
        key = repr((config.ppo.init_from, config.ppo.critic_fit_epochs, config.bc, config.members))
        if key not in self._found:
            self._found[key] = handover.demonstrations(config, self._info, self._action)
        return self._found[key]

    def behind(self, config: Settings) -> list[Demonstrations]:
        """The demonstrations behind a run's clones; empty from scratch, or if not at hand."""
        if config.ppo.init_from is None:
            return []
        try:
            return [demos for _, demos in self._read(config)]
        except UserError:
            return []

    def add(self, config: Settings) -> str | None:
        """Read those of the next arm's clones; returns their SHA-256, or None if it has none.

        Raises:
          UserError: if a loss needs them and they are not available.
        """
        found: list[tuple[str, Demonstrations]] = []
        if needs_demonstrations(config):
            try:
                found = self._read(config)
            except UserError as error:
                if config.ppo.cloning_coef > 0:
                    raise
                console.say(f"the critic is not fitted beforehand: {error}")
        for sha256, demos in found:
            if sha256 not in self._known:
                self._known[sha256] = len(self.sets)
                self.sets.append(demos)
        self.of_member += [self._known[sha256] for sha256, _ in found] or [-1] * config.members
        if not found:
            return None
        each = list(dict.fromkeys(sha256 for sha256, _ in found))
        return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()


def critic_fit_epochs(arms: Sequence[Arm]) -> int:
    """Number of epochs of the critic fit before PPO, for the arms that ask for one.

    Raises:
      UserError: if they ask for different numbers, which would be two programs.
    """
    asked = {a.config.ppo.critic_fit_epochs for a in arms if a.origin is not None} - {0}
    if len(asked) > 1:
        raise UserError(
            f"runs that train together need the same ppo.critic_fit_epochs, or 0; not {asked}"
        )
    return asked.pop() if asked else 0


def num_learners(configs: Sequence[Settings]) -> int:
    """Number of members of all arms whose learning rate is not 0."""
    return sum(c.members for c in configs if policy_rate(c.ppo) > 0)


def static(configs: Sequence[Settings]) -> ppo.Static:
    """The static settings of the common program of all arms."""
    config = configs[0]
    section = config.ppo
    cloned = [c.ppo for c in configs if c.ppo.init_from is not None]
    return ppo.Static(
        num_epochs=section.num_epochs,
        batch_size=section.batch_size,
        num_iterations=num_iterations(config),
        linear_schedule=section.learning_rate_schedule == "linear",
        cloned=bool(cloned),
        kickstarts=any(ppo_section.anchor_coef > 0 for ppo_section in cloned),
        keeps_cloning=any(ppo_section.cloning_coef > 0 for ppo_section in cloned),
        decays_linearly=section.anchor_schedule == "linear",
        keeps_outputs=any(
            statistics(c.ppo, c.ppo.init_from is not None) in KEEP_OUTPUTS for c in configs
        ),
        entropy_decays=section.entropy_schedule == "linear",
    )


def statistics(section: PPO, from_clone: bool) -> str:
    """What happens to the observation statistics: ``ppo.observation_statistics``, not ``auto``."""
    if section.observation_statistics != "auto":
        return section.observation_statistics
    return "frozen" if from_clone else "running"


def settled(config: Settings, given: handover.Given | None) -> Settings:
    """The configuration with ``ppo.observation_statistics`` chosen for the policies taken over.

    A feature that did not vary in a clone's demonstrations has no scale; once it varies, it is
    clipped, and frozen statistics would hide it for ever.
    """
    if config.ppo.observation_statistics != "auto" or given is None:
        return config
    stats = given.population.obs_stats
    count = 0 if stats.mean is None else int(np.any(preserving.constant(stats), 0).sum())
    if not count:
        return config
    console.say(
        f"note: {count} of {stats.mean.shape[-1]} features of the observations never varied so "
        "far; their statistics adapt if they do now (config.ppo.observation_statistics)"
    )
    return config.replace("ppo", observation_statistics="constant")


@console.doing("checks what it starts from")
def take_over(
    arms: Mapping[str, tuple[Settings, Path]],
    given: Mapping[str | None, handover.Given | None],
    networks: Networks,
    info: environment.EnvInfo,
) -> list[Arm]:
    """The arms with the policies they start from, each audited once against its clone's record."""
    listed: list[Arm] = []
    known: dict[tuple[PyTree, ...], handover.Origin | None] = {}
    for name, (config, workdir) in arms.items():
        section, at = config.ppo, len(listed) * config.members
        key = (section.init_from, section.audit, section.exploration, section.start_exploration)
        if key not in known:
            known[key] = handover.take(given[section.init_from], config, networks, info)
        listed.append(Arm(name, config, workdir, slice(at, at + config.members), known[key]))
    return listed


def hyper(arm: Arm, action: ActionSpace) -> ppo.Hyper:
    """Hyper-parameters of an arm's members, arrays ``[members]``; ``action`` is what they take."""
    c = arm.config.ppo
    from_clone = arm.origin is not None
    assert c.gamma is not None  # jaxmaze.training.discount sets it

    def unless(value: float | None, other: float) -> float:
        return other if value is None else value

    values = ppo.Hyper(
        learning_rate=policy_rate(c),
        value_learning_rate=unless(c.value_learning_rate, policy_rate(c)),
        gamma=c.gamma,
        gae_lambda=c.gae_lambda,
        clip_range=c.clip_range,
        entropy_coef=c.entropy_coef,
        value_coef=c.value_coef,
        max_grad_norm=c.max_grad_norm,
        target_kl=unless(c.target_kl, np.inf),
        critic_burn_in=c.critic_burn_in if from_clone else 0,
        burn_in_until=unless(c.burn_in_until, np.inf),
        anchor_coef=c.anchor_coef if from_clone else 0.0,
        anchor_target_kl=unless(c.anchor_target_kl, np.inf),
        anchor_fraction=c.anchor_fraction,
        cloning_coef=c.cloning_coef if from_clone else 0.0,
        average_decay=c.average_decay,
        adapt_stats=float(statistics(c, from_clone) != "frozen"),
        keep_outputs=float(statistics(c, from_clone) in KEEP_OUTPUTS),
        entropy_target=_entropy_target(c, action),
        start_std=_start_std(arm, action),
        final_std=unless(c.final_std, np.inf),
        adapt_above=CLIPPED if statistics(c, from_clone) == "constant" else preserving.ALL,
    )
    return jax.tree.map(lambda x: np.full(arm.config.members, x, np.float32), values)


def _start_std(arm: Arm, action: ActionSpace) -> np.ndarray | float:
    """The largest standard deviation that the members' policies start with, ``[members]`` or one.

    Where it is of no use, and from scratch, it is that of initial policies.
    """
    if arm.origin is None or arm.config.ppo.final_std is None:
        return 1.0
    return np.asarray(action.widest(arm.origin.policies.params))


def _entropy_target(section: PPO, action: ActionSpace) -> float:
    """The entropy in nats that ``entropy_schedule=target`` begins with; inf for other schedules.

    Numbers have no least entropy, so there is none that theirs could decay to.
    """
    if section.entropy_schedule != "target" or not action.never_cooled:
        return np.inf
    return action.entropy_of_share(section.start_exploration)
