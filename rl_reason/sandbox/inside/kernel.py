"""System calls that Python's library lacks, by ctypes: namespaces, mounts, capabilities, prctl."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
_MOUNT_ATTR_BITS = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC  # the same bits as MOUNT_ATTR_*
_MNT_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NAME, PR_CAPBSET_DROP = 1, 4, 15, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_SYS_ADMIN = 21
_LAST_DESCRIPTOR = 0xFFFFFFFF

_NUMBERS = {
    "x86_64": {"capset": 126, "pivot_root": 155, "seccomp": 317},
    "aarch64": {"capset": 91, "pivot_root": 41, "seccomp": 277},
}
_EVERYWHERE = {
    "close_range": 436,
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}
MACHINE = os.uname().machine
SUPPORTED = MACHINE in _NUMBERS
SYSCALLS = _NUMBERS.get(MACHINE, {}) | _EVERYWHERE

_CAPSET_HEADER = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITY_VERSION_3, 0))
_NO_CAPABILITIES = ctypes.create_string_buffer(bytes(24))
_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = ctypes.c_int, *[ctypes.c_ulong] * 4


def syscall(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Raises OSError with the call's name as its file name, so that a refusal can be named."""
    return _checked(name, _libc.syscall(SYSCALLS[name], *map(_argument, arguments)))


def prctl(option: int, value: int = 0) -> None:
    """Raises OSError."""
    _checked(f"prctl({option})", _libc.prctl(option, value, 0, 0, 0))


def unshare(flags: int) -> None:
    """Raises OSError."""
    _checked("unshare", _libc.unshare(flags))


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Raises OSError."""
    words = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    done = _libc.mount(*words, ctypes.c_ulong(flags), os.fsencode(data) if data else None)
    _checked(f"mount {target}", done)


def unmount(target: str) -> None:
    """Raises OSError."""
    _checked(f"umount2 {target}", _libc.umount2(os.fsencode(target), _MNT_DETACH))


def restrict_mount(target: str, flags: int, *, recursive: bool = False) -> None:
    """Add MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC to a mount; flags that it has stay. Raises OSError."""
    attributes = ctypes.create_string_buffer(struct.pack("QQQQ", flags & _MOUNT_ATTR_BITS, 0, 0, 0))
    how = _AT_RECURSIVE if recursive else 0
    syscall("mount_setattr", _AT_FDCWD, os.fsencode(target), how, attributes, 32)


def make_root(folder: str) -> None:
    """Make a mount point the root of this mount namespace and let go of the old one. Raises OSError."""
    os.chdir(folder)
    syscall("pivot_root", b".", b".")
    unmount(".")
    os.chdir("/")


def close_all_but(kept: Iterable[int]) -> None:
    """Close every descriptor of this process but these."""
    low = 0
    for handle in sorted({*kept} - {-1}):
        if handle > low:  # an empty range would be taken for all of them
            syscall("close_range", low, handle - 1, 0)
        low = handle + 1
    syscall("close_range", low, _LAST_DESCRIPTOR, 0)


def may_administer() -> bool:
    """Whether this process has CAP_SYS_ADMIN."""
    with open("/proc/self/status") as file:
        (line,) = [line for line in file if line.startswith("CapEff:")]
    return bool(int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1)


def limit_capabilities() -> None:
    """No program started by this process or its descendants has any, ever. Raises OSError."""
    capability = 0
    while _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:  # fails after the last, or where it is not allowed
        capability += 1
    prctl(PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Those of this process, for good, after `limit_capabilities`. Raises OSError."""
    syscall("capset", _CAPSET_HEADER, _NO_CAPABILITIES)


def _argument(value: int | bytes | ctypes.Array[ctypes.c_char] | None) -> object:
    return ctypes.c_long(value) if isinstance(value, int) else value


def _checked(what: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result
