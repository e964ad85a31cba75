"""Which options of a multiple-choice question a response commits itself to (the rules are in `choice.Choice`)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rl_reason_verifiers._extract import last_boxed

_TAIL_CHARS = 20_000
"""Statements are looked for in so much of the response's end."""
_CLAIM_CHARS = 1_000
"""So much of what follows a statement's cue is read."""
_STATEMENTS = 64
"""So many statements, the last ones, are read."""
_BLANKS = re.compile(r"[^\S\n]+")
_MARKUP = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox)\s?(?=\{)|[*_`$\"“”{}]|\\[()\[\]]")
_CUE = re.compile(
    r"""
    \b(?:(?:final|correct|right|best|my)\s){0,3}(?:answer|option|choice)(?:\s(?:choice|option|letter))?
        (?P<not>\s(?:is|was|can)(?:n't|\snot|not)\b)?
        \s?(?:(?:is|are|would\sbe|must\sbe|should\sbe)\b\s?:?|[:=：])\s?(?:therefore|thus|clearly|simply|just)?
    | \bI(?:'d|'ll|\swould|\swill)?\s(?:choose|pick|select|go\swith)\b
    | ^\s?\#{4}
    | ^[#\s]{0,5}(?:final\s)?answer[\s.]{0,2}$
    | 答案(?:应该|应)?(?:是|为|選|选)?\s?[:：]?
    """,
    re.I | re.M | re.X,
)
_VERDICT = re.compile(
    r"(?<![A-Za-z0-9'])[(\[]?([A-Z])[)\]]?\sis\s(?:therefore\s|thus\s|clearly\s)?(?:the\s)?(?:correct|right|best)\b"
)
_DENIED = re.compile(r"(?:\bnot|n't|\bnever|\bcannot|\bif|\bwhether)\b[^.!?\n]{0,25}$", re.I)
_TAKEN_BACK = re.compile(r"\b(?:no|not|wait|actually|instead|rather|but|however|correction|sorry|hmm)\b", re.I)
_LETTER = r"(?:the\s)?(?:(?:option|choice|answer)\s)?(?P<open>[(\[]?)(?P<letter>[A-Za-z])(?P<close>[)\].:]?)(?![\w'’])"
_FIRST = re.compile(rf"[\s:,：]*{_LETTER}", re.I)
_NEXT = re.compile(rf"(?:\s?(?:[,;/&+、]|\b(?:and|or|either|maybe|perhaps|possibly)\b))+\s?{_LETTER}", re.I)
_MARKED = re.compile(r"(?<![A-Za-z(\[])[(\[]?([A-Z])[)\].:]")
_ONLY_LETTERS = re.compile(
    r"(?:[Oo]ption |[Cc]hoice )?[(\[]?[A-Za-z][)\].:]*(?:\s?(?:,|/|&|and|or)\s?[(\[]?[A-Za-z][)\].:]*)*|[A-Z]{2,26}"
)
_RUN = re.compile(r"[\s:,：(\[]*([A-Z]{2,26})(?![\w'’])")
_AFTER_A_LETTER = re.compile(
    r"\s?(?:$|[\n.,;:!?)\]，。、；—–-]|(?:because|since|as|for|and|or|but|which|that|with|is|not|due|if|so|given|here)\b)",
    re.I,
)
_SUBJECT = re.compile(r"\s(?:is|isn't|was|has|does|cannot|can't)\b", re.I)
"""Behind a letter: a new clause about another option, "B, and A is wrong"."""
_ALTERNATIVE = re.compile(r"\s(?:or|and)\s(?:the\s)?")
_NOT_PLAIN = re.compile(r"[^\w%+\-/*^=<>.]+")


class Options:
    """The options of a question.

    Args:
        texts: letter -> text; texts are empty where the prompt gives none.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.letters = tuple(texts)
        self._by_text: dict[str, list[str]] = {}
        for letter, text in texts.items():
            if plain(text) and plain(text).upper() not in texts:  # option A that reads "B" is known by its letter only
                self._by_text.setdefault(plain(text), []).append(letter)

    def with_text(self, text: str) -> list[str]:
        """Letters of the options with this text, spelled as `plain` spells it."""
        return self._by_text.get(text, [])

    def beginning(self, text: str) -> tuple[str, str]:
        """The letter of the longest option text with which this plain text begins, and what follows; or nothing."""
        for one in sorted(self._by_text, key=len, reverse=True):
            rest = text.removeprefix(one)
            whole = not rest or (rest.startswith((" ", ". ")) and not rest.lstrip().startswith(tuple("+-*/^=<>%")))
            if text.startswith(one) and whole and len(self._by_text[one]) == 1:
                return self._by_text[one][0], rest
        return "", ""


def plain(text: str) -> str:
    """Text as it is compared: markup, case, most punctuation and spare blanks gone."""
    return " ".join(_NOT_PLAIN.sub(" ", _MARKUP.sub("", text[:_CLAIM_CHARS]).casefold()).split()).rstrip(". ")


def committed(answer: str, options: Options, *, several: bool) -> frozenset[str]:
    """Letters of the options that the answer chooses; none or many where it does not choose one."""
    tail = _BLANKS.sub(" ", answer[-_TAIL_CHARS:])
    found = _boxed(tail, options, several)
    if found:
        return found
    tail = _MARKUP.sub("", tail)
    return _stated(tail, options, several) or _alone(answer, tail, options, several)


def _boxed(text: str, options: Options, several: bool) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    end = len(text)
    for _ in options.letters:
        box = last_boxed(text[:end])
        if box is None or (end < len(text) and re.search(r"[^\W\d_]{4}", text[box.end : end])):
            break
        found |= _read(_MARKUP.sub("", box.text), options, several)
        end = box.start
    return found


def _stated(text: str, options: Options, several: bool) -> frozenset[str]:
    """The last statement's letters, with those of others that stand right before it and are not taken back."""
    cues = [cue for cue in _CUE.finditer(text) if not cue["not"]][-_STATEMENTS:]
    claims = [
        (cue.start(), cue.end(), _read(text[cue.end() :][:_CLAIM_CHARS], options, several))
        for cue in cues
        if not _DENIED.search(text[: cue.start()][-40:])
    ]
    for verdict in list(_VERDICT.finditer(text))[-_STATEMENTS:]:
        if verdict[1] in options.letters and not any(begin <= verdict.start() <= end + 3 for begin, end, _ in claims):
            claims.append((verdict.start(), verdict.end(), frozenset(verdict[1])))
    found: frozenset[str] = frozenset()
    later = len(text)
    for begin, end, letters in sorted(claims, key=lambda claim: claim[0], reverse=True):
        if not letters:
            continue
        between = text[end:later].strip()
        if found and (len(between) > 80 or "\n" in between or _TAKEN_BACK.search(between)):
            break
        found |= letters
        later = begin
    return found


def _alone(answer: str, tail: str, options: Options, several: bool) -> frozenset[str]:
    """The last line's or the first line's option, when such a line is nothing else; all options that are listed."""
    lines = [line.strip(" -•") for line in tail.splitlines() if line.strip()]
    first = _MARKUP.sub("", _BLANKS.sub(" ", answer.lstrip().partition("\n")[0][:_CLAIM_CHARS])).strip(" -•")
    bare = [_bare(line, options, several) for line in (*lines[-1:], first)]
    if any(bare):
        above = [_bare(line, options, several) for line in lines[-2:-1]] if bare[0] else []
        return frozenset().union(bare[0] or bare[1], *above)
    if len(lines) == 1 and len(set(_MARKED.findall(lines[0]))) == 1:
        return _read(lines[0], options, several) if _MARKED.match(lines[0]) else frozenset()
    listed: set[str] = set()
    for line in lines:
        letters = _read(line, options, several)
        marked = _FIRST.match(line)
        rest = line[marked.end() :].strip() if marked else ""
        if len(letters) == 1 and (options.with_text(plain(line)) or options.with_text(plain(rest)) == [*letters]):
            listed |= letters
    return frozenset(listed)


def _bare(line: str, options: Options, several: bool) -> frozenset[str]:
    """Letters of a line that is only letters."""
    return _read(line, options, several) if _ONLY_LETTERS.fullmatch(line) else frozenset()


def _read(claim: str, options: Options, several: bool) -> frozenset[str]:
    """Letters of the options that a claim begins with: "B", "(b) because …", "Paris", "A or C"; many if it hedges."""
    claim = claim.lstrip(" \n:,：").partition("\n")[0].strip()
    by_text = options.with_text(plain(claim))
    if len(by_text) == 1:
        return frozenset(by_text)
    run = _RUN.match(claim) if several else None
    if run and set(run[1]) <= set(options.letters) and len(set(run[1])) == len(run[1]):
        return frozenset(run[1])
    first = _FIRST.match(claim)
    if first and _is_letter(first, claim, options):
        return _letters_from(first, claim, options)
    letter, rest = options.beginning(plain(claim))
    found = {letter} - {""}
    while letter:
        alternative = _ALTERNATIVE.match(rest)
        letter, rest = options.beginning(rest[alternative.end() :]) if alternative else ("", "")
        found |= {letter} - {""}
    return frozenset(found)


def _letters_from(first: re.Match[str], claim: str, options: Options) -> frozenset[str]:
    found, at = {first["letter"].upper()}, first.end()
    following = _NEXT.match(claim, at)
    while following and _is_letter(following, claim, options) and not _SUBJECT.match(claim, following.end()):
        found.add(following["letter"].upper())
        at = following.end()
        following = _NEXT.match(claim, at)
    named, _ = options.beginning(plain(claim[at:]))
    if named and first["close"]:
        found.add(named)  # "B) Paris" where Paris is option A: not a choice of one
    return frozenset(found)


def _is_letter(match: re.Match[str], claim: str, options: Options) -> bool:
    """Whether it is an option's letter, and neither the article "a" nor the pronoun "I"."""
    letter = match["letter"]
    if letter.upper() not in options.letters:
        return False
    if match["open"] or match["close"]:
        return True
    if letter.islower():
        return not claim[match.end() :].strip()
    return bool(_AFTER_A_LETTER.match(claim, match.end()))
