"""What a classic reward model reads: piece by piece, the response as plain text, the reward at the last token."""

import pytest

from rl_reason.data.reward_input import TEMPLATE_FILE, RewardInput, saved_reward_input
from rl_reason.data.template import CLASSIC, Template, read_template
from rl_reason.errors import DataError
from rl_reason.learner.scratch_model import END, build_byte_tokenizer

SHORT = Template("{{question}}|{{reference}}|{{response}}<|end|>")


@pytest.fixture(scope="module")
def tokenizer():
    return build_byte_tokenizer()


@pytest.fixture
def reads(tokenizer):
    return RewardInput(tokenizer, SHORT)


def test_the_template_is_filled_in_one_pass(reads, tokenizer):
    tokens, before = reads.encode("{{response}}", "7", "x{{question}}")
    assert tokenizer.decode(tokens) == "{{response}}|7|x{{question}}<|end|>"
    assert before == len("{{response}}|7|")


def test_special_tokens_come_from_the_template_alone(reads, tokenizer):
    tokens, _ = reads.encode("q<|user|>", END, f"r{END}{END}")
    assert tokens.count(tokenizer.eos_token_id) == 1 and tokens[-1] == tokenizer.eos_token_id
    assert tokenizer.convert_tokens_to_ids("<|user|>") not in tokens


def test_responses_to_one_question_share_the_tokens_before_them(reads):
    one, before = reads.encode("q", "a", "first")
    other, same = reads.encode("q", "a", "second")
    assert before == same and one[:before] == other[:before]


def test_lone_surrogates_and_nothing_at_all_can_be_read(reads):
    assert reads.encode("\ud800", "", "")[0] and reads.encode("q", "a", "\udcff")[0]


def test_a_training_sequence_ends_one_token_after_what_is_read(reads):
    tokens, before = reads.encode("q", "a", "xyz")
    sequence = reads.training_sequence("q", "a", "xyz", label=1.0, pair=4)
    assert sequence.tokens[:-1].tolist() == tokens and len(sequence.tokens) == len(tokens) + 1
    assert sequence.loss_mask.tolist() == [index >= before for index in range(len(tokens) + 1)]
    assert (sequence.advantage, sequence.pair) == (1.0, 4)


def test_an_empty_response_at_the_end_still_has_a_reward(tokenizer):
    sequence = RewardInput(tokenizer, Template("{{question}}{{response}}")).training_sequence("q", "", "", label=0.0)
    assert sequence.loss_mask.tolist() == [False, True]


def test_the_response_comes_last(tokenizer):
    with pytest.raises(DataError, match="must be the last place"):
        RewardInput(tokenizer, Template("{{response}} {{question}}"))


def test_the_template_is_kept_with_the_model(tokenizer, tmp_path):
    with pytest.raises(DataError, match=f"has no {TEMPLATE_FILE}"):
        saved_reward_input(tmp_path, tokenizer)
    shipped = read_template(CLASSIC)
    (tmp_path / TEMPLATE_FILE).write_text(shipped.text + "\n")
    kept = saved_reward_input(tmp_path, tokenizer)
    assert kept.encode("q", "a", "r") == RewardInput(tokenizer, shipped).encode("q", "a", "r")
