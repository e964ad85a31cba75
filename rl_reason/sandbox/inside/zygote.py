"""The fork-server: one thread, standard modules imported, no secrets. Starts an execution within milliseconds.

Told on a socket (request.py) to run one, it does so (execution.py) before it takes the next message. It ends when its
socket ends or its owner dies, and with it every process of its namespaces.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import random
import resource
import select
import signal
import socket
from typing import Any

from . import execution, kernel, landlock, python_program, root
from .request import MAX_FDS, STOP, Request

READY = b"ready"
_PRELOADED = (
    "abc", "array", "bisect", "cmath", "collections", "contextlib", "copy", "datetime", "decimal", "enum", "fractions",
    "functools", "heapq", "io", "itertools", "json", "math", "operator", "random", "re", "string", "struct", "sys",
    "textwrap", "threading", "time", "traceback", "typing",
)  # fmt: skip
"""What many programs import. Each megabyte of them costs every start 0.15 ms: its page tables made and unmade."""


def main(control: int, owner: int) -> None:
    """Entry of the process: its socket and a pidfd of its owner. The first message is the settings, as JSON."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    connection = socket.socket(fileno=control)
    settings = json.loads(connection.recv(1 << 16))
    try:
        world = _settle_down(settings, connection, owner)
    except OSError as error:
        connection.send(f"{error.filename or 'system call'}: {error.strerror}".encode())
        return
    gc.collect()
    gc.freeze()
    connection.send(READY)
    with contextlib.suppress(execution.OwnerGone):
        while _serve(world):
            pass


def _serve(world: execution.World) -> bool:
    """One message, and the execution that it asks for; False when there will be none any more."""
    ready, _, _ = select.select([world.control, world.owner], [], [])
    if world.owner in ready:
        return False
    message, received, _, _ = socket.recv_fds(world.control, 1024, MAX_FDS)
    if message != STOP and message:  # one that came after the end that it wanted
        execution.run(world, *Request.unpacked(message, received))
    for handle in received:
        os.close(handle)
    return bool(message)


def _settle_down(settings: dict[str, Any], connection: socket.socket, owner: int) -> execution.World:
    """Import, build the root, become nobody, and process 1 of new namespaces."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _forget_limit(resource.RLIMIT_AS)  # the pool's for its worker: not ours
    level, seen = settings["level"], root.visible(settings["prefix"], settings["visible"])
    full = level == execution.FULL
    for name in (*_PRELOADED, *(() if full else ("shutil",))):  # as long as the library can surely be read
        importlib.import_module(name)
    if full:
        own_user = 0 if kernel.may_administer() else kernel.CLONE_NEWUSER
        if own_user:
            _drop_user(settings["uid"])
        ids = os.getuid(), os.getgid()
        kernel.unshare(own_user | kernel.CLONE_NEWNS | kernel.CLONE_NEWNET)
        if own_user:
            _map_ids(*ids)
        root.enter(seen, settings["hidden"])
    _drop_user(settings["uid"])
    os.listdir(os.path.dirname(os.__file__))  # programs will want more of the library than is imported already
    kernel.limit_capabilities()
    kernel.drop_capabilities()
    if full:
        _become_process_1()
        kernel.limit_capabilities()
    else:
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)  # what the programs start stays below this process
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    python_program.open_streams()
    random.seed(0)  # every execution begins with the same numbers
    return execution.World(level, seen, landlock.abi(), connection, owner)


def _become_process_1() -> None:
    """Go on in a child that is the first process of new namespaces, and may mount in them; this one waits for its end.

    Raises:
        OSError: the kernel refuses them.
    """
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # or /proc/self would not be ours to write
    ids, outer = (os.getuid(), os.getgid()), os.pidfd_open(os.getpid())
    kernel.unshare(
        kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID | kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC
        | kernel.CLONE_NEWUTS | kernel.CLONE_NEWCGROUP
    )  # fmt: skip
    _map_ids(*ids)
    pid = os.fork()
    if pid:
        kernel.close_all_but(())
        os.waitpid(pid, 0)
        os._exit(0)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if select.select([outer], [], [], 0)[0]:  # it died before the line above
        os._exit(1)
    os.close(outer)
    root.own_proc()


def _map_ids(uid: int, gid: int) -> None:
    """Give this new user namespace one user and one group. Raises OSError."""
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{root.INNER_ID} {uid} 1"),
        ("gid_map", f"{root.INNER_ID} {gid} 1"),
    ):
        handle = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(handle, text.encode())
        os.close(handle)


def _forget_limit(which: int) -> None:
    """Lift an inherited limit as far as this process may."""
    try:
        resource.setrlimit(which, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except ValueError:
        ceiling = resource.getrlimit(which)[1]
        resource.setrlimit(which, (ceiling, ceiling))


def _drop_user(uid: int) -> None:
    """Become an unused user, for good, where that is possible (as root); 0 stays who it is."""
    if uid and os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
