"""The contract of verifiers, run on one: what `rl-reason verifier test` and the tests of the built-in ones do.

The inputs are the plug-in's own example, labelled cases, and hostile strings as responses and as references to both.
The plug-in runs in workers of the real pool, watched by `contract_probe`, three times over the same inputs:

    as given     each input once; what `verify` returned and what it did to the process
    shuffled     in another order, each input twice in a row
    elsewhere    in a fresh interpreter with another hash seed and an empty working directory

and then a thousand times over harmless inputs, to see whether its memory grows. A plug-in that hangs or crashes costs
one worker and is reported.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from rl_reason.errors import VerifierError
from rl_reason.plugins import VERIFIERS, resolve
from rl_reason.rewards.contract_probe import DESCRIBE, ELSEWHERE, PROBE, Observation, observation
from rl_reason.rewards.hostile import PLAIN_ANSWER, hostile_pairs
from rl_reason.rewards.pool import Outcome, VerifierPool, VerifierSpec
from rl_reason.rewards.promises import CHECKS, Case, Failure, Report, load_cases, short
from rl_reason.types import Prompt, Verdict

_WARM_CALLS = 200
_PAD_CHARS = 16_000
_GROWTH_LIMIT_BYTES = 8 * 2**20
"""In 1,000 calls: what one padded response in two, kept, adds up to; allocators alone stay well below."""
_HASH_SEED = 4242
_MOST_FAILURES = 4
"""A plug-in that hangs or crashes so often is given no further inputs."""
_PATIENCE_S = 60.0


Progress = Callable[[int, int], None]
"""Called with (calls done, calls in all)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How hard the contract is tried."""

    deadline_s: float = 5.0
    """For one call of `verify`, as for a pool."""
    memory_limit_mib: int = 2048
    """Address space of a worker."""
    growth_calls: int = 1000
    """Calls over which memory may not grow; 0 leaves that out."""
    hostile: Literal["all", "short", "none"] = "all"
    """Which hostile strings: `short` leaves out those of a megabyte."""


def check_contract(
    spec: VerifierSpec,
    labelled: Sequence[Case] = (),
    *,
    limits: Limits = Limits(),
    on_progress: Progress = lambda done, total: None,
) -> Report:
    """Run the whole contract on one verifier.

    Args:
        labelled: inputs of its own kind, with the expected verdicts where they are known.

    Raises:
        PluginError: the reference points at nothing.
    """
    spec = replace(spec, ref=resolve(VERIFIERS, spec.ref))
    return _Examination(spec, limits, on_progress).run(labelled)


class _Examination:
    """One run of the contract; its passes add to the report."""

    def __init__(self, spec: VerifierSpec, limits: Limits, on_progress: Progress) -> None:
        self._spec, self._limits, self._on_progress = spec, limits, on_progress
        self._cases: list[Case] = []
        self._report = Report()
        self._done = self._total = 0
        self._scores: dict[int, list[Any] | None] = {}
        """Of the first pass, by number of the case; not those of inputs that failed, which later passes leave out."""
        self._said: set[int] = set()
        """Cases whose score is known to vary: said once, and judged again only so that the others meet the same."""

    def run(self, labelled: Sequence[Case]) -> Report:
        """All passes."""
        try:
            self._cases = self._inputs(labelled)
            self._report.inputs = len(self._cases)
            self._total = 3 * len(self._cases) + (self._limits.growth_calls and _WARM_CALLS + self._limits.growth_calls)
            self._as_given()
        except VerifierError as error:
            self._report.failures.append(Failure("loads", str(error)))
            self._report.untried = tuple(name for name in CHECKS if name != "loads")
            return self._report
        if not self._scores:
            self._report.untried = ("cases", "score", "memory", "repeatable", "order", "process", "picklable")
            return self._report
        self._shuffled()
        self._elsewhere()
        self._growth()
        self._on_progress(self._total, self._total)
        return self._report

    def _inputs(self, labelled: Sequence[Case]) -> list[Case]:
        """The plug-in's example, the labelled cases, and hostile strings put to the prompts of both."""
        with self._pool(DESCRIBE, {}) as pool:
            pool.submit("card", Prompt("", "", ""), "")
            ((_, outcome),) = self._take(pool)
        card = json.loads(outcome.scores[0].reason)
        self._report.failures += [Failure("loads", fault) for fault in card["faults"]]
        row = card["example"]
        examples = [] if row is None else load_cases([{"correct": True, **row}], "its example")
        cases = [*examples, *labelled]
        if self._limits.hostile == "none":
            return cases
        prompts = [case.prompt for case in cases[:1]] or [Prompt("plain", "What is 2 + 2?", PLAIN_ANSWER)]
        pairs = [pair for prompt in prompts for pair in hostile_pairs(prompt, long=self._limits.hostile == "all")]
        return cases + [Case(*pair) for pair in pairs]

    def _as_given(self) -> None:
        for number, seen in self._pass(range(len(self._cases)), PROBE, {}).items():
            case = self._cases[number]
            self._note(seen, case)
            if seen.score is None:
                continue
            verdict = seen.score[0]
            self._report.verdicts[verdict] = self._report.verdicts.get(verdict, 0) + 1
            if case.expected is not None and verdict != case.expected:
                what = f"{verdict} instead of {case.expected}" + (f": {seen.score[3]}" if seen.score[3] else "")
                self._fail("cases", what, case)
            if not {check for check, _ in seen.faults} & {"repeatable", "total", "score", "memory"}:
                self._scores[number] = seen.score
        self._report.dodges = self._dodges()

    def _dodges(self) -> list[str]:
        """Responses that could not be judged, to prompts for which others could."""
        verdicts = {number: score[0] for number, score in self._scores.items() if score is not None}
        judged = {id(self._cases[number].prompt) for number, verdict in verdicts.items() if verdict != Verdict.UNJUDGED}
        cases = [self._cases[number] for number, verdict in verdicts.items() if verdict == Verdict.UNJUDGED]
        return [f"{case.name}: {short(case.response)}" for case in cases if id(case.prompt) in judged]

    def _shuffled(self) -> None:
        numbers = sorted(self._scores)
        random.Random(0).shuffle(numbers)
        seen_by = self._pass(numbers, PROBE, {"calls": 2}, patience=2.0)
        for number, seen in seen_by.items():
            twice = [fault for fault in seen.faults if fault[0] == "repeatable"]
            self._note(replace(seen, faults=twice), self._cases[number])
            self._compare("order", number, None if twice else seen)

    def _elsewhere(self) -> None:
        with tempfile.TemporaryDirectory(prefix="rl-reason-contract-") as folder:
            where = {"folder": folder, "hash_seed": _HASH_SEED}
            try:
                seen_by = self._pass(sorted(self._scores), ELSEWHERE, where)
            except VerifierError as error:
                self._report.failures.append(Failure("working directory", str(error)))
                return
        for number, seen in seen_by.items():
            self._compare("process", number, seen)

    def _compare(self, check: str, number: int, seen: Observation | None) -> None:
        """One failure for each input: a later pass does not repeat what an earlier one has said."""
        first = self._scores[number]
        if seen is None or number in self._said:
            self._said.add(number)
        elif seen.score != first:
            self._fail(check, f"at first {_shown(first)}, now {_shown(seen.score)}", self._cases[number])
            self._said.add(number)

    def _growth(self) -> None:
        harmless = [self._cases[number] for number in self._scores if len(self._cases[number].response) < 2000][:20]
        if not self._limits.growth_calls or not harmless:
            return
        resident: list[int] = []
        with self._pool(PROBE, {"watch": False}) as pool:
            for number in range(_WARM_CALLS + self._limits.growth_calls):
                case = harmless[number % len(harmless)]
                padded = f"{number} " + "so " * (_PAD_CHARS // 3) + case.response
                pool.submit(number, case.prompt, padded)
                while pool.outstanding > 64:
                    resident += self._resident(pool)
            while pool.outstanding:
                resident += self._resident(pool)
        if len(resident) > _WARM_CALLS:
            self._report.growth_bytes = growth = resident[-1] - resident[_WARM_CALLS]
            if growth > _GROWTH_LIMIT_BYTES * self._limits.growth_calls / 1000:
                calls = len(resident) - _WARM_CALLS
                what = f"{growth / 2**20:.1f} MiB more after {calls} calls with {_PAD_CHARS // 1000} kB each"
                self._report.failures.append(Failure("memory", what))

    def _resident(self, pool: VerifierPool) -> list[int]:
        outcomes = [outcome for _, outcome in self._take(pool)]
        return [observation(o.scores[0].reason).resident_bytes for o in outcomes if not o.failure]

    # --- the pool ---

    def _pool(self, probe: str, more: Mapping[str, Any], patience: float = 1.0) -> VerifierPool:
        options = {"ref": self._spec.ref, "options": dict(self._spec.options), **more}
        return VerifierPool(
            [VerifierSpec(self._spec.name, probe, options)],
            workers=1,  # the order of the inputs is part of the check
            deadline_s=self._limits.deadline_s * patience,
            memory_limit_mib=self._limits.memory_limit_mib,
            recycle_after=10**9,
            recycle_growth_mib=2**20,  # growth is to be seen, not to be mended
        )

    def _pass(
        self, numbers: Sequence[int], probe: str, more: Mapping[str, Any], patience: float = 1.0
    ) -> dict[int, Observation]:
        """Judge the cases of these numbers in this order; hangs and crashes are reported here and have no entry."""
        seen: dict[int, Observation] = {}
        waiting = list(reversed(numbers))
        failures = 0
        with self._pool(probe, more, patience) as pool:
            while waiting or pool.outstanding:
                while waiting and pool.outstanding < 4 and failures < _MOST_FAILURES:
                    number = waiting.pop()
                    pool.submit(number, self._cases[number].prompt, self._cases[number].response)
                if failures >= _MOST_FAILURES:
                    waiting.clear()
                for key, outcome in self._take(pool):
                    assert isinstance(key, int)  # as submitted above
                    if outcome.failure:
                        failures += 1
                        self._fail(*_ending(outcome), self._cases[key])
                        self._scores.pop(key, None)
                    else:
                        seen[key] = observation(outcome.scores[0].reason)
        return seen

    def _take(self, pool: VerifierPool) -> list[tuple[object, Outcome]]:
        patience_s = pool.longest_s + _PATIENCE_S
        taken = pool.take(timeout_s=patience_s)
        if not taken and pool.outstanding:
            raise VerifierError(f"no verdict for {patience_s:g} s; is the machine overloaded?")
        self._done += len(taken)
        self._on_progress(min(self._done, self._total), self._total)
        return list(taken)

    # --- the report ---

    def _note(self, seen: Observation, case: Case) -> None:
        for check, what in seen.faults:
            self._fail(check, what, case)

    def _fail(self, check: str, seen: str, case: Case | None) -> None:
        shown = "" if case is None else f"{case.name}: {short(case.response)}"
        self._report.failures.append(Failure(check, seen, shown))


def _ending(outcome: Outcome) -> tuple[str, str]:
    """The check that a hang or crash breaks, and what to say of it."""
    reason = outcome.scores[0].reason
    return ("time" if outcome.failure == "timeout" else "total", reason)


def _shown(score: list[Any] | None) -> str:
    return "no score" if score is None else f"{score[0]} {score[1]} {short(score[3])}"
