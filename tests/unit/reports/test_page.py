from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from rl_reason.reports.page import json_for_html, write_report

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


def test_a_run_that_has_only_begun_has_a_page(tmp_path):
    (tmp_path / "resolved.yaml").write_text("a: 1\n")
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "No stage has begun" in page and "No response has been kept" in page
    assert block(page, "response-data") == {"prompts": [], "rows": []}


def test_json_for_html_escapes_and_reads_back():
    value = {"a": "</script><!-- & \u2028\u2029 ü"}
    text = json_for_html(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_reports_need_no_torch():
    heavy = "{'torch', 'vllm', 'ray', 'wandb', 'transformers'}"
    code = f"import sys, rl_reason.reports.page, rl_reason.cli.report; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
