"""Rolls out with plain transformers: for models that vLLM has not, and as the oracle in tests. Simple, not fast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from rl_reason.errors import RolloutError, SyncError
from rl_reason.merging.evolution.modeling_data_flow import DataFlowConfig, DataFlowForCausalLM
from rl_reason.policy.weight_file import FILE_TRANSPORTS, read_weights
from rl_reason.rollout.repetition import ends_in_repetition
from rl_reason.types import Completion, PolicyVersion, Request, Sampling, Segment, StopReason, WeightUpdate

# A model found in data-flow space is run by our own code, never by the copy that lies beside its weights.
AutoConfig.register(DataFlowConfig.model_type, DataFlowConfig, exist_ok=True)
AutoModelForCausalLM.register(DataFlowConfig, DataFlowForCausalLM, exist_ok=True)

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class _Row:
    """A response under way."""

    request: Request
    generator: torch.Generator
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


class TransformersEngine:
    """Implements `protocols.Engine` for any causal model of transformers.

    Batches of at most `max_concurrent` responses, padded on the left, with a key-value cache. A response's tokens are
    drawn with a generator of its own, so they depend on its request alone (but for the last bits of the logits).
    """

    def __init__(
        self,
        *,
        model_path: Path,
        max_context_tokens: int,
        dtype: str = "float32",
        max_concurrent: int = 64,
        version: PolicyVersion = 0,
    ) -> None:
        """Load the model, onto the GPU if there is one.

        Args:
            model_path: Hugging Face folder.
            max_context_tokens: longest prompt and response together.
            dtype: `float32`, `bfloat16` or `float16`.
            max_concurrent: responses in a batch.
            version: of the policy in `model_path`.
        """
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model: Any = AutoModelForCausalLM.from_pretrained(model_path, dtype=_DTYPES[dtype])
        self.model = model.to(self._device).eval()
        """What generates. Another one with the same vocabulary may take its place."""
        self._max_context_tokens = max_context_tokens
        self._max_concurrent = max_concurrent
        self._version = version

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Completion]]:
        """See `Engine.generate`. Responses end at `sampling.stop_token_ids` alone; at temperature 0 the log-probs are
        those of temperature 1.

        Raises:
            RolloutError: a prompt is empty or fills the context.
        """
        for request in requests:
            if not 0 < len(request.tokens) < self._max_context_tokens:
                raise RolloutError(
                    f"request {request.id!r} has a prompt of {len(request.tokens)} tokens; it must have at least one, "
                    f"and fewer than the context's {self._max_context_tokens}"
                )
        for first in range(0, len(requests), self._max_concurrent):
            yield from self._batch(requests[first : first + self._max_concurrent], sampling)

    @torch.inference_mode()
    def score(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """See `Engine.score`."""
        scored = []
        for index, sequence in enumerate(sequences):
            if len(sequence) < 2:
                raise RolloutError(f"sequence {index} to be scored has {len(sequence)} tokens; nothing is predicted")
            tokens = torch.tensor([list(sequence)], device=self._device)
            logits = self.model(tokens, use_cache=False).logits[0, :-1].float()
            scored.append(logits.log_softmax(-1).gather(-1, tokens[0, 1:, None])[:, 0].cpu().numpy())
        return scored

    def load_weights(self, update: WeightUpdate) -> None:
        """See `Engine.load_weights`; files only.

        Raises:
            SyncError: another transport, or the file's names and shapes are not the model's.
        """
        if update.transport not in FILE_TRANSPORTS:
            raise SyncError(
                f"TransformersEngine takes weights by {' or '.join(FILE_TRANSPORTS)}, not {update.transport}"
            )
        parameters = dict(self.model.named_parameters())
        loaded = set()
        with torch.no_grad():
            for name, tensor in read_weights(Path(update.location)):
                if name not in parameters or parameters[name].shape != tensor.shape:
                    raise SyncError(f"{update.location} holds {name!r} {tuple(tensor.shape)}, which the model has not")
                parameters[name].copy_(tensor)
                loaded.add(name)
        if missing := parameters.keys() - loaded:
            raise SyncError(f"{update.location} lacks {len(missing)} of the model's weights, {min(missing)!r} first")
        self._version = update.version

    def close(self) -> None:
        """Give back memory."""
        del self.model

    @torch.inference_mode()
    def _batch(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Completion]]:
        rows = [_Row(request, torch.Generator().manual_seed(request.seed % 2**63)) for request in requests]
        tokens, mask = self._padded(requests)
        cache = None
        while rows:
            positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
            output = self.model(
                tokens, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
            )
            cache = output.past_key_values
            drawn = _draw(output.logits[:, -1].float().cpu(), rows, sampling.temperature)
            ended = [self._ended(row, sampling) for row in rows]
            if finished := [_completion(row, why, self._version) for row, why in zip(rows, ended, strict=True) if why]:
                yield finished
                kept = torch.tensor([index for index, why in enumerate(ended) if why is None], dtype=torch.int64)
                rows = [rows[index] for index in kept.tolist()]
                kept = kept.to(self._device)
                cache.batch_select_indices(kept)
                drawn, mask = drawn[kept.cpu()], mask[kept]
            tokens = drawn.to(self._device)
            mask = torch.cat([mask, torch.ones_like(tokens)], dim=1)

    def _padded(self, requests: Sequence[Request]) -> tuple[Tensor, Tensor]:
        """Prompt tokens and mask, both [rows, longest], padded on the left."""
        longest = max(len(request.tokens) for request in requests)
        tokens = torch.zeros(len(requests), longest, dtype=torch.int64)
        mask = torch.zeros_like(tokens)
        for row, request in enumerate(requests):
            tokens[row, longest - len(request.tokens) :] = torch.tensor(request.tokens)
            mask[row, longest - len(request.tokens) :] = 1
        return tokens.to(self._device), mask.to(self._device)

    def _ended(self, row: _Row, sampling: Sampling) -> StopReason | None:
        if row.tokens[-1] in sampling.stop_token_ids:
            return StopReason.STOP
        full = len(row.request.tokens) + len(row.tokens) >= self._max_context_tokens
        if full or len(row.tokens) >= sampling.max_new_tokens:
            return StopReason.LENGTH
        if sampling.repetition_stop and ends_in_repetition(row.tokens):
            return StopReason.REPEATED
        return None


def _draw(logits: Tensor, rows: Sequence[_Row], temperature: float) -> Tensor:
    """Draw a token for each row of logits [rows, vocabulary], append it and its log-prob; returns tokens [rows, 1]."""
    logprobs = (logits / temperature if temperature > 0 else logits).log_softmax(-1)
    drawn = []
    for row, distribution in zip(rows, logprobs, strict=True):
        if temperature > 0:
            token = int(torch.multinomial(distribution.exp(), 1, generator=row.generator))
        else:
            token = int(distribution.argmax())
        row.tokens.append(token)
        row.logprobs.append(float(distribution[token]))
        drawn.append([token])
    return torch.tensor(drawn)


def _completion(row: _Row, why: StopReason, version: PolicyVersion) -> Completion:
    segment = Segment(np.array(row.tokens, np.int32), np.array(row.logprobs, np.float32), version=version)
    return Completion(row.request.id, segment, why)
