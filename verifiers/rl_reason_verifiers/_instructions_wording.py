"""Checks of what a response says: keywords, lengths, case, commas, both its ends. "" when followed, else why not."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rl_reason_verifiers._sentences import count_sentences, words

RELATIONS = ("at least", "less than")
_COMMAS = ",，、،﹐"
_BLANK_LINES = re.compile(r"\n[^\S\n]*\n")
_DIVIDER = re.compile(r"\s?\*\*\*\s?")
_SHOWN = 60


def existence(text: str, *, keywords: Sequence[str]) -> str:
    """Every keyword stands somewhere in the text, case ignored, also within a word."""
    lower = text.casefold()
    missing = [keyword for keyword in keywords if keyword.casefold() not in lower]
    return f"without {', '.join(missing)}" if missing else ""


def frequency(text: str, *, keyword: str, frequency: int, relation: str) -> str:
    """The keyword stands so often in the text, case ignored, also within words."""
    return _counted(text.casefold().count(keyword.casefold()), relation, frequency, f"times {keyword!r}")


def forbidden_words(text: str, *, forbidden_words: Sequence[str]) -> str:
    """None of the words stands in the text as a word of its own, case ignored."""
    lower = text.casefold()
    found = [
        word for word in forbidden_words if re.search(rf"(?<!\w){re.escape(word.strip().casefold())}(?!\w)", lower)
    ]
    return f"has {', '.join(found)}" if found else ""


def letter_frequency(text: str, *, letter: str, let_frequency: int, let_relation: str) -> str:
    """The letter (or other character) stands so often in the text, case ignored."""
    return _counted(text.lower().count(letter.lower()), let_relation, let_frequency, f"times {letter!r}")


def number_words(text: str, *, num_words: int, relation: str) -> str:
    """Words, counted as in `_sentences`."""
    return _counted(len(words(text)), relation, num_words, "words")


def number_sentences(text: str, *, num_sentences: int, relation: str) -> str:
    """Sentences, counted as in `_sentences`."""
    return _counted(count_sentences(text), relation, num_sentences, "sentences")


def number_paragraphs(text: str, *, num_paragraphs: int) -> str:
    """Paragraphs parted by the divider ***; one may stand at the very beginning or end, none may be empty."""
    paragraphs = [paragraph.strip() for paragraph in _DIVIDER.split(text)]
    if not all(paragraphs[1:-1]):
        return "there is an empty paragraph between two dividers"
    count = sum(map(bool, paragraphs))
    return "" if count == num_paragraphs else f"{count} paragraphs, not {num_paragraphs}"


def nth_paragraph_first_word(text: str, *, num_paragraphs: int, nth_paragraph: int, first_word: str) -> str:
    """So many paragraphs, parted by blank lines, and the nth begins with the word, case and quotes ignored."""
    paragraphs = [paragraph for paragraph in _BLANK_LINES.split(text) if paragraph.strip()]
    if len(paragraphs) != num_paragraphs:
        return f"{len(paragraphs)} paragraphs, not {num_paragraphs}"
    if nth_paragraph > len(paragraphs):
        return f"there is no paragraph {nth_paragraph}"
    first = next(iter(words(paragraphs[nth_paragraph - 1])), "")
    wanted = " ".join(words(first_word)).casefold()
    return "" if first.casefold() == wanted else f"paragraph {nth_paragraph} begins with {first[:_SHOWN]!r}"


def capital_word_frequency(text: str, *, capital_frequency: int, capital_relation: str) -> str:
    """Words all of whose letters are capitals; "I" and "A" are such words."""
    count = sum(word.isupper() for word in words(text))
    return _counted(count, capital_relation, capital_frequency, "words in capitals")


def no_comma(text: str) -> str:
    """No comma of any script."""
    count = sum(text.count(comma) for comma in _COMMAS)
    return f"{count} commas" if count else ""


def end_checker(text: str, *, end_phrase: str) -> str:
    """The text ends with the phrase, and nothing but a closing quote after it; case ignored."""
    ends = text.strip().strip('"”').strip().casefold().endswith(end_phrase.strip().strip('"').casefold())
    return "" if ends else f"ends with {text.strip()[-_SHOWN:]!r}"


def quotation(text: str) -> str:
    """The whole text stands between double quotation marks, straight or curly."""
    text = text.strip()
    wrapped = len(text) > 1 and text[0] + text[-1] in ('""', "“”")
    return "" if wrapped else "is not wrapped in double quotation marks"


def repeat_prompt(text: str, *, prompt_to_repeat: str) -> str:
    """The text begins with the request, word for word; case and the width of white space are ignored."""
    given = " ".join(text[: 4 * len(prompt_to_repeat) + 1_000].split()).casefold()
    wanted = " ".join(prompt_to_repeat.split()).casefold()
    return "" if given.startswith(wanted) else "does not begin with the request"


def _counted(count: int, relation: str, wanted: int, what: str) -> str:
    right = count >= wanted if relation == "at least" else count < wanted
    return "" if right else f"{count} {what}, not {relation} {wanted}"
