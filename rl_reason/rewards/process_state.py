"""What a verifier must leave as it found it: snapshots of a process's global state, and how two of them differ."""

from __future__ import annotations

import decimal
import gc
import locale
import os
import random
import resource
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

Snapshot = dict[str, Any]
"""What it is -> something that can be compared."""

_LARGE = 2000
"""A container with more entries is compared by its length only."""
_DEPTH = 4
_STREAMS = ("stdin", "stdout", "stderr")


def snapshot(package: str) -> Snapshot:
    """The state now, with the globals of a plug-in's own modules: `package` and everything in it."""
    state: Snapshot = {what: read() for what, read in _READERS.items()}
    for name, module in list(sys.modules.items()):
        if name == package or name.startswith(f"{package}."):
            state |= _globals(module)
    return state


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """What differs, in words; a name that a module got or lost is a difference too."""
    return [f"changed {what}" for what in sorted({*before, *after}) if before.get(what) != after.get(what)]


def open_files() -> int:
    """File descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def resident_bytes(pid: int | str = "self") -> int:
    """Memory of a process that is really there, in bytes."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def _handlers() -> dict[str, Any]:
    return {number.name: signal.getsignal(number) for number in signal.valid_signals() if isinstance(number, _SIGNALS)}


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _decimal() -> tuple[Any, ...]:
    context = decimal.getcontext()  # its flags are not state: every inexact operation raises one
    return (context.prec, context.rounding, context.Emin, context.Emax, dict(context.traps))


def _numpy_random() -> tuple[Any, ...]:
    kind, keys, *rest = np.random.get_state(legacy=True)
    return (kind, np.asarray(keys).tobytes(), *rest)


_SIGNALS = signal.Signals
_READERS: dict[str, Callable[[], Any]] = {
    "the working directory": os.getcwd,
    "the environment (os.environ)": lambda: dict(os.environ),
    "a signal handler": _handlers,
    "an alarm (signal.setitimer)": lambda: [signal.getitimer(which) != (0.0, 0.0) for which in range(3)],
    "the recursion limit": sys.getrecursionlimit,
    "the limit on digits (sys.set_int_max_str_digits)": sys.get_int_max_str_digits,
    "the running threads": lambda: sorted(f"{thread.name} {thread.ident}" for thread in threading.enumerate()),
    "the state of the module random": random.getstate,
    "the state of numpy.random": _numpy_random,
    "the locale": lambda: locale.setlocale(locale.LC_ALL),
    "the decimal context": _decimal,
    "sys.stdout, sys.stderr or sys.stdin": lambda: [id(vars(sys)[name]) for name in _STREAMS],
    "sys.path": lambda: list(sys.path),
    "the umask": _umask,
    "a resource limit": lambda: [resource.getrlimit(which) for which in range(16)],
    "the garbage collector's settings": lambda: (gc.isenabled(), gc.get_threshold(), gc.get_debug()),
    "sys.excepthook, a trace or a profile function": lambda: (sys.excepthook, sys.gettrace(), sys.getprofile()),
    "numpy's handling of floating-point errors": np.geterr,
    "warnings.showwarning": lambda: warnings.showwarning,
}


def _globals(module: ModuleType) -> Snapshot:
    """Globals, and attributes of the classes defined there. Imports that come late are no change."""
    found: Snapshot = {}
    for name, value in list(vars(module).items()):
        if name.startswith("__") or isinstance(value, ModuleType):
            continue
        found[f"{module.__name__}.{name}"] = _print_of(value, _DEPTH)
        if isinstance(value, type) and value.__module__ == module.__name__:
            for attribute, content in list(vars(value).items()):
                if not attribute.startswith(("__", "_abc")) and not callable(content):
                    found[f"{module.__name__}.{name}.{attribute}"] = _print_of(content, _DEPTH)
    return found


def _print_of(value: Any, depth: int) -> Any:
    """A finger-print: equal as long as nothing in it was changed or replaced, to a depth."""
    if isinstance(value, str | bytes | int | float | complex | None):
        return value
    if depth and isinstance(value, Mapping | list | tuple | set | frozenset | deque | bytearray):
        if len(value) > _LARGE or isinstance(value, set | frozenset | bytearray):
            return (id(value), len(value))
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        return (id(value), [(_print_of(key, depth - 1), _print_of(item, depth - 1)) for key, item in list(items)])
    return id(value)
