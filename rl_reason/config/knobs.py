"""The list of all knobs, read from the schema: key, type, bounds, default, and the sentences under each field."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import StringConstraints
from pydantic.fields import FieldInfo

from rl_reason.config.schema.recipe import Recipe
from rl_reason.config.schema.section import Section

Node = Any
"""A type annotation of the schema."""


@dataclass(frozen=True)
class Knob:
    """One key of the recipe. `key` leaves list positions out, and has the `kind` of a block: `stages.rl.loss.tau`."""

    key: str
    type: str
    bounds: str
    """Such as `> 0 and <= 1`; empty without bounds."""
    default: str
    """As YAML would have it; `(none: must be given)` for required ones, empty for sections."""
    text: str
    """What the schema says of it."""
    is_section: bool
    """True where it holds further keys."""


@cache
def knobs() -> dict[str, Knob]:
    """All keys in schema order, sections before what they hold."""
    return {knob.key: knob for knob in _walk(Recipe, "")}


def _walk(section: type[Section], prefix: str) -> Iterator[Knob]:
    for name, info in section.model_fields.items():
        key = f"{prefix}{name}"
        inside = blocks(info.annotation)
        default = "" if inside and info.default is not None else default_of(info)
        yield Knob(
            key, type_text(info.annotation), bounds_text(info), default, one_line(info.description), bool(inside)
        )
        for tag, block in inside.items():
            if tag:
                yield Knob(f"{key}.{tag}", "block", "", "", one_line(block.__doc__), True)
            yield from _walk(block, f"{key}.{tag}." if tag else f"{key}.")


def one_line(text: str | None) -> str:
    """A docstring without its line breaks."""
    return " ".join((text or "").split())


def bare(node: Node) -> Node:
    """The annotation without `Annotated[…]` and without `| None`."""
    if get_origin(node) is Annotated:
        return bare(get_args(node)[0])
    if get_origin(node) in (Union, types.UnionType):
        present = [part for part in get_args(node) if part is not type(None)]
        if len(present) == 1:
            return bare(present[0])
    return node


def item_of(node: Node) -> Node | None:
    """What a list of any length holds; None for anything else."""
    node = bare(node)
    arguments = get_args(node)
    return arguments[0] if get_origin(node) is tuple and arguments[1:] == (Ellipsis,) else None


def section_of(node: Node) -> type[Section] | None:
    """The section that the annotation stands for, if it is a single one."""
    node = bare(node)
    return node if isinstance(node, type) and issubclass(node, Section) else None


def kinds_of(node: Node) -> dict[str, type[Section]]:
    """`kind` -> section of a choice between sections; empty for anything else."""
    node = bare(node)
    if get_origin(node) not in (Union, types.UnionType):
        return {}
    sections = [section for part in get_args(node) if (section := section_of(part))]
    return {kind: section for section in sections for kind in get_args(section.model_fields["kind"].annotation)}


def blocks(node: Node) -> dict[str, type[Section]]:
    """Sections at or in the list at this annotation, by `kind`; the kind of a single one is the empty string."""
    inner = item_of(node) or node
    single = section_of(inner)
    return {"": single} if single else kinds_of(inner)


def default_of(info: FieldInfo) -> str:
    """The default as YAML would have it."""
    if info.is_required():
        return "(none: must be given)"
    value = info.default
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case tuple():
            return str(list(value))
        case str():
            return value or '""'
        case _:
            return str(value)


def type_text(node: Node) -> str:
    """The annotation in words."""
    if get_origin(node) is Annotated:
        return type_text(get_args(node)[0])
    if get_origin(node) in (Union, types.UnionType):
        present = [type_text(part) for part in get_args(node) if part is not type(None)]
        words = "block" if set(present) == {"block"} else " or ".join(present)
        return words + (" or null" if type(None) in get_args(node) else "")
    if get_origin(node) is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(node))
    if get_origin(node) is tuple:
        arguments = get_args(node)
        if arguments[1:] == (Ellipsis,):
            return f"list of: {type_text(arguments[0])}"
        return f"list of {len(arguments)}: {type_text(arguments[0])}"
    if get_origin(node) is dict:
        return "mapping"
    if section_of(node):
        return "block"
    return {int: "whole number", float: "number", bool: "true or false", str: "text"}[node]


def bounds_text(info: FieldInfo) -> str:
    """The field's bounds, and those of what a list of numbers holds."""
    found = [*_bounds(info.metadata)]
    each = "each " if get_origin(bare(info.annotation)) is tuple else ""
    for part in get_args(info.annotation):
        if get_origin(part) is Annotated and not blocks(info.annotation):
            found += [each + bound for bound in _bounds(list(get_args(part)[1:]))]
    return " and ".join(dict.fromkeys(found))


def _bounds(metadata: list[Any]) -> Iterator[str]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _bounds(item.metadata)
        match item:
            case annotated_types.Gt():
                yield f"> {item.gt}"
            case annotated_types.Ge():
                yield f">= {item.ge}"
            case annotated_types.Lt():
                yield f"< {item.lt}"
            case annotated_types.Le():
                yield f"<= {item.le}"
            case annotated_types.MinLen():
                yield f"at least {item.min_length} of them"
            case StringConstraints() if item.pattern:
                yield "letters, digits, dot, dash, underscore"
            case StringConstraints():
                yield "not empty"
            case _:
                pass
