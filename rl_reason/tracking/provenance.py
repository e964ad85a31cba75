"""What a run ran on: versions of Python, packages and code, machine and processors."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

_GIT_TIMEOUT_S = 10


def describe_environment() -> dict[str, Any]:
    """Python, platform, cores, command line, commit of this code, and every installed package with its version."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0)),
        "command": sys.argv,
        "git": git_state(Path(__file__).resolve().parents[2]),
        "packages": installed_packages(),
    }


def installed_packages() -> dict[str, str]:
    """Distribution name -> version, sorted."""
    found = {distribution.name.lower(): distribution.version for distribution in importlib.metadata.distributions()}
    return dict(sorted(found.items()))


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of the checkout whose root is `folder` and whether tracked files differ; None when it is no checkout."""
    if not (folder / ".git").exists():
        return None
    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "changed": bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of a git command; None when git is not installed, too slow, or the repository has no commit yet."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
