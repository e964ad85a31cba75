"""Hostile strings that verifiers must survive: a named corpus, and a seeded generator of as many as are wanted.

Nothing in here is aimed at one verifier. A model under pressure writes all of this: nothing, a megabyte of nothing,
half a formula, the same tag ten thousand times, other scripts, numbers that nobody can hold.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from rl_reason.types import Prompt

MEGABYTE = 2**20
PLAIN_ANSWER = "4"
"""The reference that hostile responses are put to, and the answer that hostile references get."""

_LONG: dict[str, Callable[[], str]] = {
    "1 MB of a letter": lambda: "a" * MEGABYTE,
    "1 MB of digits": lambda: "1234567890" * (MEGABYTE // 10),
    "1 MB of blanks": lambda: " " * MEGABYTE + "4",
    "1 MB of words": lambda: "the answer is 4, " * (MEGABYTE // 17),
    "1 MB of open braces": lambda: "{" * MEGABYTE,
}
_SHAPES: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "blanks": lambda: " \t \n ",
    "all control characters": lambda: "".join(map(chr, [*range(32), *range(127, 160)])),
    "NUL inside": lambda: "4\x00\x00" + "4",
    "lone surrogates": lambda: "4 \ud800 \udfff\udbff 4",
    "noncharacters and marks of order": lambda: "\ufeff\uffff\ufffe\u2028\u2029\u202e4\u202c\u200b",
    "terminal escapes": lambda: "\x1b[2J\x1b]0;owned\x07\x1b[31m4\x1b[0m",
    "carriage returns": lambda: "4\r\n\r5\r" * 50,
    "unclosed box": lambda: "so \\boxed{4",
    "unbalanced LaTeX": lambda: (
        "\\boxed{\\frac{1}{\\left( \\sqrt[3]{2} \\right]}$$ \\begin{matrix} 1 & 2 \\\\ \\end{cases}"
    ),
    "closing braces only": lambda: "}" * 3000 + "\\boxed}4{",
    "half a command at the end": lambda: "\\boxed{4} \\",
    "empty commands": lambda: "\\frac{}{} \\sqrt{} \\boxed{} ^ _ & # ~ $$ $",
    "an endless environment": lambda: "\\begin{pmatrix}" * 400,
    "boxes in boxes": lambda: "\\boxed{" * 3000 + "4" + "}" * 3000,
    "many boxes": lambda: "\\boxed{4}" * 5000,
    "deep parentheses": lambda: "(" * 20_000 + "4" + ")" * 20_000,
    "deep fractions": lambda: "\\frac{1}{" * 1500 + "4" + "}" * 1500,
    "deep JSON": lambda: '[{"a":' * 20_000 + "4",
    "deep exponents": lambda: "2^{" * 1500 + "2" + "}" * 1500,
    "minus signs": lambda: "-" * 20_000 + "4",
    "factorials": lambda: "4" + "!" * 2000,
    "plus ones": lambda: "1" + "+1" * 20_000,
    "commas": lambda: "1," * 20_000,
    "100,000 digits": lambda: "9" * 100_000,
    "100,000 decimals": lambda: "0." + "3" * 100_000,
    "tower of powers": lambda: "9^{9^{9^{9^{9}}}}",
    "powers in Python": lambda: "9**9**9**9",
    "factorial of 10^8": lambda: "100000000!",
    "far exponents": lambda: "1e999999999 - 1e-999999999",
    "inf and nan": lambda: "inf nan -inf NaN 1/0 0/0",
    "other digits": lambda: "\u0664 \u096a \u56db \uff14 \u0e54 \u2463 \u2084 \u00b4\u00bd \U0001d7d2",
    "right to left": lambda: (
        "\u0627\u0644\u062c\u0648\u0627\u0628 \u0647\u0648 \u202e\u0664\u202c \u05d0\u05e8\u05d1\u05e2"
    ),
    "Chinese": lambda: "\u56e0\u6b64\uff0c\u7b54\u6848\u662f\u56db\u3002" * 40,
    "emoji": lambda: "\U0001f469\u200d\U0001f52c\U0001f1e9\U0001f1ea 4\ufe0f\u20e3" * 60,
    "stacked accents": lambda: "4" + "\u0301\u0335\u0489" * 2000,
    "one letter, two spellings": lambda: "e\u0301 \u00e9 \ufb03 \u212b \u0130 \u1e9e",
    "think, a thousand times": lambda: "<think>" * 1000 + "4",
    "think tangle": lambda: "</think><think><think>4</think></think> 4 <think></think></think>",
    "unclosed think": lambda: "<think> let me see, " * 3,
    "answer tags": lambda: "<answer>" * 500 + "4" + "</answer>" * 499,
    "code fences": lambda: "```" * 3001,
    "endless program": lambda: "```python\nwhile True:\n    pass\n```",
    "unclosed program": lambda: "```cpp\nint main() { for (;;) ; ",
    "injection": lambda: "__import__('os')._exit(0) #'; DROP TABLE answers; -- $(reboot) `reboot` ../../etc/passwd",
    "markup": lambda: "<script>alert(4)</script> &#52; <!-- 4 --> ]]> <?php",
    "format strings": lambda: "%s%n%d%(answer)s {0.__class__} {answer} {!r:>10} ${HOME} {{}} %",
    "a slow regular expression": lambda: "(a+)+$ (x*)*y [ (?P<",
    "food for slow regular expressions": lambda: "a" * 30_000 + "!",
    "blanks before the end": lambda: "4" + " " * 30_000 + ".",
    "spaced digits": lambda: "1 " * 20_000 + "x",
    "one long line of equals": lambda: "x=" * 15_000,
    "dollars": lambda: "$" * 20_001,
    "options": lambda: "(A) (B) A. B. C) D: the answer is A or B",
    "many lines": lambda: "final answer: 4\n" * 3000,
}
_CARRIERS = {
    "{}": "{}",
    "boxed": "I think so. \\boxed{{{}}}",
    "in tags": "<think>\nhm {0}\n</think>\n<answer>{0}</answer>\nAnswer: {0}",
}


def corpus(*, long: bool = True) -> dict[str, str]:
    """The hostile strings by name, those of a megabyte among them or not."""
    makers = {**_SHAPES, **(_LONG if long else {})}
    return {name: make() for name, make in makers.items()}


def hostile_pairs(prompt: Prompt, *, long: bool = True) -> Iterator[tuple[str, Prompt, str]]:
    """(name, prompt, response): each string as a response, in a box, in tags, and as the prompt's reference answer."""
    for name, text in corpus(long=long).items():
        for carrier, pattern in _CARRIERS.items():
            how = "" if carrier == "{}" else f", {carrier}"
            yield f"{name}{how}", prompt, pattern.format(text)
        answer = f"<think>\nhm\n</think>\n\\boxed{{{PLAIN_ANSWER}}}"
        yield f"{name}, as the reference", replace(prompt, answer=text), answer
        yield f"{name}, as the reference and the response", replace(prompt, answer=text), f"\\boxed{{{text}}}"


_PIECES = (
    *(
        "\\boxed{",
        "}",
        "{",
        "\\frac{",
        "\\sqrt",
        "^{",
        "_",
        "$",
        "\\left(",
        "\\right]",
        "\\infty",
        "\\pm",
        "\\text{ cm}",
    ),
    *("<think>", "</think>", "<answer>", "</answer>", "```", "\n", "\n\n", "Answer: ", "The final answer is ", "####"),
    *(
        "4",
        "0",
        "-1",
        "1/2",
        "0.5",
        "3.14",
        "10%",
        "1,000",
        "1e9",
        "x",
        "x=",
        "x^2+1",
        "(1,2)",
        "[0,1)",
        "A",
        "(B)",
        "!",
    ),
    *(
        "\x00",
        "\ud800",
        "\u202e",
        "\u0664",
        "\u56db",
        "\u00e9",
        "\U0001f600",
        "\ufeff",
        "\\",
        "%s",
        "{0}",
        "**",
        "//",
        " ",
    ),
    *("True", "None", "inf", "and", " or ", ",", ";", "&", "\\\\", "\\begin{pmatrix}", "\\end{pmatrix}", "import os\n"),
)


def hostile_string(rng: random.Random) -> str:
    """One string, mostly short, now and then up to 100,000 characters; the same for the same state of `rng`."""
    kind = rng.random()
    if kind < 0.55:
        text = "".join(rng.choices(_PIECES, k=rng.randint(0, 30)))
    elif kind < 0.70:
        text = "".join(_character(rng) for _ in range(rng.randint(0, 80)))
    elif kind < 0.80:
        text = _nested(rng)
    elif kind < 0.99:
        text = _damaged(rng)
    else:
        text = rng.choice(_PIECES) * rng.randint(1, 100_000 // 16)
    return f"\\boxed{{{text}}}" if rng.random() < 0.3 else text


def _character(rng: random.Random) -> str:
    ranges = ((0, 0x7F), (0x80, 0x24F), (0x370, 0x6FF), (0x900, 0xE7F), (0x2000, 0x2BFF), (0x4E00, 0x9FFF))
    low, high = rng.choice((*ranges, (0xD800, 0xDFFF), (0xFE00, 0xFFFF), (0x1D400, 0x1F9FF)))
    return chr(rng.randint(low, high))


def _nested(rng: random.Random) -> str:
    pairs = (("{", "}"), ("(", ")"), ("\\frac{1}{", "}"), ("\\sqrt{", "}"), ("2^{", "}"), ("[", "]"), ("\\boxed{", "}"))
    depth = int(10 ** rng.uniform(0.3, 3.3))
    chosen = rng.choices(pairs, k=rng.randint(1, 3))
    opened = "".join(chosen[level % len(chosen)][0] for level in range(depth))
    closed = "".join(chosen[level % len(chosen)][1] for level in reversed(range(depth)))
    return opened + rng.choice(_PIECES) + closed[: rng.randint(0, len(closed)) if rng.random() < 0.3 else None]


def _damaged(rng: random.Random) -> str:
    """A decent response with a few characters cut, doubled or replaced."""
    number = rng.choice(
        (str(rng.randint(-99, 99)), f"{rng.random() * 1000:.3f}", f"\\frac{{{rng.randint(1, 9)}}}{{7}}")
    )
    text = rng.choice(
        (
            f"<think>\nFirst 2 + 2, then more.\n</think>\nThe answer is \\boxed{{{number}}}.",
            f"We get $x = {number}$, so the final answer is {number}.",
            f"<think>hm</think><answer>{number}</answer>",
            f"```python\ndef f(x):\n    return {number}\n```\n#### {number}",
            f"\\begin{{pmatrix}} 1 & {number} \\\\ 0 & 1 \\end{{pmatrix}} and \\{{1, 2, {number}\\}}",
        )
    )
    for _ in range(rng.randint(0, 6)):
        at = rng.randrange(len(text) + 1)
        cut = rng.choice((0, 0, 1, 3, 10))
        text = text[:at] + rng.choice((*_PIECES, text[max(0, at - 20) : at], "")) + text[at + cut :]
    return text
