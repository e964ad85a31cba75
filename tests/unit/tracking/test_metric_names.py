from __future__ import annotations

import re
from pathlib import Path

from rl_reason.tracking.metric_names import FAMILIES, METRICS, REQUIRED, depends_on_clock, describe

PACKAGE = Path(__file__).parents[3] / "rl_reason"
PROMISED = [
    "iteration",
    "stage",
    "policy_version",
    "reward/mean",
    "accuracy/train",
    "accuracy/eval",
    "response/tokens_mean",
    "response/tokens_p99",
    "time/iteration_s",
    "time/rollout_s",
    "time/reward_s",
    "time/learn_s",
    "time/sync_s",
    "throughput/rollout_tokens_per_s",
    "throughput/train_tokens_per_s",
    "policy/kl",
    "policy/entropy",
    "policy/logprob_gap_max",
    "policy/logprob_gap_mean",
    "rollout/truncated_fraction",
    "rollout/repeated_fraction",
    "learner/grad_norm",
    "memory/peak_bytes",
]


def test_every_promised_metric_is_described_by_its_own_entry():
    assert list(REQUIRED) == PROMISED
    assert set(PROMISED) <= METRICS.keys()


def test_every_name_that_the_package_writes_is_described():
    prefixes = "|".join({name.split("/")[0] for name in METRICS if "/" in name})
    written = {
        name
        for path in PACKAGE.rglob("*.py")
        for name in re.findall(rf'"((?:{prefixes})/[a-z0-9_/]+)"', path.read_text(encoding="utf-8"))
    }
    assert len(written) > 20
    assert sorted(name for name in written if describe(name) is None) == []


def test_the_package_writes_every_name_in_the_table():
    """`time/<phase>_s` is put together by the loop's clock, `time/verifier/…` and `verifier/…` by the scorer."""
    texts = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py") if path.name != "metric_names.py"]
    written = "".join(text for text in texts if not text.startswith('"""The report') and "CHARTS" not in text)
    made = {"time/learn_s", "time/sync_s", "accuracy/eval_greedy"}
    plain = {name for name in METRICS if "<name>" not in name} - made
    assert sorted(name for name in plain if f'"{name}"' not in written) == []


def test_units_are_in_the_names():
    for name, metric in {**METRICS, **FAMILIES}.items():
        assert metric.meaning and not metric.meaning.endswith("."), name
        if name.endswith("_per_s"):
            assert metric.unit == "tokens/s", name
        elif name.endswith("_s"):
            assert metric.unit == "s", name
        if name.endswith("_fraction"):
            assert metric.unit == "fraction", name


def test_a_verifiers_own_metrics_are_found_whatever_its_name():
    assert describe("time/verifier/./my/check.py:Check/p99_s") is METRICS["time/verifier/<name>/p99_s"]
    assert describe("unheard/of") is None


def test_what_may_differ_between_two_runs():
    differing = ["time/rollout_s", "time/anything_s", "throughput/x", "memory/peak_bytes", "time/verifier/exact/p50_s"]
    assert all(depends_on_clock(name) for name in differing)
    assert not any(
        depends_on_clock(name) for name in ["reward/mean", "policy/kl", "verifier/exact/timeouts", "made/up"]
    )
