"""The words of the framework: records that travel between its parts. No torch here.

Dimension letters used in shapes all over the code: T tokens of one sequence, N tokens of a packed batch,
S sequences of a batch, K responses of one prompt, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

PolicyVersion = int
"""0 is the stage's initial model; each learner update adds one."""


class StopReason(StrEnum):
    """Why a response ended."""

    STOP = "stop"
    """The model wrote its end token."""
    LENGTH = "length"
    """The token budget ran out: the response is truncated."""
    REPEATED = "repeated"
    """The engine stopped a response that repeats itself."""
    ABORTED = "aborted"
    """The engine was told to stop."""


class Verdict(StrEnum):
    """What a verifier makes of a response. There is no fourth outcome, and no outcome is silently another."""

    RIGHT = "right"
    WRONG = "wrong"
    UNJUDGED = "unjudged"
    """Could not judge: time-out, crash, unusable reference. Counted, shown, left out of the group's baseline."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One problem, rendered and ready to be asked."""

    id: str
    text: str
    """The user's turn, before the chat template."""
    answer: str
    """Reference answer; what it means is the verifier's affair."""
    tokens: tuple[int, ...] = ()
    """The rendered prompt, generation header included. Empty until rendered."""
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What a verifier needs beside the answer (tests, reasoning-gym entry, …). Picklable."""
    source: str = ""
    """Where it came from, as `file:line` or `task#index`, for error messages."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How responses are drawn. Log-probs are always those of the full, temperature-scaled distribution."""

    temperature: float = 1.0
    """0 is greedy."""
    max_new_tokens: int = 1024
    stop_token_ids: tuple[int, ...] = ()
    repetition_stop: bool = False
    """End a response that repeats a pattern; it is marked `StopReason.REPEATED`."""


@dataclass(frozen=True, slots=True)
class Request:
    """One response wanted from an engine."""

    id: str
    tokens: tuple[int, ...]
    """Prompt tokens, with those of earlier segments appended."""
    seed: int
    """Seed of this response alone: the same request gives the same tokens, whatever runs beside it."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens that one policy version wrote in one go."""

    tokens: NDArray[np.int32]
    """[T], the end token included when the response ended with one."""
    logprobs: NDArray[np.float32]
    """[T], log-prob of each token under the behaviour policy's temperature-scaled full distribution, in nats."""
    version: PolicyVersion


@dataclass(frozen=True, slots=True)
class Completion:
    """An engine's answer to one `Request`."""

    request_id: str
    segment: Segment
    stop_reason: StopReason


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One whole response to a prompt."""

    prompt: Prompt
    index: int
    """Which of the prompt's K responses, from 0."""
    segments: tuple[Segment, ...]
    stop_reason: StopReason
    text: str
    """The decoded response, end token removed. Hostile input: escape it wherever it is shown."""

    @property
    def tokens(self) -> NDArray[np.int32]:
        """[T], all segments joined."""
        return np.concatenate([segment.tokens for segment in self.segments])

    @property
    def logprobs(self) -> NDArray[np.float32]:
        """[T], aligned with `tokens`."""
        return np.concatenate([segment.logprobs for segment in self.segments])

    @property
    def length(self) -> int:
        """Response tokens."""
        return sum(len(segment.tokens) for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Score:
    """What the verifiers (and reward models) say of one response."""

    verdict: Verdict
    reward: float | None
    """Weighted sum of `parts`; None exactly when the verdict is UNJUDGED."""
    parts: Mapping[str, float] = field(default_factory=dict[str, float])
    """Verifier name -> its unweighted score."""
    reason: str = ""
    """For people: why, in one line."""
    seconds: float = 0.0
    """Time the verifiers took."""
    judgements: Mapping[str, Score] = field(default_factory=dict[str, "Score"])
    """Verifier name -> its own score, where this one is made of several; the first is the primary one's."""

    def contradicts(self, other: Score) -> bool:
        """Both have judged, and not alike. What could not be judged contradicts nothing."""
        judged = Verdict.UNJUDGED not in (self.verdict, other.verdict)
        return judged and self.verdict is not other.verdict


@dataclass(frozen=True, slots=True)
class Group:
    """The K responses of one prompt with their scores; `scores[j]` belongs to `trajectories[j]`."""

    prompt: Prompt
    trajectories: tuple[Trajectory, ...]
    scores: tuple[Score, ...]


@dataclass(frozen=True, slots=True)
class TrainingSequence:
    """One sequence the learner trains on. All arrays are [T] and aligned: entry t speaks of token t."""

    tokens: NDArray[np.int32]
    loss_mask: NDArray[np.bool_]
    """True where a token counts in the loss (response tokens). Entry 0 is always False."""
    behaviour_logprobs: NDArray[np.float32]
    """Log-probs at roll-out: those of the reference, the previous iterate. 0 where the mask is False."""
    advantage: float = 0.0
    """Reward minus baseline, for the whole sequence; for reward models the label, 1 for right or better, else 0. Unused
    by imitation."""
    pair: int = -1
    """Two sequences with the same number, 0 or more, are compared with each other and never parted; -1: in no pair."""


@dataclass(frozen=True, slots=True)
class WeightUpdate:
    """A set of weights that a learner has made ready for engines to take."""

    version: PolicyVersion
    transport: str
    """`shared_memory`, `disk`, `nccl` or `cuda_ipc`."""
    location: str
    """Path of the file, or the transport's own address."""
    names: tuple[str, ...] = ()
    """Parameter names as the Hugging Face checkpoint has them."""
    shapes: tuple[tuple[int, ...], ...] = ()
    dtypes: tuple[str, ...] = ()
