"""Process 1 of one execution: makes its world, starts the program in it, watches it, reports how it ended.

It runs none of the program's code and cannot be touched by it: another process, not dumpable, first of its process
namespace (signals from inside do not reach it), or outside the program's Landlock domain. When it ends, however it
ends, the kernel ends every process of the namespace.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import select
import shutil
import signal
import stat
import time
from typing import Any, NoReturn

from . import landlock, program, root, seccomp
from .kernel import (
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    close_all_but,
    drop_capabilities,
    prctl,
)
from .request import ARTIFACT, STATUS, Request
from .watch import Watch, end_descendants, tasks_of

FULL, NO_NAMESPACES, RLIMITS = "full", "no_namespaces", "rlimits"
_TICK_S = 0.025
_CHUNK = 1 << 20


class World:
    """What is the same for every execution of a fork-server."""

    def __init__(self, level: str, seen: list[str], landlock_abi: int, flags: int) -> None:
        self.level, self.seen, self.landlock_abi, self.flags = level, seen, landlock_abi, flags
        self.filters = tuple(seccomp.build(sockets_fail=fail) for fail in (False, True)) if level != RLIMITS else ()
        self.uid, self.gid = os.getuid(), os.getgid()
        self.server = os.pidfd_open(os.getpid())


def run(world: World, request: Request, fds: list[int]) -> NoReturn:
    """The life of process 1, in the child that clone() made."""
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        folder = _make_world(world, request)
        prctl(PR_SET_DUMPABLE, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL if world.level == FULL else signal.SIGTERM)
        if select.select([world.server], [], [], 0)[0]:  # the fork-server died before the line above
            os._exit(1)
        pid = os.fork()
        if pid == 0:
            _become_program(world, request, fds, folder)
        close_all_but((fds[STATUS], fds[ARTIFACT]))
        report = _supervise(pid, Watch(request, pid))
        if report["code"] == 0 and request.fetch:
            _hand_out(os.path.join(folder, program.ARTIFACT_NAME), fds[ARTIFACT], request.file_bytes)
        if world.level != FULL:
            end_descendants()
            shutil.rmtree(folder, ignore_errors=True)
        _write(fds[STATUS], report)
        code = 0
    except OSError as error:
        _write(fds[STATUS], {"fault": f"{error.filename or 'system call'}: {error.strerror}"})
    finally:
        os._exit(code)


def _make_world(world: World, request: Request) -> str:
    """Ids, mounts, capabilities; returns the working folder."""
    if world.level != FULL:
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        folder = os.path.join("/tmp", f"rl-reason-sandbox-{os.getpid()}-{time.monotonic_ns():x}")
        os.mkdir(folder, 0o700)
        return folder
    prctl(PR_SET_DUMPABLE, 1)  # or /proc/self would not be ours to write
    map_ids(world.uid, world.gid)
    root.own_tmp(request.folder_bytes, request.folder_inodes)
    root.own_proc()
    drop_capabilities()
    return "/tmp"


def map_ids(uid: int, gid: int) -> None:
    """Give this new user namespace one user and one group. Raises OSError."""
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{root.INNER_ID} {uid} 1"),
        ("gid_map", f"{root.INNER_ID} {gid} 1"),
    ):
        handle = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(handle, text.encode())
        os.close(handle)


def _become_program(world: World, request: Request, fds: list[int], folder: str) -> NoReturn:
    """In the child: descriptors, limits, Landlock, seccomp, and then the program itself."""
    status = fds[STATUS]
    try:
        prctl(PR_SET_DUMPABLE, 1)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.chdir(folder)
        status, start = program.prepare(fds, folder, fetch=bool(request.fetch))
        _set_limits(request, 0 if world.level == FULL else tasks_of(world.uid))
        _die_first()
        if world.level != RLIMITS:
            read = root.readable(world.seen, own_root=world.level == FULL)
            landlock.confine(world.landlock_abi, read=read, write=[folder, "/dev/null"])
            prctl(PR_SET_NO_NEW_PRIVS, 1)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if world.filters:
            seccomp.apply(world.filters[request.sockets_fail])
    except Exception as error:  # whatever it is, it comes before the program's first instruction and is not its fault
        _write(status, {"fault": f"{type(error).__name__}: {error}"})
        os._exit(1)
    try:
        start()
    except OSError as error:  # of exec: all other kinds of program end the process themselves
        _write(status, {"fault": f"cannot start {error.filename}: {error.strerror}"})
    finally:
        os._exit(1)


def _set_limits(request: Request, others: int) -> None:
    """`others` are processes of the same user that the kernel counts with the program's."""
    seconds = math.ceil(request.cpu_s) + 1
    limits = [
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_CPU, seconds, seconds + 1),
        (resource.RLIMIT_FSIZE, request.file_bytes, request.file_bytes),
        (resource.RLIMIT_NOFILE, request.open_files, request.open_files),
        (resource.RLIMIT_STACK, request.stack_bytes, request.stack_bytes),
        (resource.RLIMIT_NPROC, request.processes + others, request.processes + others),
        (resource.RLIMIT_MEMLOCK, 0, 0),
        (resource.RLIMIT_MSGQUEUE, 0, 0),
    ]
    if request.memory_bytes:
        limits.append((resource.RLIMIT_AS, request.memory_bytes, request.memory_bytes))
    for which, soft, hard in limits:
        ceiling = resource.getrlimit(which)[1]  # what this user may have at all
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.setrlimit(which, (soft, hard))


def _die_first() -> None:
    """Should the machine run out of memory, the kernel ends the program, not its neighbours."""
    with contextlib.suppress(OSError):
        handle = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(handle, b"1000")
        os.close(handle)


def _supervise(pid: int, watch: Watch) -> dict[str, Any]:
    """Wait until the program ends or passes a limit; returns how it ended."""
    begun = next_look = time.monotonic()
    cause = ""
    while True:
        told = signal.sigtimedwait({signal.SIGCHLD, signal.SIGTERM}, _TICK_S)
        ended = _reap(pid)
        if ended is None and told is not None and told.si_signo == signal.SIGTERM:
            cause = watch.look() or "stopped"
        if ended is None and not cause and time.monotonic() >= next_look + _TICK_S:
            cause, next_look = watch.look(), time.monotonic()
        if ended is None and not cause:
            continue
        code = None if ended is None else os.waitstatus_to_exitcode(ended)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "code": code if code is None or code >= 0 else None,
            "signal": -code if code is not None and code < 0 else 0,
            "cause": cause,
            "waited_s": watch.waited_s() if ended is None else 0.0,
            "cpu_s": used.ru_utime + used.ru_stime if ended is not None else watch.cpu_s,
            "resident_bytes": used.ru_maxrss * 1024,
            "wall_s": time.monotonic() - begun,
        }


def _reap(program_pid: int) -> int | None:
    """Collect every child that has ended; the wait status of the program if it is among them."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if pid == 0:
            return None
        if pid == program_pid:
            return status


def _hand_out(path: str, target: int, limit: int) -> None:
    """Copy what the program left; anything but a regular file of bounded size is as good as nothing."""
    try:
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # not there, a link, …: the grader sees an empty artifact
        return
    about = os.fstat(source)
    if not stat.S_ISREG(about.st_mode) or about.st_size > limit:
        return
    while os.sendfile(target, source, None, _CHUNK):
        pass


def _write(status: int, report: dict[str, Any]) -> None:
    os.write(status, json.dumps(report).encode() + b"\n")
