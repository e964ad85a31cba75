"""Evolution end to end: a search whose answer is known, through engines, verifiers and the whole stage; with its time.

    python benchmarks/evolution.py [--trials 100] [--engine vllm] [--space parameters]

A small model is taught sums by an sft stage; the other model is random. SLERP between them has its best t at 0 (all of
the taught model), and the best path through both models' layers is the taught model's own. Prints a table: candidates,
seconds, accuracy of the taught model, of the first generation on average, and of the winner on the test problems.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import yaml

from rl_reason.config.load import load_recipe
from rl_reason.learner.scratch_model import build_scratch_model
from rl_reason.pipeline import run

WORDS = ["State the final answer to the following arithmetic problem:", "\\boxed{"]
SIZES = {
    "architecture": "qwen2", "hidden_size": 128, "layers": 4, "heads": 4, "kv_heads": 2, "intermediate_size": 384,
    "max_position_embeddings": 256, "tied_embeddings": True,
}  # fmt: skip
TASK = {"min_terms": 3, "max_terms": 4, "min_digits": 1, "max_digits": 1}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--engine", choices=["vllm", "transformers"], default="vllm")
    parser.add_argument("--space", choices=["parameters", "data_flow"], default="parameters")
    parser.add_argument("--steps", type=int, default=400, help="of sft")
    parser.add_argument("--problems", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        other, recipe, out = Path(scratch, "other"), Path(scratch, "recipe.yaml"), Path(scratch, "out")
        build_scratch_model(other, seed=9, words=WORDS, **SIZES)  # pyright: ignore[reportArgumentType]
        recipe.write_text(yaml.safe_dump(document(given, other)), encoding="utf-8")
        run(load_recipe(recipe), out)
        results = {path.parent.name: json.loads(path.read_text()) for path in out.glob("stages/*/result.json")}
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        search = [line for line in lines if line["stage"] == "03-evolve"]
        found, seconds = results["03-evolve"]["evolution"], results["03-evolve"]["seconds"]
        print(f"evaluations        {found['evaluations']}, {found['failed']} failed")
        generations = sum(line["time/iteration_s"] for line in search)
        print(f"whole stage        {seconds:.1f} s, {generations:.1f} s in generations")
        print(f"taught model       {results['02-eval']['greedy']['accuracy']['value']:.1%} on the test problems")
        print(f"first generation   {search[0]['evolution/accuracy_mean']:.1%} on average, on the search problems")
        print(f"winner             {found['test']['accuracy']:.1%} on the test problems")
        if given.space == "parameters":
            print(f"                   {results['04-eval']['greedy']['accuracy']['value']:.1%} as a model folder")
        print(found["winner"])


def document(given: argparse.Namespace, other: Path) -> dict[str, object]:
    """The recipe."""
    source = {"kind": "reasoning_gym", "task": "chain_sum", "options": TASK}
    limits = {"max_new_tokens": 64}
    space: dict[str, object] = {"kind": given.space, "models": [str(other)]}
    if given.space == "parameters":
        space |= {"method": "slerp", "groups": 2, "trials": given.trials}
    else:
        space |= {"repeats": 1, "population": 20, "generations": max(1, given.trials // 20)}
    evaluation = {"kind": "eval", "responses_per_prompt": 1, "sampling": limits}
    traces = {"kind": "generated", "task": "chain_sum", "count": 20000, "seed": 3, "options": TASK}
    return {
        "name": "evolution",
        "model": {"scratch": {**SIZES, "words": WORDS}},
        "data": {
            "train": [{**source, "size": 2 * given.problems, "seed": 1}],
            "heldout": [{**source, "size": 256, "seed": 2}],
            "max_prompt_tokens": 64,
        },
        "engine": {
            "kind": given.engine, "count": 2, "max_concurrent": 128, "max_context_tokens": 128, "dtype": "float32",
            "kv_cache_gib": 0.25,
        },
        "learner": {"ranks": 2, "dtype": "float32", "zero_stage": 0, "micro_batch_tokens": 8192},
        "rewards": {"verifiers": [{"name": "boxed_math"}], "workers": 1},
        "stages": [
            {
                "kind": "sft", "traces": [traces], "steps": given.steps, "batch_sequences": 32,
                "optimizer": {"learning_rate": 2e-3, "betas": [0.9, 0.99], "warmup_fraction": 0.02},
            },
            evaluation,
            {"kind": "evolve", "validation": given.problems, "sampling": limits, "space": space},
            *([evaluation] if given.space == "parameters" else []),
        ],
    }  # fmt: skip


if __name__ == "__main__":
    main()
