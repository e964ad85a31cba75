from __future__ import annotations

import re
from pathlib import Path

import pytest

from rl_reason.config.load import dump_recipe, load_recipe

ROOT = Path(__file__).parents[2]
EVERY_RECIPE = sorted((ROOT / "recipes").glob("**/*.yaml"))
RECIPES = [path for path in EVERY_RECIPE if path.parent.name != "merging"]  # those are `rl-reason merge`'s


def test_there_are_recipes() -> None:
    assert ROOT / "recipes" / "quickstart.yaml" in RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipe_checks_clean_and_dumps_to_itself(path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(path)
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(dump_recipe(recipe))
    assert load_recipe(resolved) == recipe


@pytest.mark.parametrize("path", EVERY_RECIPE, ids=lambda path: path.stem)
def test_the_recipe_opens_with_what_to_expect_of_it(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    header = "\n".join(line for line in lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))])
    for word in ("Reproduces", "Hardware", "Wall time", "Expected"):
        assert re.search(rf"^# {word}: +\S", header, re.MULTILINE), f"{path.name} does not say `# {word}: …` at its top"
