"""Reports of runs: what is told, in a real browser, whatever the data hold."""

import contextlib
import json
import shutil
import types

import numpy as np
import pytest

import jaxmaze
from jaxmaze import api
from jaxmaze.reporting import again, charts, facts, hashes, page
from jaxmaze.runs import console, history, palette
from tests.conftest import SMALL, command

QUICK = SMALL | {"env.id": "CartPole-v1", "env.max_episode_steps": 30}
SHORT = QUICK | {"bc.batch_size": 4}
SCREENS = ((1200, "light"), (360, "dark"))
HOSTILE = '<script>document.title="run"</script><img src=x onerror=alert(1)>'
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), "")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One small run of each kind that trains quickly."""
    out = tmp_path_factory.mktemp("runs")
    rec = api.record(QUICK, out / "rec", policy="random", n_episodes=8)
    bc = api.clone(QUICK, rec, out / "bc")
    ppo = api.fine_tune(QUICK, bc, out / "ppo")
    compared = api.compare([bc, ppo], out / "compare", teacher="random")
    return {"rollout": rec, "bc": bc, "ppo": ppo, "compare": compared}


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM:
        pytest.skip("no chromium is installed")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextlib.contextmanager
def shown(browser, run, width=1200, scheme="light"):
    """A report in the browser; checks that it asks nobody for anything and complains of nothing."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab, asked, complaints = context.new_page(), [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    address = (run / page.FILE).resolve().as_uri()
    tab.goto(address)
    yield tab
    assert [url for url in asked if url != address and not url.startswith("data:")] == []
    assert complaints == []
    context.close()


def right(obs):
    """A teacher given as an object."""
    return [1] * len(obs)


def _recorded(config, out):
    return api.record(config, out, policy="random", n_episodes=2, render="video")


def _inspected(config, out):
    return api.inspect(api.record(config, out.parent / "data", policy="random"), out)


def _swept(config, out):
    data = api.record(config, out.parent / "data", policy="random")
    swept = {"stage": "bc", "bc.data": str(data.folder), "sweep": {"learning_rate": (1e-3, 1e-4)}}
    return api.train(config | swept, out)


def _drawn(config, out):
    data = api.record(config, out.parent / "data", policy="random")
    drawn = {"stage": "curve", "curve.episodes": (1, 4), "curve.draws": 2}
    return api.train(config | drawn | {"bc.data": str(data.folder)}, out)


def _worked(config, out):
    return api.train(config | {"rollout.policy": "random"}, out)


def _asked(config, out):
    return api.dagger(config, out, policy="random")


MADE = {
    "recorded": (
        _recorded,
        ("random played CartPole-v1", "2 episodes", "Videos", "render='video'"),
    ),
    "inspect": (_inspected, ("6 episodes", "what it means", "all 6 episodes are whole")),
    "dagger": (_asked, ("asked of the teacher", "Steps at which clone and teacher agreed")),
    "sweep": (
        _swept,
        (
            "learning_rate=0.001",
            "3 episodes a seed, which serve for choosing alone",
            "test episodes",
        ),
    ),
    "curve": (_drawn, ("Return against recorded episodes", "Clones of 4 episodes", "each draw")),
    "workflow": (
        _worked,
        (
            "recorded, cloned, fine-tuned",
            "gain on the clone",
            "The handover",
            "random_lr0",
            "Drift",
        ),
    ),
}
"""How to make a run of each other kind, and what is to be read in its report."""


EXPECTED = {
    "rollout": ("random played CartPole-v1", "Return of each episode"),
    "bc": ("Clones of recorded episodes", "Loss", "best epoch", "8 episodes"),
    "ppo": ("The handover from the clone", "temperature at the start", "Drift", "dip", "none: the"),
    "compare": ("2 runs compared: bc, ppo", "gain on teacher", "teacher, "),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", EXPECTED)
def test_every_run_ends_with_a_page_that_a_browser_shows(runs, browser, kind):
    run = runs[kind].folder
    for width, scheme in SCREENS:
        with shown(browser, run, width, scheme) as tab:
            looked_at(tab, EXPECTED[kind], width, scheme)
            if kind in ("ppo", "compare"):
                drawing = tab.locator("figure.chart svg:not(.swatch)").locator("visible=true").first
                assert drawing.bounding_box()["width"] > width / 2
                assert drawing.locator("path.line").count() == (2 if kind == "compare" else 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", MADE)
def test_runs_of_all_other_kinds_too(browser, kind, tmp_path):
    if kind == "recorded":
        pytest.importorskip("pygame")
    made, expected = MADE[kind]
    run = made(SHORT, tmp_path / "run").folder
    charts_of = {"recorded": 1, "inspect": 9, "dagger": 3, "sweep": 0, "curve": 1, "workflow": 4}
    for width, scheme in SCREENS:
        with shown(browser, run, width, scheme) as tab:
            looked_at(tab, expected, width, scheme)
            drawings = tab.locator("figure.chart svg:not(.swatch)").locator("visible=true")
            assert drawings.count() == charts_of[kind]
            if kind == "recorded":
                lengths = tab.evaluate("[...document.querySelectorAll('video')].map(v => v.src)")
                assert len(lengths) == 2 and all(x.startswith("data:video/mp4") for x in lengths)
            if kind == "inspect":
                drawn_to_read(tab, width)


def drawn_to_read(tab, width):
    """The charts of inspected data have the page's colours, no pictures, and letters to read."""
    assert tab.locator("img").count() == 0
    text = tab.locator("figure.chart text").first
    muted = tab.locator(".muted").first
    fill, colour = (
        found.evaluate("(e, name) => getComputedStyle(e)[name]", name)
        for found, name in ((text, "fill"), (muted, "color"))
    )
    assert fill == colour and text.bounding_box()["height"] > 9
    box = tab.locator("figure.chart").nth(1).bounding_box()
    assert box["width"] > width * 0.8 or width > 1000  # one below the other on a phone
    assert tab.locator("path.bar").count() == 3  # returns, lengths, actions
    broken = tab.evaluate(
        "[...document.querySelectorAll('td.text')].filter(td => td.textContent.trim().length < 15"
        " && !/\\s/.test(td.textContent.trim())"
        " && td.getBoundingClientRect().height > 1.9 * parseFloat(getComputedStyle(td).lineHeight)"
        " && [...td.parentElement.cells].every(c => c === td || c.offsetHeight <= td.offsetHeight)"
        " && (r => (r.selectNodeContents(td), r.getClientRects().length > 1))(new Range()))"
        ".map(td => td.textContent)"
    )
    assert broken == []


def looked_at(tab, expected, width, scheme):
    """A page that tells what it should, as wide as the screen, and as bright."""
    text = tab.inner_text("body")
    for words in (*expected, "Do it again", "jaxmaze 0.1.0"):
        assert words in text, words
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    back = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert back == {"light": "rgb(245, 246, 248)", "dark": "rgb(20, 23, 27)"}[scheme]


@pytest.mark.slow
def test_markup_in_data_is_text(runs, browser, tmp_path):
    run = tmp_path / "<b>run"
    shutil.copytree(runs["ppo"].folder, run)
    for name, key in (("config.json", "policy"), ("summary.json", "audit")):
        values = json.loads((run / name).read_text())
        if key == "policy":
            values["config"]["env"]["id"] = values["config"]["ppo"]["init_from"] = HOSTILE
            values["versions"]["jax"] = HOSTILE
        else:
            values["audit"]["difference"] = values["audit"]["origin"] = HOSTILE
        (run / name).write_text(json.dumps(values))
    with (run / history.FILE).open("a") as file:
        file.write(json.dumps({"event": "said", "text": f"warning: {HOSTILE}"}) + "\nnot json\n")
    api.report(run)
    with shown(browser, run) as tab:
        assert tab.inner_text("body").count(HOSTILE) >= 4
        assert tab.title() != "run" and tab.locator("script, img").count() == 0
        assert "<b>run" in tab.inner_text("h1")


@pytest.mark.slow
def test_videos_are_part_of_the_page_or_linked(runs, browser, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs["rollout"].folder, run)
    (run / "videos").mkdir()
    (run / "videos" / "small one.gif").write_bytes(
        b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01"
        b"\x00\x00\x02\x02D\x01\x00;"
    )
    (run / "videos" / "large & long.mp4").write_bytes(b"x" * (page.EMBEDDED + 1))
    html = api.report(run).read_text()
    assert 'src="../videos/large%20%26%20long.mp4"' in html
    (run / "videos" / "large & long.mp4").unlink()
    api.report(run)
    with shown(browser, run) as tab:
        assert tab.evaluate("document.querySelector('figure img').naturalWidth") == 1


def test_the_settings_told_make_the_same_run(runs):
    for kind in ("bc", "ppo", "rollout"):
        found = facts.read(runs[kind].folder)
        told = jaxmaze.make_config(again.differences(found)).to_dict()
        assert told == runs[kind].config.to_dict()
        script = next(b.text for b in again.section(found).blocks if "Python" in b.title)
        names: dict = {}
        exec(script.split("jaxmaze.train")[0].split("jaxmaze.record")[0], names)
        assert jaxmaze.make_config(names["config"]).to_dict() == told


def test_a_comparison_is_done_again_with_its_teacher(runs, tmp_path):
    def script(run):
        blocks = again.section(facts.read(run)).blocks
        return next(b.text for b in blocks if "Python" in b.title)

    named = script(runs["compare"].folder)
    again_folder = tmp_path / "again"
    exec(named.replace("'compare-again'", repr(str(again_folder))), {})
    told = [
        json.loads((r / "summary.json").read_text()) for r in (runs["compare"].folder, again_folder)
    ]
    assert told[0]["teacher"] == told[1]["teacher"]
    recorded = runs["rollout"].folder
    other = api.compare([runs["bc"]], tmp_path / "other", teacher=recorded, trust=True).folder
    assert f"teacher={str(recorded.resolve())!r}, trust=True)" in script(other)
    mine = api.compare([runs["bc"]], tmp_path / "mine", teacher=right).folder
    assert "# teacher: the object that was given, " in script(mine) and "right" in script(mine)


def test_what_was_printed_is_told(tmp_path):
    with history.kept(tmp_path, {"jax": "1"}) as kept:
        console.say("note: before the folder is known")
        assert not (tmp_path / history.FILE).exists()
        history.claimed(tmp_path / "another")
        assert not (tmp_path / history.FILE).exists()
        history.claimed(tmp_path)
        console.say("warning: after it")
        console.say("an ordinary line")
        assert kept.run == tmp_path.resolve()
    events = history.read(tmp_path)
    assert [e.get("text") for e in events if e["event"] == "said"] == [
        "note: before the folder is known",
        "warning: after it",
    ]
    assert [events[0]["event"], events[-1]["event"]] == ["start", "end"]
    assert not console.listeners


def test_a_report_that_fails_fails_no_run(monkeypatch, tmp_path, capsys):
    def broken(run):
        raise ValueError("no\nway")

    monkeypatch.setattr(page, "html", broken)
    run = api.record(QUICK, tmp_path / "run", policy="random", n_episodes=2)
    assert run.summary["kind"] == "rollout"
    (line,) = (x for x in capsys.readouterr().out.splitlines() if x.startswith("warning: the rep"))
    assert "ValueError: no way" in line and not (tmp_path / "run" / page.FILE).exists()


def test_another_run_in_the_folder_is_left_alone(runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs["bc"].folder, run)
    (run / "summary.json").unlink()
    before = (run / history.FILE).read_bytes()
    with pytest.raises(jaxmaze.UserError, match="another configuration"):
        api.clone(QUICK | {"seed": 7}, runs["rollout"], run)
    assert (run / history.FILE).read_bytes() == before


def test_the_command_writes_it_for_interrupted_runs_too(runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs["ppo"].folder, run)
    (run / "summary.json").unlink()
    (run / page.FILE).unlink()
    done = command("jaxmaze.report", run)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(run / page.FILE)
    text = (run / page.FILE).read_text()
    assert "Not finished" in text and f"jaxmaze train --resume={run}" in text
    wrong = command("jaxmaze.report", tmp_path)
    assert wrong.returncode == 2 and "is not a run's folder" in wrong.stderr


def test_a_line_of_the_teacher_has_no_other_runs_colour():
    x, names = np.arange(3), ["pretrained", "teacher", "mine"]
    places = palette.numbers(names)
    lines = [charts.Line(n, x, x + 1.0, colour=p) for n, p in zip(names, places, strict=True)]
    drawn = charts.chart("return", lines, charts.Axes("steps", "return"))
    assert [key.style for key in drawn.keys] == ["series-0", "ink", "series-2"]
    assert all(f'class="line {key.style}"' in drawn.drawing for key in drawn.keys)


def blocks_of(run, title):
    told = page.page(facts.read(run))
    return next((s.blocks for s in told.sections if s.title == title), [])


def test_hashes_of_what_was_used_and_recorded_are_told(runs, tmp_path):
    sha = json.loads((runs["bc"].folder / "config.json").read_text())["data_sha256"]
    inspected = api.inspect(runs["rollout"], tmp_path / "inspected").folder
    for run in (*(r.folder for r in runs.values()), inspected):
        found = [b for b in blocks_of(run, "Do it again") if "SHA-256" in getattr(b, "title", "")]
        assert any(sha in cell for block in found for row in block.rows for cell in row), run
    users = dict(blocks_of(runs["compare"].folder, "Do it again")[-1].rows)
    assert set(users) == {"policies taken over of ppo", "demonstrations of bc, ppo"}
    inside = tmp_path / "workflow"  # as a workflow's: the runs are below it
    shutil.copytree(runs["rollout"].folder, inside / "rollout")
    about = json.loads((runs["bc"].folder / "config.json").read_text())
    (inside / "config.json").write_text(json.dumps(about | {"kind": "other", "data_sha256": None}))
    assert blocks_of(inside, "Do it again")[-1].rows == [("recorded episodes of rollout", sha)]


def test_demonstrations_that_members_share_are_told_once(tmp_path):
    listed = [{"path": f"/seed_{m}", "sha256": f"{m}{m}"} for m in (0, 1, 0)]
    run = types.SimpleNamespace(about={"demonstrations": listed}, run=tmp_path, kind="", summary={})
    assert hashes._used(run) == [
        ("demonstrations", "/seed_0 00"),
        ("demonstrations", "/seed_1 11"),
    ]


def test_a_comparison_tells_of_the_handover_of_its_runs(runs):
    own = blocks_of(runs["ppo"].folder, "The handover from the clone")
    there = blocks_of(runs["compare"].folder, "The handover from the clone")
    assert there[0].title == "ppo" and there[0].rows == own[0].rows
    assert [b.title for b in there[1:]] == ["Drift: distance of the policy from the clone"]


def test_python_says_where_it_starts_and_what_is_trusted(runs, tmp_path, monkeypatch):
    def script(run):
        return next(b for b in blocks_of(run, "Do it again") if b.title == "In Python")

    assert "any folder" in script(runs["rollout"].folder).note
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    teacher = "tests.videos.drawn_env:right"
    config = {"env.id": "tests.videos.drawn_env:Drawn-v0", "rollout.n_episodes": 3}
    api.record(config, data, policy=teacher)
    assert f"in {tmp_path}, from which the module tests.videos.drawn_env is" in script(data).note
    api.inspect(data, tmp_path / "a", trust=True, replay=2, config=config)
    told = script(tmp_path / "a")
    assert told.text.endswith("'a-again', config=config, trust=True, replay=2)")
    assert "'env.id': 'tests.videos.drawn_env:Drawn-v0'" in told.text
    assert str(tmp_path) in told.note and "tests.videos.drawn_env" in told.note


def test_numbers_are_written_alike():
    assert facts.spread({"mean": 0.0083, "std": 8.27}) == "0.01 ± 8.27"
    assert facts.spread({"mean": -0.001, "std": 8.27}) == "0 ± 8.27"
    assert facts.spread({"mean": -101.26, "std": 111.3}) == "−101 ± 111"
    assert facts.spread({"mean": 60.0, "std": 0.0}) == "60 ± 0"
    assert facts.fitting(0.0083, 29.6) == "0" and facts.fitting(0.0083, 0.01) == "0.0083"
    assert charts.true_minus("-9.8 [-11.0, 2-3] a-1") == "−9.8 [−11.0, 2-3] a-1"
    assert charts.number(-1.5e-5) == "−1.5e−05"


def test_two_levels_are_told_apart():
    x = np.arange(3)
    levels = [("teacher, 4 episodes", 1.0), ("teacher, 9 episodes", 2.0)]
    axes = charts.Axes("steps", "return", levels)
    drawn = charts.chart("return", [charts.Line("a", x, x + 1.0)], axes)
    styles = [key.style for key in drawn.keys[1:]]
    assert len(set(styles)) == 2
    assert all(f'class="{style}"' in drawn.drawing for style in styles)


def test_of_many_dots_the_extremes_are_drawn():
    y = np.zeros(5000)
    y[[17, 4321]] = (-7, 9)
    line = charts.Line("", np.arange(5000), y, style="dots")
    drawn = charts.chart("t", [line], charts.Axes("episodes", "return"))
    assert 300 < drawn.drawing.count("<circle") <= 600
    kept = charts._thinned(line)
    assert (kept.y.min(), kept.y.max()) == (-7, 9)


@pytest.mark.slow
def test_only_what_holds_is_told(tmp_path, capsys):
    """Of a sweep's episodes, of DAgger's own data, of episodes between whole numbers."""
    swept = _swept(SHORT, tmp_path / "sweep" / "run").folder
    assert "Returns on 3 episodes a seed for choosing alone" in capsys.readouterr().out
    told = page.page(facts.read(swept))
    result = next(s for s in told.sections if s.title == "Result")
    assert list(result.blocks[0].header) == ["arm", "seeds", "last", "best: IQM [95 %]"]
    assert "chose nothing" not in (swept / page.FILE).read_text()
    asked = _asked(SHORT, tmp_path / "dagger").folder
    assert "What it started from" not in (asked / page.FILE).read_text()
    assert "labelled episodes of seed 0" in (asked / page.FILE).read_text()
    line = charts.Line("", np.array([1, 2]), np.array([3.0, 4.0]), style="dots")
    drawn = charts.chart("t", [line], charts.Axes("episodes", "return", whole=True))
    assert ">2</text>" in drawn.drawing and ">1.5</text>" not in drawn.drawing
