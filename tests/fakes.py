"""Deterministic stand-ins for every seam: a policy that is one table of digits, learned by the real mirror descent."""

from __future__ import annotations

import numpy as np

from rl_reason.types import Completion, Prompt, Score, Segment, StopReason, Verdict

DIGITS = 4


class TablePolicy:
    """logits[prompt, digit]; shared by the fake engine and the fake learner, so a sync has nothing to carry."""

    def __init__(self, prompts: int):
        self.logits = np.zeros((prompts, DIGITS))

    def logprobs(self) -> np.ndarray:
        shifted = self.logits - self.logits.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


class FakeEngine:
    """Writes one digit a response: prompt tokens are [row], response tokens [digit]."""

    def __init__(self, policy: TablePolicy):
        self.policy, self.version, self.closed = policy, 0, False

    def generate(self, requests, sampling):
        logprobs = self.policy.logprobs()
        for request in requests:
            row = request.tokens[0]
            digit = int(np.random.default_rng(request.seed).choice(DIGITS, p=np.exp(logprobs[row])))
            segment = Segment(
                np.array([digit], np.int32), np.array([logprobs[row, digit]], np.float32), version=self.version
            )
            yield [Completion(request.id, segment, StopReason.STOP)]

    def score(self, sequences):
        logprobs = self.policy.logprobs()
        return [np.array([logprobs[row, digit]], np.float32) for row, digit in sequences]

    def load_weights(self, update):
        self.version = update.version

    def close(self):
        self.closed = True


class FakeScorer:
    """Right when the response is the prompt's answer; answers of '?' cannot be judged."""

    def __init__(self):
        self.pending = {}

    def submit(self, trajectory):
        right = trajectory.text == trajectory.prompt.answer
        score = Score(Verdict.RIGHT if right else Verdict.WRONG, float(right), {"exact": float(right)})
        if trajectory.prompt.answer == "?":
            score = Score(Verdict.UNJUDGED, None, reason="no reference answer")
        self.pending[trajectory.prompt.id, trajectory.index] = score

    def collect(self):
        scores, self.pending = self.pending, {}
        return scores

    def metrics(self):
        return {}

    def close(self):
        pass


class FakeLearner:
    """Gradient ascent on Kimi k1.5's eq. 3 for the table, by hand."""

    def __init__(self, policy: TablePolicy, *, tau=0.1, rate=2.0):
        self.policy, self.tau, self.rate = policy, tau, rate

    def update(self, batch, *, step):
        logprobs = self.policy.logprobs()
        gradient = np.zeros_like(logprobs)
        for sequence in batch:
            row, digit = sequence.tokens
            ratio = logprobs[row, digit] - sequence.behaviour_logprobs[1]
            gradient[row] += (sequence.advantage - self.tau * ratio) * (np.eye(DIGITS)[digit] - np.exp(logprobs[row]))
        self.policy.logits += self.rate * gradient / len(batch)
        return {"learner/steps": 1.0}

    def score(self, sequences):
        return FakeEngine(self.policy).score(sequences)

    def save(self, folder):
        np.save(folder / "logits.npy", self.policy.logits)

    def load(self, folder):
        self.policy.logits = np.load(folder / "logits.npy")


class FakeChannel:
    """Remembers the versions it carried."""

    def __init__(self, engine: FakeEngine):
        self.engine, self.versions = engine, []

    def sync(self, version):
        self.versions.append(version)
        self.engine.version = version
        return {"policy/logprob_gap_max": 0.0}


class FakeTracker:
    """Keeps everything in memory."""

    def __init__(self):
        self.lines, self.groups = [], []

    def log(self, metrics):
        self.lines.append(dict(metrics))

    def log_groups(self, iteration, groups, advantages):
        self.groups.append((iteration, groups, advantages))

    def close(self):
        pass


class FakeSampler:
    """The same prompts in turn."""

    def __init__(self, prompts):
        self.prompts, self.position, self.seen = prompts, 0, 0

    def draw(self, count):
        drawn = [self.prompts[(self.position + i) % len(self.prompts)] for i in range(count)]
        self.position += count
        return drawn

    def observe(self, groups):
        self.seen += len(groups)

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = state["position"]


def digit_prompts(count: int) -> list[Prompt]:
    """Prompt i wants digit i mod 4."""
    return [Prompt(str(i), f"say {i % DIGITS}", str(i % DIGITS), tokens=(i,)) for i in range(count)]


def decode_digits(sequences):
    """[[3]] -> ['3']."""
    return ["".join(map(str, tokens)) for tokens in sequences]
