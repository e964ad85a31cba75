"""From files and `--set` words to a checked recipe, and back to YAML."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rl_reason.config.check import check, nearest
from rl_reason.config.document import (
    Document,
    Location,
    Mark,
    Problem,
    dotted,
    leaves,
    merged,
    parse_value,
    put,
    read_document,
    show,
    to_yaml,
)
from rl_reason.config.rules import looks_local
from rl_reason.config.schema.recipe import Recipe
from rl_reason.errors import ConfigError

PATHS = (
    "data.train.*.path",
    "data.heldout.*.path",
    "stages.*.traces.*.path",
    "stages.*.data.*.path",
    "stages.*.template",
    "stages.*.problems",
    "stages.*.recipe",
    "stages.*.space.models.*",
    "rewards.models.*.template",
)
"""Always paths."""
PATHS_OR_NAMES = ("model.path", "data.train.*.name", "data.heldout.*.name", "rewards.models.*.path")
"""Paths where they begin with . / or ~, else names on the hub."""
REFERENCES = ("rewards.verifiers.*.name",)
"""`file.py:Object`, or the name of something installed."""


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read, merge with `extends`, override, check. Relative paths become absolute ones.

    Paths in a file are relative to that file's folder; those in `--set` words to the current folder.

    Args:
        path: a YAML file.
        overrides: `a.b=c` words; c is YAML; a number picks a list item, and so does its `name` or `kind`.

    Raises:
        ConfigError: one line a problem, all of them: `file:line: dotted.path: value: rule; what to do`.
    """
    document = _with_base(read_document(path), path)
    if "merge_method" in document.values:
        raise ConfigError(f"{path} is the recipe of a merge, not of a run: rl-reason merge {path} --out FOLDER")
    for override in overrides:
        _override(document, override)
    _absolute(document)
    recipe, problems = check(document)
    if recipe is None:
        raise ConfigError(render(problems, document))
    return recipe


def dump_recipe(recipe: Recipe) -> str:
    """YAML with every key, in schema order; loading it gives an equal recipe."""
    return to_yaml(recipe.model_dump(mode="json"))


def recipe_hash(recipe: Recipe) -> str:
    """16 hex digits that are equal for recipes that ask for the same run; `out` does not count."""
    values = recipe.model_dump(mode="json", exclude={"out"})
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def render(problems: Sequence[Problem], document: Document) -> str:
    """One line a problem: place, dotted path, value, rule."""
    lines = []
    for problem in problems:
        where = problem.mark or document.mark_of(problem.location)
        default = " (the default)" if problem.value and problem.location not in document.marks else ""
        parts = (str(where), dotted(problem.location), problem.value + default, problem.message)
        lines.append(": ".join(part for part in parts if part))
    if len(lines) > 1:
        lines.append(f"{len(lines)} problems; nothing was started.")
    return "\n".join(lines)


def _with_base(document: Document, document_path: Path) -> Document:
    """The document laid over the one that its `extends` names."""
    if "extends" not in document.values:
        return document
    mark = document.mark_of(("extends",))
    name = document.values.pop("extends")
    if not isinstance(name, str):
        raise ConfigError(f"{mark}: extends: must be the path of one recipe.")
    target = mark.folder / Path(name).expanduser()
    if not target.is_file():
        raise ConfigError(f"{mark}: extends: {name}: no such file in {mark.folder}.")
    if target.resolve() == document_path.resolve():
        raise ConfigError(f"{mark}: extends: {name} is this recipe itself. Name another one, or remove the line.")
    base = read_document(Path(os.path.relpath(target)))
    if "extends" in base.values:
        raise ConfigError(
            f"{base.mark_of(('extends',))}: extends: {name} is a base already, and bases are one level deep: "
            f"extend {base.values['extends']} directly, or write the values out."
        )
    return merged(base, document)


def _override(document: Document, word: str) -> None:
    """Apply one `a.b=c`; blocks that are not there yet are made."""
    key, equals, text = word.partition("=")
    mark = Mark(f"--set {word}", 0, Path.cwd())
    if not equals or "" in key.split("."):
        raise ConfigError(f"{mark}: must look like a.b=c, such as --set engine.count=2.")
    inside: Any = document.values
    location: Location = ()
    for part in key.split("."):
        if inside is None:
            inside = {}
            put(document, location, inside, {location: mark})
        if isinstance(inside, list):
            index = _item(inside, part, mark, dotted(location))
            location, inside = (*location, index), inside[index]
        elif isinstance(inside, dict):
            location, inside = (*location, part), inside.get(part)
        else:
            raise ConfigError(f"{mark}: {dotted(location)} is {show(inside)}, which has no keys.")
    value, places = parse_value(text, origin=mark.origin)
    put(document, location, value, {(*location, *place): mark for place in places})


def _item(items: list[Any], part: str, mark: Mark, where: str) -> int:
    """Position in a list, by number or by the item's `name` or `kind`."""
    if re.fullmatch("[0-9]{1,9}", part):
        if int(part) < len(items):
            return int(part)
        raise ConfigError(f"{mark}: {where} has {len(items)} items; they are numbered from 0.")
    words = {}
    for field in ("name", "kind"):
        found = [index for index, item in enumerate(items) if isinstance(item, dict) and item.get(field) == part]
        if len(found) == 1:
            return found[0]
        if found:
            numbers = " and ".join(f"{where}.{index}" for index in found)
            raise ConfigError(f"{mark}: {part} could be {numbers}: give the number.")
        words |= {str(item[field]): None for item in items if isinstance(item, dict) and field in item}
    raise ConfigError(
        f"{mark}: {where} has no item {part}; it is a list: use a number from 0.{nearest(part, list(words))}"
    )


def _absolute(document: Document) -> None:
    """Replace every relative path by an absolute one."""
    for location, value in list(leaves(document.values)):
        if not isinstance(value, str) or not value:
            continue
        folder = document.mark_of(location).folder
        if _matches(location, PATHS) or (_matches(location, PATHS_OR_NAMES) and looks_local(value)):
            new = _joined(folder, value)
        elif _matches(location, REFERENCES) and ".py:" in value:
            file, _, attribute = value.partition(".py:")
            new = f"{_joined(folder, file)}.py:{attribute}"
        else:
            continue
        put(document, location, new, {location: document.mark_of(location)})


def _joined(folder: Path, path: str) -> str:
    return os.path.normpath(folder / Path(path).expanduser())


def _matches(location: Location, patterns: Sequence[str]) -> bool:
    words = ["*" if isinstance(part, int) else part for part in location]
    return ".".join(words) in patterns
