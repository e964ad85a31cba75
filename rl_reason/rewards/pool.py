"""Verifier pool: judges responses in worker processes, with a hard deadline for each verifier and a memory limit.

Plug-ins travel as reference strings and are loaded in the workers. A verifier that hangs, crashes or runs out of memory
on a response gives UNJUDGED with the reason, never a silent 0; the scores of the others on that response count, its
worker is replaced, and the rest of its batch is judged by another. The clock of a deadline starts when the verifier
starts on the response, not when that is queued.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from rl_reason.errors import PluginError
from rl_reason.plugins import VERIFIERS, resolve
from rl_reason.rewards.dispatcher import Dispatcher, Limits
from rl_reason.rewards.exchange import Exchange, Outcome
from rl_reason.rewards.worker_main import Setup, pack
from rl_reason.types import Prompt

__all__ = ["Outcome", "VerifierPool", "VerifierSpec"]

_QUEUE_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class VerifierSpec:
    """A verifier to run, as a recipe names it."""

    name: str
    """Under which its scores and metrics appear; unique in a pool."""
    ref: str
    """`boxed_math`, `path/to/file.py:Object` or `module:Object`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of its constructor; plain data."""
    deadline_s: float | None = None
    """Wall-clock limit for one response; None for the pool's."""


class VerifierPool:
    """Worker processes that judge responses; a context manager. Safe to use from several threads.

    Args:
        verifiers: all of them judge every response, in order.
        workers: processes at work; for each that is about to be killed, one more is started.
        deadline_s: wall-clock limit for one response, of each verifier that has no deadline of its own.
        memory_limit_mib: address space of one worker, in MiB; 0 for no limit.
        recycle_after: a worker is replaced after so many responses, which bounds leaks.
        recycle_growth_mib: a worker is replaced when its resident memory has grown by so many MiB.
        start_timeout_s: limit for loading the verifiers in a worker.
        queue_bytes: responses and metadata that may wait; `submit` blocks while it is more.
        base: folder that relative paths in references start from; the working directory when None.

    Raises:
        PluginError: a reference points at nothing.
        VerifierError: no worker could be started; the message says why.
    """

    def __init__(
        self,
        verifiers: Sequence[VerifierSpec],
        *,
        workers: int = 2,
        deadline_s: float = 5.0,
        memory_limit_mib: int = 2048,
        recycle_after: int = 20_000,
        recycle_growth_mib: int = 256,
        start_timeout_s: float = 60.0,
        queue_bytes: int = _QUEUE_BYTES,
        base: Path | None = None,
    ) -> None:
        self.names = tuple(spec.name for spec in verifiers)
        if not self.names or len(set(self.names)) != len(self.names):
            raise PluginError(f"a verifier pool needs verifiers, each with a name of its own, not {list(self.names)}")
        deadlines_s = tuple(deadline_s if spec.deadline_s is None else spec.deadline_s for spec in verifiers)
        if workers < 1 or min(deadlines_s) <= 0 or recycle_after < 1 or recycle_growth_mib < 1:
            raise ValueError("workers, recycle_after and recycle_growth_mib must be at least 1, deadlines above 0")
        self.longest_s = sum(deadlines_s)
        """Wall-clock seconds after which a response has been judged or given up by every verifier."""
        loads = tuple((spec.name, resolve(VERIFIERS, spec.ref, base=base), dict(spec.options)) for spec in verifiers)
        setup = Setup(loads, memory_limit_mib * 2**20, recycle_growth_mib * 2**20)
        self._exchange = Exchange(self.names, queue_bytes=queue_bytes)
        limits = Limits(workers, deadlines_s, recycle_after, start_timeout_s)
        self._dispatcher = Dispatcher(setup, self._exchange, limits)
        self._thread = threading.Thread(target=self._dispatcher.run, name="verifier-pool", daemon=True)
        self._thread.start()
        try:
            self._exchange.await_start()
        except BaseException:
            self.close()
            raise

    def submit(self, key: Hashable, prompt: Prompt, response: str) -> None:
        """Hand over one response; waits only while the queue is full. `key` comes back with its outcome.

        Raises:
            VerifierError: the pool is broken or closed.
            PluginError: the prompt's metadata cannot be pickled.
        """
        try:
            payload = pack(prompt, response)
        except (TypeError, AttributeError, ValueError) as error:
            raise PluginError(f"prompt {prompt.id!r} ({prompt.source}): metadata cannot be pickled: {error}") from error
        self._exchange.put(key, payload)

    def take(self, *, timeout_s: float | None = None) -> list[tuple[Hashable, Outcome]]:
        """Outcomes since the last call, in no particular order; waits for at least one.

        Returns an empty list when nothing is outstanding or the time is over.

        Raises:
            VerifierError: the pool keeps losing its workers; the message says why.
        """
        return self._exchange.take(timeout_s)

    @property
    def outstanding(self) -> int:
        """Responses submitted and not yet taken."""
        return self._exchange.outstanding

    @property
    def restarts(self) -> int:
        """Workers replaced because they hung, crashed or ran out of memory."""
        return self._dispatcher.restarts

    def close(self) -> None:
        """Kill the workers and forget what is outstanding. Twice is harmless."""
        self._exchange.stop("it has been closed")
        self._thread.join(timeout=30.0)

    def __enter__(self) -> VerifierPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
