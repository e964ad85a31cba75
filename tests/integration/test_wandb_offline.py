"""wandb's own offline mode, for real."""

from __future__ import annotations

import pytest

from rl_reason.tracking.wandb_tracker import WandbTracker

wandb = pytest.importorskip("wandb")


def test_a_stage_and_its_resumption_are_recorded_offline_without_a_key(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    for iteration in range(2):
        tracker = WandbTracker(tmp_path, stage="01-rl", project="test", mode="online", config={"tau": 0.1})
        tracker.log({"iteration": iteration, "stage": "rl", "reward/mean": 0.5})
        tracker.close()
    wandb.teardown()  # as at the process's end: wandb's own process writes the rest
    recorded = sorted((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert recorded  # one or two: wandb names the folders by the second
    assert len({path.name for path in recorded}) == 1, "a resumed stage continues its wandb run"
    assert all(path.stat().st_size > 100 for path in recorded)
