"""Checks what the main job wrote: python tests/check_main_job.py RUN."""

import json
import sys
from pathlib import Path

ARMS = ("random_lr0", "pretrained_lr0", "from_scratch", "pretrained")


def main(run: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    summary = json.loads((run / "summary.json").read_text())
    teacher = summary["teacher"]["evaluation"]["mean"]
    arms = summary["arms"]
    assert summary["kind"] == "workflow" and set(arms) == set(ARMS), summary["kind"]
    assert len(arms["pretrained"]["members"]) >= 3
    for m, (tuned, clone) in enumerate(
        zip(arms["pretrained"]["members"], summary["clone"]["members"], strict=True)
    ):
        assert tuned["evaluation"]["episodes"] == 300
        assert tuned["env_steps"] <= 300_000
        assert tuned["evaluation"]["mean"] > clone["evaluation"]["mean"], (m, tuned, clone)
        assert tuned["evaluation"]["mean"] > teacher, (m, tuned, teacher)
    assert arms["pretrained"]["iqm"] >= 265, arms["pretrained"]["iqm"]
    # The same episodes for all: teacher, clones, fine-tuned and from scratch, in pairs.
    gain, on_clone = arms["pretrained"]["gain"], summary["gain_on_clone"]
    assert gain["iqm_low"] > 10 and gain["iqm"] >= 20, gain
    assert on_clone["iqm_low"] > 10, on_clone
    assert arms["pretrained_lr0"]["iqm"] >= 0.87 * teacher, arms["pretrained_lr0"]["iqm"]
    # From scratch learns, from where nobody can land, and not as far in this time.
    scratch, random = arms["from_scratch"], arms["random_lr0"]
    assert all(m["evaluation"]["mean"] > 80 for m in scratch["members"]), scratch["members"]
    assert scratch["iqm"] >= 150 and scratch["iqm"] > random["iqm"] + 200, (scratch, random)
    assert scratch["iqm"] < arms["pretrained"]["iqm"]
    for arm in arms.values():
        for member in arm["members"]:  # selected on other episodes, no worse than the last
            assert member["evaluation"]["mean"] >= member["last"]["mean"] - 15, member
    curve = arms["pretrained_lr0"]["curve"]["iqm"]
    assert len(set(curve)) == 1, "learning rate 0 has moved the policy"
    figure = run / "compare" / "report" / "comparison.png"
    assert figure.read_bytes().startswith(b"\x89PNG") and figure.stat().st_size > 10_000
    for arm in ARMS:
        board = EventAccumulator(str(run / "ppo" / arm))
        board.Reload()
        assert "eval/rollout_stats/reward/mean" in board.Tags()["scalars"]
    board = EventAccumulator(str(run / "bc"))
    board.Reload()
    assert "eval/imitation/discrete_accuracy" in board.Tags()["scalars"]
    print(
        f"main job: fine-tuned {arms['pretrained']['iqm']:.1f}, from scratch {scratch['iqm']:.1f}, "
        f"teacher {teacher:.1f}; gain on the teacher {gain['iqm']:.1f} "
        f"[{gain['iqm_low']:.1f}, {gain['iqm_high']:.1f}]"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
