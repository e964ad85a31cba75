"""Compares rl-reason with TRL end to end: same model, prompts, group size, lengths and optimizer steps, in turns.

Exit code 0: the ratio of the medians is at least the floor. 1: it is below. 2: a side failed, or the sides did not do
the same work.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from side import RESULT_MARK, Settings

HERE = Path(__file__).resolve().parent
SIDES = ("trl", "ours")
TRL_VERSION = "1.16.0"
LENGTH_TOLERANCE = 0.15
"""Largest relative difference of the two sides' mean response lengths that still counts as the same work."""

MODEL_SEED = 15
"""A random model ends its responses at random. This seed's have about 120 tokens of 256 on average, a fifth of them cut
off at the limit, as issue 2's figures imply (6 to 8 s at 2,700 to 1,900 tokens a second: 15,600 tokens in 128
responses). Of the seeds 0 to 23, means range from 100 to 218; `--fixed-length` takes the chance away."""


class NotComparable(Exception):
    """A side failed, or the sides did different work: there is no ratio."""


def main() -> None:
    """Run the comparison that the command line asks for."""
    args = parse()
    try:
        with tempfile.TemporaryDirectory(prefix="vs-trl-") as folder:
            report = compare(args, Path(folder))
    except NotComparable as error:
        sys.exit(fail(str(error)))
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(table(report))
    sys.exit(0 if report["ratio"] is None or report["ratio"] >= args.floor else 1)


def fail(message: str) -> int:
    """Say why there is no ratio; returns the exit code."""
    print(f"vs_trl: {message}", file=sys.stderr)
    return 2


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", type=Path, help="Hugging Face folder; default: a random 0.8M-parameter Qwen2, made anew")
    add("--prompts", type=Path, help="JSONL with text and answer; default: 64 problems of chain_sum")
    add("--rounds", type=int, default=3, help="how often each side runs, in turns; the medians count (default 3)")
    add("--iterations", type=int, default=4, help="timed iterations a run (default 4)")
    add("--warmup", type=int, default=1, help="iterations before the clock starts (default 1)")
    add("--prompts-per-iteration", type=int, default=16)
    add("--responses-per-prompt", type=int, default=8)
    add("--max-new-tokens", type=int, default=256)
    add("--fixed-length", action="store_true", help="no end token: every response has --max-new-tokens tokens")
    add("--gradient-steps", type=int, default=1, help="optimizer steps, each on its share of the responses (default 1)")
    add("--epochs", type=int, default=1, help="passes over an iteration's responses (default 1)")
    add("--learning-rate", type=float, default=1e-4)
    add("--threads", type=int, default=2)
    add("--seed", type=int, default=0, help="of prompts and sampling (default 0)")
    add("--model-seed", type=int, default=MODEL_SEED, help=f"of the random weights (default {MODEL_SEED})")
    add("--floor", type=float, default=3.0, help="least ratio of tokens per second, ours to TRL's (default 3.0)")
    add("--only", choices=SIDES, help="measure one side alone; no ratio")
    add("--trl-options", type=json.loads, default={}, help="JSON: GRPOConfig arguments that override ours for TRL")
    add("--our-options", type=json.loads, default={}, help="JSON: what our_side.py takes in addition")
    add("--timeout-s", type=float, default=1800.0, help="longest run of one side (default 1800)")
    add("--json", help="write the whole report to this file")
    return parser.parse_args()


def compare(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the sides in turns and put the medians beside each other.

    Raises:
        NotComparable: a side failed, or the sides did different work.
    """
    settings = Settings(
        model=str((args.model or default_model(folder / "model", args.model_seed)).resolve()),
        prompts=str((args.prompts or make_prompts(folder / "prompts.jsonl", args.seed)).resolve()),
        prompts_per_iteration=args.prompts_per_iteration,
        responses_per_prompt=args.responses_per_prompt,
        max_new_tokens=args.max_new_tokens,
        fixed_length=args.fixed_length,
        iterations=args.iterations,
        warmup_iterations=args.warmup,
        gradient_steps=args.gradient_steps,
        epochs=args.epochs,
        learning_rate=args.learning_rate,
        threads=args.threads,
        seed=args.seed,
    )
    options = {"trl": args.trl_options, "ours": args.our_options}
    sides = (args.only,) if args.only else SIDES
    pythons = {side: python_of(side) for side in sides}
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for turn in range(args.rounds):
        for side in sides:
            # Another seed each round: other responses, the same for both sides' settings.
            given = replace(settings, options=options[side], seed=args.seed + turn)
            result = run_side(side, pythons[side], given, timeout_s=args.timeout_s)
            print(f"round {turn + 1} {side:4} {line(result)}", file=sys.stderr, flush=True)
            runs[side].append(result)
    check_same_work(runs, settings)
    medians = {side: median_of(results) for side, results in runs.items()}
    ratio = None if args.only else medians["ours"]["tokens_per_s"] / medians["trl"]["tokens_per_s"]
    return {
        "settings": json.loads(settings.to_json()),
        "floor": args.floor,
        "ratio": ratio,
        "medians": medians,
        "runs": runs,
    }


def default_model(folder: Path, seed: int) -> Path:
    """Random weights; imported here, because only our environment has rl_reason."""
    from random_model import random_model

    return random_model(folder, context_tokens=512, tied_embeddings=False, seed=seed)


def make_prompts(path: Path, seed: int, count: int = 64) -> Path:
    """`count` problems of reasoning-gym's chain_sum, as JSONL."""
    from rl_reason.data.gym import read_reasoning_gym

    options = {"min_terms": 3, "max_terms": 6, "min_digits": 1, "max_digits": 1}
    loaded = read_reasoning_gym("chain_sum", size=count, seed=seed, options=options)
    rows = [json.dumps({"text": prompt.text, "answer": prompt.answer}) for prompt in loaded.prompts]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def python_of(side: str) -> Path:
    """The interpreter of a side: TRL has an environment of its own, made when it is missing."""
    if side == "ours":
        return Path(sys.executable)
    import trl_env

    return trl_env.prepare()


def run_side(side: str, python: Path, settings: Settings, *, timeout_s: float) -> dict[str, Any]:
    """One run of one side in a process of its own.

    Raises:
        NotComparable: it failed, took too long or printed no result; with the end of what it said.
    """
    load = os.getloadavg()[0]
    command = [str(python), str(HERE / ("trl_side.py" if side == "trl" else "our_side.py")), settings.to_json()]
    # Both sides alike: no network, and OpenMP threads that sleep when they wait, for the cores may be shared.
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(settings.threads),
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout_s, cwd=HERE.parent
        )
    except subprocess.TimeoutExpired as error:
        raise NotComparable(f"side {side!r} was not done after {timeout_s:.0f} s; raise --timeout-s") from error
    results = [text for text in done.stdout.splitlines() if text.startswith(RESULT_MARK)]
    if done.returncode or len(results) != 1:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
        raise NotComparable(f"side {side!r} ended with code {done.returncode} and {len(results)} results:\n{tail}")
    return json.loads(results[0].removeprefix(RESULT_MARK)) | {"load_before": load}


def check_same_work(runs: dict[str, list[dict[str, Any]]], settings: Settings) -> None:
    """Refuse a comparison of different work.

    Raises:
        NotComparable: wrong TRL, or other optimizer steps, prompts or response lengths on one side.
    """
    steps = settings.all_iterations * settings.optimizer_steps
    for side, results in runs.items():
        for result in results:
            if result["optimizer_steps"] != steps:
                raise NotComparable(
                    f"side {side!r} took {result['optimizer_steps']} optimizer steps instead of {steps}"
                )
            if side == "trl" and result["versions"]["trl"] != TRL_VERSION:
                raise NotComparable(f"TRL is {result['versions']['trl']}, not {TRL_VERSION}; mend benchmarks/trl.lock")
    if len(runs) < len(SIDES):
        return
    prompts = {side: results[0]["prompt_tokens_mean"] for side, results in runs.items()}
    if prompts["trl"] != prompts["ours"]:
        raise NotComparable(f"the sides' prompts differ: mean tokens {prompts}; both must use the chat template")
    means = {side: statistics.fmean(r["completion_tokens_mean"] for r in results) for side, results in runs.items()}
    if abs(means["ours"] / means["trl"] - 1) > LENGTH_TOLERANCE:
        raise NotComparable(
            f"the sides' response lengths differ: mean tokens {means}; use --fixed-length, or more rounds"
        )


def median_of(results: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Median of each figure over the runs of one side."""
    names = [name for name, value in results[0].items() if isinstance(value, int | float)]
    return {name: statistics.median(result[name] for result in results) for name in names}


def line(result: dict[str, Any]) -> str:
    """One run in words."""
    return (
        f"{result['tokens_per_s']:8.0f} tok/s  {result['iteration_s']:6.2f} s an iteration "
        f"(rollout {result['rollout_s']:.2f}, rest {result['train_s']:.2f})  "
        f"{result['completion_tokens_mean']:.1f} tokens a response, {result['full_length_fraction']:.0%} full length, "
        f"load before {result['load_before']:.1f}"
    )


def table(report: dict[str, Any]) -> str:
    """The medians, and the ratio with its floor."""
    lines = [f"{side:4} {line(result)}" for side, result in report["medians"].items()]
    if report["ratio"] is not None:
        verdict = "reached" if report["ratio"] >= report["floor"] else "MISSED"
        lines.append(
            f"ours / TRL: {report['ratio']:.2f} times the tokens per second; floor {report['floor']}: {verdict}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
