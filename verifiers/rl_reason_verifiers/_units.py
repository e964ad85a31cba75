"""Units of measurement and currencies: what a unit's words measure, and how much of it one of them is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from rl_reason_verifiers._tokens import Node

Dimensions: TypeAlias = tuple[tuple[str, int], ...]
"""What is measured, such as (("length", 1), ("time", -1)); sorted by name."""

_BASE: dict[str, str] = {
    "length": ("mm 1/1000 cm 1/100 dm 1/10 m 1 km 1000 nm 1/1000000000 in 127/5000 inch 127/5000 inches 127/5000 "
               "ft 381/1250 foot 381/1250 feet 381/1250 yd 1143/1250 yard 1143/1250 mi 201168/125 mile 201168/125 "
               "meter 1 metre 1 millimeter 1/1000 millimetre 1/1000 centimeter 1/100 centimetre 1/100 decimeter 1/10 "
               "kilometer 1000 kilometre 1000"),
    "time": ("ms 1/1000 s 1 sec 1 second 1 min 60 minute 60 h 3600 hr 3600 hour 3600 day 86400 week 604800 "
             "millisecond 1/1000"),
    "months": ("month 1 year 12 yr 12 decade 120 century 1200"),
    "mass": ("mg 1/1000000 g 1/1000 gram 1/1000 kg 1 kilogram 1 milligram 1/1000000 lb 45359237/100000000 "
             "pound 45359237/100000000 oz 45359237/1600000000 ounce 45359237/1600000000 tonne 1000"),
    "litre": ("ml 1/1000 milliliter 1/1000 millilitre 1/1000 l 1 liter 1 litre 1 "),
    "gallon": ("gal 1 gallon 1"),
    "dollar": ("dollar 1 usd 1 buck 1 cent 1/100 cents 1/100 penny 1/100 pennies 1/100"),
    "euro": ("euro 1 eur 1"),
    "sterling": ("sterling 1 gbp 1"),
    "celsius": ("celsius 1 degreesc 1"),
    "fahrenheit": ("fahrenheit 1 degreesf 1"),
    "energy": ("j 1 kj 1000 joule 1 kilojoule 1000"),
    "force": ("n 1 kn 1000 newton 1"),
    "power": ("w 1 kw 1000 watt 1 kilowatt 1000"),
    "frequency": ("hz 1 khz 1000 hertz 1"),
}  # fmt: skip


def _table() -> dict[str, tuple[Fraction, Dimensions]]:
    table: dict[str, tuple[Fraction, Dimensions]] = {}
    for name, listed in _BASE.items():
        words = listed.split()
        for word, size in zip(words[::2], words[1::2], strict=True):
            table[word] = Fraction(size), ((name, 1),)
    return table


_UNITS = _table()
_ABBREVIATIONS = {"mph": "mile/hour", "kph": "km/h", "kmh": "km/h", "kmph": "km/h", "fps": "ft/s", "sqft": "ft^2"}
_TOKEN = re.compile(r"([A-Za-z]+)\.?|\^\s*\{?\s*(-?\d)\s*\}?|(/)|(\d)")
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_AFTER = {"squared": 2, "cubed": 3}


def measure(words: str) -> tuple[Fraction, Dimensions] | None:
    """(size of one in base units, dimensions) of a unit such as "cm^2", "square feet" or "miles per hour".

    None if a word of it is no known unit: it is then a mere description, as in "10 apples".
    """
    if len(words) > 60:
        return None
    text = (
        _ABBREVIATIONS.get(words.strip().lower(), words)
        .replace("degrees C", "degreesc")
        .replace("degrees F", "degreesf")
    )
    size, powers, sign, power = Fraction(1), dict[str, int](), 1, 1
    last: tuple[Fraction, Dimensions, int] | None = None
    for word, exponent, slash, _ in _TOKEN.findall(text):
        lower = word.lower()
        if exponent or lower in _AFTER:
            if last is None:
                return None
            times = (int(exponent) if exponent else _AFTER[lower]) - 1
            size, powers = _multiplied(size, powers, (last[0], last[1]), last[2] * times)
            last = None
        elif slash or lower in ("per", "a", "an"):
            sign = -1
        elif lower in _POWERS:
            power = _POWERS[lower]
        elif word:
            unit = _UNITS.get(lower) or _UNITS.get(lower.removesuffix("s")) or _UNITS.get(lower.removesuffix("es"))
            if unit is None:
                return None
            size, powers = _multiplied(size, powers, unit, sign * power)
            last, power = (*unit, sign), 1
        else:
            return None
    found = tuple(sorted((name, number) for name, number in powers.items() if number))
    return (size, found) if found else None


def _multiplied(
    size: Fraction, powers: dict[str, int], unit: tuple[Fraction, Dimensions], times: int
) -> tuple[Fraction, dict[str, int]]:
    for name, number in unit[1]:
        powers[name] = powers.get(name, 0) + number * times
    return size * unit[0] ** times, powers


@dataclass(frozen=True, slots=True)
class Quantity:
    """An expression without its unit.

    Args:
        plain: in the unit that was written.
        scaled: in base units; None without a known unit.
        dimensions: empty without a known unit.
        words: the unit's words when they are no known unit.
    """

    plain: Node
    scaled: Node | None = None
    dimensions: Dimensions = ()
    words: str = ""


def quantity(node: Node) -> Quantity:
    """Parts a number from its unit; a sum such as 5 ft 4 in is a quantity if its terms measure the same."""
    if node.op == "neg":
        inner = quantity(node.args[0])
        scaled = None if inner.scaled is None else Node("neg", (inner.scaled,))
        return Quantity(Node("neg", (inner.plain,)), scaled, inner.dimensions, inner.words)
    if node.op == "add" and any(term.op == "unit" for term in node.args):
        terms = [quantity(term) for term in node.args]
        if len({term.dimensions for term in terms}) == 1 and terms[0].dimensions:
            total = Node("add", tuple(term.scaled for term in terms if term.scaled is not None))
            return Quantity(total, total, terms[0].dimensions)
    if node.op != "unit":
        return Quantity(node)
    words, inner = str(node.value).strip(), node.args[0]
    if words.lower() in ("degree", "degrees", "deg"):
        return Quantity(Node("degree", (inner,)))
    if words.lower() in ("radian", "radians", "rad"):
        return Quantity(inner)
    found = measure(words)
    if found is None:
        return Quantity(inner, words=words.casefold())
    size, dimensions = found
    return Quantity(inner, Node("mul", (Node("num", value=size), inner)), dimensions)
