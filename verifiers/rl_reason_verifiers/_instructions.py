"""The 25 instructions of IFEval (arXiv 2311.07911): which arguments each takes, and the function that checks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rl_reason_verifiers import _instructions_layout as layout
from rl_reason_verifiers import _instructions_wording as wording
from rl_reason_verifiers._language_id import NAMES, LanguageId, language_code
from rl_reason_verifiers._options import nearest
from rl_reason_verifiers._prose import prose


class UnusableInstruction(ValueError):
    """An instruction that cannot be judged: unknown, or with wrong arguments. The message says what is nearest."""


@dataclass(frozen=True, slots=True)
class Check:
    """How one instruction is judged."""

    function: Callable[..., str]
    """Takes the response and the arguments by name; "" when the instruction is followed, else why not."""
    arguments: Mapping[str, Callable[[Any], str]] = field(default_factory=dict[str, Callable[[Any], str]])
    """Name -> what is wrong with a value, or ""."""


def checks(model: LanguageId) -> dict[str, Check]:
    """All instructions by id; `model` identifies languages."""

    def response_language(text: str, *, language: str) -> str:
        wanted = language_code(language)
        found = model.identify(prose(text), wanted).language
        return "" if found == wanted else f"is in {NAMES.get(found, 'no language that can be told')}"

    def english_capital(text: str) -> str:
        return (
            "has letters that are no capitals" if not text.isupper() else response_language(text.lower(), language="en")
        )

    def english_lowercase(text: str) -> str:
        return "has capitals, or no letters" if not text.islower() else response_language(text, language="en")

    return {
        "keywords:existence": Check(wording.existence, {"keywords": _texts}),
        "keywords:frequency": Check(wording.frequency, {"keyword": _text, "frequency": _count, "relation": _relation}),
        "keywords:forbidden_words": Check(wording.forbidden_words, {"forbidden_words": _texts}),
        "keywords:letter_frequency": Check(
            wording.letter_frequency, {"letter": _letter, "let_frequency": _count, "let_relation": _relation}
        ),
        "language:response_language": Check(response_language, {"language": _language}),
        "length_constraints:number_sentences": Check(
            wording.number_sentences, {"num_sentences": _count, "relation": _relation}
        ),
        "length_constraints:number_paragraphs": Check(wording.number_paragraphs, {"num_paragraphs": _count}),
        "length_constraints:number_words": Check(wording.number_words, {"num_words": _count, "relation": _relation}),
        "length_constraints:nth_paragraph_first_word": Check(
            wording.nth_paragraph_first_word,
            {"num_paragraphs": _count, "nth_paragraph": _ordinal, "first_word": _text},
        ),
        "detectable_content:number_placeholders": Check(layout.number_placeholders, {"num_placeholders": _count}),
        "detectable_content:postscript": Check(layout.postscript, {"postscript_marker": _text}),
        "detectable_format:number_bullet_lists": Check(layout.number_bullet_lists, {"num_bullets": _count}),
        "detectable_format:constrained_response": Check(layout.constrained_response),
        "detectable_format:number_highlighted_sections": Check(
            layout.number_highlighted_sections, {"num_highlights": _count}
        ),
        "detectable_format:multiple_sections": Check(
            layout.multiple_sections, {"section_spliter": _text, "num_sections": _count}
        ),
        "detectable_format:json_format": Check(layout.json_format),
        "detectable_format:title": Check(layout.title),
        "combination:two_responses": Check(layout.two_responses),
        "combination:repeat_prompt": Check(wording.repeat_prompt, {"prompt_to_repeat": _text}),
        "startend:end_checker": Check(wording.end_checker, {"end_phrase": _text}),
        "startend:quotation": Check(wording.quotation),
        "change_case:capital_word_frequency": Check(
            wording.capital_word_frequency, {"capital_frequency": _count, "capital_relation": _relation}
        ),
        "change_case:english_capital": Check(english_capital),
        "change_case:english_lowercase": Check(english_lowercase),
        "punctuation:no_comma": Check(wording.no_comma),
    }


def bound(known: Mapping[str, Check], instruction: object, arguments: object) -> Callable[[str], str]:
    """The check of one instruction with its arguments: response -> "" or what is not followed.

    Arguments that are null are as good as absent: some copies of the data set list every name with every instruction.

    Raises:
        UnusableInstruction: the id is unknown; an argument is missing, unknown or of the wrong kind.
    """
    check = known.get(instruction) if isinstance(instruction, str) else None
    if check is None:
        close = nearest(instruction, known) if isinstance(instruction, str) else ""
        raise UnusableInstruction(f"unknown instruction {instruction!r:.80}{close}")
    if not isinstance(arguments, Mapping):
        raise UnusableInstruction(f"{instruction}: its kwargs must be an object, not {arguments!r:.60}")
    given = {name: value for name, value in arguments.items() if value is not None}
    for name in given:
        if name not in check.arguments:
            raise UnusableInstruction(f"{instruction} takes no {name!r:.60}{nearest(str(name), check.arguments)}")
    for name, fault in check.arguments.items():
        if name not in given:
            raise UnusableInstruction(f"{instruction} lacks the argument {name!r}")
        if fault(given[name]):
            raise UnusableInstruction(f"{instruction}: {name} must be {fault(given[name])}, not {given[name]!r:.60}")
    return lambda response: check.function(response, **given)


def _count(value: Any) -> str:
    good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return "" if good else "a whole number of at least 0"


def _ordinal(value: Any) -> str:
    return "" if not _count(value) and value else "a whole number of at least 1"


def _text(value: Any) -> str:
    return "" if isinstance(value, str) and value.strip() else "a string that is not empty"


def _texts(value: Any) -> str:
    good = isinstance(value, list | tuple) and value and not any(map(_text, value))
    return "" if good else "a list of strings that are not empty"


def _letter(value: Any) -> str:
    return "" if isinstance(value, str) and len(value) == 1 else "one character"


def _relation(value: Any) -> str:
    return "" if value in wording.RELATIONS else " or ".join(map(repr, wording.RELATIONS))


def _language(value: Any) -> str:
    try:
        return "" if isinstance(value, str) and language_code(value) else "a language"
    except ValueError:
        return f"one of {' '.join(NAMES)}"
