"""The grader's end of one execution: reads its output within bounds, kills it at its limits, says how it ended."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from typing import Any, Protocol

from rl_reason.sandbox.records import Execution, Job, Status

_CHUNK = 1 << 16
_SHELL_ADDS = 128
"""A shell exits with this plus the number of the signal that ended its last command."""
_LOOK_S = 0.02
_GRACE_S = 1.0
"""An execution that is not gone so long after it was told to end is given up as a fault of the machine."""
_OUT_OF_MEMORY = (b"MemoryError", b"std::bad_alloc", b"heap out of memory", b"java.lang.OutOfMemoryError")
_FAILED_ALLOCATION_TAIL = 4096


class Ends(Protocol):
    """What can end an execution: its fork-server."""

    def stop(self) -> None:
        """Ask for it."""
        ...

    def close(self) -> None:
        """See to it."""
        ...


class Running:
    """One execution under way. Feed `ready` with the descriptors that `waits_for` names until `done`."""

    def __init__(
        self,
        job: Job,
        server: Ends | None,
        pipes: dict[str, int],
        *,
        artifact: int = -1,
    ) -> None:
        self.job, self._server, self._artifact = job, server, artifact
        self._open = {fd: name for name, fd in pipes.items()}
        self._status_fd, self._report_fd = pipes["status"], pipes.get("report", -1)
        for fd in self._open:
            fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK)
        self._texts = {name: bytearray() for name in pipes}
        self._begun = time.monotonic()
        self._deadline = self._begun + job.limits.end_s
        self._ended_by: Status | None = None
        self._eager = False
        self.done: Execution | None = None
        """Set at its end."""

    @classmethod
    def failed(cls, job: Job, pipes: dict[str, int], why: str) -> Running:
        """One that could not be started."""
        running = cls(job, None, pipes)
        running._finish(Status.FAULT, why, {})
        return running

    def waits_for(self) -> list[int]:
        """Descriptors to poll for reading. A report is looked at now and then, as it comes in many short lines."""
        return [fd for fd, name in self._open.items() if name != "report" or self._eager]

    def remaining_s(self) -> float:
        """Until `ready` must be called, whether something is ready or not."""
        left_s = max(0.0, self._deadline - time.monotonic())
        return left_s if self._report_fd < 0 or self._eager else min(left_s, _LOOK_S)

    def ready(self, fds: set[int]) -> None:
        """Take in what has come; afterwards `done` may be set."""
        for fd in fds & set(self._open):
            self._read(fd)
        if self._report_fd in self._open and self._report_fd not in fds:
            self._eager = self._read(self._report_fd) >= _CHUNK // 4
        if self._status_fd not in self._open or b"\n" in self._texts["status"]:
            self._conclude()
        elif time.monotonic() >= self._deadline:
            self.stop(Status.TIME)

    def stop(self, why: Status) -> None:
        """End it; it is `done` once nothing of it is left."""
        assert self._server is not None
        if self._ended_by is None:
            self._ended_by = why
            self._server.stop()
            self._deadline = time.monotonic() + _GRACE_S
        elif time.monotonic() >= self._deadline:
            self._server.close()
            self._finish(Status.FAULT, f"it would not end within {_GRACE_S:g} s", {})

    def _read(self, fd: int) -> int:
        """One chunk, of so many bytes; 0 when there is none now or ever."""
        name = self._open[fd]
        try:
            chunk = os.read(fd, _CHUNK)
        except BlockingIOError:
            return 0
        if not chunk:
            os.close(fd)
            del self._open[fd]
            return 0
        text = self._texts[name]
        room = self.job.limits.output_bytes - len(text) if name != "status" else _CHUNK
        text += chunk[:room]
        if len(chunk) > room:
            self.stop(Status.FLOOD)
        return len(chunk)

    def _conclude(self) -> None:
        """All of its processes are gone: what they wrote is in the pipes."""
        for fd in list(self._open):
            while fd in self._open and self._read(fd):
                pass
        first, _, _ = bytes(self._texts["status"]).partition(b"\n")
        told: dict[str, Any] = json.loads(first) if first else {}
        self._finish(*self._judge(told), told)

    def _judge(self, told: dict[str, Any]) -> tuple[Status, str]:
        limits = self.job.limits
        if told.get("cause") == "time":
            return Status.TIME, f"used {limits.time_s:g} s of processor time"
        if told.get("cause") == "wall":
            return Status.TIME, f"did not end within {limits.patience_s:g} s"
        if self._ended_by is Status.TIME:
            return Status.TIME, f"cut short after {limits.end_s:.3g} s"
        if self._ended_by is Status.FLOOD:
            return Status.FLOOD, f"wrote more than {limits.output_bytes} bytes"
        if self._ended_by is not None:
            return self._ended_by, ""
        if "fault" in told:
            return Status.FAULT, str(told["fault"])
        if not told:
            return Status.FAULT, "the fork-server was killed from outside"
        if told["cause"] == "memory":
            return Status.MEMORY, f"used more than {limits.memory_mib} MiB"
        if told["signal"]:
            return self._by_signal(told["signal"])
        return self._by_code(told["code"])

    def _by_code(self, code: int) -> tuple[Status, str]:
        if code == 0:
            return Status.OK, ""
        if code == _SHELL_ADDS + signal.SIGSYS:
            return Status.FORBIDDEN, "a process of it was killed at a forbidden system call"
        if self._told_of_memory():
            return Status.MEMORY, f"could not have more than {self.job.limits.memory_mib} MiB"
        return Status.ERROR, f"exit code {code}"

    def _by_signal(self, number: int) -> tuple[Status, str]:
        if number == signal.SIGSYS:
            return Status.FORBIDDEN, "killed at a forbidden system call"
        if number == signal.SIGXCPU:
            return Status.TIME, f"used {self.job.limits.time_s:g} s of processor time"
        if number == signal.SIGXFSZ:
            return Status.FLOOD, f"wrote a file of over {self.job.limits.file_mib} MiB"
        if self._told_of_memory():
            return Status.MEMORY, f"could not have more than {self.job.limits.memory_mib} MiB"
        return Status.ERROR, f"killed by {signal.Signals(number).name}"

    def _told_of_memory(self) -> bool:
        tail = self._texts["stderr"][-_FAILED_ALLOCATION_TAIL:]
        return any(word in tail for word in _OUT_OF_MEMORY)

    def _finish(self, status: Status, detail: str, told: dict[str, Any]) -> None:
        for fd in self._open:
            os.close(fd)
        self._open.clear()
        self.done = Execution(
            status,
            detail,
            stdout=bytes(self._texts["stdout"]),
            stderr=bytes(self._texts["stderr"]),
            report=bytes(self._texts.get("report", b"")),
            exit_code=told.get("code"),
            signal=told.get("signal", 0),
            seconds=time.monotonic() - self._begun,
            cpu_s=told.get("cpu_s", 0.0),
            waited_s=told.get("waited_s", 0.0),
            cut_short=self._ended_by is Status.TIME and told.get("cause") not in ("time", "wall"),
            resident_bytes=told.get("resident_bytes", 0),
            artifact=self._artifact,
        )
