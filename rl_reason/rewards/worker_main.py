"""What runs inside one worker process of the verifier pool: load the verifiers, judge batches until the pipe ends.

The parent reads `PROGRESS` from shared memory to see which response is being judged and since when, so that it can
kill this process at the deadline: no signals or threads are used in here, and a verifier stuck in C is no exception.
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
"""Monotonic second at which the current response was begun (0: none), its number, the verifier at work on it."""
FLUSH_S = 0.05
"""Finished scores wait at most so long for the rest of their batch."""

READY, FAILED, SCORES = "ready", "failed", "scores"
"""Kinds of messages to the parent."""

PackedScore = tuple[str, float | None, dict[str, float], str, float]
PackedResult = tuple[int, list[PackedScore], str, int]
"""Response's number, a score for each verifier, what failed ("" or "crash"), which verifier that was."""

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Setup:
    """First message from the parent."""

    verifiers: tuple[tuple[str, str, Mapping[str, Any]], ...]
    """(name, reference, options)."""
    memory_limit_bytes: int
    """Of address space; 0 for none."""


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
        while _judge_batch(connection, page, verifiers):
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
    return Score(Verdict(verdict), reward, parts, reason, seconds)


def _limit(memory_limit_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_limit_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (memory_limit_bytes, memory_limit_bytes))


def _judge_batch(connection: Connection, page: mmap.mmap, verifiers: Sequence[Verifier]) -> bool:
    """Judge one batch; False when this process had better be replaced, because memory ran out."""
    results: list[PackedResult] = []
    flushed = time.monotonic()
    for number, payload in pickle.loads(connection.recv_bytes()):
        fields, response = pickle.loads(payload)
        result, healthy = _judge(number, Prompt(*fields), response, page, verifiers)
        results.append(result)
        now = time.monotonic()
        if not healthy or now - flushed > FLUSH_S:
            connection.send((SCORES, results))
            results, flushed = [], now
        if not healthy:
            return False
    connection.send((SCORES, results))
    return True


def _judge(
    number: int, prompt: Prompt, response: str, page: mmap.mmap, verifiers: Sequence[Verifier]
) -> tuple[PackedResult, bool]:
    scores: list[PackedScore] = []
    begun = time.monotonic()
    for index, verifier in enumerate(verifiers):
        PROGRESS.pack_into(page, 0, begun, number, index)
        start = time.perf_counter()
        try:
            score = verifier.verify(prompt, response)
            packed = _packed(score, time.perf_counter() - start)
        except MemoryError:
            PROGRESS.pack_into(page, 0, 0.0, number, index)
            return (number, _unjudged(len(verifiers), "ran out of the worker's memory limit"), "crash", index), False
        except (Exception, SystemExit) as error:  # whatever a plug-in throws says only that it could not judge
            PROGRESS.pack_into(page, 0, 0.0, number, index)
            reason = f"verifier raised {type(error).__name__}: {str(error)[:200]}"
            return (number, _unjudged(len(verifiers), reason), "crash", index), True
        scores.append(packed)
    PROGRESS.pack_into(page, 0, 0.0, number, 0)
    return (number, scores, "", 0), True


def _packed(score: Score, seconds: float) -> PackedScore:
    if score.verdict is Verdict.UNJUDGED:
        return (score.verdict.value, None, {}, score.reason, seconds)
    if score.reward is None or not isfinite(score.reward):
        raise TypeError(f"verify returned reward {score.reward!r} with verdict {score.verdict.value}; give a number")
    parts = {str(name): float(value) for name, value in score.parts.items()}
    return (score.verdict.value, float(score.reward), parts, score.reason, seconds)


def _unjudged(count: int, reason: str) -> list[PackedScore]:
    return [(Verdict.UNJUDGED.value, None, {}, reason, 0.0)] * count
