"""A judge's words: only a JSON object at their very end is a verdict."""

import time

import pytest

from rl_reason.rewards.verdict import Fault, NoVerdict, majority, read_verdict


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('{"correct": true}', True),
        ('3 + 4 is 7, so the answers agree.\n{"correct": true}\n', True),
        ('Differs.\n```json\n{"correct": false}\n```\n', False),
        ('{"correct": false, "why": "a {brace} and \\"quotes\\""}', False),
        ('{"reason": {"correct": true}, "correct": false}', False),
        # quotations and earlier thoughts count for nothing
        ('The response says {"correct": true}, but it is wrong. {"correct": false}', False),
        ('{"correct": false}{"correct": true}', True),
        ("The set {1, 2} is {2, 1}." + '{"correct": true}', True),
        ('{{"correct": true}', True),
        ("{" * 50 + '{"correct": true}', True),
        ('é😀{"correct":\ttrue }', True),
    ],
)
def test_verdicts(text, verdict):
    assert read_verdict(text) is verdict


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", Fault.MISSING),
        ("The answer is right.", Fault.MISSING),
        ('{"correct": true} I think.', Fault.MISSING),
        ('{"correct": true', Fault.MISSING),
        ('[{"correct": true}]', Fault.MISSING),
        ('{"verdict": true}', Fault.MISSING),
        ('{"reason": {"correct": true}}', Fault.MISSING),
        ("{}", Fault.MISSING),
        ("{correct: true}", Fault.MALFORMED),
        ("{'correct': true}", Fault.MALFORMED),
        ('{"correct": True}', Fault.MALFORMED),
        ('{"correct": "true"}', Fault.MALFORMED),
        ('{"correct": 1}', Fault.MALFORMED),
        ('{"correct": null}', Fault.MALFORMED),
        ('{"correct": [true]}', Fault.MALFORMED),
        ('{"correct": true, "score": NaN}', Fault.MALFORMED),
        ('{"correct": true,}', Fault.MALFORMED),
        ('{"correct": true}}', Fault.MALFORMED),
        # the last object is broken: the one before does not stand in for it
        ('{"correct": true} {"correct": maybe}', Fault.MALFORMED),
        ('{"correct": true, "correct": false}', Fault.CONTRADICTORY),
        ('{"correct": true, "correct": true}', Fault.CONTRADICTORY),
        ('{"correct": true, "Correct": false}', Fault.CONTRADICTORY),
    ],
)
def test_what_is_no_verdict(text, fault):
    found = read_verdict(text)
    assert isinstance(found, NoVerdict) and found.fault is fault and found.detail


@pytest.mark.parametrize(
    "text",
    [
        "{" * 1_000_000 + "}",
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        '{"a":' * 700 + "1" + "}" * 700,
        '{"correct": true, "x": "' + "y" * 1_000_000 + '"}',
        "\x00\udcff}" * 1000,
        '{"correct": true' + " " * 1_000_000 + "}",
        '{"correct": 1' + "0" * 3000 + "}",
    ],
)
def test_hostile_words_are_no_verdict_and_take_no_time(text):
    begun = time.process_time()
    assert isinstance(read_verdict(text), NoVerdict)
    assert time.process_time() - begun < 0.5


NO = NoVerdict(Fault.MALFORMED, "x")


@pytest.mark.parametrize(
    ("votes", "verdict"),
    [([True], True), ([True, False, True], True), ([False, True, False], False), ([NO, False], False)],
)
def test_the_majority_of_those_who_voted_decides(votes, verdict):
    assert majority(votes) is verdict


def test_a_tie_and_no_votes_are_no_verdict():
    tie = majority([True, False, NO])
    assert isinstance(tie, NoVerdict) and tie.fault is Fault.TIE and str(tie) == "tie: 1 votes for and 1 against"
    assert majority([NO, NoVerdict(Fault.MISSING)]) is NO
