from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from rl_reason.cli.report import report
from rl_reason.errors import DataError

app = typer.Typer()
app.command()(report)


def test_it_writes_the_page_and_prints_its_path(tmp_path):
    (tmp_path / "resolved.yaml").write_text("a: 1\n")
    done = CliRunner().invoke(app, [str(tmp_path)])
    assert done.exit_code == 0
    assert done.output.strip() == str(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_another_folder_is_a_fault_of_ours_for_main_to_print(tmp_path):
    with pytest.raises(DataError, match="not a run folder"):
        report(tmp_path)
