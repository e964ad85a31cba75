"""Starts engines and learner ranks as actors, all at once, within a deadline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray.util.placement_group import PlacementGroup, get_placement_group, placement_group

from rl_reason.cluster.actors import Handle, Part, Placement, begin_build, gather, host
from rl_reason.cluster.remote_engine import RemoteEngine
from rl_reason.cluster.remote_learner import RemoteLearner
from rl_reason.cluster.remote_reward_model import RemoteRewardModel
from rl_reason.errors import DeadActorError
from rl_reason.learner.settings import Ranks

_SHARED_GPUS = "rl-reason-shared-gpus"


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
        self, parts: Sequence[Part], placements: Sequence[Placement], *, first: int = 0
    ) -> list[RemoteEngine]:
        """One engine actor for each part, called by numbers from `first` on. Usable after `wait`."""
        engines: list[RemoteEngine] = []
        for number, (part, placement) in enumerate(zip(parts, placements, strict=True), start=first):
            handle = self._host(f"engine {number}", placement)
            self._begun.append((handle, begin_build(handle, part)))
            engines.append(RemoteEngine(handle))
        return engines

    def begin_reward_model(self, name: str, part: Part, placement: Placement) -> RemoteRewardModel:
        """One reward-model actor. Usable after `wait`."""
        handle = self._host(f"reward model {name}", placement)
        self._begun.append((handle, begin_build(handle, part)))
        return RemoteRewardModel(handle)

    def begin_learner(self, part: Part, placements: Sequence[Placement], *, partitioned: bool = True) -> RemoteLearner:
        """One learner actor, a rank, for each placement; they find each other at rank 0's address. Usable after `wait`.

        Args:
            part: called with the argument `ranks` (`settings.Ranks`) in addition to its own.
            placements: where each rank goes.
            partitioned: whether a forward pass needs all ranks, as with ZeRO-3.
        """
        handles = [self._host(f"learner rank {rank}", placement) for rank, placement in enumerate(placements)]
        meeting = [(handles[0], handles[0].actor.address.remote())]
        address, port = gather(meeting, "address", deadline_s=self._start_deadline_s)[0]
        for rank, handle in enumerate(handles):
            place = Ranks(f"tcp://{address}:{port}", rank, len(handles), timeout_s=self._call_deadline_s)
            placed = Part(part.factory, {**part.arguments, "ranks": place})
            self._begun.append((handle, begin_build(handle, placed)))
        return RemoteLearner(handles, partitioned)

    def shared_gpus(self, count: int) -> list[tuple[PlacementGroup, int]]:
        """`count` GPUs reserved for this job, for `Placement.bundle`: what is put on the same one shares it.

        The first call reserves them; later ones, of any stage, get the same.

        Raises:
            DeadActorError: Ray could not reserve them within the deadline.
        """
        try:
            group = get_placement_group(_SHARED_GPUS)
        except ValueError:
            group = placement_group([{"GPU": 1}] * count, name=_SHARED_GPUS)
        if not group.wait(self._start_deadline_s):
            raise DeadActorError(
                f"Ray could not reserve {count} GPUs within {self._start_deadline_s:.0f} s (cluster.actor_deadline_s); "
                "other jobs hold them: see `ray status`"
            )
        return [(group, index) for index in range(count)]

    def wait(self) -> None:
        """Return when every part is built.

        Raises:
            DeadActorError: one of them died or is late; the message names it.
        """
        gather(self._begun, "start", deadline_s=self._start_deadline_s)
        self._begun.clear()

    def _host(self, name: str, placement: Placement) -> Handle:
        return host(name, placement, deadline_s=self._call_deadline_s, logs=self._logs)
