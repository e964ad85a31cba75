"""YAML with places: plain values, and for each of them the file and line it was written at."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml

from rl_reason.errors import ConfigError

Location = tuple[str | int, ...]
"""Where a value stands in the document: ("stages", 1, "loss", "tau")."""


@dataclass(frozen=True, order=True)
class Mark:
    """Where a value was written."""

    origin: str
    """File as the user named it, or `--set a.b=c`."""
    line: int
    """From 1; 0 where there is no line."""
    folder: Path
    """What relative paths written here are relative to."""

    def __str__(self) -> str:
        return f"{self.origin}:{self.line}" if self.line else self.origin


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a recipe."""

    location: Location
    value: str
    """The value given, as it is shown; empty where there is none."""
    message: str
    """The rule, and what to do."""
    involves: tuple[Location, ...] = ()
    """Other values that the rule compared; the problem is not reported where one of them is wrong by itself."""
    mark: Mark | None = None
    """Set where the location alone does not tell the place."""


@dataclass
class Document:
    """A recipe as it was written."""

    values: dict[str, Any] = field(default_factory=dict)
    marks: dict[Location, Mark] = field(default_factory=dict)
    """Place of every key and list item; () is the whole document."""
    problems: list[Problem] = field(default_factory=list)

    def mark_of(self, location: Location) -> Mark:
        """Place of the value, or of the nearest block around it."""
        while location not in self.marks:
            location = location[:-1]
        return self.marks[location]


MAX_VALUES = 100_000
"""Aliases count each time: a few lines of them can stand for billions of values."""
MAX_DEPTH = 30

_FLOAT = re.compile(
    r"^[-+]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|\.inf|\.Inf|\.INF)$|^\.(?:nan|NaN|NAN)$"
)
_TAG = "tag:yaml.org,2002:"
_PLAIN = {
    "null": re.compile(r"^(?:~|null|Null|NULL|)$"),
    "bool": re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"),
    "int": re.compile(r"^[-+]?[0-9]+(?:_[0-9]+)*$"),
    "float": _FLOAT,
}


class _Reader(yaml.SafeLoader):
    """YAML 1.2's plain scalars: 1e-4 is a number, `no` and `off` are text, dates are text."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


class _Writer(yaml.SafeDumper):
    """Quotes what either this module or a YAML 1.1 reader would not read back as text."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {
        letter: list(rules) for letter, rules in yaml.SafeDumper.yaml_implicit_resolvers.items()
    }


for _name, _pattern in _PLAIN.items():
    _Reader.add_implicit_resolver(_TAG + _name, _pattern, None)
    _Writer.add_implicit_resolver(_TAG + _name, _pattern, None)


def read_document(path: Path) -> Document:
    """Read one file; duplicate keys are noted as problems.

    Raises:
        ConfigError: the file cannot be read, or is not YAML, or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}. Give the path of a recipe (a YAML file)."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}). Save the recipe as UTF-8.") from error
    return parse(text, origin=str(path), folder=path.absolute().parent)


def parse(text: str, *, origin: str, folder: Path) -> Document:
    """`read_document` on text; `origin` is what places are reported in."""
    document = Document(marks={(): Mark(origin, 1, folder)})
    node = _compose(text, origin)
    if node is not None:
        values = _Builder(document, origin, folder).build(node, ())
        if not isinstance(values, dict):
            raise ConfigError(f"{origin}:1: a recipe is a mapping (`name: …`, `model: …`), this is {show(values)}.")
        document.values = values
    return document


def parse_value(text: str, *, origin: str) -> tuple[Any, list[Location]]:
    """One YAML value, as on the right of `--set a.b=`, and where it has values; `origin` is what errors name.

    Raises:
        ConfigError: not YAML.
    """
    document = Document(marks={(): Mark(origin, 0, Path())})
    node = _compose(text, origin)
    value = None if node is None else _Builder(document, origin, Path()).build(node, ())
    if document.problems:
        raise ConfigError(f"{origin}: {document.problems[0].message}")
    return value, list(document.marks)


def to_yaml(values: dict[str, Any]) -> str:
    """YAML in the mapping's own order; `parse` reads it back to equal values."""
    return yaml.dump(values, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=120)


def show(value: Any) -> str:
    """A value on one line, as short as an error message needs it."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "…"


def dotted(location: Location) -> str:
    """`stages.1.loss.tau`."""
    return ".".join(str(part) for part in location)


def merged(base: Document, top: Document) -> Document:
    """`top` laid over `base`: mappings key by key, lists and everything else as a whole."""
    result = Document(copy.deepcopy(base.values), dict(base.marks), [*base.problems, *top.problems])
    _lay_over(result, top, result.values, top.values, ())
    return result


def _lay_over(result: Document, top: Document, below: dict[str, Any], above: dict[str, Any], at: Location) -> None:
    result.marks[at] = top.marks[at]
    for key, value in above.items():
        here = (*at, key)
        old = below.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            _lay_over(result, top, old, value, here)
            continue
        put(result, here, value, {place: mark for place, mark in top.marks.items() if place[: len(here)] == here})


def put(document: Document, location: Location, value: Any, marks: dict[Location, Mark]) -> None:
    """Set a value whose parent exists, and replace the places below it."""
    parent: Any = document.values
    for part in location[:-1]:
        parent = parent[part]
    parent[location[-1]] = copy.deepcopy(value)
    for place in [place for place in document.marks if place[: len(location)] == location]:
        del document.marks[place]
    document.marks.update(marks)


def leaves(value: Any, location: Location = ()) -> Iterator[tuple[Location, Any]]:
    """Every value that is neither a mapping nor a list, with its location."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*location, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*location, index))
    else:
        yield location, value


def _compose(text: str, origin: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=_Reader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        tab = " Indent with spaces, not tabs." if "'\\t'" in str(error.problem) else ""
        raise ConfigError(f"{origin}:{line}: not YAML: {error.problem or error.context}.{tab}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"the character U+{error.character:04X}" if isinstance(error.character, int) else "a character"
        raise ConfigError(f"{origin}:{line}: not YAML: {what} is not allowed in it. Remove it.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{origin}: not YAML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{origin}: blocks inside blocks, hundreds deep; {MAX_DEPTH} levels are allowed.") from error


@dataclass
class _Builder:
    """Nodes to values; notes places and problems in `document`."""

    document: Document
    origin: str
    folder: Path
    _open: set[int] = field(default_factory=set)
    _built: int = 0

    def build(self, node: yaml.Node, at: Location) -> Any:
        """The node's value; its place is noted unless a key has noted it already."""
        self.document.marks.setdefault(at, self._mark(node))
        if id(node) in self._open:
            raise ConfigError(f"{self._mark(node)}: an alias (*) inside its own anchor (&). Write the values out.")
        self._built += 1
        if self._built > MAX_VALUES:
            raise ConfigError(
                f"{self._mark(node)}: more than {MAX_VALUES:,} values, those that aliases (*) stand for included."
            )
        if len(at) > MAX_DEPTH:
            raise ConfigError(f"{self._mark(node)}: more than {MAX_DEPTH} blocks inside each other.")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
                return self._mapping(node, at)
            if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
                return [self.build(item, (*at, index)) for index, item in enumerate(node.value)]
            if isinstance(node, yaml.ScalarNode):
                return self._scalar(node)
            raise ConfigError(f"{self._mark(node)}: the tag {node.tag} is not known here; leave it out.")
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, at: Location) -> dict[str, Any]:
        values: dict[str, Any] = {}
        first_lines: dict[Hashable, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{self._mark(key_node)}: a key must be a word, not a list or a mapping.")
            key = str(key_node.value)
            here = (*at, key)
            mark = self._mark(key_node)
            if key in first_lines:
                message = f"this key is there twice, first on line {first_lines[key]}; remove one of them"
                self.document.problems.append(Problem(here, "", message, mark=mark))
                continue
            first_lines[key] = mark.line
            self.document.marks[here] = mark
            values[key] = self.build(value_node, here)
        return values

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        kind = node.tag.removeprefix(_TAG)
        text = str(node.value)
        if kind in _PLAIN and not _PLAIN[kind].match(text):
            raise ConfigError(f"{self._mark(node)}: {show(text)} is not of the kind that its tag says; leave it out.")
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise ConfigError(f"{self._mark(node)}: {text!a} has half a character (a lone surrogate) in it.")
        match kind:
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                if len(text) > 300:
                    raise ConfigError(f"{self._mark(node)}: a number of {len(text)} digits.")
                return int(text)
            case "float":
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
            case "str":
                return text
        raise ConfigError(f"{self._mark(node)}: the tag {node.tag} is not known here; leave it out.")

    def _mark(self, node: yaml.Node) -> Mark:
        return Mark(self.origin, node.start_mark.line + 1, self.folder)
