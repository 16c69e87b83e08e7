"""The handover from a clone to PPO: what is taken over, and that it acts the same."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np

from jaxmaze import checkpoint, runs
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Policy
from jaxmaze.errors import UserError

TOLERANCE = 1e-6
"""Largest difference of log-probabilities between a clone and what PPO starts with."""


def load(config: ml_collections.ConfigDict, networks: Networks) -> Policy | None:
    """The policies that ``config.ppo.init_from`` hands over, one a member; None from scratch.

    Raises:
      UserError: if the run has no checkpoint, or another network or other spaces.
    """
    if config.ppo.init_from is None:
        return None
    run = runs.delivering(Path(config.ppo.init_from))
    theirs, policies, meta = checkpoint.load_best(run)
    for part in ("spaces", "spec"):
        for name, wanted in getattr(networks, part)._asdict().items():
            found = getattr(getattr(theirs, part), name)
            if found != wanted:
                label = name if part == "spaces" else f"network.{name}"
                raise UserError(f"{run} has {label}={found}, but this run has {wanted}")
    count = len(meta["seeds"])
    index = np.arange(config.members) % count
    return jax.tree.map(lambda x: x[index], policies)


def check(networks: Networks, policies: Policy, origin: Policy, name: str) -> None:
    """Check that the first step's action probabilities are the clone's, member by member.

    Args:
      networks: of both.
      policies: as PPO starts with them, ``[M, ...]``.
      origin: the clone's, ``[M, ...]``.
      name: where the clone comes from.

    Raises:
      UserError: if a log-probability differs by more than ``TOLERANCE``.
    """
    shape = networks.spaces.obs_shape
    noise = np.random.default_rng(0).normal(size=(256, *shape)).astype(np.float32)
    scale, shift = np.sqrt(origin.obs_stats.var), origin.obs_stats.mean
    lead = (len(scale), 1, *shape)
    obs = noise * scale.reshape(lead) + shift.reshape(lead)

    # One compiled function for both: two programs could differ in their last bits.
    @jax.jit
    @jax.vmap
    def log_probs(policy: Policy, obs: Any, action: Any) -> Any:
        return networks.distribution(policy.params, policy.obs_stats, obs).log_prob(action)

    action = jax.jit(jax.vmap(lambda p, o: networks.act(p, o)[0]))(origin, obs)
    ours, theirs = log_probs(policies, obs, action), log_probs(origin, obs, action)
    difference = float(np.abs(np.asarray(ours) - np.asarray(theirs)).max())
    if not difference <= TOLERANCE:
        raise UserError(
            f"the policy taken over from {name} acts differently from the "
            f"clone: log-probabilities differ by {difference:.2g}, more than "
            f"{TOLERANCE}"
        )


def digest(policies: Policy) -> str:
    """SHA-256 over all parameters and statistics, in hexadecimal."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(policies):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()
