from __future__ import annotations

import pytest

from rl_reason.tracking.fan_out import FanOutTracker


class Recorder:
    def __init__(self, name, seen, broken=False):
        self.name, self.seen, self.broken = name, seen, broken

    def log(self, metrics):
        self.seen.append((self.name, "log", metrics["iteration"]))
        if self.broken:
            raise OSError("disk")

    def log_groups(self, iteration, groups, advantages):
        self.seen.append((self.name, "groups", iteration))

    def close(self):
        self.seen.append((self.name, "close"))
        if self.broken:
            raise OSError("disk")


def test_everything_goes_to_each_in_order():
    seen = []
    both = FanOutTracker([Recorder("a", seen), Recorder("b", seen)])
    both.log({"iteration": 1})
    both.log_groups(1, [], [])
    both.close()
    assert seen == [
        ("a", "log", 1), ("b", "log", 1), ("a", "groups", 1), ("b", "groups", 1), ("b", "close"), ("a", "close"),
    ]  # fmt: skip


def test_a_fault_is_not_swallowed_and_all_are_closed():
    seen = []
    both = FanOutTracker([Recorder("a", seen), Recorder("b", seen, broken=True)])
    with pytest.raises(OSError, match="disk"):
        both.log({"iteration": 1})
    with pytest.raises(OSError, match="disk"):
        both.close()
    assert seen[-2:] == [("b", "close"), ("a", "close")]
