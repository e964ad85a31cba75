"""A judge's words to a verdict: the JSON object that they end in, read strictly; anything else is no verdict."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn

LONGEST_VERDICT = 4096
"""Characters from the end within which the JSON object must begin."""
_SHOWN = 80


class Fault(StrEnum):
    """Why a reward model could not judge; the first word of the score's reason."""

    MISSING = "missing"
    """The judge's words do not end in a JSON object, or the object has no "correct"."""
    MALFORMED = "malformed"
    """It ends in something like JSON that is none, or "correct" is neither true nor false."""
    CONTRADICTORY = "contradictory"
    """The object says it twice."""
    TRUNCATED = "truncated"
    """The judge ran out of tokens, or was stopped."""
    TIE = "tie"
    """As many votes for as against."""
    TOO_LONG = "too long"
    """Question, reference and response do not fit into the model's context."""
    UNREACHABLE = "unreachable"
    """The server refused, failed or was late, after all attempts."""


@dataclass(frozen=True, slots=True)
class NoVerdict:
    """A judgement that did not come about."""

    fault: Fault
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.fault}: {self.detail}" if self.detail else str(self.fault)


def read_verdict(text: str) -> bool | NoVerdict:
    """The verdict in a judge's own words; total on any string.

    The words must end in a JSON object with `"correct": true` or `false` (white space and the end of a code fence may
    follow). Other keys are allowed. An earlier object, say a quotation of what the response claims, counts for
    nothing, also where the last one is broken.
    """
    end = text.rstrip().removesuffix("```").rstrip()
    if not end.endswith("}"):
        return NoVerdict(Fault.MISSING, f"the judge's words end in {end[-_SHOWN:]!r}, not in a JSON object")
    tail = end[-LONGEST_VERDICT:]
    found = _last_object(tail)
    if isinstance(found, NoVerdict):
        return found
    if "correct" not in found:
        return NoVerdict(Fault.MISSING, f'the last JSON object has no "correct", only {sorted(found)!r:.{_SHOWN}}')
    value = found["correct"]
    if not isinstance(value, bool):
        return NoVerdict(Fault.MALFORMED, f'"correct" is {value!r:.{_SHOWN}}, not true or false')
    return value


def majority(votes: Sequence[bool | NoVerdict]) -> bool | NoVerdict:
    """The verdict of more of those who gave one; without any, the first one's fault."""
    given = [vote for vote in votes if isinstance(vote, bool)]
    if not given:
        return next(vote for vote in votes if isinstance(vote, NoVerdict))
    right = sum(given)
    if 2 * right == len(given):
        return NoVerdict(Fault.TIE, f"{right} votes for and {right} against")
    return 2 * right > len(given)


class _SaidTwiceError(ValueError):
    pass


def _last_object(tail: str) -> dict[str, Any] | NoVerdict:
    """The outermost object that ends exactly where the text does."""
    decoder = json.JSONDecoder(object_pairs_hook=_once_each, parse_constant=_refuse)
    begin = tail.find("{")
    while begin >= 0:
        try:
            found, end = decoder.raw_decode(tail, begin)
        except _SaidTwiceError as error:
            return NoVerdict(Fault.CONTRADICTORY, f"the key {error} stands twice in one object")
        except RecursionError:
            return NoVerdict(Fault.MALFORMED, "nested too deeply")
        except ValueError:
            begin = tail.find("{", begin + 1)
            continue
        if end == len(tail):
            return found
        begin = tail.find("{", end)
    return NoVerdict(Fault.MALFORMED, f"not JSON: {tail[-_SHOWN:]!r}")


def _once_each(items: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: set[str] = set()
    for key, _ in items:
        if key.casefold() in seen:
            raise _SaidTwiceError(repr(key)[:_SHOWN])
        seen.add(key.casefold())
    return dict(items)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
