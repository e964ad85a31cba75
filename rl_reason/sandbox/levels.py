"""The levels of isolation, and what of the host keeps one from working."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from rl_reason.sandbox.inside import kernel, landlock, seccomp

_SWITCHES = (
    ("/proc/sys/user/max_user_namespaces", "0", "user namespaces (sysctl user.max_user_namespaces is 0)"),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "user namespaces (sysctl kernel.unprivileged_userns_clone is 0)",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns is 1)",
    ),
)


class Level(StrEnum):
    """How much stands between a program and the host. Resource limits and an environment of its own always do."""

    FULL = "full"
    """Namespaces (user, process, mount, network, ipc, host name, cgroup), a read-only root, Landlock, seccomp."""
    NO_NAMESPACES = "no_namespaces"
    """Landlock, seccomp: the host's processes are seen but not reached, its files neither, but for the system's."""
    RLIMITS = "rlimits"
    """Limits only: for programs that are trusted and merely may run wild. Nothing is kept from them."""


def missing(level: Level) -> list[str]:
    """Primitives of the host that a level needs and that are plainly not there, by name. Empty promises nothing yet."""
    lacking: list[str] = []
    if not kernel.SUPPORTED:
        lacking.append(f"system call numbers for {kernel.MACHINE} (known: x86_64, aarch64)")
    if level is Level.RLIMITS or lacking:
        return lacking
    if not seccomp.SUPPORTED:
        lacking.append(f"a seccomp filter for {kernel.MACHINE}")
    abi = landlock.abi()
    if abi < 1:
        lacking.append("Landlock (Linux 5.13, enabled at boot)")
    elif level is Level.NO_NAMESPACES and abi < landlock.SCOPES_SIGNALS:
        lacking.append(
            f"Landlock ABI {landlock.SCOPES_SIGNALS} (Linux 6.12), which keeps signals inside; this has {abi}"
        )
    if level is Level.FULL:
        lacking += [what for path, bad, what in _SWITCHES if _reads(path) == bad]
    return lacking


def _reads(path: str) -> str:
    file = Path(path)
    return file.read_text().strip() if file.exists() else ""
