"""The report's part on reward models: figures as measured, names as text, nothing where nothing was measured."""

import re

import numpy as np
import pytest

from rl_reason.evaluation.reward_models import measure
from rl_reason.reports.page import write_report
from rl_reason.reports.reward_models import accuracy_figure, calibration_figure, table
from rl_reason.types import Score, Verdict

LABELS = [True, False] * 50


def classic():
    values = np.where(LABELS, 0.8, 0.3)
    values[:20:2] = 0.2  # ten right ones called wrong
    scores = [Score(Verdict.RIGHT if v >= 0.5 else Verdict.WRONG, float(v)) for v in values]
    return measure("small <b>", "classic", LABELS, scores, confidence=0.95, calibrated=True).to_dict()


def judge(unjudged=4):
    scores = [Score(Verdict.RIGHT if label else Verdict.WRONG, float(label)) for label in LABELS]
    scores[:unjudged] = [Score(Verdict.UNJUDGED, None, reason="malformed: x")] * unjudged
    return measure("large", "judge", LABELS, scores, confidence=0.95, calibrated=False).to_dict()


def test_the_table_has_all_figures_and_the_papers():
    text = table([classic(), judge()])
    first, second, *paper = re.findall(r"<tr>(<td>.*?)</tr>", text)
    assert re.findall("<td>(.*?)</td>", first) == [
        "small &lt;b&gt;", "classic", "90.0%", "82.6 to 94.5", "0.0%", "20.0%", "0 of 100", "0.800", "0.310",
    ]  # fmt: skip
    cells = re.findall("<td>(.*?)</td>", second)
    assert cells[2] == "100.0%" and cells[6] == "4 of 100 (4 malformed)" and cells[7:] == ["", ""]
    assert "84.4%" in paper[0] and "98.5%" in paper[1]


def test_bars_are_as_long_as_the_accuracies():
    svg = accuracy_figure([classic(), judge()])
    lengths = [float(width) for width in re.findall(r'<rect class="dot s\d" x="120" y="\d+" width="([\d.]+)"', svg)]
    assert lengths[0] / lengths[1] == pytest.approx(0.9, abs=1e-3)
    assert ">84.4 classic, Kimi k1.5<" in svg and ">98.5 chain of thought, Kimi k1.5<" in svg
    assert "small &lt;b&gt;" in svg and "nothing judged" in accuracy_figure([judge(unjudged=100)])


def test_calibration_is_drawn_for_models_with_probabilities_only():
    assert calibration_figure([judge()]) == ""
    svg = calibration_figure([judge(), classic()])
    assert svg.count("<circle") == 3 and 'class="line s1"' in svg and "<title>40 responses</title>" in svg


def test_the_page_has_the_section_where_a_stage_measured(run):
    assert "Reward models in" not in write_report(run.path).read_text(encoding="utf-8")
    result = {"kind": "eval_reward_models", "reward_models": [classic(), judge()]}
    run.stage(3, "judges").finish(result)
    page = write_report(run.path).read_text(encoding="utf-8")
    assert "<h2>Reward models in 03-judges</h2>" in page and "small <b>" not in page


def test_damaged_results_are_passed_over(run):
    run.stage(3, "judges").finish({"kind": "eval_reward_models", "reward_models": [{"name": "x"}, 5, None]})
    page = write_report(run.path).read_text(encoding="utf-8")
    assert "nothing judged" in page
