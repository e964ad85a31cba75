"""Rules about values against each other: what contradicts what, and what to do about it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rl_reason.config.curation_rules import broken_curation_rules
from rl_reason.config.document import Location, Problem, show
from rl_reason.config.merging_rules import broken_merging_rules
from rl_reason.config.reward_rules import broken_reward_rules
from rl_reason.config.schema.curation import GenerateTests
from rl_reason.config.schema.data import DatasetsSource, FileSource, ReasoningGymSource, Source
from rl_reason.config.schema.evolution import Evolve
from rl_reason.config.schema.merging import Merge
from rl_reason.config.schema.recipe import Recipe
from rl_reason.config.schema.stages import Eval, JsonlTraces, Rl, Sampling, Sft

DEEPSPEED_OWNED = {
    "train_batch_size": "stages.rl.prompts_per_iteration and responses_per_prompt, or stages.sft.batch_sequences",
    "train_micro_batch_size_per_gpu": "learner.micro_batch_tokens",
    "gradient_accumulation_steps": "learner.micro_batch_tokens and stages.rl.gradient_steps_per_iteration",
    "optimizer": "the stage's optimizer",
    "scheduler": "the stage's optimizer.schedule and optimizer.warmup_fraction",
    "managed_gradient_accumulation": "learner.micro_batch_tokens",
    "gradient_clipping": "learner.gradient_clip",
    "fp16": "learner.dtype (float16 is not supported)",
    "bf16": "learner.dtype",
}
"""DeepSpeed's keys that the recipe has keys of its own for, and which; transformers' "auto" is let through."""
DEEPSPEED_OWNED_ZERO = {"stage": "learner.zero_stage", "offload_optimizer": "learner.offload_optimizer"}
"""The same inside `zero_optimization`."""

MOST_OF_A_SHARED_GPU = 0.7
"""Share of a GPU that an engine may take where a learner rank must live beside it."""


DEEPSPEED_KEYS = [
    "activation_checkpointing",
    "aio",
    "autotuning",
    "checkpoint",
    "comms_logger",
    "communication_data_type",
    "compile",
    "csv_monitor",
    "data_efficiency",
    "data_types",
    "elasticity",
    "flops_profiler",
    "gradient_predivide_factor",
    "hybrid_engine",
    "memory_breakdown",
    "pipeline",
    "prescale_gradients",
    "progressive_layer_drop",
    "sparse_gradients",
    "steps_per_print",
    "tensor_parallel",
    "tensorboard",
    "timers",
    "torch_autocast",
    "wall_clock_breakdown",
    "zenflow",
    "zero_allow_untested_optimizer",
    "zero_force_ds_cpu_optimizer",
    "zero_optimization",
]
"""DeepSpeed's other top-level keys. It passes over what it does not know, so a word that resembles one is refused."""


def broken_rules(recipe: Recipe) -> Iterator[Problem]:
    """Every contradiction in a recipe whose single values are all right."""
    yield from _model(recipe)
    yield from _lengths(recipe)
    yield from _sources(recipe)
    yield from _learner(recipe)
    yield from _sync(recipe)
    yield from _rewards(recipe)
    yield from _stage_list(recipe)
    for index, stage in enumerate(recipe.stages):
        here = ("stages", index)
        if isinstance(stage, Sft):
            yield from _sft(stage, here)
        elif isinstance(stage, Rl):
            yield from _rl(stage, here, recipe)
        elif isinstance(stage, Eval):
            yield from _eval(stage, here, recipe)
        elif isinstance(stage, Evolve):
            yield from _evolve(stage, here, recipe)
        elif isinstance(stage, GenerateTests) and stage.attempts:
            yield from _full_distribution(stage.sampling, here, "engines draw from the whole distribution")
    yield from broken_reward_rules(recipe)
    yield from broken_curation_rules(recipe)
    yield from broken_merging_rules(recipe)


def looks_local(name: str) -> bool:
    """Whether a model or data set is meant as a path and not as a name on the hub."""
    return name.startswith((".", "/", "~"))


def needs_no_model(recipe: Recipe) -> bool:
    """Whether no stage of the recipe computes with the recipe's model."""
    return all(
        isinstance(stage, Merge) or (isinstance(stage, GenerateTests) and not stage.attempts) for stage in recipe.stages
    )


def _model(recipe: Recipe) -> Iterator[Problem]:
    path, scratch = recipe.model.path, recipe.model.scratch
    at: Location = ("model",)
    if path is None and scratch is None and not needs_no_model(recipe):
        yield Problem(at, "", "give model.path (a folder or a name on the hub) or model.scratch (a small new model).")
    if path is not None and scratch is not None:
        message = "model.path and model.scratch exclude each other: remove one, or set it to null where a base has it."
        yield Problem((*at, "path"), show(path), message, involves=((*at, "scratch"),))
    if path is not None and looks_local(path) and not Path(path).is_dir():
        yield Problem((*at, "path"), show(path), "no such folder. Names on the hub do not begin with . / or ~")
    if scratch is None:
        return
    inside = (*at, "scratch")
    for name, size, by in (("hidden_size", scratch.hidden_size, "heads"), ("heads", scratch.heads, "kv_heads")):
        parts = scratch.heads if by == "heads" else scratch.kv_heads
        if size % parts:
            nearest = max(round(size / parts), 1) * parts
            message = f"must be a multiple of {by}, {parts}: {nearest} would do."
            yield Problem((*inside, name), str(size), message, involves=((*inside, by),))


def _lengths(recipe: Recipe) -> Iterator[Problem]:
    at: Location = ("engine", "max_context_tokens")
    context = recipe.engine.max_context_tokens
    scratch = recipe.model.scratch
    if scratch is not None and context > scratch.max_position_embeddings:
        limit = scratch.max_position_embeddings
        message = (
            f"longer than the model's own limit, model.scratch.max_position_embeddings = {limit}: lower it to that."
        )
        yield Problem(at, str(context), message, involves=(("model", "scratch", "max_position_embeddings"),))
    if recipe.model.path is not None:
        yield from _context_of_folder(Path(recipe.model.path) / "config.json", context, at)
    if recipe.sync.canary_tokens > context:
        message = f"more than engine.max_context_tokens = {context}: lower it."
        yield Problem(("sync", "canary_tokens"), str(recipe.sync.canary_tokens), message, involves=(at,))
    for index, stage in enumerate(recipe.stages):
        if not isinstance(stage, Rl | Eval | Evolve):
            continue
        new, prompt = stage.sampling.max_new_tokens, recipe.data.max_prompt_tokens
        if prompt + new > context:
            where = ("stages", index, "sampling", "max_new_tokens")
            room = context - prompt
            fix = f"lower it to {room}" if room > 0 else "lower data.max_prompt_tokens first"
            message = (
                f"with data.max_prompt_tokens = {prompt} that is {prompt + new} tokens, and engine.max_context_tokens "
                f"is {context}: {fix}, or raise the context."
            )
            yield Problem(where, str(new), message, involves=(at, ("data", "max_prompt_tokens")))


def _context_of_folder(config: Path, context: int, at: Location) -> Iterator[Problem]:
    if not config.is_file():
        return
    try:
        told: Any = json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        yield Problem(("model", "path"), show(str(config.parent)), f"its config.json is not JSON ({error}).")
        return
    text = told.get("text_config", told) if isinstance(told, dict) else {}
    limit = text.get("max_position_embeddings")
    if isinstance(limit, int) and context > limit:
        message = f"longer than the model's own limit, max_position_embeddings = {limit} in {config}: lower it to that."
        yield Problem(at, str(context), message, involves=(("model", "path"),))


def _sources(recipe: Recipe) -> Iterator[Problem]:
    train = {_identity(source): index for index, source in reversed(list(enumerate(recipe.data.train)))}
    for part, sources in (("train", recipe.data.train), ("heldout", recipe.data.heldout)):
        for index, source in enumerate(sources):
            here: Location = ("data", part, index)
            yield from _exists(source, here)
            if part == "heldout" and _identity(source) in train:
                other: Location = ("data", "train", train[_identity(source)])
                message = (
                    f"the same problems as data.train.{other[-1]}, so the held-out accuracy would mean nothing: take "
                    "another file, split or seed."
                )
                yield Problem(here, "", message, involves=(other,))


def _identity(source: Source) -> str:
    """Equal for sources that give the same problems (or the first ones of the same)."""
    match source:
        case FileSource():
            return json.dumps([source.kind, str(Path(source.path).resolve())])
        case DatasetsSource():
            return json.dumps([source.kind, source.name, source.split, source.subset])
        case ReasoningGymSource():
            return json.dumps([source.kind, source.task, source.seed, source.options], sort_keys=True)


def _exists(source: Source, here: Location) -> Iterator[Problem]:
    if isinstance(source, FileSource) and not Path(source.path).is_file():
        message = "no such file. Relative paths begin at the folder of the recipe that has them."
        yield Problem((*here, "path"), show(source.path), message)
    if isinstance(source, DatasetsSource) and looks_local(source.name) and not Path(source.name).exists():
        yield Problem((*here, "name"), show(source.name), "no such path. Names on the hub do not begin with . / or ~")


def _learner(recipe: Recipe) -> Iterator[Problem]:
    learner = recipe.learner
    if learner.dtype == "bfloat16" and learner.zero_stage == 0:
        message = (
            "bfloat16 needs float32 master weights, which DeepSpeed keeps from ZeRO stage 1 on: set zero_stage to 1."
        )
        yield Problem(("learner", "zero_stage"), "0", message, involves=(("learner", "dtype"),))
    if learner.offload_optimizer and learner.zero_stage == 0:
        message = "DeepSpeed offloads the optimizer from ZeRO stage 1 on: set learner.zero_stage to 1, 2 or 3."
        yield Problem(("learner", "offload_optimizer"), "true", message, involves=(("learner", "zero_stage"),))
    pasted, zero = learner.deepspeed, learner.deepspeed.get("zero_optimization")
    owned = [(("learner", "deepspeed", key), pasted.get(key), ours) for key, ours in DEEPSPEED_OWNED.items()]
    if isinstance(zero, dict):
        inside: Location = ("learner", "deepspeed", "zero_optimization")
        owned += [((*inside, key), zero.get(key), ours) for key, ours in DEEPSPEED_OWNED_ZERO.items()]
    for where, value, ours in owned:
        if value not in (None, "auto"):
            yield Problem(where, show(value), f"the recipe owns this: remove it here and set {ours}.")
    known = [*DEEPSPEED_KEYS, *DEEPSPEED_OWNED]
    for key in pasted.keys() - set(known):
        if close := difflib.get_close_matches(key, known, n=1, cutoff=0.85):
            message = f"DeepSpeed has no such key and would pass over it. Did you mean {close[0]}?"
            yield Problem(("learner", "deepspeed", key), show(pasted[key]), message)


def _sync(recipe: Recipe) -> Iterator[Problem]:
    engine, transport = recipe.engine, recipe.sync.transport
    at: Location = ("sync", "transport")

    def refused(message: str, *involves: Location) -> Problem:
        return Problem(at, transport, message, involves=involves)

    if transport in ("nccl", "cuda_ipc") and recipe.cluster.device == "cpu":
        yield refused(
            "it goes between GPUs, and cluster.device is cpu: take shared_memory or gloo.", ("cluster", "device")
        )
    if transport == "gloo" and recipe.cluster.device == "gpu":
        yield refused("it goes between CPUs, and cluster.device is gpu: take nccl or cuda_ipc.", ("cluster", "device"))
    if transport not in ("shared_memory", "disk") and engine.kind == "transformers":
        yield refused("engine.kind transformers reads files: take shared_memory or disk.", ("engine", "kind"))
    if transport != "cuda_ipc":
        return
    if engine.tensor_parallel > 1:
        message = "an engine shares one GPU with one learner rank: set engine.tensor_parallel to 1, or take nccl."
        yield refused(message, ("engine", "tensor_parallel"))
    if engine.count != recipe.learner.ranks:
        message = f"each of the {engine.count} engines shares its GPU with a learner rank: set learner.ranks to that."
        yield refused(message, ("engine", "count"), ("learner", "ranks"))
    if engine.gpu_memory_fraction > MOST_OF_A_SHARED_GPU:
        message = f"cuda_ipc puts a learner rank on the engine's GPU too: at most {MOST_OF_A_SHARED_GPU}, 0.4 say."
        where: Location = ("engine", "gpu_memory_fraction")
        yield Problem(where, str(engine.gpu_memory_fraction), message, involves=(at,))


def _rewards(recipe: Recipe) -> Iterator[Problem]:
    verifiers, models = recipe.rewards.verifiers, recipe.rewards.models
    here: Location = ("rewards", "verifiers")
    judged = [stage.kind for stage in recipe.stages if isinstance(stage, Rl | Eval | Evolve)]
    if judged and not verifiers and not models:
        message = (
            f"the {judged[0]} stage needs someone to judge: `- name: boxed_math`, say (`rl-reason verifier list`)."
        )
        yield Problem(here, "[]", message)
    if verifiers and not any(each.weight for each in (*verifiers, *models)):
        message = "all weights are 0, so no response would earn anything: give one verifier a weight."
        yield Problem((*here, 0, "weight"), "0", message, involves=(here, ("rewards", "models")))
    if verifiers and verifiers[0].compare:
        message = "this is the first verifier, the one that others are compared with: set it on a later one."
        yield Problem((*here, 0, "compare"), "true", message)
    seen: set[str] = set()
    for index, verifier in enumerate(verifiers):
        if verifier.name in seen:
            yield Problem(
                (*here, index, "name"), show(verifier.name), "named twice: scores are kept by name. Remove one."
            )
        seen.add(verifier.name)
        file = verifier.name.partition(".py:")
        if file[1] and not Path(file[0] + ".py").is_file():
            message = "no such file. Relative paths begin at the folder of the recipe that has them."
            yield Problem((*here, index, "name"), show(verifier.name), message)
    length = recipe.rewards.length
    longest = max((stage.iterations for stage in recipe.stages if isinstance(stage, Rl)), default=None)
    if length.weight and longest is not None and length.start_iteration >= longest:
        message = f"no rl stage has more than {longest} iterations, so the length reward would never begin: lower it."
        iterations = tuple(("stages", index, "iterations") for index in range(len(recipe.stages)))
        at: Location = ("rewards", "length", "start_iteration")
        yield Problem(at, str(length.start_iteration), message, involves=iterations)


def _stage_list(recipe: Recipe) -> Iterator[Problem]:
    names = [stage.name for stage in recipe.stages]
    for index, name in enumerate(names):
        if name is not None and name in names[:index]:
            message = f"stages.{names.index(name)} has this name too, and `--set stages.NAME` means one: change one."
            yield Problem(
                ("stages", index, "name"), show(name), message, involves=(("stages", names.index(name), "name"),)
            )


def _sft(stage: Sft, here: Location) -> Iterator[Problem]:
    if (stage.epochs is None) == (stage.steps is None):
        given = "" if stage.epochs is None else show({"epochs": stage.epochs, "steps": stage.steps})
        yield Problem((*here, "steps"), given, "give exactly one of epochs and steps.", involves=((*here, "epochs"),))
    for index, traces in enumerate(stage.traces):
        if isinstance(traces, JsonlTraces) and not Path(traces.path).is_file():
            message = "no such file. Relative paths begin at the folder of the recipe that has them."
            yield Problem((*here, "traces", index, "path"), show(traces.path), message)


def _rl(stage: Rl, here: Location, recipe: Recipe) -> Iterator[Problem]:
    why = "the loss needs the log-probs of the whole distribution, and cutting it shifts them"
    yield from _full_distribution(stage.sampling, here, why)
    if not recipe.data.train:
        yield Problem(("data", "train"), "[]", "the rl stage needs prompts: give at least one source.")
    if stage.gradient_steps_per_iteration > stage.prompts_per_iteration:
        message = (
            f"an iteration has {stage.prompts_per_iteration} prompts, whose groups stay whole: at most as many steps."
        )
        involved = ((*here, "prompts_per_iteration"),)
        yield Problem(
            (*here, "gradient_steps_per_iteration"), str(stage.gradient_steps_per_iteration), message, involved
        )
    available = _most(recipe.data.train)
    if available is not None and stage.prompts_per_iteration > available > 0:
        message = f"data.train has at most {available} prompts, and an iteration's are different ones: lower it."
        at = (*here, "prompts_per_iteration")
        yield Problem(at, str(stage.prompts_per_iteration), message, involves=(("data", "train"),))
    if stage.evaluate is not None:
        yield from _heldout(stage.evaluate.prompts, (*here, "evaluate"), recipe)


def _eval(stage: Eval, here: Location, recipe: Recipe) -> Iterator[Problem]:
    yield from _full_distribution(stage.sampling, here, "engines draw from the whole distribution, as in training")
    for index, k in enumerate(stage.pass_at):
        if k > stage.responses_per_prompt:
            message = (
                f"pass@{k} needs {k} responses a prompt, and responses_per_prompt is {stage.responses_per_prompt}: "
            )
            yield Problem(
                (*here, "pass_at", index),
                str(k),
                message + "raise that or remove this.",
                involves=((*here, "responses_per_prompt"),),
            )
    yield from _heldout(stage.prompts, here, recipe)


def _evolve(stage: Evolve, here: Location, recipe: Recipe) -> Iterator[Problem]:
    available = _most(recipe.data.train)
    if not recipe.data.train:
        yield Problem(
            ("data", "train"), "[]", "the evolve stage searches on training problems: give at least one source."
        )
    elif available is not None and available <= stage.validation:
        message = f"data.train has at most {available} problems, and some must be left to search on: lower it."
        yield Problem((*here, "validation"), str(stage.validation), message, involves=(("data", "train"),))
    yield from _heldout(None, here, recipe)


def _full_distribution(sampling: Sampling, here: Location, why: str) -> Iterator[Problem]:
    if sampling.top_p < 1:
        yield Problem(
            (*here, "sampling", "top_p"), str(sampling.top_p), f"{why}: leave it at 1. Use temperature instead."
        )
    if sampling.top_k > 0:
        yield Problem(
            (*here, "sampling", "top_k"), str(sampling.top_k), f"{why}: leave it at 0. Use temperature instead."
        )


def _heldout(prompts: int | None, here: Location, recipe: Recipe) -> Iterator[Problem]:
    if not recipe.data.heldout:
        message = f"stages.{here[1]} evaluates on held-out prompts: give at least one source, other than data.train's."
        yield Problem(("data", "heldout"), "[]", message)
    available = _most(recipe.data.heldout)
    if prompts is not None and available is not None and prompts > available > 0:
        message = f"data.heldout has at most {available} prompts: lower it, or null for all of them."
        yield Problem((*here, "prompts"), str(prompts), message, involves=(("data", "heldout"),))


def _most(sources: tuple[Source, ...]) -> int | None:
    """Upper bound on the number of prompts; None where only reading the files would tell."""
    sizes = [source.size if isinstance(source, ReasoningGymSource) else source.limit for source in sources]
    return None if None in sizes else sum(size for size in sizes if size is not None)
