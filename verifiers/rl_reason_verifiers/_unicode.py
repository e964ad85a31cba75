"""Unicode normal forms in bounded time, and Unicode digits as ASCII ones."""

from __future__ import annotations

import re
import unicodedata

FORMS = ("NFC", "NFD", "NFKC", "NFKD")
_MOST_MARKS = 30
"""Combining marks in a row that are kept: the limit of Unicode's stream-safe text format (UAX #15)."""
_FOREIGN_DIGIT = re.compile(r"(?![0-9])\d")


def normal_form(text: str, form: str) -> str:
    """The text in one of `FORMS`.

    Python sorts a run of combining marks in quadratic time: 100,000 of them would take minutes. Of a longer run than
    any language has, only the first 30 are kept.
    """
    marks = "".join(character for character in set(text) if unicodedata.combining(character))
    if marks:
        text = re.sub(f"([{marks}]{{{_MOST_MARKS}}})[{marks}]+", r"\1", text)
    return unicodedata.normalize(form, text)  # type: ignore[arg-type]


def ascii_digits(text: str) -> str:
    """Decimal digits of every script (Arabic, Devanagari, full width, …) as 0 to 9."""
    return _FOREIGN_DIGIT.sub(lambda match: str(unicodedata.decimal(match.group())), text)
