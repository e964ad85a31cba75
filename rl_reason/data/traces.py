"""Long-CoT demonstrations for the warm-up: generated running totals for `chain_sum`, or a JSONL file of one's own."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rl_reason.data.jsonl import json_lines
from rl_reason.data.prompts import Fields, Problem, prompt_from_record
from rl_reason.errors import DataError
from rl_reason.types import Prompt

_TERM = re.compile(r"([+-])\s*(\d+)")
_CHAIN = re.compile(r"-?\d+(\s*[+-]\s*\d+)+")


@dataclass(frozen=True, slots=True)
class Trace:
    """A prompt with the response to imitate."""

    prompt: Prompt
    response: str


def chain_sum_traces(
    prompts: Sequence[Prompt], *, error_fraction: float, seed: int, per_prompt: int = 1
) -> list[Trace]:
    """`per_prompt` demonstrations of each reasoning-gym `chain_sum` prompt, all of the first pass before the second.

    A response adds one term a step: `<think>3+4=7. 7-2=5.</think>\\boxed{5}`. With `error_fraction` 0.2, one step in
    five is off by one or two and the rest goes on from the wrong total: a model that imitates such traces errs now
    and then, differently in each of a prompt's responses, which is what RL needs to have something to reinforce.
    Deterministic: a trace depends on the seed, the prompt's id and the pass alone.

    Raises:
        DataError: a prompt is not from chain_sum, or `error_fraction` is not in [0, 1].
    """
    if not 0 <= error_fraction <= 1:
        raise DataError(f"error_fraction is {error_fraction}; it is a probability a step: give 0 … 1")
    return [
        Trace(
            prompt,
            running_total_trace(
                chain_sum_expression(prompt),
                error_fraction=error_fraction,
                rng=random.Random(f"{seed}/{number}/{prompt.id}"),
            ),
        )
        for number in range(per_prompt)
        for prompt in prompts
    ]


def read_traces(
    path: Path, *, prompt_field: str = "prompt", response_field: str = "response", id_field: str = "id"
) -> tuple[list[Trace], list[Problem]]:
    """Demonstrations of one's own, and what is wrong with the file; a prompt may have several responses.

    Raises:
        DataError: there is no such file.
    """
    traces: list[Trace] = []
    problems: list[Problem] = []
    for source, record in json_lines(path):
        # The response takes the answer's place in the field rules: it must be there and be text.
        fields = Fields(prompt_field, response_field, id_field)
        made = record if isinstance(record, Problem) else prompt_from_record(source, record, fields)
        if isinstance(made, Problem):
            kind = "missing response" if made.kind == "missing answer" else made.kind
            problems.append(replace(made, kind=kind))
        else:
            traces.append(Trace(replace(made, answer=""), response=made.answer))
    return traces, problems


def running_total_trace(expression: str, *, error_fraction: float, rng: random.Random) -> str:
    """The response for one chain of additions and subtractions, such as `3 + 4 - 2`."""
    if not _CHAIN.fullmatch(expression.strip()):
        raise DataError(f"cannot write a trace for {expression!r}; it must be a chain such as '3 + 4 - 2'")
    first = re.match(r"-?\d+", expression.strip())
    assert first is not None
    total = int(first.group())
    steps: list[str] = []
    for sign, digits in _TERM.findall(expression.strip()[first.end() :]):
        result = total + int(digits) if sign == "+" else total - int(digits)
        if rng.random() < error_fraction:
            result += rng.choice((-2, -1, 1, 2))
        steps.append(f"{total}{sign}{digits}={result}.")
        total = result
    return f"<think>{' '.join(steps)}</think>\\boxed{{{total}}}"


def chain_sum_expression(prompt: Prompt) -> str:
    """The expression of a `chain_sum` prompt, from reasoning-gym's own metadata."""
    entry: Mapping[str, Any] = prompt.metadata.get("entry", {})
    expression = entry.get("metadata", {}).get("expression")
    if prompt.metadata.get("task") != "chain_sum" or not isinstance(expression, str):
        raise DataError(
            f"{prompt.source or prompt.id}: generated traces exist for reasoning-gym's chain_sum only; "
            "give a JSONL file of traces for other prompts"
        )
    return expression
