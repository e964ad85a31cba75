import pytest

from rl_reason.data.disjoint import check_disjoint, drop_overlap, normalised
from rl_reason.errors import DataError
from rl_reason.types import Prompt


def prompt(identity, text, source=""):
    return Prompt(identity, text, "1", source=source)


def test_normalised_evens_out_space_case_and_unicode_forms():
    assert normalised("  What\n is\t²  \uff0b 1? ") == "what is 2 + 1?"


def test_pairs_are_found_by_id_and_by_text_and_all_are_named():
    train = [prompt("a", "one", "t:1"), prompt("b", "Two  plus", "t:2"), prompt("c", "three", "t:3")]
    heldout = [prompt("a", "other", "h:1"), prompt("x", "two plus", "h:2")]
    with pytest.raises(DataError) as caught:
        check_disjoint(train, heldout)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("2 training prompts")
    assert lines[1] == "  t:1 = h:1: 'one'" and lines[2] == "  t:2 = h:2: 'Two plus'"
    assert drop_overlap(train, heldout) == ([train[2]], 2)
    check_disjoint(train[2:], heldout)


def test_an_empty_rest_is_an_error():
    with pytest.raises(DataError, match="all 1 training prompts are also held out"):
        drop_overlap([prompt("a", "one")], [prompt("a", "one")])
