"""Merging whole models, whole commands, against mergekit 0.1.5 and against copying the files.

python benchmarks/merge.py [--rounds 2] [--folder DIR] [--only linear,ties] [--large]
Makes a pair and a base of 0.44 GB (Llama-like, random, bfloat16). Prints a JSON line a method; exit code 1 when a floor
is missed. `--large` merges three models of 8 GB (33 GB of disk) without mergekit and prints the peak of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from mergekit_env import FOLDER, prepare

FLOORS = {"linear": 2.0, "slerp": 2.0, "dare_ties": 4.0, "ties": 8.0, "della": 8.0}
"""How many times faster than mergekit."""
MEMORY = 0.5
COPYING = 1.5
LARGE_GB = 2.0
SMALL = {"hidden": 1024, "layers": 12, "inner": 2816, "vocabulary": 32_000}
BIG = {"hidden": 4096, "layers": 18, "inner": 11_008, "vocabulary": 64_000}


def main() -> None:
    """Print one JSON line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", default=",".join(FLOORS))
    parser.add_argument("--large", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        figures = large(folder) if arguments.large else small(folder, arguments.only.split(","), arguments.rounds)
        missed = 0
        for figure in figures:
            print(json.dumps(figure), flush=True)
            missed += not figure["met"]
    raise SystemExit(int(missed > 0))


def small(folder: Path, methods: list[str], rounds: int) -> Iterator[dict[str, Any]]:
    """Both tools in turns; the best of the rounds counts for both."""
    prepare()
    theirs = [str(FOLDER / "bin" / "mergekit-yaml")]
    models = _models(folder, SMALL)
    copied, one = (min(_copying(paths, folder / "copy") for _ in range(rounds)) for paths in (models[1:], models[1:2]))
    to_disk = min(_copying(models[1:], folder / "copy", to_disk=True) for _ in range(rounds))
    for method in methods:
        recipe = folder / f"{method}.yaml"
        recipe.write_text(yaml.safe_dump(recipe_of(method, models)))
        best: dict[str, tuple[float, float]] = {}
        for _ in range(rounds):
            for tool, command in (("mergekit", [*theirs, str(recipe)]), ("ours", [*_ours(), str(recipe), "--out"])):
                out = folder / "out"
                seconds, memory = _timed([*command, str(out)])
                shutil.rmtree(out)
                before = best.get(tool, (seconds, memory))
                best[tool] = min(before[0], seconds), min(before[1], memory)
        (their_s, their_gb), (our_s, our_gb) = best["mergekit"], best["ours"]
        met = their_s / our_s >= FLOORS[method] and our_gb <= MEMORY * their_gb
        figure = {"method": method, "mergekit_s": their_s, "ours_s": our_s, "times_faster": their_s / our_s}
        figure |= {"mergekit_gb": their_gb, "ours_gb": our_gb}
        if method == "linear":
            figure |= {"copying_both_s": copied, "copying_one_s": one, "copying_both_to_disk_s": to_disk}
            met &= our_s <= COPYING * copied
        yield figure | {"met": met}


def _copying(models: list[Path], into: Path, *, to_disk: bool = False) -> float:
    """Seconds; to the page cache alone, or, as a merge's result is, to the disk."""
    into.mkdir()
    script = shlex.join(["cp", "-r", *map(str, models), str(into)])
    if to_disk:
        script += f" && sync {shlex.quote(str(into))}/*/model.safetensors"
    seconds = _timed(["sh", "-c", script])[0]
    shutil.rmtree(into)
    return seconds


def large(folder: Path) -> Iterator[dict[str, Any]]:
    """Three models of 8 GB: the peak of memory."""
    models = _models(folder, BIG)
    for method in ("linear", "ties"):
        recipe = folder / f"{method}.yaml"
        recipe.write_text(yaml.safe_dump(recipe_of(method, models)))
        seconds, memory = _timed([*_ours(), str(recipe), "--out", str(folder / "out")])
        size = sum(path.stat().st_size for path in (folder / "out").iterdir()) / 1e9
        shutil.rmtree(folder / "out")
        yield {"method": method, "output_gb": size, "seconds": seconds, "peak_gb": memory, "met": memory < LARGE_GB}


def recipe_of(method: str, models: list[Path]) -> dict[str, Any]:
    """mergekit's YAML of two models, with a base where the method has one."""
    base, first, second = map(str, models)
    if method == "slerp":
        return {
            "merge_method": "slerp", "base_model": first, "models": [{"model": first}, {"model": second}],
            "parameters": {"t": 0.4}, "dtype": "bfloat16",
        }  # fmt: skip
    thin = {} if method == "linear" else {"density": 0.5}
    entries = [
        {"model": model, "parameters": {"weight": weight, **thin}} for model, weight in ((first, 0.6), (second, 0.4))
    ]
    named = {} if method == "linear" else {"base_model": base}
    return {"merge_method": method, **named, "models": entries, "dtype": "bfloat16"}


def _models(folder: Path, size: dict[str, int]) -> list[Path]:
    """A base and two models, made by another process: a child's peak of memory is never told below its parent's."""
    paths = [folder / name for name in ("base", "first", "second")]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
        return list(other.map(make_model, paths, [size] * len(paths)))


def make_model(folder: Path, size: dict[str, int]) -> Path:
    """A Llama of random weights, written tensor by tensor."""
    folder.mkdir(parents=True)
    hidden, inner, vocabulary = size["hidden"], size["inner"], size["vocabulary"]
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, hidden)}
    for layer in range(size["layers"]):
        stem = f"model.layers.{layer}."
        shapes |= {f"{stem}self_attn.{name}_proj.weight": (hidden, hidden) for name in "qkvo"}
        shapes |= {f"{stem}mlp.{name}_proj.weight": (inner, hidden) for name in ("gate", "up")}
        shapes |= {f"{stem}mlp.down_proj.weight": (hidden, inner)}
        shapes |= {f"{stem}{name}_layernorm.weight": (hidden,) for name in ("input", "post_attention")}
    shapes |= {"model.norm.weight": (hidden,), "lm_head.weight": (vocabulary, hidden)}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in shapes.items():
        nbytes = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + nbytes]}
        at += nbytes
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for number, shape in enumerate(shapes.values()):
            weights = np.random.default_rng([1, number]).standard_normal(int(np.prod(shape)), dtype=np.float32)
            weights *= np.float32(0.02)
            if folder.name != "base":
                change = np.random.default_rng([*folder.name.encode(), number])
                weights += np.float32(0.002) * change.standard_normal(weights.size, dtype=np.float32)
            file.write((weights.view(np.uint32) >> 16).astype(np.uint16).tobytes())
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden, "intermediate_size": inner,
        "num_hidden_layers": size["layers"], "num_attention_heads": hidden // 64, "vocab_size": vocabulary,
        "num_key_value_heads": hidden // 64, "torch_dtype": "bfloat16", "tie_word_embeddings": False,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def _ours() -> list[str]:
    return [str(Path(sys.executable).parent / "rl-reason"), "merge"]


def _timed(command: list[str]) -> tuple[float, float]:
    """Seconds, and the peak of resident memory in GB."""
    begun = time.perf_counter()
    pid = os.posix_spawn(
        "/usr/bin/env",
        ["env", *command],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, used = os.wait4(pid, 0)
    if status:
        raise SystemExit(subprocess.run(command, capture_output=True, text=True, check=False).stderr)
    assert isinstance(used, resource.struct_rusage)
    return time.perf_counter() - begun, used.ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
