"""Walks a recipe's stages: model folder in, model folder out; finished ones are skipped, a broken-off one resumes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rl_reason.config.load import dump_recipe
from rl_reason.config.schema.recipe import LEAVE_A_MODEL, Recipe
from rl_reason.evaluation.evaluate import EvalResult, compare
from rl_reason.learner.scratch_model import build_scratch_model
from rl_reason.merging.recipe import read_recipe
from rl_reason.reports.page import write_report
from rl_reason.stages import evaluation, evolve, generate_tests, merge, reward_evaluation, reward_model, rl, sft
from rl_reason.stages.session import Session, StopFlag
from rl_reason.tracking.atomic import folder_written_whole
from rl_reason.tracking.console import Console
from rl_reason.tracking.run_folder import RunFolder, StageFolder

STAGES: dict[str, Callable[..., Mapping[str, Any] | None]] = {
    "sft": sft.run,
    "rl": rl.run,
    "reward_model": reward_model.run,
    "eval": evaluation.run,
    "eval_reward_models": reward_evaluation.run,
    "generate_tests": generate_tests.run,
    "merge": merge.run,
    "evolve": evolve.run,
}


def run(recipe: Recipe, out: Path) -> None:
    """Run all stages of a recipe in run folder `out`, then write the report and print the closing table.

    Returns early, with a checkpoint on disk, after SIGTERM or Ctrl-C; the same call again continues.
    """
    folder, console, stop = RunFolder(out), Console(), StopFlag()
    folder.create()
    with folder.lock(), stop.on_signals(), ExitStack() as resources:
        text = dump_recipe(recipe)
        folder.write_resolved(text)
        session = Session(recipe, folder, console, stop, resources)
        check_merges(session)
        pending = [
            number for number in range(1, len(recipe.stages) + 1) if not stage_folder(session, number).finished()
        ]
        if pending:
            models = [recipe.model.path, *(choice.path for choice in recipe.rewards.models)]
            parents = [Path(path) for path in models if path]
            folder.record_start(recipe=text, seeds={"recipe": recipe.seed}, parents=parents)
        model = first_model(session)
        for number, stage in enumerate(recipe.stages, start=1):
            of_stage = stage_folder(session, number)
            if not of_stage.finished() and not run_stage(session, stage, model, of_stage):
                console.say(
                    f"stopped in {of_stage.label}, what is done is saved; run the same command again to continue"
                )
                return
            if of_stage.model.exists():
                model = of_stage.model
    if pending:
        write_report(out)
    else:
        console.say(f"{out}: all {len(recipe.stages)} stages are finished already; nothing to do")
    show_results(folder, console)


def run_stage(session: Session, stage: Any, model: Path | None, folder: StageFolder) -> bool:
    """Run one stage to its end; False when the run was asked to stop before."""
    begun = time.perf_counter()
    result = None if session.stop() else STAGES[stage.kind](session, stage, model, folder)
    session.console.end()
    if result is None:
        return False
    folder.finish({"kind": stage.kind, **result, "seconds": time.perf_counter() - begun})
    session.folder.link_to(folder)
    return True


def check_merges(session: Session) -> None:
    """Read the merge recipes still to come before a stage begins, with the names that models will have by then.

    Raises:
        ConfigError: one of them is wrong.
    """
    names: dict[str, Path] = {}
    for number, stage in enumerate(session.recipe.stages, start=1):
        folder = stage_folder(session, number)
        if stage.kind == "merge" and not folder.finished():
            read_recipe(Path(stage.recipe), {merge.PREVIOUS: folder.model, **names})
        if stage.kind in LEAVE_A_MODEL:
            names[folder.label] = folder.model


def stage_folder(session: Session, number: int) -> StageFolder:
    """The folder of stage `number`, counted from 1."""
    stage = session.recipe.stages[number - 1]
    return session.folder.stage(number, stage.name or stage.kind)


def first_model(session: Session) -> Path | None:
    """The recipe's model: a folder or hub name as given, or one built from nothing in the run folder; None without."""
    recipe, target = session.recipe, session.folder.scratch_model
    if recipe.model.path is not None:
        return Path(recipe.model.path)
    if recipe.model.scratch is None:
        return None
    if not target.exists():
        with folder_written_whole(target) as folder:
            build_scratch_model(folder, seed=recipe.seed, **recipe.model.scratch.model_dump(exclude={"tokenizer"}))
    return target


def show_results(folder: RunFolder, console: Console) -> None:
    """The closing table: every evaluation, and how far the last is from the first on the same problems."""
    rows, evaluations, judges = [], [], []
    for stage in folder.stages():
        result = stage.result()
        judges += [reward_model_row(stage.label, each) for each in result.get("reward_models", ())]
        if result["kind"] == "eval":
            evaluated = EvalResult.from_dict(result["sampled"])
            evaluations.append(evaluated)
            rows.append(evaluation_row(stage.label, result, evaluated))
    if rows:
        console.table(rows, title="Held-out accuracy")
    if len(evaluations) > 1:
        change = compare(evaluations[-1], evaluations[0])
        low, high = 100 * change.low, 100 * change.high
        level = f"{evaluations[-1].confidence:.0%} interval"
        console.say(f"change: {100 * change.value:+.1f} points, {level} {low:+.1f} … {high:+.1f}")
    if judges:
        console.table(judges, title="Reward models against labels")
    console.say(f"report: {folder.report}")


def evaluation_row(label: str, result: Mapping[str, Any], sampled: EvalResult) -> dict[str, str]:
    """One evaluation for people."""
    accuracy = sampled.accuracy
    row = {
        "stage": label,
        f"avg@{sampled.responses_per_prompt}": f"{accuracy.value:.1%}",
        f"{sampled.confidence:.0%} interval": f"{100 * accuracy.low:.1f} … {100 * accuracy.high:.1f}",
        **{f"pass@{k}": f"{value:.1%}" for k, value in sampled.pass_at.items()},
    }
    if "greedy" in result:
        row["greedy"] = f"{result['greedy']['accuracy']['value']:.1%}"
    return row | {
        "tokens": f"{sampled.tokens_mean:.0f}",
        "truncated": f"{sampled.truncated_fraction:.1%}",
        "unjudged": str(sampled.unjudged),
    }


def reward_model_row(label: str, agreement: Mapping[str, Any]) -> dict[str, str]:
    """One reward model's measurement for people."""

    def percent(interval: Mapping[str, float | None], key: str = "value") -> str:
        value = interval[key]
        return "" if value is None else f"{100 * value:.1f}"

    accuracy, calibration = agreement["accuracy"], agreement["calibration"]
    return {
        "stage": label,
        "model": f"{agreement['name']} ({agreement['kind']})",
        "accuracy %": percent(accuracy),
        "interval": f"{percent(accuracy, 'low')} … {percent(accuracy, 'high')}",
        "false right %": percent(agreement["false_positives"]),
        "false wrong %": percent(agreement["false_negatives"]),
        "unjudged": f"{agreement['responses'] - agreement['judged']} of {agreement['responses']}",
        "calibration error": f"{calibration['expected_error']:.3f}" if calibration else "",
    }
