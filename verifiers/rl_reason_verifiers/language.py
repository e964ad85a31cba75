"""`language`: right when the answer, and if asked the reasoning, is in the right language without code-switching."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

from rl_reason.types import Prompt, Score, Verdict
from rl_reason_verifiers._language_id import NAMES, LanguageId, language_code
from rl_reason_verifiers._options import number, one_of, text
from rl_reason_verifiers._prose import prose
from rl_reason_verifiers._scripts import DECISIVE, count_letters, scripts_of
from rl_reason_verifiers._thinking import part

_PIECE_CHARS = 30
"""Shorter sentences are joined to the next before their language is identified."""
_LEAST_LETTERS = 10
_MOST_PIECES = 100
"""Of a text with more than twice so many sentences, a sample of at least so many is identified."""
_READ_CHARS = 500
"""So much of a sentence is read to identify it."""
_SURE = 0.9
"""A piece counts as another language from this probability on."""
_POSSIBLE, _PLENTY = 0.1, 4
"""A text of less than 4 * `min_letters` letters may still be in a language of this probability."""
_SENTENCE_END = re.compile(r"(?<=[.!?。！？।۔])\s*|\n+")
_SYMBOL = re.compile(r"(?<!\w)[A-Za-z\u0370-\u03ff](?!\w)")


@dataclass(frozen=True, slots=True)
class _Judgement:
    fault: str = ""
    doubt: str = ""
    """Why it cannot be told; then the other fields say nothing."""
    switched: float = 0.0
    stray: float = 0.0


class Language:
    """The answer is in the expected language and does not switch to another one.

    This is "language accuracy" as Typhoon2-R1 measures it (arXiv 2502.09056: a Thai prompt's answer is Thai, without
    stray code-switching). Only prose is looked at: code, LaTeX, addresses, numbers, tags, and what is quoted from the
    prompt are taken out first. Scripts settle the language where they can (Thai, Hangul, Greek, …; Han with kana is
    Japanese); py3langid tells apart those that share one. A language is a code or an English name ("th", "Thai").

    How much the text switches is measured in letters (a Chinese character or Hangul syllable is two), and is in the
    score's parts:

    - `switched`: letters of scripts the language is not written in, and of sentences that are surely (0.9) in another
      language of the same script. Names and terms in Latin letters within Thai or Chinese count here.
    - `stray`: letters of a script that neither the language nor Latin uses, such as Chinese characters in Thai.

    Single letters are symbols (x, π) and count nowhere. A text too short to tell, fewer than `min_letters` letters,
    is judged by its script alone where that settles the language or rules it out, and else as `short` says; so is one
    of less than four times as many that is more likely in another language but may be in the expected one.

    Args:
        language: the expected language; "metadata": `prompt.metadata["language"]`; "prompt": the language of the
            prompt's own text; "auto": the metadata's if it has one, else the prompt's.
        reasoning: "ignore"; "same": the chain of thought must be in the answer's language; or a language of its own,
            such as "en". A response without one is then WRONG.
        max_switched: largest `switched` that is still right, 0 to 1. 0 forbids a single foreign word.
        max_stray: largest `stray` that is still right, 0 to 1.
        min_letters: letters from which on a text is long enough to be identified.
        short: what a text is that is too short to tell: "unjudged", "right" or "wrong". "unjudged" is for measuring.
            For training choose one of the others, since a model may learn to write what is not judged: "right" beside
            a verifier of the answer itself, whose `\\boxed{4}` is in no language, else "wrong".
        open_tag: begins the chain of thought.
        close_tag: ends it; the answer is what follows the last one, or everything.
    """

    needs: ClassVar[tuple[str, ...]] = ("package:py3langid",)
    example: ClassVar[dict[str, Any]] = {
        "response": "Zwei plus zwei ist vier, weil man von zwei aus noch zwei weiter zählt.",
        "language": "de",
    }

    def __init__(
        self,
        *,
        language: str = "auto",
        reasoning: str = "ignore",
        max_switched: float = 0.1,
        max_stray: float = 0.01,
        min_letters: int = 20,
        short: str = "unjudged",
        open_tag: str = "<think>",
        close_tag: str = "</think>",
    ) -> None:
        for name, value in (("language", language), ("reasoning", reasoning)):
            text(name, value, empty=False)
        self._language = language if language in ("auto", "metadata", "prompt") else language_code(language)
        self._reasoning = reasoning if reasoning in ("ignore", "same") else language_code(reasoning)
        self._max_switched = number("max_switched", max_switched, high=1.0)
        self._max_stray = number("max_stray", max_stray, high=1.0)
        self._min_letters = number("min_letters", min_letters, low=1, whole=True)
        self._short = one_of("short", short, ("unjudged", "right", "wrong"))
        self._tags = text("open_tag", open_tag, empty=False), text("close_tag", close_tag, empty=False)
        self._model = LanguageId()

    def verify(self, prompt: Prompt, response: str) -> Score:
        """UNJUDGED when no language is expected or the text is too short to tell (see `short`)."""
        try:
            expected = self._expected(prompt)
        except ValueError as error:
            return Score(Verdict.UNJUDGED, None, reason=str(error))
        parts = part(response, *self._tags)
        if not parts.answer.strip():
            return Score(Verdict.WRONG, 0.0, {"language": 0.0}, "there is no answer")
        texts = {"answer": (parts.answer, expected)}
        if self._reasoning != "ignore":
            if not parts.thought.strip():
                return Score(Verdict.WRONG, 0.0, {"language": 0.0}, "there is no reasoning whose language to judge")
            texts["reasoning"] = (parts.thought, expected if self._reasoning == "same" else self._reasoning)
        measured: dict[str, float] = {}
        faults: list[str] = []
        for name, (said, language) in texts.items():
            judged = self._judge(prose(said, prompt.text), language)
            if judged.doubt and self._short == "unjudged":
                return Score(Verdict.UNJUDGED, None, reason=f"the {name}: {judged.doubt}")
            fault = judged.doubt if self._short == "wrong" else ""
            if judged.fault or fault:
                faults.append(f"the {name}: {judged.fault or fault}")
            measured |= {f"{name}_switched": judged.switched, f"{name}_stray": judged.stray}
        value = 0.0 if faults else 1.0
        reason = "; ".join(faults)
        return Score(Verdict.WRONG if faults else Verdict.RIGHT, value, {"language": value, **measured}, reason)

    def _expected(self, prompt: Prompt) -> str:
        """The code of the expected language.

        Raises:
            ValueError: none is given, or the prompt's cannot be told.
        """
        if self._language in NAMES:
            return self._language
        given = prompt.metadata.get("language")
        if self._language != "prompt" and given is not None:
            if not isinstance(given, str):
                raise ValueError(f"metadata language must be a string, not {given!r:.60}")
            return language_code(given)
        if self._language == "metadata":
            raise ValueError("the metadata has no language")
        asked = prose(prompt.text)
        guess = self._model.identify(asked)
        few = sum(count_letters(asked).values()) < _PLENTY * self._min_letters
        if not guess.language or (few and guess.chance < _SURE):
            raise ValueError("the prompt is too short to tell its language; give metadata language or the option")
        return guess.language

    def _judge(self, said: str, language: str) -> _Judgement:
        letters = _sized(count_letters(_SYMBOL.sub(" ", said)))
        total = sum(letters.values())
        own = scripts_of(language)
        main = max(sorted(letters), key=lambda script: letters[script], default="")
        if total < self._min_letters:
            if main and main not in own and main != "Latin":
                return _Judgement(f"it is in {main} script, not in {NAMES[language]}", "", 1.0)
            if DECISIVE.get(main) != language:
                return _Judgement(doubt=f"{total} letters are too few to tell the language")
        foreign = sum(count for script, count in letters.items() if script not in own)
        stray = sum(count for script, count in letters.items() if script not in (*own, "Latin"))
        guess = self._model.identify(said, language)
        name = NAMES[language]
        possible = not guess.language or guess.hoped >= _POSSIBLE
        if guess.language != language and possible and total < _PLENTY * self._min_letters:
            return _Judgement(doubt=f"it might be {name}, and has only {total} letters")
        if guess.language != language:
            other = NAMES.get(guess.language, "no language that can be told")
            return _Judgement(f"it is in {other}, not in {name}", "", 1.0, stray / total)
        switched = (foreign + (total - foreign) * self._other_sentences(said, language, own)) / total
        fault = ""
        if stray / total > self._max_stray:
            fault = f"{stray / total:.1%} of the letters are of scripts foreign to {name}"
        elif switched > self._max_switched:
            fault = f"{switched:.0%} of the letters are not {name}"
        return _Judgement(fault, "", switched, stray / total)

    def _other_sentences(self, said: str, language: str, own: tuple[str, ...]) -> float:
        """Share of the letters of the language's own scripts that are in sentences surely in another language."""
        if all(DECISIVE.get(script) == language for script in own):
            return 0.0
        other = total = 0
        for sentence in _sample(said):
            letters = _sized(count_letters(sentence))
            mine = sum(letters[script] for script in own)
            total += mine
            if mine >= _LEAST_LETTERS:
                guess = self._model.identify(sentence[:_READ_CHARS], language)
                other += mine if guess.language != language and guess.chance >= _SURE else 0
        return other / total if total else 0.0


def _sample(text: str) -> list[str]:
    """The text's sentences, short ones joined to the next; of very many, some that stand at even distances."""
    pieces = [""]
    for sentence in _SENTENCE_END.split(text):
        if len(pieces[-1]) >= _PIECE_CHARS:
            pieces.append("")
        pieces[-1] += sentence + " "
    return pieces[:: max(1, len(pieces) // _MOST_PIECES)]


def _sized(letters: Counter[str]) -> Counter[str]:
    """Letters by script, a Chinese character or a Hangul syllable as two."""
    return letters + Counter({script: letters[script] for script in ("Han", "Hangul")})
