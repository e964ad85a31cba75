from __future__ import annotations

import re

import pytest

from rl_reason.reports.curves import (
    BOTTOM,
    CHARTS,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Chart,
    draw,
    round_step,
    thin,
    tick_label,
    verifier_charts,
)
from rl_reason.tracking.metric_names import METRICS

PLAIN = Chart("Reward", "mean reward", (("reward/mean", "reward"),))


def rows(values, metric="reward/mean"):
    return [{"iteration": k, metric: value} for k, value in enumerate(values)]


def line(svg, number=0):
    found = re.search(rf'<polyline class="line s{number}" points="([^"]*)"', svg)
    assert found is not None
    return [tuple(map(float, pair.split(","))) for pair in found[1].split()]


def test_a_line_runs_from_corner_to_corner():
    drawing = draw(PLAIN, rows([0.0, 0.5, 1.0]))
    assert drawing is not None
    middle = ((LEFT + WIDTH - RIGHT) / 2, (HEIGHT - BOTTOM + TOP) / 2)
    assert line(drawing.svg) == [(LEFT, HEIGHT - BOTTOM), middle, (WIDTH - RIGHT, TOP)]
    assert drawing.hover["series"] == [{"label": "reward", "points": [[0, 0.0], [1, 0.5], [2, 1.0]]}]


def test_what_is_missing_or_not_finite_is_left_out():
    drawing = draw(PLAIN, rows([1.0, None, "x", float("nan"), 3.0]))
    assert drawing is not None
    assert [point[0] for point in drawing.hover["series"][0]["points"]] == [0, 4]


def test_a_chart_without_two_values_is_none():
    assert draw(PLAIN, rows([1.0])) is None
    assert draw(PLAIN, rows([1.0, 2.0], metric="policy/kl")) is None


def test_a_log_axis_spans_whole_decades_and_leaves_out_zeros():
    chart = Chart("Gap", "nats", (("gap", "gap"),), log=True)
    drawing = draw(chart, rows([1e-6, 0.0, 1e-4], metric="gap"))
    assert drawing is not None
    assert line(drawing.svg) == [(LEFT, HEIGHT - BOTTOM), (WIDTH - RIGHT, TOP)]
    assert all(f">{label}<" in drawing.svg for label in ("1e-6", "1e-5", "1e-4"))


def test_the_interval_is_shaded_around_its_curve():
    chart = Chart("A", "%", (("a", "a"), ("b", "b")), scale=100, band=("low", "high"))
    data = [{"iteration": k, "a": 0.5, "b": 0.5, "low": 0.4, "high": 0.6} for k in range(2)]
    drawing = draw(chart, data)
    assert drawing is not None
    outline = re.search(r'<polygon class="band s1" points="([^"]*)"', drawing.svg)
    assert outline is not None and len(outline[1].split()) == 4
    assert drawing.hover["series"][1]["points"] == [[0, 50.0], [1, 50.0]]


def test_constant_values_have_an_axis_too():
    drawing = draw(PLAIN, rows([0.0, 0.0]))
    assert drawing is not None
    assert all(TOP <= y <= HEIGHT - BOTTOM for _, y in line(drawing.svg))


def test_thinning_keeps_ends_and_spikes():
    points = [(float(k), 0.0) for k in range(10_000)]
    points[4321] = (4321.0, 9.0)
    kept = thin(points)
    assert len(kept) <= 500 and (4321.0, 9.0) in kept and kept[0] == (0.0, 0.0)
    assert kept == sorted(kept)
    assert thin(points[:500]) == points[:500]


@pytest.mark.parametrize(("step", "nice"), [(0.13, 0.2), (0.2, 0.2), (3.1, 5.0), (7.0, 10.0), (100.0, 100.0)])
def test_round_step(step, nice):
    assert round_step(step) == pytest.approx(nice)


def test_ticks_are_round_and_cover_the_range():
    axis = Axis.linear(0.43, 0.78, 100, 0)
    assert [round(tick, 6) for tick in axis.ticks] == [0.4, 0.5, 0.6, 0.7, 0.8]
    assert (axis.at(0.4), axis.at(0.8)) == (pytest.approx(100), pytest.approx(0))
    assert Axis.linear(0, 3, 0, 1, whole=True).ticks == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("value", "log", "text"),
    [
        (0.25, False, "0.25"),
        (1500, False, "1500"),
        (25_000, False, "25k"),
        (1e-7, True, "1e-7"),
        (1.0, True, "1"),
        (0, False, "0"),
    ],
)
def test_tick_labels(value, log, text):
    assert tick_label(value, log=log) == text


def test_labels_are_escaped():
    drawing = draw(Chart("a<b", 'u"&', (("reward/mean", "x"),)), rows([1.0, 2.0]))
    assert drawing is not None
    assert 'aria-label="a&lt;b, u&quot;&amp;, by iteration"' in drawing.svg and "a<b" not in drawing.svg


def test_every_charted_metric_is_described():
    names = {name for chart in CHARTS for name, _ in chart.series} | {
        name for chart in CHARTS for name in chart.band or ()
    }
    assert names <= METRICS.keys()


def test_each_verifier_has_a_curve_and_counts_that_stay_zero_none():
    rows = [
        {
            "iteration": k, "verifier/math/right_fraction": 0.5, "verifier/format/right_fraction": 0.9,
            "verifier/math/timeouts": 0.0, "verifier/math/crashes": float(k), "time/verifier/math/p99_s": 0.1,
            "verifier/format/thinks_mean": 0.7, "reward/mean": 1.0,
        }
        for k in range(2)
    ]  # fmt: skip
    charts = {chart.title: chart.series for chart in verifier_charts(rows)}
    assert charts == {
        "Verifiers: judged right": (
            ("verifier/format/right_fraction", "format"), ("verifier/math/right_fraction", "math"),
        ),
        "Verifiers: slowest responses": (("time/verifier/math/p99_s", "math"),),
        "Verifiers: not judged": (("verifier/math/crashes", "math: crashes"),),
        "Verifiers: thinks": (("verifier/format/thinks_mean", "format"),),
    }  # fmt: skip
    assert verifier_charts([{"iteration": 0, "reward/mean": 1.0}]) == ()
