"""The read-only root that programs see: interpreters, compilers and their libraries, a few devices, nothing else.

Built once, by the fork-server, in a mount namespace of its own; each execution finds a new /tmp in it.
"""

from __future__ import annotations

import glob
import os

from .kernel import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    make_root,
    mount,
    restrict_mount,
    unmount,
)

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/localtime", "/etc/java-*")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_LINKS = {
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
    "/dev/shm": "/tmp",
}
_FILES = {
    "/etc/passwd": "sandbox:x:1000:1000::/tmp:/bin/sh\n",
    "/etc/group": "sandbox:x:1000:\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\n",
}
INNER_ID = 1000
"""User and group id that a program has inside."""
_BUILT_AT = "/tmp"


def visible(prefix: str, more: list[str]) -> list[str]:
    """What a program may read and execute, as paths that exist: system, Python's prefix, what the caller adds."""
    found = [path for path in _SYSTEM if os.path.isdir(path)]
    found += sorted(path for pattern in _ETC for path in glob.glob(pattern))
    return found + [path for path in (prefix, *more) if not _beneath(path, ("/usr",))]


def readable(seen: list[str], *, own_root: bool) -> list[str]:
    """Paths for Landlock to allow: all of a root of one's own; else what is visible, and devices."""
    return ["/"] if own_root else [*seen, *(path for path in _DEVICES if os.path.exists(path))]


def enter(seen: list[str], hidden: list[str]) -> None:
    """Build the root out of what is seen, cover what is hidden, and make it this process's root.

    The caller has a mount namespace of its own and the right to mount in it.

    Raises:
        OSError: the kernel refuses a mount; the error names it.
    """
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    links = {path: os.readlink(path) for path in seen if os.path.islink(path) and not path.startswith("/etc")}
    sources = [path for path in (*seen, *_DEVICES, "/proc") if path not in links and os.path.exists(path)]
    handles = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in sources}
    folders = {path for path in sources if os.path.isdir(path)}
    mount("none", _BUILT_AT, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,nr_inodes=1k,mode=755")
    for path in ["/tmp", "/etc", "/dev", *sources]:
        os.makedirs(_inside(path if path in folders or path not in handles else os.path.dirname(path)), exist_ok=True)
    for path, text in _FILES.items():
        with open(_inside(path), "w") as file:
            file.write(text)
    for path, target in (links | _LINKS).items():
        os.symlink(target, _inside(path))
    for path, handle in handles.items():
        if path not in folders:
            os.close(os.open(_inside(path), os.O_CREAT | os.O_WRONLY, 0o644))
        mount(f"/proc/self/fd/{handle}", _inside(path), None, MS_BIND | MS_REC)
        if path != "/proc":
            device = path in _DEVICES
            flags = MS_NOSUID | MS_NOEXEC if device else MS_NOSUID | MS_NODEV | MS_RDONLY
            restrict_mount(_inside(path), flags, recursive=True)
        os.close(handle)
    for path in hidden:
        if os.path.isdir(_inside(path)) and _beneath(path, tuple(folders)):
            mount("none", _inside(path), "tmpfs", MS_NOSUID | MS_NODEV | MS_RDONLY, "size=4k,nr_inodes=1,mode=755")
    restrict_mount(_BUILT_AT, MS_RDONLY)
    make_root(_BUILT_AT)


def own_proc() -> bool:
    """Mount this process namespace's own /proc, or, where a container forbids that, an empty folder over the old one.

    Raises:
        OSError: not even that.
    """
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    try:
        mount("proc", "/proc", "proc", flags)
    except PermissionError:
        mount("none", "/proc", "tmpfs", flags | MS_RDONLY, "size=4k,nr_inodes=1")
        return False
    return True


def mount_tmp(size_bytes: int, inodes: int) -> None:
    """Mount an execution's private working folder, limited in size. Raises OSError."""
    mount("none", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, f"size={size_bytes},nr_inodes={inodes},mode=700")


def unmount_tmp() -> None:
    """Let go of it and of all that is in it. Raises OSError."""
    unmount("/tmp")


def _inside(path: str) -> str:
    return _BUILT_AT + path


def _beneath(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)
