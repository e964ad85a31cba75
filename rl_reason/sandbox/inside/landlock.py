"""Landlock: this process and its descendants see only the paths given, and signal only each other.

Source: linux/landlock.h; works without any namespace and without privileges, once no_new_privs is set.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

from .kernel import SUPPORTED, syscall

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL_DEV = 1, 2, 4, 8, 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""ABI -> how many rights for files it knows; those after 5 know as many as 5."""
_NO_TCP, _SCOPED = 3, 3
_RULE_PATH_BENEATH = 1
SCOPES_SIGNALS = 6
"""The ABI that first keeps signals and abstract Unix sockets inside (Linux 6.12)."""


def abi() -> int:
    """Version of the kernel's Landlock; 0 where there is none."""
    if not SUPPORTED:
        return 0
    try:
        return syscall("landlock_create_ruleset", None, 0, 1)
    except OSError:
        return 0


def confine(version: int, *, read: Iterable[str], write: Iterable[str]) -> None:
    """Allow reading and executing beneath `read`, everything but devices beneath `write`, nothing else.

    Raises:
        OSError: a path is not there, or the kernel refuses.
    """
    every = (1 << _FS_BITS[min(version, 5)]) - 1
    words = (every, _NO_TCP, _SCOPED)[: 1 + (version >= 4) + (version >= SCOPES_SIGNALS)]
    ruleset = syscall(
        "landlock_create_ruleset", ctypes.create_string_buffer(struct.pack(f"{len(words)}Q", *words)), 8 * len(words), 0
    )
    for paths, rights in ((read, _EXECUTE | _READ_FILE | _READ_DIR), (write, every & ~(1 << 6) & ~(1 << 11))):
        for path in paths:
            _allow(ruleset, path, rights)
    syscall("landlock_restrict_self", ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    if not stat.S_ISDIR(os.fstat(handle).st_mode):
        rights &= _OF_FILES
    rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, handle))
    syscall("landlock_add_rule", ruleset, _RULE_PATH_BENEATH, rule, 0)
    os.close(handle)
