"""The grader's end of a fork-server: start it, give it an execution, start it again when it is gone."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rl_reason.errors import SandboxError
from rl_reason.sandbox.inside.request import STOP, Request
from rl_reason.sandbox.inside.zygote import READY

_BOOT = (
    "import sys; sys.path.insert(0, {home!r}); from inside.fork_hooks import hold_back; hold_back(); "
    "from inside.zygote import main; sys.path.pop(0); main({control}, {owner})"
)
_HOME = Path(__file__).parent
_ENVIRONMENT = {
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "TMPDIR": "/tmp",
}
_START_TIMEOUT_S = 20.0
_SEND_TIMEOUT_S = 5.0
_END_TIMEOUT_S = 1.0
_FIRST_UID, _UIDS = 2_000_000_000, 4_194_304
"""One user id for each process id: nobody else's, and not that of another fork-server."""


class Server:
    """One fork-server, for one execution at a time. It ends with its owner, however that one ends.

    Raises:
        SandboxError: it cannot start at its level; the message names what refused.
    """

    def __init__(self, level: str, *, python: str, visible: Sequence[str]) -> None:
        self._level, self._python, self._visible = level, python, tuple(visible)
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - for as long as this object lives
        self._start()

    def begin(self, request: Request, fds: Sequence[int]) -> None:
        """Start an execution; -1 stands for no descriptor. It is told of through its status descriptor, to its end.

        Raises:
            SandboxError: the fork-server is gone and cannot be started again.
        """
        message, given = request.packed(fds)
        for _ in range(2):
            if self._socket is None:
                self._start()
            assert self._socket is not None
            try:
                socket.send_fds(self._socket, [message], given)
                return
            except OSError as error:  # it died meanwhile
                fault = error
                self.close()
        raise SandboxError(f"the sandbox cannot start a program: the fork-server does not answer: {fault}")

    def stop(self) -> None:
        """End the execution under way, if it has not ended by itself; its report says so."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.send(STOP)

    def close(self) -> None:
        """End it and all of its executions."""
        if self._socket is not None:
            self._socket.close()  # it ends what it runs, and itself
            self._socket = None
        if self._process is not None:
            try:
                self._process.wait(_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        owner = os.pidfd_open(os.getpid())
        boot = _BOOT.format(home=str(_HOME), control=theirs.fileno(), owner=owner)
        try:
            self._process = subprocess.Popen(
                [self._python, "-s", "-S", "-P", "-B", "-c", boot],
                pass_fds=(theirs.fileno(), owner),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                env=_ENVIRONMENT,
                cwd="/",
            )
        except OSError as error:
            ours.close()
            raise SandboxError(f"the sandbox's interpreter {self._python} cannot be started: {error}") from error
        finally:
            theirs.close()
            os.close(owner)
        self._socket = ours
        self._await_ready(ours)

    def _await_ready(self, ours: socket.socket) -> None:
        ours.settimeout(_START_TIMEOUT_S)
        ours.send(json.dumps(self._settings()).encode())
        answer = b""
        with contextlib.suppress(OSError, TimeoutError):
            answer = ours.recv(1 << 16)
        ours.settimeout(_SEND_TIMEOUT_S)
        if answer == READY:
            return
        self.close()
        self._stderr.seek(0)
        last_words = self._stderr.read()[-300:].decode(errors="replace").strip()
        why = answer.decode(errors="replace") or f"the fork-server died while starting: {last_words}"
        raise SandboxError(
            f"the sandbox cannot start at level {self._level!r}: {why}. Give the rights that this needs, or name a "
            "weaker level (no_namespaces, rlimits) if that is good enough for you"
        )

    def _settings(self) -> dict[str, Any]:
        prefix = Path(self._python).parents[1]
        return {
            "level": self._level,
            "prefix": str(prefix),
            "visible": list(self._visible),
            "hidden": _hidden(prefix),
            "uid": _unused_uid(),
        }


def _hidden(prefix: Path) -> list[str]:
    """Third-party packages, of that interpreter and of this process: no business of a program's."""
    packages = [str(path) for name in ("site", "dist") for path in prefix.glob(f"lib/python3*/{name}-packages")]
    library = os.path.dirname(os.__file__)
    ours = [os.path.abspath(entry) for entry in sys.path if not os.path.abspath(entry).startswith(library)]
    return sorted({*packages, *(entry for entry in ours if os.path.isdir(entry))})


def _unused_uid() -> int:
    """A user (and group) id that is nobody's; 0 where this process may not choose, or has no other than its own."""
    if os.geteuid() != 0:
        return 0
    with open("/proc/self/uid_map") as file:
        ranges = [tuple(map(int, line.split())) for line in file]
    for first, count in ((_FIRST_UID, _UIDS), (60_000, 4_999)):
        uid = first + os.getpid() % count
        if any(inside <= uid < inside + length for inside, _, length in ranges) and not _known(uid):
            return uid
    return 0


def _known(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
