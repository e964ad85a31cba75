"""The plain engine against single forward passes: padding, cache, seeds, stops, weights."""

import numpy as np
import pytest
import torch
from tiny_models import logprobs_of, perturb, tiny_qwen2

from rl_reason.errors import RolloutError, SyncError
from rl_reason.policy.weight_file import write_weights
from rl_reason.rollout.transformers_engine import TransformersEngine
from rl_reason.types import Request, Sampling, StopReason, WeightUpdate

REQUESTS = [Request(f"r{i}", tuple(range(2 + i, 6 + 3 * i)), seed=50 + i) for i in range(5)]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["untied", "tied"])
def setting(request, tmp_path):
    model = tiny_qwen2(tied=request.param == "tied")
    model.save_pretrained(tmp_path / "model")
    engine = TransformersEngine(model_path=tmp_path / "model", max_context_tokens=64, max_concurrent=3)
    return engine, model, tmp_path


def run(engine, requests, sampling):
    return {c.request_id: c for completed in engine.generate(requests, sampling) for c in completed}


def gap(model, requests, completions, temperature=1.0):
    differences = []
    for request in requests:
        segment = completions[request.id].segment
        expected = logprobs_of(model, [*request.tokens, *segment.tokens.tolist()], temperature=temperature)
        differences.append(np.abs(expected[len(request.tokens) - 1 :] - segment.logprobs).max())
    return max(differences)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_batched_with_padding_and_cache_equals_single_passes(setting, temperature):
    engine, model, _ = setting
    completions = run(engine, REQUESTS, Sampling(temperature=temperature, max_new_tokens=20))
    assert {len(c.segment.tokens) for c in completions.values()} == {20}
    assert gap(model, REQUESTS, completions, temperature) < 1e-4


def test_rows_that_end_early_leave_the_others_right(setting):
    engine, model, _ = setting
    free = run(engine, REQUESTS, Sampling(max_new_tokens=20))
    stop = int(free["r1"].segment.tokens[4])
    stopped = run(engine, REQUESTS, Sampling(max_new_tokens=20, stop_token_ids=(stop,)))
    assert stopped["r1"].stop_reason is StopReason.STOP
    assert stopped["r1"].segment.tokens[-1] == stop
    assert gap(model, REQUESTS, stopped) < 1e-4
    for name, completion in stopped.items():
        tokens = free[name].segment.tokens.tolist()
        end = tokens.index(stop) + 1 if stop in tokens else 20
        assert completion.segment.tokens.tolist() == tokens[:end]


def test_a_response_depends_on_its_own_request_alone(setting):
    engine, _, _ = setting
    together = run(engine, REQUESTS, Sampling(max_new_tokens=10))
    alone = run(engine, [REQUESTS[4]], Sampling(max_new_tokens=10))
    assert together["r4"].segment.tokens.tolist() == alone["r4"].segment.tokens.tolist()


def test_the_context_ends_a_response_and_repetition_too(setting):
    engine, _, _ = setting
    cut = run(engine, [Request("long", (3,) * 60, 1)], Sampling(max_new_tokens=20))["long"]
    assert (cut.stop_reason, len(cut.segment.tokens)) == (StopReason.LENGTH, 4)
    with pytest.raises(RolloutError, match="'full'"):
        run(engine, [Request("full", (3,) * 64, 1)], Sampling())
    greedy = Sampling(temperature=0.0, max_new_tokens=58, repetition_stop=True)
    reasons = {c.stop_reason for c in run(engine, [Request(str(i), (i,), 0) for i in range(2, 32)], greedy).values()}
    assert StopReason.REPEATED in reasons


def test_score_and_new_weights(setting):
    engine, model, folder = setting
    before = engine.score([[5, 6, 7, 8]])[0]
    perturb(model, seed=3)
    written = write_weights(folder / "w", model.named_parameters())
    engine.load_weights(WeightUpdate(4, "disk", str(folder / "w"), *written))
    after = engine.score([[5, 6, 7, 8]])[0]
    np.testing.assert_allclose(after, logprobs_of(model, [5, 6, 7, 8]), atol=1e-5)
    assert np.abs(after - before).max() > 0.01
    assert run(engine, REQUESTS[:1], Sampling(max_new_tokens=2))["r0"].segment.version == 4


def test_weights_of_another_model_are_refused(setting):
    engine, model, folder = setting
    named = list(model.named_parameters())
    write_weights(folder / "less", named[:-1])
    with pytest.raises(SyncError, match="lacks 1"):
        engine.load_weights(WeightUpdate(1, "disk", str(folder / "less")))
    write_weights(folder / "other", [(named[0][0], named[0][1][:, :3])])
    with pytest.raises(SyncError, match="embed_tokens"):
        engine.load_weights(WeightUpdate(1, "disk", str(folder / "other")))
