"""Runs Python source in this forked interpreter as if it had been started for it: `python main.py`."""

from __future__ import annotations

import atexit
import io
import linecache
import os
import sys
import threading
import traceback
import types
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from . import fork_hooks

FILE_NAME = "main.py"
_OURS = os.path.dirname(__file__)
"""Frames in here are none of the program's business, nor its author's."""


def run(payload: dict[str, Any]) -> NoReturn:
    """Run `source` to its end, with the exit code that Python would give."""
    finish(lambda: load([payload["source"]]))


def load(sources: Sequence[str]) -> dict[str, Any]:
    """Execute sources one after the other in a new module `__main__`; returns its names."""
    fork_hooks.release()
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv = [FILE_NAME]
    sys.path[:] = [os.getcwd(), *sys.path]
    for number, source in enumerate(sources, start=1):
        name = FILE_NAME if number == len(sources) else f"given_{number}.py"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)  # for tracebacks
        exec(compile(source, name, "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def open_streams() -> None:
    """Standard streams for all programs to come, unused so far, on descriptors of the kinds that theirs will be."""
    kept = [os.dup(number) for number in range(3)]
    reading, writing = os.pipe()
    given = os.memfd_create("stdin")
    for number, handle in enumerate((given, writing, writing)):
        os.dup2(handle, number)
    sys.stdin = io.TextIOWrapper(_buffered(0, "r"), encoding="utf-8", errors="surrogateescape")
    sys.stdout = io.TextIOWrapper(_buffered(1, "w"), encoding="utf-8", errors="surrogateescape")
    sys.stderr = io.TextIOWrapper(_buffered(2, "w"), encoding="utf-8", errors="backslashreplace", line_buffering=True)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    for number, handle in enumerate(kept):
        os.dup2(handle, number)
    for handle in (*kept, reading, writing, given):
        os.close(handle)


def _buffered(descriptor: int, mode: str) -> io.BufferedReader | io.BufferedWriter:
    raw = io.FileIO(descriptor, mode, closefd=False)
    return io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)


def finish(work: Callable[[], object]) -> NoReturn:
    """Do the work and end the process as the interpreter would: threads joined, exit functions run, streams flushed."""
    code = 0
    try:
        code = _exit_code(work)
        threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
        atexit._run_exitfuncs()
        sys.stdout.flush()
    except BaseException:
        code = code or 1
    finally:
        os._exit(code)


def _exit_code(work: Callable[[], object]) -> int:
    try:
        work()
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return (ended.code or 0) & 0xFF
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
            trace = trace.tb_next
        traceback.print_exception(type(error), error, trace, limit=-8)
        return 1
    return 0
