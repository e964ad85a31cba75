"""The search on problems whose answer is known; killed and resumed; failures, caches, validation and test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from rl_reason.errors import MergeError
from rl_reason.merging.evolution.candidate import Candidate, Outcome
from rl_reason.merging.evolution.data_flow_space import DataFlowSpace, NoScaling
from rl_reason.merging.evolution.journal import Journal
from rl_reason.merging.evolution.parameter_space import ParameterSpace
from rl_reason.merging.evolution.search import Search, Settings
from rl_reason.merging.evolution.strategy import population_size

SPACE = ParameterSpace((Path("a"), Path("b")), layers=4, method="linear")
A, B = np.random.default_rng(0).normal(size=(2, 50))


class Killed(Exception):
    pass


class Toy:
    """Accuracy is how near a merged vector is to 0.3 a + 0.7 b; counts, can die, and can fail."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.asked: list[tuple[str, str]] = []
        self.dies_after = dies_after

    def outcome(self, candidate: Candidate) -> Outcome:
        weights = {one["model"]: one["parameters"]["weight"] for one in candidate.content["models"]}
        a, b = weights.get("a", 0.0), weights.get("b", 0.0)
        gap = np.linalg.norm((a - 0.3) * A + (b - 0.7) * B) / np.linalg.norm(0.3 * A + 0.7 * B)
        return Outcome(float(1 / (1 + gap)), tokens_mean=float(100 * a))

    def __call__(self, candidates: Sequence[Candidate], problems: str) -> Iterator[tuple[Candidate, Outcome]]:
        for candidate in reversed(candidates):
            if len(self.asked) == self.dies_after:
                raise Killed
            self.asked.append((candidate.key, problems))
            yield candidate, self.outcome(candidate)


def search(path: Path, evaluate: Toy, **changed: object) -> Search:
    settings = Settings(**{"population": population_size(2), "generations": 30, **changed})  # pyright: ignore[reportArgumentType]
    return Search(SPACE, settings, evaluate, Journal(path, {"seed": settings.seed}))


def test_the_published_population_of_six_variables_is_nine() -> None:
    assert population_size(6) == 9


def test_finds_the_known_weights_within_two_percent_in_a_fraction_of_a_thousand_trials(tmp_path: Path) -> None:
    result = search(tmp_path / "j", Toy()).run()
    assert result.best is not None
    found = [one["parameters"]["weight"] for one in result.best.content["models"]]
    np.testing.assert_allclose(found, [0.3, 0.7], rtol=0.02)
    assert result.finished and len(result.generations) == 30


def test_what_is_merged_is_tried_alone_and_wins_where_no_merge_is_better(tmp_path: Path) -> None:
    toy = Toy()
    found = search(tmp_path / "j", toy, generations=30).run()
    alone = {name: outcome.accuracy for name, outcome in found.sources.items()}
    assert alone == {name: toy.outcome(one).accuracy for name, one in SPACE.sources.items()}
    assert found.best_source is None and found.best_accuracy is not None
    assert found.best_accuracy > max(one or 0 for one in alone.values())
    assert {one.source_best for one in found.generations} == {alone["b"]}
    assert [key for key, problems in toy.asked[:2]] == [one.key for one in reversed(SPACE.sources.values())]

    class OnlyA(Toy):
        def outcome(self, candidate: Candidate) -> Outcome:
            return Outcome(1.0 if candidate == SPACE.sources["a"] else 0.9, 1.0)

    kept = search(tmp_path / "kept", OnlyA(), generations=2).run()
    assert (kept.best_source, kept.best, kept.best_accuracy) == ("a", SPACE.sources["a"], 1.0)

    class Equal(Toy):
        def outcome(self, candidate: Candidate) -> Outcome:
            return Outcome(0.9, 1.0)

    assert search(tmp_path / "equal", Equal(), generations=2).run().best_source is None


@pytest.mark.parametrize("dies_after", [0, 1, 17, 100])
def test_a_killed_search_goes_on_bit_for_bit_and_evaluates_nothing_twice(tmp_path: Path, dies_after: int) -> None:
    whole = Toy()
    expected = search(tmp_path / "whole", whole).run()
    first, second = Toy(dies_after), Toy()
    with pytest.raises(Killed):
        search(tmp_path / "parts", first).run()
    resumed = search(tmp_path / "parts", second).run()
    assert resumed.best == expected.best and resumed.best_accuracy == expected.best_accuracy
    assert [one.accuracy_mean for one in resumed.generations] == [one.accuracy_mean for one in expected.generations]
    assert first.asked + second.asked == [*dict.fromkeys(first.asked + second.asked)]
    assert sorted(first.asked + second.asked) == sorted(whole.asked)


def test_a_torn_last_line_is_dropped_and_another_search_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j"
    search(path, Toy(), generations=2).run()
    lines = path.read_bytes()
    path.write_bytes(lines + b'{"key": "torn')
    journal = Journal(path, {"seed": 0})
    assert path.read_bytes() == lines and len(journal) == len(lines.splitlines()) - 1
    with pytest.raises(MergeError, match="seed was 0, is 1"):
        Journal(path, {"seed": 1})


def test_what_failed_ranks_last_and_is_counted_and_all_failing_is_an_error(tmp_path: Path) -> None:
    class Fragile(Toy):
        def outcome(self, candidate: Candidate) -> Outcome:
            weight = candidate.content["models"][0]["parameters"]["weight"]
            return Outcome(None, failure="too heavy") if weight > 0.5 else super().outcome(candidate)

    result = search(tmp_path / "some", Fragile()).run()
    assert sum(one.failed for one in result.generations) > 0
    assert result.best_accuracy is not None and result.best_accuracy > 0.98

    class Broken(Toy):
        def outcome(self, candidate: Candidate) -> Outcome:
            return Outcome(None, failure="no memory")

    with pytest.raises(MergeError, match="all 6 candidates of generation 0 failed, the first: no memory"):
        search(tmp_path / "all", Broken()).run()


def test_the_winner_is_the_best_by_validation_and_is_tested_once(tmp_path: Path) -> None:
    class Overfitted(Toy):
        def __call__(self, candidates: Sequence[Candidate], problems: str) -> Iterator[tuple[Candidate, Outcome]]:
            for candidate, outcome in super().__call__(candidates, problems):
                turned = 1 - (outcome.accuracy or 0) if problems == "validation" else outcome.accuracy
                yield candidate, Outcome(0.0 if candidate in SPACE.sources.values() else turned, 1.0)

    toy = Overfitted()
    looked = search(tmp_path / "j", toy, generations=10)
    result = looked.run()
    worst = min(result.generations, key=lambda one: one.accuracy_best or 0)
    assert result.best == worst.best
    assert result.best is not None and worst.best is not None
    looked.test(result.best)
    looked.test(result.best)
    assert [problems for _, problems in toy.asked].count("test") == 1
    other = next(one.best for one in result.generations if one.best != result.best)
    assert other is not None
    with pytest.raises(MergeError, match="test set has been used"):
        looked.test(other)


def test_batches_are_a_set_of_problems_for_each_generation(tmp_path: Path) -> None:
    toy = Toy()
    search(tmp_path / "j", toy, generations=3, batches=True, validation=False).run()
    of_sources = {one.key for one in SPACE.sources.values()}
    assert {problems for key, problems in toy.asked if key in of_sources} == {"search"}
    assert {problems for key, problems in toy.asked if key not in of_sources} == {"search/0", "search/1", "search/2"}


def test_two_objectives_give_a_front_from_short_to_accurate(tmp_path: Path) -> None:
    result = search(tmp_path / "j", Toy(), objective="accuracy_and_tokens").run()
    accuracies = [outcome.accuracy or 0 for _, outcome in result.front]
    tokens = [outcome.tokens_mean or 0 for _, outcome in result.front]
    assert accuracies == sorted(accuracies, reverse=True) and tokens == sorted(tokens, reverse=True)
    assert len(tokens) > 3 and max(accuracies) > 0.9 and min(tokens) < 10


def test_finds_the_one_best_path_in_data_flow_space(tmp_path: Path) -> None:
    """Two models of four layers, two repeats: 16 indicators. The best path skips A's 1 and takes B's 1 and 2."""
    space = DataFlowSpace((4, 4), repeats=2, scaling=NoScaling())
    wanted = np.array([1, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1], bool)
    best = space.candidate(np.where(wanted, 0.5, -0.5))
    target = [tuple(step) for step in best.content["path"]]

    def evaluate(candidates: Sequence[Candidate], problems: str) -> Iterator[tuple[Candidate, Outcome]]:
        for candidate in candidates:
            path = [tuple(step) for step in candidate.content["path"]]
            yield candidate, Outcome(_common(path, target) / max(len(path), len(target)))

    settings = Settings(population=128, generations=100, sigma=space.sigma, validation=False)
    result = Search(space, settings, evaluate, Journal(tmp_path / "j", {})).run()
    assert result.best_accuracy == 1.0 and result.best == best


def _common(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for step in one:
        before = row[:]
        for k, against in enumerate(other):
            row[k + 1] = before[k] + 1 if step == against else max(row[k], before[k + 1])
    return row[-1]
