"""Which parts a recipe's engines and learner are built from, and where they go: no actor is started."""

from pathlib import Path

import pytest

from rl_reason.build import actors
from rl_reason.cluster.actors import Part, Placement
from rl_reason.config.load import load_recipe

ROOT = Path(__file__).resolve().parents[3]
GPU = ["cluster.device=gpu", "engine.dtype=bfloat16", "learner.dtype=bfloat16", "learner.zero_stage=1"]


class Recorded:
    """Stands in for `Starting`."""

    waited_before_learner = False

    def wait(self):
        self.waited_before_learner = not hasattr(self, "learner")

    def begin_engines(self, parts, placements):
        self.engines = list(zip(parts, placements, strict=True))
        return []

    def begin_learner(self, part, placements, *, partitioned):
        self.learner = (part, placements)
        self.partitioned = partitioned

    def shared_gpus(self, count):
        return [("group", index) for index in range(count)]


def begun(*settings):
    recipe = load_recipe(ROOT / "recipes" / "quickstart.yaml", list(settings))
    recorded = Recorded()
    actors.begin_engines(recorded, recipe, Path("model"))
    stage = next(stage for stage in recipe.stages if stage.kind == "rl")
    actors.begin_rl_learner(recorded, recipe, stage, Path("model"), weights=Path("weights"))
    return recipe, recorded


@pytest.mark.parametrize("transport", ["shared_memory", "disk"])
def test_files_are_written_by_the_learner_and_engines_are_told_the_same_transport(transport):
    _, recorded = begun(f"sync.transport={transport}")
    publisher = recorded.learner[0].arguments["publisher"]
    assert publisher == Part(
        "rl_reason.policy.weight_file:FilePublisher", {"path": Path("weights"), "transport": transport}
    )
    assert [part.arguments["transport"] for part, _ in recorded.engines] == [transport] * 2


def test_broadcasts_number_the_workers_of_all_engines_after_the_learner():
    recipe, recorded = begun(
        *GPU, "sync.transport=nccl", "engine.count=3", "engine.tensor_parallel=2", "cluster.call_deadline_s=77"
    )
    assert recorded.learner[0].arguments["publisher"] == Part(
        "rl_reason.rollout.vllm_sender:BroadcastSender",
        {"transport": "nccl", "engine_workers": 6, "timeout_s": 77.0},
    )
    assert [part.arguments["transfer_rank_offset"] for part, _ in recorded.engines] == [1, 3, 5]
    assert [placement.gpus for _, placement in recorded.engines] == [2, 2, 2]
    assert [placement.gpus for placement in recorded.learner[1]] == [1, 1]
    assert actors.gpus_needed(recipe) == 3 * 2 + 2


def test_with_cuda_ipc_each_engine_lies_on_its_learner_ranks_gpu():
    recipe, recorded = begun(*GPU, "sync.transport=cuda_ipc", "engine.gpu_memory_fraction=0.4")
    publisher = recorded.learner[0].arguments["publisher"]
    assert publisher == Part("rl_reason.rollout.vllm_sender:CudaIpcSender", {"handles_path": Path("weights")})
    where = [(placement.gpus, placement.bundle) for _, placement in recorded.engines]
    assert where == [(0.5, ("group", 0)), (0.5, ("group", 1))]
    assert [(placement.gpus, placement.bundle) for placement in recorded.learner[1]] == where
    assert actors.gpus_needed(recipe) == 2
    assert recorded.waited_before_learner, "vLLM measures free memory as it starts, the learner may not load meanwhile"


def test_on_cpu_nothing_asks_for_a_gpu():
    recipe, recorded = begun("sync.transport=gloo")
    placements = [placement for _, placement in recorded.engines] + recorded.learner[1]
    assert all(isinstance(p, Placement) and p.gpus == 0 and p.bundle is None for p in placements)
    assert [part.arguments["transfer_rank_offset"] for part, _ in recorded.engines] == [1, 2]
    assert actors.gpus_needed(recipe) == 0
    assert not recorded.waited_before_learner


def test_parts_inside_a_part_are_built_with_it():
    inner = Part("collections:Counter", {"a": 2})
    assert Part("builtins:dict", {"counted": inner, "plain": 1}).build() == {"counted": {"a": 2}, "plain": 1}


@pytest.mark.parametrize(("stage", "partitioned"), [(0, False), (2, False), (3, True)])
def test_only_partitioned_weights_need_all_ranks_for_a_forward_pass(stage, partitioned):
    _, recorded = begun(f"learner.zero_stage={stage}")
    assert recorded.partitioned is partitioned
