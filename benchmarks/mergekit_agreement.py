"""Merges small random models by mergekit and by us, recipe by recipe, and prints how far apart the results are.

    .venv/bin/python benchmarks/mergekit_agreement.py

Each recipe of tests/data/mergekit runs twice: as it is written, on bfloat16 and float16 models, and in float32 on
models of the same shapes in float32, which shows the algorithm alone. The unit is the spacing of the result's dtype at
the largest magnitude among an element and the source elements it was made of: mergekit computes task vectors in the
recipe's dtype and rounds every step, we compute in float32 and round once. Its float32 slerp sums products in float32,
ours in float64. Hence the floors: 4 units in half precision, 16 in float32 (1e-6 of the value).

Elements are left out, and counted in the last column, where rounding decides what TIES does: a task vector's magnitude
equals that of the last one kept (half-precision models have many such; we keep the first of them, which ones mergekit
keeps depends on torch.topk), or the sum that elects the sign is within 4 units of 0. Methods with random masks are
compared at density 1, where nothing is drawn.
Exit code 1 where a recipe of linear, slerp, ties, task_arithmetic or passthrough is further apart than the floor.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from mergekit_env import prepare
from safetensors.torch import load_file, save_file

from rl_reason.errors import RlReasonError
from rl_reason.merging.planning import plan_merge
from rl_reason.merging.recipe import read_recipe
from rl_reason.merging.run import merge

RECIPES = Path(__file__).resolve().parent.parent / "tests" / "data" / "mergekit"
HELD_TO = ("linear", "slerp", "ties", "task_arithmetic", "passthrough")
VARIANTS = ("as written", "float32")
FLOORS = {torch.bfloat16: 4.0, torch.float16: 4.0, torch.float32: 16.0}
RANDOM = ("dare_ties", "dare_linear", "della", "della_linear")
LAYERS, HIDDEN, INNER, VOCABULARY = 8, 64, 96, 320
DTYPES = {"base": "bfloat16", "math": "bfloat16", "code": "bfloat16", "chat": "bfloat16", "half": "float16"}
BITS = {torch.bfloat16: (7, -126), torch.float16: (10, -14), torch.float32: (23, -126)}
"""Of a dtype: bits of its mantissa, its smallest normal exponent."""


def main() -> None:
    """The command."""
    words = argparse.ArgumentParser(description="agreement with mergekit 0.1.5")
    words.add_argument("recipes", nargs="*", help="names from tests/data/mergekit; all of them if none")
    given = words.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        make_models(work / "models", DTYPES)
        make_models(work / "models32", dict.fromkeys(DTYPES, "float32"))
        cases = list(write_cases(work, given.recipes))
        side = Path(__file__).resolve().with_name("mergekit_side.py")
        subprocess.run([str(prepare()), str(side), *(f"{path}" for _, _, path in cases)], check=True, cwd=work,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        print(f"{'recipe':26s} {'method':17s} {'variant':11s} {'dtype':9s} {'units':>10s} {'differ':>8s} {'tied':>7s}")
        for name, variant, path in cases:
            line, far = one(name, variant, path)
            print(line, flush=True)
            failed |= far
    sys.exit(1 if failed else 0)


def write_cases(work: Path, names: list[str]) -> Iterator[tuple[str, str, Path]]:
    """The recipes as they are and in float32: name, variant, file."""
    for file in sorted(RECIPES.glob("*.yaml")):
        if names and file.stem not in names:
            continue
        for variant in VARIANTS:
            recipe = yaml.safe_load(file.read_text())
            if recipe["merge_method"] in RANDOM:
                undrawn(recipe)
            if variant == "float32":
                recipe |= {"dtype": "float32", "out_dtype": "float32"}
            text = yaml.safe_dump(recipe, sort_keys=False)
            path = work / f"{file.stem}.{variant.replace(' ', '_')}.yaml"
            path.write_text(text.replace("models/", "models32/") if variant == "float32" else text)
            yield file.stem, variant, path


def undrawn(recipe: dict[str, Any]) -> None:
    """Set every density to 1."""
    for entry in recipe.get("models", []):
        if "density" in entry.get("parameters", {}):
            entry["parameters"] |= {"density": 1.0} | ({"epsilon": 0.0} if "epsilon" in entry["parameters"] else {})


def one(name: str, variant: str, recipe: Path) -> tuple[str, bool]:
    """A line of the table, and whether a floor was missed."""
    method = yaml.safe_load(recipe.read_text())["merge_method"]
    begin = f"{name:26s} {method:17s} {variant:11s}"
    error = recipe.with_suffix(".mergekit_error")
    if error.exists():
        return f"{begin} mergekit failed: {error.read_text()[:200]}", method in HELD_TO
    ours = recipe.with_suffix(".ours")
    try:
        plan = plan_merge(read_recipe(recipe))
        merge(plan, ours)
    except RlReasonError as refused:
        return f"{begin} we refused: {refused}", method in HELD_TO
    theirs = weights(recipe.with_suffix(".mergekit"))
    made = weights(ours)
    if set(made) != set(theirs):
        return f"{begin} other tensors: {sorted(set(made) ^ set(theirs))[:4]}", True
    largest, differing, equal, total = 0.0, 0, 0, 0
    dtypes: set[str] = set()
    past = False
    for output in plan.outputs:
        a, b = made[output.name], theirs[output.name]
        if a.dtype != b.dtype or a.shape != b.shape:
            return f"{begin} {output.name}: ours {a.dtype} {list(a.shape)}, mergekit's {b.dtype} {list(b.shape)}", True
        sources = [weights(source.tensor.path.parent)[source.tensor.name] for source in output.sources]
        units = apart(a, b, sources)
        if method == "ties":
            tied = undecided(sources, [dict(one) for one in output.settings.per_model], a.dtype)
            equal += int(tied.sum())
            units = np.where(tied, 0.0, units)
        largest = max(largest, float(units.max()))
        past |= bool(units.max() > FLOORS[a.dtype])
        differing += int(np.count_nonzero(units))
        total += units.size
        dtypes.add(str(a.dtype).removeprefix("torch."))
    layers = {json.loads((folder / "config.json").read_text())["num_hidden_layers"]
              for folder in (ours, recipe.with_suffix(".mergekit"))}  # fmt: skip
    far = method in HELD_TO and (past or len(layers) > 1)
    line = f"{begin} {'+'.join(sorted(dtypes)):9s} {largest:10.3g} {differing / total:8.2%} {equal / total:7.2%}"
    return line + ("  TOO FAR" if far else ""), far


def apart(a: torch.Tensor, b: torch.Tensor, sources: list[torch.Tensor]) -> np.ndarray:
    """|a - b| in units of the dtype's spacing at the largest magnitude that took part in an element."""
    mantissa, lowest = BITS[a.dtype]
    size = np.maximum.reduce([one.double().abs().numpy() for one in (a, b, *sources)])
    exponent = np.maximum(np.frexp(size)[1] - 1, lowest)
    return np.abs(a.double().numpy() - b.double().numpy()) / np.ldexp(1.0, exponent - mantissa)


def undecided(sources: list[torch.Tensor], settings: list[dict[str, float]], dtype: torch.dtype) -> np.ndarray:
    """Where rounding decides which of several elements TIES keeps, or which sign it elects."""
    *models, base = (one.to(dtype) for one in sources)
    found = torch.zeros(base.shape, dtype=torch.bool)
    total, largest = torch.zeros(base.shape, dtype=torch.float64), torch.zeros(base.shape, dtype=torch.float64)
    for model, given in zip(models, settings, strict=True):
        delta = model - base
        size, kept = delta.abs(), int(given["density"] * delta.numel())
        if 0 < kept < size.numel():
            last = size.flatten().sort(descending=True).values[kept - 1]
            if (size >= last).sum() > kept:
                found |= size == last
            delta = torch.where(size >= last, delta, 0)
        part = given["weight"] * delta.double()
        total, largest = total + part, torch.maximum(largest, part.abs())
    found |= (largest > 0) & (total.abs() <= 4 * 2.0 ** -BITS[dtype][0] * largest)
    return found.numpy()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a model folder."""
    found: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= load_file(file)
    return found


def make_models(folder: Path, dtypes: dict[str, str]) -> None:
    """Random models of one ancestor: Llama, and Qwen2 with tied embeddings."""
    for prefix, tied, biased in (("", False, False), ("tied_", True, True)):
        ancestor = random_weights(seed=0, tied=tied, biased=biased)
        for number, name in enumerate(dtypes):
            torch.manual_seed(100 + number)
            tuned = {key: one if name == "base" else one + 0.1 * one.std() * torch.randn_like(one)
                     for key, one in ancestor.items()}  # fmt: skip
            save(folder / f"{prefix}{name}", tuned, dtypes[name], tied=tied, biased=biased)


def random_weights(*, seed: int, tied: bool, biased: bool) -> dict[str, torch.Tensor]:
    """In float32."""
    torch.manual_seed(seed)
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN)}
    if not tied:
        shapes["lm_head.weight"] = (VOCABULARY, HIDDEN)
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        shapes |= {f"{at}self_attn.{name}_proj.weight": (HIDDEN, HIDDEN) for name in "qkvo"}
        shapes |= {f"{at}self_attn.{name}_proj.bias": (HIDDEN,) for name in "qkv" if biased}
        shapes |= {f"{at}mlp.{name}_proj.weight": (INNER, HIDDEN) for name in ("gate", "up")}
        shapes[f"{at}mlp.down_proj.weight"] = (HIDDEN, INNER)
        shapes |= {f"{at}{name}_layernorm.weight": (HIDDEN,) for name in ("input", "post_attention")}
    shapes["model.norm.weight"] = (HIDDEN,)
    return {name: torch.randn(shape) * 0.05 + (1.0 if "norm" in name else 0.0) for name, shape in shapes.items()}


def save(folder: Path, tensors: dict[str, torch.Tensor], dtype: str, *, tied: bool, biased: bool) -> None:
    """A model folder without a tokenizer."""
    folder.mkdir(parents=True)
    stored = {name: one.to(getattr(torch, dtype)).contiguous() for name, one in tensors.items()}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["Qwen2ForCausalLM" if biased else "LlamaForCausalLM"],
        "model_type": "qwen2" if biased else "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "num_hidden_layers": LAYERS,
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": tied,
        "torch_dtype": dtype,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))


if __name__ == "__main__":
    main()
