from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rl_reason.errors import MergeError
from rl_reason.merging.architecture import decoder, restacked_config
from rl_reason.merging.checkpoint import Checkpoint, Tensor


def checkpoint(names: Sequence[str], **config: Any) -> Checkpoint:
    tensors = {name: Tensor(name, "BF16", (2, 2), Path("m/model.safetensors"), 0, 8) for name in names}
    return Checkpoint(Path("m"), {"architectures": ["Some"]} | config, tensors)


LLAMA = ["model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "model.norm.weight", "lm_head.weight"]
QWEN3_MOE = ["model.embed_tokens.weight", "model.layers.0.mlp.experts.3.up_proj.weight", "model.norm.weight"]
GEMMA3 = [
    "language_model.model.embed_tokens.weight",
    "language_model.model.layers.0.pre_feedforward_layernorm.weight",
    "language_model.model.norm.weight",
]
GPT2 = ["wte.weight", "wpe.weight", "h.0.attn.c_attn.weight", "ln_f.weight"]


@pytest.mark.parametrize(
    ("names", "stem", "before", "layer", "after"),
    [
        (LLAMA, "model.layers", 1, "mlp.up_proj.weight", 2),
        (QWEN3_MOE, "model.layers", 1, "mlp.experts.3.up_proj.weight", 1),
        (GEMMA3, "language_model.model.layers", 1, "pre_feedforward_layernorm.weight", 1),
        (GPT2, "h", 2, "attn.c_attn.weight", 1),
    ],
    ids=["llama", "qwen3_moe", "gemma3", "gpt2"],
)
def test_tensors_are_sorted_by_their_names(names: list[str], stem: str, before: int, layer: str, after: int) -> None:
    found = decoder(checkpoint(names))
    assert (found.stem, list(found.before), list(found.after)) == (stem, names[:before], names[-after:])
    assert [list(one) for one in found.layers] == [[layer]]


def test_a_tied_heads_copy_is_left_out() -> None:
    assert list(decoder(checkpoint(LLAMA, tie_word_embeddings=True)).after) == ["model.norm.weight"]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["model.embed_tokens.weight"], "has no layers that could be told by name"),
        (["model.layers.0.a", "visual.blocks.0.a"], r"m \(Some\) has the stacks model.layers, visual.blocks"),
        (["encoder.layers.0.a", "decoder.layers.0.a"], "has the stacks decoder.layers, encoder.layers"),
        (["model.layers.0.a", "model.layers.2.a"], "m lacks layer 1 of model.layers"),
    ],
)
def test_what_is_no_single_decoder_is_refused(names: list[str], says: str) -> None:
    with pytest.raises(MergeError, match=says):
        decoder(checkpoint(names))


def restacked(config: dict[str, Any], taken: list[int]) -> dict[str, Any]:
    return restacked_config(config, taken, layers=3, dtype=None, vocabulary=None)


@pytest.mark.parametrize("key", ["num_hidden_layers", "n_layer", "num_layers"])
def test_the_number_of_layers_follows(key: str) -> None:
    assert restacked({key: 3, "hidden_size": 8}, [0, 1, 0, 1, 2]) == {key: 5, "hidden_size": 8}


def test_lists_of_one_entry_a_layer_follow_their_layers() -> None:
    config = {
        "num_hidden_layers": 3,
        "layer_types": ["full", "sliding", "full"],
        "no_rope_layers": [1, 1, 0],
        "eos_token_id": [7, 8, 9],  # of that length by chance
    }
    assert restacked(config, [1, 2, 1]) == config | {
        "layer_types": ["sliding", "full", "sliding"],
        "no_rope_layers": [1, 0, 1],
    }


@pytest.mark.parametrize("taken", [[0, 1], [0, 1, 2, 2], [2, 1, 0]])
def test_other_layers_in_a_config_that_does_not_count_them_are_refused(taken: list[int]) -> None:
    assert restacked({"depth": 3}, [0, 1, 2]) == {"depth": 3}
    with pytest.raises(MergeError, match="none of num_hidden_layers, n_layer, num_layers"):
        restacked({"depth": 3}, taken)


def test_dtype_and_vocabulary_are_written_where_the_config_has_them() -> None:
    old = {"num_hidden_layers": 1, "torch_dtype": "float32", "vocab_size": 10}
    assert restacked_config(old, [0], layers=1, dtype="bfloat16", vocabulary=12) == old | {
        "torch_dtype": "bfloat16",
        "vocab_size": 12,
    }
