"""What a recipe may say, and how it is told what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from rl_reason.errors import ConfigError
from rl_reason.merging.recipe import Recipe, read_recipe

TIES = """
merge_method: ties
base_model: base
models:
  - model: base
  - {model: one, parameters: {weight: 0.5, density: [1, 0.7]}}
  - model: two
    parameters:
      weight:
        - {filter: mlp, value: 0.2}
        - value: 0.4
parameters: {normalize: true, int8_mask: true, density: 0.6}
dtype: bfloat16
"""
STACK = """
slices:
  - sources: [{model: one, layer_range: [0, 2]}]
  - sources: [{model: two, layer_range: [1, 3]}]
merge_method: passthrough
dtype: float16
"""


def read(folder: Path, text: str) -> Recipe:
    for name in ("base", "one", "two"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(text)
    return read_recipe(folder / "recipe.yaml")


def test_mergekits_forms_are_read(tmp_path: Path):
    recipe = read(tmp_path, TIES)
    assert recipe.method.name == "ties" and recipe.base == tmp_path / "base" and recipe.dtype == "bfloat16"
    assert [one.model.name for one in recipe.slices[0].inputs] == ["base", "one", "two"]
    assert sorted(recipe.parameters) == ["density", "normalize"]
    stack = read(tmp_path, STACK)
    assert [part.inputs[0].layers for part in stack.slices] == [(0, 2), (1, 3)]


def changed(old: str, new: str, text: str = TIES) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (changed("ties", "tise"), 2, "merge_method is one of linear, slerp,"),
        (changed("ties", "tise"), 2, "did you mean 'ties'?"),
        (changed("base_model: base", ""), 1, "ties needs a base_model"),
        (changed("model: one", "model: three"), 6, "three is no folder; models are local: download it"),
        (changed("model: one", "model: one+lora"), 6, "adapters (model+lora) are not supported"),
        (changed("density: [1", "densty: [1"), 6, "ties has no parameter 'densty'; did you mean 'density'?"),
        (changed("weight: 0.5", "weight: heavy"), 6, "weight: a value is a number"),
        (changed("density: 0.6", "density: 1.6"), 12, "density: 1.6 is not between 0 and 1"),
        (changed("bfloat16", "bf16"), 13, "dtype is one of bfloat16, float16, float32, float64, not 'bf16'"),
        (TIES + "modules: {}", 14, "modules: merging several modules of one model is not supported"),
        (TIES + "tokenizer: {source: union, pad_to_multiple_of: 0.5}", 14, "pad_to_multiple_of is a whole number, not"),
        (TIES + "tokenizer: {tokns: {}}", 14, "unknown key 'tokns'; did you mean 'tokens'?"),
        (TIES + "tokenizer: {tokens: {a: {source: {kind: nought}}}}", 14, "kind is zero or model_token, not 'nought'"),
        (TIES + "tokenizer: {tokens: {a: {source: {kind: model_token, model: A}}}}", 14, "exactly one of token"),
        (TIES + "tokenizer: {tokens: {a: {force: true}}}", 14, "force needs a source"),
        (TIES + "tokenizer: {tokens: [a]}", 14, "tokens map a token to its source"),
        (TIES + "tokenizer_source: base\ntokenizer: {source: base}", 14, "either tokenizer_source or tokenizer"),
        (TIES + "chat_template: chatml", 14, "chat_template is auto or the Jinja text itself, not 'chatml'"),
        (TIES + "mergemethod: x", 14, "unknown key 'mergemethod'; did you mean 'merge_method'?"),
        (TIES + "slices: []", 1, "a recipe has either models or slices"),
        (changed("ties", "slerp"), 4, "slerp takes 1 model beside the base model, not 2"),
        (changed("[1, 3]", "[1, 4]", STACK).replace("passthrough", "linear"), 4, "weight"),
        (changed("[0, 2]", "[2, 0]", STACK), 3, "layer_range is [first, last + 1], not [2, 0]"),
        (changed("layer_range: [0, 2]", "layers: 2", STACK), 3, "layer_range is missing"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(tmp_path: Path, text: str, line: int, says: str):
    if says == "weight":  # is missing, which only the models' tensors tell: the recipe by itself is whole
        assert read(tmp_path, text).method.name == "linear"
        return
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, text)
    assert says in str(raised.value) and f"recipe.yaml:{line}:" in str(raised.value), str(raised.value)


def test_all_problems_come_at_once(tmp_path: Path):
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, TIES.replace("density", "dense").replace("bfloat16", "int4"))
    assert len(str(raised.value).splitlines()) == 3


def test_a_runs_recipe_is_told_from_a_merges(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"recipe.yaml is the recipe of a run, not of a merge: rl-reason run .*yaml$"):
        read(tmp_path, "name: x\nstages: [{kind: sft}]\n")
