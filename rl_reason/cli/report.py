"""`rl-reason report RUN_DIR`: writes report.html, one self-contained page about a run, finished or under way."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rl_reason.reports.page import MAX_RESPONSES, write_report


def report(
    run_dir: Annotated[Path, typer.Argument(help="A run folder: what `rl-reason run RECIPE.yaml --out DIR` wrote.")],
    max_responses: Annotated[
        int, typer.Option(min=0, help="Sampled responses to put into the page; whole groups, spread over the run.")
    ] = MAX_RESPONSES,
) -> None:
    """Write report.html into a run folder: headline numbers, curves, and a browser of sampled responses.

    Works half-way through a run too. Example: rl-reason report runs/quickstart
    """
    typer.echo(write_report(run_dir, max_responses=max_responses))
