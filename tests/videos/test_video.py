"""Videos: who is filmed, what the files hold, and that the returns are those on record."""

import io
import json
import shutil
import sys

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image, ImageSequence
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jaxmaze import api
from jaxmaze.envs.filming import Take
from jaxmaze.errors import UserError
from jaxmaze.reporting import together
from jaxmaze.runs import arms_figure, outcomes, palette
from jaxmaze.videos import casting, drawing, files, making, small
from tests.conftest import SMALL, command, scalars

DRAWN = "tests.videos.drawn_env:Drawn-v0"
TINY = {
    "members": 2,
    "network.hidden_sizes": (8,),
    "bc.num_epochs": 1,
    "ppo.total_env_steps": 256,
    "ppo.critic_burn_in": 0,
    "ppo.critic_fit_epochs": 0,
    "ppo.eval_every": 1,
    "rollout.n_episodes": 4,
}


@pytest.fixture(scope="module")
def workflow(tmp_path_factory):
    config = api.load_config("cartpole", SMALL | TINY)
    return api.train(config, tmp_path_factory.mktemp("workflow") / "run").folder


@pytest.fixture
def drawn(tmp_path):
    """A function that records a policy in a small environment."""

    def record(policy="right", env=DRAWN, name="run", **kwargs):
        config = {"env": {"id": env, "kwargs": kwargs}, "rollout": {"n_episodes": 3}}
        teacher = f"tests.videos.drawn_env:{policy}"
        return api.record(config, tmp_path / name, policy=teacher, save=False).folder

    return record


def mp4(path):
    """Frames ``[F, H, W, 3]`` and facts of a film."""
    frames = imageio_ffmpeg.read_frames(str(path))
    about = next(frames)
    width, height = about["size"]
    shape = (height, width, 3)
    return np.array([np.frombuffer(f, np.uint8).reshape(shape) for f in frames]), about


def on_record(run, seed, member=0):
    table = outcomes.read_episodes(run)
    i = table.seeds.tolist().index(seed)
    return table.returns[member, i], table.lengths[member, i]


def first_seed(run):
    lines = [json.loads(line) for line in (run / "episodes.jsonl").read_text().splitlines()]
    return next(line["seed"] for line in lines if line["episode"] == 0)


def test_a_workflow_gives_teacher_clone_and_fine_tuned_as_on_record(workflow):
    done = command("jaxmaze.video", workflow)
    assert done.returncode == 0, done.stderr
    seed = first_seed(workflow / "bc")
    path = workflow / "videos" / f"side_by_side_seed_{seed}.mp4"
    assert done.stdout.splitlines()[-1] == str(path) and "note:" not in done.stdout
    about = json.loads(path.with_suffix(".json").read_text())
    assert (about["seed"], about["environment"], about["fps"]) == (seed, "CartPole-v1", 50)
    parts = {"teacher": "teacher", "clone": "bc", "fine-tuned": "ppo/pretrained"}
    assert [p["label"] for p in about["policies"]] == list(parts)
    for shown, folder in zip(about["policies"], parts.values(), strict=True):
        assert (shown["return"], shown["length"]) == on_record(workflow / folder, seed)
        ended = "truncated" if shown["length"] == 200 else "terminated"
        assert shown["end"] == ended and f"{shown['return']:.1f}" in done.stdout
    count = 1 + max(p["length"] for p in about["policies"])
    frames, facts = mp4(path)
    assert facts["codec"] == "h264" and facts["pix_fmt"].startswith("yuv420p")
    assert facts["fps"] == 50 and len(frames) == count + 75  # the last stays for 1.5 s
    assert frames.shape[1] % 2 == frames.shape[2] % 2 == 0
    with Image.open(path.with_suffix(".gif")) as gif:
        assert gif.n_frames == len(making.gif_steps(count, 50)[0]) and gif.info["loop"] == 0
        assert gif.size == frames.shape[2:0:-1] and gif.info["duration"] == 40
    report = (workflow / "report" / "index.html").read_text()
    shown = [f"{p['label']} {p['return']:.1f} ({p['end']})" for p in about["policies"]]
    assert f"CartPole-v1, seed {seed}; return: {', '.join(shown)}" in report
    assert report.count("data:video/mp4;base64,") == 1 and "data:image/gif" not in report


def test_runs_are_filmed_in_the_order_given_with_their_teacher(workflow, tmp_path, capsys):
    runs = [workflow / "ppo" / "pretrained", workflow / "bc"]
    path = api.video(
        *runs, teacher="heuristic", seed=77, member=1, max_steps=12, workdir=tmp_path / "out"
    )
    about = json.loads(path.with_suffix(".json").read_text())
    assert [p["label"] for p in about["policies"]] == ["teacher", "pretrained", "bc"]
    assert about["seed"] == 77 and all(p["length"] <= 12 for p in about["policies"])
    assert about["policies"][0]["end"] == "cut off" and about["policies"][0]["return"] == 12
    named = api.video(
        *runs, episode=2, labels=["a", "b"], fps=10, width=400, output=tmp_path / "x.mp4"
    )
    frames, facts = mp4(named)
    assert facts["fps"] == 10 and facts["size"][0] == 400
    assert {p.name for p in tmp_path.iterdir()} == {"out", "x.mp4"}
    lines = (workflow / "bc" / "episodes.jsonl").read_text().splitlines()
    third = next(x["seed"] for x in map(json.loads, lines) if x["episode"] == 2)
    assert f"Seed {third}" in capsys.readouterr().out
    _, length = on_record(runs[0], third)
    assert len(frames) >= 1 + length + 15


def test_a_policy_has_the_colour_of_what_it_is_in_comparison_video_and_viewer(workflow, tmp_path):
    """First steps' commands 7 to 9, and folders whose names say something else."""
    tuned, clone = tmp_path / "clone", tmp_path / "random"
    shutil.copytree(workflow / "ppo" / "pretrained", tuned)
    shutil.copytree(workflow / "bc", clone)
    blue, green = palette.KNOWN["fine-tuned"], palette.KNOWN["clone"]
    summary = api.compare([tuned, clone], tmp_path / "compared").summary
    assert [arm["who"] for arm in summary["arms"].values()] == ["fine-tuned", "clone"]
    lines = arms_figure.figure(summary["arms"]).axes[0].lines
    thick = {line.get_color(): list(line.get_ydata()) for line in lines if line.get_lw() == 2.2}
    assert thick[blue] == summary["arms"]["clone"]["curve"]["iqm"] and set(thick) == {blue, green}
    drawn = together.arm_lines(summary["arms"])
    assert [palette.COLOURS[line.colour] for line in drawn] == [blue, green]

    parts = casting.Casting().parts([clone, tuned], workflow / "rollout")
    assert [part.who for part in parts] == ["teacher", "clone", "fine-tuned"]
    (panel,) = making._play(parts[2:], 7, 96, 2)
    assert panel.who == "fine-tuned"
    panels = [drawing.Panel(p.label, panel.take, panel.pictures, p.who) for p in parts]
    for i, colour in enumerate([palette.TEACHER, green, blue]):
        text = drawing.Sheet(panels, "").at(0)[:, i * (96 + drawing.GAP) :][:, : 96 + drawing.GAP]
        shades = text.reshape(-1, 3)[: 18 * text.shape[1]]
        assert (shades == palette.rgb(colour)).all(1).any(), colour

    for policies, wanted in (([clone, tuned], [green, blue]), ([tuned, clone], [blue, green])):
        viewer = api.view(tuned, policies=policies, n_episodes=1)
        found = [palette.COLOURS[place] for place in viewer.overview()["colours"]]
        assert found == wanted


def test_runs_of_different_environments_are_not_put_side_by_side(workflow, drawn, tmp_path):
    one, other = drawn("right"), workflow / "bc"
    names = r"are of different environments, \S*(Drawn|CartPole)-v\d and \S*(Drawn|CartPole)-v\d; "
    out = tmp_path / "out"
    config = {"env": {"id": DRAWN}, "rollout": {"n_episodes": 1}}
    data = api.record(config, tmp_path / "data", policy="random").folder
    for show, hint in (
        (lambda: api.video(one, other, trust=True, workdir=out), "film each alone"),
        (lambda: api.video(other, teacher=one, trust=True, workdir=out), "film each alone"),
        (lambda: api.compare([other, one], out), "their returns do not compare"),
        (
            lambda: api.compare([other], out, teacher=one, trust=True),
            "their returns do not compare",
        ),
        (lambda: api.view(workflow / "rollout", data, trust=True), "show each alone"),
    ):
        with pytest.raises(UserError, match=names + hint):
            show()
    assert not (out / "summary.json").exists() and not list(tmp_path.glob("out/*.mp4"))


def test_variants_of_one_environment_are_compared(drawn, tmp_path):
    one, other = drawn(name="a"), drawn("left", name="b", draws="bytes")
    assert api.compare([one, other], tmp_path / "compared").summary["arms"].keys() == {"a", "b"}
    assert api.video(one, other, trust=True, output=tmp_path / "x.gif").exists()


def test_the_same_command_writes_the_same_files(drawn, tmp_path):
    run = drawn()
    for suffix in ("mp4", "gif"):
        one, two = (api.video(run, trust=True, output=tmp_path / f"{i}.{suffix}") for i in range(2))
        assert one.read_bytes() == two.read_bytes() and one.stat().st_size > 500


def test_a_policy_that_is_done_stays_at_its_end(drawn, tmp_path):
    right, left = drawn("right", name="right"), drawn("left", name="left")
    path = api.video(right, left, trust=True, workdir=tmp_path / "out")
    about = json.loads(path.with_suffix(".json").read_text())
    ended = {p["label"]: (p["length"], p["return"], p["end"]) for p in about["policies"]}
    steps = ended["right"][0]
    assert ended == {"right": (steps, steps, "terminated"), "left": (9, 0.0, "truncated")}
    frames, facts = mp4(path)
    assert len(frames) == 10 + 12 and facts["fps"] == 8
    width = drawing.BESIDE
    row = frames.shape[1] // 2
    shade = frames[:, row, [drawing.GAP + width // 2, 2 * drawing.GAP + width * 3 // 2]].mean(-1)
    wanted = [[10 * min(t, steps), 10 * min(t, 9)] for t in range(10)]
    np.testing.assert_allclose(shade[:10], wanted, atol=4)
    np.testing.assert_allclose(shade[9:], np.broadcast_to(shade[9], shade[9:].shape), atol=2)


def take(count, end="terminated"):
    pictures = drawing.Pictures(160)
    kept = [pictures.keep(np.full((30, 40, 3), 9 * t, np.uint8)) for t in range(count + 1)]
    return pictures, Take(kept, np.arange(0, -1.5 * count - 1, -1.5), end, 30.0)


def test_return_and_step_are_written_in():
    _, whole = take(3)
    assert drawing.said(whole, 0) == "return 0.0" and drawing.said(whole, 2) == "return -3.0"
    assert drawing.said(whole, 7) == "done, return -4.5 (terminated)"
    assert drawing.said(take(3, "truncated")[1], 3) == "done, return -4.5 (truncated)"
    assert drawing.said(take(3, "cut off")[1], 3) == "return -4.5, cut off"
    panels = [drawing.Panel(name, *reversed(take(n))) for name, n in (("a", 2), ("b", 4))]
    sheet = drawing.Sheet(panels, "here")
    assert sheet.count == 5
    height = 2 * sheet._line
    heads = [sheet.at(t)[:height] for t in range(5)]
    middle = heads[0].shape[1] // 2
    assert not np.array_equal(heads[1][:, :middle], heads[2][:, :middle])  # "done" appears
    assert np.array_equal(heads[2][:, :middle], heads[4][:, :middle])
    assert all(not np.array_equal(heads[t], heads[t + 1]) for t in range(4))


def test_long_names_are_cut_and_many_stand_in_rows():
    many = [drawing.Panel("a name without an end " * 9, *reversed(take(1))) for _ in range(5)]
    picture = drawing.Sheet(many, "a line " * 99).at(0)
    one = drawing.Sheet(many[:1], "").at(0)
    assert picture.shape[1] == 4 * 160 + 5 * drawing.GAP
    assert picture.shape[0] > 1.8 * one.shape[0]
    for margin in (picture[:, : drawing.GAP - 1], picture[:, 1 - drawing.GAP :]):
        assert (margin == 255).all()


def test_a_gif_shows_the_same_time_with_fewer_pictures():
    assert making.gif_steps(11, 20) == ([*range(11)], 20)
    assert making.gif_steps(12, 50) == ([0, 2, 4, 6, 8, 10, 11], 25)
    assert making.gif_steps(1, 60) == ([0], 20)


@pytest.mark.parametrize(
    ("env", "draws", "says"),
    [
        ("Drawn-v0", "nothing", "Drawn-v0 draws no pictures: .* render.. gave None"),
        ("Drawn-v0", "raises", "Drawn-v0 cannot be rendered: RuntimeError: no screen"),
        (
            "Drawn-v0",
            "silently raises",
            r"Drawn-v0 cannot be rendered: NotImplementedError \(drawn_env.py, line \d+\)$",
        ),
        ("Blind-v0", None, "cannot be rendered: it takes no argument render_mode"),
    ],
)
def test_an_environment_without_pictures_is_said_to_have_none(drawn, env, draws, says):
    kwargs = {} if draws is None else {"draws": draws}
    run = drawn(env=f"tests.videos.drawn_env:{env}", **kwargs)
    with pytest.raises(UserError, match=says) as found:
        api.video(run, trust=True)
    assert "\n" not in str(found.value) and not (run / "videos").exists()


def test_what_is_no_run_with_a_policy_is_refused_in_a_line(workflow, tmp_path):
    data = shutil.copytree(workflow / "rollout" / "trajectory_data", tmp_path / "data")
    wrong = {
        "is not a folder": [tmp_path / "none"],
        "holds recorded episodes and no run.*jaxmaze view": [data],
        "is a comparison, which has no policy": [workflow / "compare"],
        "the same run was given twice": [workflow, workflow],
    }
    for says, runs in wrong.items():
        with pytest.raises(UserError, match=says):
            api.video(*runs)
    options = {
        "episodes 0 to 2, not 3": {"episode": 3},
        "2 names for 3 policies: teacher, clone, fine-tuned": {"labels": ["a", "b"]},
        "1 name for 3 policies": {"labels": ["a"]},
        "too narrow to read; give 320 at least": {"width": 319},
        "must end with .mp4 or .gif": {"output": tmp_path / "x.avi"},
        "not both": {"output": tmp_path / "x.gif", "workdir": tmp_path},
        "members 0 to 1, not 2": {"member": 2},
        "is neither a teacher": {"teacher": "nobody"},
        "was trained for": {"config": {"env": {"id": "Acrobot-v1"}}},
        "cannot be written": {"output": data / "metadata.json" / "x.gif"},
    }
    (data / "metadata.json").write_text("{}")
    for says, more in options.items():
        with pytest.raises(UserError, match=says) as found:
            api.video(workflow, **{"max_steps": 1} | more)
        assert "\n" not in str(found.value)
    done = command("jaxmaze.video", tmp_path / "none")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not done.stdout


def test_without_the_packages_nothing_is_played(workflow, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(UserError, match=r"pip install 'jaxmaze\[video\]'"):
        api.video(workflow, output=tmp_path / "x.mp4")
    with pytest.raises(UserError, match=r"pip install 'jaxmaze\[video\]'"):
        api.record({"env": {"id": "CartPole-v1"}}, tmp_path / "run", render="video")
    assert not list(tmp_path.iterdir())


def test_code_that_a_run_names_is_not_imported_without_trust(drawn, tmp_path):
    run = drawn()
    for paths in ("env.id=tests", "rollout.policy=tests"):
        config = None if "env" in paths else {"env": {"id": DRAWN}}
        with pytest.raises(UserError, match=rf"names code to import, {paths}.*--trust"):
            api.video(run, config=config, output=tmp_path / "x.gif")
    done = command("jaxmaze.video", run, "--trust", f"--output={tmp_path / 'x.gif'}")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "x.gif") as gif:
        assert gif.n_frames > 3


def test_a_return_that_is_not_the_one_on_record_is_told(drawn, capsys):
    run = drawn()
    lines = [json.loads(line) for line in (run / "episodes.jsonl").read_text().splitlines()]
    next(line for line in lines if line["episode"] == 0)["return"] += 0.5
    (run / "episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    api.video(run, trust=True)
    assert "has the return" in capsys.readouterr().out
    api.video(run, trust=True, episode=1)
    assert "has the return" not in capsys.readouterr().out


def test_a_teacher_that_is_gone_is_left_out_with_a_note(workflow, tmp_path, capsys):
    copy = shutil.copytree(workflow, tmp_path / "copy")
    config = json.loads((copy / "teacher" / "config.json").read_text())
    config["config"]["rollout"]["policy"] = "a_lambda"
    (copy / "teacher" / "config.json").write_text(json.dumps(config))
    path = api.video(copy, max_steps=3)
    assert "without the teacher" in capsys.readouterr().out
    about = json.loads(path.with_suffix(".json").read_text())
    assert [p["label"] for p in about["policies"]] == ["clone", "fine-tuned"]


def in_tensorboard(folder):
    """TensorBoard's moving pictures of a folder: step and GIF, by tag."""
    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    tags = [tag for tag in events.Tags()["images"] if tag.startswith("video/")]
    return {t: [(e.step, e.encoded_image_string) for e in events.Images(t)] for t in tags}


def test_a_video_is_shown_in_tensorboard_once_however_often_it_is_made(drawn):
    run = drawn()
    path = api.video(run, trust=True)
    tag = f"video/{path.stem}"
    assert in_tensorboard(run) == {tag: [(0, path.with_suffix(".gif").read_bytes())]}
    files = sorted(run.glob("events*"))
    api.video(run, trust=True)
    assert sorted(run.glob("events*")) == files
    api.video(run, width=200, trust=True)  # another video of the same name: in place of the first
    assert in_tensorboard(run) == {tag: [(0, path.with_suffix(".gif").read_bytes())]}
    assert scalars(run)["eval/return"]  # what was there before stays


def test_a_video_of_several_runs_is_shown_with_its_files(drawn, tmp_path):
    runs = drawn(name="a"), drawn("left", name="b")
    path = api.video(*runs, workdir=tmp_path / "film", trust=True)
    assert list(in_tensorboard(tmp_path / "film")) == [f"video/{path.stem}"]
    assert not in_tensorboard(runs[0])


def test_runs_that_do_not_write_to_tensorboard_get_no_file_of_it(drawn):
    run = drawn()
    for path in run.glob("events*"):
        path.unlink()
    api.video(run, trust=True)
    assert not list(run.rglob("events*"))


def test_a_rollouts_films_are_the_steps_of_one_tag(tmp_path):
    config = {"env": {"id": DRAWN}, "rollout": {"n_episodes": 3}}
    teacher = "tests.videos.drawn_env:right"
    run = api.record(config, tmp_path / "run", policy=teacher, save=False, render="video").folder
    films = in_tensorboard(run)["video/episodes"]
    assert [step for step, _ in films] == [0, 1, 2]
    for _, gif in films:
        assert Image.open(io.BytesIO(gif)).n_frames > 1


@pytest.mark.slow
def test_large_videos_are_made_smaller_for_tensorboard_in_their_own_time(tmp_path, monkeypatch):
    noise = np.random.default_rng(0)
    with files.mp4(tmp_path / "film.mp4", 10) as film:
        for _ in range(60):
            film.add(noise.integers(0, 255, (40, 400, 3), np.uint8))
    monkeypatch.setattr(small, "MOST", 250_000)
    found = Image.open(io.BytesIO(small.gif_of(tmp_path / "film.mp4")))
    assert found.fp.seek(0, 2) <= small.MOST and found.width < 400
    seconds = sum(f.info["duration"] for f in ImageSequence.Iterator(found)) / 1000
    assert seconds == pytest.approx(6, rel=0.1)
