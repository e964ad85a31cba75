"""The bar of a merge: none where it would be over at once, where it has come to at the end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rl_reason.merging import progress

PLAN: Any = SimpleNamespace(outputs=[])


@pytest.fixture(autouse=True)
def ten_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "total_bytes", lambda plan: 10)


def test_a_merge_that_is_over_at_once_shows_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.shown(PLAN) as told:
        told(10)
    assert capsys.readouterr().err == ""


def test_a_longer_one_shows_how_far_it_came_also_when_it_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_APPEARS_AFTER_S", 0)
    with pytest.raises(KeyError), progress.shown(PLAN) as told:
        for _ in range(7):
            told(1)
        raise KeyError
    assert "7/10 bytes" in capsys.readouterr().err
