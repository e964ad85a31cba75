"""The `evolve` stage: an evolutionary search of a merge (arXiv 2403.13187), the best one written as the stage's model.

In the stage's folder: `journal.jsonl`, a line an evaluation, from which a stopped stage goes on; `winner.yaml` or
`winner.json`, the recipe; `model/`.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from rl_reason.build import actors, parts
from rl_reason.build.prompts import PromptSets, prompt_sets, renderer
from rl_reason.cluster.actors import Part, Placement
from rl_reason.cluster.remote_engine import RemoteEngine
from rl_reason.config.schema.evolution import DataFlowSearch, Evolve, ParameterSearch
from rl_reason.data.disjoint import drop_overlap
from rl_reason.errors import ConfigError
from rl_reason.evaluation.candidates import Worker, WorkerPool
from rl_reason.merging.architecture import decoder
from rl_reason.merging.card import identity
from rl_reason.merging.checkpoint import SINGLE, open_checkpoint
from rl_reason.merging.evolution.candidate import Candidate, Outcome, Space
from rl_reason.merging.evolution.data_flow import open_decoders, plan_data_flow
from rl_reason.merging.evolution.data_flow_space import DataFlowSpace, Matrix, Network, NoScaling, Scaling
from rl_reason.merging.evolution.journal import Journal
from rl_reason.merging.evolution.parameter_space import ParameterSpace
from rl_reason.merging.evolution.search import Generation, Result, Search, Settings
from rl_reason.merging.evolution.strategy import population_size
from rl_reason.merging.plan import Plan
from rl_reason.merging.planning import plan_merge
from rl_reason.merging.recipe import read_recipe
from rl_reason.merging.run import merge
from rl_reason.policy.weight_file import FILE_TRANSPORTS, SHARED_MEMORY
from rl_reason.stages.merge import models_by_name
from rl_reason.stages.session import Session, closed
from rl_reason.tracking.atomic import write_text_atomic
from rl_reason.tracking.run_folder import StageFolder
from rl_reason.types import Prompt, WeightUpdate

_ONE_FILE = 1 << 62
SCALINGS: dict[str, Scaling] = {"matrix": Matrix(), "network": Network(), "none": NoScaling()}


def run(session: Session, stage: Evolve, model: Path, folder: StageFolder) -> Mapping[str, Any] | None:
    """Search, test the winner, write it; None when the run was asked to stop before the end."""
    recipe = session.recipe
    stage = with_models_of_the_run(stage, models_by_name(session.folder, folder, model))
    rendered_by = renderer(recipe, model)
    problems = _problems(stage, prompt_sets(recipe, rendered_by))
    space = space_of(stage, model)
    settings = settings_of(stage, space, recipe.seed)
    session.console.say(
        f"{folder.label}: {len(space.variables)} variables, {settings.generations} generations of "
        f"{settings.population}; {', '.join(f'{len(of)} {name} problems' for name, of in problems.items())}"
    )
    with ExitStack() as resources:
        journal = resources.enter_context(
            closed(Journal(folder.path / "journal.jsonl", _about(stage, settings, model, problems)))
        )
        workers = _workers(session, stage, model, resources, rendered_by)
        tracker = resources.enter_context(closed(session.tracker(folder, finished=0, total=settings.generations)))
        pool = WorkerPool(workers, problems, stage.batch, recipe.seed)
        log = _Log(tracker.log)
        search = Search(space, settings, pool, journal, on_generation=log, stop=session.stop)
        result = search.run()
        if not result.finished or result.best is None:
            return None
        tested = search.test(result.best)
        session.console.say(f"{folder.label}: {_found(result, tested)}")
        evaluations = len(journal)
    text = _recipe_text(stage, model, result.best)
    write_text_atomic(folder.path / ("winner.json" if isinstance(stage.space, DataFlowSearch) else "winner.yaml"), text)
    if not folder.model.exists():
        merge(_plan(stage, model, result.best, recipe.seed), folder.model)
    return {
        "iterations": settings.generations,
        "evolution": {
            "winner": text,
            "chosen_by": result.best_accuracy,
            "sources": [
                {"model": name, "accuracy": outcome.accuracy, "tokens_mean": outcome.tokens_mean}
                for name, outcome in result.sources.items()
            ],
            "best_source": result.best_source,
            "test": asdict(tested),
            "test_problems": len(problems["test"]),
            "evaluations": evaluations,
            "failed": sum(one.failed for one in result.generations),
            "front": [
                {"accuracy": outcome.accuracy, "tokens_mean": outcome.tokens_mean, "key": candidate.key}
                for candidate, outcome in result.front
            ],
        },
    }


def _found(result: Result, tested: Outcome) -> str:
    """What a search came to, beside the models that it merged."""
    alone = ", ".join(f"{_share(one)} by {name} alone" for name, one in result.sources.items())
    found = (
        "no merge is as good as the best of them, which is left as it is"
        if result.best_source
        else (f"{result.best_accuracy:.1%} by the merge found")
    )
    return f"{alone}; {found}; {_share(tested)} of the test problems"


def _share(outcome: Outcome) -> str:
    return "failed" if outcome.accuracy is None else f"{outcome.accuracy:.1%}"


def with_models_of_the_run(stage: Evolve, named: Mapping[str, Path]) -> Evolve:
    """The stage with folders in place of earlier stages' names, unless a folder of that name is there."""
    paths = [Path(model) for model in stage.space.models]
    found = tuple(str(path if path.is_dir() else named.get(path.name, path)) for path in paths)
    return stage.model_copy(update={"space": stage.space.model_copy(update={"models": found})})


def _problems(stage: Evolve, prompts: PromptSets) -> dict[str, list[Prompt]]:
    """Search, validation and test problems; `prompt_sets` has made sure that no test problem is among the others.

    What is in validation too is left out of the search.
    """
    searched = prompts.train[: len(prompts.train) - stage.validation]
    if not searched or not prompts.heldout:
        raise ConfigError(
            f"an evolve stage needs problems to search on (data.train has {len(prompts.train)}, validation takes the "
            f"last {stage.validation}) and to test on (data.heldout has {len(prompts.heldout)})"
        )
    validation = prompts.train[len(searched) :]
    return {
        "search": drop_overlap(searched, validation)[0] if validation else searched,
        "validation": validation,
        "test": prompts.heldout,
    }


def _about(stage: Evolve, settings: Settings, model: Path, problems: Mapping[str, Sequence[Prompt]]) -> dict[str, Any]:
    """What outcomes depend on. Not how many generations there are: a search may be made longer."""
    return {
        **{key: value for key, value in asdict(settings).items() if key != "generations"},
        "space": stage.space.model_dump(mode="json", exclude={"trials", "generations"}),
        "models": [identity(open_checkpoint(path)) for path in (model, *map(Path, stage.space.models))],
        "problems": {name: [prompt.id for prompt in of] for name, of in problems.items()},
        "batch": stage.batch,
        "max_new_tokens": stage.sampling.max_new_tokens,
    }


def space_of(stage: Evolve, model: Path) -> Space:
    """What is searched, from the models' headers.

    Raises:
        MergeError, ConfigError: the models do not fit together, or groups do not divide the layers.
    """
    others = [Path(path) for path in stage.space.models]
    if isinstance(stage.space, DataFlowSearch):
        layers = tuple(len(one.layers) for one in open_decoders([model, *others]))
        scaling = SCALINGS[stage.space.scaling]
        return DataFlowSpace(layers, stage.space.repeats, scaling, stage.sigma, first=str(model))
    section: ParameterSearch = stage.space
    return ParameterSpace(
        tuple(path.resolve() for path in others),
        len(decoder(open_checkpoint(model)).layers),
        section.method,
        None if section.method == "linear" else model.resolve(),
        section.groups,
        highest_weight=section.highest_weight,
    )


def settings_of(stage: Evolve, space: Space, seed: int) -> Settings:
    """Population and generations, the published ones where the recipe leaves them open."""
    section = stage.space
    population = section.population or population_size(len(space.variables))
    generations = section.generations if isinstance(section, DataFlowSearch) else math.ceil(section.trials / population)
    return Settings(
        population, generations, seed, stage.sigma, stage.objective, stage.batch is not None, stage.validation > 0
    )


def _workers(session: Session, stage: Evolve, model: Path, resources: ExitStack, rendered_by: Any) -> list[Worker]:
    """As many as the recipe has engines, started side by side."""
    if not isinstance(stage.space, DataFlowSearch) and session.recipe.sync.transport not in FILE_TRANSPORTS:
        raise ConfigError(
            f"candidates go to engines as files: set sync.transport to {' or '.join(FILE_TRANSPORTS)}, not "
            f"{session.recipe.sync.transport}"
        )
    count = session.recipe.engine.count
    session.starting()  # Ray, before several threads ask for it
    begin = partial(_worker, session, stage, model, resources, rendered_by)
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def _worker(
    session: Session, stage: Evolve, model: Path, resources: ExitStack, rendered_by: Any, number: int
) -> Worker:
    """An engine, a scorer and a roll-out."""
    recipe, starting = session.recipe, session.starting()
    if isinstance(stage.space, DataFlowSearch):
        told = {
            "model_paths": [model, *map(Path, stage.space.models)],
            "max_context_tokens": recipe.engine.max_context_tokens,
            "dtype": recipe.engine.dtype,
            "max_concurrent": recipe.engine.max_concurrent,
        }
        place = Placement(float(actors.on_gpu(recipe)), actors.threads(recipe.engine.count))
        part = Part("rl_reason.rollout.data_flow_engine:DataFlowEngine", told)
        (engine,) = starting.begin_engines([part], [place], first=number)
        take: Callable[[Candidate], None] = partial(_take_path, engine)
    else:
        engine = actors.begin_engine(starting, recipe, model, number)
        take = partial(_take_weights, engine, stage, model, session)
    resources.enter_context(closed(engine))
    scorer = session.scorer(starting, resources)
    starting.wait()
    draw = parts.sampling(stage.sampling, rendered_by, greedy=True)
    phase = parts.rollout_phase([engine], scorer, rendered_by, draw, responses=1, seed=recipe.seed)
    return Worker(take, phase, partial(_worker, session, stage, model, resources, rendered_by, number))


def _take_path(engine: RemoteEngine, candidate: Candidate) -> None:
    engine.handle.call("take", candidate.content)


def _take_weights(engine: RemoteEngine, stage: Evolve, model: Path, session: Session, candidate: Candidate) -> None:
    """Merge into a file that lives until the engine has read it."""
    transport = session.recipe.sync.transport
    plan = _plan(stage, model, candidate, session.recipe.seed)
    shared = SHARED_MEMORY if transport == "shared_memory" else session.folder.path
    with tempfile.TemporaryDirectory(dir=shared, prefix="rl-reason-candidate-") as scratch:
        merged = Path(scratch, "model")
        merge(plan, merged, shard_bytes=_ONE_FILE)
        tensors = open_checkpoint(merged).tensors.values()
        update = WeightUpdate(
            0,
            transport,
            str(merged / SINGLE),
            tuple(tensor.name for tensor in tensors),
            tuple(tensor.shape for tensor in tensors),
            tuple(tensor.dtype for tensor in tensors),
        )
        engine.load_weights(update)


def _plan(stage: Evolve, model: Path, candidate: Candidate, seed: int) -> Plan:
    if isinstance(stage.space, DataFlowSearch):
        return plan_data_flow(open_decoders([model, *map(Path, stage.space.models)]), candidate.content)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "recipe.yaml")
        path.write_text(_recipe_text(stage, model, candidate), encoding="utf-8")
        return plan_merge(read_recipe(path), seed=seed)


def _recipe_text(stage: Evolve, model: Path, candidate: Candidate) -> str:
    if isinstance(stage.space, DataFlowSearch):
        models: Sequence[str] = [str(model), *stage.space.models]
        return json.dumps({"models": models, **candidate.content}, indent=1) + "\n"
    return yaml.safe_dump(dict(candidate.content), sort_keys=False)


class _Log:
    """Turns generations into the tracker's lines."""

    def __init__(self, log: Callable[[Mapping[str, Any]], None]) -> None:
        self._log, self._best, self._begun = log, 0.0, time.perf_counter()

    def __call__(self, generation: Generation) -> None:
        now = time.perf_counter()
        shown = generation.accuracy_best if generation.validation is None else generation.validation
        self._best = max(self._best, shown or 0.0)
        figures = {
            "evolution/accuracy_best": generation.accuracy_best,
            "evolution/accuracy_mean": generation.accuracy_mean,
            "evolution/validation": generation.validation,
            "evolution/best_so_far": self._best,
            "evolution/source_best": generation.source_best,
            "evolution/tokens_mean": generation.tokens_best,
            "evolution/failed_count": float(generation.failed),
            "evolution/evaluated_count": float(generation.evaluated),
            "time/iteration_s": now - self._begun,
        }
        self._begun = now
        told = {name: value for name, value in figures.items() if value is not None}
        self._log({"iteration": generation.number, **told})
