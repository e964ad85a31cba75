"""Prompt records made from raw ones: field rules, problems named by file and line, refuse or skip."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rl_reason.errors import DataError
from rl_reason.types import Prompt

log = logging.getLogger(__name__)

SHOWN_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a prompt source."""

    source: str
    """`file:line`, or `task#index`."""
    field: str
    """Name of the field, or `line` where the whole line is broken."""
    rule: str
    """What was found and what was wanted."""
    kind: str
    """`duplicate id`, `missing answer`, `missing prompt`, `broken line`, `wrong type` or `over-long prompt`."""

    def __str__(self) -> str:
        return f"{self.source}: {self.field}: {self.rule}"


@dataclass(frozen=True, slots=True)
class LoadedPrompts:
    """What a source gave: the good prompts, in the source's order, and everything that was wrong."""

    prompts: list[Prompt] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields of a record hold what; `a.b` reaches into nested records. All other fields become metadata."""

    prompt: str = "prompt"
    answer: str = "answer"
    id: str = "id"
    """Records without it get an id made from their prompt and answer."""


def refuse_or_skip(loaded: LoadedPrompts, on_bad: str) -> list[Prompt]:
    """The good prompts; what happens to the bad ones is the recipe's choice.

    Args:
        on_bad: `refuse` raises if anything at all is wrong; `skip` logs the counts by kind and goes on.

    Raises:
        DataError: `refuse` and there are problems (the first 20 are listed, all are counted); nothing good is left;
            `on_bad` is neither word.
    """
    if on_bad not in ("refuse", "skip"):
        raise DataError(f"on_bad is {on_bad!r}; give 'refuse' or 'skip'")
    if loaded.problems and on_bad == "refuse":
        raise DataError(
            describe_problems(loaded.problems) + "\nmend the source, or set on_bad: skip to leave these out"
        )
    if not loaded.prompts:
        raise DataError("no usable prompt is left\n" + describe_problems(loaded.problems))
    if loaded.problems:
        log.warning("%d prompts kept; left out: %s", len(loaded.prompts), count_by_kind(loaded.problems))
    return loaded.prompts


def describe_problems(problems: Sequence[Problem]) -> str:
    """The count by kind, then one line a problem, at most 20 of them."""
    lines = [f"{len(problems)} problems: {count_by_kind(problems)}"]
    lines += [f"  {problem}" for problem in problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(f"  … and {len(problems) - SHOWN_PROBLEMS} more")
    return "\n".join(lines)


def count_by_kind(problems: Sequence[Problem]) -> str:
    """Such as `3 duplicate id, 1 broken line`."""
    counts: dict[str, int] = {}
    for problem in problems:
        counts[problem.kind] = counts.get(problem.kind, 0) + 1
    return ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "none"


def prompts_from_records(
    records: Iterable[tuple[str, Mapping[str, Any] | Problem]], fields: Fields, *, limit: int | None
) -> LoadedPrompts:
    """Apply the field rules to raw records.

    Args:
        records: (source, record), or (source, problem) for what could not even be parsed.
        limit: stop after this many good prompts; None for all.
    """
    loaded = LoadedPrompts()
    first_seen: dict[str, str] = {}
    for source, record in records:
        if limit is not None and len(loaded.prompts) >= limit:
            break
        made = record if isinstance(record, Problem) else prompt_from_record(source, record, fields)
        if isinstance(made, Prompt) and made.id in first_seen:
            made = Problem(source, fields.id, f"{made.id!r} was already used at {first_seen[made.id]}", "duplicate id")
        if isinstance(made, Problem):
            loaded.problems.append(made)
        else:
            first_seen[made.id] = source
            loaded.prompts.append(made)
    return loaded


def prompt_from_record(source: str, record: Mapping[str, Any], fields: Fields) -> Prompt | Problem:
    """One record -> one prompt, or the first rule that it breaks."""
    text = lookup(record, fields.prompt)
    if text is None or text == "":
        return Problem(source, fields.prompt, f"is missing; the record has {sorted(record)}", "missing prompt")
    if not isinstance(text, str):
        return Problem(source, fields.prompt, f"is a {type(text).__name__}, must be a string", "wrong type")
    answer = lookup(record, fields.answer)
    if answer is None or answer == "":
        return Problem(source, fields.answer, f"is missing; the record has {sorted(record)}", "missing answer")
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        return Problem(source, fields.answer, f"is a {type(answer).__name__}, must be a string or number", "wrong type")
    identity = lookup(record, fields.id)
    if identity is None:
        identity = content_id(text, str(answer))
    elif isinstance(identity, bool) or not isinstance(identity, str | int) or identity == "":
        return Problem(source, fields.id, f"is {identity!r}, must be a non-empty string or an integer", "wrong type")
    used = {name.partition(".")[0] for name in (fields.prompt, fields.answer, fields.id)}
    metadata = {name: value for name, value in record.items() if name not in used}
    return Prompt(id=str(identity), text=text, answer=str(answer), metadata=metadata, source=source)


def lookup(record: Mapping[str, Any], name: str) -> Any:
    """The value at `name`, which may be a dotted path; None where any part is absent."""
    value: Any = record
    if name in record:
        return record[name]
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def content_id(*parts: str) -> str:
    """16 hex digits that depend on the content alone: the same problem has the same id in every file and run."""
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def over_long(prompts: Sequence[Prompt], limit_tokens: int) -> LoadedPrompts:
    """Split rendered prompts by length: those of more than `limit_tokens` tokens become problems."""
    loaded = LoadedPrompts()
    for prompt in prompts:
        if len(prompt.tokens) > limit_tokens:
            rule = f"has {len(prompt.tokens)} tokens after rendering, the limit is {limit_tokens}"
            loaded.problems.append(Problem(prompt.source or prompt.id, "prompt", rule, "over-long prompt"))
        else:
            loaded.prompts.append(prompt)
    return loaded
