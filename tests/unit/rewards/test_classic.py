"""The classic model in use, against transformers' own classifier; batches, lengths, hostile texts, wrong folders."""

import math

import pytest
import torch
from transformers import AutoModelForSequenceClassification, Qwen2Config, Qwen2ForSequenceClassification

from rl_reason.data.reward_input import TEMPLATE_FILE
from rl_reason.errors import DataError, VerifierError
from rl_reason.learner.scratch_model import build_byte_tokenizer
from rl_reason.rewards.classic import ClassicRewardModel
from rl_reason.types import Prompt, StopReason, Trajectory, Verdict

TEXTS = ["4", "five", "", "a much longer response that takes its time", "\x00\udcff<|end|>", "4"]


def responses(texts):
    return [Trajectory(Prompt("p", "2 + 2?", "4"), i, (), StopReason.STOP, text) for i, text in enumerate(texts)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("classic")
    torch.manual_seed(1)
    tokenizer = build_byte_tokenizer()
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.3,
    )
    Qwen2ForSequenceClassification(config).float().save_pretrained(path)
    tokenizer.save_pretrained(path)
    (path / TEMPLATE_FILE).write_text("{{question}}|{{reference}}|{{response}}?\n")
    return path


def load(folder, **settings):
    return ClassicRewardModel(name="m", model_path=folder, **({"threshold": 0.5, "batch_tokens": 100} | settings))


def test_rewards_are_the_probabilities_of_transformers_own_classifier(folder):
    plain = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    tokenizer = build_byte_tokenizer()
    scores = load(folder).score(responses(TEXTS[:4]))
    for text, score in zip(TEXTS, scores, strict=False):
        ids = tokenizer.encode(f"2 + 2?|4|{text}?", add_special_tokens=False)
        with torch.no_grad():
            logit = plain(input_ids=torch.tensor([ids])).logits[0, 0].item()
        assert score.reward == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-6)
        assert score.verdict is (Verdict.RIGHT if logit >= 0 else Verdict.WRONG)
        assert score.parts == {"m": score.reward} and score.reason == f"probability {score.reward:.3f}"
    assert len({round(score.reward, 4) for score in scores}) == 4


def test_on_cpu_a_score_depends_on_its_own_response_alone(folder):
    model = load(folder)
    together = model.score(responses(TEXTS))
    alone = [model.score([each])[0] for each in responses(TEXTS)]
    assert [score.reward for score in together] == [score.reward for score in alone]
    assert together[0].reward == together[5].reward


def test_packed_batches_give_the_same_but_for_rounding(folder):
    model = load(folder)
    alone = [score.reward for score in model.score(responses(TEXTS))]
    for tokens in (1, 40, 10_000):
        model._batch_tokens = tokens  # what a GPU would take
        assert [score.reward for score in model.score(responses(TEXTS))] == pytest.approx(alone, abs=1e-6)


def test_the_threshold_moves_the_verdict_and_not_the_reward(folder):
    (low,), (high,) = (load(folder, threshold=t).score(responses(["4"])) for t in (1e-9, 1 - 1e-9))
    assert (low.verdict, high.verdict) == (Verdict.RIGHT, Verdict.WRONG) and low.reward == high.reward


def test_what_is_too_long_is_unjudged_and_the_others_are_not(folder):
    long, short = load(folder).score(responses(["x" * 1_000_000, "4"]))
    assert (long.verdict, long.reward) == (Verdict.UNJUDGED, None)
    assert long.reason == "too long: the input has 1000010 tokens, the model reads 64"
    assert short.verdict is not Verdict.UNJUDGED
    assert load(folder).score([]) == []


def test_a_folder_that_is_no_reward_model_is_refused(folder, tmp_path):
    with pytest.raises(VerifierError, match="cannot load"):
        load(tmp_path)
    for path in folder.iterdir():
        if path.name != TEMPLATE_FILE:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match=f"has no {TEMPLATE_FILE}"):
        load(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=2, ignore_mismatched_sizes=True)
    model.save_pretrained(tmp_path)
    with pytest.raises(VerifierError, match="one label"):
        load(tmp_path)
