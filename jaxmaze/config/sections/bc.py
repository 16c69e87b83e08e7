"""``config.bc``."""

from __future__ import annotations

import dataclasses
import math

from jaxmaze.config.fields import at_least_0, count, field, names_of, positive, share
from jaxmaze.errors import UserError

SCHEDULES = ("linear", "constant")


@dataclasses.dataclass(frozen=True)
class BC:
    """Behavioural cloning; DAgger fits its clones with the same fields."""

    data: str | tuple[str, ...] | None = field(
        None,
        "recorded episodes: a folder or a Minari id, or several; the workflow's own if None",
        folder=True,
        identity=False,  # the contents are hashed instead
    )
    data_weights: tuple[float, ...] | None = positive(
        None, "how much a step counts in the loss, one weight a data set; all alike if None"
    )
    clip_actions: bool = field(False, "clip recorded actions that are outside their bounds")
    seeds: tuple[int, ...] | None = field(None, "only the episodes with these seeds")
    min_return: float | None = field(None, "only episodes with at least this return")
    top_fraction: float | None = share(
        None, "only this share of the (remaining) episodes, those of highest return", above=True
    )
    first_n: int | None = count(None, "only the first so many of the (remaining) episodes")
    learning_rate: float | None = at_least_0(
        None, "Adam's; if None, 3e-3, or 3e-4 for images", swept=True
    )
    learning_rate_schedule: str = field("linear", "linear decay to 0, or none", choices=SCHEDULES)
    batch_size: int = count(128, "steps of a minibatch")
    sequence_length: int = count(
        64, "of networks that remember: steps that gradients go back, at most"
    )
    num_updates: int | None = count(
        None, "gradient steps, where num_epochs is not set; 20,000 if None, 5,000 for images"
    )
    num_epochs: int | None = count(
        None, "passes over the episodes, at most; as many as make num_updates if None"
    )
    validation_percentage: float = field(20.0, "of the episodes are held out", low=0, high=100)
    patience: int | None = count(
        None,
        "of best_by=validation_loss and return: epochs without improvement until a member stops; a "
        "fifth of all, and at least 10, if None; 0: never",
        low=0,
    )
    entropy_coef: float = at_least_0(0.0, "weight of the entropy bonus", swept=True)
    weight_decay: float = at_least_0(
        0.1, "decoupled weight decay; small weights are fine-tuned better", swept=True
    )
    max_grad_norm: float = positive(math.inf, "the gradient's largest norm", swept=True)
    best_by: str = field(
        "last",
        "which epoch's policy is kept: the last, or the best by validation loss or by return",
        choices=("last", "validation_loss", "return"),
    )
    refit: bool = field(True, "train anew on all episodes, for as many epochs as were right")
    eval_every: int | None = count(
        None, "epochs between evaluations by rollouts; a fifth of all if None; 0: none", low=0
    )
    eval_episodes: int = count(20, "of such an evaluation")

    def check(self, settings: object) -> None:
        """Check the combination of fields.

        Raises:
          UserError: if the numbers of weights and data sets differ.
        """
        names, weights = names_of(self.data), self.data_weights
        # Data may be named later: by jaxmaze.clone, or by a workflow.
        if weights is not None and names and len(weights) != len(names):
            raise UserError(
                f"config.bc.data_weights={weights} has {len(weights)} weights, but config.bc.data "
                f"names {len(names)} data sets; give one weight for each"
            )
