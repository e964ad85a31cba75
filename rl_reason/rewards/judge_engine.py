"""A judge served by engines of our own: any `protocols.Engine`, with its model's chat template."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rl_reason.data.render import ChatRenderer
from rl_reason.errors import RolloutError
from rl_reason.protocols import Engine
from rl_reason.rewards.judge import Question, Reply
from rl_reason.rewards.verdict import Fault, NoVerdict
from rl_reason.types import Completion, Prompt, Request, Sampling, StopReason


@dataclass(frozen=True)
class EngineJudge:
    """Implements `judge.Asks`."""

    engine: Engine
    renderer: ChatRenderer
    """Of the judge's model, not of the policy's."""
    sampling: Sampling
    max_context_tokens: int
    """A question that leaves less room than `sampling.max_new_tokens` is not asked."""

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        """All questions at once.

        Raises:
            RolloutError: the engine failed, or left a question without an answer.
        """
        begun = time.perf_counter()
        replies: dict[str, str | NoVerdict] = {}
        requests: list[Request] = []
        room = self.max_context_tokens - self.sampling.max_new_tokens
        for index, question in enumerate(questions):
            tokens = self.renderer.render(Prompt(str(index), question.text, "")).tokens
            if len(tokens) > room:
                detail = f"the question has {len(tokens)} tokens, and there is room for {room}"
                replies[str(index)] = NoVerdict(Fault.TOO_LONG, detail)
            else:
                requests.append(Request(str(index), tokens, question.seed))
        for completions in self.engine.generate(requests, self.sampling) if requests else ():
            for completion in completions:
                replies[completion.request_id] = self._words(completion)
        if len(replies) != len(questions):
            raise RolloutError(f"the judge's engine answered {len(replies)} of {len(questions)} questions")
        seconds = (time.perf_counter() - begun) / max(1, len(questions))
        return [Reply(replies[str(index)], seconds) for index in range(len(questions))]

    def _words(self, completion: Completion) -> str | NoVerdict:
        if completion.stop_reason is not StopReason.STOP:
            count = len(completion.segment.tokens)
            return NoVerdict(Fault.TRUNCATED, f"ended by {completion.stop_reason} after {count} tokens")
        return self.renderer.decode(completion.segment.tokens.tolist())
