"""What a rollout keeps of episodes that it does not keep."""

import numpy as np
import pytest

from jaxmaze import api
from jaxmaze.envs import environment, making
from jaxmaze.envs.episodes import Episode
from jaxmaze.errors import UserError
from jaxmaze.stages import rollout
from tests.videos import drawn_env


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


def played(folder, render, env="Drawn-v0", policy=drawn_env.right, **kwargs):
    name = f"tests.videos.drawn_env:{env}"
    config = {"env": {"id": name, "kwargs": kwargs}, "rollout": {"n_episodes": 2}}
    return api.record(config, folder, policy=policy, render=render, save=False).folder


@pytest.mark.parametrize(
    ("draws", "says"),
    [
        ("nothing", r"draws no pictures: .*render\(\) gave None; a picture needs an array"),
        ("raises", "cannot be rendered: RuntimeError: no screen"),
        ("silently raises", r"cannot be rendered: NotImplementedError \(drawn_env.py, line \d+\)$"),
    ],
)
def test_what_cannot_be_drawn_is_said_before_there_is_a_folder(tmp_path, draws, says):
    with pytest.raises(UserError, match=says) as caught:
        played(tmp_path / "run", "video", draws=draws)
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_a_picture_that_fails_later_is_said_in_a_line_too(tmp_path):
    with pytest.raises(UserError, match="cannot be rendered: RuntimeError: the pen broke"):
        played(tmp_path / "run", "video", draws="once")


def test_a_window_needs_its_mode_and_a_screen(tmp_path, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(drawn_env.Drawn, "metadata", {"render_modes": ["ansi"]})
    with pytest.raises(UserError, match=r"no window: it must name 'human' .* is only ansi$"):
        played(tmp_path / "run", "human")
    monkeypatch.setattr(drawn_env.Drawn, "metadata", {})
    with pytest.raises(UserError, match=r"where there is none$"):
        played(tmp_path / "run", "human")
    monkeypatch.setattr(drawn_env.Drawn, "metadata", {"render_modes": ["human"]})
    for name in (*making.SCREENS, making.SDL):
        monkeypatch.delenv(name, raising=False)
    if making.without_screen():  # on Linux
        with pytest.raises(UserError, match="a window needs a screen"):
            played(tmp_path / "run", "human")
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("DISPLAY", ":0")
    assert (played(tmp_path / "run", "human") / "summary.json").exists()
