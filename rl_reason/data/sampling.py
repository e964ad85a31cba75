"""Which prompts an iteration trains on: uniform, or prioritised by success rate (Kimi k1.5 §2.3.4)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rl_reason.errors import CheckpointError, DataError
from rl_reason.types import Group, Prompt, Verdict


class UniformSampler:
    """Shuffles the prompts anew each epoch and deals them out.

    When fewer are left than are wanted, a new epoch begins and the rest is passed over (another rest each time), so
    that no draw holds a prompt twice. The state is two counters: order depends on the seed and the epoch alone.
    """

    def __init__(self, prompts: Sequence[Prompt], seed: int) -> None:
        self._prompts = _checked(prompts)
        self._seed = seed
        self._epoch = 0
        self._position = 0

    def draw(self, count: int) -> list[Prompt]:
        """`count` different prompts; all of them, shuffled, when there are not more."""
        count = min(count, len(self._prompts))
        if self._position + count > len(self._prompts):
            self._epoch += 1
            self._position = 0
        order = np.random.default_rng([self._seed, self._epoch]).permutation(len(self._prompts))
        chosen = order[self._position : self._position + count]
        self._position += count
        return [self._prompts[index] for index in chosen]

    def observe(self, groups: Sequence[Group]) -> None:
        """Outcomes change nothing here."""

    def state_dict(self) -> dict[str, Any]:
        """Epoch, position, and a fingerprint of the prompt set."""
        return {"epoch": self._epoch, "position": self._position, "prompts": fingerprint(self._prompts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken.

        Raises:
            CheckpointError: the prompt set is another one.
        """
        _check_same_prompts(self._prompts, state)
        self._epoch, self._position = state["epoch"], state["position"]


class PrioritisedSampler:
    """Draws without replacement, each prompt with weight 1 - s, s its success rate so far (Kimi k1.5 §2.3.4).

    s = right / judged over all responses observed; 0 for a prompt not yet tried, so new prompts come early. `floor`
    (the paper has none) keeps solved prompts from vanishing, and the weights from being all zero.
    """

    def __init__(self, prompts: Sequence[Prompt], seed: int, *, floor: float = 0.01) -> None:
        if not 0 < floor <= 1:
            raise DataError(f"floor is {floor}; the smallest weight of a prompt must be in (0, 1]")
        self._prompts = _checked(prompts)
        self._seed = seed
        self._floor = floor
        self._draws = 0
        self._outcomes: dict[str, tuple[int, int]] = {}

    def draw(self, count: int) -> list[Prompt]:
        """`count` different prompts; all of them when there are not more."""
        rng = np.random.default_rng([self._seed, self._draws])
        self._draws += 1
        # Exponential races: the smallest of Exp(1) / weight are a weighted sample without replacement
        # (Efraimidis & Spirakis 2006), in the order in which one-by-one drawing would give them.
        times = rng.exponential(size=len(self._prompts)) / self.weights()
        return [self._prompts[index] for index in np.argsort(times, kind="stable")[:count]]

    def weights(self) -> np.ndarray:
        """[prompts] max(1 - success rate, floor), in the prompts' order."""
        rates = np.array([self.success_rate(prompt.id) for prompt in self._prompts])
        return np.maximum(1.0 - rates, self._floor)

    def success_rate(self, prompt_id: str) -> float:
        """Right / judged so far; 0 before the first judged response."""
        right, judged = self._outcomes.get(prompt_id, (0, 0))
        return right / judged if judged else 0.0

    def observe(self, groups: Sequence[Group]) -> None:
        """Add an iteration's verdicts; unjudged responses do not count."""
        for group in groups:
            right, judged = self._outcomes.get(group.prompt.id, (0, 0))
            verdicts = [score.verdict for score in group.scores]
            self._outcomes[group.prompt.id] = (
                right + verdicts.count(Verdict.RIGHT),
                judged + len(verdicts) - verdicts.count(Verdict.UNJUDGED),
            )

    def state_dict(self) -> dict[str, Any]:
        """Number of draws, [right, judged] of every prompt tried, and a fingerprint of the prompt set."""
        outcomes = {prompt_id: list(counts) for prompt_id, counts in self._outcomes.items()}
        return {"draws": self._draws, "outcomes": outcomes, "prompts": fingerprint(self._prompts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken.

        Raises:
            CheckpointError: the prompt set is another one.
        """
        _check_same_prompts(self._prompts, state)
        self._draws = state["draws"]
        self._outcomes = {prompt_id: (counts[0], counts[1]) for prompt_id, counts in state["outcomes"].items()}


def fingerprint(prompts: Sequence[Prompt]) -> str:
    """16 hex digits over the ids in their order."""
    return hashlib.blake2b("\n".join(prompt.id for prompt in prompts).encode(), digest_size=8).hexdigest()


def _checked(prompts: Sequence[Prompt]) -> list[Prompt]:
    if not prompts:
        raise DataError("there are no prompts to sample from; check the data source and its filters")
    counts = Counter(prompt.id for prompt in prompts)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise DataError(
            f"{len(repeated)} prompt ids are used more than once ({', '.join(repeated[:5])}); give each prompt its own"
        )
    return list(prompts)


def _check_same_prompts(prompts: Sequence[Prompt], state: Mapping[str, Any]) -> None:
    if state["prompts"] != fingerprint(prompts):
        raise CheckpointError(
            f"the sampler's state belongs to another prompt set ({state['prompts']}, not {fingerprint(prompts)}); "
            "resume with the data of the recipe that the checkpoint was written by, or start a new run folder"
        )
