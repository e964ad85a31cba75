"""What the composition root makes of `rewards`: scorers, keys, engines of a judge, GPUs."""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from rl_reason.build import actors, judged, reward_models
from rl_reason.config.load import load_recipe
from rl_reason.config.schema.reward_stages import GeneratedJudgements, JudgedFile
from rl_reason.errors import ConfigError, DataError
from rl_reason.rewards.joint_scorer import JointScorer
from rl_reason.rewards.scorer import PoolScorer

ROOT = Path(__file__).resolve().parents[3]
ENDPOINT = "{base_url: 'http://127.0.0.1:9/v1', model: m, api_key_env: JUDGE_KEY, concurrency: 64, attempts: 2}"
JUDGE = f"{{kind: judge, endpoint: {ENDPOINT}, votes: 3, temperature: 0.5}}"


def recipe_with(*models, **settings):
    words = [f"rewards.models=[{', '.join(models)}]", *(f"{key}={value}" for key, value in settings.items())]
    return load_recipe(ROOT / "recipes" / "quickstart.yaml", words)


def scorer_of(recipe, resources):
    return reward_models.begin_scorer(None, recipe, lambda name: Path(name), resources)


def test_without_models_the_verifiers_are_the_scorer():
    with ExitStack() as resources:
        scorer = scorer_of(recipe_with(), resources)
        resources.callback(scorer.close)
        assert isinstance(scorer, PoolScorer)


def test_a_judge_behind_an_endpoint_needs_its_key_and_shows_it_to_nobody(monkeypatch):
    recipe = recipe_with(JUDGE)
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    with ExitStack() as resources, pytest.raises(ConfigError, match=r"judge: the environment variable JUDGE_KEY"):
        scorer_of(recipe, resources)
    monkeypatch.setenv("JUDGE_KEY", " secret\n")
    with ExitStack() as resources:
        scorer = scorer_of(recipe, resources)
        resources.callback(scorer.close)
        assert isinstance(scorer, JointScorer)
        (weighted,) = reward_models.begin_models(None, recipe, lambda name: Path(name), resources)
    judge = weighted.model.language_model
    assert (judge.api_key, judge.concurrency, judge.attempts, weighted.model.votes) == ("secret", 64, 2, 3)
    assert "secret" not in repr(weighted) and "secret" not in str(recipe)


def test_a_broken_template_of_ones_own_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "secret")
    path = tmp_path / "judge.txt"
    path.write_text("{{question}} {{answer}}")
    recipe = recipe_with(JUDGE.replace("votes", f"template: {path}, votes"))
    with ExitStack() as resources, pytest.raises(DataError, match=r"judge\.txt has unknown places \{\{answer\}\}"):
        scorer_of(recipe, resources)


def test_gpus_of_reward_models_are_counted(tmp_path):
    classic = f"{{kind: classic, path: {tmp_path}}}"
    local = "{kind: judge, path: some/model, engines: 3}"
    assert actors.gpus_needed(recipe_with(classic, local)) == 0
    alone = actors.gpus_needed(recipe_with(**{"cluster.device": "gpu"}))
    settings = {"cluster.device": "gpu", "engine.tensor_parallel": 2, "engine.count": 2}
    assert actors.gpus_needed(recipe_with(classic, local, **settings)) == alone + 2 + 1 + 3 * 2
    assert actors.gpus_needed(recipe_with(JUDGE, **{"cluster.device": "gpu"})) == alone


def test_generated_solutions_are_labelled_by_the_recipes_verifiers():
    recipe = recipe_with()
    source = GeneratedJudgements(kind="generated", task="chain_sum", problems=12, error_fraction=0.5, seed=3)

    class Verifiers:
        """Right, wrong and unjudged in turn, by the response's place."""

        closed = False

        def submit(self, trajectory):
            self.seen = [*getattr(self, "seen", []), trajectory]

        def collect(self):
            from rl_reason.types import Score, Verdict

            kinds = [Score(Verdict.RIGHT, 1.0), Score(Verdict.WRONG, 0.0), Score(Verdict.UNJUDGED, None)]
            return {(t.prompt.id, t.index): kinds[t.index % 3] for t in self.seen}

        def close(self):
            self.closed = True

    verifiers = Verifiers()
    found = judged.labelled(recipe, [source], lambda: verifiers)
    assert verifiers.closed and len(found) == len(verifiers.seen) - len(verifiers.seen) // 3
    assert [each.right for each in found[:4]] == [True, False, True, False]
    assert len({(each.prompt.id, each.response) for each in found}) == len(found)
    assert len(judged.problems(recipe, [source])) == 12


def test_a_broken_line_stops_the_run_unless_the_recipe_skips_it(tmp_path):
    path = tmp_path / "labelled.jsonl"
    good = {"prompt": "1+1", "answer": "2", "response": "2", "label": True}
    path.write_text(json.dumps(good) + "\n{}\n")
    source = JudgedFile(kind="jsonl", path=str(path))
    with pytest.raises(DataError, match=r"labelled\.jsonl:2: prompt: is missing"):
        judged.labelled(recipe_with(), [source], lambda: None)
    assert len(judged.labelled(recipe_with(**{"data.on_bad_line": "skip"}), [source], lambda: None)) == 1
