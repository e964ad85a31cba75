"""Judged responses from JSONL files: labelled ones, and pairs of a better and a worse one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rl_reason.data.disjoint import normalised
from rl_reason.data.jsonl import json_lines
from rl_reason.data.prompts import Problem, content_id, lookup
from rl_reason.types import Prompt


@dataclass(frozen=True, slots=True)
class Labelled:
    """A response that is known to be right or wrong."""

    prompt: Prompt
    response: str
    right: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """Two responses to a prompt, of which one is better."""

    prompt: Prompt
    chosen: str
    rejected: str


Judged = TypeVar("Judged", Labelled, Pair)


def read_labelled(path: Path) -> tuple[list[Labelled], list[Problem]]:
    """{prompt, answer?, response, label} a line; a label is true or false, or 1 or 0.

    Raises:
        DataError: there is no such file.
    """
    return _read(path, _labelled)


def read_pairs(path: Path) -> tuple[list[Pair], list[Problem]]:
    """{prompt, answer?, chosen, rejected} a line.

    Raises:
        DataError: there is no such file.
    """
    return _read(path, _pair)


def pairs_of(labelled: Sequence[Labelled]) -> list[Pair]:
    """Of each prompt its first right response with its first wrong one, its second with its second, and so on."""
    by_prompt: dict[str, tuple[list[Labelled], list[Labelled]]] = {}
    for each in labelled:
        by_prompt.setdefault(each.prompt.id, ([], []))[not each.right].append(each)
    return [
        Pair(better.prompt, better.response, worse.response)
        for right, wrong in by_prompt.values()
        for better, worse in zip(right, wrong, strict=False)
    ]


def held_out(items: Sequence[Judged], *, fraction: float, seed: int) -> tuple[list[Judged], list[Judged]]:
    """(to train on, held out): about `fraction` of the problems, whole ones, by seed and problem text alone."""
    kept: list[Judged] = []
    out: list[Judged] = []
    for item in items:
        text = f"{seed}/{normalised(item.prompt.text)}"
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        (out if int.from_bytes(digest, "big") < fraction * 2**64 else kept).append(item)
    return kept, out


def _read(path: Path, make: Callable[[str, Mapping[str, Any]], Judged | Problem]) -> tuple[list[Judged], list[Problem]]:
    made: Iterable[Judged | Problem] = (
        record if isinstance(record, Problem) else make(source, record) for source, record in json_lines(path)
    )
    good: list[Judged] = []
    problems: list[Problem] = []
    for each in made:
        if isinstance(each, Problem):
            problems.append(each)
        else:
            good.append(each)
    return good, problems


def _labelled(source: str, record: Mapping[str, Any]) -> Labelled | Problem:
    prompt = _prompt(source, record)
    if isinstance(prompt, Problem):
        return prompt
    response = _text(source, record, "response")
    if isinstance(response, Problem):
        return response
    label = lookup(record, "label")
    if label is None:
        return Problem(source, "label", f"is missing; the record has {sorted(record)}", "missing label")
    if label not in (0, 1):  # True and False are equal to these
        return Problem(source, "label", f"is {label!r:.40}, must be true or false, or 1 or 0", "wrong type")
    return Labelled(prompt, response, bool(label))


def _pair(source: str, record: Mapping[str, Any]) -> Pair | Problem:
    prompt = _prompt(source, record)
    if isinstance(prompt, Problem):
        return prompt
    chosen, rejected = (_text(source, record, name) for name in ("chosen", "rejected"))
    if isinstance(chosen, Problem):
        return chosen
    if isinstance(rejected, Problem):
        return rejected
    if chosen == rejected:
        return Problem(source, "rejected", "is the same as chosen: there is no better one", "equal pair")
    return Pair(prompt, chosen, rejected)


def _prompt(source: str, record: Mapping[str, Any]) -> Prompt | Problem:
    text = _text(source, record, "prompt")
    if isinstance(text, Problem):
        return text
    if not text:
        return Problem(source, "prompt", "is empty", "missing prompt")
    answer = lookup(record, "answer")
    answer = "" if answer is None else answer
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        return Problem(source, "answer", f"is a {type(answer).__name__}, must be a string or number", "wrong type")
    return Prompt(content_id(text, str(answer)), text, str(answer), source=source)


def _text(source: str, record: Mapping[str, Any], name: str) -> str | Problem:
    value = lookup(record, name)
    if value is None:
        return Problem(source, name, f"is missing; the record has {sorted(record)}", f"missing {name}")
    if not isinstance(value, str):
        return Problem(source, name, f"is a {type(value).__name__}, must be a string", "wrong type")
    return value
