"""Recipe section `data`: prompt sources read, rendered, checked; and the demonstrations of an `sft` stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rl_reason.config.schema.data import DatasetsSource, FileSource, ReasoningGymSource, Source
from rl_reason.config.schema.recipe import Recipe
from rl_reason.config.schema.stages import GeneratedTraces, Sft, Traces
from rl_reason.data.disjoint import check_disjoint, drop_overlap
from rl_reason.data.gym import read_reasoning_gym
from rl_reason.data.hub import read_dataset
from rl_reason.data.jsonl import read_jsonl
from rl_reason.data.parquet import read_parquet
from rl_reason.data.prompts import LoadedPrompts, Problem, over_long, refuse_or_skip
from rl_reason.data.render import ChatRenderer
from rl_reason.data.traces import Trace, chain_sum_traces, read_traces
from rl_reason.errors import DataError
from rl_reason.types import Prompt, TrainingSequence

FILE_READERS = {"jsonl": read_jsonl, "parquet": read_parquet}


@dataclass(frozen=True)
class PromptSets:
    """Rendered prompts; no held-out problem is among those to train on."""

    train: list[Prompt]
    heldout: list[Prompt]
    dropped: int
    """Training prompts left out because they are held-out problems too."""

    @property
    def summary(self) -> str:
        """One line for the display."""
        left_out = f" ({self.dropped} more left out: id or text of a held-out one)" if self.dropped else ""
        return f"{len(self.train)} training prompts{left_out}, {len(self.heldout)} held-out"


def renderer(recipe: Recipe, model: Path | str) -> ChatRenderer:
    """The chat template, tokenizer and end tokens of a model folder."""
    # Imported here: loading transformers takes seconds that a recipe's check should not wait for.
    from transformers import AutoTokenizer

    chat = recipe.data.chat
    return ChatRenderer(
        AutoTokenizer.from_pretrained(model),
        system=chat.system or "",
        template=chat.template,
        response_prefix=chat.response_prefix,
    )


def prompt_sets(recipe: Recipe, rendered_by: ChatRenderer) -> PromptSets:
    """All prompts of the recipe.

    Raises:
        DataError: a source is wrong and the recipe refuses wrong ones; names them by file and line.
    """
    heldout = _read_all(recipe, recipe.data.heldout, rendered_by)
    train, dropped = _read_all(recipe, recipe.data.train, rendered_by), 0
    if train and heldout:
        train, dropped = drop_overlap(train, heldout)
        check_disjoint(train, heldout)
    return PromptSets(train, heldout, dropped)


def demonstrations(recipe: Recipe, stage: Sft, rendered_by: ChatRenderer) -> tuple[list[TrainingSequence], int]:
    """(what an sft stage imitates, how many were left out because their problem is held out).

    Raises:
        DataError: a file of traces is wrong, or a trace is longer than the engine's context, and the recipe refuses.
    """
    heldout = _read_all(recipe, recipe.data.heldout, rendered_by)
    traces = [trace for section in stage.traces for trace in _traces(recipe, section)]
    kept, dropped = traces, 0
    if heldout:
        prompts, _ = drop_overlap([trace.prompt for trace in traces], heldout)
        allowed = {id(prompt) for prompt in prompts}
        kept = [trace for trace in traces if id(trace.prompt) in allowed]
        dropped = len(traces) - len(kept)
    rendered = {}
    for trace in kept:
        if trace.prompt.id not in rendered:
            rendered[trace.prompt.id] = rendered_by.render(trace.prompt)
    sequences = [rendered_by.training_sequence(rendered[trace.prompt.id], trace.response) for trace in kept]
    limit = recipe.engine.max_context_tokens
    fitting = LoadedPrompts()
    for trace, sequence in zip(kept, sequences, strict=True):
        if len(sequence.tokens) > limit:
            rule = f"has {len(sequence.tokens)} tokens with its prompt, and engine.max_context_tokens is {limit}"
            fitting.problems.append(Problem(trace.prompt.source, "response", rule, "over-long demonstration"))
        else:
            fitting.prompts.append(trace.prompt)
    refuse_or_skip(fitting, recipe.data.on_bad_line, name="demonstrations")
    return [sequence for sequence in sequences if len(sequence.tokens) <= limit], dropped


def _read_all(recipe: Recipe, sources: Sequence[Source], rendered_by: ChatRenderer) -> list[Prompt]:
    on_bad = recipe.data.on_bad_line
    prompts = [prompt for source in sources for prompt in refuse_or_skip(_read(source), on_bad, name=_name(source))]
    if not prompts:
        return []
    unique = _unique(prompts)
    rendered = over_long(rendered_by.render_all(unique.prompts), recipe.data.max_prompt_tokens)
    joined = LoadedPrompts(rendered.prompts, unique.problems + rendered.problems)
    return refuse_or_skip(joined, on_bad, name="all sources together")


def _name(source: Source) -> str:
    match source:
        case ReasoningGymSource():
            return f"reasoning-gym's {source.task}"
        case DatasetsSource():
            return source.name
        case FileSource():
            return source.path


def _read(source: Source) -> LoadedPrompts:
    match source:
        case ReasoningGymSource():
            return read_reasoning_gym(source.task, size=source.size, seed=source.seed, options=source.options)
        case DatasetsSource():
            return read_dataset(
                source.name,
                split=source.split,
                subset=source.subset,
                prompt_field=source.prompt_field,
                answer_field=source.answer_field,
                id_field=source.id_field,
                limit=source.limit,
            )
        case FileSource():
            return FILE_READERS[source.kind](
                Path(source.path),
                prompt_field=source.prompt_field,
                answer_field=source.answer_field,
                id_field=source.id_field,
                limit=source.limit,
            )


def _unique(prompts: Sequence[Prompt]) -> LoadedPrompts:
    """Each source has unique ids; two sources together must have, too."""
    loaded = LoadedPrompts()
    first: dict[str, Prompt] = {}
    for prompt in prompts:
        if prompt.id in first:
            rule = f"{prompt.id!r} was already used at {first[prompt.id].source}"
            loaded.problems.append(Problem(prompt.source, "id", rule, "duplicate id"))
        else:
            first[prompt.id] = prompt
            loaded.prompts.append(prompt)
    return loaded


def _traces(recipe: Recipe, section: Traces) -> list[Trace]:
    if isinstance(section, GeneratedTraces):
        loaded = read_reasoning_gym(section.task, size=section.count, seed=section.seed, options=section.options)
        return chain_sum_traces(
            refuse_or_skip(loaded, recipe.data.on_bad_line, name=f"reasoning-gym's {section.task}"),
            error_fraction=section.error_fraction,
            seed=section.seed,
        )
    traces, problems = read_traces(
        Path(section.path), prompt_field=section.prompt_field, response_field=section.response_field
    )
    loaded = LoadedPrompts([trace.prompt for trace in traces], problems)
    refuse_or_skip(loaded, recipe.data.on_bad_line, name=section.path)
    if section.count is None:
        return traces
    if section.count > len(traces):
        raise DataError(f"{section.path} has {len(traces)} good traces, and count asks for {section.count}: lower it")
    drawn = np.random.default_rng([recipe.seed, len(traces)]).permutation(len(traces))[: section.count]
    return [traces[number] for number in sorted(drawn)]
