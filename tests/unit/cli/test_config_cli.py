from __future__ import annotations

import ast
import json
import sys
import types
from pathlib import Path

import pytest

from rl_reason.cli import main as entry
from rl_reason.config.schema.recipe import Recipe
from rl_reason.errors import CheckpointError

GOOD = """\
name: tiny
model: {scratch: {hidden_size: 64, layers: 2, heads: 4, kv_heads: 2, intermediate_size: 128}}
stages:
  - {kind: sft, steps: 3, traces: [{kind: generated, task: chain_sum, count: 9}]}
"""


@pytest.fixture
def recipe_path(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(GOOD)
    return path


def exit_code(*words: object) -> int:
    """Run the command in this process; its output is for `capsys`."""
    with pytest.raises(SystemExit) as caught:
        entry.main([str(word) for word in words])
    return int(caught.value.code or 0)


def test_check_says_in_one_line_that_all_is_well(recipe_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("config", "check", recipe_path) == 0
    assert capsys.readouterr().out == f"{recipe_path}: all is well. tiny has 1 stage: 01-sft.\n"


def test_check_prints_all_errors_and_exits_with_2(recipe_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("config", "check", recipe_path, "--set", "sede=1", "--set", "engine.count=0") == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.splitlines() == [
        "--set engine.count=0: engine.count: 0: must be at least 1 "
        "(Number of engines, each a Ray actor with a whole copy of the model).",
        "--set sede=1: sede: 1: no such key. Did you mean seed?",
        "2 problems; nothing was started.",
    ]


def test_show_prints_what_check_accepts(recipe_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("config", "show", recipe_path, "--set", "seed=7") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("name: tiny\nseed: 7\nout: null\nmodel:\n  path: null\n")
    again = tmp_path / "again.yaml"
    again.write_text(shown)
    assert exit_code("config", "show", again) == 0
    assert capsys.readouterr().out == shown


def test_explain_and_its_miss(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("config", "explain", "stages.rl.loss.tau") == 0
    assert "default: 0.1" in capsys.readouterr().out
    assert exit_code("config", "explain", "stages.rl.loss.tua") == 2
    assert "stages.rl.loss.tau" in capsys.readouterr().err


def test_schema_is_json_schema_with_descriptions(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("config", "schema") == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["required"] == ["name", "stages"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["extends"]["type"] == "string"
    assert schema["$defs"]["MirrorDescent"]["properties"]["tau"]["exclusiveMinimum"] == 0
    assert schema["$defs"]["MirrorDescent"]["properties"]["tau"]["description"].startswith("Strength of the pull")


def test_every_verb_has_a_help_that_shows_how_to_call_it(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["run"],
        ["eval"],
        ["report"],
        ["verify"],
        *(["config", verb] for verb in ("check", "show", "explain")),
    ):
        for flag in ("--help", "-h"):
            assert exit_code(*words, flag) == 0
            assert f"rl-reason {' '.join(words)}" in capsys.readouterr().out.partition("Example")[2], words


def test_a_package_that_a_verb_needs_and_is_missing_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("needs_more")

    def verb() -> None:
        import rl_reason_no_such_thing_either  # pyright: ignore[reportMissingImports]  # noqa: F401

    def broken() -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    module.verb, module.broken = verb, broken  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "needs_more", module)
    monkeypatch.setitem(entry.VERBS, "doctor", entry.Verb("needs_more", "broken", ""))
    assert exit_code("doctor") == 1
    assert "the package torch is not installed in" in capsys.readouterr().err
    monkeypatch.setitem(entry.VERBS, "doctor", entry.Verb("needs_more", "verb", ""))
    with pytest.raises(ModuleNotFoundError, match="rl_reason_no_such"):  # our own fault, not the environment's
        entry.main(["doctor"])


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--version") == 0
    assert capsys.readouterr().out.startswith("rl-reason 0.")


def test_help_lists_every_verb_and_imports_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = {name: entry.Verb("rl_reason.cli.not_there", "app", verb.help) for name, verb in entry.VERBS.items()}
    monkeypatch.setattr(entry, "VERBS", absent)
    assert exit_code("--help") == 0
    written = capsys.readouterr().out
    assert set(absent) <= set(written.split())


def test_a_verb_gets_its_own_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("config", "check", "--help") == 0
    assert "--set" in capsys.readouterr().out
    assert exit_code("config", "check") == 2
    assert exit_code("confg") == 2
    assert "config" in capsys.readouterr().err


def test_run_hands_recipe_and_folder_to_the_pipeline(
    recipe_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, Path]] = []

    def run(recipe: Recipe, out: Path) -> None:
        calls.append((f"{recipe.name} {recipe.seed}", out))

    pipeline = types.ModuleType("rl_reason.pipeline")
    pipeline.__dict__["run"] = run
    monkeypatch.setitem(sys.modules, "rl_reason.pipeline", pipeline)
    assert exit_code("run", recipe_path) == 0
    assert exit_code("run", recipe_path, "--set", "out=elsewhere", "--set", "seed=5") == 0
    assert exit_code("run", recipe_path, "--out", tmp_path / "o", "--set", "out=elsewhere") == 0
    assert calls == [("tiny 0", Path("runs/tiny")), ("tiny 5", Path("elsewhere")), ("tiny 0", tmp_path / "o")]


def test_faults_are_printed_without_a_traceback(
    recipe_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(recipe: Recipe, out: Path) -> None:
        raise CheckpointError(f"{out}/checkpoints is full: [free] some space and run the same command again")

    pipeline = types.ModuleType("rl_reason.pipeline")
    pipeline.__dict__["run"] = run
    monkeypatch.setitem(sys.modules, "rl_reason.pipeline", pipeline)
    assert exit_code("run", recipe_path) == 1
    assert (
        capsys.readouterr().err == "runs/tiny/checkpoints is full: [free] some space and run the same command again\n"
    )
    assert exit_code("run", recipe_path.parent / "no.yaml") == 2


@pytest.mark.parametrize("verb", entry.VERBS.values(), ids=entry.VERBS)
def test_each_verbs_module_has_what_the_table_says(verb: entry.Verb) -> None:
    source = Path(entry.__file__).with_name(verb.module.rpartition(".")[2] + ".py")
    if not source.exists():
        pytest.skip(f"{source.name} is not written yet")
    names = set()
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    assert verb.attribute in names
