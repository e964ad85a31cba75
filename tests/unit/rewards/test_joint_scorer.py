"""Verifiers and models as one scorer: the rule by which they are joined, batches, faults, counts."""

import threading

import pytest
from fakes import FakeScorer

from rl_reason.errors import DeadActorError, VerifierError
from rl_reason.rewards.joint_scorer import BATCH, JointScorer, WeightedModel, join
from rl_reason.types import Prompt, Score, StopReason, Trajectory, Verdict

RIGHT = Score(Verdict.RIGHT, 1.0, {"math": 1.0}, seconds=1.0)
WRONG = Score(Verdict.WRONG, 0.0, {"math": 0.0}, "differs", 1.0)
NONE = Score(Verdict.UNJUDGED, None, reason="math: no reference")
YES = Score(Verdict.RIGHT, 0.75, {"m": 0.75}, seconds=0.5)
NO = Score(Verdict.WRONG, 0.25, {"m": 0.25}, seconds=0.5)
MUTE = Score(Verdict.UNJUDGED, None, reason="malformed: x", seconds=0.5)


@pytest.mark.parametrize(
    ("verifiers", "weight", "model", "primary", "verdict", "reward"),
    [
        (RIGHT, 2.0, YES, None, Verdict.RIGHT, 2.5),
        (RIGHT, 2.0, NO, None, Verdict.RIGHT, 1.5),  # verifiers decide
        (RIGHT, 2.0, NO, "m", Verdict.WRONG, 1.5),  # unless a model is named
        (WRONG, 2.0, YES, None, Verdict.WRONG, 1.5),
        (RIGHT, 0.0, MUTE, None, Verdict.RIGHT, 1.0),  # a model that is only watched
        (RIGHT, 0.0, MUTE, "m", Verdict.UNJUDGED, None),  # the primary one never is
        (RIGHT, 0.5, MUTE, None, Verdict.UNJUDGED, None),
        (NONE, 0.0, YES, "m", Verdict.UNJUDGED, None),
        (None, 2.0, YES, "m", Verdict.RIGHT, 1.5),
        (None, 0.0, NO, "m", Verdict.WRONG, 0.0),
        (None, 1.0, MUTE, "m", Verdict.UNJUDGED, None),
    ],
)
def test_the_rule(verifiers, weight, model, primary, verdict, reward):
    score = join(verifiers, [WeightedModel("m", None, weight)], [model], primary=primary)
    assert (score.verdict, score.reward) == (verdict, reward)
    expected = dict(verifiers.parts if verifiers else {}) | dict(model.parts)
    assert score.parts == expected
    assert score.seconds == (verifiers.seconds if verifiers else 0.0) + model.seconds


def test_the_reason_names_who_could_not_judge():
    models = [WeightedModel("m", None, 1.0)]
    assert join(RIGHT, models, [MUTE], primary=None).reason == "m: malformed: x"
    assert join(NONE, models, [YES], primary=None).reason == "math: no reference"


def test_what_each_verifier_said_is_passed_on():
    models, own = [WeightedModel("m", None, 1.0)], {"math": RIGHT, "mine": NONE}
    for verdict, of_model in ((Verdict.RIGHT, YES), (Verdict.RIGHT, MUTE), (Verdict.UNJUDGED, YES)):
        verifiers = Score(verdict, 1.0 if verdict is Verdict.RIGHT else None, judgements=own)
        assert join(verifiers, models, [of_model], primary=None).judgements == own


def response(index, text="2", answer="2", prompt="p"):
    return Trajectory(Prompt(prompt, "1 + 1?", answer), index, (), StopReason.STOP, text)


class ByText:
    """Probability of being right: the text's length in tenths; counts its batches, and can be held at the door."""

    def __init__(self):
        self.batches, self.door = [], threading.Event()
        self.door.set()
        self.entered = threading.Event()

    def score(self, trajectories):
        self.batches.append([each.index for each in trajectories])
        self.entered.set()
        assert self.door.wait(20)
        values = [len(each.text) / 10 for each in trajectories]
        return [
            Score(Verdict.UNJUDGED, None, reason="missing: x")
            if value == 0
            else Score(Verdict.RIGHT if value >= 0.5 else Verdict.WRONG, value, {"m": value}, seconds=0.25)
            for value in values
        ]


@pytest.fixture
def model():
    return ByText()


@pytest.fixture
def joint(model):
    scorer = JointScorer(FakeScorer(), [WeightedModel("m", model, 0.5)], primary=None, patience_s=20)
    yield scorer
    scorer.close()


def test_every_response_gets_its_own_joint_score(joint):
    for index, text in enumerate(["2", "22", "", "333333"]):
        joint.submit(response(index, text))
    scores = joint.collect()
    assert [scores["p", index].reward for index in range(4)] == [1.05, 0.1, None, 0.3]
    assert [scores["p", index].verdict for index in range(4)] == [
        Verdict.RIGHT,
        Verdict.WRONG,
        Verdict.UNJUDGED,
        Verdict.WRONG,
    ]
    metrics = joint.metrics()
    assert (metrics["reward/unjudged_count"], metrics["reward/unjudged_fraction"]) == (1.0, 0.25)
    assert metrics["reward_model/m/unjudged"] == 1.0 and metrics["reward_model/m/mean"] == pytest.approx(0.3)
    assert metrics["time/reward_model/m/p50_s"] == 0.25
    assert joint.metrics()["reward/unjudged_count"] == 0.0
    assert joint.collect() == {}


def test_responses_are_judged_while_others_are_still_written_and_in_batches(joint, model):
    model.door.clear()
    joint.submit(response(0))
    assert model.entered.wait(20)  # before anybody collects
    for index in range(1, BATCH + 11):
        joint.submit(response(index))
    model.door.set()
    assert len(joint.collect()) == BATCH + 11
    assert model.batches[0] == [0]
    assert model.batches[1] == list(range(1, BATCH + 1)) and model.batches[2] == list(range(BATCH + 1, BATCH + 11))


def test_a_scorer_is_used_again_and_again(joint):
    for turn in range(3):
        joint.submit(response(turn))
        assert list(joint.collect()) == [("p", turn)]


class Failing:
    def __init__(self, fault):
        self.fault = fault

    def score(self, trajectories):
        if self.fault is None:
            return []
        raise self.fault


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [(DeadActorError("reward model m died"), DeadActorError, "died"), (None, VerifierError, "gave 0 scores for 1")],
)
def test_a_models_fault_reaches_the_one_who_collects(fault, kind, words):
    scorer = JointScorer(None, [WeightedModel("m", Failing(fault), 1.0)], primary=None, patience_s=20)
    scorer.submit(response(0))
    with pytest.raises(kind, match=words):
        scorer.collect()
    scorer.close()


def test_a_silent_model_is_given_up(model):
    model.door.clear()
    scorer = JointScorer(None, [WeightedModel("m", model, 1.0)], primary=None, patience_s=0.05)
    scorer.submit(response(0))
    with pytest.raises(VerifierError, match=r"given nothing for 0\.05 s with 1 responses"):
        scorer.collect()
    model.door.set()
    scorer.close()


def test_models_alone_judge_and_the_first_is_primary(model):
    models = [WeightedModel("a", model, 0.0), WeightedModel("b", model, 1.0)]
    scorer = JointScorer(None, models, primary=None, patience_s=20)
    scorer.submit(response(0, "666666"))
    score = scorer.collect()["p", 0]
    assert score.verdict is Verdict.RIGHT
    scorer.close()


def test_names_must_be_clear(model):
    for names, primary in (([], None), (["a", "a"], None), (["a"], "b")):
        with pytest.raises(VerifierError, match="different names"):
            JointScorer(None, [WeightedModel(n, model, 1.0) for n in names], primary=primary, patience_s=1)
