"""What `rl-reason eval` makes of a recipe, and what it refuses before anything is loaded."""

from pathlib import Path

import pytest

from rl_reason.cli.eval import of_checkpoint, of_reward_models
from rl_reason.cli.main import main
from rl_reason.config.load import load_recipe
from rl_reason.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
QUICKSTART, REWARD_MODEL = (ROOT / "recipes" / f"{name}.yaml" for name in ("quickstart", "reward_model"))


@pytest.mark.parametrize("words", [[], ["./model", "--reward-models", "labelled.jsonl"]])
def test_one_of_the_two_is_asked_for(words, capsys):
    with pytest.raises(SystemExit) as done:
        main(["eval", *words, "--recipe", str(QUICKSTART)])
    assert done.value.code == 2 and "either MODEL" in capsys.readouterr().err


def test_help_speaks_of_reward_models(capsys):
    with pytest.raises(SystemExit) as done:
        main(["eval", "--help"])
    assert not done.value.code and "--reward-models" in capsys.readouterr().out


def test_a_checkpoint_takes_the_last_eval_stage(tmp_path):
    alone, name = of_checkpoint(load_recipe(QUICKSTART), QUICKSTART, str(tmp_path))
    assert [stage.name for stage in alone.stages] == ["after"] and alone.model.path == str(tmp_path)
    assert name == tmp_path.name
    with pytest.raises(ConfigError, match="no stage of kind eval"):
        of_checkpoint(load_recipe(REWARD_MODEL), REWARD_MODEL, str(tmp_path))


def test_reward_models_are_measured_alone_on_the_file(tmp_path):
    labelled = tmp_path / "labelled.jsonl"
    labelled.write_text("{}")
    models = f"rewards.models=[{{kind: classic, path: {tmp_path}}}]"
    loaded = load_recipe(REWARD_MODEL, [models, "stages.eval_reward_models.confidence=0.9"])
    alone = of_reward_models(loaded, REWARD_MODEL, labelled)
    (stage,) = alone.stages
    assert (stage.kind, stage.confidence, stage.data[0].path) == ("eval_reward_models", 0.9, str(labelled))
    with pytest.raises(ConfigError, match="no such file; give JSONL"):
        of_reward_models(loaded, REWARD_MODEL, tmp_path / "gone.jsonl")


def test_a_model_that_only_a_run_has_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(ConfigError, match=r"classic: a stage of another run.*--set rewards\.models\.0\.path="):
        of_reward_models(load_recipe(REWARD_MODEL), REWARD_MODEL, tmp_path)
    with pytest.raises(ConfigError, match=r"has no rewards\.models to measure"):
        of_reward_models(load_recipe(QUICKSTART), QUICKSTART, tmp_path)
