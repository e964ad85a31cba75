"""Evolution end to end: searches whose answer is known, through engines, verifiers and whole stages; with their time.

    python benchmarks/evolution.py                                              # parameters, 1,000 trials
    python benchmarks/evolution.py --space data_flow --population 64 --generations 30 --problems 600
    python benchmarks/evolution.py --space both --trials 200 --population 64 --generations 12 --problems 300

An sft stage teaches a small model sums. From it, the best that any recipe can find, come the models that are merged:

- parameters: one is the taught model plus a disturbance, the other the taught model minus three times the same, in the
  lower half of the layers; in the upper half the other way round. Linear weights of 0.75 and 0.25 below, 0.25 and 0.75
  above, give the taught model back. The search starts at 0.5 everywhere.
- data_flow: the taught model with a random layer in its middle, and a random model. The best path leaves it out.
- both: the first two with the random layer, disturbed alike in all layers; parameter space first, its winner is model A
  of data-flow space.

A search set must tell candidates apart: on 100 problems several paths are as good as the best one.

Prints, of each search: evaluations, seconds, accuracy of its first generation and of its winner, and in which
generation a candidate within 2% of the taught model's accuracy was met.
Exit code 1 where the winner is not within 2% of the taught model.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from rl_reason.config.load import load_recipe
from rl_reason.learner.scratch_model import build_scratch_model
from rl_reason.pipeline import run

WORDS = ["State the final answer to the following arithmetic problem:", "\\boxed{"]
LAYERS = 4
SIZES: dict[str, Any] = {
    "architecture": "qwen2", "hidden_size": 128, "layers": LAYERS, "heads": 4, "kv_heads": 2, "intermediate_size": 384,
    "max_position_embeddings": 256, "tied_embeddings": True,
}  # fmt: skip
TASK = {"min_terms": 3, "max_terms": 4, "min_digits": 1, "max_digits": 1}
WITHIN = 0.98
Weights = dict[str, NDArray[np.float32]]


def main() -> None:
    """Teach, make the models, search, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", choices=["parameters", "data_flow", "both"], default="parameters")
    parser.add_argument("--trials", type=int, default=1000, help="in parameter space; the paper's 1000")
    parser.add_argument("--generations", type=int, default=20, help="in data-flow space; the paper has 100")
    parser.add_argument("--population", type=int, default=16, help="in data-flow space; the paper has 128")
    parser.add_argument("--objective", choices=["accuracy", "accuracy_and_tokens"], default="accuracy")
    parser.add_argument("--batch", type=int, help="problems of a generation; all if left out")
    parser.add_argument("--steps", type=int, default=400, help="of sft")
    parser.add_argument("--problems", type=int, default=100, help="to search on, and as many to validate")
    parser.add_argument("--disturbance", type=float, default=0.3, help="in standard deviations of each tensor")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        taught, best = teach(work, given)
        models = made_models(taught, work, given)
        stages = [space(given, kind, models) for kind in ("parameters", "data_flow") if given.space in (kind, "both")]
        recipe = {**common(given, "transformers" if given.space != "parameters" else "vllm"), "stages": stages}
        results, lines = finished(work / "search", {**recipe, "model": {"path": str(models[0])}})
    print(f"taught model       {best:.1%} on the test problems")
    for name, result in results.items():
        found = result["evolution"]
        of_stage = [line for line in lines if line["stage"] == name]
        seconds = sum(line["time/iteration_s"] for line in of_stage)
        print(
            f"{name:18s} {found['evaluations']} evaluations, {found['failed']} failed, {seconds:.0f} s in generations"
        )
        print(f"  first generation {of_stage[0]['evolution/accuracy_mean']:.1%} on average, on the search problems")
        near = next((n for n, line in enumerate(of_stage, 1) if line["evolution/accuracy_best"] >= WITHIN * best), None)
        print(f"  within 2%        {'never' if near is None else f'in generation {near} of {len(of_stage)}'}")
        print(f"  winner           {found['test']['accuracy']:.1%} on the test problems")
        for point in found["front"] if given.objective != "accuracy" else ():
            print(f"  trade-off        {point['accuracy']:.1%} with {point['tokens_mean']:.1f} tokens")
        print(found["winner"])
    last = list(results.values())[-1]["evolution"]["test"]["accuracy"]
    sys.exit(0 if last >= WITHIN * best else 1)


def teach(work: Path, given: argparse.Namespace) -> tuple[Path, float]:
    """The taught model, and its accuracy on the test problems."""
    traces = {"kind": "generated", "task": "chain_sum", "count": 20000, "seed": 3, "options": TASK}
    sft = {
        "kind": "sft", "traces": [traces], "steps": given.steps, "batch_sequences": 32,
        "optimizer": {"learning_rate": 2e-3, "betas": [0.9, 0.99], "warmup_fraction": 0.02},
    }  # fmt: skip
    evaluation = {"kind": "eval", "responses_per_prompt": 1, "sampling": {"max_new_tokens": 64}}
    recipe = {**common(given, "vllm"), "model": {"scratch": {**SIZES, "words": WORDS}}, "stages": [sft, evaluation]}
    results, _ = finished(work / "taught", recipe)
    return work / "taught" / "model", results["02-eval"]["greedy"]["accuracy"]["value"]


def made_models(taught: Path, work: Path, given: argparse.Namespace) -> list[Path]:
    """Model A or the base, then the others."""
    weights, rng = load_file(taught / "model.safetensors"), np.random.default_rng(given.seed)
    other = work / "random"
    build_scratch_model(other, seed=9, words=WORDS, **SIZES)
    if given.space == "data_flow":
        return [saved(taught, work / "a", with_layer(weights, other), LAYERS + 1), other]
    delta = {name: given.disturbance * one.std() * rng.standard_normal(one.shape, np.float32)
             for name, one in weights.items()}  # fmt: skip
    split = given.space == "parameters"
    mixed = [
        {name: one + (1 if (split and upper(name)) == first else -3) * delta[name] for name, one in weights.items()}
        for first in (False, True)
    ]
    layers = LAYERS
    if given.space == "both":
        mixed, layers = [with_layer(one, other) for one in mixed], LAYERS + 1
    return [saved(taught, work / f"disturbed-{number}", one, layers) for number, one in enumerate(mixed)]


def upper(name: str) -> bool:
    """Whether a tensor belongs to the second of two groups of layers."""
    parts = name.split(".")
    return int(parts[2]) >= LAYERS // 2 if parts[1] == "layers" else "embed" not in name


def with_layer(weights: Weights, other: Path) -> Weights:
    """With a layer of another model in the middle."""
    found: Weights = {}
    for name, one in weights.items():
        parts = name.split(".")
        if parts[1] == "layers" and int(parts[2]) >= LAYERS // 2:
            parts[2] = str(int(parts[2]) + 1)
        found[".".join(parts)] = one
    begin = f"model.layers.{LAYERS // 2}."
    return found | {name: one for name, one in load_file(other / "model.safetensors").items() if name.startswith(begin)}


def saved(taught: Path, folder: Path, weights: Weights, layers: int) -> Path:
    """A model folder like the taught one's."""
    shutil.copytree(taught, folder)
    save_file({name: one.astype(np.float32) for name, one in weights.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    config = json.loads((folder / "config.json").read_text())
    config |= {"num_hidden_layers": layers, "layer_types": ["full_attention"] * layers, "max_window_layers": layers}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def space(given: argparse.Namespace, kind: str, models: list[Path]) -> dict[str, Any]:
    """An evolve stage."""
    others = [str(path) for path in models[1:]]
    if kind == "parameters":
        groups = 2 if given.space == "parameters" else 1
        # `linear` knows no base: both models are named
        searched = {"kind": kind, "models": list(map(str, models)), "method": "linear", "groups": groups,
                    "trials": given.trials}  # fmt: skip
    else:
        searched = {"kind": kind, "models": others, "repeats": 1, "scaling": "none",
                    "population": given.population, "generations": given.generations}  # fmt: skip
    return {
        "kind": "evolve", "name": kind, "validation": given.problems, "sampling": {"max_new_tokens": 64},
        "space": searched, "objective": given.objective, "batch": given.batch,
    }  # fmt: skip


def common(given: argparse.Namespace, engine: str) -> dict[str, Any]:
    """What all recipes share."""
    source = {"kind": "reasoning_gym", "task": "chain_sum", "options": TASK}
    return {
        "name": "evolution", "seed": given.seed,
        "data": {
            "train": [{**source, "size": 2 * given.problems, "seed": 1}],
            "heldout": [{**source, "size": 256, "seed": 2}],
            "max_prompt_tokens": 64,
        },
        "engine": {
            "kind": engine, "count": 2, "max_concurrent": 128, "max_context_tokens": 128, "dtype": "float32",
            "kv_cache_gib": 0.25,
        },
        "learner": {"ranks": 2, "dtype": "float32", "zero_stage": 0, "micro_batch_tokens": 8192},
        "rewards": {"verifiers": [{"name": "boxed_math"}], "workers": 1},
    }  # fmt: skip


def finished(folder: Path, recipe: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Results by stage, and the lines of metrics."""
    path = folder.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    run(load_recipe(path), folder)
    results = {one.parent.name: json.loads(one.read_text()) for one in sorted(folder.glob("stages/*/result.json"))}
    return results, [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


if __name__ == "__main__":
    main()
