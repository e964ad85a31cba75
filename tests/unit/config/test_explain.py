from __future__ import annotations

import pytest

from rl_reason.config.explain import explain_key
from rl_reason.config.knobs import knobs
from rl_reason.errors import ConfigError

TAU = """\
stages.rl.loss.tau
    Strength of the pull to the previous iterate, in reward per nat. Default: OpenKimi's for 30B.
    type:    number
    bounds:  > 0
    default: 0.1"""


@pytest.mark.parametrize("key", ["stages.rl.loss.tau", "stages.2.rl.loss.tau", "loss.tau", "tau"])
def test_a_key_is_explained_in_full_or_by_its_end(key: str) -> None:
    assert explain_key(key) == TAU


def test_a_block_lists_its_keys() -> None:
    lines = explain_key("rewards.length").splitlines()
    assert lines[0] == "rewards.length"
    assert [line.split()[0] for line in lines[2:]] == ["rewards.length.weight", "rewards.length.start_iteration"]
    assert "stages.eval " in explain_key("stages")
    assert "checkpoints" in explain_key("")


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("stages.rl.loss.tua", "Did you mean stages.rl.loss.tau"),
        ("learning_rate", "several keys end in that. Did you mean stages.sft.optimizer.learning_rate, stages.rl"),
        ("engine.cont", "engine.count"),
        ("qqqqqq", "At the top there are name, seed"),
    ],
)
def test_a_miss_names_what_is_near(key: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        explain_key(key)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("key", "type_", "bounds", "default"),
    [
        ("name", "text", "letters, digits, dot, dash, underscore", "(none: must be given)"),
        ("out", "text or null", "not empty", "null"),
        ("learner.zero_stage", "whole number", ">= 0 and <= 3", "1"),
        ("sync.transport", "one of shared_memory, disk, gloo, nccl, cuda_ipc", "", "shared_memory"),
        ("engine.gpu_memory_fraction", "number", "> 0 and <= 1", "0.9"),
        ("stages.rl.optimizer.betas", "list of 2: number", "each >= 0 and each < 1", "[0.9, 0.99]"),
        ("stages.eval.pass_at", "list of: whole number", "each >= 1", "[]"),
        ("data.train.parquet.limit", "whole number or null", ">= 1", "null"),
        ("learner.deepspeed", "mapping", "", "{}"),
        ("data.chat.response_prefix", "text", "", '""'),
    ],
)
def test_type_bounds_and_default_are_the_schemas(key: str, type_: str, bounds: str, default: str) -> None:
    knob = knobs()[key]
    assert (knob.type, knob.bounds, knob.default) == (type_, bounds, default)


def test_every_key_says_what_it_means_and_where_its_default_comes_from() -> None:
    for knob in knobs().values():
        assert knob.text.endswith("."), knob.key
        only_choice = knob.type.startswith("one of ") and "," not in knob.type
        if not (knob.is_section or only_choice or knob.key.endswith(".kind")):
            assert "efault" in knob.text, f"{knob.key} does not say where its default comes from"
