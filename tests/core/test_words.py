"""Counts in messages."""

import re

import pytest

from jaxmaze import api
from jaxmaze.core.words import agree, counted
from tests.conftest import SMALL


@pytest.mark.parametrize(
    "given,words",
    [
        ((1, "episode"), "1 episode"),
        ((0, "episode"), "0 episodes"),
        ((2000, "step", ","), "2,000 steps"),
        ((1, "number of the observation"), "1 number of the observation"),
        ((3, "number of the observation"), "3 numbers of the observation"),
    ],
)
def test_a_count_of_one_is_in_the_singular(given, words):
    assert counted(*given) == words


def test_verbs_go_with_the_count():
    assert [agree(n, "is", "are") for n in (0, 1, 2)] == ["are", "is", "are"]


@pytest.mark.slow
def test_nothing_is_said_of_1_episodes(tmp_path, capsys):
    config = SMALL | {"env.id": "CartPole-v1", "members": 1, "evaluation.episodes": 1}
    config |= {"bc.validation_percentage": 0.0, "bc.batch_size": 2, "bc.best_by": "last"}
    teacher = api.record(config, tmp_path / "teacher", policy="random", n_episodes=1)
    clone = api.clone(config, teacher, tmp_path / "clone")
    api.inspect(teacher, tmp_path / "inspect")
    api.compare([clone], tmp_path / "compare", teacher="random")
    said = capsys.readouterr().out
    for words in ("1 episode of random", "1 member x 1 episode", "over 1 episode\n", "is whole"):
        assert words in said, words
    pages = [p.read_text() for p in tmp_path.glob("*/report/index.html")]
    assert len(pages) >= 3
    plural = r"(?<![\d.,])1 (episodes|steps|members|seeds|runs|labels|epochs|states|cores)\b"
    for text in (said, *pages):
        found = re.search(plural, text)
        assert not found, text[max(0, found.start() - 60) : found.end() + 60]
