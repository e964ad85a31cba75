"""What modules do in each forked child (`random` seeds itself, `threading` makes its locks anew), held back.

The fork that makes a program's process has one thread and wants the fork-server's random numbers, and 170 pages less
are copied for it. The program's own forks are as Python does them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

_register_at_fork = os.register_at_fork
_held: list[dict[str, Callable[[], Any]]] = []


def hold_back() -> None:
    """Hooks that modules register from now on wait for `release`."""
    os.register_at_fork = lambda **hooks: _held.append(hooks)


def release() -> None:
    """All hooks take part in the forks to come."""
    os.register_at_fork = _register_at_fork
    for hooks in _held:
        os.register_at_fork(**hooks)
