"""The candidate's side of function-style tests: calls its functions and ships what they return as plain data.

All of this is in the candidate's own process and in its power; the grader takes what comes as untrusted data. Inputs
are in here, expected values never.

A request is ("call", key, arguments, named arguments), ("get", key, name) or ("set", key, name, value). A key is a name
of the program, dotted perhaps, or the number of an object that was not plain data and stayed here. An answer is
("value", value), ("missing", name) or ("error", type's name, message).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from .plain_data import NotPlainData, decode, encode
from .python_program import finish, load

_write, _exit = os.write, os._exit  # before any program changes what these names stand for


def answer_list(payload: dict[str, Any], channel: int) -> NoReturn:
    """Load the sources, then make the `calls` in order; one line for the loading and one for each call.

    With the last line the process ends: threads and exit functions that the program leaves have no say.
    """

    def answer() -> None:
        _answer(payload["sources"], [line.encode() for line in payload["calls"]], _sender(channel), None)
        _exit(0)

    finish(answer)


def serve(payload: dict[str, Any], requests: int, channel: int) -> NoReturn:
    """The same with requests that come one by one, and objects that stay here behind handles."""
    lines = open(requests, "rb", closefd=False)  # noqa: SIM115 - for as long as the process lives
    finish(lambda: _answer(payload["sources"], lines, _sender(channel), []))


def _answer(sources: list[str], lines: Iterable[bytes], send: Callable[[str], None], kept: list[Any] | None) -> None:
    def keep(value: object) -> int:
        assert kept is not None
        kept.append(value)
        return len(kept) - 1

    fetch = None if kept is None else kept.__getitem__
    try:
        names = load(sources)
    except BaseException as error:
        send(_error(error))
        raise
    send(encode(("value", None)))
    for line in lines:
        answer = _one(names, kept, decode(line, fetch))
        try:
            send(encode(answer, None if kept is None else keep))
        except NotPlainData as error:
            send(_error(error))


def _one(names: dict[str, Any], kept: list[Any] | None, request: tuple[Any, ...]) -> tuple[Any, ...]:
    verb, key, *rest = request
    try:
        target = kept[key] if kept is not None and isinstance(key, int) else _named(names, key)
    except (KeyError, AttributeError):
        return ("missing", key)
    try:
        if verb == "call":
            return ("value", target(*rest[0], **rest[1]))
        if verb == "set":
            return ("value", setattr(target, rest[0], rest[1]))
        return ("value", getattr(target, rest[0]))
    except BaseException as error:
        return ("error", type(error).__name__[:80], str(error)[:300])


def _named(names: dict[str, Any], key: str) -> Any:
    """What a name stands for; `Solution.method` is a method of a new Solution()."""
    first, *others = key.split(".")
    target = names[first]
    for name in others:
        target = getattr(target() if isinstance(target, type) else target, name)
    return target


def _error(error: BaseException) -> str:
    return encode(("error", type(error).__name__[:80], str(error)[:300]))


def _sender(channel: int) -> Callable[[str], None]:
    def send(line: str) -> None:
        data = line.encode() + b"\n"
        while data:
            data = data[_write(channel, data) :]

    return send
