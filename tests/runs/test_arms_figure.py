import numpy as np
import pytest

from jaxmaze.runs import arms_figure, palette


def arm(*iqm, steps=None, members=None, teacher=200.0, width=5.0):
    y = np.array(iqm, float)
    each = [y.tolist()] * 3 if members is None else members
    steps = list(range(0, 100 * len(y), 100)) if steps is None else steps
    return {
        "curve": {
            "env_steps": steps,
            "iqm": y.tolist(),
            "low": (y - width).tolist(),
            "high": (y + width).tolist(),
            "members": each,
            "episodes": 20,
            "teacher": teacher,
        }
    }


FOUR = {
    "random_lr0": arm(-200, -200, -200, -200, -200),
    "pretrained_lr0": arm(220, 220, 220, 220, 220),
    "from_scratch": arm(-200, -20, 150, 210, 230),
    "pretrained": arm(220, 240, 250, 270, 280),
}


def test_the_range_is_that_of_what_arms_come_to():
    low, high = arms_figure.limits(FOUR)
    assert 130 < low < 150 and 280 < high < 300
    # A seed that comes to less is seen; with many seeds, their band.
    poor = arm(-200, -20, 150, 210, 230, members=[[-200, -20, 100, 210, 230]] * 2)
    assert arms_figure.limits(FOUR | {"from_scratch": poor})[0] < 100
    many = arm(-200, -20, 150, 210, 230, members=[[-200, -20, 100, 210, 230]] * 5)
    low, high = arms_figure.limits(FOUR | {"from_scratch": many})
    assert 120 < low < 140 and 280 < high < 300
    wide = {k: arm(*v["curve"]["iqm"], members=[[0] * 5] * 5, width=40.0) for k, v in FOUR.items()}
    low, high = arms_figure.limits(wide)
    assert 60 < low < 110 and high > 320
    # A dip on the way that is near is seen in full, and one far below is not.
    for dip, seen in ((226, True), (-100, False)):
        low, _ = arms_figure.limits({"a": arm(240, dip, 230, 240, 250, teacher=None)})
        assert (low < dip) == seen and low > 220
    assert arms_figure.limits({"a": arm(5, teacher=None)}) == pytest.approx((5, 5), abs=1e-6)
    # Where nothing is squeezed, nothing is left out.
    low, high = arms_figure.limits({"a": arm(10, 20, teacher=None), "b": arm(12, 14, teacher=9.0)})
    assert low < 9 and high > 20
    # Below zero too: the untrained is far below the others.
    below = {"a": arm(-160, -150, teacher=-150.0), "b": arm(-1200, -1200, teacher=-150.0)}
    assert arms_figure.limits(below)[0] > -170


def texts(fig):
    return [text.get_text() for text in fig.axes[0].texts]


def test_whatever_leaves_the_plot_is_marked_and_told():
    fig = arms_figure.figure(FOUR)
    found = texts(fig)
    assert "↓ random_lr0: −200" in found and "starts at −200 ↓" in found
    assert {"pretrained", "from_scratch", "pretrained_lr0 (clone)", "teacher"} <= set(found)
    caption = " ".join(fig._supxlabel.get_text().split())
    assert "Below the range: random_lr0 (−200 at the end); from_scratch (from −200)" in caption
    assert "over 3 seeds" in caption and "Thin lines: each seed" in caption
    (mark,) = [t for t in fig.axes[0].texts if t.get_text().startswith("starts at")]
    assert mark.get_color() == palette.KNOWN["from_scratch"]
    assert 100 < mark.xy[0] < 200 and mark.xy[1] == fig.axes[0].get_ylim()[0]
    fell = FOUR | {"pretrained": arm(220, -300, 250, 270, 280)}
    assert "↓ was at −300" in texts(arms_figure.figure(fell)) or "was at −300 ↓" in texts(
        arms_figure.figure(fell)
    )


def test_a_band_that_is_not_whole_is_told():
    each = [[0] * 5] * 5
    arms = {k: arm(*v["curve"]["iqm"], members=each) for k, v in FOUR.items()}
    arms["pretrained"]["curve"]["high"][1] = 900.0
    told = "Bands that go on outside: tuned's up to 100 steps."
    fig = arms_figure.figure(arms, "A title", {"pretrained": "tuned"})
    assert told in " ".join(fig._supxlabel.get_text().split()) and "tuned" in texts(fig)
    assert fig.axes[0].get_title("left") == "A title"
    arms["pretrained"]["curve"]["high"][1] = 245.0
    assert "Bands that" not in arms_figure.figure(arms)._supxlabel.get_text()


def test_the_caption_says_which_episodes_the_teacher_is_shown_in():
    words = "in these episodes, which are not the test episodes."
    assert words in " ".join(arms_figure.figure(FOUR)._supxlabel.get_text().split())
    clones = {"clone": arm(190, steps=[0], members=[[190]] * 3)}
    assert "which are not" not in arms_figure.figure(clones)._supxlabel.get_text()


@pytest.mark.parametrize("level", [207.0, 240.0])
def test_marks_lie_beside_each_other_wherever_the_teacher_is(level):
    arms = {
        "from_scratch": arm(-209, -62, 125, 246, 256, 252, 267, 257, 274, teacher=level),
        "pretrained": arm(227, 251, 264, 276, 279, 280, 282, 282, 280, teacher=level),
        "pretrained_lr0": arm(*[227] * 9, members=[[210] * 9, [240] * 9], teacher=level),
    }
    fig = arms_figure.figure(arms)
    fig.canvas.draw()
    boxes = {t.get_text(): t.get_window_extent() for t in fig.axes[0].texts}
    saved, starts = (next(b for t, b in boxes.items() if w in t) for w in ("saved", "starts at"))
    assert not saved.overlaps(starts)


def test_the_teacher_is_told_by_episodes_where_curves_do_not_share_them():
    clone = arm(190, steps=[0], members=[[190]] * 3, teacher=198.0)
    clone["curve"]["episodes"] = 300
    fig = arms_figure.figure({"tuned": FOUR["pretrained"], "clone": clone})
    assert {"teacher, 20 episodes", "teacher, 300 episodes"} <= set(texts(fig))
    assert "which are not" not in fig._supxlabel.get_text()
    clone["curve"]["episodes"] = 20  # as many, and others
    fig = arms_figure.figure({"tuned": FOUR["pretrained"], "clone": clone})
    lines = {t.get_text(): t.xy[1] for t in fig.axes[0].texts}
    assert lines["teacher, evaluation episodes"] > lines["teacher, test episodes"]
    assert "which are not" not in fig._supxlabel.get_text()


def test_arms_have_their_lines_and_bands():
    many = {k: arm(*v["curve"]["iqm"], members=[v["curve"]["iqm"]] * 5) for k, v in FOUR.items()}
    few, band = arms_figure.figure(FOUR).axes[0], arms_figure.figure(many).axes[0]
    assert len(band.collections) == 4 and not few.collections
    assert sum(line.get_linewidth() == 0.7 for line in few.lines) == 12
    for axes in (few, band):
        thick = {line.get_color(): line for line in axes.lines if line.get_linewidth() == 2.2}
        for name, value in FOUR.items():
            line = thick[palette.KNOWN[name]]
            assert line.get_ydata().tolist() == value["curve"]["iqm"]


def test_saved_steps_are_from_one_reaching_the_teacher_to_the_other():
    found = arms_figure.saved(FOUR)
    assert (found.first, found.second, found.steps) == (0, 300, 300)
    assert found.words() == "300 steps saved" and found.words() in texts(arms_figure.figure(FOUR))
    assert found.block()["env_steps"] == 300 and not found.block()["at_least"]
    # Once above is not there yet.
    lucky = FOUR | {"from_scratch": arm(-200, 205, 150, 210, 230)}
    assert arms_figure.saved(lucky).second == 300
    never = FOUR | {"from_scratch": arm(-200, -20, 150, 180, 230)}
    found = arms_figure.saved(never)
    assert found.second is None and found.steps == 400 and found.block()["at_least"]
    assert "more than 400 steps saved" in texts(arms_figure.figure(never))
    later = FOUR | {"pretrained": arm(180, 190, 205, 210, 220)}
    assert arms_figure.saved(later).words() == "100 steps saved"
    for nothing in (
        {k: v for k, v in FOUR.items() if k != "from_scratch"},
        FOUR | {"pretrained": arm(180, 190, 190, 190, 190)},
        FOUR | {"from_scratch": arm(205, 205, 205, 210, 220)},
        {k: arm(*v["curve"]["iqm"], teacher=None) for k, v in FOUR.items()},
    ):
        assert arms_figure.saved(nothing) is None
        assert not any("saved" in text for text in texts(arms_figure.figure(nothing)))


def test_the_numbers_are_those_of_the_lines():
    arms = FOUR | {"clone": arm(210, members=[[209]], steps=[0])}
    table = arms_figure.table(arms)
    assert table.header[:3] == ("arm", "env_steps", "iqm") and len(table.rows) == 21
    assert table.rows[-1] == ("clone", 0, 210, 205, 215, 200, 209, None, None)
    assert all(len(row) == len(table.header) == 9 for row in table.rows)
