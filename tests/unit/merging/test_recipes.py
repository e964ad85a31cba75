"""Recipes as people publish them, the ones that we ship, and what is refused, by name and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rl_reason.errors import ConfigError
from rl_reason.merging.parameters import Where
from rl_reason.merging.recipe import Recipe, read_recipe

ROOT = Path(__file__).parents[3]
PUBLISHED = sorted((ROOT / "tests" / "data" / "mergekit").glob("*.yaml"))
SHIPPED = sorted((ROOT / "recipes" / "merging").glob("*.yaml"))
MODELS = ("base", "math", "code", "chat", "half", "tied_base", "tied_math")
PLACEHOLDERS = ("llama-3.1-70b", "deepseek-r1-distill-llama-70b", "typhoon2-70b-sft", "long", "short")


def read(source: Path, folder: Path, models: tuple[str, ...]) -> Recipe:
    """The recipe, beside folders of the models that it names."""
    for name in models:
        (folder / name).mkdir(parents=True, exist_ok=True)
    path = folder / source.name
    path.write_text(source.read_text())
    return read_recipe(path)


def test_there_are_twenty_and_more() -> None:
    assert len(PUBLISHED) >= 20
    assert [path.stem for path in SHIPPED] == ["long2short_average", "typhoon2_m1", "typhoon2_m2", "typhoon2_m3"]


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_shapes_are_read(path: Path, tmp_path: Path) -> None:
    recipe = read(path, tmp_path, tuple(f"models/{name}" for name in MODELS))
    assert f"merge_method: {recipe.method.name}" in path.read_text()


def shares(recipe: Recipe, layer: int, tensor: str = "self_attn.q_proj.weight") -> list[float | None]:
    """Each model's weight in a layer of 80."""
    where = Where(f"model.layers.{layer}.{tensor}", layer / 79, layer, 80)
    return [one.parameters["weight"].at(where) for one in recipe.slices[0].inputs]


@pytest.mark.parametrize(
    ("name", "deepseek"),
    [
        ("typhoon2_m1", {0: 0.25, 52: 0.25, 53: 0.25, 79: 0.25}),
        ("typhoon2_m2", {0: 0.75, 52: 0.75, 53: 0.75, 79: 0.75}),
        ("typhoon2_m3", {0: 0.75, 52: 0.75, 53: 0.75, 66: 0.4375, 79: 0.125}),
    ],
)
def test_typhoons_shares_by_layer(name: str, deepseek: dict[int, float], tmp_path: Path) -> None:
    recipe = read(ROOT / "recipes" / "merging" / f"{name}.yaml", tmp_path, PLACEHOLDERS)
    assert recipe.method.name == "dare_linear"
    for layer, share in deepseek.items():
        assert shares(recipe, layer) == [share, 1 - share]


def test_long2shorts_average(tmp_path: Path) -> None:
    recipe = read(ROOT / "recipes" / "merging" / "long2short_average.yaml", tmp_path, PLACEHOLDERS)
    assert recipe.method.name == "linear"
    assert shares(recipe, 0) == [0.5, 0.5]


GOOD = """\
merge_method: slerp
base_model: a
models:
  - model: a
  - model: b
parameters:
  t: 0.5
"""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("slerp", "slrep", "recipe.yaml:1: merge_method is one of .*, not 'slrep'; did you mean 'slerp'"),
        ("slerp", "nearswap", "recipe.yaml:1: merge_method is one of linear, slerp.*, not 'nearswap'"),
        ("models", "modelss", "recipe.yaml:3: unknown key 'modelss'; did you mean 'models'"),
        ("  t: 0.5", "  tt: 0.5", "recipe.yaml:7: slerp has no parameter 'tt'; did you mean 't'"),
        ("0.5", "half", "recipe.yaml:7: t: a value is a number"),
        ("0.5", "[0, [1]]", r"recipe.yaml:7: t: \[1\] is no number"),
        ("0.5", "[{filtre: mlp, value: 1}]", "recipe.yaml:7: t: an entry has a value and perhaps a filter; filtre"),
        ("model: b", "model: org/b", "recipe.yaml:5: org/b is no folder; models are local: download it"),
        (
            "model: b",
            "model: b+adapter",
            r"recipe.yaml:5: b\+adapter: adapters .* are not supported: merge them into the",
        ),
        ("model: b", "models: b", "recipe.yaml:5: unknown key 'models'; did you mean 'model'"),
        ("base_model: a\n", "", "slerp needs a base_model"),
        ("parameters", "dtype: bf16\nparameters", "recipe.yaml:6: dtype is one of .*, not 'bf16'"),
        ("parameters", "modules: {}\nparameters", "recipe.yaml:6: modules: .* is not supported"),
        ("  t: 0.5\n", "  t: 0.5\n---\nmerge_method: linear\n", "not YAML"),
    ],
)
def test_what_is_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    path = tmp_path / "recipe.yaml"
    path.write_text(GOOD)
    assert read_recipe(path).method.name == "slerp"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError, match=says):
        read_recipe(path)
