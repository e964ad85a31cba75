"""What both sides of `vs_trl.py` share: settings, clock and result. Standard library only."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESULT_MARK = "RESULT "
"""Begins the one line of standard output that carries a side's result; the libraries print what they like beside it."""


@dataclass(frozen=True)
class Settings:
    """One side's work. Both sides get the same object, as JSON, as their only argument."""

    model: str
    """Hugging Face folder: float32 weights and a tokenizer with a chat template."""
    prompts: str
    """JSONL with `text` (the user's turn, before the chat template) and `answer`; taken in order, round and round."""
    prompts_per_iteration: int = 16
    responses_per_prompt: int = 8
    max_new_tokens: int = 256
    fixed_length: bool = False
    """The end token is suppressed, so every response has `max_new_tokens` tokens."""
    temperature: float = 1.0
    iterations: int = 4
    """Timed iterations."""
    warmup_iterations: int = 1
    """Iterations before the clock starts."""
    gradient_steps: int = 1
    """Optimizer steps in one pass over an iteration's responses, which are split into as many mini-batches."""
    epochs: int = 1
    """Passes over an iteration's responses."""
    learning_rate: float = 1e-4
    threads: int = 2
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    """Extra settings of this side's own, to try whether it can be made faster."""

    def __post_init__(self) -> None:
        """Refuse what the two sides could not do in the same way."""
        if self.responses % self.gradient_steps:
            raise ValueError(
                f"{self.responses} responses do not divide into {self.gradient_steps} mini-batches; "
                "change --prompts-per-iteration, --responses-per-prompt or --gradient-steps"
            )

    @property
    def responses(self) -> int:
        """Responses an iteration."""
        return self.prompts_per_iteration * self.responses_per_prompt

    @property
    def optimizer_steps(self) -> int:
        """Optimizer steps an iteration."""
        return self.gradient_steps * self.epochs

    @property
    def all_iterations(self) -> int:
        """Warm-up and timed iterations together."""
        return self.warmup_iterations + self.iterations

    def read_prompts(self) -> list[dict[str, str]]:
        """The prompt file's lines, which must be whole iterations' worth."""
        rows = [json.loads(line) for line in Path(self.prompts).read_text(encoding="utf-8").splitlines()]
        if not rows or len(rows) % self.prompts_per_iteration:
            raise ValueError(
                f"{self.prompts} has {len(rows)} prompts; give a multiple of --prompts-per-iteration "
                f"({self.prompts_per_iteration}), so that both sides take the same ones"
            )
        return rows

    def to_json(self) -> str:
        """The command-line argument."""
        return json.dumps(asdict(self))


@dataclass
class Clock:
    """What a side measured, one entry an iteration, the warm-up's included."""

    settings: Settings
    tokens: list[list[int]] = field(default_factory=list)
    """Lengths of an iteration's responses, in tokens, the end token included."""
    rollout_s: list[float] = field(default_factory=list)
    """Seconds from the iteration's beginning until its last response was there."""
    iteration_s: list[float] = field(default_factory=list)
    _begin: float = field(default_factory=time.perf_counter)

    def start(self) -> None:
        """The first iteration begins now; each later one begins where the one before it ended."""
        self._begin = time.perf_counter()

    def rolled_out(self, lengths: list[int], seconds: float | None = None) -> None:
        """The iteration's responses are all there, with these lengths; after `seconds`, or now when that is None."""
        self.rollout_s.append(time.perf_counter() - self._begin if seconds is None else seconds)
        self.tokens.append(lengths)

    def finished(self) -> None:
        """The iteration's last optimizer step is done, and with it the iteration."""
        now = time.perf_counter()
        self.iteration_s.append(now - self._begin)
        self._begin = now

    def result(self, *, optimizer_steps: int, prompt_tokens_mean: float, versions: dict[str, str]) -> dict[str, Any]:
        """The timed iterations in figures; the warm-up is left out.

        Args:
            optimizer_steps: really taken, the warm-up's included.
            prompt_tokens_mean: of the rendered prompts of the whole file.
            versions: of the libraries that did the work.

        Raises:
            ValueError: an iteration is missing, or has another number of responses than was asked for.
        """
        wanted = self.settings.all_iterations
        if len(self.iteration_s) != wanted or len(self.tokens) != wanted:
            raise ValueError(
                f"{len(self.iteration_s)} iterations ran, {len(self.tokens)} rolled out; {wanted} were asked for"
            )
        for lengths in self.tokens:
            if len(lengths) != self.settings.responses:
                raise ValueError(f"an iteration has {len(lengths)} responses; {self.settings.responses} were asked for")
        timed = slice(self.settings.warmup_iterations, None)
        lengths = [length for iteration in self.tokens[timed] for length in iteration]
        seconds, rollout = sum(self.iteration_s[timed]), sum(self.rollout_s[timed])
        return {
            "iterations": self.settings.iterations,
            "iteration_s": seconds / self.settings.iterations,
            "rollout_s": rollout / self.settings.iterations,
            "train_s": (seconds - rollout) / self.settings.iterations,
            "completion_tokens": sum(lengths),
            "tokens_per_s": sum(lengths) / seconds,
            "rollout_tokens_per_s": sum(lengths) / rollout,
            "completion_tokens_mean": sum(lengths) / len(lengths),
            "full_length_fraction": sum(n >= self.settings.max_new_tokens for n in lengths) / len(lengths),
            "prompt_tokens_mean": prompt_tokens_mean,
            "optimizer_steps": optimizer_steps,
            "each_iteration_s": [round(value, 4) for value in self.iteration_s],
            "versions": versions,
        }


def read_settings() -> Settings:
    """The settings from this process's command line: one JSON object."""
    parser = argparse.ArgumentParser(description="one side of vs_trl.py; give its settings as one JSON object")
    parser.add_argument(
        "settings", help='e.g. \'{"model": "DIR", "prompts": "FILE.jsonl"}\'; fields: benchmarks/side.py'
    )
    return Settings(**json.loads(parser.parse_args().settings))


def print_result(result: dict[str, Any]) -> None:
    """Hand the result to whoever started this process."""
    print(RESULT_MARK + json.dumps(result), flush=True)
