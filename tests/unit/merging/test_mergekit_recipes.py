"""Recipes as people publish them, and what is refused, by name and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rl_reason.errors import ConfigError
from rl_reason.merging.recipe import Recipe, read_recipe

ROOT = Path(__file__).parents[3]
PUBLISHED = sorted((ROOT / "tests" / "data" / "mergekit").glob("*.yaml"))
MODELS = ("base", "math", "code", "chat", "half", "tied_base", "tied_math")


def read(source: Path, folder: Path, models: tuple[str, ...]) -> Recipe:
    """The recipe, beside folders of the models that it names."""
    for name in models:
        (folder / name).mkdir(parents=True, exist_ok=True)
    path = folder / source.name
    path.write_text(source.read_text())
    return read_recipe(path)


def test_there_are_twenty_and_more() -> None:
    assert len(PUBLISHED) >= 20


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_shapes_are_read(path: Path, tmp_path: Path) -> None:
    recipe = read(path, tmp_path, tuple(f"models/{name}" for name in MODELS))
    assert f"merge_method: {recipe.method.name}" in path.read_text()


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


def noted(folder: Path, method: str, own: str, overall: str) -> Recipe:
    for name in "abc":
        (folder / name).mkdir(exist_ok=True)
    path = folder / "recipe.yaml"
    models = f"models:\n- {{model: b, parameters: {own}}}\n- {{model: c, parameters: {{weight: 1}}}}\n"
    path.write_text(f"merge_method: {method}\nbase_model: a\n{models}parameters: {overall}\n")
    return read_recipe(path)


def test_what_mergekit_gives_no_effect_is_noted(tmp_path: Path) -> None:
    recipe = noted(tmp_path, "task_arithmetic", "{weight: 1, density: 0.5, lambda: 2}", "{int8_mask: true, t: 0.5}")
    assert [note.rpartition("/")[2] for note in recipe.notes] == [
        "recipe.yaml:4: task_arithmetic has no parameter density: it has no effect",
        "recipe.yaml:4: lambda of a single model has no effect: it is one of the whole merge",
        "recipe.yaml:6: task_arithmetic has no parameter t: it has no effect",
    ]
    assert set(recipe.slices[0].inputs[0].parameters) == {"weight"}


def test_what_mergekit_has_and_we_have_not_is_refused_unless_it_is_its_default(tmp_path: Path) -> None:
    assert noted(tmp_path, "ties", "{weight: 1}", "{rescale: false}").notes == ()
    with pytest.raises(ConfigError, match=r"recipe.yaml:6: rescale: ties is supported with false, mergekit's default"):
        noted(tmp_path, "ties", "{weight: 1}", "{rescale: true}")
    with pytest.raises(ConfigError, match=r"recipe.yaml:6: filter_wise: model_stock is supported with false"):
        noted(tmp_path, "model_stock", "{}", "{filter_wise: true}")
