"""The sandbox: runs jobs, one or many at once, each in a fresh world of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from rl_reason.errors import SandboxError
from rl_reason.sandbox.levels import Level, missing
from rl_reason.sandbox.records import Execution, Job, Status
from rl_reason.sandbox.running import Running
from rl_reason.sandbox.server import Server

SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
_MAX_AT_ONCE = 64


class Sandbox:
    """Fork-servers, as many as there are executions at once. A context manager; for one thread at a time.

    Args:
        level: refuses to start below it; a weaker one than `full` is a decision of the caller's, never a fall-back.
        python: interpreter that Python programs run in; this one (its base, not its virtual environment) if empty.
        visible: more folders that programs may read, such as a compiler's outside /usr.
        servers: how many executions at once it is to be ready for; more are started when there are more.

    Raises:
        SandboxError: the host lacks something that the level needs; the message names it.
    """

    def __init__(
        self, level: Level | str = Level.FULL, *, python: str = "", visible: Sequence[str] = (), servers: int = 1
    ) -> None:
        self.level = Level(level)
        lacking = missing(self.level)
        if lacking:
            raise SandboxError(
                f"the sandbox cannot start at level {self.level.value!r}: this host lacks {'; '.join(lacking)}. "
                f"Weaker levels, if good enough, are named by the caller: {', '.join(Level)}"
            )
        own = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
        self._python, self._visible = python or str(own), tuple(visible)
        self._servers: dict[Server, Running | None] = {}
        """Each with what it runs, or ran last."""
        for _ in range(servers):
            self._add_server()
        trial = self.run(Job({"kind": "python", "source": "print(6 * 7)"}))
        if trial.stdout != b"42\n":
            self.close()
            raise SandboxError(
                f"the sandbox does not work at level {self.level.value!r}: {trial.status.value}: {trial.detail} "
                f"{trial.stderr[-300:].decode(errors='replace')}".rstrip()
            )

    @property
    def server_pids(self) -> list[int]:
        """Process ids of the fork-servers, the first one first."""
        return [server.pid for server in self._servers]

    def run(self, job: Job) -> Execution:
        """Run one job to its end. What goes wrong is in the execution's status; nothing is raised."""
        (execution,) = self.run_many([job], at_once=1)
        return execution

    def run_many(self, jobs: Iterable[Job], *, at_once: int = 2) -> Iterator[Execution]:
        """Run jobs, so many at once; executions in the order of the jobs, as soon as their turn has come.

        Jobs are taken from the iterable only when there is room for them.
        """
        if not 1 <= at_once <= _MAX_AT_ONCE:
            raise ValueError(f"at_once must be 1 to {_MAX_AT_ONCE}, not {at_once}")
        source, more = iter(jobs), True
        under_way: deque[Running] = deque()
        try:
            while True:
                while more and sum(one.done is None for one in under_way) < at_once:
                    job = next(source, None)
                    more = job is not None
                    if job is not None:
                        under_way.append(self.start(job))
                while under_way and under_way[0].done is not None:
                    yield under_way.popleft().done  # pyright: ignore[reportReturnType]
                if not under_way and not more:
                    return
                drive(under_way)
        finally:
            self.stop(under_way)

    def start(self, job: Job) -> Running:
        """Begin a job and return at once; `drive` it to its end."""
        with contextlib.ExitStack() as given:
            pipes: dict[str, int] = {}
            theirs: list[int] = []
            for name in ("stdout", "stderr", "status", *(("report",) if job.reports else ())):
                reading, writing = os.pipe()
                pipes[name] = reading
                theirs.append(writing)
                given.callback(os.close, writing)
            payload = _file("payload", job.payload_bytes())
            stdin = _file("stdin", job.stdin)
            given.callback(os.close, payload)
            given.callback(os.close, stdin)
            artifact = job.artifact
            if job.fetch:
                artifact = os.memfd_create("artifact", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            fds = [payload, stdin, *theirs[:3], artifact, *theirs[3:], *job.channels]
            try:
                server = self._idle_server()
                server.begin(job.limits.request(fetch=job.fetch), fds)
            except SandboxError as error:
                return Running.failed(job, pipes, str(error))
        running = Running(job, server, pipes, artifact=artifact if job.fetch else -1)
        self._servers[server] = running
        return running

    def stop(self, executions: Iterable[Running]) -> None:
        """End executions that are under way, and wait until they are gone."""
        left = [one for one in executions if one.done is None]
        for one in left:
            one.stop(Status.STOPPED)
        while any(one.done is None for one in left):
            drive(left)

    def close(self) -> None:
        """End the fork-servers and everything under way. Twice is harmless."""
        for server in self._servers:
            server.close()

    def _idle_server(self) -> Server:
        for server, running in self._servers.items():
            if running is None or running.done is not None:
                return server
        return self._add_server()

    def _add_server(self) -> Server:
        server = Server(self.level.value, python=self._python, visible=self._visible)
        self._servers[server] = None
        return server

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def drive(executions: Iterable[Running]) -> None:
    """Wait until something happens to any of the executions that are under way, and deal with it."""
    live = [one for one in executions if one.done is None]
    if not live:
        return
    poll = select.poll()
    for one in live:
        for fd in one.waits_for():
            poll.register(fd, select.POLLIN)
    patience_s = min(one.remaining_s() for one in live)
    happened = {fd for fd, _ in poll.poll(patience_s * 1000 + 1)}
    for one in live:
        one.ready(happened)


def _file(name: str, content: bytes) -> int:
    """A sealed file in memory, at its beginning: whoever gets it can read it, and nobody can change it."""
    handle = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    written = 0
    while written < len(content):
        written += os.pwrite(handle, content[written:], written)
    fcntl.fcntl(handle, fcntl.F_ADD_SEALS, SEALS)
    return handle
