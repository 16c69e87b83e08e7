"""The data of a cloning problem: rows on the device, and each member's split."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxmaze.config import Settings
from jaxmaze.core import sequences
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Demonstrations
from jaxmaze.core.words import counted
from jaxmaze.errors import UserError
from jaxmaze.runs import splits, trajectories
from jaxmaze.training import bc_learner


class Problem(NamedTuple):
    """The data of a cloning problem.

    Attributes:
      data: all rows, on the device.
      train: ``[M, R]`` booleans, each member's training rows.
      validation: ``[M, R]`` likewise.
      steps: minibatches per epoch over all rows, also used for training on a part of them: one
        compiled program serves training and refit.
      episode: ``[R]`` the episode of each row.
    """

    data: Demonstrations
    train: np.ndarray
    validation: np.ndarray
    steps: int
    episode: np.ndarray


def prepare(config: Settings, dataset: trajectories.Dataset, networks: Networks) -> Problem:
    """Rows and splits of a data set, in the units of the clones' actions.

    Raises:
      UserError: if a split or the batch size does not fit the data.
    """
    obs, action, episode = trajectories.rows(dataset.episodes, networks.spaces.action)
    held_out = np.stack(
        [
            splits.split(len(dataset.episodes), config.bc.validation_percentage, seed)
            for seed in bc_learner.member_seeds(config)
        ]
    )
    validation = np.repeat(held_out, [e.length for e in dataset.episodes], axis=1)
    train = ~validation
    smallest = int(train.sum(1).min())
    if config.bc.batch_size > smallest:
        raise UserError(
            f"config.bc.batch_size={config.bc.batch_size} is larger than the {smallest} training "
            f"steps of {counted(len(dataset.episodes), 'episode')}; choose at most {smallest}, or "
            "record more"
        )
    cuts = None
    if networks.carry_size:
        lengths = np.array([e.length for e in dataset.episodes])
        cuts = sequences.cut(lengths, config.bc.sequence_length)
    return Problem(
        bc_learner.rows_on_device(obs, action, config.members, dataset.row_weights(), cuts),
        train,
        validation,
        bc_learner.num_minibatches(config, len(action), cuts),
        episode,
    )
