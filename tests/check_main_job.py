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
        assert tuned["evaluation"]["episodes"] == 100
        assert tuned["env_steps"] <= 300_000
        assert tuned["evaluation"]["mean"] > clone["evaluation"]["mean"], (m, tuned, clone)
        assert tuned["evaluation"]["mean"] > teacher, (m, tuned, teacher)
    assert arms["pretrained"]["iqm"] >= 265, arms["pretrained"]["iqm"]
    # Ten seeds are at 0.92 of the teacher; three of them are off that by 0.016 (one sigma).
    assert arms["pretrained_lr0"]["members"] and arms["pretrained_lr0"]["iqm"] >= 0.87 * teacher
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
    print(f"main job: fine-tuned {arms['pretrained']['iqm']:.1f}, teacher {teacher:.1f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
