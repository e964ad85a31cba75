from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "vllm", "ray", "deepspeed", "datasets", "sympy", "wandb")
LIGHT = (
    "rl_reason.errors",
    "rl_reason.types",
    "rl_reason.plugins",
    "rl_reason.reports",
    "rl_reason.config.load",
    "rl_reason.config.explain",
    "rl_reason.cli.config",
    "rl_reason.cli.run",
    "rl_reason.cli.main",
    "rl_reason.cli.merge",
    "rl_reason.merging.planning",
)


def heavy_modules_after(code: str) -> str:
    """Names of heavy packages that a fresh interpreter has loaded after running the code."""
    report = f"import sys; print(sorted(set(sys.modules) & set({HEAVY})), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stderr.strip()


def test_light_modules_import_nothing_heavy() -> None:
    assert heavy_modules_after("\n".join(f"import {module}" for module in LIGHT)) == "[]"


def test_every_report_module_imports_nothing_heavy() -> None:
    modules = [path.stem for path in (ROOT / "rl_reason" / "reports").glob("*.py") if path.stem != "__init__"]
    assert heavy_modules_after("\n".join(f"import rl_reason.reports.{module}" for module in modules)) == "[]"


@pytest.mark.parametrize("words", [["--help"], ["config", "check", "recipes/quickstart.yaml"], ["config", "schema"]])
def test_light_commands_import_nothing_heavy(words: list[str]) -> None:
    code = f"""
from rl_reason.cli.main import main
try:
    main({words})
except SystemExit as done:
    assert not done.code
"""
    assert heavy_modules_after(code) == "[]"


def test_a_recipe_is_checked_in_under_a_second_of_processor_time() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [sys.executable, "-m", "rl_reason.cli.main", "config", "check", "recipes/quickstart.yaml"]
    subprocess.run(words, cwd=ROOT, timeout=60, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0
