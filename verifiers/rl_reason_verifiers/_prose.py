"""What of a text is prose in some language: code, formulas, addresses, numbers and quotes of the prompt taken out."""

from __future__ import annotations

import re

_PAIRS = {"```": "```", "~~~": "~~~", "$$": "$$", "\\[": "\\]", "\\(": "\\)", "\\begin{": "\\end{"}
_FENCE = re.compile(r"```|~~~|\$\$|\\[\[\]()]|\\begin\{|\\end\{")
_REST_OF_END = re.compile(r"[^}\n]{0,40}\}")
_SHORT_LIVED = re.compile(
    r"`[^`\n]{1,300}`"  # code within a line
    r"|\$(?=[^\s$])[^$\n]{1,300}(?<=\S)\$(?!\d)"  # a formula within a line, not two prices
    r"|\b(?:https?|ftp|file)://\S+|\bwww\.\S+|(?<!\S)\S{1,64}@\S{1,255}"
    r"|</?[A-Za-z][^<>\n]{0,200}>"  # a tag
    r"|\\(?:boxed|fbox)\s?\{(?:[^{}\n]|\{[^{}\n]{0,80}\}){0,300}\}|\\[A-Za-z]+"  # LaTeX outside formulas
    r"|(?<!\w)\w*\d[\w.,]*"  # numbers, and names such as x2 or H2O
)
_QUOTED = re.compile(
    r"“([^“”]{2,2000})”|\"([^\"]{2,2000})\"|«([^«»]{2,2000})»|「([^「」]{2,2000})」|^>(.{2,2000})$", re.M
)
_LINE_CHARS = 20
"""A line of the prompt that is at least so long, repeated whole, is a quote too."""
_PROMPT_CHARS = 20_000
_QUOTES = 200
"""So many quotes are looked up in so much of the prompt; more are kept as the response's own words."""


def prose(text: str, prompt: str = "") -> str:
    """The text without all that is in no language, and without what it quotes from the prompt. Linear time."""
    text = _outside_pairs(text)
    if prompt:
        text = _without_quotes(text, prompt[:_PROMPT_CHARS])
    return _SHORT_LIVED.sub(" ", text)


def _outside_pairs(text: str) -> str:
    """Drops ```code```, $$…$$, \\[…\\], \\(…\\) and environments; an opening that is never closed drops nothing."""
    last_close = {close: text.rfind(close) for close in set(_PAIRS.values())}
    kept: list[str] = []
    since, closing = 0, ""
    for mark in _FENCE.finditer(text):
        word = mark.group()
        if not closing and word in _PAIRS and last_close[_PAIRS[word]] > mark.start():
            kept.append(text[since : mark.start()])
            closing = _PAIRS[word]
        elif closing and word == closing:
            rest = _REST_OF_END.match(text, mark.end()) if word == "\\end{" else None
            since, closing = (rest or mark).end(), ""
    kept.append("" if closing else text[since:])
    return " ".join(kept)


def _without_quotes(text: str, prompt: str) -> str:
    squeezed = " ".join(prompt.split())
    left = _QUOTES

    def own_words(match: re.Match[str]) -> str:
        nonlocal left
        left -= 1
        quote = " ".join(next(group for group in match.groups() if group is not None).split())
        return " " if left >= 0 and quote and quote in squeezed else match.group()

    lines = {line.strip() for line in prompt.splitlines()}
    kept = [line for line in text.splitlines() if len(line.strip()) < _LINE_CHARS or line.strip() not in lines]
    return _QUOTED.sub(own_words, "\n".join(kept))
