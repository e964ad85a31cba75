"""Looks after a running execution as a whole: memory and processor time of all of its processes together."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from .request import Request

_PAGE, _HERTZ = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
_PARENT, _TICKS = 1, slice(11, 15)  # fields of /proc/N/stat after the name: own time, time of children collected
_CROWD = 1.3
"""An execution that uses more processors than this is put on one, so that it takes nobody else's."""


class Watch:
    """Sums over the processes below this one: those that this one's /proc shows, and those collected."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._begun = time.monotonic()
        self._collected_s = 0.0
        self.status: int | None = None
        """The program's wait status, once it has ended."""
        self.cpu_s = 0.0
        """Processor seconds of all together, at the last look or at the program's end."""
        self.resident_bytes = 0
        """Largest of any process that the program waited for or was; known at its end."""

    def reap(self, program: int) -> None:
        """Collect every child that has ended: the program, and orphans that it left."""
        with contextlib.suppress(ChildProcessError):
            while self.status is None:
                pid, status, used = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    return
                self._collected_s += used.ru_utime + used.ru_stime
                if pid == program:
                    self.status, self.cpu_s, self.resident_bytes = status, self._collected_s, used.ru_maxrss * 1024

    def look(self, program: int) -> str:
        """What is used up: "memory", "time" (of processors), "wall" (clock) or "" for nothing."""
        processes = descendants()
        pages, ticks = 0, 0
        for pid, fields in processes.items():
            ticks += sum(map(int, fields[_TICKS]))
            pages += _private_pages(pid)
        self.cpu_s = ticks / _HERTZ + self._collected_s
        elapsed_s = time.monotonic() - self._begun
        if pages * _PAGE > self._request.resident_bytes:
            return "memory"
        if self.cpu_s > self._request.cpu_s:
            return "time"
        if elapsed_s > self._request.wall_s and elapsed_s - self.waited_s(program) > self._request.wall_s:
            return "wall"
        if self.cpu_s > _CROWD * elapsed_s + 2 / _HERTZ:
            _put_on_one_processor(list(processes))
        return ""

    def waited_s(self, program: int) -> float:
        """How long the program's first thread was ready to run but waited for a processor; 0 where nobody counts."""
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{program}/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
        return 0.0


def descendants() -> dict[int, list[str]]:
    """Process id -> fields of its stat after the name, of everything below this process. Empty without a /proc."""
    parents: dict[int, list[str]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as file:  # it may end meanwhile
                parents[int(name)] = file.read().rpartition(")")[2].split()
    mine = os.getpid()
    below: dict[int, list[str]] = {}
    for pid in parents:
        chain, seen = pid, 0
        while chain in parents and chain != mine and seen < len(parents):
            chain, seen = int(parents[chain][_PARENT]), seen + 1
        if chain == mine and pid != mine:
            below[pid] = parents[pid]
    return below


def end_descendants() -> None:
    """Kill everything below this process, as often as it takes. For levels where the kernel does not do it."""
    while True:
        for pid in descendants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)


def tasks_of(uid: int) -> int:
    """Threads that a user has now, in all of the machine that is visible."""
    count = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == uid:
                    count += len(os.listdir(f"/proc/{name}/task"))
    return count


def _private_pages(pid: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/statm") as file:
        _, resident, shared = file.read().split()[:3]
        return int(resident) - int(shared)
    return 0


def _put_on_one_processor(pids: list[int]) -> None:
    one = {min(os.sched_getaffinity(0), key=lambda cpu: (cpu * 7919 + os.getpid()) % 101)}
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(task), one)
