"""Finds plug-ins by entry-point name or by `path/to/file.py:Object`, and imports them only when they are used.

A reference is one of
    boxed_math                     an entry point's name, in the group asked for
    ./my_check.py:MyCheck          an object in a file
    some_package.module:MyCheck    what `resolve` makes of a name

References travel to workers as strings, never as pickled objects: `resolve` gives the form that means the same in any
process and any working directory. A file gets a private module name made of its path, so two files called `check.py`
do not clash; its folder is not put on `sys.path`.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from rl_reason.errors import PluginError

VERIFIERS = "rl_reason.verifiers"
"""The entry-point group of verifiers."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One installed plug-in."""

    name: str
    version: str
    distribution: str
    value: str
    """`module:Object`."""


def available(group: str) -> list[Plugin]:
    """Every plug-in of a group, by name, without importing any.

    Raises:
        PluginError: two distributions give the same name; the message names both.
    """
    found: dict[str, Plugin] = {}
    for entry in entry_points(group=group):
        plugin = _plugin(entry)
        known = found.get(plugin.name)
        if known is not None and known != plugin:
            raise PluginError(
                f"two distributions call a plug-in of {group} {plugin.name!r}: {known.distribution} ({known.value}) "
                f"and {plugin.distribution} ({plugin.value}); uninstall one, or refer to the object as module:Object"
            )
        found[plugin.name] = plugin
    return [found[name] for name in sorted(found)]


def resolve(group: str, ref: str, *, base: Path | None = None) -> str:
    """The reference in the form that travels: `module:Object` or `/absolute/file.py:Object`. Imports nothing.

    Args:
        group: entry-point group in which a bare name is looked up.
        ref: the reference as a person wrote it.
        base: folder that a relative path starts from; the working directory when None.

    Raises:
        PluginError: no such name or file; the message lists what there is and the nearest match.
    """
    location, colon, attribute = ref.rpartition(":")
    if not colon:
        if ref.endswith(".py"):
            raise PluginError(f"plug-in {ref!r} names a file but no object in it; write {ref}:ClassName")
        return _by_name(group, ref).value
    if not location or not attribute:
        raise PluginError(f"plug-in {ref!r} is not of the form name, path/to/file.py:Object or module:Object")
    if not location.endswith(".py"):
        return ref
    path = ((base or Path.cwd()) / Path(location).expanduser()).resolve()
    if not path.is_file():
        raise PluginError(f"plug-in {ref!r}: there is no file {path}")
    return f"{path}:{attribute}"


def load(group: str, ref: str) -> Any:
    """Import what a reference points at.

    Raises:
        PluginError: nothing there, or its module cannot be imported; the cause is chained and named.
    """
    location, _, attribute = resolve(group, ref).rpartition(":")
    module = _import_file(Path(location)) if location.endswith(".py") else _import_module(location, ref)
    target: Any = module
    for part in attribute.split("."):
        names = vars(target)
        if part not in names:
            public = sorted(name for name in names if not name.startswith("_"))
            raise PluginError(f"plug-in {ref!r}: {location} has no {attribute!r}{nearest(part, public)}")
        target = names[part]
    return target


def nearest(wanted: str, names: Sequence[str]) -> str:
    """For an error about a name that does not exist: `; did you mean …? (there are: …)`."""
    if not names:
        return "; nothing is there at all"
    close = difflib.get_close_matches(wanted, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{hint} (there are: {', '.join(names)})" if hint else f"; there are: {', '.join(names)}"


def _plugin(entry: EntryPoint) -> Plugin:
    distribution = entry.dist
    if distribution is None:
        return Plugin(entry.name, "unknown", "unknown", entry.value)
    return Plugin(entry.name, distribution.version, distribution.name, entry.value)


def _by_name(group: str, name: str) -> Plugin:
    plugins = {plugin.name: plugin for plugin in available(group)}
    if name not in plugins:
        raise PluginError(
            f"no plug-in {name!r} in {group}{nearest(name, sorted(plugins))}; "
            "an object in a file is written path/to/file.py:Object"
        )
    return plugins[name]


def _import_module(name: str, ref: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise PluginError(f"plug-in {ref!r}: cannot import {name}: {error}") from error
    except (Exception, SystemExit) as error:  # a module may throw anything, and must not take the others down
        raise PluginError(f"plug-in {ref!r}: importing {name} raised {type(error).__name__}: {error}") from error


def _import_file(path: Path) -> ModuleType:
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    name = f"rl_reason_plugin_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"plug-in file {path} cannot be read as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before execution: dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a file may throw anything, and must not take the others down
        del sys.modules[name]
        raise PluginError(f"plug-in file {path} cannot be imported: {type(error).__name__}: {error}") from error
    return module
