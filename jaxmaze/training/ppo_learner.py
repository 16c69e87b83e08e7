"""The training states of all members of all arms, and the compiled functions that change them."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from jaxmaze.core import critic, critic_sequences, ppo, seeding, sequences
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Demonstrations, Policy, PyTree, Rollout
from jaxmaze.core.words import agree
from jaxmaze.errors import UserError
from jaxmaze.runs import checkpoint, console
from jaxmaze.training import compiled, handover, ppo_arms
from jaxmaze.training.ppo_arms import Arm, DemonstrationSets
from jaxmaze.training.ppo_update import Updater

EXPLAINS_NOTHING = 0.0
"""Explained variance at which a critic is no better than a constant."""
ENOUGH_KNOWN = 0.1
"""Share of a segment's steps with known returns from which on a critic is judged by them."""


class Population:
    """Members that learn, and members that never change because their learning rate is 0.

    Only the ``L`` learners need computation: only their environments are stepped, and only their
    states are updated. The others are evaluated, saved and compared like the learners.

    Attributes:
      seeds: of all ``M`` members.
      from_clone: ``[M]`` whether each starts from a clone.
      learners: positions of the ``L`` learners.
    """

    def __init__(
        self,
        arms: Sequence[Arm],
        networks: Networks,
        demonstrated: DemonstrationSets,
        updater: Updater,
    ):
        self.arms, self.networks, self.demonstrated = arms, networks, demonstrated
        self.config = arms[0].config
        self.members = self.config.members
        self.seeds = tuple(a.config.seed + i for a in arms for i in range(self.members))
        self.from_clone = np.repeat([a.origin is not None for a in arms], self.members)
        hypers = [ppo_arms.hyper(arm, networks.spaces.action) for arm in arms]
        hyper = jax.tree.map(lambda *x: np.concatenate(x), *hypers)
        blank = checkpoint.blank_policies(networks, self.members)
        origins = [blank if a.origin is None else a.origin.policies for a in arms]
        clones: Policy = jax.tree.map(lambda *x: np.concatenate(x), *origins)
        self.learners = np.flatnonzero(hyper.learning_rate > 0)
        self._hyper, self._clones = self._of_learners(hyper), self._of_learners(clones)
        self._whole = self._init(clones)
        fresh = self._of_learners(self._whole)
        self._fresh_critics = (fresh.value_params, fresh.value_opt)
        self._state = self._of_learners(self._whole)
        self._updater, self._demos = updater, None
        if demonstrated.sets and ppo_arms.static([a.config for a in arms]).keeps_cloning:
            self._lay_out_demonstrations()

    def _lay_out_demonstrations(self) -> None:
        """Put the demonstrations for the cloning loss on the device; each learner has its rows.

        Learners without demonstrations have weight 0 in this loss, whichever rows they get.
        """
        sets = self.demonstrated.sets
        counts = np.array([len(demos.action) for demos in sets])
        starts = np.cumsum(counts) - counts
        mine = np.maximum(np.array(self.demonstrated.of_member)[self.learners], 0)
        self._hyper = self._hyper._replace(
            demo_first=starts[mine].astype(np.int32), demo_count=counts[mine].astype(np.int32)
        )
        weighted = any(demos.weight is not None for demos in sets)
        each = [
            Demonstrations(
                demos.obs,
                demos.action,
                np.ones(count, np.float32) if weighted and demos.weight is None else demos.weight,
            )
            for demos, count in zip(sets, counts, strict=True)
        ]
        rows = jax.tree.map(lambda *x: np.concatenate(x), *each)
        if self.networks.carry_size:
            lengths = np.concatenate([demos.lengths() for demos in sets])
            rows = rows._replace(sequences=sequences.cut(lengths, self.config.bc.sequence_length))
        self._demos = jax.device_put(rows)

    def _of_learners(self, tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: np.asarray(x)[self.learners], tree)

    def _init(self, clones: Policy) -> ppo.State:
        num_envs = self.config.ppo.num_envs
        seeds = [seeding.sequence(seed, seeding.STAGE_PPO) for seed in self.seeds]
        each = [ppo.init(self.networks, seed, num_envs) for seed in seeds]
        state = jax.tree.map(lambda *x: np.stack(x), *each)

        def start(clone: np.ndarray, fresh: np.ndarray) -> np.ndarray:
            return np.where(self.from_clone.reshape(-1, *[1] * (fresh.ndim - 1)), clone, fresh)

        policy = jax.tree.map(start, clones, state.policy)
        state = state._replace(policy=policy, average=policy)
        for arm in self.arms:
            mine = jax.tree.map(lambda x, at=arm.members: x[at], state.policy)
            if arm.origin is not None and (
                checkpoint.digest(mine) != checkpoint.digest(arm.origin.policies)
            ):
                raise AssertionError("the state does not start with the policies handed over")
        return state

    def update(self, rollout: Rollout) -> dict[str, np.ndarray]:
        """One PPO iteration of the learners.

        Args:
          rollout: their segments ``[L, T, N, ...]``.

        Returns:
          Means over the minibatches, ``[L]``.
        """
        self._state, means = self._updater(
            self._state, rollout, self._hyper, self._clones, self._demos
        )
        return means

    def reset_environments(self) -> None:
        """Reset the learners' return accumulators, as their environments are reset."""
        stats = self._state.return_stats
        zero = np.zeros(stats.accumulator.shape, np.float32)
        state = self._state._replace(return_stats=stats._replace(accumulator=zero))
        self._state = jax.device_put(state, self._updater.sharding)

    def behaviour(self) -> Policy:
        """The learners' behaviour policies ``[L]``, on the host."""
        return jax.device_get(self._state.policy)

    def policies(self) -> Policy:
        """All members' policies ``[M]`` as they are evaluated and handed over, on the host."""
        return self._filled(self._whole.average, self._state.average)

    def whole(self) -> ppo.State:
        """All members' states ``[M]`` on the host."""
        return self._filled(self._whole, self._state)

    def restore(self, whole: ppo.State) -> None:
        """Restore the states that :meth:`whole` returned."""
        self._whole, self._state = whole, self._of_learners(whole)

    def _filled(self, whole: PyTree, learners: PyTree) -> PyTree:
        def fill(all_: np.ndarray, some: np.ndarray) -> np.ndarray:
            out = np.array(all_)
            out[self.learners] = some
            return out

        return jax.tree.map(fill, whole, jax.device_get(learners))

    def _asked(self) -> np.ndarray:
        """Whose critics are fitted to demonstrations ``[M]``."""
        asks = [arm.config.ppo.critic_fit_epochs > 0 for arm in self.arms]
        asked: np.ndarray = self.from_clone & np.repeat(asks, self.members)
        asked &= np.isin(np.arange(len(self.seeds)), self.learners)
        return asked & (np.array(self.demonstrated.of_member) >= 0)

    def judge_critics(self, explained: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Replace fitted critics that explain nothing of their policies' own returns by new ones.

        Few or unlike demonstrations teach a critic that is sure and wrong: worse than none.

        Args:
          explained: ``[L]`` share of the variance of returns that each explained on its policy's
            first segment, which it had not been fitted to.
          known: ``[L]`` share of the segment's steps whose returns are known. Where hardly any
            are, because episodes are longer than segments, nothing is replaced.

        Returns:
          Which of the learners' critics were replaced, ``[L]``.
        """
        judged = self._asked()[self.learners] & (known >= ENOUGH_KNOWN)
        lost: np.ndarray = judged & (explained <= EXPLAINS_NOTHING)
        if not lost.any():
            return lost
        console.say(f"note: {_replaced(int(lost.sum()))}")

        def put(now: np.ndarray, fresh: np.ndarray) -> np.ndarray:
            return np.where(lost.reshape(-1, *[1] * (fresh.ndim - 1)), fresh, now)

        state = jax.device_get(self._state)
        critics = jax.tree.map(put, (state.value_params, state.value_opt), self._fresh_critics)
        state = state._replace(value_params=critics[0], value_opt=critics[1])
        self._state = jax.device_put(state, self._updater.sharding)
        return lost

    def fit_critics(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Fit critics to the demonstrations' returns, for the learners that ask for it.

        Returns:
          Which of all members asked ``[M]``, and the fit's figures ``[M]`` (NaN for the others).
        """
        epochs, sets = ppo_arms.critic_fit_epochs(self.arms), self.demonstrated.sets
        asked, of_member = self._asked(), np.array(self.demonstrated.of_member)
        if not epochs or not asked.any():
            return np.zeros_like(asked), {}
        networks, batch_size = self.networks, self.config.ppo.batch_size
        longest = self.config.bc.sequence_length if networks.carry_size else None
        algorithm = critic_sequences if networks.carry_size else critic

        def fit(state: PyTree, hyper: PyTree, own: PyTree, shared: PyTree) -> PyTree:
            returns = critic.Returns(**own, **shared)
            return algorithm.fit(networks, batch_size, epochs, state, returns, hyper)

        gammas = np.repeat([arm.config.ppo.gamma for arm in self.arms], self.members)
        demos = [sets[i] for i in of_member[asked]]
        own, shared = handover.returns(demos, gammas[asked], longest)
        mine = asked[self.learners]
        here = jax.device_get((self._state, self._hyper))
        state, hyper = jax.tree.map(lambda x: x[mine], here)
        fitted, means = jax.device_get(
            compiled.vmap_members(fit, int(asked.sum()), shared=(3,), effort=compiled.SHORT)(
                state, hyper, own, shared
            )
        )

        def put(into: np.ndarray, rows: np.ndarray) -> np.ndarray:
            into = np.array(into)
            into[mine] = rows
            return into

        self._state = jax.tree.map(put, here[0], fitted)
        spread = {name: np.full(len(asked), np.nan, np.float32) for name in means}
        for name, x in means.items():
            spread[name][asked] = x
        return asked, spread


def stop_if_diverged(
    means: dict[str, np.ndarray], segment: Rollout, step: int, env_id: str
) -> None:
    """Check the figures of an update, and find what made them what they are.

    Args:
      means: the figures, ``[L]``.
      segment: what the update learned from, by finite policies.
      step: environment steps of a member so far.
      env_id: the environment's name.

    Raises:
      UserError: if one of the figures is not finite.
    """
    bad = [name for name, x in means.items() if not np.isfinite(x).all()]
    if not bad:
        return
    whole = "The last checkpoint is whole"
    seen = jax.tree.leaves((segment.obs, segment.next_obs))
    if not all(np.isfinite(x).all() for x in seen):
        raise UserError(
            f"{env_id} gave an observation that is NaN or infinite by step {step}; "
            f"make the environment, or a wrapper, give finite ones. {whole}"
        )
    raise UserError(
        f"training diverged: {', '.join(bad)} not finite after {step} steps; lower "
        f"config.ppo.learning_rate. {whole}"
    )


def _replaced(count: int) -> str:
    """What is told when critics of clones are replaced."""
    return agree(
        count,
        "1 critic that was fitted to demonstrations explains nothing of the clone's own returns; "
        "a new one learns from these instead",
        f"{count} critics that were fitted to demonstrations explain nothing of the clones' own "
        "returns; new ones learn from these instead",
    )
