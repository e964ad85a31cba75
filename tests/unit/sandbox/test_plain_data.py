"""What may pass between a program and its grader, exactly, and what may not."""

from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from rl_reason.sandbox.inside.plain_data import NotPlainData, decode, encode

Point = namedtuple("Point", "x y")
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    2**63,
    -(10**5000),
    0.1,
    -0.0,
    math.inf,
    -math.inf,
    1 + 2j,
    "",
    "é\n\0",
    "\udc80",
    b"\xff",
    bytearray(b"x"),
    [],
    [[1], [2, [3]]],
    (),
    (1,),
    ((1, 2), [3]),
    {1, 2},
    frozenset({(1, 2)}),
    {},
    {1: "a", (2, 3): None},
    {"d": 1},
    {"t": [1]},
    range(3, 9, 2),
    deque([1, 2]),
    Decimal("1.10"),
    Fraction(-2, 3),
    int,
    str,
    {None: {b"k": {1}}},
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30] if value != -(10**5000) else "huge")
def test_a_round_trip_keeps_value_and_types(value: Any) -> None:
    line = encode(value)
    assert line.isascii() and "\n" not in line
    back = decode(line)
    assert back == value and type(back) is type(value)


def test_types_are_kept_at_depth_and_nan_is_nan() -> None:
    back = decode(encode([1, 1.0, True, (1,), [1], math.nan]))
    assert [type(item) for item in back] == [int, float, bool, tuple, list, float] and math.isnan(back[5])
    assert math.copysign(1, decode(encode(-0.0))) == -1


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(int, a=1), {"a": 1}),
        (Point(1, 2), (1, 2)),
    ],
)
def test_some_collections_pass_as_what_they_are_made_of(value: Any, plain: Any) -> None:
    back = decode(encode(value))
    assert back == plain and type(back) is type(plain)


class Anything:
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        Anything(),
        [Anything()],
        {1: Anything()},
        {Anything(): 1},
        type("I", (int,), {})(3),
        type("S", (str,), {})("x"),
        type("L", (list,), {})(),
        type("D", (dict,), {})(),
        lambda: 0,
        iter([]),
        (x for x in "a"),
        object(),
        Anything,
        len,
        nested(100),
        ValueError("x"),
        NotImplemented,
        ...,
    ],
)
def test_what_could_answer_for_itself_is_refused(value: Any) -> None:
    with pytest.raises(NotPlainData):
        encode(value)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "nul",
        "[1",
        '{"x": 1}',
        "{}",
        '{"t": 1}',
        '{"t": [1], "s": [1]}',
        '{"s": [[1]]}',
        '{"d": [[1]]}',
        '{"d": 3}',
        '{"i": 5}',
        '{"i": "zz"}',
        '{"f": "x"}',
        '{"b": "0"}',
        '{"c": ["1"]}',
        '{"r": ["0x0", "0xffffffffffff", "0x1"]}',
        '{"m": "1e999999999"}',
        '{"m": "x"}',
        '{"n": ["0x1", "0x0"]}',
        '{"y": "eval"}',
        '{"h": 1}',
        "[" * 100_000,
        '{"t": [' * 5000 + "]}" * 5000,
        "1" * 10_000,
        b"\xff",
    ],
    ids=lambda line: str(line)[:24],
)
def test_lines_that_nobody_writes_are_refused(line: str) -> None:
    with pytest.raises(NotPlainData):
        decode(line)


def test_keys_made_to_collide_are_refused_at_once() -> None:
    step = 2**61 - 1
    line = json.dumps({"s": [{"i": hex(number * step)} for number in range(501)]})
    with pytest.raises(NotPlainData):
        decode(line)
    assert len(decode(encode(set(range(100_000))))) == 100_000


def test_handles_need_somebody_who_knows_them() -> None:
    kept: list[Any] = []

    def keep(value: Any) -> int:
        kept.append(value)
        return len(kept) - 1

    thing = Anything()
    line = encode([1, thing], keep)
    assert decode(line, kept.__getitem__)[1] is thing
    with pytest.raises(NotPlainData):
        decode(line)
