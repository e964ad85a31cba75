"""Merges models with different vocabularies by mergekit and by us, and prints how far apart the rows of each token are.

    .venv/bin/python benchmarks/mergekit_tokenizers.py

Three models of one shape with byte-level BPE tokenizers trained on different texts, each with added tokens of its own,
in float32. Rows are compared by token, as mergekit
numbers a union's new tokens in no fixed order. Exit code 1 where tokens or rows differ.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import yaml
from mergekit_agreement import random_weights, save, weights
from mergekit_env import prepare
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from rl_reason.merging.planning import plan_merge
from rl_reason.merging.recipe import read_recipe
from rl_reason.merging.run import merge

TEXTS = {
    "base": "the cat sat on the mat and the dog ran after the cat over the hill",
    "math": "three plus four is seven and seven minus three is four so the sum is seven",
    "code": "def add(left, right): return left + right\nprint(add(3, 4)) # the sum of three and four",
}
ADDED = {
    "base": ["<|end|>"],
    "math": ["<|end|>", "<think>", "</think>"],
    "code": ["<|im_start|>", "<|end|>", "<think>"],
}
ROWS = 320
LINEAR = {"merge_method": "linear", "models": [{"model": f"models/{name}", "parameters": {"weight": weight}}
          for name, weight in (("base", 0.5), ("math", 0.3), ("code", 0.2))]}  # fmt: skip
TASK = {"merge_method": "task_arithmetic", "base_model": "models/base", "models": LINEAR["models"][1:]}
CASES = {
    "base": TASK | {"tokenizer_source": "base"},
    "union": TASK | {"tokenizer_source": "union"},
    "union, no base model": LINEAR | {"tokenizer_source": "union"},
    "another model's": TASK | {"tokenizer_source": "models/code"},
    "another model's, no base": LINEAR | {"tokenizer_source": "models/math"},
    "padded": TASK | {"tokenizer": {"source": "union", "pad_to_multiple_of": 64}},
    "single tokens": TASK | {"tokenizer": {"source": "union", "tokens": {
        "<think>": {"source": "models/code", "force": True},
        "</think>": {"source": {"kind": "model_token", "model": "models/math", "token": "<think>"}},
        "<|im_start|>": {"source": {"kind": "zero"}},
        "<|new|>": {"source": {"kind": "model_token", "model": "models/base", "token_id": 7}},
    }}},
    "slerp": {"merge_method": "slerp", "base_model": "models/base", "models": TASK["models"][:1],
              "parameters": {"t": 0.4}, "tokenizer_source": "union"},
}  # fmt: skip


def main() -> None:
    """The command."""
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for seed, name in enumerate(TEXTS):
            make_model(work / "models" / name, seed, TEXTS[name], ADDED[name])
        paths = {name: work / f"{number}.yaml" for number, name in enumerate(CASES)}
        for name, path in paths.items():
            path.write_text(yaml.safe_dump(CASES[name], sort_keys=False))
        side = Path(__file__).resolve().with_name("mergekit_side.py")
        subprocess.run([str(prepare()), str(side), *map(str, paths.values())], check=True, cwd=work,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        print(f"{'case':26s} {'tokens':>7s} {'rows':>5s} {'largest difference':>19s}")
        for name, path in paths.items():
            line, far = compared(path)
            print(f"{name:26s} {line}{'  DIFFERS' if far else ''}", flush=True)
            failed |= far
    sys.exit(1 if failed else 0)


def compared(path: Path) -> tuple[str, bool]:
    """A line of the table, and whether the results differ by more than rounding."""
    error = path.with_suffix(".mergekit_error")
    if error.exists():
        return f"mergekit failed: {error.read_text()[:200]}", True
    ours, theirs = path.with_suffix(".ours"), path.with_suffix(".mergekit")
    merge(plan_merge(read_recipe(path)), ours)
    mine, other = (AutoTokenizer.from_pretrained(folder).get_vocab() for folder in (ours, theirs))
    made, expected = weights(ours), weights(theirs)
    if mine.keys() != other.keys() or made.keys() != expected.keys():
        return f"other tokens {sorted(mine.keys() ^ other.keys())[:5]} or tensors", True
    order = sorted(mine)
    largest = 0.0
    for name, tensor in made.items():
        a, b = tensor, expected[name]
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            sizes = {
                len(a),
                len(b),
                *(json.loads((one / "config.json").read_text())["vocab_size"] for one in (ours, theirs)),
            }
            if len(sizes) > 1:
                return f"rows {sizes}", True
            padding = list(range(len(order), len(a)))
            a, b = a[[mine[token] for token in order] + padding], b[[other[token] for token in order] + padding]
        largest = max(largest, float((a - b).abs().max()))
    return f"{len(order):7d} {len(made['lm_head.weight']):5d} {largest:19.2e}", largest > 1e-6


def make_model(folder: Path, seed: int, text: str, added: list[str]) -> None:
    """Random weights of more rows than the tokenizer has tokens, and the tokenizer."""
    tensors = random_weights(seed=seed, tied=False, biased=False)
    save(folder, tensors, "float32", tied=False, biased=False)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([text], trainer)
    whole = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")
    whole.add_tokens([one for one in added if one != "<|end|>"])
    whole.save_pretrained(folder)
    assert len(whole) < ROWS <= tensors["lm_head.weight"].shape[0]


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
