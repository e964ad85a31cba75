"""The classic reward model in use: a scalar head on a backbone, batches packed without padding, on CPU or a GPU."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rl_reason.data.reward_input import saved_reward_input
from rl_reason.errors import VerifierError
from rl_reason.policy.packed_attention import PACKED_ATTENTION, Segments, register_packed_attention
from rl_reason.rewards.verdict import Fault, NoVerdict
from rl_reason.types import Score, Trajectory, Verdict

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class ClassicRewardModel:
    """Implements `protocols.RewardModel`; the reward is sigmoid(scalar), the model's probability of "right".

    On CPU each response has a forward pass of its own: its score then depends on it alone, to the last bit, whatever
    is scored beside it. On a GPU responses are packed, and the last bits do depend on the others.

    Args:
        name: under which its score appears.
        model_path: folder as a reward_model stage leaves it: a sequence classifier with one label, its tokenizer, and
            the template of its inputs.
        threshold: probability from which on a response counts as right.
        batch_tokens: tokens in one forward pass on a GPU; a longer response gets a pass of its own.
        dtype: `float32` or `bfloat16`.

    Raises:
        VerifierError: the folder holds no such model.
        DataError: it has no template.
    """

    def __init__(
        self, *, name: str, model_path: Path, threshold: float, batch_tokens: int, dtype: str = "float32"
    ) -> None:
        register_packed_attention()
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            model: Any = AutoModelForSequenceClassification.from_pretrained(
                model_path, dtype=_DTYPES[dtype], attn_implementation=PACKED_ATTENTION
            )
            tokenizer = AutoTokenizer.from_pretrained(model_path)
        except (OSError, ValueError) as error:
            raise VerifierError(f"cannot load {model_path} as a reward model: {error}") from error
        head = dict(model.named_children()).get("score")
        if not isinstance(head, nn.Linear) or head.out_features != 1:
            raise VerifierError(
                f"{model_path} is no reward model: its classifier must have one label and a head `score`"
            )
        self._model, self._head = model.to(self._device).eval(), head
        self._reads = saved_reward_input(Path(model_path), tokenizer)
        self._limit: int = model.config.get_text_config().max_position_embeddings
        self._name, self._threshold = name, threshold
        self._batch_tokens = batch_tokens if self._device.type == "cuda" else 1

    def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """One score a trajectory, in order; unjudged where it is longer than the model reads."""
        begun = time.perf_counter()
        encoded = [self._reads.encode(each.prompt.text, each.prompt.answer, each.text)[0] for each in trajectories]
        short = [index for index, tokens in enumerate(encoded) if len(tokens) <= self._limit]
        rewards: dict[int, float] = {}
        for batch in self._batches(short, encoded):
            rewards |= dict(zip(batch, self._rewards([encoded[index] for index in batch]), strict=True))
        seconds = (time.perf_counter() - begun) / max(1, len(trajectories))
        return [
            self._score(rewards[index], seconds) if index in rewards else self._too_long(len(tokens), seconds)
            for index, tokens in enumerate(encoded)
        ]

    def _batches(self, indices: Sequence[int], encoded: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        batch: list[int] = []
        size = 0
        for index in indices:
            if batch and size + len(encoded[index]) > self._batch_tokens:
                yield batch
                batch, size = [], 0
            batch.append(index)
            size += len(encoded[index])
        if batch:
            yield batch

    @torch.inference_mode()
    def _rewards(self, sequences: Sequence[Sequence[int]]) -> list[float]:
        """The scalar at each sequence's last token."""
        lengths = torch.tensor([len(tokens) for tokens in sequences])
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])

        def row(parts: Sequence[Tensor]) -> Tensor:
            return torch.cat(list(parts))[None].to(self._device)

        hidden = self._model.base_model(
            input_ids=row([torch.tensor(tokens) for tokens in sequences]),
            position_ids=row([torch.arange(len(tokens)) for tokens in sequences]),
            segments=Segments(offsets.to(self._device, torch.int32), tuple(lengths.tolist())),
            use_cache=False,
        ).last_hidden_state[0]
        ends = hidden[(offsets[1:] - 1).to(self._device)]
        return (ends.float() @ self._head.weight.float().t())[:, 0].cpu().tolist()

    def _score(self, reward: float, seconds: float) -> Score:
        probability = float(torch.sigmoid(torch.tensor(reward, dtype=torch.float64)))
        verdict = Verdict.RIGHT if probability >= self._threshold else Verdict.WRONG
        return Score(verdict, probability, {self._name: probability}, f"probability {probability:.3f}", seconds)

    def _too_long(self, tokens: int, seconds: float) -> Score:
        why = NoVerdict(Fault.TOO_LONG, f"the input has {tokens} tokens, the model reads {self._limit}")
        return Score(Verdict.UNJUDGED, None, reason=str(why), seconds=seconds)
