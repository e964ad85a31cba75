"""Starts engines and learner ranks as actors, all at once, within a deadline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rl_reason.cluster.actors import Handle, Placement, begin_build, gather, host
from rl_reason.cluster.remote_engine import RemoteEngine
from rl_reason.cluster.remote_learner import RemoteLearner
from rl_reason.learner.settings import Ranks


class Starting:
    """Actors that are being built; `engines` and `learner` wait for them.

    Engines and learner start at the same time, since each spends seconds on imports alone.
    """

    def __init__(self, *, start_deadline_s: float, call_deadline_s: float, logs: str) -> None:
        self._start_deadline_s = start_deadline_s
        self._call_deadline_s = call_deadline_s
        self._logs = logs
        self._begun: list[tuple[Handle, Any]] = []

    def begin_engines(
        self, factory: str, arguments: Sequence[Mapping[str, Any]], placement: Placement
    ) -> list[RemoteEngine]:
        """One engine actor for each set of arguments. Usable after `wait`."""
        return [RemoteEngine(self._begin(f"engine {i}", factory, each, placement)) for i, each in enumerate(arguments)]

    def begin_learner(
        self, factory: str, arguments: Mapping[str, Any], placement: Placement, *, ranks: int
    ) -> RemoteLearner:
        """`ranks` learner actors that find each other at rank 0's address. Usable after `wait`."""
        handles = [self._host(f"learner rank {rank}", placement) for rank in range(ranks)]
        meeting = [(handles[0], handles[0].actor.address.remote())]
        address, port = gather(meeting, "address", deadline_s=self._start_deadline_s)[0]
        for rank, handle in enumerate(handles):
            place = Ranks(f"tcp://{address}:{port}", rank, ranks, timeout_s=self._call_deadline_s)
            self._begun.append((handle, begin_build(handle, factory, {**arguments, "ranks": place})))
        return RemoteLearner(handles)

    def wait(self) -> None:
        """Return when every part is built.

        Raises:
            DeadActorError: one of them died or is late; the message names it.
        """
        gather(self._begun, "start", deadline_s=self._start_deadline_s)
        self._begun.clear()

    def _begin(self, name: str, factory: str, arguments: Mapping[str, Any], placement: Placement) -> Handle:
        handle = self._host(name, placement)
        self._begun.append((handle, begin_build(handle, factory, arguments)))
        return handle

    def _host(self, name: str, placement: Placement) -> Handle:
        return host(name, placement, deadline_s=self._call_deadline_s, logs=self._logs)
