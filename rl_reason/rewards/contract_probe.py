"""What watches a plug-in inside a worker of the pool while the contract is run: `Describe`, `Probe`, `Elsewhere`.

They are verifiers themselves, so that the pool's own deadlines, memory limit and replacement of dead workers apply.
The score they return is RIGHT, with what they saw of the plug-in as JSON in its reason.
"""

from __future__ import annotations

import inspect
import json
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from multiprocessing.connection import Connection
from numbers import Real
from types import TracebackType
from typing import Any

from rl_reason.errors import PluginError
from rl_reason.plugins import VERIFIERS, load
from rl_reason.rewards.card import read_card
from rl_reason.rewards.process_state import differences, open_files, resident_bytes, snapshot
from rl_reason.rewards.worker_main import construct
from rl_reason.types import Prompt, Score, Verdict

DESCRIBE = f"{__name__}:Describe"
PROBE = f"{__name__}:Probe"
ELSEWHERE = f"{__name__}:Elsewhere"
_SHOWN_CHANGES = 5


@dataclass(slots=True)
class Observation:
    """What was seen of one call of `verify`. Travels as JSON."""

    score: list[Any] | None = None
    """[verdict, reward, parts, reason], or None when there is none."""
    faults: list[tuple[str, str]] = field(default_factory=list)
    """(check that failed, what was seen)."""
    resident_bytes: int = 0
    """Of the process, afterwards."""


def observation(reason: str) -> Observation:
    """The one that a probe wrote into a score's reason."""
    seen = json.loads(reason)
    return Observation(seen["score"], [(check, what) for check, what in seen["faults"]], seen["resident_bytes"])


class Describe:
    """Constructs the plug-in and reads its card; `verify` gives {"faults": […], "example": {…} or null} as JSON."""

    def __init__(self, *, ref: str, options: Mapping[str, Any]) -> None:
        construct("the plug-in", ref, options)
        card = read_card("the plug-in", ref)
        self._faults = ([card.fault] if card.fault else []) + _constructor_faults(ref)
        self._example = None if card.example is None else dict(card.example)

    def verify(self, prompt: Prompt, response: str) -> Score:
        """The same whatever the response."""
        try:
            reason = json.dumps({"faults": self._faults, "example": self._example})
        except (TypeError, ValueError) as error:
            reason = json.dumps({"faults": [*self._faults, f"`example` is not plain data: {error}"], "example": None})
        return Score(Verdict.RIGHT, 1.0, reason=reason)


class Probe:
    """Calls the plug-in and looks at the result and at what it did to the process.

    Args:
        ref: the plug-in, as the pool takes it.
        options: keyword arguments of its constructor.
        calls: how often each response is judged; all must give the same score.
        watch: compare the global state before and after each call.
    """

    def __init__(self, *, ref: str, options: Mapping[str, Any], calls: int = 1, watch: bool = True) -> None:
        self._sink = os.memfd_create("printed")
        sys.stdout.flush()
        os.dup2(self._sink, 1)  # what is printed by C code and child processes counts too
        self._printed = self._output_bytes()
        self._verifier = construct("the plug-in", ref, options)
        self._package = type(self._verifier).__module__.partition(".")[0]
        self._calls, self._watch = calls, watch
        self._first = self._output_faults("when it was loaded")
        self._files = 0

    def verify(self, prompt: Prompt, response: str) -> Score:
        """What was seen, as JSON in the reason."""
        seen = Observation(faults=self._first)
        self._first = []
        before = snapshot(self._package) if self._watch else {}
        scores = [self._call(prompt, response, seen) for _ in range(self._calls)]
        if self._watch:
            changes = differences(before, snapshot(self._package))
            seen.faults += [("global state", change) for change in changes[:_SHOWN_CHANGES]]
            seen.faults += self._file_faults()
        seen.faults += self._output_faults("while it judged")
        seen.score = scores[0]
        seen.faults += [("repeatable", _differ(scores[0], again)) for again in scores[1:2] if again != scores[0]]
        seen.resident_bytes = resident_bytes()
        return Score(Verdict.RIGHT, 1.0, reason=json.dumps(asdict(seen)))

    def _call(self, prompt: Prompt, response: str, seen: Observation) -> list[Any] | None:
        try:
            score = self._verifier.verify(prompt, response)
        except MemoryError:
            seen.faults.append(("memory", "ran out of the worker's memory limit"))
            return None
        except (Exception, SystemExit) as error:  # whatever a plug-in throws is what we are here to see
            seen.faults.append(("total", f"raised {type(error).__name__}: {error}"[:300] + _place(error.__traceback__)))
            return None
        faults = _score_faults(score)
        seen.faults += [("score", fault) for fault in faults]
        if faults:
            return None
        seen.faults += [("picklable", fault) for fault in _pickle_faults(score)]
        reward = None if score.reward is None else float(score.reward)
        return [score.verdict.value, reward, {name: float(value) for name, value in score.parts.items()}, score.reason]

    def _file_faults(self) -> list[tuple[str, str]]:
        """Files that a call left open; those that the first call of a process opens and keeps are the plug-in's."""
        count, before, self._files = open_files(), self._files, open_files()
        return [("global state", f"left {count - before} more open files")] if before and count > before else []

    def _output_faults(self, when: str) -> list[tuple[str, str]]:
        now, before = self._output_bytes(), self._printed
        if now == before:
            return []
        self._printed = now
        return [("silent", f"wrote {now - before} bytes to stdout or stderr {when}")]

    def _output_bytes(self) -> int:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
        return os.fstat(self._sink).st_size + os.fstat(2).st_size  # a worker's stderr is a file


class Elsewhere:
    """Calls the plug-in in a fresh interpreter with another hash seed, in another folder, not on `sys.path`.

    Args:
        ref: the plug-in, as the pool takes it.
        options: keyword arguments of its constructor.
        folder: working directory of the other interpreter; an empty one.
        hash_seed: its PYTHONHASHSEED; that of the pool's workers is 0.
    """

    def __init__(self, *, ref: str, options: Mapping[str, Any], folder: str, hash_seed: int) -> None:
        ours, theirs = socket.socketpair()
        boot = f"from {__name__} import serve; serve({theirs.fileno()})"
        # -P: the folder is not put on sys.path. It is in our process group, so the pool kills it with us.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", boot],
            pass_fds=(theirs.fileno(),),
            cwd=folder,
            env=os.environ | {"PYTHONHASHSEED": str(hash_seed)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        theirs.close()
        self._connection = Connection(ours.detach())
        self._ask((ref, dict(options)))

    def verify(self, prompt: Prompt, response: str) -> Score:
        """What was seen, as JSON in the reason."""
        fields = (prompt.id, prompt.text, prompt.answer, (), prompt.metadata, prompt.source)
        return Score(Verdict.RIGHT, 1.0, reason=self._ask((fields, response)))

    def _ask(self, message: object) -> str:
        try:
            self._connection.send_bytes(pickle.dumps(message))
            kind, content = self._connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise PluginError(f"the fresh interpreter ended with code {self._process.wait()}") from error
        if kind != "ok":
            raise PluginError(content)
        return content


def serve(pipe: int) -> None:
    """Entry of the other interpreter: construct the plug-in, then judge until the pipe ends."""
    connection = Connection(pipe)
    ref, options = pickle.loads(connection.recv_bytes())
    try:
        probe = Probe(ref=ref, options=options, watch=False)
    except PluginError as error:
        connection.send(("failed", str(error)))
        return
    connection.send(("ok", ""))
    while True:
        try:
            fields, response = pickle.loads(connection.recv_bytes())
        except EOFError:
            return
        connection.send(("ok", probe.verify(Prompt(*fields), response).reason))


def _constructor_faults(ref: str) -> list[str]:
    """What keeps a recipe from giving the constructor its options."""
    factory = load(VERIFIERS, ref)
    faults: list[str] = []
    for name, parameter in inspect.signature(factory).parameters.items():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            faults.append(f"the constructor takes {name!r} by position only; take keywords")
        elif parameter.default is not parameter.empty and not _is_plain(parameter.default):
            faults.append(f"the default of {name!r}, {parameter.default!r:.80}, is not plain data")
    return faults


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float)


def _score_faults(score: object) -> list[str]:
    if not isinstance(score, Score):
        return [f"verify returned {score!r:.80}, a {type(score).__name__}; return a Score"]
    faults: list[str] = []
    if not isinstance(score.verdict, Verdict):
        return [f"the verdict is {score.verdict!r:.80}; it is one of Verdict.RIGHT, WRONG, UNJUDGED"]
    if not isinstance(score.reason, str):
        faults.append(f"the reason is {score.reason!r:.80}; it is a string")
    if score.verdict is Verdict.UNJUDGED:
        if score.reward is not None:
            faults.append(f"UNJUDGED with reward {score.reward!r}; it is None")
        if not score.reason:
            faults.append("UNJUDGED without a reason")
    elif not _is_finite(score.reward):
        faults.append(f"{score.verdict.name} with reward {score.reward!r:.80}; it is a finite number")
    if not isinstance(score.parts, Mapping):
        return [*faults, f"parts is {score.parts!r:.80}; it is a mapping of names to numbers"]
    wrong = {name: part for name, part in score.parts.items() if not isinstance(name, str) or not _is_finite(part)}
    return [*faults, f"parts has {wrong!r:.80}; names are strings and values finite numbers"] if wrong else faults


def _is_finite(value: object) -> bool:
    return isinstance(value, Real) and isfinite(value)


def _pickle_faults(score: Score) -> list[str]:
    try:
        again = pickle.loads(pickle.dumps(score))
    except (pickle.PicklingError, TypeError, AttributeError, ValueError, ImportError, RecursionError) as error:
        return [f"the score cannot be pickled: {error}"[:200]]
    return [] if again == score else ["the score is another after pickling"]


def _differ(one: list[Any] | None, other: list[Any] | None) -> str:
    return f"{_shown(one)}, then {_shown(other)}"


def _shown(score: list[Any] | None) -> str:
    return "no score" if score is None else f"{score[0]} {score[1]} {score[3]!r:.60}"


def _place(trace: TracebackType | None) -> str:
    """Where in the plug-in it was raised."""
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})"
