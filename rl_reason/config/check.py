"""Everything that is wrong with a document, at once: the schema's errors, and those of values against each other."""

from __future__ import annotations

import copy
import difflib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import annotated_types
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from rl_reason.config.document import Document, Location, Problem, dotted, leaves, show
from rl_reason.config.knobs import bare, item_of, kinds_of, knobs, section_of
from rl_reason.config.rules import broken_rules
from rl_reason.config.schema.recipe import Recipe
from rl_reason.config.schema.section import Section


def check(document: Document) -> tuple[Recipe | None, list[Problem]]:
    """The recipe, or None and all problems in the order of files and lines.

    Wrong values are replaced by defaults or stand-ins and the rest is judged again, so that one mistake hides no other.
    """
    problems = list(document.problems)
    wrong: set[Location] = {problem.location for problem in problems}
    values = copy.deepcopy(document.values)
    recipe = None
    for _ in range(4):
        recipe, errors = _validate(values)
        for error in errors:
            problem = _problem(error)
            if problem is None:
                continue
            if problem.location not in wrong:
                problems.append(problem)
                wrong.add(problem.location)
            wrong |= _mend(values, error)
        if recipe is not None:
            break
    found = list(_not_finite(values)) + (list(broken_rules(recipe)) if recipe is not None else [])
    problems += [problem for problem in found if not _touches(problem, wrong)]
    problems.sort(key=lambda problem: (problem.mark or document.mark_of(problem.location), dotted(problem.location)))
    return (None if problems else recipe), problems


@dataclass(frozen=True)
class Place:
    """Where an error of the schema's stands in the document and in the schema."""

    location: Location
    key: str
    """As in `knobs()`: without list positions, with kinds."""
    section: type[Section] | None
    """The section that the last part of the location is a key of, where it is one."""
    info: FieldInfo | None
    """That key's field; None for unknown keys."""
    kinds: tuple[str, ...]
    """What `kind` may be, where the location is a choice between sections."""


def find(loc: Sequence[str | int]) -> Place:
    """Follow pydantic's location, which names the `kind` after a choice between sections, through the schema."""
    node: Any = Recipe
    location: list[str | int] = []
    key: list[str] = []
    owner: type[Section] | None = None
    info: FieldInfo | None = None
    for part in loc:
        section, choices, item = section_of(node), kinds_of(node), item_of(node)
        if choices and part in choices:
            node = choices[str(part)]
            key.append(str(part))
            continue
        location.append(part)
        owner, info = section, None
        if section is not None:
            key.append(str(part))
            info = section.model_fields.get(str(part))
            node = info.annotation if info else None
        else:
            node = item
    return Place(tuple(location), ".".join(key), owner, info, tuple(kinds_of(node)))


def nearest(word: str, choices: Sequence[str]) -> str:
    """` Did you mean x?` with a leading space, or nothing."""
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return f" Did you mean {close[0]}?" if close else ""


def _validate(values: dict[str, Any]) -> tuple[Recipe | None, list[ErrorDetails]]:
    try:
        return Recipe.model_validate_json(json.dumps(values), strict=True), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _not_finite(values: dict[str, Any]) -> Iterator[Problem]:
    """Where a block takes anything, as `options` do, the schema lets these through."""
    for location, value in leaves(values):
        if isinstance(value, float) and not math.isfinite(value):
            yield Problem(location, show(value), f"{RULES['finite_number']}.")


def _problem(error: ErrorDetails) -> Problem | None:
    """The error in our words; None where it only follows from another one."""
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    place = find(error["loc"])
    location, value = place.location, show(given)
    match kind:
        case "extra_forbidden":
            return Problem(location, value, _unknown_key(str(location[-1]), place))
        case "missing":
            return Problem(location, "", f"must be given{_about(place)}.")
        case "union_tag_invalid":
            wanted = nearest(str(context["tag"]), place.kinds)
            return Problem((*location, "kind"), show(context["tag"]), f"must be one of {_list(place.kinds)}.{wanted}")
        case "union_tag_not_found":
            return Problem((*location, "kind"), "", f"must be given: one of {_list(place.kinds)}.")
        case "too_short" if isinstance(given, list) and len(given) >= int(context["min_length"]):
            return None
        case "literal_error":
            choices = [str(choice) for choice in get_args(bare(place.info.annotation))] if place.info else []
            guess = nearest(str(given), choices)
            return Problem(location, value, f"must be one of {_list(choices)}{_about(place)}.{guess}")
    return Problem(location, value, f"{_rule(error, place)}{_about(place)}.")


RULES = {
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} of them",
    "too_long": "must have {max_length} of them, no more",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "may only have letters, digits and . _ -, and begins with a letter or digit",
    "finite_number": "must be a finite number",
    "int_type": "must be a whole number{fix}",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text: put it in quotes",
    "tuple_type": "must be a list: [a, b], or lines that begin with a dash",
    "dict_type": "must be a block of keys{keys}",
    "model_type": "must be a block of keys{keys}",
    "model_attributes_type": "must be a block of keys{keys}",
}
"""pydantic's error type -> the rule in our words; for any other type pydantic's own words are shown."""


def _rule(error: ErrorDetails, place: Place) -> str:
    given = error["input"]
    fix = f": write {int(given)}" if isinstance(given, float) and given.is_integer() else ""
    words = RULES.get(error["type"])
    context = {
        name: f"{value:g}" if isinstance(value, float) else value for name, value in error.get("ctx", {}).items()
    }
    return error["msg"] if words is None else words.format(**context, fix=fix, keys=_keys(place))


def _keys(place: Place) -> str:
    section = section_of(place.info.annotation) if place.info else None
    return f": {_list(list(section.model_fields))}" if section else ""


def _unknown_key(word: str, place: Place) -> str:
    assert place.section is not None
    siblings = list(place.section.model_fields)
    if word == "extends":
        return "only understood at the top of a recipe, and only for one level."
    if word == "<<":
        return "merge keys are not understood: put the shared part into a recipe that this one `extends`."
    elsewhere = [knob.key for knob in knobs().values() if knob.key.split(".")[-1] == word]
    if elsewhere:
        return f"no such key here; there is {' and '.join(elsewhere[:3])}."
    if guess := nearest(word, siblings):
        return f"no such key.{guess}"
    block = place.key.rpartition(".")[0]
    return f"no such key. {block or 'A recipe'} has: {_list(siblings)}."


def _about(place: Place) -> str:
    """The first sentence of the knob's description, with a leading space."""
    knob = knobs().get(place.key)
    return f" ({first_sentence(knob.text)})" if knob and knob.text else ""


def first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence, without it."""
    return text.split(". ")[0].removesuffix(".")


def _list(words: Sequence[str]) -> str:
    return ", ".join(words)


def _touches(problem: Problem, wrong: set[Location]) -> bool:
    """Whether a rule compared something that is wrong by itself."""
    for mine in (problem.location, *problem.involves):
        for other in wrong:
            shorter = min(len(mine), len(other))
            if mine[:shorter] == other[:shorter]:
                return True
    return False


STAND_IN_STAGE = {"kind": "sft", "steps": 1, "traces": [{"kind": "generated", "task": "chain_sum", "count": 1}]}
"""A stage that no rule has anything to say about."""


def _mend(values: dict[str, Any], error: ErrorDetails) -> set[Location]:
    """Replace one wrong value, or what is around it where nothing can stand in for it alone; returns what was lost."""
    loc = error["loc"]
    place = find(loc)
    if error["type"] == "union_tag_invalid" and _mend_kind(values, place, str(error.get("ctx", {})["tag"])):
        return set()
    while loc:
        where = place.location
        if len(where) == 2 and where[0] == "stages":
            values["stages"][where[1]] = copy.deepcopy(STAND_IN_STAGE)
            return {where}
        if place.section is not None and _replace(values, place):
            return {where}
        loc = loc[:-1]
        place = find(loc)
    return set()


def _replace(values: dict[str, Any], place: Place) -> bool:
    """Take the key out, or put a stand-in there if it must be given; False where there is none."""
    name = place.location[-1]
    parent: Any = _at(values, place.location[:-1])
    if place.info is None or not place.info.is_required():
        parent.pop(name, None)
        return True
    value = _stand_in(str(name), place.info)
    if value is not None:
        parent[name] = value
    return value is not None


def _mend_kind(values: dict[str, Any], place: Place, given: str) -> bool:
    """Take a misspelt `kind` for the one that it resembles."""
    guess = difflib.get_close_matches(given, place.kinds, n=1)
    if guess:
        _at(values, place.location)["kind"] = guess[0]
    return bool(guess)


def _stand_in(name: str, info: FieldInfo) -> Any:
    if name == "stages":
        return [copy.deepcopy(STAND_IN_STAGE)]
    if info.annotation is int:
        return next((item.ge for item in info.metadata if isinstance(item, annotated_types.Ge)), 1)
    if info.annotation is str:
        return "stand-in"
    section = section_of(info.annotation)
    return {} if section and not any(field.is_required() for field in section.model_fields.values()) else None


def _at(values: dict[str, Any], location: Location) -> Any:
    found: Any = values
    for part in location:
        found = found[part]
    return found
