"""Weights broadcast over gloo from a partitioned learner of two ranks to two vLLM engines, as a recipe builds them."""

from contextlib import ExitStack
from itertools import pairwise

import numpy as np
import ray
from tiny_models import tiny_qwen2

from rl_reason.build import actors, parts
from rl_reason.cluster.actors import Part, Placement
from rl_reason.cluster.placement import Starting
from rl_reason.cluster.session import ray_session
from rl_reason.config.load import load_recipe
from rl_reason.stages.session import closed
from rl_reason.types import TrainingSequence

RECIPE = """
name: gloo
model: {{path: {model}}}
data: {{train: [{{kind: reasoning_gym, task: chain_sum, size: 8, seed: 1}}], max_prompt_tokens: 64}}
engine: {{count: 2, max_concurrent: 8, max_context_tokens: 128, dtype: float32, kv_cache_gib: 0.1}}
learner: {{ranks: 2, dtype: float32, zero_stage: 3, micro_batch_tokens: 256}}
sync: {{transport: gloo, gap_alarm_nats: 1e-4}}
rewards: {{verifiers: [{{name: exact}}]}}
cluster: {{actor_deadline_s: 120, call_deadline_s: 60}}
stages: [{{kind: rl, iterations: 3, prompts_per_iteration: 4, sampling: {{max_new_tokens: 16}},
           optimizer: {{learning_rate: 1e-2}}}}]
"""


def sequence(seed):
    random = np.random.default_rng(seed)
    mask = np.arange(20) >= 3
    return TrainingSequence(
        tokens=random.integers(2, 99, 20).astype(np.int32),
        loss_mask=mask,
        behaviour_logprobs=np.where(mask, -3.0, 0.0).astype(np.float32),
        advantage=float(random.normal()),
    )


def test_every_engine_has_the_learners_weights_after_every_update(tmp_path):
    tiny_qwen2(tied=True).save_pretrained(tmp_path / "model")
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(model=tmp_path / "model"))
    recipe = load_recipe(tmp_path / "recipe.yaml", [])
    (stage,) = recipe.stages
    with ExitStack() as resources:
        logs = resources.enter_context(ray_session())
        starting = Starting(start_deadline_s=120, call_deadline_s=60, logs=logs)
        model = tmp_path / "model"
        engines = [resources.enter_context(closed(e)) for e in actors.begin_engines(starting, recipe, model)]
        weights = actors.weights_file(recipe, tmp_path)
        learner = resources.enter_context(
            closed(actors.begin_rl_learner(starting, recipe, stage, model, weights=weights))
        )
        starting.wait()
        canary = list(range(3, 40))
        channel = parts.channel(recipe, learner, engines, canary)
        seen = []
        for version in range(3):
            metrics = channel.sync(version)
            assert metrics["policy/logprob_gap_max"] < 1e-4
            scores = [engine.score([canary])[0] for engine in engines]
            np.testing.assert_array_equal(scores[0], scores[1])
            seen.append(scores[0])
            learner.update([sequence(10 * version + i) for i in range(4)], step=version)
        assert not weights.exists()
    assert all(np.abs(one - other).max() > 0.05 for one, other in pairwise(seen))


def test_parts_that_share_a_gpu_get_the_same_one():
    def gpu_of(handle):
        return ray.get(handle.actor.__ray_call__.remote(lambda host: ray.get_gpu_ids()), timeout=30)

    # Ray believes in GPUs that it is told of; any object will do as a part.
    ray.init(num_gpus=2, include_dashboard=False, log_to_driver=False)
    try:
        starting = Starting(start_deadline_s=60, call_deadline_s=30, logs="")
        part = Part("builtins:dict")
        for _ in range(2):  # a later stage finds the GPUs that the first one reserved
            placements = [Placement(0.5, {}, bundle) for bundle in starting.shared_gpus(2)]
            engines = starting.begin_engines([part, part], placements)
            learner = starting.begin_learner(part, placements)
            starting.wait()
            of_engines = [gpu_of(engine.handle) for engine in engines]
            assert of_engines == [gpu_of(rank) for rank in learner.ranks]
            assert of_engines[0] != of_engines[1]
            for engine in engines:
                engine.close()
            learner.close()
    finally:
        ray.shutdown()
