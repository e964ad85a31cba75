"""What a verifier promises: the checks of the contract in words, the cases they are made on, and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rl_reason.errors import PluginError
from rl_reason.types import Prompt, Verdict

CHECKS = {
    "loads": (
        "imports, takes its options as keywords of plain data, and has verify(prompt, response)",
        "see the message; defaults and options are None, booleans, numbers, strings, and lists or dicts of them",
    ),
    "cases": (
        "judges the examples as they are labelled",
        "mend the verifier, or the case's `correct` (true, false, or null for could-not-judge)",
    ),
    "score": (
        "returns a Score: RIGHT or WRONG with a finite reward, UNJUDGED with None and a reason",
        "return Score(Verdict.RIGHT, 1.0), Score(Verdict.WRONG, 0.0) or Score(Verdict.UNJUDGED, None, reason=…)",
    ),
    "total": (
        "never raises and never takes the process down, whatever the strings",
        "a bad response is WRONG, an unusable reference is UNJUDGED; bound what you parse before you parse it",
    ),
    "time": (
        "judges every input within the deadline",
        "cap the size of what you parse and look for loops and patterns that are quadratic or worse",
    ),
    "memory": (
        "stays within the worker's limit and does not grow from call to call",
        "keep nothing of a response; bound caches (functools.lru_cache(maxsize=256)) and what they hold",
    ),
    "repeatable": (
        "gives the same score for the same input twice in a row",
        "no clock, no network; a random generator is made anew in each call from a fixed seed",
    ),
    "order": (
        "gives the same score whatever it judged before",
        "keep no state between calls: what an earlier response left must not matter",
    ),
    "process": (
        "gives the same score in a fresh process with another PYTHONHASHSEED",
        "do not use hash(), the order of a set, id(), the process id, or files of the working directory",
    ),
    "picklable": (
        "returns scores that survive pickling",
        "put plain strings and numbers into a Score, and a plain dict as its parts",
    ),
    "global state": (
        "leaves module globals, process settings, threads and open files as they were",
        "keep state on self; close what you open; set nothing that belongs to the process",
    ),
    "silent": (
        "prints nothing",
        "remove print and logging to the console; say it in the score's reason",
    ),
    "working directory": (
        "loads where the working directory is not on sys.path",
        "install its package, or refer to it as path/to/file.py:Object; import no neighbouring files from there",
    ),
}
"""Name of a check -> (what is promised, what to do where the promise is not kept)."""

_SHOWN_CHARS = 60


@dataclass(frozen=True, slots=True)
class Case:
    """One input of the contract."""

    name: str
    prompt: Prompt
    response: str
    expected: Verdict | None = None
    """What the verdict must be; None where any will do."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One promise seen broken."""

    check: str
    seen: str
    case: str = ""
    """Name of the input and its text, shortened; empty where it is not about one input."""


@dataclass(slots=True)
class Report:
    """What the contract found."""

    failures: list[Failure] = field(default_factory=list)
    inputs: int = 0
    """Different inputs that were judged or tried."""
    verdicts: dict[str, int] = field(default_factory=dict)
    growth_bytes: int = 0
    """Of a worker's resident memory over `Limits.growth_calls` calls."""
    dodges: list[str] = field(default_factory=list)
    """Responses that came out as UNJUDGED though others to the same prompt were judged: a model learns to write such.
    No failure: some verifiers have a reason, such as a text too short to tell its language."""
    untried: tuple[str, ...] = ()
    """Checks that could not be made, because the plug-in does not load or every input failed."""

    @property
    def passed(self) -> bool:
        """No failure."""
        return not self.failures

    def of(self, check: str) -> list[Failure]:
        """The failures of one check."""
        return [failure for failure in self.failures if failure.check == check]


def load_cases(rows: Sequence[Mapping[str, Any]], source: str) -> list[Case]:
    """Cases out of the lines that `rl-reason verify` reads or writes; `correct`, where it is there, is expected.

    Raises:
        PluginError: `correct` is neither true, false nor null.
    """
    cases: list[Case] = []
    for number, row in enumerate(rows, start=1):
        expected = None
        if "correct" in row:
            if row["correct"] not in (True, False, None):
                raise PluginError(f"{source}:{number}: `correct` is true, false or null, not {row['correct']!r}")
            expected = {True: Verdict.RIGHT, False: Verdict.WRONG, None: Verdict.UNJUDGED}[row["correct"]]
        cases.append(Case(f"{source}:{number}", prompt_of(row, f"{source}:{number}"), row["response"], expected))
    return cases


def prompt_of(row: Mapping[str, Any], source: str) -> Prompt:
    """The prompt of a line: what is not prompt, answer, response or a verdict is metadata for the verifier."""
    known = ("id", "prompt", "answer", "response", "metadata", "score", "correct", "reason", "seconds")
    more = {key: value for key, value in row.items() if key not in known}
    metadata = {**(row.get("metadata") or {}), **more}
    text, answer = row.get("prompt") or "", row.get("answer") or ""
    return Prompt(str(row.get("id", source)), text, answer, metadata=metadata, source=source)


def short(text: str) -> str:
    """A string as a person may see it: escaped, and cut in the middle."""
    if len(text) > _SHOWN_CHARS:
        half = _SHOWN_CHARS // 2
        return f"{ascii(text[:half])[: half + 20]} … {text[-10:]!a} ({len(text):,} characters)"
    return ascii(text)
