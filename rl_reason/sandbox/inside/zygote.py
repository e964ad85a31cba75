"""The fork-server: one thread, standard modules imported, no secrets. Starts an execution within milliseconds.

Told on a socket (request.py) to start one, it clones a child into new namespaces (init.py) and answers with a pidfd of
it. It ends when its socket ends or its owner dies, and with it, by parent-death signal, every execution.
"""

from __future__ import annotations

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

from . import init, kernel, landlock, root
from .request import MAX_FDS, Request

READY = b"ready"
_PRELOADED = (
    "abc", "array", "bisect", "calendar", "cmath", "collections", "contextlib", "copy", "dataclasses", "datetime",
    "decimal", "enum", "fractions", "functools", "heapq", "inspect", "io", "itertools", "json", "math",
    "numbers", "operator", "queue", "random", "re", "statistics", "string", "struct", "sys", "textwrap", "threading",
    "time", "traceback", "typing", "unicodedata",
)  # fmt: skip


def main(control: int, owner: int) -> None:
    """Entry of the process: its socket and a pidfd of its owner. The first message is the settings, as JSON."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    connection = socket.socket(fileno=control)
    settings = json.loads(connection.recv(1 << 16))
    try:
        world = _settle_down(settings)
    except OSError as error:
        connection.send(f"{error.filename or 'system call'}: {error.strerror}".encode())
        return
    gc.collect()
    gc.freeze()
    connection.send(READY)
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    poll.register(owner, select.POLLIN)
    while True:
        if any(handle == owner for handle, _ in poll.poll()):
            return
        message, fds, _, _ = socket.recv_fds(connection, 1024, MAX_FDS)
        if not message:
            return
        _start(world, connection, message, fds)


def _start(world: init.World, connection: socket.socket, message: bytes, fds: list[int]) -> None:
    try:
        pid, pidfd = kernel.clone(world.flags)
    except OSError as error:
        connection.send(f"clone: {error.strerror}".encode())
    else:
        if pid == 0:
            places = json.loads(message[Request.size() :])
            init.run(world, Request.unpacked(message[: Request.size()]), [-1 if at < 0 else fds[at] for at in places])
        socket.send_fds(connection, [READY], [pidfd])
        os.close(pidfd)
    for handle in fds:
        os.close(handle)


def _settle_down(settings: dict[str, Any]) -> init.World:
    """Import, build the root, become nobody."""
    for name in _PRELOADED:
        importlib.import_module(name)
    random.seed(0)  # every execution begins with the same numbers
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _forget_limit(resource.RLIMIT_AS)  # the pool's for its worker: not ours
    level, seen = settings["level"], root.visible(settings["prefix"], settings["visible"])
    abi = landlock.abi()
    flags = 0
    if level == init.FULL:
        flags = kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID | kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC
        flags |= kernel.CLONE_NEWUTS | kernel.CLONE_NEWCGROUP
        own_network = abi < landlock.SCOPES_SIGNALS  # else one empty network for all: 2 ms less a start
        flags |= kernel.CLONE_NEWNET if own_network else 0
        user = 0 if kernel.may_administer() else kernel.CLONE_NEWUSER
        if user:
            _drop_user(settings["uid"])
        ids = os.getuid(), os.getgid()
        kernel.unshare(user | kernel.CLONE_NEWNS | kernel.CLONE_NEWNET)
        if user:
            init.map_ids(*ids)
        root.enter(seen, settings["hidden"])
    _drop_user(settings["uid"])
    kernel.drop_capabilities()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    return init.World(level, seen, abi, flags)


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
