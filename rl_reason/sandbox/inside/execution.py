"""One execution, as the fork-server sees it: starts the program, watches it, ends what is left of it, reports.

The fork-server is process 1 of its process namespace; it runs one execution at a time, so whatever else lives in there
belongs to it. It runs none of the program's code and cannot be touched by it: not dumpable, deaf to signals from
inside, or (without namespaces) outside the program's Landlock domain. When it ends, however it ends, the kernel ends
every process of the namespace.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import select
import signal
import socket
import stat
import time
from typing import Any, NoReturn

from . import landlock, program, root, seccomp
from .kernel import PR_SET_DUMPABLE, PR_SET_PDEATHSIG, drop_capabilities, prctl
from .request import ARTIFACT, STATUS, STOP, Request
from .watch import Watch, end_descendants, tasks_of

FULL, NO_NAMESPACES, RLIMITS = "full", "no_namespaces", "rlimits"
_TICK_MS = 25
_CHUNK = 1 << 20
_OUR_PROCESSES = 2
"""In a user namespace: the fork-server, and the process that waits for it."""


class OwnerGone(Exception):
    """Nobody is there to be told how the execution ends."""


class World:
    """What is the same for every execution of a fork-server."""

    def __init__(self, level: str, seen: list[str], landlock_abi: int, control: socket.socket, owner: int) -> None:
        self.level, self.seen, self.landlock_abi = level, seen, landlock_abi
        self.control, self.owner = control, owner
        self.filters = tuple(seccomp.build(sockets_fail=fail) for fail in (False, True)) if level != RLIMITS else ()
        self.uid = os.getuid()
        self.server = os.pidfd_open(os.getpid())


def run(world: World, request: Request, fds: list[int]) -> None:
    """Start it, wait for its end, write the report. Nothing of it is left then.

    Raises:
        OwnerGone: it was ended for that.
    """
    try:
        folder = _make_folder(world, request)
        try:
            report = _lived(world, request, fds, folder)
            if report["code"] == 0 and request.fetch:
                _hand_out(os.path.join(folder, program.ARTIFACT_NAME), fds[ARTIFACT], request.file_bytes)
        finally:
            _remove_folder(world, folder)
    except OSError as error:
        report = {"fault": f"{error.filename or 'system call'}: {error.strerror}"}
    _write(fds[STATUS], report)


def _lived(world: World, request: Request, fds: list[int], folder: str) -> dict[str, Any]:
    """The program's life, from its first process to the end of its last one; how it went."""
    watch = Watch(request)
    pid = os.fork()
    if pid == 0:
        _become_program(world, request, fds, folder)
    try:
        return _supervise(world, pid, watch)
    finally:
        _end_all(world)


def _make_folder(world: World, request: Request) -> str:
    """The program's private working folder."""
    if world.level == FULL:
        root.mount_tmp(request.folder_bytes, request.folder_inodes)
        return "/tmp"
    folder = os.path.join("/tmp", f"rl-reason-sandbox-{os.getpid()}-{time.monotonic_ns():x}")
    os.mkdir(folder, 0o700)
    return folder


def _remove_folder(world: World, folder: str) -> None:
    if world.level == FULL:
        root.unmount_tmp()
    else:
        import shutil  # preloaded at these levels; a megabyte that a start at level full need not copy

        shutil.rmtree(folder, ignore_errors=True)


def _become_program(world: World, request: Request, fds: list[int], folder: str) -> NoReturn:
    """In the child: capabilities, descriptors, limits, Landlock, seccomp, and then the program itself."""
    status = fds[STATUS]
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if select.select([world.server], [], [], 0)[0]:  # the fork-server died before the line above
            os._exit(1)
        prctl(PR_SET_DUMPABLE, 1)  # its own /proc is its own to read
        os.setsid()
        drop_capabilities()
        os.chdir(folder)
        status, start = program.prepare(fds, folder, fetch=bool(request.fetch))
        _set_limits(request, _OUR_PROCESSES if world.level == FULL else tasks_of(world.uid))
        _die_first()
        if world.level != RLIMITS:
            read = root.readable(world.seen, own_root=world.level == FULL)
            landlock.confine(world.landlock_abi, read=read, write=[folder, "/dev/null"])
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
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


def _supervise(world: World, pid: int, watch: Watch) -> dict[str, Any]:
    """Wait until the program ends, passes a limit or is stopped; returns how it ended."""
    begun = time.monotonic()
    program_end, control = os.pidfd_open(pid), world.control.fileno()
    poll = select.poll()
    for handle in (program_end, control, world.owner):
        poll.register(handle, select.POLLIN)
    cause = ""
    while not cause and watch.status is None:
        happened = {handle for handle, _ in poll.poll(_TICK_MS)}
        watch.reap(pid)
        if watch.status is not None:
            break
        if world.owner in happened or (control in happened and world.control.recv(len(STOP)) != STOP):
            raise OwnerGone
        if control in happened:
            cause = watch.look(pid) or "stopped"
        elif not happened:
            cause = watch.look(pid)
    os.close(program_end)
    code = None if watch.status is None else os.waitstatus_to_exitcode(watch.status)
    return {
        "code": code if code is None or code >= 0 else None,
        "signal": -code if code is not None and code < 0 else 0,
        "cause": cause,
        "waited_s": watch.waited_s(pid) if watch.status is None else 0.0,
        "cpu_s": watch.cpu_s,
        "resident_bytes": watch.resident_bytes,
        "wall_s": time.monotonic() - begun,
    }


def _end_all(world: World) -> None:
    """Kill and collect every process that is left of the execution."""
    if world.level != FULL:
        end_descendants()
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)  # everybody in the process namespace but its process 1
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _hand_out(path: str, target: int, limit: int) -> None:
    """Copy what the program left; anything but a regular file of bounded size is as good as nothing."""
    try:
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # not there, a link, …: the grader sees an empty artifact
        return
    try:
        about = os.fstat(source)
        if not stat.S_ISREG(about.st_mode) or about.st_size > limit:
            return
        while os.sendfile(target, source, None, _CHUNK):
            pass
    finally:
        os.close(source)


def _write(status: int, report: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
        os.write(status, json.dumps(report).encode() + b"\n")
