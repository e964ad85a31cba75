"""One call to all engines at the same time: with NCCL none comes back before every engine has joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rl_reason.protocols import Engine

Result = TypeVar("Result")


def on_all(engines: Sequence[Engine], call: Callable[[Engine], Result]) -> list[Result]:
    """`call(engine)` for all engines, each in a thread; results in the engines' order.

    A single engine is called in this thread. Every wait ends by the deadline of the engine's own calls.
    """
    if len(engines) == 1:
        return [call(engines[0])]
    with ThreadPoolExecutor(len(engines)) as threads:
        return [future.result() for future in [threads.submit(call, engine) for engine in engines]]
