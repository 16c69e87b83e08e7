"""The viewer's page in a real browser: what is clicked, pressed and drawn."""

import io
import shutil

import gymnasium as gym
import h5py
import jax
import numpy as np
import pytest

import jaxmaze
from jaxmaze.core.types import Policy
from jaxmaze.policies import LoadedPolicy
from jaxmaze.runs import palette
from jaxmaze.viewing.viewer import Viewer
from tests.test_inspect import store
from tests.viewing.browser import Page, launched, served
from tests.viewing.test_viewer import judge

HTML = "<img src=x onerror=window.hacked=1>"
SCRIPT = "</script><script>window.hacked=1</script>"


@pytest.fixture(scope="module")
def browser():
    with launched() as found:
        yield found


@pytest.fixture(scope="module")
def viewer(recorded, cloned):
    made = jaxmaze.view(recorded, policies=[cloned], n_episodes=2)
    yield made
    made.close()


@pytest.fixture(scope="module")
def address(viewer):
    with served(viewer) as found:
        yield found


@pytest.fixture
def page(browser, address):
    found = Page(browser, address)
    yield found
    assert not found.complaints
    assert all(url.startswith((address, "data:")) for url in found.asked)
    found.page.context.close()


def numbers(texts):
    return [float(text.replace("−", "-").replace(",", "")) for text in texts]


def test_the_table_is_sorted_by_what_is_clicked(page, viewer):
    rows = viewer.sources[0].rows()
    assert page.texts("#episodes tbody td:nth-child(1)") == [str(i) for i in range(6)]
    assert page.texts("#episodes tbody td:nth-child(5)") == [str(row.seed) for row in rows]
    assert page.texts("#episodes tbody td:nth-child(4)") == [row.end for row in rows]
    for column, values in ((2, [row.total for row in rows]), (3, [row.length for row in rows])):
        heading = page.page.locator(f"#episodes th:nth-child({column})")
        found = []
        for _ in range(2):
            heading.locator("button").click()
            found.append(
                (
                    heading.get_attribute("aria-sort"),
                    numbers(page.texts(f"#episodes tbody td:nth-child({column})")),
                )
            )
        for direction, shown in found:
            wanted = sorted(values, reverse=direction == "descending")
            np.testing.assert_allclose(shown, wanted, atol=0.06)
        assert {direction for direction, _ in found} == {"ascending", "descending"}


def test_a_click_chooses_an_episode_and_only_that_one_is_asked_for(page):
    asked = [url for url in page.asked if "/api/episode/" in url]
    assert len(asked) == 1 and asked[0].endswith("/api/episode/0/0")
    page.page.click("#episodes tbody tr:nth-child(4) td:nth-child(2)")
    page.page.wait_for_selector("tr[data-index='3'][aria-selected=true]")
    page.press("ArrowDown")  # from row to row
    page.page.wait_for_selector("tr[data-index='4'][aria-selected=true]")
    assert page.page.evaluate("document.activeElement.dataset.index") == "4"


def test_keys_move_through_the_episode(page, viewer):
    e = viewer.episode(0, 0)
    length = e["length"]
    steps = {"ArrowRight": 1, "Shift+ArrowRight": 11, "ArrowLeft": 10, "End": length, "Home": 0}
    for key, wanted in steps.items():
        page.press(key)
        assert page.text("#where") == f"step {wanted} of {length}"
        facts = page.facts() if wanted < length else {}
        if facts:
            np.testing.assert_allclose(facts["Reward"], e["rewards"][wanted], rtol=0.01)
            total = sum(e["rewards"][:wanted])
            np.testing.assert_allclose(facts["Return so far"], total, rtol=0.01, atol=1e-3)
    page.press("n")
    page.page.wait_for_selector("tr[data-index='1'][aria-selected=true]")
    page.press("p")
    page.page.wait_for_selector("tr[data-index='0'][aria-selected=true]")


def test_it_plays_at_a_speed_until_it_is_paused(page):
    page.page.select_option("#speed", "120")
    page.press("Space")
    page.page.wait_for_selector("#play[aria-label=Pause]")
    page.page.locator("#where", has_not_text="step 0 of").wait_for()
    page.press("Space")
    page.page.wait_for_selector("#play[aria-label=Play]")
    reached = page.text("#where")
    page.page.wait_for_timeout(100)
    assert page.text("#where") == reached
    page.press("Home")
    page.page.click("#play")
    page.page.wait_for_selector("#play[aria-label=Play]")  # it stops at the end by itself
    steps = page.text("#where").split()
    assert steps[1] == steps[3]
    page.page.locator("dt", has_text="End").wait_for()


def test_the_slider_and_a_click_on_a_chart_choose_a_step(page):
    page.page.fill("#step", "25")
    assert page.text("#where").startswith("step 25 of")
    chart = page.page.locator("#chart-reward > .chart > svg")
    chart.click(position={"x": chart.bounding_box()["width"] - 9, "y": 20})
    step = int(page.text("#where").split()[1])
    assert step == int(page.text("#where").split()[3]) - 1


def test_the_picture_is_that_of_the_recorded_episode_at_that_step(page, recorded, viewer):
    from PIL import Image

    page.press("Home")
    for _ in range(3):
        page.press("Shift+ArrowRight")
    page.page.locator("figure img[alt='Picture of step 30']").wait_for()
    drawn = page.page.locator("figure img").first
    assert drawn.evaluate("image => image.naturalWidth") == 600
    source = drawn.evaluate("image => image.src")
    sent = page.page.request.get(source)
    got = np.asarray(Image.open(io.BytesIO(sent.body())), np.float64)
    env = gym.make("LunarLander-v3", render_mode="rgb_array")
    episode = viewer.sources[0].episode(0)
    env.reset(seed=int(episode.seed))
    for action in episode.taken[:30]:
        env.step(action)
    assert np.abs(got - env.render()).mean() < 2  # what JPEG leaves out
    env.step(episode.taken[30])
    env.close()


def test_what_a_policy_says_stands_beside_what_was_done(page, viewer, cloned, recorded):
    trained = jaxmaze.load_policy(cloned.folder)
    networks, episode = trained.networks, viewer.sources[0].episode(0)
    policy = trained.policy
    dist = networks.distribution(policy.params, policy.obs_stats, episode.seen[:-1])
    odds = np.asarray(np.exp(dist.logits - dist.logits.max(-1, keepdims=True)))
    odds /= odds.sum(-1, keepdims=True)
    page.page.fill("#step", "17")
    assert page.texts(".actions thead th") == ["action", "done", "cloned0/run"]
    shown = page.texts(".actions .bar span")
    wanted = [100 * p for p in odds[17]]
    for text, percent in zip(shown, wanted, strict=True):
        assert (text == "< 0.1 %" and percent < 0.1) or float(text[:-2]) == pytest.approx(
            percent, abs=0.06
        )
    done = page.page.locator(".actions tr.done")
    assert done.count() == 1
    assert done.locator("th").inner_text().startswith(f"{int(episode.taken[17])} ")
    surprise = -np.asarray(dist.log_prob(episode.taken.astype(np.int32)))
    worst = int(surprise.argmax())
    first = page.page.locator("#peaks button").first
    assert first.inner_text().startswith(f"step {worst}\n")
    first.click()
    assert page.text("#where").startswith(f"step {worst} of")
    assert first.get_attribute("aria-current") == "true"
    page.press("d")
    assert page.page.locator("#peaks button").nth(1).get_attribute("aria-current") == "true"


def test_the_worst_step_of_all_episodes_is_one_click_away(page, viewer):
    ranked = viewer.disagreements(0)
    (index, t, _), compared = ranked["steps"][0], ranked["compared"]
    largest = [max(viewer.episode(0, i)["measures"][0]["values"]) for i in range(compared)]
    assert compared == 6 and int(np.argmax(largest)) == index
    page.page.select_option("#scope", "all")
    page.wait("#peaks button", f"episode {index}, step {t}")
    page.page.locator("#peaks button").first.click()
    page.page.wait_for_selector(f"tr[data-index='{index}'][aria-selected=true]")
    page.wait("#where", f"step {t} of")


def test_traces_carry_names_and_are_drawn_through_all_steps(page, viewer):
    e = viewer.episode(0, 0)
    names = [trace["name"] for trace in e["observations"]["numbers"]]
    assert page.texts(".trace .label span") == names and names[:2] == ["x", "y"]
    path = page.page.locator(".trace path.line").first.get_attribute("d")
    assert path.count("L") == e["length"]
    page.page.fill("#step", "12")
    values = numbers(page.texts(".trace .label b"))
    wanted = [trace["values"][12] for trace in e["observations"]["numbers"]]
    np.testing.assert_allclose(values, wanted, rtol=0.01, atol=1e-6)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_by_day_and_by_night(browser, address, scheme):
    page = Page(browser, address, width=360, scheme=scheme)
    assert page.page.evaluate("document.documentElement.scrollWidth") == 360
    shade = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(int(x) for x in shade[4:-1].split(",")) / 3
    assert (light > 200) == (scheme == "light") and (light < 60) == (scheme == "dark")
    outside = page.page.evaluate(
        "[...document.querySelectorAll('button, select, input')].filter(e => "
        "e.offsetParent && !e.closest('.scroll, .peaks') && e.getBoundingClientRect().right > 360)"
        ".length"
    )
    assert outside == 0 and not page.complaints
    page.page.context.close()


def test_from_where_a_replay_differs_it_says_so(browser, recorded, tmp_path):
    shutil.copytree(recorded.folder, tmp_path / "other")
    with h5py.File(tmp_path / "other/trajectory_data/data/main_data.hdf5", "a") as file:
        actions = file["episode_0/actions"][:]
        actions[40] = (actions[40] + 2) % 4
        file["episode_0/actions"][...] = actions
    viewer = jaxmaze.view(tmp_path / "other")
    with served(viewer) as address:
        page = Page(browser, address)
        page.wait(".pane .warning", "From step 41 on")
        for step, differs in (("40", 0), ("41", 1)):
            page.page.fill("#step", step)
            page.page.locator(f"figure img[alt='Picture of step {step}']").wait_for()
            assert page.page.locator("figure.differs").count() == differs
        page.press("n")
        page.page.wait_for_selector("tr[data-index='1'][aria-selected=true]")
        page.page.locator("figure img[alt='Picture of step 0']").wait_for()
        assert not page.page.locator(".pane .warning").is_visible()
        page.page.context.close()
    viewer.close()


def test_two_runs_play_the_same_seed_side_by_side(browser, cloned, recorded):
    viewer = jaxmaze.view(recorded, cloned, n_episodes=2)
    with served(viewer) as address:
        page = Page(browser, address)
        assert page.page.locator(".pane").count() == 2
        other = viewer.at_seed(1, viewer.episode(0, 0)["seed"])
        mine = viewer.episode(0, 0)
        assert other["source"] == 1 and other["seed"] == mine["seed"]
        for a, b in zip(*(e["observations"]["numbers"] for e in (mine, other)), strict=True):
            assert a["values"][0] == b["values"][0]  # the same start
        page.page.fill("#step", "20")
        shown = numbers(page.texts(".facts div:first-child dd"))
        wanted = [sum(e["rewards"][:20]) for e in (mine, other)]
        np.testing.assert_allclose(shown, wanted, rtol=0.01, atol=1e-3)
        assert page.page.locator("#chart-return path.dashed").count() == 2  # line and legend
        page.page.locator(".pane:nth-child(2) figure img[alt='Picture of step 20']").wait_for()
        page.press("n")
        page.page.wait_for_selector("tr[data-index='1'][aria-selected=true]")
        page.wait(".pane:nth-child(2) h2", "episode 1")
        seeds = [viewer.episode(number, 1)["seed"] for number in (0, 1)]
        assert seeds[0] == seeds[1] != mine["seed"]
        assert not page.complaints
        page.page.context.close()
    viewer.close()


def tricky(folder):
    """A data set whose strings hold HTML, with a picture and several kinds of action."""
    space = gym.spaces.Dict(
        {
            HTML: gym.spaces.Box(0, 255, (16, 24, 3), np.uint8),
            "speed": gym.spaces.Box(-9, 9, (2,)),
        }
    )
    action = gym.spaces.Dict(
        {"<b>gear": gym.spaces.Discrete(3), "steer": gym.spaces.Box(-1, 1, (2,))}
    )
    rng = np.random.default_rng(0)
    steps = 20
    camera = np.zeros((steps + 1, 16, 24, 3), np.uint8)
    camera[np.arange(steps + 1), :, np.arange(steps + 1)] = (255, 128, 0)
    episode = {
        "observations": {
            HTML: camera,
            "speed": rng.normal(size=(steps + 1, 2)).astype(np.float32),
        },
        "actions": {
            "<b>gear": rng.integers(0, 3, steps),
            "steer": rng.uniform(-1, 1, (steps, 2)).astype(np.float32),
        },
        "rewards": rng.normal(size=steps),
        "terminations": np.arange(steps) == steps - 1,
        "truncations": np.zeros(steps, bool),
    }
    return store(folder, [episode], space, action)


@pytest.mark.parametrize("how", ["served", "exported", "notebook"])
def test_what_data_say_is_text_and_never_code(browser, tmp_path, how):
    folder = tricky(tmp_path / HTML.replace("/", "") / "data").parent
    config = {"env": {"id": "CartPole-v1", "observation_names": (SCRIPT, "b")}}
    viewer = jaxmaze.view(folder, config=config)
    if how == "served":
        with served(viewer) as address:
            looked_at(Page(browser, address), address)
    elif how == "exported":
        path = viewer.save(tmp_path / "page.html")
        looked_at(Page(browser, path.as_uri()), path.as_uri())
    else:
        path = tmp_path / "notebook.html"
        path.write_text(f"<!doctype html><title>n</title>{viewer._repr_html_()}")
        page = Page(browser, path.as_uri(), wait=False)
        frame = page.page.frame_locator("iframe")
        frame.locator("#where:not(:empty)").wait_for()
        assert frame.locator("#title").inner_text() == folder.name
        assert f"observation: {HTML}" in frame.locator("figcaption").all_inner_texts()
        assert page.page.evaluate("typeof window.hacked") == "undefined"
        assert page.page.get_attribute("iframe", "sandbox") == "allow-scripts"
        assert not page.complaints
        page.page.context.close()
    viewer.close()


def looked_at(page, address):
    """The page shows strings as they are, draws the recorded picture, and asks nobody else."""
    assert page.text("#title").startswith("<img src=x onerror")
    captions = page.texts(".pictures figcaption")
    assert f"observation: {HTML}" in captions
    assert page.texts(".trace .label span") == [SCRIPT, "b"]
    assert "<b>gear" in page.texts(".actions thead th")
    page.page.fill("#step", "7")
    drawn = page.page.locator(".pictures img.pixels")
    drawn.evaluate("image => image.decode()")
    pixel = drawn.evaluate(
        "image => { const c = document.createElement('canvas'); c.width = 24; c.height = 16;"
        "const x = c.getContext('2d'); x.drawImage(image, 0, 0);"
        "return [...x.getImageData(7, 5, 2, 1).data]; }"
    )
    assert pixel == [255, 128, 0, 255, 0, 0, 0, 255]
    assert page.page.evaluate("typeof window.hacked") == "undefined"
    assert page.page.locator("#title img, figcaption img, .label script").count() == 0
    assert all(url.startswith((address, "data:")) for url in page.asked), page.asked
    assert not page.complaints
    page.page.context.close()


def test_an_exported_page_needs_no_server(browser, viewer, tmp_path):
    path = viewer.save(tmp_path / "page.html")
    page = Page(browser, path.as_uri())
    rows = page.texts("#episodes tbody td:nth-child(1)")
    totals = {row.index: row.total for row in viewer.sources[0].rows()}
    assert [int(i) for i in rows] == sorted(
        [min(totals, key=totals.get), max(totals, key=totals.get)]
    )
    assert "2 of them on this page" in page.text("#about")
    page.page.click("#episodes tbody tr:nth-child(2)")
    page.press("ArrowRight")
    page.page.locator("figure img[alt='Picture of step 1']").wait_for()
    page.page.select_option("#scope", "all")
    page.wait("#compared", "2 episodes on this page")
    page.page.locator("#peaks button").first.click()
    assert all(url.startswith(("file:", "data:")) for url in page.asked)
    assert not page.complaints
    page.page.context.close()


@pytest.mark.slow
def test_a_thousand_episodes_are_a_table_and_one_episode(browser, tmp_path):
    space, action = gym.spaces.Box(-9, 9, (4,), np.float32), gym.spaces.Discrete(2)
    rng = np.random.default_rng(0)
    steps = 250
    observations = rng.normal(size=(steps + 1, 4)).astype(np.float32)
    ends = np.arange(steps) == steps - 1

    def episodes():
        for i in range(1000):
            yield {
                "seed": i,
                "observations": observations,
                "actions": rng.integers(0, 2, steps),
                "rewards": np.full(steps, i / steps),
                "terminations": ends,
                "truncations": ends & False,
            }

    viewer = jaxmaze.view(store(tmp_path / "data", episodes(), space, action))
    with served(viewer) as address:
        page = Page(browser, address)
        assert "1,000 episodes · 250,000 steps" in page.text("#about")
        assert page.page.locator("#episodes tbody tr").count() == 500
        page.page.click("#more")
        assert page.page.locator("#episodes tbody tr").count() == 1000
        page.page.click("#episodes th:nth-child(2) button")
        assert page.texts("#episodes tbody tr:first-child td")[:2] == ["999", "999.0"]
        assert [url for url in page.asked if "/api/episode" in url] == [
            f"{address}/api/episode/0/0"
        ]
        page.page.context.close()


def of_kind(folder, action_space, draw, judges, steps=8, scale=1.0, config=None):
    """A viewer of one episode with these actions, beside policies with random parameters."""
    rng = np.random.default_rng(0)
    episode = {
        "observations": scale * rng.normal(size=(steps + 1, 3)).astype(np.float32),
        "actions": draw(rng),
        "rewards": np.ones(steps),
        "terminations": np.arange(steps) == steps - 1,
        "truncations": np.zeros(steps, bool),
    }
    data = store(folder / "data", [episode], gym.spaces.Box(-9, 9, (3,), np.float32), action_space)
    return Viewer(jaxmaze.view(data.parent, config=config).sources, judges)


LONG = {
    "env.id": "CartPole-v1",
    "env.action_names": (
        "move the whole platform slowly towards its left border",
        "stay",
        "b" * 70,
    ),
}


@pytest.mark.parametrize(("width", "count"), [(1280, 3), (1280, 7), (360, 2), (360, 7)])
def test_any_number_of_policies_is_reached_and_read(browser, tmp_path, width, count):
    space = gym.spaces.Discrete(3)
    judges = [judge(space, i) for i in range(count)]
    judges[-1].name = "a_policy_whose_name_is_long" * 2
    viewer = of_kind(tmp_path, space, lambda rng: rng.integers(0, 3, 8), judges, config=LONG)
    with served(viewer) as address:
        page = Page(browser, address, width=width)
        assert page.page.evaluate("document.documentElement.scrollWidth") == width
        box = page.page.locator(".actions")
        hidden, shade = box.evaluate(
            "e => [e.scrollWidth - e.clientWidth, getComputedStyle(e).backgroundImage]"
        )
        assert (hidden > 1) == (count > 3) and shade.count("linear-gradient") == 4
        box.evaluate("e => { e.scrollLeft = 1e4 }")
        page.press("ArrowRight")  # the place is kept from step to step
        parts = box.evaluate(
            "e => ['tbody th .name', 'thead th:last-child .name', '.bar:last-child svg', 'span']"
            ".map((s, i) => (i < 2 ? e : [...e.querySelectorAll('td')].at(-1)).querySelector(s))"
            ".concat([e]).map(x => x.getBoundingClientRect()).map(r => [r.left, r.right])"
        )
        action, *last, whole = parts
        assert all(whole[0] <= left < right <= whole[1] + 1 for left, right in (action, *last))
        assert last[1][1] - last[1][0] > 40 and action[1] - action[0] < whole[1] / 3
        if count > 3:  # who acts stays in sight, and hides nothing of the last policy
            assert action[1] <= last[1][0]
        assert not page.complaints
        page.page.context.close()


def test_numbers_beside_a_chart_are_not_cut(browser, tmp_path):
    space = gym.spaces.Discrete(3)
    policy = judge(space, 0)
    viewer = of_kind(tmp_path, space, lambda rng: rng.integers(0, 3, 8), [policy], scale=-0.0051)
    with served(viewer) as address:
        page = Page(browser, address)
        texts = page.page.locator(".chart > svg text:not([transform])").evaluate_all(
            "all => all.map(e => [e.textContent, e.getBBox().x])"
        )
        assert any(text.startswith("−0.00") and len(text) > 6 for text, _ in texts), texts
        assert all(left >= 0 for _, left in texts), texts
        page.page.evaluate(
            "() => { const c = new Chart(document.body, { label: 'x', unit: 'u', onStep() {} });"
            "c.set([{ name: 'x', values: [-0.00012345, -0.00012346], color: 'ink' }]); }"
        )
        sides = page.page.locator("body > .chart > svg text").evaluate_all(
            "all => all.map(e => e.getBoundingClientRect()).map(r => [r.left, r.right])"
        )
        assert all(left > sides[-1][1] for left, _ in sides[:-1])  # the axis' name is the last
        page.page.context.close()


def test_an_episode_of_one_step_is_drawn(browser, tmp_path):
    viewer = of_kind(tmp_path, gym.spaces.Discrete(3), lambda rng: np.array([1]), [], steps=1)
    with served(viewer) as address:
        page = Page(browser, address)
        chart = page.page.locator("#chart-reward .chart > svg")
        assert chart.locator("text[text-anchor=middle]:not([transform])").all_text_contents() == [
            "0",
            "step",
        ]
        dot = chart.locator("circle.point").bounding_box()
        assert dot["width"] > 3
        assert page.page.locator("#chart-return circle.point").count() == 0  # two points: a line
        page.page.context.close()


def test_of_a_continuous_policy_what_acts_is_shown(browser, tmp_path):
    """Not the mean of its Gaussian, which may lie beyond what the environment gets."""
    space = gym.spaces.Box(-1, 1, (1,), np.float32)
    policy = judge(space, 1)
    wild = jax.tree.map(lambda x: 9 * x, policy.trained.policy.params)
    networks = policy.trained.networks
    policy.trained = LoadedPolicy(networks, Policy(wild, networks.init_stats()))
    viewer = of_kind(tmp_path, space, lambda rng: rng.uniform(-1, 1, (8, 1)), [policy])
    said = viewer.episode(0, 0)["policies"][0]
    means, acts = said["heads"][0]["mean"], said["mode"][0]
    t = int(np.argmax(np.abs(means)))
    assert abs(means[t]) > 1.5 and abs(acts[t]) == 1
    with served(viewer) as address:
        page = Page(browser, address)
        page.page.fill("#step", str(t))
        shown = page.texts(".actions tbody tr:first-child td")[-1]
        assert numbers([shown.split(" ± ")[0]]) == [acts[t]]
        assert not page.complaints
        page.page.context.close()


@pytest.mark.parametrize("scheme,colours", [("light", "COLOURS"), ("dark", "ON_DARK")])
def test_who_is_shown_has_the_colour_of_figures_and_reports(browser, tmp_path, scheme, colours):
    space = gym.spaces.Discrete(3)
    names = ["mine", "teacher", "clone", "pretrained"]
    judges = [judge(space, i) for i in range(4)]
    for each, name in zip(judges, names, strict=True):
        each.name = name
    viewer = of_kind(tmp_path, space, lambda rng: rng.integers(0, 3, 8), judges)
    with served(viewer) as address:
        page = Page(browser, address, scheme=scheme)
        found = page.page.evaluate(
            "[...document.querySelectorAll('.actions thead .swatch rect')]"
            ".map(e => getComputedStyle(e).fill)"
        )
        ink = page.page.evaluate("getComputedStyle(document.body).color")
        page.page.context.close()
    places = palette.numbers(names)
    assert places[1] == -1 and places[2] == palette.COLOURS.index(palette.KNOWN["clone"])
    wanted = [getattr(palette, colours)[place] for place in places]
    wanted = ["rgb({}, {}, {})".format(*palette.rgb(colour)) for colour in wanted]
    assert found == [wanted[0], ink, *wanted[2:]]
