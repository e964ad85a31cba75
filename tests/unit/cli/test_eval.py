"""What an evaluation's folder is called when nobody says."""

from __future__ import annotations

import pytest

from rl_reason.cli.eval import name_of


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("/data/runs/seed-1/stages/03-reason/model", "seed-1-03-reason"),
        ("/data/runs/seed-2/stages/03-reason/model", "seed-2-03-reason"),
        ("/data/copied/model", "copied"),
        ("Qwen/Qwen2.5-0.5B", "Qwen2.5-0.5B"),
        ("model", "model"),
    ],
)
def test_the_models_of_two_runs_have_two_names(model: str, name: str) -> None:
    assert name_of(model) == name
