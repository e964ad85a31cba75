"""The chain-of-thought judge (Kimi k1.5 §2.3.5): a language model reasons about a response and ends in a verdict.

The response under judgement is hostile. It stands between marks with a code that none of the texts contains, control
tokens in it are broken up, and only JSON at the end of the judge's own words counts (`verdict.py`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rl_reason.data.template import Template
from rl_reason.rewards.verdict import NoVerdict, majority, read_verdict
from rl_reason.types import Score, Trajectory, Verdict

NO_REFERENCE = "(none is given: work the answer out yourself)"
_CONTROL = re.compile(
    r"<(?=[|\uff5c][^<>\n]{1,80}[|\uff5c]>)"
    r"|<(?=/?(?:s|bos|eos|pad|unk|start_of_turn|end_of_turn)>)"
    r"|\[(?=/?INST\])|<(?=</?SYS>>)"
)
"""The first character of what chat templates of known families mark turns with."""
_SHOWN = 160


@dataclass(frozen=True, slots=True)
class Question:
    """What a judge is asked once."""

    text: str
    seed: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: the judge's own words, or why there are none."""

    words: str | NoVerdict
    seconds: float = 0.0


class Asks(Protocol):
    """Puts questions to a language model. Implementations: `EngineJudge`, `EndpointJudge`."""

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        """One reply a question, in order."""
        ...


@dataclass(frozen=True)
class Judge:
    """Implements `protocols.RewardModel`: 1 for right, 0 for wrong, unjudged where no verdict came about."""

    name: str
    """Under which its score appears."""
    language_model: Asks
    template: Template
    votes: int = 1
    """Replies for each response; the majority of the verdicts counts."""
    control_tokens: tuple[str, ...] = ()
    """Those of the judge's own tokenizer, beside the well-known ones."""

    def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """One score a trajectory, in order; the seeds follow from the question's text, so the same one is the same."""
        questions: list[Question] = []
        for trajectory in trajectories:
            text = question_text(self.template, trajectory, control_tokens=self.control_tokens)
            questions += [Question(text, _seed(text, vote)) for vote in range(self.votes)]
        replies = self.language_model.ask(questions)
        return [self._score(replies[first : first + self.votes]) for first in range(0, len(questions), self.votes)]

    def _score(self, replies: Sequence[Reply]) -> Score:
        votes = [read_verdict(each.words) if isinstance(each.words, str) else each.words for each in replies]
        seconds = sum(reply.seconds for reply in replies)
        verdict = majority(votes)
        if isinstance(verdict, NoVerdict):
            return Score(Verdict.UNJUDGED, None, reason=str(verdict), seconds=seconds)
        value = float(verdict)
        words = next(reply.words for reply, vote in zip(replies, votes, strict=True) if vote is verdict)
        count = f"{votes.count(verdict)} of {len(votes)} votes; " if len(votes) > 1 else ""
        why = " ".join(str(words)[-4 * _SHOWN :].split())[-_SHOWN:]
        kind = Verdict.RIGHT if verdict else Verdict.WRONG
        return Score(kind, value, {self.name: value}, f"{count}… {why}", seconds)


def question_text(template: Template, trajectory: Trajectory, *, control_tokens: Sequence[str] = ()) -> str:
    """The template filled in, each part between marks that it cannot close."""
    prompt = trajectory.prompt
    values = {"question": prompt.text, "reference": prompt.answer or NO_REFERENCE, "response": trajectory.text}
    values = {name: defused(text, control_tokens) for name, text in values.items()}
    code = _code(list(values.values()))
    return "".join(
        f"<{place} {code}>\n{values[place]}\n</{place} {code}>" if place else literal
        for place, literal in template.pieces
    )


def defused(text: str, control_tokens: Sequence[str] = ()) -> str:
    """The text with a space inside everything that a chat template would read as the border of a turn."""
    for token in control_tokens:
        if len(token) > 1:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    text = _CONTROL.sub(lambda found: f"{found[0]} ", text)
    # Lone surrogates cannot be encoded, by a tokenizer or for a server.
    return text.encode("utf-8", "replace").decode("utf-8")


def _code(texts: Sequence[str]) -> str:
    """16 hex digits that follow from the texts and stand in none of them."""
    number = 0
    while True:
        content = "\0".join([str(number), *texts]).encode()
        code = hashlib.blake2b(content, digest_size=8).hexdigest()
        if not any(code in text for text in texts):
            return code
        number += 1


def _seed(text: str, vote: int) -> int:
    digest = hashlib.blake2b(f"{vote}/{text}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 33
