"""`rl-reason merge`: merges models by a recipe, mergekit's or ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from rl_reason.errors import ConfigError
from rl_reason.merging.planning import plan_merge
from rl_reason.merging.progress import shown, summary
from rl_reason.merging.recipe import read_recipe
from rl_reason.merging.run import SHARD_BYTES, merge

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "B": 1}


def merge_command(
    recipe: Annotated[Path, typer.Argument(help="A merge recipe: mergekit's YAML as it is.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the merged model; it must not exist yet.")],
    seed: Annotated[int, typer.Option(help="Of random masks (dare, della).")] = 0,
    shard_size: Annotated[str, typer.Option(help="Most that one weight file holds: 5GB, 500MB.")] = "5GB",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Tensors at a time. Default: one a processor, 8 at most.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check recipe and models, and say what would be done.")
    ] = False,
) -> None:
    """Merge models into a new one. Everything is checked before the first weight is read; called again after an
    interruption, it goes on where it stopped.

    Example: rl-reason merge recipes/merging/slerp_by_part.yaml --out merged
    """
    shard_bytes = _bytes(shard_size)
    plan = plan_merge(read_recipe(recipe), seed=seed)
    for note in plan.notes:
        typer.echo(f"note: {note}", err=True)
    if dry_run:
        typer.echo(f"would write {out}: {summary(plan)}", err=True)
        return
    with shown(plan) as told:
        merge(plan, out, shard_bytes=shard_bytes, threads=threads, on_progress=told)
    typer.echo(f"{out}: {summary(plan)}", err=True)


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?B)?", text.strip().upper())
    if match is None or not (size := int(float(match[1]) * _UNITS[match[2] or ""])):
        raise ConfigError(
            f"--shard-size is a size such as 5GB or 500MB, not {text!r}; the default is {SHARD_BYTES // 10**9}GB"
        )
    return size
