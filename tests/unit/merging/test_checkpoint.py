"""Damaged and missing weights are told from the headers alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from checkpoints import make

from rl_reason.errors import MergeError
from rl_reason.merging.checkpoint import INDEX, open_checkpoint


def test_a_folder_is_known_by_its_headers(tmp_path: Path):
    found = open_checkpoint(make(tmp_path / "m", tie_word_embeddings=True))
    assert found.architecture == "LlamaForCausalLM" and found.tied and len(found.files) == 1
    norm = found.tensors["model.norm.weight"]
    assert (norm.dtype, norm.shape, norm.nbytes) == ("F32", (8,), 32)


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def header_only(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:40])


def misfit(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"shape":[8]', b'"shape":[7]', 1))


def rubbish(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)


def index(folder: Path) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": {"model.lost.weight": "model.safetensors"}}))


def second_shard_cut(folder: Path) -> None:
    shutil.copy(folder / "model.safetensors", folder / "model-2.safetensors")
    placed = dict.fromkeys(open_checkpoint(folder).tensors, "model.safetensors")
    (folder / INDEX).write_text(json.dumps({"weight_map": {**placed, "model.norm.weight": "model-2.safetensors"}}))
    path = folder / "model-2.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def no_shard(folder: Path) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "model-00002-of-00002.safetensors"}}))


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def torn_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut, "is cut off: model.norm.weight should end at byte"),
        (header_only, "is no safetensors file, or is cut off (40 bytes)"),
        (misfit, "do not fit its shape [7] of F32"),
        (rubbish, "is no safetensors file, or is cut off (100 bytes)"),
        (index, f"lacks the tensor model.lost.weight that {INDEX} says it has"),
        (second_shard_cut, "model-2.safetensors is cut off: model.norm.weight should end at byte"),
        (no_shard, "cannot read"),
        (pickled, "pytorch_model.bin: convert with save_pretrained"),
        (no_config, "cannot read"),
        (torn_config, "is not JSON"),
    ],
)
def test_damage_is_named(tmp_path: Path, damage: Callable[[Path], None], says: str):
    folder = make(tmp_path / "m")
    damage(folder)
    with pytest.raises(MergeError) as raised:
        open_checkpoint(folder)
    assert says in str(raised.value) and str(folder) in str(raised.value)


def test_a_model_that_is_not_there_is_to_be_downloaded(tmp_path: Path):
    with pytest.raises(MergeError, match="download it first"):
        open_checkpoint(tmp_path / "none")
