"""The `merge` stage: the model that comes in, models of earlier stages and others on disk into one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rl_reason.config.schema.merging import Merge
from rl_reason.merging.planning import plan_merge
from rl_reason.merging.progress import shown, summary, total_bytes
from rl_reason.merging.recipe import read_recipe
from rl_reason.merging.run import merge
from rl_reason.stages.session import Session
from rl_reason.tracking.run_folder import RunFolder, StageFolder

PREVIOUS = "previous"


def run(session: Session, stage: Merge, model: Path | None, folder: StageFolder) -> Mapping[str, Any]:
    """Merge; an interrupted merge goes on where it stopped."""
    named = models_by_name(session.folder, folder, model)
    plan = plan_merge(read_recipe(Path(stage.recipe), named), seed=session.recipe.seed)
    session.console.say(f"{folder.label}: {summary(plan)}")
    for note in plan.notes:
        session.console.say(f"note: {note}")
    folder.path.mkdir(parents=True, exist_ok=True)
    if not folder.model.exists():
        with shown(plan) as told:
            merge(plan, folder.model, on_progress=told)
    methods = sorted({output.method.name for output in plan.outputs if output.method is not None})
    return {"iterations": 0, "methods": methods, "tensors": len(plan.outputs), "bytes": total_bytes(plan)}


def models_by_name(run_folder: RunFolder, folder: StageFolder, model: Path | None) -> dict[str, Path]:
    """What a stage's merge recipe may call models by: `previous`, and earlier stages' folder names."""
    earlier = [one for one in run_folder.stages() if one.label < folder.label]
    return ({PREVIOUS: model} if model else {}) | {one.label: one.model for one in earlier}
