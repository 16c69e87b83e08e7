"""``config.curve``."""

from __future__ import annotations

import dataclasses

from jaxmaze.config.fields import count, field
from jaxmaze.errors import UserError


@dataclasses.dataclass(frozen=True)
class Curve:
    """The clones' return against the number of episodes they are cloned from."""

    episodes: tuple[int, ...] = field((1, 3, 10, 30, 100), "numbers of episodes to clone from")
    draws: int = count(5, "times that as many episodes are drawn, each with seeds of its own")
    equal_updates: bool = field(
        True, "few episodes are passed over more often, so that all clones get as many updates"
    )

    def check(self, settings: object) -> None:
        """Check the combination of fields, given all settings.

        Raises:
          UserError: one line that names the field and its allowed values.
        """
        whole = all(isinstance(n, int) and not isinstance(n, bool) for n in self.episodes)
        if not (self.episodes and whole and min(self.episodes) > 0):
            raise UserError(
                f"config.curve.episodes={self.episodes} must be numbers of episodes, such as "
                "(1,10,100)"
            )
        if len(set(self.episodes)) < len(self.episodes):
            raise UserError(f"config.curve.episodes={self.episodes} must be different numbers")
