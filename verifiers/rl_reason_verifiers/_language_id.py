"""Which language a text is in: by its script where that settles it, else by py3langid's model, which is in its wheel.

Deterministic and offline. Only languages of `NAMES` are told apart, and only those written in the text's main script
compete, which makes short texts much surer than the library's own 140-way choice.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from rl_reason_verifiers._options import nearest
from rl_reason_verifiers._scripts import DECISIVE, count_letters, scripts_of
from rl_reason_verifiers._unicode import normal_form

NAMES: dict[str, str] = {
    **{"af": "Afrikaans", "am": "Amharic", "ar": "Arabic", "as": "Assamese", "az": "Azerbaijani", "be": "Belarusian"},
    **{"bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish"},
    **{"de": "German", "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "eu": "Basque"},
    **{"fa": "Persian", "fi": "Finnish", "fr": "French", "ga": "Irish", "gl": "Galician", "gu": "Gujarati"},
    **{"ha": "Hausa", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian"},
    **{"id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese", "ka": "Georgian", "kk": "Kazakh"},
    **{"km": "Khmer", "kn": "Kannada", "ko": "Korean", "ky": "Kyrgyz", "lo": "Lao", "lt": "Lithuanian"},
    **{"lv": "Latvian", "mk": "Macedonian", "ml": "Malayalam", "mn": "Mongolian", "mr": "Marathi", "ms": "Malay"},
    **{"mt": "Maltese", "my": "Burmese", "ne": "Nepali", "nl": "Dutch", "no": "Norwegian", "or": "Odia"},
    **{"pa": "Punjabi", "pl": "Polish", "ps": "Pashto", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian"},
    **{"si": "Sinhala", "sk": "Slovak", "sl": "Slovenian", "so": "Somali", "sq": "Albanian", "sr": "Serbian"},
    **{"sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "th": "Thai", "tl": "Tagalog"},
    **{"tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek", "vi": "Vietnamese", "yo": "Yoruba"},
    **{"zh": "Chinese", "zu": "Zulu"},
}
"""Languages that can be told apart: ISO 639-1 code -> English name."""
_OTHER_CODES = {"iw": "he", "in": "id", "nb": "no", "nn": "no", "fil": "tl", "cmn": "zh", "jp": "ja", "farsi": "fa"}
_LABELS_OF_OTHERS = ("nn",)
"""The library's labels for what is a language of `NAMES` here under another code."""
_CLOSE = ({"hr", "sr"}, {"id", "ms"}, {"da", "no"}, {"cs", "sk"}, {"hi", "ne"})
"""Languages of which a short text may be as good as the other."""
_LEAST_CHANCE = 0.1
_MOST_CHARS = 20_000
"""Of a longer text, only the two ends are read."""
_KANA_SHARE = 0.05
"""Of Han and kana together: from here on the text is Japanese."""


def language_code(given: str) -> str:
    """The code of a language given as a code ("th", "pt-BR", "zh_Hant") or as an English name ("Thai").

    Raises:
        ValueError: it is none of `NAMES`; the message has the nearest one.
    """
    word = given.strip().lower()
    code = word.replace("_", "-").partition("-")[0]
    code = _OTHER_CODES.get(code, code)
    if code in NAMES:
        return code
    by_name = {name.lower(): code for code, name in NAMES.items()}
    if word in by_name:
        return by_name[word]
    close = nearest(word, by_name) or nearest(word, NAMES)
    raise ValueError(f"{given!r:.60} is no language that can be told apart{close or '; ' + ' '.join(NAMES)}")


@cache
def _library_model() -> LanguageIdentifier:
    """The library's model of our languages, read once a process (0.6 s, 70 MB) and never changed.

    In double precision: how BLAS orders a sum depends on its threads, and then differs only far behind the digits that
    are kept.
    """
    model = LanguageIdentifier.from_model_file(MODEL_FILE)
    model.set_languages([*NAMES, *_LABELS_OF_OTHERS])
    return LanguageIdentifier(
        model.nb_ptc.astype(np.float64),
        model.nb_pc.astype(np.float64),
        model.nb_classes,
        model.tk_nextmove,
        model.tk_output,
        norm_probs=True,
        tk_row=model.tk_row,
    )


class Guess(NamedTuple):
    """What a text's language is taken for."""

    language: str = ""
    """Its code; empty for a text that tells nothing."""
    chance: float = 0.0
    """Its probability, 0 to 1, among its rivals."""
    hoped: float = 0.0
    """The probability of the language that was hoped for."""


class LanguageId:
    """Identifies languages; making one reads the model."""

    def __init__(self) -> None:
        self._model = _library_model()

    def identify(self, text: str, hoped: str = "") -> Guess:
        """The most likely language among those of the text's main script.

        The language hoped for is given the benefit of the doubt against a close relative, such as Croatian against
        Serbian, that is less than twice as likely.
        """
        letters = count_letters(text)
        if not letters:
            return Guess()
        if len(text) > _MOST_CHARS:
            text = f"{text[: _MOST_CHARS // 2]} {text[-_MOST_CHARS // 2 :]}"
        script = max(sorted(letters), key=lambda name: letters[name])
        if script in ("Han", "Kana"):
            return Guess("ja" if letters["Kana"] >= _KANA_SHARE * (letters["Kana"] + letters["Han"]) else "zh", 1.0)
        if script in DECISIVE:
            return Guess(DECISIVE[script], 1.0)
        chances = self._chances(text, script)
        total = sum(chances.values())
        best = max(chances, key=lambda language: chances[language], default="")
        if not total or chances[best] < _LEAST_CHANCE * total:  # no feature of the model in it: all about equal
            return Guess()
        if {best, hoped} in _CLOSE and chances.get(hoped, 0.0) > chances[best] / 2:
            best = hoped
        return Guess(best, *(round(chances.get(language, 0.0) / total, 6) for language in (best, hoped)))

    def _chances(self, text: str, script: str) -> dict[str, float]:
        """Chances of the languages written in a script; Norway's two written forms are one."""
        chances: dict[str, float] = {}
        for label, chance in self._model.rank(normal_form(text, "NFC")):  # as it does itself, in bounded time
            language = _OTHER_CODES.get(str(label), str(label))
            if script in scripts_of(language):
                chances[language] = chances.get(language, 0.0) + chance
        return chances
