"""What commands print."""

import io
import threading
import time

import numpy as np
import pytest
import rich.console

from jaxmaze.runs import console, live


@pytest.fixture
def printed(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(console, "console", rich.console.Console(file=out, width=60))
    return out


def test_a_line_is_printed_as_it_is(printed):
    line = "a [bold]line[/bold] of more than sixty characters: " + "x" * 50
    console.say(line)
    assert printed.getvalue() == line + "\n"


def test_a_table_has_its_rows_in_order(printed):
    console.table("title", ("name", "value"), [("first", "1"), ("second", "22")])
    lines = [line.rstrip() for line in printed.getvalue().splitlines() if line.strip()]
    assert lines[0] == "title"
    assert [line.split() for line in lines if line.split()[0] in ("first", "second")] == [
        ["first", "1"],
        ["second", "22"],
    ]


def test_what_is_in_brackets_is_shown_in_a_table(printed):
    rows = [("y[best]", "never [never, never]"), ("z", console.styled("[red]", "green"))]
    console.table("of [bold]runs[/]", ("arm [a]", "steps [b]"), rows)
    text = printed.getvalue()
    for cell in ("of [bold]runs[/]", "arm [a]", "steps [b]", "y[best]", "never [never, never]"):
        assert cell in text
    assert " [red] " in text


ARMS = [
    ("pretrained_lr0", "10", "-0.8", "34.9 [-276.3, 346.1]", "8.7 / 10.2", "1,024 [512, never]"),
    ("scratch", "10", "-0.4", "-0.4 [-15.5, 14.8]", "-", "-"),
]
HEADER = ("arm", "seeds", "last", "best: IQM [95 %]", "dip: mean / worst", "steps to teacher")


@pytest.mark.parametrize(
    ("width", "gone"), [(120, ()), (95, ()), (84, ()), (80, ("last",)), (60, ("last", "dip"))]
)
def test_no_figure_is_broken_where_it_is_narrow(monkeypatch, width, gone):
    out = io.StringIO()
    monkeypatch.setattr(console, "console", rich.console.Console(file=out, width=width))
    console.table("title", HEADER, ARMS, spare=(2, 4, 1))
    lines = out.getvalue().splitlines()
    assert all(len(line) <= width for line in lines) and "…" not in out.getvalue()
    table, _, caption = out.getvalue().partition("a wider terminal shows: ")
    for name in ("last", "dip"):
        assert (name in caption) == (name in gone) != (name in table)
    kept = ["34.9", "[-276.3, 346.1]", "[-15.5, 14.8]", "[512, never]", "[95 %]"]
    kept += [] if "last" in gone else ["-0.8"]
    kept += [] if "dip" in gone else ["8.7 / 10.2"]
    assert all(figure in table for figure in kept)
    one_line = any("34.9 [-276.3, 346.1]" in line for line in lines)
    assert one_line == (width >= 95)


def test_text_is_wrapped_and_stays_whole(printed):
    says = "one of the features has never been seen to take any value but 0 in these data"
    console.table("t", ("check", "n", "means"), [("drift", "1", says)], left=(0, 2))
    words = [word for line in printed.getvalue().splitlines() for word in line.split()]
    assert [word for word in words if word in says.split()] == says.split()


def test_progress_counts_to_the_end_and_shows_notes(printed):
    with console.progress("work", 4) as bar:
        bar.advance()
        bar.note("half way")
        bar.advance(3)
    assert printed.getvalue() == "work  4/4  0:00, half way\n"


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def work(**given):
    clock = Clock()
    return live.Work("fine-tune", 10, clock=clock, **given), clock


def test_time_left_and_speed_leave_out_the_first_step_which_compiles():
    todo, clock = work(size=100, unit="steps")
    assert todo.left() is None and todo.speed() == ""
    clock.now += 60
    todo.advance(1)
    assert todo.left() is None
    clock.now += 4
    todo.advance(2)
    assert todo.left() == pytest.approx(7 * 2)
    assert todo.speed() == "50 steps/s"
    clock.now += 3
    assert todo.left() == pytest.approx(7 * 2 - 3)  # it goes on while nothing is reported
    assert todo.line() == "fine-tune  3/10 (30 %)  1:07, 0:11 left, 50 steps/s"
    todo.advance(7)
    assert todo.left() is None and "left" not in todo.line()


def test_what_an_earlier_start_did_says_nothing_of_the_speed():
    todo, clock = work(done=6, unit="epochs")
    for _ in range(2):
        clock.now += 5
        todo.advance(1)
    assert todo.done == 8 and todo.left() == pytest.approx(2 * 5)
    assert todo.speed() == "0.2 epochs/s"


def test_a_line_names_the_policies_of_highest_return():
    todo, _ = work()
    for i, value in enumerate((5.0, 1.0, float("nan"), 9.0, 7.0, 8.0)):
        todo.tell(f"arm{i}", {"return": f"{value}"}, value)
    todo.tell("arm3", {"KL from clone": "0.02"}, None)
    assert todo.line().partition("|")[2].strip() == (
        "arm0 5.0; arm3 9.0, KL from clone 0.02; arm4 7.0; arm5 8.0; 2 more"
    )


def test_lines_come_every_few_seconds_and_more_seldom_later():
    todo, clock = work()
    put = []
    lines = live.Lines(todo, put.append)
    for _ in range(600):
        clock.now += 1
        lines.look()
    assert len(put) == pytest.approx(250 / 5 + 350 / 9, abs=8)


def until(holds):
    """Wait until something holds, as another thread is at work."""
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def timers():
    return [thread for thread in threading.enumerate() if thread.name == "lines"]


def test_lines_come_and_name_what_goes_on_while_nothing_is_reported(printed, monkeypatch):
    monkeypatch.setattr(live, "EVERY", 0.0)
    monkeypatch.setattr(live, "SHARE", 0.0)
    monkeypatch.setattr(live, "SOONEST", 0.01)
    with console.progress("fine-tune", 4) as bar:
        with console.doing("fits the critics"), console.doing("compiles"):
            until(lambda: printed.getvalue().count("fits the critics, compiles\n") > 2)
        bar.note("half way")
        until(lambda: "fine-tune  0/4 (0 %)  0:00, half way\n" in printed.getvalue())
        assert len(timers()) == 1
    assert not timers()
    lines = printed.getvalue().splitlines()
    assert all(line.startswith("fine-tune  0/4") for line in lines)
    assert lines[-1] == "fine-tune  0/4  0:00, half way"


def test_what_is_done_outside_of_a_work_is_shown_while_it_lasts(printed, monkeypatch):
    monkeypatch.setattr(live, "EVERY", 0.0)
    monkeypatch.setattr(live, "SOONEST", 0.01)
    with console.doing("reads the data"):
        until(lambda: printed.getvalue())
    assert set(printed.getvalue().splitlines()) == {"reads the data  0:00"}
    assert not timers() and not console._works


def test_timers_end_with_an_error_and_are_not_there_if_nothing_is_shown(printed):
    with pytest.raises(KeyError), console.progress("work", 4), console.doing("reads"):
        raise KeyError("broken")
    assert not timers() and not console._works
    try:
        console.loudness(quiet=True)
        with console.progress("work", 4), console.doing("reads"):
            assert not timers()
    finally:
        console.loudness()
    with console.hushed(), console.doing("reads"), console.progress("work", 4):
        assert not timers()
    assert printed.getvalue() == ""


def test_a_work_ends_if_a_timer_cannot_print(monkeypatch):
    monkeypatch.setattr(live, "EVERY", 0.0)
    monkeypatch.setattr(live, "SOONEST", 0.01)

    def broken(line):
        raise SystemExit(1)  # as rich does where nobody reads what is printed

    with pytest.raises(SystemExit), live.Lines(work()[0], broken) as lines:
        until(lambda: lines._failed)
        lines.look()


def test_the_view_names_what_goes_on():
    todo, _ = work()
    todo.doing = ("fits the critics", "compiles")
    view, out = live.View(), io.StringIO()
    view._works += [live.Work("reads the data", 0), todo]
    plain = rich.console.Console(file=out, width=120)
    plain.print(view._drawn(plain))
    first, second = out.getvalue().splitlines()
    assert "reads the data" in first and "0/0" not in first
    assert "0/10" in second and "fits the critics, compiles" in second


def test_the_view_shows_stage_bar_speed_arms_and_the_last_warning(monkeypatch):
    out = io.StringIO()
    screen = rich.console.Console(file=out, width=120, height=30, force_terminal=True)
    monkeypatch.setattr(console, "console", screen)
    monkeypatch.setattr(live, "REFRESHES", 0.001)  # by hand
    clone, scratch = np.array([237.0, 225.0, 249.0]), np.array([-8.0])
    with console.stage(3, 4, "fine-tune"), console.progress("fine-tune", 8, unit="steps") as bar:
        bar.advance(4)
        bar.tell("pretrained", console.returned(clone) | {"KL from clone": console.small(0.0213)})
        bar.tell("from_scratch", console.returned(scratch))
        bar.note("evaluates")
        console.say("warning: the disk is nearly full")
        drawn = io.StringIO()
        plain = rich.console.Console(file=drawn, width=120)
        plain.print(console._view._drawn(plain))
    text = drawn.getvalue()
    for word in ("[3/4] fine-tune", "4/8", "evaluates", "return [seeds' range]"):
        assert word in text
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "237.0 [225.0, 249.0]" in rows["pretrained"] and "0.0213" in rows["pretrained"]
    assert "-8.0" in rows["from_scratch"]
    assert text.splitlines()[-1].strip() == "warning: the disk is nearly full"
    assert console._view.stage == ""


def test_the_view_fits_a_small_terminal():
    todo, _ = work()
    for i in range(40):
        todo.tell(f"learning_rate={i}", {"return": f"{i}.0"}, float(i))
    view = live.View()
    view._works.append(todo)
    out = io.StringIO()
    small = rich.console.Console(file=out, width=50, height=20)
    small.print(view._drawn(small))
    lines = out.getvalue().splitlines()
    assert len(lines) < 20 and all(len(line) <= 50 for line in lines)
    assert "learning_rate=39" in out.getvalue() and "and 28 more" in out.getvalue()


def test_nothing_is_printed_where_runs_are_many_but_listeners_hear(printed, monkeypatch):
    heard = []
    monkeypatch.setattr(console, "listeners", [heard.append])
    with console.hushed():
        console.say("note: a")
        console.table("t", ("a",), [("1",)])
        with console.progress("work", 1) as bar:
            bar.advance()
    assert printed.getvalue() == "" and heard == ["note: a"]
    console.say("b")
    assert printed.getvalue() == "b\n"


def test_details_are_for_those_who_ask(printed):
    try:
        console.detail("quiet as yet")
        console.loudness(verbose=True)
        console.detail("detail")
        with console.hushed():
            console.say("said")
        console.loudness(quiet=True)
        console.say("nothing")
    finally:
        console.loudness()
    assert printed.getvalue() == "detail\nsaid\n"
