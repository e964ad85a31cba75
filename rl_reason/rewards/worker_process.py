"""The parent's handle on one worker process of the verifier pool: start, talk, look at its progress, kill, reap."""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from typing import Any

from rl_reason.rewards.worker_main import CALLED_OFF, PROGRESS, Setup

_BOOT = (
    "import sys; sys.path[:] = {path!r}; from rl_reason.rewards.worker_main import main; main({pipe}, {page}, {pid})"
)
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}


class WorkerProcess:
    """A fresh interpreter (no fork of this process, so no threads or torch come along) in a session of its own.

    It dies with the thread that made it: keep that thread alive for as long as the worker is wanted.
    """

    def __init__(self, setup: Setup) -> None:
        ours, theirs = socket.socketpair()
        page = os.memfd_create("rl-reason-verifier")
        os.ftruncate(page, mmap.PAGESIZE)
        self._page = mmap.mmap(page, mmap.PAGESIZE)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in release
        path = [os.path.abspath(entry) for entry in sys.path]
        boot = _BOOT.format(path=path, pipe=theirs.fileno(), page=page, pid=os.getpid())
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", boot],
                pass_fds=(theirs.fileno(), page),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                env=os.environ | _ENVIRONMENT,
                start_new_session=True,
            )
        finally:
            theirs.close()
            os.close(page)
        self._connection = Connection(ours.detach())
        self.ready = False
        """It has loaded its verifiers."""
        self.idle = False
        """It is ready and has no batch."""
        self.progressed = False
        """It has judged some of its present batch."""
        self.judged = 0
        """Responses, by all of its verifiers or some."""
        self.batch = 0
        """Number of its present or last batch."""
        self.heard = 0.0
        """Monotonic second of the last message to or from it."""
        self.begun = time.monotonic()
        self.send(setup)

    @property
    def pid(self) -> int:
        """Process id, also that of its process group."""
        return self._process.pid

    def fileno(self) -> int:
        """Of the pipe, for a selector."""
        return self._connection.fileno()

    def send(self, message: object) -> None:
        """Hand over one message. A worker that has died shows at the next `receive`, not here."""
        self.heard = time.monotonic()
        try:
            self._connection.send_bytes(pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL))
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self) -> list[tuple[str, Any]] | None:
        """Messages that have come, without waiting; None once the worker is gone and all have been taken."""
        messages: list[tuple[str, Any]] = []
        self.heard = time.monotonic()
        try:
            while self._connection.poll(0):
                messages.append(pickle.loads(self._connection.recv_bytes()))
        except (EOFError, ConnectionResetError):
            return messages or None
        return messages

    def progress(self) -> tuple[float, int, int]:
        """(monotonic second at which the current response was begun, or 0; its number; the verifier at work)."""
        return PROGRESS.unpack_from(self._page, 0)

    def call_off(self) -> None:
        """Leave the present batch alone but for the response that is being judged."""
        CALLED_OFF.pack_into(self._page, PROGRESS.size, self.batch)

    def kill(self) -> list[tuple[str, Any]]:
        """End the worker and all of its process group now; returns the messages that it had still sent."""
        with contextlib.suppress(ProcessLookupError):  # the whole group may be gone already
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        return self.receive() or []

    def epitaph(self) -> str:
        """How a dead worker ended, and the last lines that it wrote to stderr."""
        code = self._process.returncode
        how = f"killed by signal {-code}" if code is not None and code < 0 else f"exited with code {code}"
        self._stderr.seek(0)
        tail = self._stderr.read()[-600:].decode(errors="replace").strip()
        return f"{how}: {tail}" if tail else how

    def release(self) -> None:
        """Close files and memory; call after `kill`."""
        self._connection.close()
        self._stderr.close()
        self._page.close()
