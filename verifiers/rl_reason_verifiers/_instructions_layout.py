"""Checks of a response's layout: lists, sections, titles, JSON, and the like. "" when followed, else why not."""

from __future__ import annotations

import json
import re

CONSTRAINED = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_PLACEHOLDER = re.compile(r"\[[^\[\]\n]+\]")
_BULLET = re.compile(r"^[^\S\n]*[-*+][^\S\n]+(?=[^\n]*[^\s*+-])", re.M)
_HIGHLIGHT = re.compile(r"\*\*(?![\s*])[^\n*]+(?<!\s)\*\*|\*(?![\s*])[^\n*]+(?<!\s)\*")
_TITLE = re.compile(r"<<([^\n<>]+)>>")
_FENCED = re.compile(r"```(?:json)?\s(.*)```", re.S | re.I)
_MARKERS = {"P.S.": r"p\.\s?s\.", "P.P.S": r"p\.\s?p\.\s?s\.?", "P.P.S.": r"p\.\s?p\.\s?s\."}


def number_placeholders(text: str, *, num_placeholders: int) -> str:
    """At least so many placeholders in square brackets, such as [address]."""
    return _at_least(len(_PLACEHOLDER.findall(text)), num_placeholders, "placeholders")


def postscript(text: str, *, postscript_marker: str) -> str:
    """A postscript that begins with the marker and says something."""
    marker = _MARKERS.get(postscript_marker.strip().upper(), re.escape(postscript_marker.strip()))
    found = list(re.finditer(rf"(?<![\w.]){marker}", text, re.I))
    if not found:
        return f"there is no {postscript_marker}"
    said = any(character.isalnum() for character in text[found[-1].end() :])
    return "" if said else f"nothing follows {postscript_marker}"


def number_bullet_lists(text: str, *, num_bullets: int) -> str:
    """Exactly so many lines that begin with a Markdown bullet: -, * or + and a blank."""
    count = len(_BULLET.findall(text))
    return "" if count == num_bullets else f"{count} bullet points, not {num_bullets}"


def constrained_response(text: str) -> str:
    """One of the three answers `CONSTRAINED`, letter for letter, and not two of them."""
    given = [answer for answer in CONSTRAINED if answer in text]
    return "" if len(given) == 1 else f"gives {len(given)} of the answers {' '.join(CONSTRAINED)}"


def number_highlighted_sections(text: str, *, num_highlights: int) -> str:
    """At least so many passages that Markdown highlights: *so* or **so**, within a line."""
    return _at_least(len(_HIGHLIGHT.findall(text)), num_highlights, "highlighted passages")


def multiple_sections(text: str, *, section_spliter: str, num_sections: int) -> str:
    """At least so many sections, begun by the word and a number: "SECTION 1", …; a number counts once."""
    begun = re.findall(rf"(?<!\w){re.escape(section_spliter.strip())}\s?(\d{{1,9}})", text)
    return _at_least(len(set(begun)), num_sections, f"sections {section_spliter.strip()} 1, 2, …")


def json_format(text: str) -> str:
    """The whole text is one JSON value, maybe within a ```json block. NaN and Infinity are not JSON."""
    text = text.strip()
    fenced = _FENCED.fullmatch(text)
    try:
        json.loads(fenced[1] if fenced else text, parse_constant=_refuse, parse_int=_unread)
    except ValueError as error:
        return f"is not JSON: {error}"[:120]
    except RecursionError:
        return "is JSON nested too deeply to be read"
    return ""


def title(text: str) -> str:
    """A title in double angular brackets on one line: <<poem of joy>>."""
    return "" if any(inner.strip() for inner in _TITLE.findall(text)) else "there is no <<title>>"


def two_responses(text: str) -> str:
    """Two different responses, parted by ******."""
    responses = [response.strip() for response in text.split("******")]
    if not all(responses[1:-1]):
        return "there is an empty response between two ******"
    given = [response for response in responses if response]
    if len(given) != 2:
        return f"{len(given)} responses parted by ******, not 2"
    return "the two responses are the same" if given[0] == given[1] else ""


def _at_least(count: int, wanted: int, what: str) -> str:
    return "" if count >= wanted else f"{count} {what}, not at least {wanted}"


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON value")


def _unread(digits: str) -> int:
    """A number's size does not matter here, and Python refuses integers of over 4,300 digits."""
    return len(digits)
