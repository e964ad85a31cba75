"""The program's own process, from the payload to its first instruction.

A payload is JSON: `kind` ("exec", "python", "calls", "serve", "harness") and what that kind needs, `files` (name ->
text) to be written into the working folder first.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
from collections.abc import Callable
from typing import Any

from . import calls, harness, python_program
from .kernel import close_all_but
from .request import ARTIFACT, FIXED, PAYLOAD, STATUS, STDERR, STDIN, STDOUT

ARTIFACT_NAME = "artifact"
FIRST_CHANNEL = 3
_OUT_OF_THE_WAY = 200


def prepare(fds: list[int], folder: str, *, fetch: bool) -> tuple[int, Callable[[], None]]:
    """Read the payload, write its files, put the descriptors in place: (status descriptor, what to call last).

    Raises:
        OSError: something of that is refused.
    """
    payload: dict[str, Any] = json.loads(os.pread(fds[PAYLOAD], os.fstat(fds[PAYLOAD]).st_size, 0))
    for name, text in payload.get("files", {}).items():
        with open(os.path.join(folder, name), "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(text)
    if os.environ["HOME"] != folder:
        os.environ.update(HOME=folder, TMPDIR=folder)
    name = payload.get("artifact_file", "")
    if name:
        with open(os.path.join(folder, name), "wb") as file:
            size = os.fstat(fds[ARTIFACT]).st_size
            os.sendfile(file.fileno(), fds[ARTIFACT], 0, size)
    artifact = -1 if name or fetch else fds[ARTIFACT]  # what is to be brought back is not the program's to touch
    channels = fds[FIXED:]
    status, executable = _arrange([fds[STDIN], fds[STDOUT], fds[STDERR], *channels], [fds[STATUS], artifact])
    kinds: dict[str, Callable[[], None]] = {
        "exec": lambda: _execute(payload["argv"], executable),
        "python": lambda: python_program.run(payload),
        "calls": lambda: calls.answer_list(payload, FIRST_CHANNEL),
        "serve": lambda: calls.serve(payload, FIRST_CHANNEL, FIRST_CHANNEL + 1),
        "harness": lambda: harness.run(payload, FIRST_CHANNEL, FIRST_CHANNEL + 1, FIRST_CHANNEL + 2),
    }
    start = kinds[payload["kind"]]
    if payload["kind"] == "exec":
        return status, start

    def without_status() -> None:
        close_all_but(range(FIRST_CHANNEL + len(channels)))
        start()

    return status, without_status


def _arrange(wanted: list[int], kept: list[int]) -> tuple[int, int]:
    """Make `wanted` 0, 1, 2, … and close all else but `kept`, which move far up; returns their new numbers."""
    high = [-1 if fd < 0 else fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY) for fd in (*kept, *wanted)]
    for number, fd in enumerate(high[len(kept) :]):
        os.dup2(fd, number)
    close_all_but([*range(len(wanted)), *high[: len(kept)]])
    return high[0], high[1]


def _execute(argv: list[str], executable: int) -> None:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    if executable >= 0:
        os.execve(executable, argv, os.environ)
    os.execvpe(argv[0], argv, os.environ)
