"""Counts words and sentences by fixed rules: no model, nothing to download, the same in every process.

A word is a run of letters, their marks and digits. Apostrophes and hyphens within a run, and points and commas between
digits, do not end it: "don't", "well-known", "3.14", "1,000" and "U.S." are one word each. Chinese characters and kana
are a word each, as word processors count them. Thai, Lao, Khmer and Burmese write without blanks between words and
cannot be parted without a dictionary: there, a run counts as one word.

A sentence ends at . ! ? … or their kin in other scripts, with the quotes and brackets that close there, when a blank
or nothing follows; after the wide ones of Chinese and Japanese at once. It does not end

- after an abbreviation ("Dr.", "e.g.", "No. 5") or a single initial ("J. Smith");
- at "…", "?", "!" or a closing quote when the next word is in lower case ("Stop!" he said);
- after the number of a list's item ("1.", "a.") at the beginning of a line.

A blank line ends a sentence, and so does the line of a heading, a table's row or a list's item. What holds no letter
or digit is no sentence.
"""

from __future__ import annotations

import re
import unicodedata

_INITIALS = re.compile(r"\b(?:[^\W\d_]\.){2,}")
_LOOSE_JOINER = re.compile(r"(?<!\w)['’‐-]|['’‐-](?!\w)|(?<!\d)[.,]|[.,](?!\d)")
_JOINERS = "'’‐-.,"
_SINGLE = re.compile(
    "[\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
)

_WIDE = "。！？｡．"
_STOPS = f".!?…।॥؟۔።‼⁇⁈⁉{_WIDE}"
_CLOSERS = "\"'”’»)\\]}*_」』）】》"
_END = re.compile(rf"(?<![{_STOPS}])([{_STOPS}]++)([{_CLOSERS}]*+)(?:(?=\s)|$|(?<=[{_WIDE}」』）】》]))")
"""Stops and closers. Their quantifiers give nothing back, so that a long run of stops is read once."""
_NEXT_WORD = re.compile(r"[\s\"'“‘«(\[*_]{0,20}(\S)")
_SAYS_SOMETHING = re.compile(r"[^\W_]")
_OPENERS = "\"'“‘([*_"
_LONGEST_ABBREVIATION = 6
_ITEM_NUMBER = re.compile(r"[\s>*_-]{0,8}(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,4})")
_OWN_LINE = re.compile(r"\s*(?:[-*+•]\s|\(?\d{1,3}[.)]\s|#{1,6}\s|>\s|\|)")
_ENDS_WITH_ITS_LINE = re.compile(r"\s*(?:#{1,6}\s|\|)")
_LOOK_BACK = 16
"""Characters before a stop in which its word is looked for."""
_ABBREVIATION = re.compile(
    r"mr|mrs|ms|mx|dr|prof|rev|hon|st|sr|jr|gen|col|capt|lt|sgt|maj|cmdr|gov|sen|rep|pres|supt|mt|ft|ave|blvd|rd|vs"
    r"|approx|dept|est|refs?|eds?|cf|e\.g|i\.e|b\.a|m\.a|b\.sc|m\.sc|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec"
    r"|z\.b|d\.h|bzw|bspw|sra|mme|mlle"
)
_ONLY_BEFORE_A_NUMBER = re.compile(r"nos?|pp?|figs?|eqs?|vols?|ch|sec|art")
_MAY_END = re.compile(r"etc|al|inc|ltd|co|corp|bros|jr|sr|a\.m|p\.m|u\.s|u\.k|d\.c|ph\.d|m\.d|usw")
"""Abbreviations that also end sentences: they do before a word in upper case."""


def words(text: str) -> list[str]:
    """The words of a text, in order; points within initials are left out."""
    text = _INITIALS.sub(lambda match: match.group().replace(".", ""), text)
    text = _LOOSE_JOINER.sub(" ", text)
    kept = (
        character for character in set(text) if character in _JOINERS or unicodedata.category(character)[0] in "LMN"
    )
    apart = dict.fromkeys(map(ord, set(text)), " ")
    apart |= {ord(one): f" {one} " if _SINGLE.match(one) else one for one in kept}
    return text.translate(apart).split()


def count_sentences(text: str) -> int:
    """How many sentences a text has."""
    return len(sentences(text))


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order, ends stripped."""
    return [sentence for block in _blocks(text) for sentence in _sentences_of(block)]


def _blocks(text: str) -> list[str]:
    """Parts that no sentence crosses: paragraphs, and lines that are a heading, a table's row or a list's item."""
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if not line.strip():
            blocks.append([])
            continue
        if _OWN_LINE.match(line):
            blocks.append([])
        blocks[-1].append(line)
        if _ENDS_WITH_ITS_LINE.match(line):
            blocks.append([])
    return ["\n".join(block) for block in blocks if block]


def _sentences_of(block: str) -> list[str]:
    found: list[str] = []
    since = 0
    for end in _END.finditer(block):
        if _goes_on(block, end):
            continue
        found.append(block[since : end.end()].strip())
        since = end.end()
    found.append(block[since:].strip())
    return [sentence for sentence in found if _SAYS_SOMETHING.search(sentence)]


def _goes_on(block: str, end: re.Match[str]) -> bool:
    """Whether the sentence goes on behind these stops."""
    stop, close = end.groups()
    begin = end.start()
    if stop[0] in _WIDE:
        return False
    following = _NEXT_WORD.match(block, end.end())
    if following is None:
        return False
    before = block[max(0, begin - _LOOK_BACK) : begin]
    if (begin < _LOOK_BACK or "\n" in before) and _ITEM_NUMBER.fullmatch(before.rpartition("\n")[2]):
        return stop == "."
    if stop != "." or close:
        return following[1].islower()
    word = before[before.rfind(" ") + 1 :].rpartition("\n")[2].lstrip(_OPENERS)
    if len(word) > _LONGEST_ABBREVIATION:
        return False
    form = word.lower()
    if _MAY_END.fullmatch(form):
        return not following[1].isupper()
    if _ONLY_BEFORE_A_NUMBER.fullmatch(form):
        return following[1].isdigit()
    return bool(_ABBREVIATION.fullmatch(form)) or (len(form) == 1 and word.isupper() and word != "I")
