"""Prompts from reasoning-gym's procedurally generated tasks, with what its own verifiers need to score them."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from typing import Any

from rl_reason.data.prompts import LoadedPrompts, Problem, content_id
from rl_reason.errors import DataError
from rl_reason.types import Prompt

SEED_STRIDE = 1_000_003
ROUNDS = 8


def read_reasoning_gym(task: str, *, size: int, seed: int, options: Mapping[str, Any] | None = None) -> LoadedPrompts:
    """`size` different problems of a task, the same ones for the same arguments.

    reasoning-gym seeds entry i with seed + i, so its seeds 1 and 2 give the same problems but for one. Ours are
    multiplied by a large prime first: different seeds give streams that do not touch. (Small problem spaces still
    collide by chance: see `disjoint.drop_overlap`.) A problem that came before is left out, and the stream goes on
    until there are `size`; when the task has run dry, that is reported as a problem.

    `Prompt.metadata` is {"task", "options", "entry"}: what the `reasoning_gym` verifier makes the scorer from.

    Args:
        task: a name that `reasoning_gym.create_dataset` knows.
        options: the task's own options, such as `min_terms`.

    Raises:
        DataError: unknown task or options that it refuses.
    """
    chosen = dict(options or {})
    loaded = LoadedPrompts()
    seen: set[str] = set()
    for index, entry in _stream(task, size, seed, chosen):
        source = f"{task}#{index}"
        made = _prompt(task, chosen, entry, source)
        if isinstance(made, Problem):
            loaded.problems.append(made)
        elif made.id not in seen:
            seen.add(made.id)
            loaded.prompts.append(made)
        if len(loaded.prompts) + len(loaded.problems) == size:
            return loaded
    rule = (
        f"only {len(seen)} of {size} different problems found in {size * ROUNDS} tries; ask for fewer or widen options"
    )
    loaded.problems.append(Problem(f"{task} (seed {seed})", "size", rule, "too few problems"))
    return loaded


def _stream(task: str, size: int, seed: int, options: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Up to ROUNDS x size entries; each round goes on where the one before ended."""
    # Imported here: reasoning-gym loads some hundred task modules.
    import reasoning_gym

    for turn in range(ROUNDS):
        start = turn * size
        try:
            data = reasoning_gym.create_dataset(task, size=size, seed=(seed * SEED_STRIDE) % 2**31 + start, **options)
        except (ValueError, TypeError, AssertionError) as error:
            raise DataError(
                f"reasoning-gym refuses task {task!r} with options {options}: {error}; "
                "see `python -c 'import reasoning_gym; print(sorted(reasoning_gym.factory.DATASETS))'` for the tasks"
            ) from error
        for offset, entry in enumerate(data):
            yield start + offset, entry


def _prompt(task: str, options: dict[str, Any], entry: dict[str, Any], source: str) -> Prompt | Problem:
    question, answer = entry["question"], entry["answer"]
    if not isinstance(question, str) or not question:
        return Problem(source, "question", f"is {question!r}, must be a non-empty string", "missing prompt")
    try:
        pickle.dumps(entry)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        return Problem(source, "entry", f"cannot travel to a verifier process ({error})", "wrong type")
    # Some tasks have no single answer: their scorer judges from the entry, and the reference stays empty.
    answer = "" if answer is None else str(answer)
    return Prompt(
        id=f"{task}-{content_id(question, answer)}",
        text=question,
        answer=answer,
        metadata={"task": task, "options": options, "entry": entry},
        source=source,
    )
