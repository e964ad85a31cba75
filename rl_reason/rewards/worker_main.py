"""What runs inside one worker process of the verifier pool: load the verifiers, judge batches until the pipe ends.

The parent reads `PROGRESS` from shared memory to see which verifier is at which response since when, so that it can
kill this process at the deadline: no signals or threads are used in here, and a verifier stuck in C is no exception.
Scores go back one by one verifier, so that those of a response whose next verifier hangs are not lost.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import pickle
import resource
import signal
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from multiprocessing.connection import Connection
from typing import Any

from rl_reason.errors import PluginError
from rl_reason.plugins import VERIFIERS, load
from rl_reason.protocols import Verifier
from rl_reason.rewards.card import option_hint
from rl_reason.types import Prompt, Score, Verdict

PROGRESS = struct.Struct("=dqq")
"""Monotonic second at which the current verifier began (0: none is at work), the response's number, the verifier."""
CALLED_OFF = struct.Struct("=q")
"""Behind it in the shared page: the number of the last batch that is to be left alone, written by the parent."""
FLUSH_S = 0.05
"""Finished scores wait at most so long for the rest of their batch."""

MAX_REASON_CHARS = 2_000

READY, FAILED, SCORES, GROWN = "ready", "failed", "scores", "grown"
"""Kinds of messages to the parent; GROWN asks to be replaced when the batch is done."""

PackedScore = tuple[str, float | None, dict[str, float], str, float]
PackedResult = tuple[int, int, PackedScore, str]
"""Response's number, the verifier's index, its score, how it failed ("" or "crash")."""
Batch = tuple[int, list[tuple[int, tuple[int, ...], bytes]]]
"""Its number; of each response the number, the verifiers that are not wanted, and what `pack` made of it."""

_PR_SET_PDEATHSIG = 1
_PAGE_BYTES = resource.getpagesize()
_VERDICTS = {verdict.value: verdict for verdict in Verdict}


@dataclass(frozen=True, slots=True)
class Setup:
    """First message from the parent."""

    verifiers: tuple[tuple[str, str, Mapping[str, Any]], ...]
    """(name, reference, options)."""
    memory_limit_bytes: int
    """Of address space; 0 for none."""
    growth_limit_bytes: int
    """Of resident memory since the verifiers were loaded; past it the process asks to be replaced."""


def main(pipe: int, progress: int, parent: int) -> None:
    """Entry of the process: file descriptors of the pipe and the shared page, and the parent's process id."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(1)
    connection = Connection(pipe)
    page = mmap.mmap(progress, mmap.PAGESIZE)
    try:
        setup: Setup = pickle.loads(connection.recv_bytes())
        _limit(setup.memory_limit_bytes)
        try:
            verifiers = [construct(name, ref, options) for name, ref, options in setup.verifiers]
        except PluginError as error:
            connection.send((FAILED, str(error)))
            return
        connection.send((READY, ""))
        grown_at = _resident_bytes() + setup.growth_limit_bytes
        while _judge_batch(connection, page, verifiers, grown_at):
            pass
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent closed its end or is gone


def construct(name: str, ref: str, options: Mapping[str, Any]) -> Verifier:
    """Load a verifier's class and call it with its options.

    Raises:
        PluginError: it cannot be found or imported, refuses its options, or has no `verify`.
    """
    factory = load(VERIFIERS, ref)
    try:
        verifier = factory(**options)
    except (TypeError, ValueError) as error:
        hint = option_hint(factory, options)
        message = f"verifier {name!r} ({ref}) does not take the options {dict(options)}: {error}{hint}"
        raise PluginError(message) from error
    if not isinstance(verifier, Verifier):
        raise PluginError(f"verifier {name!r} ({ref}) has no method verify(prompt, response); see verifiers/README.md")
    return verifier


def pack(prompt: Prompt, response: str) -> bytes:
    """One response as it travels; the prompt's tokens stay at home."""
    fields = (prompt.id, prompt.text, prompt.answer, (), prompt.metadata, prompt.source)
    return pickle.dumps((fields, response), protocol=pickle.HIGHEST_PROTOCOL)


def unpack_score(packed: PackedScore) -> Score:
    """A score as the rest of the framework knows it."""
    verdict, reward, parts, reason, seconds = packed
    return Score(_VERDICTS[verdict], reward, parts, reason, seconds)


def _limit(memory_limit_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_limit_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (memory_limit_bytes, memory_limit_bytes))


def _resident_bytes() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE_BYTES


def _judge_batch(connection: Connection, page: mmap.mmap, verifiers: Sequence[Verifier], grown_at: int) -> bool:
    """Judge one batch; False when this process had better be replaced, because memory ran out."""
    batch: Batch = pickle.loads(connection.recv_bytes())
    results: list[PackedResult] = []
    flushed = time.monotonic()
    for number, unwanted, payload in batch[1]:
        if CALLED_OFF.unpack_from(page, PROGRESS.size)[0] >= batch[0]:
            break
        fields, response = pickle.loads(payload)
        prompt = Prompt(*fields)
        for index, verifier in enumerate(verifiers):
            if index in unwanted:
                continue
            begun = time.monotonic()
            if begun - flushed > FLUSH_S and results:
                _send(connection, results)
                results, flushed = [], begun
            PROGRESS.pack_into(page, 0, begun, number, index)
            score, failure, healthy = _judge(verifier, prompt, response)
            PROGRESS.pack_into(page, 0, 0.0, number, index)
            results.append((number, index, score, failure))
            if not healthy:
                _send(connection, results)
                return False
    if _resident_bytes() > grown_at:
        connection.send((GROWN, None))
    _send(connection, results)
    return True


def _send(connection: Connection, results: Sequence[PackedResult]) -> None:
    connection.send_bytes(pickle.dumps((SCORES, results), protocol=pickle.HIGHEST_PROTOCOL))


def _judge(verifier: Verifier, prompt: Prompt, response: str) -> tuple[PackedScore, str, bool]:
    """The score, how the verifier failed ("" or "crash"), and whether this process is still fit for work."""
    start = time.perf_counter()
    try:
        score = verifier.verify(prompt, response)
        return _packed(score, time.perf_counter() - start), "", True
    except MemoryError:
        reason, healthy = "ran out of the worker's memory limit", False
    except (Exception, SystemExit) as error:  # whatever a plug-in throws says only that it could not judge
        reason, healthy = f"verifier raised {type(error).__name__}: {str(error)[:200]}", True
    return (Verdict.UNJUDGED.value, None, {}, reason, time.perf_counter() - start), "crash", healthy


def _packed(score: Score, seconds: float) -> PackedScore:
    if score.verdict is Verdict.UNJUDGED:
        return (score.verdict.value, None, {}, str(score.reason)[:MAX_REASON_CHARS], seconds)
    if score.reward is None or not isfinite(score.reward):
        raise TypeError(f"verify returned reward {score.reward!r} with verdict {score.verdict.value}; give a number")
    parts = {str(name): float(value) for name, value in score.parts.items()}
    return (score.verdict.value, float(score.reward), parts, str(score.reason)[:MAX_REASON_CHARS], seconds)
