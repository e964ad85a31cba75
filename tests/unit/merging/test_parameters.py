from __future__ import annotations

from typing import Any

import pytest

from rl_reason.merging.methods.method import Parameter
from rl_reason.merging.parameters import Where, value

ANY, SHARE = Parameter("a number"), Parameter("a share", 1.0, 0, 1)


def at(written: Any, name: str = "x", depth: float = 0.0, layer: int = 0, layers: int = 4) -> float | None:
    return value(written, ANY).at(Where(name, depth, layer, layers))


def test_the_forms_of_a_value():
    assert at(0.5) == 0.5 and at(True) == 1.0
    gradient = [0, 0.5, 0.3, 0.7, 1]
    assert [round(at(gradient, depth=d) or 0, 6) for d in (0, 0.125, 0.25, 0.5, 1)] == [0, 0.25, 0.5, 0.3, 1]
    assert at([0.25], depth=0.7) == 0.25
    by_name = [{"filter": "self_attn", "value": [0, 1]}, {"filter": "mlp", "value": 0.2}, {"value": 0.4}]
    names = ("l.self_attn.q", "l.mlp.up", "norm")
    assert [at(by_name, name, depth=0.5) for name in names] == [0.5, 0.2, 0.4]
    assert at(by_name[:2], "norm") is None
    assert [at({"layers": [1, 2, 3, 4]}, layer=k) for k in (0, 3)] == [1, 4]
    typhoon = {"by_layer": {0: 0.75, 52: 0.75, 79: 0.125}}
    assert [at(typhoon, layer=k, layers=80) for k in (0, 52, 79)] == [0.75, 0.75, 0.125]
    assert at(typhoon, layer=53, layers=80) == pytest.approx(0.75 - 0.625 / 27)
    assert at(typhoon, layer=100, layers=101) == 0.125


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("half", "a value is a number"),
        ([], "a value is a number"),
        ([0.1, "x"], "'x' is no number"),
        (1.5, "1.5 is not between 0 and 1"),
        ([0.5, -1], "-1 is not between 0 and 1"),
        ([{"filter": "mlp"}], "an entry has no value"),
        ([{"filtre": "mlp", "value": 1}], "filtre is no part of it"),
        ([{"filter": 3, "value": 1}], "a filter is a part of tensors' names, not 3"),
        ({"layer": [1]}, "a value is a number"),
        ({"by_layer": {}}, "a value is a number"),
    ],
)
def test_what_is_no_value_is_refused(written: Any, says: str):
    with pytest.raises(ValueError) as raised:
        value(written, SHARE)
    assert says in str(raised.value)
