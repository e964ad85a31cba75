"""Prompts, and demonstration traces, from JSONL files: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rl_reason.data.prompts import Fields, LoadedPrompts, Problem, prompts_from_records
from rl_reason.errors import DataError


def read_jsonl(
    path: Path,
    *,
    prompt_field: str = "prompt",
    answer_field: str = "answer",
    id_field: str = "id",
    limit: int | None = None,
) -> LoadedPrompts:
    """Read the file; broken lines, missing fields and duplicate ids come back as problems named by line.

    Raises:
        DataError: there is no such file.
    """
    fields = Fields(prompt_field, answer_field, id_field)
    return prompts_from_records(json_lines(path), fields, limit=limit)


def json_lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any] | Problem]]:
    """(`file:line`, object or what is wrong with the line); empty lines are passed over.

    Raises:
        DataError: there is no such file.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; give the path of a JSONL file, from the current folder {Path.cwd()}")
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            source = f"{path}:{number}"
            if not raw.strip():
                continue
            try:
                record = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
            except UnicodeDecodeError as error:
                rule = f"is not UTF-8 (byte {error.start} of the line); save the file as UTF-8"
                yield source, Problem(source, "line", rule, "broken line")
                continue
            except json.JSONDecodeError as error:
                rule = f"is not JSON ({error.msg}, character {error.pos + 1} of the line)"
                yield source, Problem(source, "line", rule, "broken line")
                continue
            except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists
                yield source, Problem(source, "line", f"cannot be read ({error})", "broken line")
                continue
            if not isinstance(record, dict):
                rule = f"is a JSON {type(record).__name__}, must be an object"
                yield source, Problem(source, "line", rule, "broken line")
                continue
            yield source, record
