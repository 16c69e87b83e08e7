import numpy as np
import pytest

from jaxmaze.envs import environment
from jaxmaze.envs.env_config import EnvConfig
from jaxmaze.envs.filming import film
from jaxmaze.errors import UserError, WorkerError
from tests.videos import drawn_env


def described(**kwargs):
    def make(**more):
        return drawn_env.Drawn(**kwargs, **more)

    config = EnvConfig("drawn", make=make, max_episode_steps=9)
    return environment.describe(config)


def shade(picture):
    assert picture.shape == (17, 25, 3) and picture.dtype == np.uint8
    return bytes([picture[0, 0, 0]])


def test_every_step_has_its_picture_and_the_return_so_far():
    taken = iter([1, 0, 0, 1, 0, 0, 0, 0, 0])
    found = film(described(), lambda obs: np.full(len(obs), next(taken)), 3, shade)
    assert found.returns.tolist() == [0, 1, 1, 1, 2, 2, 2, 2, 2, 2]
    assert [picture[0] for picture in found.pictures] == [10 * t for t in range(10)]
    assert (found.length, found.end, found.fps) == (9, "truncated", 8.0)


def test_an_episode_ends_by_itself_or_is_cut_off():
    whole = film(described(), drawn_env.right, 3, shade)
    assert whole.end == "terminated" and whole.returns[-1] == whole.length < 6
    for most, end in ((whole.length, "terminated"), (whole.length - 1, "cut off")):
        found = film(described(), drawn_env.right, 3, shade, most)
        assert (found.length, found.end) == (most, end)
        assert found.pictures == whole.pictures[: most + 1]


@pytest.mark.parametrize("picture", [None, np.zeros((9, 3)), np.zeros((9, 9, 4), np.uint8), "x"])
def test_what_is_no_picture_is_refused(monkeypatch, picture):
    monkeypatch.setattr(drawn_env.Drawn, "render", lambda self: picture)
    with pytest.raises(UserError, match=r"drawn draws no pictures.*needs an array"):
        film(described(), drawn_env.right, 3, shade)


def test_an_environment_that_fails_is_named_and_closed(monkeypatch):
    closed = []
    monkeypatch.setattr(drawn_env.Drawn, "close", lambda self: closed.append(self))

    def fail(obs):
        monkeypatch.setattr(drawn_env.Drawn, "step", lambda self, action: 1 / 0)
        return drawn_env.right(obs)

    info = described()
    before = len(closed)
    with pytest.raises(WorkerError, match="drawn failed in step"):
        film(info, fail, 3, shade)
    assert len(closed) == before + 1
