"""What the house promises of itself: README, wheel, sizes of files and functions, names of modules."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*ROOT.glob("rl_reason/**/*.py"), *ROOT.glob("verifiers/**/*.py"), *ROOT.glob("benchmarks/*.py")])
LONGEST_FILE, LONGEST_FUNCTION, LONGEST_LOOP = 400, 60, 150
DRAWERS = {"utils", "util", "misc", "common", "helpers", "helper"}


def test_the_readme_quotes_the_loop_and_maps_the_files_as_they_are():
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "readme_map.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_wheel_holds_the_two_packages_and_nothing_else(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], check=True, cwd=ROOT
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"rl_reason", "rl_reason_verifiers"}
    assert "rl_reason/reports/assets/page.js" in names and "rl_reason/py.typed" in names
    templates = {
        str(path.relative_to(ROOT)) for path in ROOT.glob("rl_reason/rewards/templates/**/*") if path.is_file()
    }
    assert len(templates) == 9 and templates <= set(names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_fit_in_the_head(path):
    text = path.read_text()
    limit = LONGEST_LOOP if path.name == "loop.py" else LONGEST_FILE
    assert text.count("\n") <= limit
    assert path.stem not in DRAWERS
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno + 1 <= LONGEST_FUNCTION, f"{node.name}, line {node.lineno}"
