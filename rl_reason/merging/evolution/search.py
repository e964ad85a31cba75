"""The search: generation after generation is asked for, evaluated, journaled and told; the best by validation wins.

The models that are merged are tried first: where one of them is better than all merges, that one wins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rl_reason.errors import MergeError
from rl_reason.merging.evolution.candidate import Candidate, Evaluate, Outcome, Space
from rl_reason.merging.evolution.journal import Journal
from rl_reason.merging.evolution.objectives import OBJECTIVES
from rl_reason.merging.evolution.pareto import undominated
from rl_reason.merging.evolution.strategy import SIGMA, cma_es


@dataclass(frozen=True, slots=True)
class Settings:
    """How far and how a search goes."""

    population: int
    """Candidates of a generation. The paper: 4 + floor(3 ln n) in parameter space, 128 in data-flow space."""
    generations: int
    """The paper: 1000 trials in parameter space, so as many as it takes; 100 in data-flow space."""
    seed: int = 0
    sigma: float = SIGMA
    objective: str = "accuracy"
    """A key of `OBJECTIVES`."""
    batches: bool = False
    """Evaluate each generation on a batch of its own, `search/<generation>`, instead of on all of `search`."""
    validation: bool = True
    """Choose among the generations' best by the problems `validation`; else the best on `search` wins, as the paper
    has it in parameter space."""


@dataclass(frozen=True, slots=True)
class Generation:
    """What a generation came to; for curves."""

    number: int
    best: Candidate | None
    """None when all failed."""
    accuracy_best: float | None
    accuracy_mean: float | None
    """Over those that did not fail."""
    tokens_best: float | None
    """Mean tokens of the best one."""
    validation: float | None
    source_best: float | None
    """Accuracy of the best of the models that are merged, on the problems that the winner is chosen by."""
    failed: int
    evaluated: int
    """Candidates that were not known before."""


@dataclass(frozen=True, slots=True)
class Result:
    """A finished search, or what there was when it was stopped."""

    generations: list[Generation]
    best: Candidate | None
    best_accuracy: float | None
    """On the problems that it was chosen by."""
    sources: Mapping[str, Outcome]
    """The models that are merged, each by itself, on the same problems."""
    best_source: str | None
    """The best of them, where it is better than all merges; else None."""
    front: list[tuple[Candidate, Outcome]]
    """On `search`: the candidates that no other beats in accuracy and tokens at once. Empty with batches."""
    finished: bool


@dataclass
class Search:
    """One search. Call `run`; after a kill, make the same again on the same journal and call `run`."""

    space: Space
    settings: Settings
    evaluate: Evaluate
    journal: Journal
    on_evaluation: Callable[[Outcome], None] = lambda outcome: None
    """Told each outcome of the search, known ones too: for a progress bar."""
    on_generation: Callable[[Generation], None] = lambda generation: None
    stop: Callable[[], bool] = lambda: False
    """Looked at after each generation."""
    _met: dict[str, tuple[Candidate, Outcome]] = field(default_factory=dict, init=False)
    _sources: dict[str, Outcome] = field(default_factory=dict, init=False)

    def run(self) -> Result:
        """Search to the end, or until asked to stop.

        Raises:
            MergeError: all candidates of a generation failed; the message has the first reason.
        """
        settings = self.settings
        strategy = cma_es(
            self.space.variables, sigma=settings.sigma, population=settings.population, seed=settings.seed
        )
        done: list[Generation] = []
        self._sources = self._of_sources()
        for number in range(settings.generations):
            candidates = [self.space.candidate(values) for values in strategy.ask()]
            problems = f"search/{number}" if settings.batches else "search"
            outcomes, evaluated = self._outcomes(candidates, problems, number)
            if not settings.batches:
                self._met |= {one.key: (one, outcome) for one, outcome in zip(candidates, outcomes, strict=True)}
            for outcome in outcomes:
                self.on_evaluation(outcome)
            if all(one.accuracy is None for one in outcomes):
                raise MergeError(
                    f"all {len(outcomes)} candidates of generation {number} failed, the first: {outcomes[0].failure}"
                )
            told = OBJECTIVES[settings.objective](outcomes)
            strategy.tell(told)
            done.append(self._summary(number, candidates, outcomes, told, evaluated))
            self.on_generation(done[-1])
            if self.stop() and number + 1 < settings.generations:
                return self._result(done, finished=False)
        return self._result(done, finished=True)

    def _of_sources(self) -> dict[str, Outcome]:
        """On what the winner is chosen by."""
        problems = "validation" if self.settings.validation else "search"
        alone = self.space.sources
        return dict(zip(alone, self._outcomes(list(alone.values()), problems, None)[0], strict=True))

    def _outcomes(
        self, candidates: Sequence[Candidate], problems: str, generation: int | None
    ) -> tuple[list[Outcome], int]:
        """Of each candidate, and how many had to be evaluated. Equal ones are evaluated once."""
        unknown = {one.key: one for one in candidates if self.journal.get(one, problems) is None}
        if unknown:
            for candidate, outcome in self.evaluate(list(unknown.values()), problems):
                self.journal.add(candidate, problems, outcome, generation=generation)
        found = [self.journal.get(one, problems) for one in candidates]
        outcomes = [one for one in found if one is not None]
        if len(outcomes) != len(candidates):
            raise MergeError(f"{len(candidates) - len(outcomes)} candidates came back from evaluation without outcome")
        return outcomes, len(unknown)

    def _summary(
        self,
        number: int,
        candidates: Sequence[Candidate],
        outcomes: Sequence[Outcome],
        told: Sequence[float],
        evaluated: int,
    ) -> Generation:
        accuracies = [one.accuracy for one in outcomes if one.accuracy is not None]
        first = int(np.argmin(told))
        best, outcome = candidates[first], outcomes[first]
        validated = None
        if self.settings.validation:
            validated = self._outcomes([best], "validation", number)[0][0].accuracy
        return Generation(
            number, best, outcome.accuracy, float(np.mean(accuracies)), outcome.tokens_mean, validated,
            self._best_source()[1], len(outcomes) - len(accuracies), evaluated,
        )  # fmt: skip

    def _result(self, done: list[Generation], *, finished: bool) -> Result:
        chosen_by = [one.validation if self.settings.validation else one.accuracy_best for one in done]
        usable = [number for number, value in enumerate(chosen_by) if value is not None]
        best = max(usable, key=lambda number: (chosen_by[number] or 0.0, -number), default=None)
        met = [
            (one, out) for one, out in self._met.values() if out.accuracy is not None and out.tokens_mean is not None
        ]
        front = [met[number] for number in undominated([(-(o.accuracy or 0.0), o.tokens_mean or 0.0) for _, o in met])]
        winner, accuracy = (None, None) if best is None else (done[best].best, chosen_by[best])
        source, alone = self._best_source()
        if source is not None and (accuracy is None or (alone or 0.0) > accuracy):
            winner, accuracy = self.space.sources[source], alone
        else:
            source = None
        return Result(done, winner, accuracy, self._sources, source, front, finished)

    def _best_source(self) -> tuple[str | None, float | None]:
        """Its name and accuracy."""
        known = {name: one.accuracy for name, one in self._sources.items() if one.accuracy is not None}
        best = max(known, key=lambda name: known[name], default=None)
        return best, None if best is None else known[best]

    def test(self, candidate: Candidate) -> Outcome:
        """Evaluate the winner on the problems `test`: once, whatever is called again.

        Raises:
            MergeError: another candidate has been tested in this journal.
        """
        others = self.journal.keys("test") - {candidate.key}
        if others:
            raise MergeError(
                f"the test set has been used for candidate {min(others)}; a search tests its winner, once. For another "
                "one take other test problems"
            )
        return self._outcomes([candidate], "test", None)[0][0]
