"""Embedding rows by token: row k of a model is filled with a number that says the model and k."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rl_reason.errors import ConfigError, MergeError
from rl_reason.merging.planning import plan_merge
from rl_reason.merging.recipe import read_recipe
from rl_reason.merging.run import merge
from rl_reason.merging.tokenizers import tokenizer_of

BY_TOKEN = ("model.embed_tokens.weight", "lm_head.weight")


def make_model(folder: Path, tokens: str, rows: int, start: int) -> None:
    folder.mkdir()
    embedding = np.repeat(start + np.arange(rows, dtype=np.float32)[:, None], 2, axis=1)
    tensors = {"model.embed_tokens.weight": embedding, "lm_head.weight": embedding + 1000}
    tensors |= {"model.layers.0.up.weight": np.ones((2, 2), np.float32), "model.norm.weight": np.ones(2, np.float32)}
    save_file(tensors, folder / "model.safetensors")
    config = {"architectures": ["LlamaForCausalLM"], "num_hidden_layers": 1, "vocab_size": rows}
    (folder / "config.json").write_text(json.dumps(config))
    vocabulary = {token: number for number, token in enumerate(tokens)}
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}, "added_tokens": []}))


@pytest.fixture
def models(tmp_path: Path) -> Path:
    make_model(tmp_path / "A", "?abcd", 8, 100)  # three rows of padding
    make_model(tmp_path / "B", "?acbef", 6, 200)
    make_model(tmp_path / "C", "?abefd", 6, 300)
    make_model(tmp_path / "P", "?abcd", 12, 400)  # A's tokens in another padding
    return tmp_path


def merged(folder: Path, alone: str, source: str, names: str = "ABC") -> Path:
    """All but one model have weight 0, so the result is how that one was lined up."""
    entries = "".join(f"- {{model: {name}, parameters: {{weight: {int(name == alone)}}}}}\n" for name in names)
    tokenizer = source if ":" in source else f"tokenizer_source: {source}"
    text = f"merge_method: linear\nbase_model: A\nmodels:\n{entries}{tokenizer}\n"
    (folder / "recipe.yaml").write_text(text)
    merge(plan_merge(read_recipe(folder / "recipe.yaml")), folder / "out")
    return folder / "out"


@pytest.mark.parametrize(
    ("alone", "source", "rows"),
    [
        # mergekit 0.1.5's results
        ("A", "base", [100, 101, 102, 103, 104]),
        ("B", "base", [200, 201, 203, 202, 104]),
        ("C", "base", [300, 301, 302, 103, 305]),
        ("B", "A", [200, 201, 203, 202, 104]),
        ("B", "B", [200, 201, 202, 203, 204, 205]),
        ("A", "B", [100, 101, 103, 102, (204 + 303) / 2, (205 + 304) / 2]),
        ("C", "B", [300, 301, 103, 302, 303, 304]),
        ("A", "union", [100, 101, 102, 103, 104, (204 + 303) / 2, (205 + 304) / 2]),
        ("B", "union", [200, 201, 203, 202, 104, 204, 205]),
        ("C", "union", [300, 301, 302, 103, 305, 303, 304]),
    ],
)
def test_rows_go_by_token(models: Path, alone: str, source: str, rows: list[int]) -> None:
    out = merged(models, alone, source)
    found = load_file(out / "model.safetensors")
    assert found[BY_TOKEN[0]].tolist() == [[row, row] for row in rows]
    assert found[BY_TOKEN[1]].tolist() == [[row + 1000, row + 1000] for row in rows]
    assert json.loads((out / "config.json").read_text())["vocab_size"] == len(rows)
    if source != "union":
        named = models / ("A" if source == "base" else source)
        assert (out / "tokenizer.json").read_bytes() == (named / "tokenizer.json").read_bytes()


def test_other_numbers_of_a_token_are_another_plan(models: Path) -> None:
    """A merge that was interrupted before a tokenizer changed begins anew."""
    text = "merge_method: linear\nmodels: [{model: A}, {model: B}]\nparameters: {weight: 1}\ntokenizer_source: A\n"
    (models / "recipe.yaml").write_text(text)
    before = plan_merge(read_recipe(models / "recipe.yaml")).fingerprint()
    path = models / "B" / "tokenizer.json"
    path.write_text(path.read_text().replace('"e": 4, "f": 5', '"f": 4, "d": 5'))
    assert plan_merge(read_recipe(models / "recipe.yaml")).fingerprint() != before


@pytest.mark.parametrize("source", ["A", "P"])
def test_padding_is_left_out(models: Path, source: str) -> None:
    found = load_file(merged(models, "P", source, "AP") / "model.safetensors")
    assert found[BY_TOKEN[0]][:, 0].tolist() == [400, 401, 402, 403, 404]


def test_padding_is_the_mean_of_all_tokens(models: Path) -> None:
    out = merged(models, "B", "\ntokenizer: {source: base, pad_to_multiple_of: 4}")
    rows = [200, 201, 203, 202, 104]
    found = load_file(out / "model.safetensors")[BY_TOKEN[0]][:, 0]
    assert found.tolist() == [*rows, 182, 182, 182] and sum(rows) / 5 == 182
    assert json.loads((out / "config.json").read_text())["vocab_size"] == 8


SOURCES = """
tokenizer:
  source: base
  tokens:
    b: {source: B}
    c: {source: {kind: zero}, force: true}
    d: {source: {kind: model_token, model: C, token: f}}
    new: {source: {kind: model_token, model: B, token_id: 1}}
    nowhere: {}
"""


@pytest.mark.parametrize(
    ("alone", "rows"),
    [
        ("A", [100, 101, 102, 0, 104, 201, 0]),
        ("B", [200, 201, 203, 0, 304, 201, 0]),
        ("C", [300, 301, 302, 0, 305, 201, 0]),
    ],
)
def test_single_tokens_have_sources_of_their_own(models: Path, alone: str, rows: list[int]) -> None:
    out = merged(models, alone, SOURCES)
    assert load_file(out / "model.safetensors")[BY_TOKEN[0]][:, 0].tolist() == rows
    assert [one["content"] for one in json.loads((out / "tokenizer.json").read_text())["added_tokens"]] == [
        "new",
        "nowhere",
    ]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{source: P}", "'d' should come from .*P, which is none of the models: .*A, .*B, .*C"),
        ("{source: B}", "'d' should come from .*B, which has no 'd'"),
        ("{source: {kind: model_token, model: B, token: z}}", "which has no 'z'"),
        ("{source: {kind: model_token, model: B, token_id: 6}}", "which has no number 6"),
    ],
)
def test_a_row_from_where_there_is_none(models: Path, source: str, says: str) -> None:
    with pytest.raises(MergeError, match=says):
        merged(models, "A", f"\ntokenizer: {{source: base, tokens: {{d: {source}}}}}")


def test_tokens_with_other_numbers_are_not_merged_by_number(models: Path) -> None:
    by_number = "merge_method: linear\nmodels: [{model: B}, {model: M}]\nparameters: {weight: 1}\n"
    (models / "recipe.yaml").write_text(by_number)
    make_model(models / "M", "?acbfe", 6, 500)
    with pytest.raises(
        MergeError, match=r"the token 'e' is number 4 in .*B and 5 in .*M, so rows .* set tokenizer_source"
    ):
        plan_merge(read_recipe(models / "recipe.yaml"))
    shutil.rmtree(models / "M")
    make_model(models / "M", "?acbez", 6, 500)  # a reserved token that got another name
    (note,) = plan_merge(read_recipe(models / "recipe.yaml")).notes
    assert note.startswith("1 tokens have other names: number 5 is 'f' in") and "'z' in" in note
    (models / "recipe.yaml").write_text(by_number + "tokenizer_source: base\n")
    assert plan_merge(read_recipe(models / "recipe.yaml")).notes == ()


def test_a_model_that_takes_no_part_cannot_lend_its_tokenizer(models: Path) -> None:
    with pytest.raises(ConfigError, match=r"the tokenizer's .*P is none of the models: .*A, .*B, .*C"):
        merged(models, "A", "P")


def test_tokens_of_a_unigram_model_and_added_ones(tmp_path: Path) -> None:
    tokenizer = {
        "model": {"vocab": [["<unk>", 0.0], ["a", -1.5]]},
        "added_tokens": [{"id": 2, "content": "<|im_start|>"}],
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert tokenizer_of(tmp_path).tokens == {"<unk>": 0, "a": 1, "<|im_start|>": 2}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file.*save the tokenizer with save_pretrained"),
        ("{", "tokenizer.json is not JSON"),
        ("{}", "tokenizer.json lists no tokens"),
    ],
)
def test_a_tokenizer_that_cannot_be_read(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(MergeError, match=says):
        tokenizer_of(tmp_path)
