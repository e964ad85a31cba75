"""One kind of actor that hosts any part, and a handle whose every wait has a deadline."""

from __future__ import annotations

import importlib
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from rl_reason.errors import DeadActorError


@dataclass(frozen=True)
class Placement:
    """What a hosted part needs of its node."""

    gpus: float = 0
    """GPUs to be given by Ray; half of one where two parts share it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of the actor's process, set before anything is imported."""
    bundle: tuple[PlacementGroup, int] | None = None
    """A reserved place (`placement.shared_gpu`); None leaves it to Ray."""


@dataclass(frozen=True)
class Part:
    """How to build an object, as a reference: what travels to an actor in the object's place."""

    factory: str
    """`module:Object`, called with the arguments."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Those that are parts themselves are built first, in the same process."""

    def build(self) -> Any:
        """Import and call."""
        module, _, name = self.factory.partition(":")
        made = {key: value.build() if isinstance(value, Part) else value for key, value in self.arguments.items()}
        return getattr(importlib.import_module(module), name)(**made)


@ray.remote(num_cpus=0, max_restarts=0)
class Host:
    """Builds one part inside its own process and passes calls on to it."""

    def address(self) -> tuple[str, int]:
        """This node's address and a port that is free now: where rank 0 can gather the others."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            return ray.util.get_node_ip_address(), probe.getsockname()[1]

    def build(self, part: Part) -> int:
        """Build what this actor will host; returns the process id."""
        self.part = part.build()
        return os.getpid()

    def call(self, method: str, *arguments: Any, **named: Any) -> Any:
        """The part's method, its result."""
        return getattr(self.part, method)(*arguments, **named)

    def stream(self, method: str, *arguments: Any) -> Iterator[Any]:
        """The part's generator method, item by item."""
        yield from getattr(self.part, method)(*arguments)


@dataclass(frozen=True)
class Handle:
    """A hosted part as its callers see it.

    Raises (every method): DeadActorError, naming the part, the call and the deadline, when the actor is gone or late;
    the part's own exception when it raised one.
    """

    name: str
    actor: Any
    deadline_s: float
    logs: str
    """Folder of the actors' output, for error messages."""

    def start(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Begin a call; pass the result to `wait`."""
        return self.actor.call.remote(method, *arguments, **named)

    def wait(self, reference: Any, call: str) -> Any:
        """The result of a call that was begun."""
        try:
            return ray.get(reference, timeout=self.deadline_s)
        except GetTimeoutError as error:
            raise self.late(call, self.deadline_s) from error
        except RayTaskError as error:
            raise error.cause from error
        except RayActorError as error:
            raise self._dead(call, error) from error

    def call(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Call and wait."""
        return self.wait(self.start(method, *arguments, **named), method)

    def stream(self, method: str, *arguments: Any) -> Iterator[Any]:
        """Begin a streaming call now; the items come as they are made, within one deadline for all of them."""
        items = self.actor.stream.options(num_returns="streaming").remote(method, *arguments)
        return self._items(items, method, time.monotonic() + self.deadline_s)

    def _items(self, items: Any, call: str, end: float) -> Iterator[Any]:
        while True:
            ready, _ = ray.wait([items], timeout=max(end - time.monotonic(), 0.0), fetch_local=False)
            if not ready:
                raise self.late(call, self.deadline_s)
            try:
                reference = next(items)
            except StopIteration:
                return
            yield self.wait(reference, call)

    def kill(self) -> None:
        """End the actor's process."""
        ray.kill(self.actor)

    def late(self, call: str, limit: float) -> DeadActorError:
        """The error for a call that missed its deadline."""
        return DeadActorError(
            f"{self.name} did not finish `{call}` within {limit:.0f} s; it hangs, or the work is too much for the "
            f"deadline (cluster.call_deadline_s). Its log: {self.logs}"
        )

    def _dead(self, call: str, error: RayActorError) -> DeadActorError:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        return DeadActorError(
            f"{self.name} died during `{call}`: {first} Often it is out of memory. Its log: {self.logs}. "
            "Run the same command again to continue from the last checkpoint"
        )


def host(name: str, placement: Placement, *, deadline_s: float, logs: str) -> Handle:
    """An empty actor; `begin_build` fills it."""
    options: dict[str, Any] = {
        "num_gpus": placement.gpus,
        "runtime_env": {"env_vars": dict(placement.environment)},
    }
    if placement.bundle is not None:
        group, index = placement.bundle
        options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(group, index)
    return Handle(name, Host.options(**options).remote(), deadline_s, logs)


def begin_build(handle: Handle, part: Part) -> Any:
    """Start building the part; pass the result to `Handle.wait`."""
    return handle.actor.build.remote(part)


def gather(begun: Sequence[tuple[Handle, Any]], call: str, *, deadline_s: float) -> list[Any]:
    """Results of calls begun on several actors, in order.

    The first failure is raised at once: with collective calls the living ranks wait for the dead one.
    """
    end = time.monotonic() + deadline_s
    handles = {reference: handle for handle, reference in begun}
    results: dict[Any, Any] = {}
    while handles:
        ready, _ = ray.wait(list(handles), num_returns=1, timeout=max(end - time.monotonic(), 0.0))
        if not ready:
            raise next(iter(handles.values())).late(call, deadline_s)
        results[ready[0]] = handles.pop(ready[0]).wait(ready[0], call)
    return [results[reference] for _, reference in begun]
