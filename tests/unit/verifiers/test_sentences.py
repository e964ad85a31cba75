"""How words and sentences are counted: the documented rules, as tables."""

from __future__ import annotations

import time

import pytest
from rl_reason_verifiers._sentences import count_sentences, sentences, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("...", 0),
        ("***\n\n---", 0),
        ("Hello world", 1),
        ("One. Two. Three.", 3),
        ("Dr. Smith met Mr. J. Brown.", 1),  # abbreviations and initials
        ("See Fig. 3 and No. 5. Then e.g. this.", 2),
        ("We won. No. Never.", 3),  # "No." is a number's only before a number
        ("Apples, pears, etc. We ate.", 2),
        ("Apples, etc. are good.", 1),
        ("At 5 p.m. we left. At 6 p.m. They came.", 3),
        ("The U.S. is big. The U.S. The end.", 3),
        ("I am I. You are you.", 2),
        ("It costs 3.14 dollars. Really?", 2),  # decimals
        ("Version 2.0 is out. Use it.", 2),
        ("Visit www.example.com today. Bye.", 2),
        ("Wait... what? No...", 2),  # ellipses
        ("Wait... What? No…", 3),
        ("Yes!!! No?!", 2),
        ("“Stop!” he said. She left.", 2),  # quotes
        ('He said "Go." Then he left.', 2),
        ("(This is one.) Another.", 2),
        ("*Bold.* Next.", 2),
        ("今天天气很好。我们去公园吧！好吗？", 3),  # wide stops need no blank
        ("「行こう。」と彼は言った。", 2),
        ("वह गया। वह आया।", 2),
        ("هل أنت بخير؟ نعم.", 2),
        ("1. First item\n2. Second item\n3. Third", 3),  # lists
        ("- a\n- b", 2),
        ("# Title\nText here. More.", 3),
        ("A line\nanother line of the same sentence.", 1),
        ("Para one\n\nPara two", 2),
        ("| a | b |\n| c | d |", 2),
    ],
)
def test_sentences(text: str, expected: int) -> None:
    assert count_sentences(text) == expected, sentences(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("--- *** ...", []),
        ("Hello, world!", ["Hello", "world"]),
        ("don't stop", ["don't", "stop"]),
        ("it’s—fine", ["it’s", "fine"]),
        ("well-known fact", ["well-known", "fact"]),
        ("mother-in-law's", ["mother-in-law's"]),
        ("rock 'n' roll", ["rock", "n", "roll"]),
        ("3.14 and 1,000.", ["3.14", "and", "1,000"]),
        ("end. Start", ["end", "Start"]),
        ("U.S. e.g. this", ["US", "eg", "this"]),
        ("a/b c_d x=5", ["a", "b", "c", "d", "x", "5"]),
        ("*bold* _it_", ["bold", "it"]),
        ("你好世界", ["你", "好", "世", "界"]),
        ("カタ x", ["カ", "タ", "x"]),
        ("안녕하세요 세계", ["안녕하세요", "세계"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),  # a mark does not end a word
        ("สวัสดีครับ ทุกคน", ["สวัสดีครับ", "ทุกคน"]),  # a run is a word
        ("e\u0301tat", ["e\u0301tat"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize("unit", ["a. ", "A. ", ".", "a.b.", "'", "\n", "- a\n", "。", '."', "\ud800", '(" '])
def test_counting_is_linear(unit: str) -> None:
    text = unit * (300_000 // len(unit))
    begin = time.process_time()
    count_sentences(text), words(text)
    assert time.process_time() - begin < 2.0
