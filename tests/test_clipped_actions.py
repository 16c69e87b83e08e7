"""A policy's actions outside their bounds: clipped, and said so once."""

import numpy as np
import pytest

from jaxmaze import policies
from jaxmaze.envs import environment


@pytest.mark.parametrize("size,said", [(900.0, 1), (2.0, 0)])
def test_actions_outside_their_bounds_are_clipped_and_a_line_says_so_once(size, said, capsys):
    info = environment.describe(environment.EnvConfig("Pendulum-v1"))
    act = policies.checked(lambda obs: np.full((len(obs), 1), size, np.float32), info)
    for _ in range(3):
        np.testing.assert_array_equal(act(np.zeros((4, 3), np.float32)), np.full((4, 1), 2.0))
    out = "".join(capsys.readouterr())
    assert out.count("outside the bounds of Pendulum-v1") == said
    assert out.count("such as 900 to 2") == said
