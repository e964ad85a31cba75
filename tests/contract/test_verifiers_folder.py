"""`verifiers/` stays a folder: Prime Intellect's package of that name must not be shadowed from our checkout."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_folder_has_no_init() -> None:
    assert (ROOT / "verifiers" / "rl_reason_verifiers" / "__init__.py").is_file()
    assert not (ROOT / "verifiers" / "__init__.py").exists()


def test_nothing_imports_verifiers() -> None:
    guilty: list[str] = []
    files = [path for folder in ("rl_reason", "verifiers", "tests") for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 20
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            guilty += [f"{path}:{node.lineno}" for name in names if name.split(".")[0] == "verifiers"]
    assert guilty == []


def test_a_package_called_verifiers_wins_over_the_folder(tmp_path: Path) -> None:
    (tmp_path / "verifiers").mkdir()
    (tmp_path / "verifiers" / "__init__.py").write_text("WHOSE = 'theirs'\n")
    program = f"import sys; sys.path.append({str(tmp_path)!r}); import verifiers; print(verifiers.WHOSE)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "theirs", done.stderr


def test_built_in_verifiers_see_only_types_errors_protocols_and_the_sandbox() -> None:
    allowed = {"rl_reason.types", "rl_reason.errors", "rl_reason.protocols", "rl_reason.sandbox"}
    for path in (ROOT / "verifiers").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "rl_reason":
                assert node.module in allowed, f"{path}:{node.lineno}"
