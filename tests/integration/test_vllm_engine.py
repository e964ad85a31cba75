"""The vLLM engine against transformers' forward pass: log-probs, seeds, stops, and weights that really change."""

import numpy as np
import pytest
import torch
from tiny_models import VOCABULARY, log_distributions, logprobs_of, perturb, tiny_qwen2
from vllm_process import VllmProcess

from rl_reason.errors import RolloutError, SyncError
from rl_reason.policy.weight_file import write_weights
from rl_reason.types import Request, Sampling, StopReason, WeightUpdate

GAP_NATS = 1e-4
REQUESTS = [Request(f"r{i}", tuple(range(2 + i, 9 + 2 * i)), seed=1000 + i) for i in range(6)]
SAMPLING = Sampling(max_new_tokens=40)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Tiny products only wait for each other on two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def process():
    process = VllmProcess()
    yield process
    process.stop()


@pytest.fixture(scope="module", params=["untied", "tied"])
def engine(request, process, tmp_path_factory):
    """(generate, call, model): a fresh engine and the transformers model with its weights."""
    folder = tmp_path_factory.mktemp(request.param)
    model = tiny_qwen2(tied=request.param == "tied")
    model.save_pretrained(folder)
    process.start(
        request.param, model_path=folder, max_context_tokens=160, max_concurrent=128, kv_cache_gib=0.05, threads=1
    )
    yield Hosted(process, request.param, model, folder)
    process.call(request.param, "close")


class Hosted:
    def __init__(self, process, name, model, folder):
        self.process, self.name, self.model, self.folder, self.version = process, name, model, folder, 0

    def generate(self, requests, sampling=SAMPLING):
        return self.process.generate(self.name, requests, sampling)

    def score(self, sequences):
        return self.process.call(self.name, "score", sequences)

    def load(self, seed):
        """Change the weights on both sides."""
        perturb(self.model, seed=seed)
        self.version += 1
        path = self.folder / "update.safetensors"
        written = write_weights(path, self.model.named_parameters())
        self.process.call(self.name, "load_weights", WeightUpdate(self.version, "disk", str(path), *written))


def whole(request, completion):
    return [*request.tokens, *completion.segment.tokens.tolist()]


def gap(model, completions, requests=REQUESTS, temperature=1.0):
    """Largest difference of a generated token's log-prob."""
    differences = []
    for request in requests:
        segment = completions[request.id].segment
        expected = logprobs_of(model, whole(request, completions[request.id]), temperature=temperature)
        differences.append(np.abs(expected[len(request.tokens) - 1 :] - segment.logprobs).max())
    return max(differences)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_logprobs_of_generated_tokens_are_those_of_the_tempered_full_distribution(engine, temperature):
    completions = engine.generate(REQUESTS, Sampling(temperature=temperature, max_new_tokens=40))
    assert {len(c.segment.tokens) for c in completions.values()} == {40}
    assert gap(engine.model, completions, temperature=temperature) < GAP_NATS


def test_greedy_takes_the_likeliest_token_and_gives_its_logprob_at_temperature_1(engine):
    completions = engine.generate(REQUESTS[:2], Sampling(temperature=0.0, max_new_tokens=10))
    assert gap(engine.model, completions, REQUESTS[:2]) < GAP_NATS
    for request in REQUESTS[:2]:
        tokens = whole(request, completions[request.id])
        scores = log_distributions(engine.model, tokens)[len(request.tokens) - 1 : -1]
        chosen = scores[range(10), tokens[-10:]]
        assert (chosen >= scores.max(axis=1) - 1e-5).all()


def test_score_is_transformers_forward_pass(engine):
    sequences = [[5, 6], list(range(3, 60)), [7] * 150]
    scored = engine.score(sequences)
    for seen, sequence in zip(scored, sequences, strict=True):
        np.testing.assert_allclose(seen, logprobs_of(engine.model, sequence), atol=GAP_NATS)


def test_new_weights_arrive_and_the_version_with_them(engine):
    before = engine.generate(REQUESTS)
    scored_before = engine.score([list(range(3, 40))])[0]
    for seed in (7, 8):  # twice: a reload must leave the model ready for the next
        engine.load(seed)
        after = engine.generate(REQUESTS)
        assert gap(engine.model, after) < GAP_NATS
        assert gap(engine.model, before) > 0.05
        scored = engine.score([list(range(3, 40))])[0]
        np.testing.assert_allclose(scored, logprobs_of(engine.model, range(3, 40)), atol=GAP_NATS)
        assert np.abs(scored - scored_before).max() > 0.05
        assert {c.segment.version for c in after.values()} == {engine.version}


def test_the_same_requests_give_the_same_bits_whatever_came_between(engine):
    first = engine.generate(REQUESTS)
    engine.generate(REQUESTS[3:], Sampling(temperature=0.5, max_new_tokens=20))
    engine.score([[3, 4, 5]])
    again = engine.generate(REQUESTS)
    for request in REQUESTS:
        np.testing.assert_array_equal(first[request.id].segment.tokens, again[request.id].segment.tokens)
        np.testing.assert_array_equal(first[request.id].segment.logprobs, again[request.id].segment.logprobs)


def test_a_response_depends_on_its_own_request_alone(engine):
    together = engine.generate(REQUESTS)
    alone = engine.generate([REQUESTS[4]])
    np.testing.assert_array_equal(together["r4"].segment.tokens, alone["r4"].segment.tokens)
    same_prompt = [Request("a", REQUESTS[0].tokens, 1), Request("b", REQUESTS[0].tokens, 2)]
    pair = engine.generate(same_prompt)
    assert pair["a"].segment.tokens.tolist() != pair["b"].segment.tokens.tolist()


def test_a_continued_response_is_the_uninterrupted_one(engine):
    request = REQUESTS[2]
    uninterrupted = engine.generate([request])["r2"].segment.tokens.tolist()
    part = engine.generate([request], Sampling(max_new_tokens=15))["r2"].segment.tokens.tolist()
    rest = engine.generate([Request("r2", (*request.tokens, *part), request.seed)], Sampling(max_new_tokens=25))
    assert part + rest["r2"].segment.tokens.tolist() == uninterrupted


def test_sampled_tokens_follow_the_distribution(engine):
    prompt = (4, 5, 6)
    requests = [Request(str(seed), prompt, seed) for seed in range(2000)]
    completions = engine.generate(requests, Sampling(temperature=1.5, max_new_tokens=1))
    counts = np.bincount([int(c.segment.tokens[0]) for c in completions.values()], minlength=VOCABULARY)
    expected = 2000 * np.exp(log_distributions(engine.model, prompt, temperature=1.5)[-1])
    common = expected > 5
    statistic = ((counts - expected) ** 2 / expected)[common].sum()
    freedom = common.sum() - 1
    assert common.sum() > 10
    assert statistic < freedom + 5 * np.sqrt(2 * freedom)


def test_stop_reasons(engine):
    free = engine.generate([REQUESTS[1]])["r1"]
    assert free.stop_reason is StopReason.LENGTH
    stop = int(free.segment.tokens[9])
    first = free.segment.tokens.tolist().index(stop)
    stopped = engine.generate([REQUESTS[1]], Sampling(max_new_tokens=40, stop_token_ids=(stop,)))["r1"]
    assert stopped.stop_reason is StopReason.STOP
    assert stopped.segment.tokens.tolist() == free.segment.tokens[: first + 1].tolist()
    assert len(stopped.segment.logprobs) == first + 1
    long_prompt = Request("long", tuple([3] * 150), 5)
    cut = engine.generate([long_prompt])["long"]
    assert (cut.stop_reason, len(cut.segment.tokens)) == (StopReason.LENGTH, 10)


def test_a_repeating_response_is_ended_and_marked(engine):
    greedy = Sampling(temperature=0.0, max_new_tokens=140, repetition_stop=True)
    ended = engine.generate([Request(str(i), (i, i, i), 0) for i in range(2, 40)], greedy)
    repeated = [c.segment.tokens.tolist() for c in ended.values() if c.stop_reason is StopReason.REPEATED]
    assert repeated, "no greedy response of 38 ran into a loop: choose other prompts"
    for tokens in repeated:
        assert any(tokens[-8 * size :] == tokens[-size:] * 8 for size in range(1, 18))


def test_a_refused_request_is_named_and_leaves_the_engine_usable(engine):
    with pytest.raises(RolloutError, match="'too long'"):
        engine.generate([REQUESTS[0], Request("too long", tuple([3] * 160), 0)])
    with pytest.raises(RolloutError, match="1 tokens"):
        engine.score([[3]])
    assert engine.generate(REQUESTS[:1])["r0"].stop_reason is StopReason.LENGTH


def test_a_missing_file_or_another_transport_is_refused_and_the_old_weights_stay(engine):
    with pytest.raises(SyncError, match=r"gone\.safetensors"):
        engine.process.call(engine.name, "load_weights", WeightUpdate(99, "disk", "/gone.safetensors"))
    with pytest.raises(RolloutError, match="nccl"):
        engine.process.call(engine.name, "load_weights", WeightUpdate(99, "nccl", "tcp://a:1?world_size=2"))
    assert gap(engine.model, engine.generate(REQUESTS)) < GAP_NATS
    engine.load(11)
    assert gap(engine.model, engine.generate(REQUESTS)) < GAP_NATS
