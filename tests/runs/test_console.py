"""What commands print."""

import io

import pytest
import rich.console

from jaxmaze.runs import console


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


def test_progress_counts_to_the_end_and_shows_notes(printed):
    with console.progress("work", 4) as bar:
        bar.advance()
        bar.note("half way")
        bar.advance(3)
    assert "work" in printed.getvalue() and "4/4" in printed.getvalue()
    assert "half way" in printed.getvalue()
