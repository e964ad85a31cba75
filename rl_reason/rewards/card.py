"""A verifier's card: what it judges, which options it takes, what it needs, and whether that is here.

A verifier says so itself, in its docstring, its constructor and two class attributes, both optional:

    needs = ("metadata:tests", "package:sympy>=1.13", "program:g++")
    example = {"answer": "4", "response": "2 + 2 is \\\\boxed{4}"}

`metadata:` is a field that the prompts must have, `package:` a distribution with its version, as pip takes it,
`program:` a command on the PATH. `example` is a line for `rl-reason verify` that is judged RIGHT.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import inspect
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rl_reason.errors import PluginError
from rl_reason.plugins import VERIFIERS, available, load, nearest, resolve

PLAIN_EXAMPLE: Mapping[str, Any] = {"answer": "4", "response": "<think>\n2 + 2\n</think>\nThe answer is \\boxed{4}"}
"""The line that is shown for a verifier without an example of its own."""


@dataclass(frozen=True, slots=True)
class Option:
    """One keyword of a verifier's constructor."""

    name: str
    default: Any
    required: bool = False

    @property
    def shown(self) -> str:
        """As a person reads it: `name=default`."""
        return f"{self.name} (required)" if self.required else f"{self.name}={self.default!r}"


@dataclass(frozen=True, slots=True)
class Card:
    """What there is to know about one verifier without running it."""

    name: str
    ref: str
    version: str = ""
    distribution: str = ""
    """Empty for a file that belongs to none."""
    text: str = ""
    """The class's docstring."""
    options: tuple[Option, ...] = ()
    needs: tuple[str, ...] = ()
    example: Mapping[str, Any] | None = None
    fault: str = ""
    """Why it cannot be used here; empty if it can."""

    @property
    def purpose(self) -> str:
        """One line."""
        return self.text.splitlines()[0] if self.text else "(no docstring)"


def installed_cards() -> list[Card]:
    """The cards of every installed verifier, by name. One that cannot be loaded has a fault and breaks nothing.

    Raises:
        PluginError: two distributions give the same name.
    """
    return [
        read_card(plugin.name, plugin.value, version=plugin.version, distribution=plugin.distribution)
        for plugin in available(VERIFIERS)
    ]


def card_of(ref: str) -> Card:
    """The card of one verifier, by name, file or module.

    Raises:
        PluginError: there is no such name or file.
    """
    for plugin in available(VERIFIERS):
        if plugin.name == ref:
            return read_card(ref, plugin.value, version=plugin.version, distribution=plugin.distribution)
    return read_card(ref, resolve(VERIFIERS, ref))


def read_card(name: str, ref: str, *, version: str = "", distribution: str = "") -> Card:
    """Import the plug-in and read its card; what it prints meanwhile goes to stderr."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            factory = load(VERIFIERS, ref)
        needs, example = _attribute(factory, "needs", ()), _attribute(factory, "example", None)
        fault = "; ".join(missing(needs))
    except PluginError as error:
        return Card(name, ref, version, distribution, fault=str(error))
    options = options_of(factory)
    return Card(name, ref, version, distribution, inspect.getdoc(factory) or "", options, needs, example, fault)


def options_of(factory: Callable[..., Any]) -> tuple[Option, ...]:
    """The keywords that a verifier's constructor takes, in its order."""
    if inspect.isclass(factory) and factory.__init__ is object.__init__:
        return ()  # inspect would answer *args, **kwargs
    return tuple(
        Option(name, parameter.default, parameter.default is parameter.empty)
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    )


def option_hint(factory: Callable[..., Any], options: Mapping[str, Any]) -> str:
    """For an error: the options that do not exist, each with the nearest one that does; empty when all exist."""
    names = [option.name for option in options_of(factory)]
    unknown = [name for name in options if name not in names]
    if unknown and not names:
        return "; it takes no options"
    return "".join(f"; {name!r} is none of its options{nearest(name, names)}" for name in unknown)


def missing(needs: tuple[str, ...]) -> list[str]:
    """The needs that are not met on this machine, each with what would meet it.

    Raises:
        PluginError: a need is not of a known kind.
    """
    faults = [_missing(need) for need in needs]
    return [fault for fault in faults if fault]


def _missing(need: str) -> str:
    kind, _, what = need.partition(":")
    if kind == "metadata" and what:
        return ""  # the prompts', not the machine's
    if kind == "program" and what:
        return "" if shutil.which(what) else f"needs the program {what}, which is not on the PATH"
    if kind == "package" and what:
        return _missing_package(what)
    raise PluginError(f"need {need!r} is not of the form metadata:FIELD, package:NAME>=VERSION or program:COMMAND")


def _missing_package(what: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement  # 20 ms, which workers need not spend

    try:
        requirement = Requirement(what)
    except InvalidRequirement as error:
        raise PluginError(f"need 'package:{what}': {error}") from error
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"needs the package {requirement.name}: pip install '{what}'"
    if requirement.specifier.contains(version, prereleases=True):
        return ""
    return f"needs {what}, and {version} is installed: pip install '{what}'"


def _attribute(factory: Any, name: str, default: Any) -> Any:
    """A class attribute, inherited or not; a plain function as factory has none."""
    kinds = inspect.getmro(factory) if inspect.isclass(factory) else ()
    value = next((vars(kind)[name] for kind in kinds if name in vars(kind)), default)
    if name == "needs" and not (isinstance(value, tuple) and all(isinstance(need, str) for need in value)):
        raise PluginError(f"`needs` of {factory.__qualname__} is a tuple of strings, not {value!r:.80}")
    if name == "example" and not (value is None or _is_line(value)):
        raise PluginError(
            f"`example` of {factory.__qualname__} is a mapping with a `response` and maybe an `answer`, both strings"
        )
    return value


def _is_line(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("response"), str)
        and isinstance(value.get("answer", ""), str)
    )
