import numpy as np
import pytest
from tokenizers.processors import TemplateProcessing

from rl_reason.data.render import ChatRenderer
from rl_reason.errors import DataError
from rl_reason.learner.scratch_model import build_byte_tokenizer
from rl_reason.types import Prompt

PROMPT = Prompt("a", "1+1=", "2", source="f:1")


@pytest.fixture(scope="module")
def tokenizer():
    return build_byte_tokenizer(words=("1+1=",))


def names(tokenizer, tokens):
    return tokenizer.convert_ids_to_tokens(list(tokens))


def test_a_prompt_is_the_template_the_generation_header_and_the_prefix(tokenizer):
    rendered = ChatRenderer(tokenizer, system="Go", response_prefix="<think>").render(PROMPT)
    assert names(tokenizer, rendered.tokens) == [
        "<|system|>", "G", "o", "<|user|>", "1+1=", "<|assistant|>", "<think>",
    ]  # fmt: skip
    assert (rendered.id, rendered.text, rendered.answer) == ("a", "1+1=", "2")


def test_own_template_and_plain_text(tokenizer):
    template = "{{ messages[0]['content'] }}!{% if add_generation_prompt %}?{% endif %}"
    assert names(tokenizer, ChatRenderer(tokenizer, template=template).render(PROMPT).tokens) == ["1+1=", "!", "?"]
    plain = ChatRenderer(tokenizer, system="S:", template="plain").render(PROMPT)
    assert names(tokenizer, plain.tokens) == ["S", ":", "1+1="]


def test_training_sequence_is_the_rl_prompt_then_the_response_then_the_end_token(tokenizer):
    renderer = ChatRenderer(tokenizer)
    sequence = renderer.training_sequence(PROMPT, "<think>ok</think>2")
    rendered = renderer.render(PROMPT)
    assert tuple(sequence.tokens[: len(rendered.tokens)]) == rendered.tokens
    response = sequence.tokens[len(rendered.tokens) :]
    assert names(tokenizer, response) == ["<think>", "o", "k", "</think>", "2", "<|end|>"]
    assert sequence.loss_mask.tolist() == [False] * 3 + [True] * 6
    assert sequence.behaviour_logprobs.tolist() == [0.0] * 9
    assert (sequence.tokens.dtype, sequence.loss_mask.dtype) == (np.int32, np.bool_)
    assert renderer.decode(response) == "<think>ok</think>2"


def test_a_demonstration_that_repeats_the_prefix_gives_the_same_sequence(tokenizer):
    renderer = ChatRenderer(tokenizer, response_prefix="<think>")
    whole = renderer.training_sequence(PROMPT, "<think>ok</think>2")
    rest = renderer.training_sequence(PROMPT, "ok</think>2")
    assert whole.tokens.tolist() == rest.tokens.tolist()
    assert names(tokenizer, whole.tokens[whole.loss_mask]) == ["o", "k", "</think>", "2", "<|end|>"]


def test_decoding_drops_one_end_token_and_nothing_else(tokenizer):
    renderer = ChatRenderer(tokenizer)
    end = tokenizer.eos_token_id
    user = tokenizer.convert_tokens_to_ids("<|user|>")
    hello = tokenizer.encode("hé <b>", add_special_tokens=False)
    sequences = [[*hello, end], hello, [], [end], [*hello, user, end], [*hello, end, end]]
    expected = ["hé <b>", "hé <b>", "", "", "hé <b><|user|>", "hé <b><|end|>"]
    assert renderer.decode_batch(sequences) == expected
    assert renderer.decode_batch([np.array(sequence, np.int32) for sequence in sequences]) == expected
    assert renderer.decode_batch([]) == []
    assert [renderer.decode(sequence) for sequence in sequences] == expected


def test_extra_stop_tokens_come_after_the_end_token_and_are_removed_too(tokenizer):
    end, user = tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|user|>")
    renderer = ChatRenderer(tokenizer, extra_stop_token_ids=(user, end))
    assert renderer.stop_token_ids == (end, user)
    assert renderer.decode([*tokenizer.encode("x"), user]) == "x"


def test_a_template_that_strips_thinking_from_past_turns_leaves_it_in_the_loss(tokenizer):
    template = (
        "{% for m in messages %}<|{{ m['role'] }}|>"
        "{{ m['content'].split('</think>')[-1] if m['role'] == 'assistant' else m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    sequence = ChatRenderer(tokenizer, template=template).training_sequence(PROMPT, "<think>ok</think>2")
    assert names(tokenizer, sequence.tokens[sequence.loss_mask]) == ["<think>", "o", "k", "</think>", "2", "<|end|>"]


def test_a_template_without_a_generation_header_ends_where_the_user_does(tokenizer):
    template = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
    renderer = ChatRenderer(tokenizer, template=template, response_prefix="<|assistant|>")
    assert names(tokenizer, renderer.render(PROMPT).tokens) == ["<|user|>", "1+1=", "<|assistant|>"]
    sequence = renderer.training_sequence(PROMPT, "2")
    assert sequence.loss_mask.tolist() == [False, False, False, True, True]


def test_the_start_token_comes_once():
    twice = build_byte_tokenizer()
    twice.add_special_tokens({"bos_token": "<|begin|>"})
    twice._tokenizer.post_processor = TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", twice.bos_token_id)]
    )
    assert names(twice, twice.encode("2")) == ["<|begin|>", "2"]
    template = "{{ bos_token }}{{ messages[0]['content'] }}"
    renderer = ChatRenderer(twice, template=template)
    assert names(twice, renderer.render(PROMPT).tokens) == ["<|begin|>", "1", "+", "1", "="]
    whole = ["<|begin|>", "1", "+", "1", "=", "2", "<|end|>"]
    assert names(twice, renderer.training_sequence(PROMPT, "2").tokens) == whole
    plain = ChatRenderer(twice, template="plain")
    assert names(twice, plain.render(PROMPT).tokens) == ["<|begin|>", "1", "+", "1", "="]


def test_a_template_that_leaves_the_prompt_out_is_refused(tokenizer):
    renderer = ChatRenderer(tokenizer, template="hello{% if add_generation_prompt %}?{% endif %}")
    other = Prompt("b", "2+2=", "4")
    with pytest.raises(DataError, match="same tokens of all 2 prompts"):
        renderer.render_all([PROMPT, other])
    # The same text twice, with other answers, is the data's affair.
    assert len(renderer.render_all([PROMPT, Prompt("c", "1+1=", "3")])) == 2


def test_a_template_with_a_type_error_is_refused(tokenizer):
    with pytest.raises(DataError, match=r"fails on f:1: can only concatenate"):
        ChatRenderer(tokenizer, template="{{ messages + 1 }}").render(PROMPT)


def test_unusable_tokenizers_and_templates_are_refused():
    bare = build_byte_tokenizer()
    bare.chat_template = None
    with pytest.raises(DataError, match="no chat template"):
        ChatRenderer(bare)
    assert ChatRenderer(bare, template="plain").render(PROMPT).tokens
    with pytest.raises(DataError, match=r"fails on f:1: no system"):
        ChatRenderer(bare, template="{{ raise_exception('no system') }}").render(PROMPT)
    bare.eos_token = None
    with pytest.raises(DataError, match="no end token"):
        ChatRenderer(bare, template="plain")
