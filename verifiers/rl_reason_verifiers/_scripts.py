"""Unicode scripts: which one a letter belongs to, which ones a language is written in."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections import Counter

_RANGES: dict[str, tuple[tuple[int, int], ...]] = {
    "Latin": ((0x41, 0x5A), (0x61, 0x7A), (0xAA, 0xAA), (0xBA, 0xBA), (0xC0, 0x24F), (0x250, 0x2AF),
              (0x1D00, 0x1D25), (0x1E00, 0x1EFF), (0x2C60, 0x2C7F), (0xA722, 0xA7FF), (0xFB00, 0xFB06),
              (0xFF21, 0xFF3A), (0xFF41, 0xFF5A)),
    "Greek": ((0x370, 0x3FF), (0x1F00, 0x1FFF)),
    "Cyrillic": ((0x400, 0x52F), (0x1C80, 0x1C8F), (0x2DE0, 0x2DFF), (0xA640, 0xA69F)),
    "Armenian": ((0x531, 0x58F), (0xFB13, 0xFB17)),
    "Hebrew": ((0x591, 0x5F4), (0xFB1D, 0xFB4F)),
    "Arabic": ((0x610, 0x61A), (0x620, 0x65F), (0x66E, 0x6FF), (0x750, 0x77F), (0x8A0, 0x8FF), (0xFB50, 0xFDFF),
               (0xFE70, 0xFEFC)),
    "Devanagari": ((0x900, 0x963), (0x970, 0x97F), (0xA8E0, 0xA8FF)),
    "Bengali": ((0x980, 0x9FF),),
    "Gurmukhi": ((0xA00, 0xA7F),),
    "Gujarati": ((0xA80, 0xAFF),),
    "Oriya": ((0xB00, 0xB7F),),
    "Tamil": ((0xB80, 0xBFF),),
    "Telugu": ((0xC00, 0xC7F),),
    "Kannada": ((0xC80, 0xCFF),),
    "Malayalam": ((0xD00, 0xD7F),),
    "Sinhala": ((0xD80, 0xDFF),),
    "Thai": ((0xE00, 0xE7F),),
    "Lao": ((0xE80, 0xEFF),),
    "Tibetan": ((0xF00, 0xFFF),),
    "Burmese": ((0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F)),
    "Georgian": ((0x10A0, 0x10FF), (0x1C90, 0x1CBF), (0x2D00, 0x2D2F)),
    "Hangul": ((0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xAC00, 0xD7FF)),
    "Ethiopic": ((0x1200, 0x139F), (0x2D80, 0x2DDF), (0xAB00, 0xAB2F)),
    "Khmer": ((0x1780, 0x17FF), (0x19E0, 0x19FF)),
    "Kana": ((0x3041, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F)),
    "Han": ((0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF)),
}  # fmt: skip
_STARTS, _ENDS, _NAMES = zip(
    *sorted((start, end, name) for name, ranges in _RANGES.items() for start, end in ranges), strict=True
)

OF_LANGUAGE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("ru", "uk", "bg", "be", "mk", "kk", "ky", "mn", "tg", "tt", "ba"), ("Cyrillic",)),
    **dict.fromkeys(("ar", "fa", "ur", "ps", "ug", "sdh", "ary", "arz"), ("Arabic",)),
    **dict.fromkeys(("hi", "mr", "ne", "sa", "gom"), ("Devanagari",)),
    **dict.fromkeys(("bn", "as"), ("Bengali",)),
    **{"sr": ("Cyrillic", "Latin"), "ku": ("Latin", "Arabic"), "uz": ("Latin", "Cyrillic")},
    **{"el": ("Greek",), "hy": ("Armenian",), "he": ("Hebrew",), "ka": ("Georgian",), "am": ("Ethiopic",)},
    **{"pa": ("Gurmukhi",), "gu": ("Gujarati",), "or": ("Oriya",), "ta": ("Tamil",), "te": ("Telugu",)},
    **{"kn": ("Kannada",), "ml": ("Malayalam",), "si": ("Sinhala",), "th": ("Thai",), "lo": ("Lao",)},
    **{"dz": ("Tibetan",), "my": ("Burmese",), "km": ("Khmer",), "ko": ("Hangul",)},
    **{"ja": ("Kana", "Han"), "zh": ("Han",)},
}
"""Scripts of the languages that are not written in Latin letters alone."""
DECISIVE: dict[str, str] = {
    **{"Greek": "el", "Armenian": "hy", "Hebrew": "he", "Georgian": "ka", "Gurmukhi": "pa", "Gujarati": "gu"},
    **{"Oriya": "or", "Tamil": "ta", "Telugu": "te", "Kannada": "kn", "Malayalam": "ml", "Sinhala": "si"},
    **{"Thai": "th", "Lao": "lo", "Tibetan": "dz", "Burmese": "my", "Khmer": "km", "Hangul": "ko", "Kana": "ja"},
    **{"Han": "zh"},
}
"""Scripts that settle the language. Of the languages that share Han, Japanese is known by its kana."""


def scripts_of(language: str) -> tuple[str, ...]:
    """Scripts in which a language (ISO 639 code) is written."""
    return OF_LANGUAGE.get(language, ("Latin",))


def count_letters(text: str) -> Counter[str]:
    """Letters (with their marks) by script; digits, punctuation and symbols are none."""
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        script = _script(character)
        if script:
            counts[script] += count
    return counts


def _script(character: str) -> str:
    category = unicodedata.category(character)
    if category[0] not in "LM" and character not in "〇々":
        return ""
    code = ord(character)
    at = bisect_right(_STARTS, code) - 1
    if at >= 0 and code <= _ENDS[at]:
        return _NAMES[at]
    return "" if category[0] == "M" or category == "Lm" else "other"
