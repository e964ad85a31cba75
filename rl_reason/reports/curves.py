"""Line charts as inline SVG: which metrics go together, ticks, scales, drawing."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from rl_reason.reports.read import number

WIDTH, HEIGHT = 400, 215
LEFT, RIGHT, TOP, BOTTOM = 56, 8, 10, 38
SMALLEST = 1e-200
"""Below it a value is drawn as 0, as ranges of such values have no ticks."""
MAX_POINTS = 500
"""A curve is thinned to about so many points; the extremes of every stretch stay."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Chart:
    """What one chart shows."""

    title: str
    unit: str
    series: tuple[tuple[str, str], ...]
    """(metric, label in the legend)."""
    log: bool = False
    scale: float = 1.0
    """Values are multiplied by it: 100 shows fractions as per cent."""
    band: tuple[str, str] | None = None
    """Metrics of the lower and upper end of a shaded interval around the last series."""
    zero: bool = False
    """The axis begins at 0."""


CHARTS: tuple[Chart, ...] = (
    Chart(
        "Accuracy",
        "% right",
        (("accuracy/train", "train"), ("accuracy/eval", "held-out")),
        scale=100,
        band=("accuracy/eval_low", "accuracy/eval_high"),
    ),
    Chart(
        "Reward model",
        "% in agreement",
        (("reward_model/accuracy", "train"), ("reward_model/heldout_accuracy", "held-out")),
        scale=100,
    ),
    Chart(
        "Evolution",
        "% right",
        (
            ("evolution/accuracy_mean", "mean"),
            ("evolution/accuracy_best", "best"),
            ("evolution/validation", "its validation"),
            ("evolution/best_so_far", "so far"),
            ("evolution/source_best", "best model alone"),
        ),
        scale=100,
    ),
    Chart("Reward", "mean reward", (("reward/mean", "reward"),)),
    Chart("Loss", "loss", (("learner/loss", "loss"),)),
    Chart(
        "Response length",
        "tokens",
        (("response/tokens_mean", "mean"), ("response/tokens_p99", "99th percentile")),
        zero=True,
    ),
    Chart("KL to the previous iterate", "nats / token", (("policy/kl", "KL"),)),
    Chart("Entropy", "nats / token", (("policy/entropy", "entropy"),)),
    Chart(
        "Log-prob gap after sync",
        "nats (log scale)",
        (("policy/logprob_gap_max", "max"), ("policy/logprob_gap_mean", "mean")),
        log=True,
    ),
    Chart("Gradient norm", "before clipping", (("learner/grad_norm", "norm"),), zero=True),
    Chart(
        "Time an iteration",
        "seconds",
        (
            ("time/iteration_s", "all"),
            ("time/rollout_s", "rollout"),
            ("time/learn_s", "learn"),
            ("time/sync_s", "sync"),
            ("time/reward_s", "reward"),
        ),
        zero=True,
    ),
    Chart(
        "Throughput",
        "1000 tokens / s",
        (("throughput/rollout_tokens_per_s", "rollout"), ("throughput/train_tokens_per_s", "train")),
        scale=1e-3,
        zero=True,
    ),
    Chart(
        "Cut-off responses",
        "% of responses",
        (("rollout/truncated_fraction", "truncated"), ("rollout/repeated_fraction", "repeated")),
        scale=100,
        zero=True,
    ),
    Chart("Peak memory", "GB", (("memory/peak_bytes", "learner"),), scale=1e-9, zero=True),
)


_OF_VERIFIER = re.compile(r"^(?:time/)?verifier/(?P<name>.+)/(?P<figure>[a-z0-9_]+)$")


def verifier_charts(rows: Sequence[Mapping[str, Any]]) -> tuple[Chart, ...]:
    """Charts of what the verifiers of a stage did, a curve for each; none of counts that stay 0."""
    found: dict[str, dict[str, str]] = {}
    for metric in sorted({metric for row in rows for metric in row}):
        match = _OF_VERIFIER.match(metric)
        if match is not None and any(number(row.get(metric)) for row in rows):
            found.setdefault(match["figure"], {})[metric] = match["name"]
    charts = [
        Chart("Verifiers: judged right", "% of judged", _curves(found, "right_fraction"), scale=100),
        Chart("Verifiers: disagreement", "% with the first", _curves(found, "disagreement_fraction"), scale=100),
        Chart("Verifiers: slowest responses", "seconds, 99th percentile", _curves(found, "p99_s"), log=True),
        Chart("Verifiers: median response", "seconds", _curves(found, "p50_s"), log=True),
        Chart(
            "Verifiers: not judged",
            "responses",
            tuple(
                (metric, f"{name}: {figure}")
                for figure in ("timeouts", "crashes", "unjudged")
                for metric, name in _curves(found, figure)
            ),
            zero=True,
        ),
    ]
    for figure, metrics in found.items():
        if figure.endswith("_mean"):
            of = figure.removesuffix("_mean").replace("_", " ")
            charts.append(Chart(f"Verifiers: {of}", "mean", tuple(metrics.items())))
    return tuple(chart for chart in charts if chart.series)


def _curves(found: Mapping[str, Mapping[str, str]], figure: str) -> tuple[tuple[str, str], ...]:
    return tuple(found.get(figure, {}).items())


@dataclass(frozen=True, slots=True)
class Drawing:
    """One chart, drawn: the SVG, and what the page's script needs to show values under the pointer."""

    svg: str
    hover: Mapping[str, Any]


def draw(chart: Chart, rows: Sequence[Mapping[str, Any]]) -> Drawing | None:
    """Draw a chart of one stage's rows; None when none of its metrics has two values."""
    curves = [(label, points_of(rows, metric, chart)) for metric, label in chart.series]
    curves = [(label, points) for label, points in curves if points]
    if not any(len(points) > 1 for _, points in curves):
        return None
    low_high = [points_of(rows, metric, chart) for metric in chart.band] if chart.band else []
    band = _band(*low_high) if low_high else []
    xs = [x for _, points in curves for x, _ in points]
    ys = [y for _, points in curves for _, y in points] + [y for _, y in band]
    x_axis = Axis.linear(min(xs), max(xs), LEFT, WIDTH - RIGHT, whole=True)
    y_axis = (
        Axis.logarithmic(ys) if chart.log else Axis.linear(0 if chart.zero else min(ys), max(ys), HEIGHT - BOTTOM, TOP)
    )
    parts = _grid(x_axis, y_axis, chart)
    if band:
        outline = " ".join(f"{x_axis.at(x):.1f},{y_axis.at(y):.1f}" for x, y in band)
        parts.append(f'<polygon class="band s{len(curves) - 1}" points="{outline}"/>')
    for k, (_, points) in enumerate(curves):
        line = " ".join(f"{x_axis.at(x):.1f},{y_axis.at(y):.1f}" for x, y in thin(points))
        parts.append(f'<polyline class="line s{k}" points="{line}"/>')
        if len(points) <= 12:
            parts += [
                f'<circle class="dot s{k}" cx="{x_axis.at(x):.1f}" cy="{y_axis.at(y):.1f}" r="2.5"/>' for x, y in points
            ]
    label = escape(f"{chart.title}, {chart.unit}, by iteration", quote=True)
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    hover = {
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "top": TOP,
        "bottom": HEIGHT - BOTTOM,
        "low": x_axis.low,
        "high": x_axis.high,
        "series": [
            {"label": name, "points": [[x, float(f"{y:.5g}")] for x, y in thin(points)]} for name, points in curves
        ],
    }
    return Drawing(svg, hover)


def points_of(rows: Sequence[Mapping[str, Any]], metric: str, chart: Chart) -> list[Point]:
    """(iteration, scaled value) where the row has a number; a log chart leaves out what is not positive."""
    points: list[Point] = []
    for row in rows:
        value = number(row.get(metric))
        if value is not None and abs(value) < SMALLEST:
            value = 0.0
        if value is not None and (value > 0 or not chart.log):
            points.append((row["iteration"], value * chart.scale))
    return points


def thin(points: Sequence[Point]) -> list[Point]:
    """At most about `MAX_POINTS`: of every stretch the lowest and the highest point, in their order."""
    if len(points) <= MAX_POINTS:
        return list(points)
    stretch = math.ceil(2 * len(points) / MAX_POINTS)
    kept: list[Point] = []
    for begin in range(0, len(points), stretch):
        part = points[begin : begin + stretch]
        kept += sorted({min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])})
    return kept


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps values in [low, high] to pixels [begin, end]; knows where its ticks are."""

    low: float
    high: float
    begin: float
    end: float
    ticks: tuple[float, ...]
    log: bool = False

    @classmethod
    def linear(cls, low: float, high: float, begin: float, end: float, *, whole: bool = False) -> Axis:
        """Ticks at round numbers. `whole`: whole ticks and the range as it is; else the range is rounded out."""
        if low == high:
            low, high = low - (abs(low) * 0.1 or 1), high + (abs(high) * 0.1 or 1)
        step = round_step((high - low) / 5)
        if whole:
            step = max(1, step)
            first = math.ceil(low / step)
            ticks = tuple(k * step for k in range(first, math.floor(high / step) + 1))
            return cls(low, high, begin, end, ticks)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        return cls(first * step, last * step, begin, end, tuple(k * step for k in range(first, last + 1)))

    @classmethod
    def logarithmic(cls, values: Sequence[float]) -> Axis:
        """The vertical axis in powers of ten, at least one whole decade, at most about six ticks."""
        first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        last = max(last, first + 1)
        every = math.ceil((last - first) / 6)
        ticks = tuple(10.0**k for k in range(first, last + 1, every))
        return cls(first, last, HEIGHT - BOTTOM, TOP, ticks, log=True)

    def at(self, value: float) -> float:
        """Pixel of a value."""
        position = math.log10(value) if self.log else value
        return self.begin + (position - self.low) / (self.high - self.low) * (self.end - self.begin)


def round_step(step: float) -> float:
    """The nearest of 1, 2, 5 times a power of ten that is not smaller."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def tick_label(value: float, *, log: bool = False) -> str:
    """Short: `0.25`, `1500` as `1.5k`, small ones and powers of ten as `1e-07`."""
    if log or (value != 0 and abs(value) < 1e-3):
        return f"{value:.0e}".replace("e+00", "").replace("e-0", "e-").replace("e+0", "e")
    if abs(value) >= 10_000:
        return f"{value / 1000:.4g}k"
    return f"{value:.4g}"


def _band(low: Sequence[Point], high: Sequence[Point]) -> list[Point]:
    """The outline of the shaded interval: along the lower ends and back along the upper."""
    return [*low, *reversed(high)] if len(low) > 1 and len(low) == len(high) else []


def _grid(x_axis: Axis, y_axis: Axis, chart: Chart) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts: list[str] = []
    for tick in y_axis.ticks:
        y = y_axis.at(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text x="{LEFT - 7}" y="{y + 3.5:.1f}" text-anchor="end">{tick_label(tick, log=y_axis.log)}</text>'
        )
    for tick in x_axis.ticks:
        x = x_axis.at(tick)
        parts.append(f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick_label(tick)}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(
        f'<text class="name" x="{(LEFT + right) / 2:.0f}" y="{HEIGHT - 4}" text-anchor="middle">iteration</text>'
    )
    middle = (TOP + bottom) / 2
    parts.append(
        f'<text class="name" x="12" y="{middle:.0f}" text-anchor="middle" transform="rotate(-90 12 {middle:.0f})">'
        f"{escape(chart.unit)}</text>"
    )
    return parts
