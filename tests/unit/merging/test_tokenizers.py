"""Embedding rows by token: row k of a model is filled with a number that says the model and k."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rl_reason.errors import ConfigError, MergeError
from rl_reason.merging.planning import plan_merge
from rl_reason.merging.recipe import read_recipe
from rl_reason.merging.run import merge
from rl_reason.merging.tokenizers import vocabulary_of

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
    text = f"merge_method: linear\nbase_model: A\nmodels:\n{entries}tokenizer_source: {source}\n"
    (folder / "recipe.yaml").write_text(text)
    merge(plan_merge(read_recipe(folder / "recipe.yaml")), folder / "out")
    return folder / "out"


@pytest.mark.parametrize(
    ("alone", "source", "rows"),
    [
        # the first five of each are mergekit 0.1.5's rows, its whole result
        ("A", "base", [100, 101, 102, 103, 104, 105, 106, 107]),
        ("B", "base", [200, 201, 203, 202, 104, 105, 106, 107]),
        ("C", "base", [300, 301, 302, 103, 305, 105, 106, 107]),
        ("B", "A", [200, 201, 203, 202, 104, 105, 106, 107]),
        # mergekit's result, but for what a model lacks: the named model's row
        ("B", "B", [200, 201, 202, 203, 204, 205]),
        ("A", "B", [100, 101, 103, 102, 204, 205]),
        ("C", "B", [300, 301, 202, 302, 303, 304]),
    ],
)
def test_rows_go_by_token(models: Path, alone: str, source: str, rows: list[int]) -> None:
    out = merged(models, alone, source)
    found = load_file(out / "model.safetensors")
    assert found[BY_TOKEN[0]].tolist() == [[row, row] for row in rows]
    assert found[BY_TOKEN[1]].tolist() == [[row + 1000, row + 1000] for row in rows]
    assert json.loads((out / "config.json").read_text())["vocab_size"] == len(rows)
    named = models / ("A" if source == "base" else source)
    assert (out / "tokenizer.json").read_bytes() == (named / "tokenizer.json").read_bytes()


@pytest.mark.parametrize(
    ("source", "rows"),
    [
        ("A", [400, 401, 402, 403, 404, 105, 106, 107]),
        ("P", [400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411]),
    ],
)
def test_the_same_tokens_in_another_padding(models: Path, source: str, rows: list[int]) -> None:
    found = load_file(merged(models, "P", source, "AP") / "model.safetensors")
    assert found[BY_TOKEN[0]][:, 0].tolist() == rows


def test_a_model_that_takes_no_part_cannot_lend_its_tokenizer(models: Path) -> None:
    with pytest.raises(ConfigError, match=r"tokenizer_source .*P is none of the models: .*A, .*B, .*C"):
        merged(models, "A", "P")


def test_union_is_refused_by_name(models: Path) -> None:
    with pytest.raises(ConfigError, match=r"recipe.yaml:7: tokenizer_source: union is not supported; give base, or"):
        merged(models, "A", "union")


def test_tokens_of_a_unigram_model_and_added_ones(tmp_path: Path) -> None:
    tokenizer = {
        "model": {"vocab": [["<unk>", 0.0], ["a", -1.5]]},
        "added_tokens": [{"id": 2, "content": "<|im_start|>"}],
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert vocabulary_of(tmp_path).tokens == {"<unk>": 0, "a": 1, "<|im_start|>": 2}


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
        vocabulary_of(tmp_path)
