"""The tests' side of assert-style tests: runs test code in a process that the candidate's code never enters.

What the tests call the candidate by is a proxy: a call travels as plain data to the candidate's process and comes back
as plain data (calls.py). An object that is not plain data stays over there behind a handle, which is equal to itself
only. The verdict goes to the grader through a descriptor that only this process has.
"""

from __future__ import annotations

import builtins
import importlib
import json
import os
import sys
import types
from typing import Any, BinaryIO, NoReturn

from .plain_data import NotPlainData, decode, encode
from .python_program import finish

PASSED, FAILED, RAISED, GONE, MALFORMED = "passed", "failed", "raised", "gone", "malformed"
_LONGEST_LINE = 1 << 20
_MODULES = (
    "bisect", "collections", "copy", "datetime", "decimal", "fractions", "functools", "heapq", "itertools", "math",
    "operator", "random", "re", "string", "sys", "typing",
)  # fmt: skip


class _Ended(BaseException):
    """The tests cannot go on; not an Exception, so that no test swallows it."""

    def __init__(self, outcome: str, reason: str) -> None:
        super().__init__(outcome, reason)
        self.outcome, self.reason = outcome, reason


class RemoteError(Exception):
    """The candidate raised; combined with the built-in exception of the same name where there is one."""

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)


class _Remote:
    """A name or an object of the candidate's."""

    __slots__ = ("_key", "_link")

    def __init__(self, link: _Link, key: str | int) -> None:
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_key", key)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._link.ask("call", self._key, arguments, named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._link.ask("get", self._key, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._link.ask("set", self._key, name, value)


class _Link:
    """The pipe to the candidate's process."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self._requests, self._answers = requests, answers

    def ask(self, *request: Any) -> Any:
        """One request and its answer.

        Raises:
            RemoteError: the candidate raised.
            _Ended: it is gone, or sends what is no answer, or the test sends what is no plain data.
        """
        try:
            line = encode(request, _handle_number)
        except NotPlainData as error:
            raise _Ended(MALFORMED, f"a test gives the candidate what cannot be sent: {error}") from error
        try:
            self._requests.write(line.encode() + b"\n")
            self._requests.flush()
        except BrokenPipeError as error:
            raise _Ended(GONE, "") from error
        return self.answer()

    def answer(self) -> Any:
        """The next line from the candidate."""
        line = self._answers.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise _Ended(FAILED, "an answer is too long") if len(line) == _LONGEST_LINE else _Ended(GONE, "")
        try:
            kind, *content = decode(line, lambda number: _Remote(self, number))
        except (NotPlainData, TypeError, ValueError) as error:
            raise _Ended(FAILED, "the candidate sent what is no plain data") from error
        if kind == "value" and len(content) == 1:
            return content[0]
        if kind == "missing":
            raise _Ended(FAILED, f"the program does not define {content[0]!r:.80}")
        if kind == "error" and len(content) == 2 and all(type(part) is str for part in content):
            raise _as_raised(*content)
        raise _Ended(FAILED, "the candidate sent what is no answer")


def run(payload: dict[str, Any], verdict: int, requests: int, answers: int) -> NoReturn:
    """Run `setup`, then each of `tests` (source texts), then, when it names one, `check` with the `entry_point`."""
    link = _Link(open(requests, "wb"), open(answers, "rb"))  # noqa: SIM115 - for as long as the process lives

    def decide() -> None:
        os.write(verdict, json.dumps(_outcome(payload, link)).encode() + b"\n")
        os._exit(0)  # whatever threads the tests left

    finish(decide)


def _outcome(payload: dict[str, Any], link: _Link) -> dict[str, Any]:
    number = 0
    try:
        link.answer()  # its program has been loaded
        names = _names(payload, link)
        for source in payload["prelude"]:
            _execute(source, "prelude", names)
        for name in payload["candidate_names"]:
            names[name] = _Remote(link, name)
        for number, source in enumerate(payload["tests"], start=1):
            _execute(source, f"test {number}", names)
        if payload["check"]:
            names[payload["check"]](_Remote(link, payload["entry_point"]))
    except _Ended as ended:
        return {"outcome": ended.outcome, "test": number, "reason": ended.reason}
    except RemoteError as error:
        return {"outcome": RAISED, "test": number, "reason": f"{type(error).__name__}: {error}"[:300]}
    except (ImportError, SyntaxError) as error:
        return {"outcome": MALFORMED, "test": number, "reason": f"{type(error).__name__}: {error}"[:300]}
    except AssertionError as error:
        return {"outcome": FAILED, "test": number, "reason": f"assertion failed {error}".rstrip()[:300]}
    except Exception as error:  # a test trips over what the candidate returned
        return {"outcome": FAILED, "test": number, "reason": f"the test raised {type(error).__name__}: {error}"[:300]}
    return {"outcome": PASSED, "test": number, "reason": ""}


def _execute(source: str, name: str, names: dict[str, Any]) -> None:
    exec(compile(source, name, "exec", dont_inherit=True), names)


def _names(payload: dict[str, Any], link: _Link) -> dict[str, Any]:
    """Globals for the tests: what they use and nobody defines is a standard module or the candidate's."""
    import ast  # half a megabyte that most executions need not copy

    module = types.ModuleType("tests")
    sys.modules["tests"] = module
    names = module.__dict__
    trees = [ast.parse(source) for source in (*payload["prelude"], *payload["tests"])]
    used = {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for name in used - set(vars(builtins)):
        names[name] = importlib.import_module(name) if name in _MODULES else _Remote(link, name)
    return names


def _handle_number(value: Any) -> int:
    if type(value) is not _Remote or isinstance(value._key, str):
        raise NotPlainData(f"a {type(value).__name__} is not plain data")
    return value._key


def _as_raised(name: str, message: str) -> RemoteError:
    known = getattr(builtins, name, None)
    if isinstance(known, type) and issubclass(known, Exception):
        return type(name, (RemoteError, known), {})(message)
    return RemoteError(f"{name}: {message}")
