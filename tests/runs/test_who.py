"""What a policy is comes from its run, not from the folder's name."""

import pytest

from jaxmaze.errors import UserError
from jaxmaze.runs import run_folder, who


def made(folder, kind, **config):
    run_folder.claim(folder, {"kind": kind, "config": config})
    return folder


@pytest.mark.parametrize(
    "kind,config,expected",
    [
        ("bc", {}, "clone"),
        ("curve", {}, "clone"),
        ("dagger", {}, "dagger"),
        ("workflow", {}, "fine-tuned"),
        ("ppo", {"ppo": {"init_from": "x", "learning_rate": None}}, "fine-tuned"),
        ("ppo", {"ppo": {"init_from": "x", "learning_rate": 0.0}}, "clone"),
        ("ppo", {"ppo": {"init_from": None, "learning_rate": 1e-3}}, "from scratch"),
        ("ppo", {"ppo": {"init_from": None, "learning_rate": 0.0}}, "random"),
        ("sweep", {"stage": "bc"}, "clone"),
        ("sweep", {"stage": "ppo", "ppo": {"init_from": "x"}}, "fine-tuned"),
        ("rollout", {"rollout": {"policy": "heuristic"}}, "teacher"),
        ("rollout", {"rollout": {"policy": "random"}}, "random"),
        ("inspect", {}, "inspect"),
    ],
)
def test_what_a_run_says_that_its_policy_is(tmp_path, kind, config, expected):
    assert who.of_run(made(tmp_path / "teacher", kind, **config)) == expected


def test_a_rollout_of_a_run_is_that_runs(tmp_path):
    clone = made(tmp_path / "mine", "bc")
    played = made(tmp_path / "played", "rollout", rollout={"policy": str(clone)})
    assert who.of_run(played) == "clone"
    # Not without an end, whatever the folders say.
    loop = tmp_path / "loop"
    assert who.of_run(made(loop, "rollout", rollout={"policy": str(loop)})) == "teacher"
    with pytest.raises(UserError):
        who.of_run(tmp_path / "nothing")


@pytest.mark.parametrize("config", [None, 3, {}, {"ppo": 3}, {"rollout": None, "stage": ["ppo"]}])
@pytest.mark.parametrize("kind", ["ppo", "sweep", "rollout"])
def test_a_damaged_configuration_is_no_error(kind, config):
    assert isinstance(who.of({"kind": kind, "config": config}), str)
