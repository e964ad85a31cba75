from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from rl_reason.config.load import dump_recipe, load_recipe, recipe_hash
from rl_reason.config.schema.data import FileSource
from rl_reason.config.schema.recipe import stage_names
from rl_reason.config.schema.stages import Eval, Rl
from rl_reason.errors import ConfigError

GOOD = """\
name: good
model: {scratch: {hidden_size: 64, layers: 2, heads: 4, kv_heads: 2, intermediate_size: 128}}
data:
  train:
    - {kind: jsonl, path: train.jsonl}
  heldout:
    - {kind: reasoning_gym, task: chain_sum, size: 10, seed: 2}
rewards:
  verifiers:
    - name: ./judge.py:Judge
stages:
  - kind: rl
    iterations: 10
    optimizer: {learning_rate: 1e-4}
  - kind: eval
    name: final
"""


@pytest.fixture
def recipe_path(tmp_path: Path) -> Path:
    (tmp_path / "train.jsonl").touch()
    (tmp_path / "judge.py").touch()
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    return path


def fails(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_recipe(path, overrides)
    return str(caught.value)


def rl_of(path: Path, *overrides: str) -> Rl:
    stage = load_recipe(path, overrides).stages[0]
    assert isinstance(stage, Rl)
    return stage


def test_paths_become_absolute_and_names_stay(recipe_path: Path) -> None:
    recipe = load_recipe(recipe_path)
    source = recipe.data.train[0]
    assert isinstance(source, FileSource)
    assert source.path == str(recipe_path.parent / "train.jsonl")
    assert recipe.rewards.verifiers[0].name == f"{recipe_path.parent}/judge.py:Judge"
    assert load_recipe(recipe_path, ["rewards.verifiers.0.name=exact"]).rewards.verifiers[0].name == "exact"


def test_paths_in_set_words_begin_where_the_command_is_given(
    recipe_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "other.jsonl").touch()
    monkeypatch.chdir(tmp_path / "sub")
    source = load_recipe(recipe_path, ["data.train.0.path=other.jsonl"]).data.train[0]
    assert isinstance(source, FileSource)
    assert source.path == str(tmp_path / "sub" / "other.jsonl")


def test_scientific_notation_is_a_number(recipe_path: Path) -> None:
    assert rl_of(recipe_path).optimizer.learning_rate == 1e-4
    assert rl_of(recipe_path, "stages.0.optimizer.learning_rate=3e-5").optimizer.learning_rate == 3e-5


def test_set_words_find_items_by_number_kind_and_name(recipe_path: Path) -> None:
    assert rl_of(recipe_path, "stages.0.loss.tau=0.2").loss.tau == 0.2
    assert rl_of(recipe_path, "stages.rl.loss.tau=0.3").loss.tau == 0.3
    assert rl_of(recipe_path, "stages.0.evaluate={every_iterations: 3}").evaluate is not None
    stage = load_recipe(recipe_path, ["stages.final.pass_at=[1, 2]"]).stages[1]
    assert isinstance(stage, Eval)
    assert stage.pass_at == (1, 2)


def test_the_last_set_word_wins(recipe_path: Path) -> None:
    assert load_recipe(recipe_path, ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("seed", "must look like a.b=c"),
        ("=1", "must look like a.b=c"),
        ("a..b=1", "must look like a.b=c"),
        ("name.x=1", 'name is "good", which has no keys'),
        ("stages.7.name=x", "stages has 2 items; they are numbered from 0"),
        ("stages.finale.name=x", "no item finale; it is a list: use a number from 0. Did you mean final?"),
        ("seed=[1", "--set seed=[1:1: not YAML"),
        ("stages.².name=x", "no item ²; it is a list"),
        (
            "learner.deepspeed={a: {b: .nan}}",
            "--set learner.deepspeed={a: {b: .nan}}: learner.deepspeed.a.b: NaN: must be",
        ),
        (
            "learner.deepspeed={zero_optimisation: {}}",
            "learner.deepspeed.zero_optimisation: {}: DeepSpeed has no such key and would pass over it. Did you mean "
            "zero_optimization?",
        ),
        ("seed={a: 1, a: 2}", "there twice"),
        ("sede=1", "--set sede=1: sede: 1: no such key. Did you mean seed?"),
        ("stages.0.loss={tau: -1}", "--set stages.0.loss={tau: -1}: stages.0.loss.tau: -1: must be above 0"),
    ],
)
def test_wrong_set_words_say_which(recipe_path: Path, word: str, says: str) -> None:
    assert says in fails(recipe_path, word)


def test_a_kind_that_two_items_have_needs_a_number(recipe_path: Path) -> None:
    recipe_path.write_text(GOOD + "  - kind: eval\n")
    assert "eval could be stages.1 and stages.2" in fails(recipe_path, "stages.eval.greedy=false")


def test_errors_have_file_line_path_value_and_rule(recipe_path: Path) -> None:
    recipe_path.write_text(GOOD + "    greedy: maybe\n    confidense: 0.9\n")
    assert fails(recipe_path).splitlines() == [
        f'{recipe_path}:17: stages.1.greedy: "maybe": must be true or false '
        "(Whether one greedy response a prompt is evaluated as well).",
        f"{recipe_path}:18: stages.1.confidense: 0.9: no such key. Did you mean confidence?",
        "2 problems; nothing was started.",
    ]


def test_defaults_that_break_a_rule_are_called_defaults(recipe_path: Path) -> None:
    assert "engine.max_context_tokens: 4096 (the default): longer" in fails(
        recipe_path, "model.scratch.max_position_embeddings=3500"
    )


def test_extends_merges_one_level(recipe_path: Path, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    child = tmp_path / "sub" / "child.yaml"
    child.write_text("extends: ../good.yaml\nname: child\nlearner: {ranks: 2}\n")
    recipe = load_recipe(child)
    assert (recipe.name, recipe.learner.ranks, len(recipe.stages)) == ("child", 2, 2)
    assert str(tmp_path / "train.jsonl") in dump_recipe(recipe)


def test_errors_in_a_base_name_the_base(recipe_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    child = tmp_path / "child.yaml"
    child.write_text("extends: good.yaml\nseed: -1\n")
    recipe_path.write_text(GOOD + "seed: 3\ntau: 1\n")
    assert [line.partition(": ")[0] for line in fails(child).splitlines()[:-1]] == [f"{child}:2", "good.yaml:18"]


def test_a_base_that_extends_is_refused(recipe_path: Path, tmp_path: Path) -> None:
    middle, child = tmp_path / "middle.yaml", tmp_path / "child.yaml"
    middle.write_text("extends: good.yaml\n")
    child.write_text("extends: middle.yaml\n")
    assert "one level deep: extend good.yaml directly" in fails(child)
    child.write_text("extends: gone.yaml\n")
    assert f"{child}:1: extends: gone.yaml: no such file" in fails(child)
    child.write_text("extends: child.yaml\n")
    assert f"{child}:1: extends: child.yaml is this recipe itself" in fails(child)
    child.write_text("extends: [good.yaml]\n")
    assert "must be the path of one recipe" in fails(child)


def test_a_dumped_recipe_loads_equal_from_anywhere(recipe_path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_path, ["data.chat.system='1e-4'", "stages.0.loss.tau=1e-7"])
    elsewhere = tmp_path / "run" / "resolved.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(dump_recipe(recipe))
    assert load_recipe(elsewhere) == recipe
    assert recipe.data.chat.system == "1e-4"
    assert pickle.loads(pickle.dumps(recipe)) == recipe


def test_the_hash_changes_with_the_run_and_not_with_its_folder(recipe_path: Path) -> None:
    plain = recipe_hash(load_recipe(recipe_path))
    assert len(plain) == 16
    assert recipe_hash(load_recipe(recipe_path, ["out=/elsewhere"])) == plain
    assert recipe_hash(load_recipe(recipe_path, ["stages.0.loss.tau=0.1"])) == plain
    assert recipe_hash(load_recipe(recipe_path, ["stages.0.loss.tau=0.11"])) != plain


def test_stages_are_called_by_position_and_name_or_kind(recipe_path: Path) -> None:
    assert stage_names(load_recipe(recipe_path)) == ["01-rl", "02-final"]


def test_a_merges_recipe_is_told_from_a_runs(tmp_path):
    path = tmp_path / "merge.yaml"
    path.write_text("merge_method: linear\nmodels: []\n")
    with pytest.raises(ConfigError, match=r"merge.yaml is the recipe of a merge, not of a run: rl-reason merge "):
        load_recipe(path)
