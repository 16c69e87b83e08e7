"""The training states of all members of all arms, and the compiled functions that change them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxmaze import arms as arms_lib
from jaxmaze import checkpoint, handover, parallel, seeding
from jaxmaze.arms import Arm
from jaxmaze.core import critic, optimizer, ppo
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Policy, Rollout


class Population:
    """Members that learn, and members that never change because their learning rate is 0.

    Only the ``L`` learners cost anything: their environments alone are stepped, and their states
    alone are updated. The others are evaluated, saved and compared like everyone else.

    Attributes:
      seeds: of all ``M`` members.
      from_clone: ``[M]`` whether each starts from a clone.
      learners: positions of the ``L`` learners.
    """

    def __init__(
        self,
        arms: Sequence[Arm],
        networks: Networks,
        demonstrations: handover.Demonstrations | None,
    ):
        self.arms, self.networks, self.demonstrations = arms, networks, demonstrations
        self.config = arms[0].config
        self.members = self.config.members
        self.seeds = tuple(a.config.seed + i for a in arms for i in range(self.members))
        self.from_clone = np.repeat([a.origin is not None for a in arms], self.members)
        hypers = [arms_lib.hyper(arm) for arm in arms]
        hyper = jax.tree.map(lambda *x: np.concatenate(x), *hypers)
        blank = checkpoint.blank_policies(networks, self.members)
        origins = [blank if a.origin is None else a.origin.policies for a in arms]
        clones: Policy = jax.tree.map(lambda *x: np.concatenate(x), *origins)
        self.learners = np.flatnonzero(hyper.learning_rate > 0)
        self._hyper, self._clones = self._of_learners(hyper), self._of_learners(clones)
        self._whole = self._init(clones)
        self._state = self._of_learners(self._whole)
        count = len(self.learners)
        if count:
            # Policy and critic of a member go to different devices if that spreads the work better.
            self._halves = parallel.num_devices(2 * count) > parallel.num_devices(count)
            self._compile(2 * count if self._halves else count)
            self._reset = parallel.vmap_members(
                ppo.reset_environments, count, donate=(0,), once=True
            )

    def _of_learners(self, tree: Any) -> Any:
        return jax.tree.map(lambda x: np.asarray(x)[self.learners], tree)

    def _init(self, clones: Policy) -> ppo.State:
        networks, num_envs = self.networks, self.config.ppo.num_envs

        def init(seed: Any, origin: Policy, cloned: Any) -> ppo.State:
            key = jax.random.fold_in(jax.random.key(seed), seeding.STAGE_PPO)
            state = ppo.init(networks, key, num_envs)
            policy = optimizer.where(cloned, origin, state.policy)
            return state._replace(policy=policy, average=policy)

        seeds = np.asarray(self.seeds, np.uint32)
        init_all = parallel.vmap_members(init, len(seeds), once=True)
        state = jax.device_get(init_all(seeds, clones, self.from_clone))
        for arm in self.arms:
            mine = jax.tree.map(lambda x, at=arm.members: x[at], state.policy)
            if arm.origin is not None and (
                checkpoint.digest(mine) != checkpoint.digest(arm.origin.policies)
            ):
                raise AssertionError("the state does not start with the policies handed over")
        return state

    def _compile(self, units: int) -> None:
        networks, static = self.networks, arms_lib.static(self.arms)
        shown = None
        if static.rehearses and self.demonstrations is not None:
            shown = ppo.Demonstrations(self.demonstrations.obs, self.demonstrations.action)
        self._shown = jax.device_put(shown)

        def update(
            state: ppo.State, rollout: Any, hyper: Any, clone: Policy, shown: Any, part: Any = None
        ) -> Any:
            return ppo.update(networks, static, state, rollout, hyper, clone, shown, part)

        donate = () if self._halves else (0,)
        self._update = parallel.vmap_members(update, units, shared=(4,), donate=donate)

    def prepare(self) -> None:
        """Begin to compile the update in the background."""
        if not len(self.learners):
            return
        section, spaces = self.config.ppo, self.networks.spaces
        lead = (len(self.learners), section.num_steps, section.num_envs)
        discrete = spaces.kind == "discrete"
        obs, scalar = (
            jax.ShapeDtypeStruct((*lead, *shape), np.float32) for shape in (spaces.obs_shape, ())
        )
        action = jax.ShapeDtypeStruct(
            lead if discrete else (*lead, spaces.num_actions), np.int32 if discrete else np.float32
        )
        valid = scalar if self.config.env.backend == "envpool" else None
        rollout = Rollout(obs, action, scalar, scalar, obs, scalar, scalar, valid)
        self.reset_environments()  # puts the states where the update finds them
        args: tuple[Any, ...] = (self._state, rollout, self._hyper, self._clones)
        if not self._halves:
            self._update.prepare(*args, self._shown)
            return

        def twice(x: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((2 * x.shape[0], *x.shape[1:]), x.dtype)

        part = jax.ShapeDtypeStruct((lead[0] * 2,), np.int32)
        self._update.prepare(*jax.tree.map(twice, args), self._shown, part)

    def update(self, rollout: Rollout) -> dict[str, np.ndarray]:
        """One PPO iteration of the learners.

        Args:
          rollout: their segments ``[L, T, N, ...]``.

        Returns:
          Means over the minibatches, ``[L]``.
        """
        args: tuple[Any, ...] = (self._state, rollout, self._hyper, self._clones)
        if not self._halves:
            self._state, means = self._update(*args, self._shown)
            return jax.device_get(means)
        twice = jax.tree.map(lambda x: np.repeat(x, 2, axis=0), jax.device_get(args))
        part = np.tile(np.array([ppo.POLICY, ppo.VALUE], np.int32), len(self.learners))
        both: Any = jax.device_get(self._update(*twice, self._shown, part))
        self._state, means = ppo.merge(
            jax.tree.map(lambda x: x[0::2], both), jax.tree.map(lambda x: x[1::2], both)
        )
        return jax.device_get(means)

    def reset_environments(self) -> None:
        """Start the learners' return accumulators anew."""
        if len(self.learners):
            self._state = self._reset(self._state)

    def behaviour(self) -> Policy:
        """The learners' policies ``[L]`` as they act in training, on the host."""
        return jax.device_get(self._state.policy)

    def policies(self) -> Policy:
        """All members' policies ``[M]`` as they are evaluated and handed over, on the host."""
        return self._filled(self._whole.average, self._state.average)

    def whole(self) -> ppo.State:
        """All members' states ``[M]`` on the host."""
        return self._filled(self._whole, self._state)

    def restore(self, whole: ppo.State) -> None:
        """Go back to what :meth:`whole` gave."""
        self._whole, self._state = whole, self._of_learners(whole)

    def _filled(self, whole: Any, learners: Any) -> Any:
        def fill(all_: np.ndarray, some: np.ndarray) -> np.ndarray:
            out = np.array(all_)
            out[self.learners] = some
            return out

        return jax.tree.map(fill, whole, jax.device_get(learners))

    def fit_critics(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Fit the critics of the learners that ask for it to the demonstrations' returns.

        Returns:
          Which of all members asked ``[M]``, and how it went ``[M]`` (NaN for the others).
        """
        epochs, demos = arms_lib.critic_fit_epochs(self.arms), self.demonstrations
        asks = [arm.config.ppo.critic_fit_epochs > 0 for arm in self.arms]
        asked = self.from_clone & np.repeat(asks, self.members)
        asked &= np.isin(np.arange(len(self.seeds)), self.learners)
        if not epochs or demos is None or not asked.any():
            return np.zeros_like(asked), {}
        networks, batch_size = self.networks, self.config.ppo.batch_size

        def fit(state: Any, hyper: Any, own: Any, shared: Any) -> Any:
            returns = critic.Returns(**own, **shared)
            return critic.fit(networks, batch_size, epochs, state, returns, hyper)

        each = [handover.discounted(demos, arm.config.ppo.gamma) for arm in self.arms]
        own = {
            name: np.stack([r[name] for r in each for _ in range(self.members)])[asked]
            for name in each[0]
        }
        shared = {n: getattr(demos, n) for n in ("obs", "episode", "final_obs")}
        mine = asked[self.learners]
        here = jax.device_get((self._state, self._hyper))
        state, hyper = jax.tree.map(lambda x: x[mine], here)
        fitted, means = jax.device_get(
            parallel.vmap_members(fit, int(asked.sum()), shared=(3,))(state, hyper, own, shared)
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
