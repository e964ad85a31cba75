"""Cuts LaTeX and plain mathematics into tokens, within bounds on their number and on the digits of a numeral."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

MAX_TOKENS = 500
MAX_DIGITS = 1_000

_TOKEN = re.compile(
    r"(?P<mixed>\d+[ ]+\d+\s*/\s*\d+(?![\d.]))"
    r"|(?P<spaced>[1-9]\d{0,2}(?:[ ]\d{3})+(?![\d.]))"
    r"|(?P<thousands>[1-9]\d{0,2}(?:,\d{3})+(?!\d)(?:\.\d+)?)"
    r"|(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,4}(?!\d))?)"
    r"|(?P<text>\\(?:text|textbf|textit|textrm|mathrm|mbox|operatorname|emph|mathit)\s*\{(?P<content>[^{}]*)\})"
    r"|(?P<command>\\(?:[A-Za-z]+|[{}|]))|(?P<row>\\\\)|(?P<word>[A-Za-z]+)|(?P<sign>[^\sA-Za-z\d\\])|(?P<space>\s+)"
)


class Unreadable(ValueError):
    """The text is no mathematics that this parser knows, or it is past a bound."""


class TooLong(Unreadable):
    """The text is past a bound of the parser."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operation. `op` is one of the names that `_Parser` makes; `value` belongs to leaves, calls and relations."""

    op: str
    args: tuple[Node, ...] = ()
    value: Fraction | str | None = None
    decimals: int = -1
    """Digits after the point of a number that was written as a decimal; -1 for others."""


def tokens(text: str) -> list[tuple[str, str]]:
    """(kind, text) of each token; kinds are the group names of the pattern above.

    Raises:
        Unreadable: too many tokens, or a character that means nothing.
    """
    found: list[tuple[str, str]] = []
    at = depth = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise Unreadable(f"unknown character {text[at]!r}")
        kind, value = str(match.lastgroup if match.lastgroup != "content" else "text"), match.group()
        if kind == "thousands" and depth:  # (1,234) is a pair
            match = re.compile(r"\d+").match(text, at) or match
            kind, value = "number", match.group()
        at = match.end()
        if kind == "space":
            continue
        depth += (value in ("(", "[", "{", "\\{")) - (value in (")", "]", "}", "\\}"))
        found.append((kind, match["content"].strip() if kind == "text" else value))
        if len(found) > MAX_TOKENS:
            raise TooLong(f"longer than {MAX_TOKENS} tokens")
    return found


def number(digits: str) -> Node:
    """The leaf of a decimal numeral, exponent allowed."""
    mantissa, _, exponent = digits.lower().replace(",", "").replace(" ", "").partition("e")
    whole, point, fraction = mantissa.partition(".")
    if len(mantissa) > MAX_DIGITS:
        raise TooLong(f"a number of more than {MAX_DIGITS} digits")
    shift = int(exponent or 0) - len(fraction)
    value = Fraction(int(whole + fraction or "0")) * Fraction(10) ** shift
    return Node("num", value=value, decimals=len(fraction) if point and fraction else -1)


def chain(op: str, left: Node, right: Node) -> Node:
    """left op right, with a long sum or product in one node rather than a deep tree."""
    return Node(op, (*left.args, right)) if left.op == op else Node(op, (left, right))


class Cursor:
    """Where a parser stands in a list of tokens."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    def kind(self, ahead: int = 0) -> str:
        """Kind of the token `ahead` of the present one; "end" past the last."""
        at = self._at + ahead
        return self._tokens[at][0] if at < len(self._tokens) else "end"

    def value(self, ahead: int = 0) -> str:
        """Its text; empty past the last."""
        at = self._at + ahead
        return self._tokens[at][1] if at < len(self._tokens) else ""

    def sees(self, *values: str) -> bool:
        """Whether the present token is one of these signs or commands."""
        return self.kind() in ("sign", "command", "row") and self.value() in values

    def accept(self, *values: str) -> bool:
        """Step over the present token if it is one of these."""
        if self.sees(*values):
            self._at += 1
            return True
        return False

    def expect(self, value: str) -> None:
        """Step over this token, or say that it is missing."""
        if not self.accept(value):
            raise Unreadable(f"expected {value!r}, found {self.value()!r}")

    def skip(self, count: int = 1) -> None:
        """Step over tokens, whatever they are."""
        self._at += count

    def take_character(self) -> str:
        """The first character of the present token, which keeps the rest."""
        kind, text = self._tokens[self._at]
        if len(text) == 1:
            self._at += 1
        else:
            self._tokens[self._at] = (kind, text[1:])
        return text[0]
