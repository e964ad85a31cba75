"""The seccomp filter: what no honest program needs kills the process, what run-times merely try is refused.

A killed process ends with SIGSYS, which the grader reports as a forbidden system call. New system calls that this
file has not heard of do not exist for the program (ENOSYS). Sources: linux/seccomp.h, asm/unistd_64.h, asm-generic.
"""

from __future__ import annotations

import ctypes
import errno
import struct

from .kernel import MACHINE, syscall

_LAST_KNOWN = 450
_COMMON = {  # numbers that every machine shares
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "clone3": 435, "pidfd_getfd": 438,
    "process_madvise": 440, "mount_setattr": 442, "quotactl_fd": 443, "memfd_secret": 447, "process_mrelease": 448,
    "set_mempolicy_home_node": 450,
}  # fmt: skip
_KILLED = {
    "x86_64": {
        "ptrace": 101, "syslog": 103, "uselib": 134, "pivot_root": 155, "_sysctl": 156, "adjtimex": 159, "chroot": 161,
        "acct": 163, "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169,
        "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173, "create_module": 174, "init_module": 175,
        "delete_module": 176, "quotactl": 179, "nfsservctl": 180, "lookup_dcookie": 212, "clock_settime": 227,
        "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272, "vmsplice": 278,
        "fanotify_init": 300, "name_to_handle_at": 303, "open_by_handle_at": 304, "clock_adjtime": 305, "setns": 308,
        "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "finit_module": 313, "kexec_file_load": 320,
        "bpf": 321, "userfaultfd": 323,
    },
    "aarch64": {
        "lookup_dcookie": 18, "umount2": 39, "mount": 40, "pivot_root": 41, "nfsservctl": 42, "chroot": 51,
        "quotactl": 60, "vmsplice": 75, "acct": 89, "unshare": 97, "kexec_load": 104, "init_module": 105,
        "delete_module": 106, "clock_settime": 112, "syslog": 116, "ptrace": 117, "reboot": 142, "sethostname": 161,
        "setdomainname": 162, "settimeofday": 170, "adjtimex": 171, "add_key": 217, "request_key": 218, "keyctl": 219,
        "swapon": 224, "swapoff": 225, "fanotify_init": 262, "name_to_handle_at": 264, "open_by_handle_at": 265,
        "clock_adjtime": 266, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272,
        "finit_module": 273, "bpf": 280, "userfaultfd": 282, "kexec_file_load": 294,
    },
}  # fmt: skip
_KILLED_EVERYWHERE = (
    "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "pidfd_getfd", "process_madvise",
    "mount_setattr", "quotactl_fd", "process_mrelease",
)  # fmt: skip
_REFUSED = {
    "x86_64": {
        "shmget": 29, "semget": 64, "msgget": 68, "setsid": 112, "personality": 135, "sched_setparam": 142,
        "sched_setscheduler": 144, "sched_setaffinity": 203, "mbind": 237, "set_mempolicy": 238, "mq_open": 240,
        "ioprio_set": 251, "migrate_pages": 256, "move_pages": 279, "perf_event_open": 298, "sched_setattr": 314,
        "memfd_create": 319,
    },
    "aarch64": {
        "ioprio_set": 30, "personality": 92, "sched_setparam": 118, "sched_setscheduler": 119,
        "sched_setaffinity": 122, "setsid": 157, "mq_open": 180, "msgget": 186, "semget": 190, "shmget": 194,
        "mbind": 235, "set_mempolicy": 237, "migrate_pages": 238, "move_pages": 239, "perf_event_open": 241,
        "sched_setattr": 274, "memfd_create": 279,
    },
}  # fmt: skip
"""Memory that no limit counts, sessions of one's own, places of one's own on the processors: EPERM."""
_REFUSED_EVERYWHERE = (
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "memfd_secret",
    "set_mempolicy_home_node",
)
_OF_OTHERS = {"x86_64": {"setpriority": 141, "prlimit64": 302}, "aarch64": {"setpriority": 140, "prlimit64": 261}}
"""Refused unless their first and, of setpriority, second argument is 0: the fork-server is of the same user."""
_SOCKETS = {"x86_64": (41, 53), "aarch64": (198, 199)}
_CLONE = {"x86_64": 56, "aarch64": 220}
_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
SUPPORTED = MACHINE in _ARCH

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NAMESPACES = 0x7E020000  # CLONE_NEW*
_AF_UNIX, _X32 = 1, 0x40000000
_SET_MODE_FILTER = 1


def build(*, sockets_fail: bool) -> bytes:
    """The filter as an array of struct sock_filter; any socket but a Unix one fails with EPERM, or kills."""
    on_socket = _ERRNO | errno.EPERM if sockets_fail else _KILL
    code: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, _ARCH[MACHINE]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
    ]

    def when(number: int, action: int) -> None:
        code.extend([(_EQUAL, 0, 1, number), (_RETURN, 0, 0, action)])

    def at_least(number: int, action: int) -> None:
        code.extend([(_AT_LEAST, 0, 1, number), (_RETURN, 0, 0, action)])

    at_least(_X32, _KILL)
    at_least(_LAST_KNOWN + 1, _ERRNO | errno.ENOSYS)
    for number in [*_KILLED[MACHINE].values(), *(_COMMON[name] for name in _KILLED_EVERYWHERE)]:
        when(number, _KILL)
    for number in [*_REFUSED[MACHINE].values(), *(_COMMON[name] for name in _REFUSED_EVERYWHERE)]:
        when(number, _ERRNO | errno.EPERM)
    when(
        _COMMON["clone3"], _ERRNO | errno.ENOSYS
    )  # its flags are in memory, where no filter sees them; libc uses clone
    for name, number in _OF_OTHERS[MACHINE].items():
        words = (16, 20, 24, 28) if name == "setpriority" else (16, 20)  # of the arguments, low and high halves
        code.append((_EQUAL, 0, 2 * len(words) + 2, number))
        for left, word in zip(range(len(words) - 1, -1, -1), words, strict=True):
            code += [(_LOAD, 0, 0, word), (_EQUAL, 0, 2 * left + 1, 0)]
        code += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    for number in _SOCKETS[MACHINE]:
        code += [(_EQUAL, 0, 4, number), (_LOAD, 0, 0, 16), (_EQUAL, 0, 1, _AF_UNIX)]
        code += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, on_socket)]
    code += [(_EQUAL, 0, 4, _CLONE[MACHINE]), (_LOAD, 0, 0, 16), (_ANY_BIT, 0, 1, _NAMESPACES)]
    code += [(_RETURN, 0, 0, _KILL), (_RETURN, 0, 0, _ALLOW)]
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)


def apply(program: bytes) -> None:
    """Put the filter on this process for good. Raises OSError."""
    array = ctypes.create_string_buffer(program)
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(array)))
    syscall("seccomp", _SET_MODE_FILTER, 0, header)
