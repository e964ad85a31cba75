"""The merge recipes that come with the project say what their papers say."""

from __future__ import annotations

from pathlib import Path

import pytest

from rl_reason.merging.parameters import Where
from rl_reason.merging.recipe import Recipe, read_recipe

FOLDER = Path(__file__).parents[3] / "recipes" / "merging"


def read(name: str, folder: Path) -> Recipe:
    (folder / name).write_text((FOLDER / name).read_text())
    for line in (FOLDER / name).read_text().splitlines():
        if "model: models/" in line or "base_model:" in line:
            (folder / line.split(":")[1].strip()).mkdir(parents=True, exist_ok=True)
    return read_recipe(folder / name)


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.yaml")))
def test_every_recipe_is_read(name: str, tmp_path: Path):
    assert len(read(name, tmp_path).slices[0].inputs) == 2


def shares(name: str, folder: Path, layer: int) -> list[float]:
    inputs = read(f"typhoon2_{name}.yaml", folder).slices[0].inputs
    found = [one.parameters["weight"].at(Where("x", layer / 79, layer, 80)) for one in inputs]
    return [round(one or 0, 6) for one in found]


def test_typhoons_ratios_are_the_papers(tmp_path: Path):
    """arXiv 2502.09056, tables 2 and 4: share of the reasoning model, share of the language model."""
    assert shares("m1", tmp_path, 40) == [0.25, 0.75] and shares("m2", tmp_path, 79) == [0.75, 0.25]
    assert shares("m3", tmp_path, 0) == shares("m3", tmp_path, 53) == [0.75, 0.25]
    assert shares("m3", tmp_path, 66) == [0.4375, 0.5625] and shares("m3", tmp_path, 79) == [0.125, 0.875]
