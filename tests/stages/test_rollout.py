"""What a rollout keeps of episodes that it does not keep."""

import numpy as np
import pytest

from jaxmaze.envs import environment
from jaxmaze.envs.episodes import Episode
from jaxmaze.stages import rollout


def episodes(actions):
    for i, taken in enumerate(actions):
        steps = len(taken)
        yield Episode(i, i, np.zeros((steps + 1, 8), np.float32), taken, np.ones(steps), i == 0)


@pytest.mark.parametrize("continuous", [False, True])
def test_actions_are_counted_as_episodes_pass(continuous, capsys):
    kwargs = '{"continuous": true}' if continuous else "{}"
    info = environment.describe(environment.EnvConfig("LunarLander-v3", kwargs))
    rng = np.random.default_rng(0)
    draw = (
        (lambda n: rng.uniform(-1, 1, (n, 2))) if continuous else (lambda n: rng.integers(0, 3, n))
    )
    actions = [draw(n) for n in (5, 20, 11)]
    tally = rollout._Tally(info)
    assert [e.index for e in tally.counted(episodes(actions))] == [0, 1, 2]
    assert tally.result().lengths.tolist() == [5, 20, 11] == tally.result().returns.tolist()
    tally.show("someone")
    printed, every = capsys.readouterr().out, np.concatenate(actions)
    assert "36 steps; 1 episode terminated, 2 truncated" in printed
    if continuous:
        assert f"[1]: {every[:, 1].mean():.2f} ± {every[:, 1].std():.2f}" in printed
    else:
        assert f"1: {100 * (every == 1).mean():.1f} %, " in printed and "3: 0.0 %" in printed


def test_a_recording_that_fails_leaves_nothing_behind(tmp_path):
    info = environment.describe(environment.EnvConfig("LunarLander-v3"))

    def broken():
        yield from episodes([np.zeros(5, int)])
        raise RuntimeError("the environment broke")

    with pytest.raises(RuntimeError, match="broke"):
        rollout._record(tmp_path, broken(), info, {})
    assert not list(tmp_path.iterdir())
