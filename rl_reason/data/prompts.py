"""Prompt records made from raw ones: field rules, problems named by file and line, refuse or skip."""

from __future__ import annotations

import hashlib
import json
import logging
import math
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


def refuse_or_skip(loaded: LoadedPrompts, on_bad: str, *, name: str) -> list[Prompt]:
    """The good prompts; what happens to the bad ones is the recipe's choice.

    Args:
        on_bad: `refuse` raises if anything at all is wrong; `skip` logs what is wrong and goes on. Either way the
            first 20 are listed and all are counted.
        name: what was read, for messages.

    Raises:
        DataError: `refuse` and there are problems; nothing good is left; `on_bad` is neither word.
    """
    if on_bad not in ("refuse", "skip"):
        raise DataError(f"on_bad is {on_bad!r}; give 'refuse' or 'skip'")
    if loaded.problems and on_bad == "refuse":
        raise DataError(
            f"{name}: {describe_problems(loaded.problems)}\n"
            "mend the source, or set data.on_bad_line: skip to leave these out"
        )
    if not loaded.prompts:
        raise DataError(f"{name}: no usable record is left; " + describe_problems(loaded.problems))
    if loaded.problems:
        log.warning("%s: %d kept, left out: %s", name, len(loaded.prompts), describe_problems(loaded.problems))
    return loaded.prompts


def describe_problems(problems: Sequence[Problem]) -> str:
    """The count by kind, then one line a problem, at most 20 of them."""
    lines = [f"{len(problems)} problem{'' if len(problems) == 1 else 's'}: {count_by_kind(problems)}"]
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
    if _is_blank(text):
        return Problem(source, fields.prompt, _missing(record, fields.prompt), "missing prompt")
    if not isinstance(text, str):
        return Problem(source, fields.prompt, f"is a {type(text).__name__}, must be a string", "wrong type")
    answer = lookup(record, fields.answer)
    if _is_blank(answer):
        return Problem(source, fields.answer, _missing(record, fields.answer), "missing answer")
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        return Problem(source, fields.answer, f"is a {type(answer).__name__}, must be a string or number", "wrong type")
    identity = lookup(record, fields.id)
    if identity is None:
        identity = content_id(text, str(answer))
    elif isinstance(identity, bool) or not isinstance(identity, str | int) or identity == "":
        return Problem(source, fields.id, f"is {identity!r}, must be a non-empty string or an integer", "wrong type")
    used = {name.partition(".")[0] for name in (fields.prompt, fields.answer, fields.id)}
    for name, value in ((fields.prompt, text), (fields.answer, str(answer)), (fields.id, str(identity))):
        if not is_unicode(value):
            return Problem(source, name, "has half a character (a lone surrogate), which is no text", "wrong type")
    metadata = {name: value for name, value in record.items() if name not in used}
    return Prompt(id=str(identity), text=text, answer=str(answer), metadata=metadata, source=source)


def is_unicode(text: str) -> bool:
    """Whether the text can be written down: JSON's escapes can spell halves of surrogate pairs."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _is_blank(value: Any) -> bool:
    """Nothing, white space, or the NaN that tables have in empty cells."""
    if isinstance(value, float):
        return not math.isfinite(value)
    return value is None or (isinstance(value, str) and not value.strip())


def _missing(record: Mapping[str, Any], name: str) -> str:
    value = lookup(record, name)
    if value is None and name not in record:
        return f"is missing; the record has {sorted(map(str, record))}"
    return f"is empty ({json.dumps(value)})"


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
