"""TensorBoard's file, as TensorBoard itself reads it."""

import io

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from jaxmaze import config
from jaxmaze.core import spaces
from jaxmaze.runs import board, metrics
from jaxmaze.runs.trackers import Histogram
from jaxmaze.training import action_histograms
from tests.conftest import scalars

STEPS = (100, 200, 300)


def read(run):
    events = EventAccumulator(str(run), size_guidance={"images": 0, "histograms": 0})
    events.Reload()
    return events


def written(run, steps, resume=None, **given):
    with metrics.MetricsWriter(run, resume, **given) as writer:
        for step in steps:
            writer.write(step, "eval", "rollout_stats", {"reward/mean": [step, step + 2.0]})
            writer.add_histogram(
                "train/actions", Histogram(np.array([step, 0, 3]), np.arange(4) - 0.5), step
            )
            picture = np.full((4, 6, 3), step % 255, np.uint8)
            for each in writer._writers:
                each.value("picture", picture, step)


def test_the_return_is_found_under_its_name_too(tmp_path):
    written(tmp_path, STEPS)
    logged = scalars(tmp_path)
    assert logged["eval/return"] == [(step, step + 1.0) for step in STEPS]
    assert logged["eval/return"] == logged["eval/rollout_stats/reward/mean"]
    assert not any("return" in key for line in metrics.read(tmp_path) for key in line)


def test_a_histogram_is_read_as_it_was_counted(tmp_path):
    written(tmp_path, (7,))
    (event,) = read(tmp_path).Histograms("train/actions")
    value = event.histogram_value
    assert (value.min, value.max, value.num) == (-0.5, 2.5, 10)
    assert value.sum == pytest.approx(3 * 2) and value.sum_squares == pytest.approx(3 * 4)
    assert dict(zip(value.bucket_limit, value.bucket, strict=True)) == {
        -0.5: 0,
        0.5: 7,
        1.5: 0,
        2.5: 3,
    }


@pytest.mark.parametrize("damage", ["whole", "cut off", "flipped"])
def test_a_resumed_run_keeps_histograms_and_pictures_up_to_its_checkpoint(tmp_path, damage):
    written(tmp_path, STEPS)
    (file,) = tmp_path.glob("events*")
    data = file.read_bytes()
    if damage == "cut off":
        file.write_bytes(data[:-5])
    if damage == "flipped":
        file.write_bytes(data[:-60] + bytes([data[-60] ^ 1]) + data[-59:])
    written(tmp_path, STEPS[2:], resume=200)
    events = read(tmp_path)
    assert [e.step for e in events.Histograms("train/actions")] == list(STEPS)
    assert events.Histograms("train/actions")[1].histogram_value.bucket[1] == 200
    assert [e.step for e in events.Images("picture")] == list(STEPS)
    assert scalars(tmp_path)["eval/return"] == [(step, step + 1.0) for step in STEPS]


def test_a_resumed_run_does_not_keep_videos_of_policies_that_will_change(tmp_path):
    written(tmp_path, STEPS)
    gif = io.BytesIO()
    Image.new("L", (4, 6)).save(gif, "gif")
    board.films(tmp_path, "video/x", [gif.getvalue()])
    assert len(read(tmp_path).Images("video/x")) == 1
    written(tmp_path, STEPS[2:], resume=200)
    assert read(tmp_path).Tags()["images"] == ["picture"]


def test_a_new_start_keeps_nothing(tmp_path):
    written(tmp_path, STEPS)
    written(tmp_path, (100,))
    assert [e.step for e in read(tmp_path).Histograms("train/actions")] == [100]


def test_settings_are_hyper_parameters(tmp_path):
    chosen = config.to_settings(
        {
            "env": {"id": "CartPole-v1", "kwargs": {"sutton_barto_reward": True}},
            "ppo": {"learning_rate": 0.25},
        }
    )
    written(tmp_path, (), config=chosen, sections=("network", "ppo"))
    content = read(tmp_path).SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    found = metadata.parse_session_start_info_plugin_data(content).hparams
    assert found["ppo.learning_rate"].number_value == 0.25
    assert found["env.id"].string_value == "CartPole-v1"
    assert found["env.kwargs.sutton_barto_reward"].bool_value is True
    assert found["network.hidden_sizes"].string_value == "[64, 64]"
    assert "bc.batch_size" not in found and "ppo.target_kl" not in found  # not set


def test_what_a_rule_sets_is_shown_as_what_it_came_to(tmp_path):
    tuned = {
        "env": {"id": "CartPole-v1"},
        "stage": "ppo",
        "ppo": {"init_from": "clone", "total_env_steps": 50_000},
    }
    written(tmp_path, (), config=config.to_settings(tuned), sections=("ppo",))
    content = read(tmp_path).SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    found = metadata.parse_session_start_info_plugin_data(content).hparams
    assert found["ppo.learning_rate"].number_value == 3e-4
    assert found["ppo.num_steps"].number_value == 64


def test_actions_are_counted_part_by_part():
    rows = np.array([0, 2, 2, 3])
    found = action_histograms.of(spaces.Discrete(5), rows)
    assert list(found) == [""]
    np.testing.assert_array_equal(found[""].counts, [1, 0, 2, 1])
    np.testing.assert_array_equal(found[""].edges, [-0.5, 0.5, 1.5, 2.5, 3.5])
    box = spaces.Box((-1.0, -2.0), (1.0, 2.0), (2,))
    found = action_histograms.of(box, np.array([[0.5, 9.0], [-0.5, 0.0]], np.float32))
    assert list(found) == ["0", "1"]
    assert found["0"].counts.sum() == 2
    assert found["1"].edges[-1] == 2.0  # as the environment gets it: clipped
