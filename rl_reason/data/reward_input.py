"""Question, reference answer and response as the tokens that a classic reward model reads, in training as in use."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rl_reason.data.template import Template, read_template
from rl_reason.errors import DataError
from rl_reason.types import TrainingSequence

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEMPLATE_FILE = "reward_template.txt"
"""In a reward model's folder: the template that it was trained with."""


@dataclass(frozen=True)
class RewardInput:
    """Fills the template and encodes it piece by piece; the model's reward is its scalar at the last token.

    What comes from outside is encoded as plain text: a response that spells a special token does not become one.
    Pieces are encoded apart, so that two responses to one question share all tokens up to where they begin.

    Raises:
        DataError: the template's response does not come last of its places.
    """

    tokenizer: PreTrainedTokenizerBase
    template: Template
    _first: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        if [place for place, _ in self.template.pieces if place][-1] != "response":
            raise DataError(f"{self.template.origin}: {{{{response}}}} must be the last place: the others are shared")
        probe, begin = self.tokenizer.encode("a"), self.tokenizer.bos_token_id
        object.__setattr__(self, "_first", (begin,) if begin is not None and probe[:1] == [begin] else ())

    def encode(self, question: str, reference: str, response: str) -> tuple[list[int], int]:
        """(token ids, how many of them come before the response)."""
        values = {"question": question, "reference": reference, "response": response}
        tokens, before = list(self._first), 0
        for place, literal in self.template.pieces:
            if place == "response":
                before = len(tokens)
            # Lone surrogates replaced: no tokenizer takes them.
            text = values[place].encode("utf-8", "replace").decode("utf-8") if place else literal
            if text:
                outside = bool(place)
                tokens += self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=outside)
        return tokens, before

    def training_sequence(
        self, question: str, reference: str, response: str, *, label: float, pair: int = -1
    ) -> TrainingSequence:
        """One response to learn from: its reward is predicted at the last token that `encode` gives.

        The learner never feeds a sequence's last token, so one more stands there; all from the response on counts, and
        the objectives read the last position.
        """
        tokens, before = self.encode(question, reference, response)
        ids = np.array([*tokens, tokens[-1]], dtype=np.int32)
        mask = np.arange(len(ids)) >= max(1, min(before, len(tokens)))
        return TrainingSequence(ids, mask, np.zeros(len(ids), np.float32), label, pair)


def saved_reward_input(folder: Path, tokenizer: PreTrainedTokenizerBase) -> RewardInput:
    """What a reward model's folder says that the model reads.

    Raises:
        DataError: the folder has no template.
    """
    path = folder / TEMPLATE_FILE
    if not path.is_file():
        raise DataError(
            f"{folder} has no {TEMPLATE_FILE}, so how its inputs were written is unknown; a reward_model stage leaves "
            "one. For a model from elsewhere write it: text with {{question}}, {{reference}}, {{response}}"
        )
    return RewardInput(tokenizer, read_template(path))
