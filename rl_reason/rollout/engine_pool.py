"""Several engines as one: requests are shared out, streams merged, weights loaded into all."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from rl_reason.errors import RolloutError
from rl_reason.protocols import Engine
from rl_reason.types import Completion, Request, Sampling, WeightUpdate


class EnginePool:
    """Implements `protocols.Engine` over engines that live in processes of their own.

    Each engine's stream is read by a thread, so engines in this process must be safe to use from threads at the same
    time (vLLM's are not). The threads end with their streams; an engine's own deadline ends a stream that hangs.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        if not engines:
            raise RolloutError("a pool needs at least one engine")
        self._engines = tuple(engines)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Completion]]:
        """See `Engine.generate`: all engines are started before the first completion is waited for."""
        shards = share_out(requests, len(self._engines))
        streams = [
            engine.generate(shard, sampling) for engine, shard in zip(self._engines, shards, strict=True) if shard
        ]
        return streams[0] if len(streams) == 1 else merge(streams)

    def score(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """See `Engine.score`; by the first engine."""
        return self._engines[0].score(sequences)

    def load_weights(self, update: WeightUpdate) -> None:
        """Into all engines at the same time, as collective transports need."""
        with ThreadPoolExecutor(len(self._engines)) as threads:
            for loading in [threads.submit(engine.load_weights, update) for engine in self._engines]:
                loading.result()

    def close(self) -> None:
        """Close all engines."""
        for engine in self._engines:
            engine.close()


def share_out(requests: Sequence[Request], parts: int) -> list[list[Request]]:
    """Split requests over engines; the same requests are always split the same way.

    Neighbours with the same prompt (a group) stay together, so that they share its keys and values. Each group goes to
    the engine with the fewest requests so far, the first of equals.
    """
    shards: list[list[Request]] = [[] for _ in range(parts)]
    for _, group in groupby(requests, key=lambda request: request.tokens):
        min(shards, key=len).extend(group)
    return shards


def merge(streams: Sequence[Iterator[list[Completion]]]) -> Iterator[list[Completion]]:
    """The items of all streams as they come; the first exception of any stream is raised here."""
    arrived: queue.SimpleQueue[list[Completion] | BaseException | None] = queue.SimpleQueue()
    stopped = threading.Event()
    for stream in streams:
        threading.Thread(target=_pump, args=(stream, arrived, stopped), daemon=True).start()
    running = len(streams)
    try:
        while running:
            item = arrived.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                running -= 1
            else:
                yield item
    finally:
        stopped.set()


def _pump(
    stream: Iterator[list[Completion]],
    arrived: queue.SimpleQueue[list[Completion] | BaseException | None],
    stopped: threading.Event,
) -> None:
    """Pass a stream's items on, then None; or the exception that ended it, for the other thread to raise."""
    try:
        for item in stream:
            if stopped.is_set():
                return
            arrived.put(item)
    except BaseException as error:
        arrived.put(error)
    else:
        arrived.put(None)
