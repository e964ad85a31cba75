"""Prompts to tokens and tokens to text: the only place that knows chat templates, end tokens and loss masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import numpy as np
from jinja2 import TemplateError

from rl_reason.errors import DataError
from rl_reason.types import Prompt, TrainingSequence

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN_TEMPLATE = "plain"
"""The `template` of base models: system text, then the prompt's text, after a start token if the tokenizer adds one."""


@dataclass(frozen=True)
class ChatRenderer:
    """Renders with one tokenizer. RL and supervised training use the same prompt tokens, so nothing drifts between.

    A response is the tokens after the rendered prompt, up to and including the end token; its text never holds the
    end token. `decode` keeps every other token as written, special ones too: a verifier sees what the model wrote.
    """

    tokenizer: PreTrainedTokenizerBase
    system: str = ""
    """A system message put before every prompt; empty for none."""
    template: str | None = None
    """Jinja text of a chat template; None for the tokenizer's own; `plain` for none."""
    response_prefix: str = ""
    """Text at the end of every prompt that begins the answer for the model, such as `<think>\\n`. Not in the loss."""
    extra_stop_token_ids: tuple[int, ...] = ()
    """Tokens beside the tokenizer's end token that end a response, such as those of generation_config.json."""
    stop_token_ids: tuple[int, ...] = field(init=False)
    """The tokenizer's end token first, then the extra ones."""
    _prefix_tokens: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the tokenizer.

        Raises:
            DataError: it has no end token, or there is no chat template to use.
        """
        end = self.tokenizer.eos_token_id
        if end is None:
            raise DataError("the tokenizer has no end token (eos_token); set one in its tokenizer_config.json")
        if self.template is None and not self.tokenizer.chat_template:
            raise DataError(
                "the tokenizer has no chat template; give one as Jinja text, or template: plain for a base model"
            )
        object.__setattr__(self, "stop_token_ids", tuple(dict.fromkeys([end, *self.extra_stop_token_ids])))
        object.__setattr__(self, "_prefix_tokens", tuple(self._encode(self.response_prefix)))

    def render(self, prompt: Prompt) -> Prompt:
        """The prompt with `tokens` filled in: template, generation header and response prefix.

        Raises:
            DataError: the template refuses the messages.
        """
        if self.template == PLAIN_TEMPLATE:
            tokens = self.tokenizer.encode(self.system + prompt.text)
        else:
            tokens = self._apply_template(prompt)
        return replace(prompt, tokens=(*tokens, *self._prefix_tokens))

    def render_all(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """`render`, in order.

        Raises:
            DataError: as `render`; or the template leaves the prompts out.
        """
        rendered = [self.render(prompt) for prompt in prompts]
        different_texts = len({prompt.text for prompt in prompts}) > 1
        if different_texts and len({prompt.tokens for prompt in rendered}) == 1:
            raise DataError(
                f"the chat template makes the same tokens of all {len(rendered)} prompts: it does not write the "
                "messages' content out; give another template (data.chat.template)"
            )
        return rendered

    def decode(self, tokens: Sequence[int]) -> str:
        """Response tokens -> text, without the end token if there is one."""
        return self.decode_batch([tokens])[0]

    def decode_batch(self, sequences: Sequence[Sequence[int]]) -> list[str]:
        """As `decode`, many at once: one call into the tokenizer."""
        if not sequences:
            return []
        return self.tokenizer.batch_decode(
            [self._without_end(sequence) for sequence in sequences],
            skip_special_tokens=False,
            clean_up_tokenization_spaces=False,
        )

    def training_sequence(self, prompt: Prompt, response: str) -> TrainingSequence:
        """A demonstration as tokens; the loss counts the response's tokens and the end token.

        A response that repeats the response prefix (as whole demonstrations do) loses it: the prompt has it already.
        """
        rendered = prompt if prompt.tokens else self.render(prompt)
        body = self._encode(response.removeprefix(self.response_prefix))
        head = np.asarray(rendered.tokens, dtype=np.int32)
        tail = np.asarray([*body, self.stop_token_ids[0]], dtype=np.int32)
        tokens = np.concatenate([head, tail])
        return TrainingSequence(
            tokens=tokens,
            loss_mask=np.arange(len(tokens)) >= max(len(head), 1),
            behaviour_logprobs=np.zeros(len(tokens), dtype=np.float32),
        )

    def _apply_template(self, prompt: Prompt) -> list[int]:
        messages = [{"role": "system", "content": self.system}] if self.system else []
        messages.append({"role": "user", "content": prompt.text})
        try:
            tokens = self.tokenizer.apply_chat_template(
                messages, chat_template=self.template, add_generation_prompt=True, tokenize=True, return_dict=False
            )
        except (TemplateError, TypeError) as error:  # TypeError: Jinja passes those of Python's operators on
            raise DataError(
                f"the chat template fails on {prompt.source or prompt.id}: {error}; "
                "give another template, or leave the system text out if the template allows none"
            ) from error
        return cast("list[int]", tokens)

    def _encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False) if text else []

    def _without_end(self, tokens: Sequence[int]) -> list[int]:
        ids = tokens.tolist() if isinstance(tokens, np.ndarray) else list(tokens)
        return ids[:-1] if ids and ids[-1] in self.stop_token_ids else ids
