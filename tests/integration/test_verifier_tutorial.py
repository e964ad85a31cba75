"""verifiers/README.md is followed literally: its files are saved and its commands run, in order, in an empty folder.

Only pip is told, by its environment variables, to install into a folder of the test's own and to fetch nothing.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rl_reason.rewards.card import card_of, installed_cards

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "verifiers" / "README.md").read_text()


def steps() -> Iterator[tuple[str, str]]:
    """(file to save, its text) and ("", commands to run), as they come."""
    pattern = r"(?:[Ss]ave this as `(?P<file>[^`]+)`:\n\n)?```(?P<language>\w*)\n(?P<text>.*?)```"
    for block in re.finditer(pattern, README, re.S):
        if block["file"]:
            yield block["file"], block["text"]
        elif block["language"] == "bash":
            yield "", block["text"]


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder afterwards, and what each command printed."""
    folder, site = tmp_path_factory.mktemp("tutorial"), tmp_path_factory.mktemp("site")
    programs = Path(sys.executable).parent
    assert (programs / "rl-reason").is_file(), "rl-reason is not installed in this environment"
    path = os.pathsep.join([str(site), *(entry for entry in sys.path if entry and Path(entry).is_dir())])
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": path,
        "PIP_TARGET": str(site),
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    printed: dict[str, str] = {}
    for file, text in steps():
        if file:
            (folder / file).write_text(text)
            continue
        for command in text.strip().splitlines():
            done = subprocess.run(
                command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=280
            )
            assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            printed[command] = done.stdout + done.stderr
    return folder, printed


def output(printed: dict[str, str], begin: str) -> str:
    (text,) = (text for command, text in printed.items() if command.startswith(begin))
    return " ".join(text.split())


def test_the_first_verifier_has_20_lines_and_judges(followed: tuple[Path, dict[str, str]]) -> None:
    folder, printed = followed
    assert len((folder / "my_check.py").read_text().strip().splitlines()) <= 20
    judged = [json.loads(line) for line in (folder / "judged.jsonl").read_text().splitlines()]
    assert [row["correct"] for row in judged] == [True, False]
    assert "1 right, 1 wrong" in output(printed, "rl-reason verify ")


def test_both_verifiers_keep_the_contract(followed: tuple[Path, dict[str, str]]) -> None:
    for ref in ("./my_check.py:LastNumber", "own_check"):
        text = output(followed[1], f"rl-reason verifier test {ref}")
        assert "keeps the contract" in text and "FAIL" not in text and "pass working directory" in text


def test_the_package_installs_passes_its_tests_and_is_listed(followed: tuple[Path, dict[str, str]]) -> None:
    printed = followed[1]
    assert "own_check/src/own_check/verifier.py" in output(printed, "rl-reason verifier new")
    assert "Successfully installed own-check-0.1.0" in output(printed, "pip install")
    assert " passed" in output(printed, "python -m pytest")
    assert "own_check own-check 0.1.0" in output(printed, "rl-reason verifier list")
    assert "begin='Answer:'" in output(printed, "rl-reason verifier show")


def test_the_toy_recipe_trains_and_rewards(followed: tuple[Path, dict[str, str]]) -> None:
    folder, printed = followed
    rows = [json.loads(line) for line in (folder / "runs/own_check/metrics.jsonl").read_text().splitlines()]
    learned = [row for row in rows if row["stage"] == "02-rl"]
    assert len(learned) == 3 and any(row["reward/mean"] > 0 for row in learned)
    assert all(row["reward/unjudged_fraction"] == 0 for row in learned)
    assert "all is well" in output(printed, "rl-reason config check")


def test_the_table_of_built_in_verifiers_names_all_of_them() -> None:
    table = set(re.findall(r"^\| `(\w+)` \|", README, re.M))
    ours = {card.name for card in installed_cards() if card.distribution == "rl-reason"}
    assert ours <= table
    assert card_of("exact").purpose


def test_every_block_that_can_be_followed_is() -> None:
    assert [file for file, _ in steps() if file] == ["my_check.py", "cases.jsonl", "recipe.yaml"]
    assert sum(not file for file, _ in steps()) == 5
