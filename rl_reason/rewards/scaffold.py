"""Writes a new verifier's package from `templates/verifier`: what `rl-reason verifier new` does."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from pathlib import Path
from string import Template

from rl_reason.errors import PluginError
from rl_reason.plugins import VERIFIERS, available

_TEMPLATES = Path(__file__).parent / "templates" / "verifier"
_SUFFIX = ".tmpl"
_RESERVED = ("verifiers", "src", "tests")
"""`verifiers` is a package of Prime Intellect, which must not be shadowed."""


def new_verifier(name: str, parent: Path) -> Path:
    """Write the package `name` into a new folder of that name; returns the folder.

    Raises:
        PluginError: the name will not do, and which one would; or the folder exists or cannot be written.
    """
    check_name(name)
    folder = parent / name
    words = {
        "package": name,
        "distribution": name.replace("_", "-").strip("-"),
        "class_name": "".join(part.capitalize() for part in name.split("_")),
    }
    try:
        folder.mkdir(parents=True)
        for template in sorted(path for path in _TEMPLATES.rglob(f"*{_SUFFIX}") if path.is_file()):
            relative = str(template.relative_to(_TEMPLATES)).removesuffix(_SUFFIX).replace("__package__", name)
            target = folder / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(Template(template.read_text(encoding="utf-8")).substitute(words), encoding="utf-8")
    except FileExistsError as error:
        raise PluginError(f"{folder} is there already; choose another name, or another folder by --out") from error
    except OSError as error:
        raise PluginError(f"cannot write {folder}: {error.strerror}; choose another folder by --out") from error
    return folder


def check_name(name: str) -> None:
    """Refuse a name that cannot be both a package and a verifier.

    Raises:
        PluginError: says why, and what would do.
    """
    fault = _fault(name)
    if fault:
        raise PluginError(f"a verifier cannot be called {name!r}: {fault}; how about {_suggestion(name)!r}?")


def _fault(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        return "it becomes a Python package, so it is made of small letters, digits and _, and begins with a letter"
    if name.endswith("_") or "__" in name:
        return "_ stands between words only"
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return "it is a word of the Python language"
    if name in _RESERVED:
        return "that name belongs to another package" if name == "verifiers" else "that is a folder of the package"
    for plugin in available(VERIFIERS):
        if plugin.name == name:
            return f"{plugin.distribution} has a verifier of that name"
    if name in sys.stdlib_module_names:
        return "Python itself has a module of that name"
    spec = importlib.util.find_spec(name)
    return f"a module of that name is installed, {spec.origin}" if spec is not None and spec.origin else ""


def _suggestion(name: str) -> str:
    """A name that will do, near the one that was wanted."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    base = re.sub(r"[^a-z0-9]+", "_", words).strip("_0123456789") or "my"
    tries = (base, f"{base}_check", f"my_{base}", *(f"my_{base}_{number}" for number in range(2, 100)))
    return next((candidate for candidate in tries if not _fault(candidate)), "my_own_check")
