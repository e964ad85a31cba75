"""What the grader asks of the fork-server for one execution: numbers and file descriptors, never content.

The payload (program, inputs) travels in a file of its own, which only the child reads: the fork-server's memory, which
every child can inspect, never holds anything of a program or a test.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

_FORM = struct.Struct("=10qdd")
_NONE = 255
PAYLOAD, STDIN, STDOUT, STDERR, STATUS, ARTIFACT, FIXED = range(7)
"""Places in the list of descriptors; from FIXED on they are the program's own channels, which it finds as 3, 4, …."""
MAX_FDS = 12
STOP = b"stop"
"""The message that ends the execution under way; no request is so short."""


class Request(NamedTuple):
    """Limits of one execution."""

    memory_bytes: int
    """Of address space for each process (0: none), and of resident memory for all together."""
    resident_bytes: int
    processes: int
    file_bytes: int
    folder_bytes: int
    folder_inodes: int
    open_files: int
    stack_bytes: int
    fetch: int
    """1: the file that the program leaves is written to the artifact's descriptor; 0: that one is the program."""
    sockets_fail: int
    """1: opening a network socket fails; 0: it kills."""
    cpu_s: float
    """Processor seconds of all processes together."""
    wall_s: float

    def packed(self, fds: Sequence[int]) -> tuple[bytes, list[int]]:
        """The message, and the descriptors to send with it, out of those of an execution, where -1 stands for none."""
        given = [fd for fd in fds if fd >= 0]
        return _FORM.pack(*self) + bytes(_NONE if fd < 0 else given.index(fd) for fd in fds), given

    @classmethod
    def unpacked(cls, message: bytes, received: Sequence[int]) -> tuple[Request, list[int]]:
        """The reverse of `packed`."""
        places = message[_FORM.size :]
        return cls(*_FORM.unpack_from(message)), [-1 if at == _NONE else received[at] for at in places]
