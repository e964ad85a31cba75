"""Whole merges of small folders: what comes out, what is refused, what survives an interruption."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from checkpoints import as_bfloat16, load, make, tokens

import rl_reason.merging.blocks as blocks
import rl_reason.merging.run as run
import rl_reason.merging.writer as writer
from rl_reason.errors import ConfigError, MergeError, RlReasonError
from rl_reason.merging.methods.ties import ties
from rl_reason.merging.planning import plan_merge
from rl_reason.merging.recipe import read_recipe

UP, NORM, HEAD = "model.layers.{}.mlp.up_proj.weight", "model.norm.weight", "lm_head.weight"
EMBEDDING = "model.embed_tokens.weight"


def merged(folder: Path, recipe: dict[str, Any], out: str = "out", **how: Any) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    run.merge(plan_merge(read_recipe(path), seed=how.pop("seed", 0)), folder / out, **how)
    return folder / out


def pair(method: str, **more: Any) -> dict[str, Any]:
    models = [{"model": "a", "parameters": {"weight": 0.75}}, {"model": "b", "parameters": {"weight": 0.25}}]
    return {"merge_method": method, "models": models, **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("base", "a", "b")):
        make(tmp_path / name, seed)
    return tmp_path


def test_an_average_is_the_average_in_shards_with_an_index_and_a_card(folder: Path):
    tokens(folder / "a", "x", "y")
    out = merged(folder, pair("linear", dtype="float16"), shard_bytes=400)
    a, b, found = load(folder / "a"), load(folder / "b"), load(out)
    assert found.keys() == a.keys()
    for name, values in found.items():
        assert np.array_equal(values, (np.float32(0.75) * a[name] + np.float32(0.25) * b[name]).astype(np.float16))
    files = sorted(path.name for path in out.iterdir())
    assert "model-00001-of-00004.safetensors" in files and "model.safetensors.index.json" in files
    assert "tokenizer.json" in files and json.loads((out / "config.json").read_text())["torch_dtype"] == "float16"
    card = (out / "README.md").read_text()
    assert "merge_method: linear" in card and str(folder / "a") in card and "- merge" in card
    assert not list(folder.glob(".*"))


def test_task_vectors_and_gradients_and_filters_reach_their_tensors(folder: Path):
    weight = [{"filter": "mlp", "value": [0.0, 1.0]}, {"filter": "lm_head", "value": 0.5}, {"value": 0.25}]
    recipe = {
        "merge_method": "task_arithmetic", "base_model": "base",
        "models": [{"model": "a", "parameters": {"weight": weight}}],
    }  # fmt: skip
    found, a, base = load(merged(folder, recipe)), load(folder / "a"), load(folder / "base")
    for name, share in ((UP.format(0), 0.0), (UP.format(1), 1.0), (HEAD, 0.5), (NORM, 0.25)):
        np.testing.assert_allclose(found[name], base[name] + share * (a[name] - base[name]), rtol=1e-5, atol=1e-6)


def test_ties_of_bfloat16_folders_is_the_papers_on_rounded_differences(folder: Path):
    for name in ("base", "a", "b"):
        as_bfloat16(folder / name)
    recipe = pair("ties", base_model="base", parameters={"density": 0.5}, dtype="float32")
    found = load(merged(folder, recipe))
    a, b, base = (load(folder / name) for name in ("a", "b", "base"))
    for name, values in found.items():
        np.testing.assert_allclose(values, ties([a[name], b[name]], base[name], [0.75, 0.25], [0.5, 0.5]), rtol=1e-6)


def test_slices_are_stacked_and_renumbered(folder: Path):
    make(folder / "deep", 3, layers=4, layer_types=["full", "sliding", "full", "sliding"])
    recipe = {
        "merge_method": "passthrough",
        "slices": [
            {"sources": [{"model": "deep", "layer_range": [0, 2]}]},
            {"sources": [{"model": "deep", "layer_range": [1, 4], "parameters": {"scale": 0.5}}]},
        ],
    }
    out = merged(folder, recipe)
    found, deep = load(out), load(folder / "deep")
    config = json.loads((out / "config.json").read_text())
    assert config["num_hidden_layers"] == 5
    assert config["layer_types"] == ["full", "sliding", "sliding", "full", "sliding"]
    assert np.array_equal(found[UP.format(1)], deep[UP.format(1)])
    assert np.array_equal(found[UP.format(2)], deep[UP.format(1)] * np.float32(0.5))
    assert UP.format(4) in found and UP.format(5) not in found


@pytest.mark.parametrize("method", ["dare_ties", "della", "ties", "slerp", "sce", "karcher", "linear"])
def test_threads_and_held_memory_change_nothing(folder: Path, method: str, monkeypatch: pytest.MonkeyPatch):
    recipe: dict[str, Any] = pair(method, base_model="base", parameters={"density": 0.5})
    if method in ("slerp", "sce", "karcher", "linear"):
        del recipe["parameters"]
    if method in ("sce", "karcher"):
        recipe["models"] = [{"model": "a"}, {"model": "b"}]
    if method == "slerp":
        recipe |= {"base_model": "a", "models": [{"model": "a"}, {"model": "b"}], "parameters": {"t": 0.3}}
    if method in ("karcher", "linear"):
        del recipe["base_model"]
    first = load(merged(folder, recipe, "first", threads=1))
    monkeypatch.setattr(blocks, "HELD_BYTES", 0)
    second = load(merged(folder, recipe, "second", threads=3))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    if method in ("dare_ties", "della"):
        third = load(merged(folder, recipe, "third", seed=1))
        assert not all(np.array_equal(first[name], third[name]) for name in first)


def test_rows_go_by_token_where_vocabularies_differ(folder: Path):
    tokens(folder / "a", "x", "y", "z")
    big = tokens(make(folder / "big", 5, vocabulary=24), "new", "z", "x")
    with pytest.raises(
        MergeError, match=r"the token 'x' is number 0 in .*a and 2 in .*big, so rows .* set tokenizer_source"
    ):
        models = [{"model": "a", "parameters": {"weight": 1}}, {"model": "big", "parameters": {"weight": 1}}]
        merged(folder, {"merge_method": "linear", "models": models})
    for source, rows in (("base", 3), ("big", 3)):
        recipe = {
            "merge_method": "task_arithmetic", "base_model": "a", "tokenizer_source": source,
            "models": [{"model": "big", "parameters": {"weight": 0.5}}],
        }  # fmt: skip
        out = merged(folder, recipe, f"by-{source}")
        found, a, b = load(out)[HEAD], load(folder / "a")[HEAD], load(big)[HEAD]
        assert len(found) == rows and json.loads((out / "config.json").read_text())["vocab_size"] == rows
        x = 0 if source == "base" else 2
        np.testing.assert_allclose(found[x], (a[0] + b[2]) / 2, rtol=1e-6)
        own = a[1] if source == "base" else b[0]  # y and new: one model alone knows them
        np.testing.assert_allclose(found[1 if source == "base" else 0], own, rtol=1e-6)


def test_two_merges_do_not_write_to_one_destination(folder: Path):
    recipe = {"merge_method": "linear", "models": [{"model": "a", "parameters": {"weight": 1}}]}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    plan = plan_merge(read_recipe(folder / "recipe.yaml"))
    shards = writer.lay_out(plan.outputs, 1 << 30)
    with (
        writer.ModelWriter(folder / "out", shards, plan.fingerprint()),
        pytest.raises(MergeError, match=r"another merge is writing to .*out now; wait for its end"),
    ):
        run.merge(plan, folder / "out")
    run.merge(plan, folder / "out")  # the first one gave up


def test_a_wrong_base_is_named(folder: Path):
    for change, says in (
        ({"architectures": ["Qwen2ForCausalLM"]}, "a is a LlamaForCausalLM and .*wrong a Qwen2ForCausalLM"),
        ({"width": 16}, r"embed_tokens.weight is \[20, 8\] in .*a and \[20, 16\] in .*wrong"),
        ({"layers": 3}, "models of different depth: .*wrong': 3"),
        ({"layers": 1}, "models of different depth: .*wrong': 1"),
    ):
        shutil.rmtree(folder / "wrong", ignore_errors=True)
        make(folder / "wrong", 7, **change)
        with pytest.raises(MergeError, match=says):
            merged(folder, pair("ties", base_model="wrong"), "out")
        assert not (folder / "out").exists()


def test_a_head_of_its_own_is_merged_with_an_embedding_that_is_one(folder: Path):
    make(folder / "tied", 6, tie_word_embeddings=True, change={HEAD: None})
    for lead, other in (("a", "tied"), ("tied", "a")):
        models = [{"model": name, "parameters": {"weight": 1}} for name in (lead, other)]
        out = merged(folder, {"merge_method": "linear", "models": models}, f"{lead} first")
        found, a, tied = load(out), load(folder / "a"), load(folder / "tied")
        np.testing.assert_allclose(found[HEAD], (a[HEAD] + tied[EMBEDDING]) / 2, rtol=1e-6)
        np.testing.assert_allclose(found[EMBEDDING], (a[EMBEDDING] + tied[EMBEDDING]) / 2, rtol=1e-6)
        assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is False


def test_the_usual_chat_template_or_a_given_one(folder: Path):
    for name, template in (("a", "{{ 1 }}"), ("b", "{{ 2 }}"), ("base", "{{ 2 }}")):
        (folder / name / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    models = [{"model": name, "parameters": {"weight": 1}} for name in ("a", "b", "base")]
    for given, found in (("auto", "{{ 2 }}"), ("{{ messages }}", "{{ messages }}")):
        recipe = {"merge_method": "linear", "models": models, "chat_template": given}
        assert (merged(folder, recipe, f"by {given[:4]}") / "chat_template.jinja").read_text() == found
    for name in ("a", "b", "base"):
        (folder / name / "tokenizer_config.json").unlink()
    with pytest.raises(MergeError, match=r"chat_template: auto: none of .*a, .*b, .*base has a chat template"):
        merged(folder, {"merge_method": "linear", "models": models, "chat_template": "auto"})


def test_a_tied_head_that_a_file_carries_along_is_left_out(folder: Path):
    make(folder / "tied", 6, tie_word_embeddings=True, change={HEAD: None})
    make(folder / "copied", 7, tie_word_embeddings=True)
    models = [{"model": name, "parameters": {"weight": 1}} for name in ("tied", "copied")]
    assert HEAD not in load(merged(folder, {"merge_method": "linear", "models": models}))


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"layers": 3}, "models of different depth"),
        ({"width": 16}, r"model.embed_tokens.weight is \[20, 8\] in .*a and \[20, 16\] in .*other"),
        ({"change": {UP.format(1): None}}, r"other lacks the tensor mlp.up_proj.weight, which .*a has"),
        (
            {"change": {"model.extra.weight": np.zeros(3, np.float32)}},
            "other has the tensor model.extra.weight and .*a has not",
        ),
        ({"architectures": ["MistralForCausalLM"]}, "a MistralForCausalLM and .*a a LlamaForCausalLM"),
        ({"change": {"vision.layers.0.w": np.zeros(3, np.float32)}}, "has the stacks model.layers, vision.layers"),
        ({"change": {UP.format(3): np.zeros(3, np.float32)}}, "lacks layer 2 of model.layers"),
        ({"change": {NORM: np.zeros(8, np.int32)}}, "model.norm.weight is F32 in .*a and I32 in .*other"),
    ],
)
def test_models_that_do_not_fit_are_refused_before_anything_is_written(folder: Path, other: dict[str, Any], says: str):
    make(folder / "other", 9, **other)
    models = [{"model": name, "parameters": {"weight": 1}} for name in ("a", "other")]
    with pytest.raises(MergeError, match=says):
        merged(folder, {"merge_method": "linear", "models": models})
    assert not (folder / "out").exists() and not list(folder.glob(".*"))


@pytest.mark.parametrize(
    ("weight", "says"),
    [
        (None, "linear needs weight for .*b .share of the model.; none is given for model.embed_tokens.weight"),
        ({"layers": [1, 2, 3]}, "weight: layers has 3 values and the models 2 layers"),
        ([{"filter": "mlp", "value": 1}], "linear needs weight for .*b"),
    ],
)
def test_values_that_do_not_fit_the_models_are_refused(folder: Path, weight: Any, says: str):
    models = [{"model": "a", "parameters": {"weight": 1}}, {"model": "b", "parameters": {"weight": weight}}]
    if weight is None:
        del models[1]["parameters"]
    with pytest.raises(ConfigError, match=says):
        merged(folder, {"merge_method": "linear", "models": models})


def test_a_destination_that_is_taken_is_left_alone(folder: Path):
    with pytest.raises(MergeError, match="is there already; name another folder or remove it"):
        merged(folder, pair("linear"), "a")
    (folder / "out").mkdir()
    assert (merged(folder, pair("linear")) / "model.safetensors").exists()  # an empty one may be used


def test_an_interrupted_merge_goes_on_where_it_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch):
    whole = merged(folder, pair("linear"), "whole", threads=1)
    written: list[str] = []
    write = writer.ModelWriter.write

    def failing(self: writer.ModelWriter, name: str, offset: int, data: memoryview) -> None:
        if len(written) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(name)
        write(self, name, offset, data)

    with monkeypatch.context() as patch:
        patch.setattr(writer.ModelWriter, "write", failing)
        with pytest.raises((MergeError, OSError), match="No space left"):
            merged(folder, pair("linear"), threads=1)
    assert not (folder / "out").exists()
    again: list[str] = []
    monkeypatch.setattr(
        writer.ModelWriter, "write", lambda self, name, *rest: (again.append(name), write(self, name, *rest))[1]
    )
    out = merged(folder, pair("linear"), threads=1)
    assert set(again) | set(written) == set(load(whole)) and not set(again) & set(written)
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_an_interrupted_merge_of_other_sources_is_begun_anew(folder: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(writer.ModelWriter, "finish", lambda *rest: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            merged(folder, pair("linear"))
    assert (folder / ".out.merging").is_dir()
    os.utime(folder / "a" / "model.safetensors", ns=(1, 1))
    seen: list[int] = []
    merged(folder, pair("linear"), on_progress=seen.append)
    assert seen[0] == 0 and not list(folder.glob(".*"))


@pytest.mark.parametrize("between", ["another shard size", "a lost shard"])
def test_what_does_not_fit_an_interrupted_merge_begins_it_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch, between: str
):
    with monkeypatch.context() as patch:
        patch.setattr(writer.ModelWriter, "finish", lambda *rest: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            merged(folder, pair("linear"), shard_bytes=400)
    if between == "a lost shard":
        next((folder / ".out.merging").glob("model-00002*")).unlink()
    out = merged(folder, pair("linear"), shard_bytes=400 if between == "a lost shard" else 1 << 30)
    whole = load(merged(folder, pair("linear"), "whole"))
    found = load(out)
    assert found.keys() == whole.keys() and all(np.array_equal(found[name], whole[name]) for name in whole)


def test_a_full_disk_is_found_before_the_work(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100})())
    with pytest.raises(MergeError, match=r"has 0\.00 GB free and the merged model needs"):
        merged(folder, pair("linear"))
    monkeypatch.undo()

    def full(handle: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer.os, "posix_fallocate", full)
    with pytest.raises(MergeError, match="No space left on device; make room and call the same again"):
        merged(folder, pair("linear"))
    assert not (folder / "out").exists()


def test_a_disk_without_room_keeps_nothing_of_it(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def full(handle: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer.os, "posix_fallocate", full)
    with pytest.raises(MergeError, match="No space left on device"):
        merged(folder, pair("linear"))
    assert not list(folder.glob(".*"))


def test_a_journal_whose_last_line_is_cut_off_is_written_anew(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def stopped(self: writer.ModelWriter, *rest: Any) -> None:
        self.journal()
        raise KeyboardInterrupt

    journal = folder / ".out.merging" / "journal.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(writer.ModelWriter, "finish", stopped)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                merged(folder, pair("linear"))
            journal.write_text(journal.read_text()[:-3])
    lines = journal.read_text().splitlines()
    assert len(lines) == 10 and all(line.endswith('"') for line in lines[1:-1])
    seen: list[int] = []
    merged(folder, pair("linear"), on_progress=seen.append)
    assert seen[0] > 0


def test_a_source_that_is_written_over_meanwhile_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch):
    finished = writer.ModelWriter.finished

    def rewriting(self: writer.ModelWriter, name: str) -> None:
        os.utime(folder / "b" / "model.safetensors", ns=(1, 1))
        finished(self, name)

    monkeypatch.setattr(writer.ModelWriter, "finished", rewriting)
    with pytest.raises(MergeError, match="a source model was changed while it was merged"):
        merged(folder, pair("linear"))
    assert not (folder / "out").exists()


def test_a_source_that_shrinks_while_it_is_read_is_told(folder: Path):
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(pair("linear")))
    plan = plan_merge(read_recipe(path))
    file = folder / "b" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(RlReasonError, match="has become shorter while it was read"):
        run.merge(plan, folder / "out")
    assert not (folder / "out").exists()
