"""Rollout throughput: VllmEngine against vLLM's own LLM.generate, same model, prompts and sampling, one process.

python benchmarks/rollout.py [MODEL_FOLDER] [--threads 1] [--responses 128] [--tokens 256] [--floor 0.85]
python benchmarks/rollout.py MODEL_FOLDER --gpu --responses 256 --tokens 512 --kv-cache-gib 8    # bfloat16, CUDA graphs
Rounds alternate; the best of each side counts. CPU seconds are less noisy than the clock on a shared machine.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
if "--gpu" not in sys.argv:
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"

from random_model import random_model
from vllm import LLM, SamplingParams

from rl_reason.rollout.vllm_engine import VllmEngine
from rl_reason.types import Request, Sampling

CONTEXT_TOKENS = 1024


def main() -> None:
    """Measure and print; exit code 1 below the floor."""
    arguments = parse()
    if arguments.model is None:
        arguments.model = random_model(
            Path(tempfile.mkdtemp(prefix="rollout-")), context_tokens=CONTEXT_TOKENS, tied_embeddings=True
        )
    shown = random.Random(0)
    prompts = [
        [shown.randrange(2, 90) for _ in range(shown.randrange(12, 24))] for _ in range(arguments.responses // 8)
    ]
    prompts = [prompt for prompt in prompts for _ in range(8)]
    sides = {"rl_reason": our_side(arguments, prompts), "vllm": vllm_side(arguments, prompts)}
    best = dict.fromkeys(sides, (0.0, 0.0))
    for _ in range(arguments.rounds):
        for name, run in sides.items():
            clock, cpu = time.perf_counter(), time.process_time()
            tokens = run()
            rates = tokens / (time.perf_counter() - clock), tokens / (time.process_time() - cpu)
            best[name] = max(best[name][0], rates[0]), max(best[name][1], rates[1])
    ratios = [ours / theirs for ours, theirs in zip(best["rl_reason"], best["vllm"], strict=True)]
    figures = {name: {"tokens_per_s": rates[0], "tokens_per_cpu_s": rates[1]} for name, rates in best.items()}
    print(json.dumps(figures | {"ratio": ratios[0], "ratio_cpu": ratios[1]}, indent=2))
    raise SystemExit(int(max(ratios) < arguments.floor))


def our_side(arguments: argparse.Namespace, prompts: list[list[int]]) -> Callable[[], int]:
    """Runs the engine once; returns tokens."""
    engine = VllmEngine(
        model_path=arguments.model,
        max_context_tokens=CONTEXT_TOKENS,
        max_concurrent=arguments.responses,
        kv_cache_gib=arguments.kv_cache_gib,
        dtype="bfloat16" if arguments.gpu else "float32",
        threads=None if arguments.gpu else arguments.threads,
        gpu_memory_fraction=0.4,
    )
    requests = [Request(str(index), tuple(prompt), index) for index, prompt in enumerate(prompts)]
    sampling = Sampling(max_new_tokens=arguments.tokens)
    return lambda: sum(len(c.segment.tokens) for done in engine.generate(requests, sampling) for c in done)


def vllm_side(arguments: argparse.Namespace, prompts: list[list[int]]) -> Callable[[], int]:
    """Runs LLM.generate once; returns tokens. No per-request seeds, which would slow it down."""
    llm = LLM(
        str(arguments.model),
        skip_tokenizer_init=True,
        dtype="bfloat16" if arguments.gpu else "float32",
        enforce_eager=not arguments.gpu,
        gpu_memory_utilization=0.4,
        max_num_seqs=arguments.responses,
        max_model_len=CONTEXT_TOKENS,
        kv_cache_memory_bytes=int(arguments.kv_cache_gib * 2**30),
        logprobs_mode="processed_logprobs",
        disable_log_stats=True,
    )
    params = SamplingParams(max_tokens=arguments.tokens, ignore_eos=True, logprobs=0, detokenize=False)
    inputs = [{"prompt_token_ids": prompt} for prompt in prompts]
    return lambda: sum(len(o.outputs[0].token_ids) for o in llm.generate(inputs, params, use_tqdm=False))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?", help="default: a random 0.8M-parameter Qwen2, made anew")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--responses", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kv-cache-gib", type=float, default=0.25)
    parser.add_argument("--gpu", action="store_true", help="bfloat16, compiled, engine cores in processes of their own")
    parser.add_argument("--floor", type=float, default=0.85)
    return parser.parse_args()


if __name__ == "__main__":
    main()
