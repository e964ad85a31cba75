"""A judge behind a server that speaks OpenAI's chat-completions protocol, asked over HTTP."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from rl_reason.rewards.judge import Question, Reply
from rl_reason.rewards.verdict import Fault, NoVerdict

_TRY_AGAIN = frozenset({408, 425, 429})
"""Beside all of 500 and above."""
_SECRETIVE = frozenset({401, 403})
"""Servers quote parts of keys in the text of these."""
_LONGEST_REPLY = 4 << 20
_LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True)
class EndpointJudge:
    """Implements `judge.Asks`. What fails is a fault in the reply, never an exception: a server's hour of trouble
    must not end a training run."""

    base_url: str
    """Before `/chat/completions`."""
    model: str
    max_new_tokens: int
    temperature: float = 0.0
    api_key: str | None = field(default=None, repr=False)
    concurrency: int = 16
    deadline_s: float = 120.0
    """Of one attempt, from connecting to the last byte."""
    attempts: int = 4
    pause_s: float = 1.0
    """Before the second attempt; doubled before each further one. A server's Retry-After counts where it is longer."""

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        """All questions, at most `concurrency` at once; takes at most attempts x (deadline + 60 s) for each."""
        return asyncio.run(self._ask_all(questions))

    async def _ask_all(self, questions: Sequence[Question]) -> list[Reply]:
        headers = {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key}"}
        limits = httpx.Limits(max_connections=self.concurrency)
        free = asyncio.Semaphore(self.concurrency)
        async with httpx.AsyncClient(headers=headers, limits=limits, timeout=None) as client:

            async def one(question: Question) -> Reply:
                async with free:
                    begun = time.perf_counter()
                    words = await self._insist(client, question)
                    return Reply(words, time.perf_counter() - begun)

            return list(await asyncio.gather(*(one(question) for question in questions)))

    async def _insist(self, client: httpx.AsyncClient, question: Question) -> str | NoVerdict:
        """Try until there is an answer, or a fault that another attempt would not mend."""
        # Requests that were refused together should not come back together.
        jitter = random.Random(question.seed)
        trouble = _Trouble("not tried")
        for attempt in range(self.attempts):
            if attempt:
                pause = min(self.pause_s * 2 ** (attempt - 1) * (1 + jitter.random()), _LONGEST_PAUSE_S)
                await asyncio.sleep(max(pause, min(trouble.wait_s, _LONGEST_PAUSE_S)))
            answer = await self._attempt(client, question)
            if not isinstance(answer, _Trouble):
                return answer
            trouble = answer
            if not trouble.passing:
                return NoVerdict(Fault.UNREACHABLE, trouble.what)
        return NoVerdict(Fault.UNREACHABLE, f"{trouble.what}; {self.attempts} attempts")

    async def _attempt(self, client: httpx.AsyncClient, question: Question) -> str | NoVerdict | _Trouble:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": question.text}],
            "temperature": self.temperature,
            "max_tokens": self.max_new_tokens,
            "seed": question.seed,
        }
        url = f"{self.base_url.rstrip('/')}/chat/completions"
        try:
            async with asyncio.timeout(self.deadline_s), client.stream("POST", url, json=body) as response:
                content = await _bounded(response)
        except TimeoutError:
            return _Trouble(f"no answer within {self.deadline_s:g} s")
        except httpx.InvalidURL as error:
            return _Trouble(f"the address is none ({error})", passing=False)
        except httpx.HTTPError as error:
            return _Trouble(f"{type(error).__name__}: {error}")
        if response.status_code != 200:
            return _refusal(response, content)
        if len(content) > _LONGEST_REPLY:
            return _Trouble(f"the answer is longer than {_LONGEST_REPLY >> 20} MiB")
        return _words(content)


@dataclass(frozen=True, slots=True)
class _Trouble:
    """An attempt that failed."""

    what: str
    passing: bool = True
    """Whether another attempt may do better."""
    wait_s: float = 0.0
    """What the server asks for."""


async def _bounded(response: httpx.Response) -> bytes:
    """The body, read no further than just over the limit."""
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > _LONGEST_REPLY:
            break
    return bytes(content)


def _refusal(response: httpx.Response, content: bytes) -> _Trouble:
    status = response.status_code
    said = "" if status in _SECRETIVE else " ".join(content[:400].decode("utf-8", "replace").split())[:160]
    what = f"HTTP {status}{': ' if said else ''}{said}"
    wait = response.headers.get("Retry-After", "")
    return _Trouble(
        what, passing=status >= 500 or status in _TRY_AGAIN, wait_s=float(wait) if wait.isdecimal() else 0.0
    )


def _words(content: bytes) -> str | NoVerdict | _Trouble:
    """The text of the first choice of a chat completion."""
    try:
        answer: Any = json.loads(content)
        choice = answer["choices"][0]
        words, finish = choice["message"]["content"], choice.get("finish_reason")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        return _Trouble(f"the answer is no chat completion ({type(error).__name__}): {content[:80]!r}")
    if finish == "length":
        return NoVerdict(Fault.TRUNCATED, "the server says that the tokens ran out")
    if not isinstance(words, str) or finish not in ("stop", None):
        return NoVerdict(Fault.MISSING, f"the server sent no whole answer (finish_reason {finish!r:.40})")
    return words
