from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rl_reason.reports.page import json_for_html, write_report
from rl_reason.tracking import trajectories
from rl_reason.tracking.jsonl import JsonlTracker
from rl_reason.types import Group, Prompt, Score, Segment, StopReason, Trajectory, Verdict

HOSTILE = (
    "</script><script>document.title='HACKED'</script><img src=x onerror=\"document.title='HACKED'\">\u2028\u2029&amp;"
)
"""As in conftest.py."""


class Elements(HTMLParser):
    """Tags, attributes and the text of each script, as a browser's tokenizer splits them."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.scripts = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data):
        if self.tags and self.tags[-1] == "script" and self.cdata_elem == "script":
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)


@pytest.fixture
def page(run):
    return write_report(run.path).read_text(encoding="utf-8")


def block(page, identity):
    return next(json.loads(text) for attrs, text in Elements(page).scripts if attrs.get("id") == identity)


def test_hostile_responses_are_data_and_nothing_else(page):
    elements = Elements(page)
    assert len(elements.scripts) == 3  # two blocks of data and our own script
    assert "img" not in elements.tags
    assert not [name for name, _ in elements.attributes if name.startswith("on")]
    assert "HACKED'</script>" not in page and "\u2028" not in page
    shown = [row["response"] for row in block(page, "response-data")["rows"]]
    assert HOSTILE in shown


def test_recipe_and_names_are_escaped(page):
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "<script>alert" not in page
    assert "<title>run &lt;1&gt;" in page


def test_the_page_needs_nothing_from_outside(page):
    elements = Elements(page)
    assert not [pair for pair in elements.attributes if pair[0] in ("src", "href", "action", "srcset")]
    assert re.findall(r"https?://|url\(|@import", page) == []


def test_only_our_script_may_run(page):
    found = re.search(r'content="(default-src[^"]*)"', page)
    assert found is not None
    assert re.fullmatch(
        r"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-[A-Za-z0-9+/]{43}='", found[1]
    )


def test_the_script_shows_text_only_as_text(page):
    script = Elements(page).scripts[-1][1]
    assert "textContent" in script
    for unsafe in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function(", "srcdoc"):
        assert unsafe not in script


def test_curves_and_their_values_are_there(page):
    assert "Curves of 01-sft" in page and "Curves of 02-rl" in page
    charts = block(page, "chart-data")
    labels = {series["label"] for chart in charts.values() for series in chart["series"]}
    assert {"loss", "reward", "train", "held-out", "max"} <= labels
    assert all(f'id="{identity}"' in page for identity in charts)


def test_prompts_are_embedded_once_and_rows_point_at_them(page):
    data = block(page, "response-data")
    assert len(data["prompts"]) == 8 and len(data["rows"]) == 20
    row = next(row for row in data["rows"] if row["verdict"] == "unjudged")
    assert data["prompts"][row["prompt"]] == ["question p0 <b>", "42"]
    assert (row["reward"], row["advantage"], row["reason"], row["stop"]) == (None, None, "timed out", "stop")


def test_what_is_left_out_is_said(run):
    page = write_report(run.path, max_responses=5).read_text(encoding="utf-8")
    assert "5 sampled responses. 15 more are in the run folder" in page
    (run.trajectories / "02-rl-000000.parquet").write_bytes(b"rubbish")
    assert "02-rl-000000.parquet cannot be read" in write_report(run.path).read_text(encoding="utf-8")


def test_verifiers_on_held_out_problems_are_a_table_with_their_names_escaped(run):
    tracker = JsonlTracker(run.metrics, run.trajectories, stage=run.stage(2, "rl").label)
    figures = {"eval/verifier/<b>/right_fraction": 0.25, "eval/verifier/format/thinks_mean": 0.5}
    tracker.log({"iteration": 7, "stage": "rl"} | figures)
    page = write_report(run.path).read_text(encoding="utf-8")
    assert "<th>&lt;b&gt;: right</th><th>format: thinks</th>" in page
    assert "<tr><td>02-rl</td><td>25.0%</td><td>0.5</td></tr>" in page


def test_a_run_that_has_only_begun_has_a_page(tmp_path):
    (tmp_path / "resolved.yaml").write_text("a: 1\n")
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "No stage has begun" in page and "No response has been kept" in page
    assert block(page, "response-data") == {"prompts": [], "rows": []}


def strict(text):
    """As a browser's JSON.parse: no NaN, no Infinity."""

    def refuse(word):
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


def test_numbers_that_are_not_finite_do_not_break_the_browser(tmp_path):
    score = Score(Verdict.RIGHT, math.nan, {"mine": math.inf, "</script>": 1.0}, "\ud800")
    prompt = Prompt("p", "q", "a")
    segments = (Segment(np.array([1], np.int32), np.array([-math.inf], np.float32), 0),)
    (tmp_path / "trajectories").mkdir()
    trajectories.write(
        tmp_path / "trajectories" / "01-rl-000000.parquet",
        0,
        [Group(prompt, (Trajectory(prompt, 0, segments, StopReason.STOP, "\ud800</script>"),), (score,))],
        [[math.nan]],
    )
    (tmp_path / "metrics.jsonl").write_text(
        "".join(f'{{"iteration": {k}, "stage": "01-rl", "reward/mean": {x}}}\n' for k, x in enumerate(["NaN", 1, 2]))
    )
    page = write_report(tmp_path).read_text(encoding="utf-8")
    blocks = [text for attrs, text in Elements(page).scripts if "id" in attrs]
    assert len(blocks) == 2
    charts, browser = (strict(text) for text in blocks)
    assert [series["points"] for chart in charts.values() for series in chart["series"]] == [[[1, 1.0], [2, 2.0]]]
    row = browser["rows"][0]
    assert (row["reward"], row["logprob"], row["parts"]) == (None, None, {"mine": None, "</script>": 1.0})


def two_rows(name, value):
    rows = (f'{{"iteration": {k}, "stage": "a", "{name}": {value}}}\n' for k in (0, 1))
    return "".join(rows).encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("resolved.yaml", b"\xff"),
        ("metrics.jsonl", b'{"iteration": 1e999, "stage": "a"}\n[]\n' + b"[" * 100_000 + b"\n"),
        ("metrics.jsonl", b'{"iteration": 0, "stage": "\\ud800", "reward/mean": 1}\n' * 2),
        ("metrics.jsonl", two_rows("learner/loss", "9" * 400)),
        ("metrics.jsonl", two_rows("learner/loss", "-1e308") + two_rows("learner/loss", "1e308")),
        ("metrics.jsonl", two_rows("policy/logprob_gap_max", "5e-324")),
        ("metrics.jsonl", two_rows("reward/mean", "5e-324")),
        ("provenance.json", b"[1]"),
        ("provenance.json", b'{"starts": 3}'),
        ("provenance.json", b'{"starts": [{"command": ["\\udcff"]}]}'),
        ("stages/01-rl/result.json", b"[1]"),
        ("stages/01-rl/result.json", b'{"seconds": NaN, "iterations": Infinity, "evaluation": {"accuracy": NaN}}'),
        ("trajectories/01-rl-000000.parquet/x", b""),
    ],
)
def test_a_damaged_file_leaves_a_page(tmp_path, name, content):
    (tmp_path / "resolved.yaml").write_text("a: 1\n")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(content)
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert page.endswith("</html>\n") and ">nan" not in page


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"a": ["x"]}, "it has no column advantage"),
        ({name: ["x"] for name in trajectories.SCHEMA.names}, "parse string"),
    ],
)
def test_a_parquet_file_of_other_people_is_named(tmp_path, columns, says):
    (tmp_path / "resolved.yaml").write_text("a: 1\n")
    (tmp_path / "trajectories").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "trajectories" / "01-rl-000000.parquet")
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "01-rl-000000.parquet cannot be read" in page and says in page


def test_a_run_folder_whose_name_is_not_text_has_a_page(tmp_path):
    folder = tmp_path / os.fsdecode(b"run\xff")
    folder.mkdir()
    (folder / "resolved.yaml").write_text("a: 1\n")
    assert "<h1>run?</h1>" in write_report(folder).read_text(encoding="utf-8")


def test_json_for_html_escapes_and_reads_back():
    value = {"a": "</script><!-- & \u2028\u2029 ü"}
    text = json_for_html(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_reports_need_no_torch():
    heavy = "{'torch', 'vllm', 'ray', 'wandb', 'transformers'}"
    code = f"import sys, rl_reason.reports.page, rl_reason.cli.report; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
