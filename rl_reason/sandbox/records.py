"""What goes into the sandbox and what comes out: programs, limits, executions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from rl_reason.sandbox.inside.request import Request

MIB = 1 << 20


class Status(StrEnum):
    """How an execution ended."""

    OK = "ok"
    """Exit code 0, within all limits."""
    ERROR = "runtime error"
    """Another exit code, or a signal."""
    TIME = "time-out"
    MEMORY = "out of memory"
    FLOOD = "output flood"
    FORBIDDEN = "forbidden system call"
    COMPILE = "compile error"
    STOPPED = "stopped"
    """The caller ended it."""
    FAULT = "sandbox fault"
    """The sandbox, the machine or a missing tool is to blame, never the program: not a verdict on it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one execution; a program that passes one is stopped and reported."""

    time_s: float = 4.0
    """Processor time of all of its processes together."""
    wall_s: float | None = None
    """Wall clock, less the time that the program waited for a processor of a busy machine. None: 1.5 times `time_s`."""
    hard_s: float | None = None
    """Wall clock, all of it: then it is killed, whatever the machine was at. None: 5 times `wall_s`."""
    memory_mib: int = 512
    """Address space of each process, and private resident memory of all together."""
    bounded_address_space: bool = True
    """False for run-times that reserve address space without using it (node, java): only resident memory counts."""
    output_bytes: int = MIB
    """Of each of stdout, stderr and the channels."""
    processes: int = 16
    """Processes and threads, one being the program."""
    file_mib: int = 16
    """Size of one file."""
    folder_mib: int = 32
    """Size of the private working folder, which is also /tmp."""
    folder_files: int = 1024
    open_files: int = 64
    stack_mib: int = 64
    sockets_fail: bool = False
    """Opening a network socket fails instead of killing: for run-times that try one at their start (java)."""

    def request(self, *, fetch: bool) -> Request:
        """As the fork-server wants it."""
        memory = self.memory_mib * MIB
        return Request(
            memory_bytes=memory if self.bounded_address_space else 0,
            resident_bytes=memory,
            processes=self.processes,
            file_bytes=self.file_mib * MIB,
            folder_bytes=self.folder_mib * MIB,
            folder_inodes=self.folder_files,
            open_files=self.open_files,
            stack_bytes=self.stack_mib * MIB,
            fetch=int(fetch),
            sockets_fail=int(self.sockets_fail),
            cpu_s=self.time_s,
            wall_s=self.patience_s,
        )

    @property
    def patience_s(self) -> float:
        """The wall clock's limit."""
        return 1.5 * self.time_s if self.wall_s is None else self.wall_s

    @property
    def end_s(self) -> float:
        """The hard limit."""
        return 5 * self.patience_s if self.hard_s is None else self.hard_s


DEFAULT = Limits()


@dataclass(frozen=True, slots=True)
class Job:
    """One execution that is wanted."""

    payload: Mapping[str, Any]
    """What `inside/program.py` reads: `kind` and what belongs to it."""
    stdin: bytes = b""
    limits: Limits = DEFAULT
    artifact: int = -1
    """A compiled program to run: descriptor of a file that holds it."""
    fetch: bool = False
    """Bring back the file `artifact` that the program leaves in its working folder."""
    channels: tuple[int, ...] = ()
    """Descriptors that the program finds as 3, 4, …; they stay the caller's."""
    reports: bool = False
    """Give the program a pipe as its first channel; what it writes comes back as `Execution.report`."""

    def payload_bytes(self) -> bytes:
        """The payload as it travels."""
        return json.dumps(self.payload).encode()


@dataclass(frozen=True, slots=True)
class Execution:
    """How one execution went."""

    status: Status
    detail: str = ""
    """For people: what is behind the status."""
    stdout: bytes = b""
    stderr: bytes = b""
    report: bytes = b""
    """What came through the channel of a job that `reports`. Untrusted, as all output."""
    exit_code: int | None = None
    """None when a signal ended it."""
    signal: int = 0
    seconds: float = 0.0
    """Wall clock, start included."""
    cpu_s: float = 0.0
    waited_s: float = 0.0
    """Time that the program was ready to go on but no processor was free; known where a limit of time ended it."""
    cut_short: bool = False
    """Out of time only by the hard limit, its own not used up: says nothing of the program."""
    resident_bytes: int = 0
    """Largest of any of its processes."""
    artifact: int = field(default=-1, compare=False)
    """Descriptor of the file brought back; the caller closes it. -1 for none."""

    @property
    def idle_s(self) -> float:
        """Time that the program neither used nor waited for a processor."""
        return max(0.0, self.seconds - self.cpu_s - self.waited_s)
